"""How long `janus draw` takes, stage by stage: `make bench`, or `python -m bench [MODEL]`.

Prints Markdown. Every stage is timed in one process after a warm-up, best of REPEATS; start-up is timed
in processes of its own.
"""

import platform
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from janus_cli import zoo
from janus_cli.pipeline import Pipeline, Sampling, load
from janus_cli.shell.media_output import PictureOutput

REPEATS = 5
BATCHES = (1, 8)
PROMPT = "a red apple"


def best(action: Callable[[], object]) -> float:
    """Least seconds of REPEATS calls."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def process(*args: str) -> float:
    """Least seconds of a `janus` process."""
    command = [sys.executable, "-m", "janus_cli", *args]
    return best(lambda: subprocess.run(command, check=True, capture_output=True))


def startup(model: str) -> list[tuple[str, float]]:
    """Seconds of whole processes."""
    draw = ("draw", PROMPT, "-o", "-", "--model", model)
    text = ("tokenize", "text", PROMPT, "--model", model)
    return [
        ("`janus --help`", process("--help")),
        ("`janus tokenize text`", process(*text)),
        ("`janus draw`, one picture", process(*draw)),
    ]


def stages(pipeline: Pipeline, batch: int) -> list[tuple[str, float]]:
    """Seconds of each stage for `batch` pictures."""
    plan, refining = pipeline.plan_picture(Sampling(n=batch, batch_size=batch)), pipeline.refining
    prompt = pipeline.tokenize(PROMPT)
    tokens = list(plan.run([prompt]))
    sharp = list(refining.denoise(tokens))
    large = list(refining.upsample(sharp))
    return [
        ("tokenize text", best(lambda: pipeline.tokenize(PROMPT))),
        (f"generate, {plan.options.length} tokens each", best(lambda: list(plan.run([prompt])))),
        ("denoise", best(lambda: list(refining.denoise(tokens)))),
        ("upsample", best(lambda: list(refining.upsample(sharp)))),
        (
            "decode and PNG",
            best(lambda: [PictureOutput(pipeline.decode(r)).encode(r, ".png") for r in large]),
        ),
    ]


def main() -> None:
    """Measure and print."""
    model = sys.argv[1] if len(sys.argv) > 1 else zoo.DEFAULT
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{machine}, model {model}; best of {REPEATS}\n\n| process | seconds |\n|---|---|")
    for name, seconds in startup(model):
        print(f"| {name} | {seconds:.2f} |")
    pipeline = load(model)
    measured = [stages(pipeline, batch) for batch in BATCHES]
    heads = " | ".join(f"batch of {batch}" for batch in BATCHES)
    print(f"\n| stage, milliseconds a picture | {heads} |")
    print("|---" * (len(BATCHES) + 1) + "|")
    for rows in zip(*measured, strict=True):
        cells = [f"{1000 * seconds / batch:.1f}" for (_, seconds), batch in zip(rows, BATCHES, strict=True)]
        print(f"| {rows[0][0]} | " + " | ".join(cells) + " |")
    totals = (sum(s for _, s in rows) / batch for rows, batch in zip(measured, BATCHES, strict=True))
    print("| together | " + " | ".join(f"{1000 * total:.1f}" for total in totals) + " |")


if __name__ == "__main__":
    main()
