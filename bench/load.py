"""Seconds and peak memory of loading a Janus-Pro checkpoint, beside transformers.

    python -m bench.load ORIGINAL TRANSFORMERS     # two folders that bench.make_checkpoint wrote

Prints Markdown. Every measurement is a process of its own, on the CPU, with the files in the page cache;
the last column comes after a look at every page of every weight: a mapped file takes no memory before that.
The processes' parent stays small: what it held would count as theirs.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.peers import stand_in

CASES = (
    ("janus", "original", ("all", "draw", "describe")),
    ("janus", "transformers", ("all",)),
    ("transformers", "transformers", ("all",)),
)
DTYPES = ("bf16", "fp32")
PAGE = 4096  # bytes


def peak() -> float:
    """Most bytes that this process has had in memory."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def load(who: str, folder: Path, what: str, dtype: Any) -> Any:
    """The net of `folder` with its weights."""
    if who == "transformers":
        from transformers import JanusForConditionalGeneration

        return JanusForConditionalGeneration.from_pretrained(folder, dtype=dtype).eval()
    from janus_cli.weights import published as parts
    from janus_cli.zoo import janus_pro

    wanted = {"draw": parts.GENERATE + parts.TOKENIZE, "describe": parts.UNDERSTAND}
    wanted["all"] = wanted["draw"] + wanted["describe"]
    return parts.PublishedNet(folder, janus_pro.read(folder).janus_pro).fill(wanted[what], "cpu", dtype)


def measure(who: str, folder: Path, what: str, word: str) -> dict[str, float]:
    """Load, then read every weight: seconds, and peak bytes before, after, and after reading."""
    import torch

    if who == "transformers":  # its imports are no part of loading
        sys.modules.update(stand_in())
        import transformers.models.janus.modeling_janus  # noqa: F401
    else:
        import janus_cli.nets.janus_pro
        import janus_cli.weights.checkpoint
        import janus_cli.weights.modules  # noqa: F401
    start, worked = time.perf_counter(), time.process_time()
    net = load(who, folder, what, {"bf16": torch.bfloat16, "fp32": torch.float32}[word])
    loaded, held = (time.perf_counter() - start, time.process_time() - worked), peak()
    weights = [p for p in net.parameters() if not p.is_meta]
    for weight in weights:
        weight.data.view(-1).view(torch.uint8)[::PAGE].sum()
    return {
        "seconds": loaded[0],
        "cpu": loaded[1],
        "peak": held,
        "peak_read": peak(),
        "weights": sum(w.nbytes for w in weights),
    }


def main() -> None:
    """Measure and print; with --one, one measurement as JSON."""
    parser = argparse.ArgumentParser(description="Load a checkpoint and measure.")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("WHO", "WHAT", "DTYPE"))
    given = parser.parse_args()
    if given.one:
        who, what, word = given.one
        print(json.dumps(measure(who, given.folders[0], what, word)))
        return
    folders = dict(zip(("original", "transformers"), given.folders, strict=True))
    for file in (f for folder in folders.values() for f in folder.iterdir()):
        with file.open("rb", buffering=0) as opened:  # into the page cache
            while opened.read(1 << 24):
                pass
    print("| who loads what | in | weights, GB | seconds | CPU seconds | peak RSS, GB | all read |")
    print("|---|---|---|---|---|---|---|")
    for word in DTYPES:
        for who, layout, parts in CASES:
            for what in parts:
                command = [sys.executable, "-m", "bench.load", str(folders[layout]), "--one", who, what, word]
                done = subprocess.run(command, check=True, capture_output=True)
                found = json.loads(done.stdout.splitlines()[-1])
                seconds = " | ".join(f"{found[k]:.1f}" for k in ("seconds", "cpu"))
                sizes = " | ".join(f"{found[k] / 1e9:.2f}" for k in ("peak", "peak_read"))
                name = f"{who}, {layout} layout, {what}"
                print(f"| {name} | {word} | {found['weights'] / 1e9:.2f} | {seconds} | {sizes} |", flush=True)


if __name__ == "__main__":
    main()
