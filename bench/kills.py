"""What is left when `janus` is killed at a random moment: `python -m bench.kills [COUNT] [--seed 0]`.

Each command runs once to its end, for its time and its outputs; then again and again, over old files that
`--force` replaces, until a random signal (TERM, HUP, INT, KILL) at a random moment of that time. Afterwards
every file under a final name must be the old one or the whole new one, and no temporary file may be there,
except after KILL, which leaves nobody to remove it. Prints Markdown; exit code 1 where anything was lost.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from bench.make_checkpoint import make

JANUS = f'"{sys.executable}" -m janus_cli'
COMMANDS = {
    "draw": "$J draw 'a red apple' -q -f -o out/a.png",
    "pipe": "$J tokenize text 'a red apple' 'a dog' | $J generate -q | $J decode -q -f -o 'out/{prompt}.png'",
    "shards": "seq 3000 | $J tokenize text --lines -f -o out/shard-%06d.tar",
    "records": "seq 3000 | $J tokenize text --lines -f -o out/a.safetensors",
    "upsample": "$J tokenize image in.png | $J upsample -q | $J decode -q -f -o out/large.png",
    "speech": "$J speak 'a red apple' -q -f -o out/a.flac",
    "import": "rm -rf out/new; $J models import in -q -o out/new",
}
SIGNALS = ("TERM", "HUP", "INT", "KILL")
OLD = b"old"


@dataclass
class Found:
    """What the kills of a command have left."""

    kills: Counter[str] = field(default_factory=Counter)  # by signal, of processes that had not ended
    whole: int = 0  # files under their final names with what the command writes
    old: int = 0  # with what was there before
    broken: list[str] = field(default_factory=list)  # with anything else, gone, or a traceback
    parts: list[str] = field(default_factory=list)  # temporary files after TERM, HUP or INT
    parts_of_killed: int = 0  # after KILL


def prepare(folder: Path) -> None:
    """Make what the commands read."""
    pixels = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "in.png")
    make(folder / "in", layout="transformers")


def begin(line: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a command line in a process group of its own, so that a signal reaches all of a pipe."""
    (folder / "out").mkdir(exist_ok=True)
    return subprocess.Popen(
        ["bash", "-c", f"set -o pipefail; {line.replace('$J', JANUS)}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def digest_all(folder: Path) -> dict[str, str]:
    """The digest of every file below `folder`, temporary ones apart."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".part" not in str(path.relative_to(folder))
    }


class Victim:
    """A command that ran once to its end, and is killed again and again."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.out, self.found = name, folder, folder / "out", Found()
        folder.mkdir()
        prepare(folder)
        start = time.perf_counter()
        process = begin(COMMANDS[name], folder)
        _, err = process.communicate(timeout=600)
        if process.returncode:
            raise RuntimeError(f"{name}: {err.decode()}")
        self.seconds = time.perf_counter() - start
        self.whole = digest_all(self.out)
        self.replaced = [] if name == "import" else list(self.whole)  # an import replaces nothing

    def kill(self, seconds: float, word: str) -> None:
        """Run over old files, send a signal after `seconds`, and look at what is left."""
        for path in self.replaced:
            (self.out / path).write_bytes(OLD)
        process = begin(COMMANDS[self.name], self.folder)
        time.sleep(seconds)
        if process.poll() is None:
            os.killpg(process.pid, getattr(signal, f"SIG{word}"))
            self.found.kills[word] += 1
        err = process.communicate(timeout=600)[1].decode()
        what = f"{self.name} {word} after {seconds:.2f} s: "
        if "Traceback" in err:
            self.found.broken.append(what + err)
        self._look(what, word)

    def _look(self, what: str, word: str) -> None:
        """Count what is there."""
        now, old = digest_all(self.out), hashlib.sha256(OLD).hexdigest()
        for path in {*self.replaced, *now}:
            state = now.get(path, "gone")
            if state == self.whole.get(path):
                self.found.whole += 1
            elif state == old:
                self.found.old += 1
            else:
                self.found.broken.append(f"{what}{path} is {state}")
        for part in self.out.glob(".*.part"):
            if word == "KILL":
                self.found.parts_of_killed += 1
                shutil.rmtree(part) if part.is_dir() else part.unlink()
            else:
                self.found.parts.append(f"{what}{part.name} is left")


def run_kills(names: Sequence[str], count: int, seed: int) -> dict[str, Found]:
    """Kill each of the commands in turn, `count` times in all."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        victims = [Victim(name, Path(folder) / name) for name in names]
        for i in range(count):
            victim = victims[i % len(victims)]
            victim.kill(rng.uniform(0, 1.05 * victim.seconds), rng.choice(SIGNALS))
            print(f"\r{i + 1} of {count}", end="", file=sys.stderr)
    return {victim.name: victim.found for victim in victims}


def main() -> int:
    """Kill, and print what was left."""
    parser = argparse.ArgumentParser(description="Kill commands at random moments.")
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=COMMANDS, default=list(COMMANDS))
    given = parser.parse_args()
    found = run_kills(given.only, given.count, given.seed)
    print("| command | kills | files whole | old files that stayed | broken or lost | left | left by KILL |")
    print("|---|---|---|---|---|---|---|")
    for name, left in found.items():
        kills = ", ".join(f"{n} {word}" for word, n in sorted(left.kills.items()))
        counts = (
            f"{left.whole} | {left.old} | {len(left.broken)} | {len(left.parts)} | {left.parts_of_killed}"
        )
        print(f"| {name} | {kills} | {counts} |")
    faults = [line for left in found.values() for line in (*left.broken, *left.parts)]
    print("\n".join(faults), file=sys.stderr)
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
