"""Whether two checkouts do the same: the README's commands in both, and all that comes of them compared.

    python -m bench.same ../before            # this checkout beside another one, with this one's interpreter

Standard output, what is said, exit codes and every file that is written must be the same; times and the paths
of the two are passed over. OGG files hold a number drawn anew for each stream, and are not compared. Commands
that ask the hub are left out.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent.parent
TIMES = re.compile(r"[\d.]+ s \(\d+ tokens/s\)|\"seconds\": [\d.]+")
NEEDS = re.compile(r"pull|4x\.|Janus-Pro|janus-pro|speech|talk\.mkv|encodec|--preview")  # what is not at hand
LONGEST = 900  # seconds of one command


@dataclass(frozen=True)
class Outcome:
    """What came of one command."""

    code: int
    out: str
    err: str
    files: dict[str, str]  # name -> sha256


def list_commands(page: Path) -> list[str]:
    """List the commands of a page, without their comments, that need nothing from elsewhere."""
    lines = [line.strip() for line in page.read_text("utf-8").splitlines() if line.startswith("    ")]
    found = [re.sub(r"\s{2,}#.*", "", line) for line in lines if re.match(r"janus |printf .*\| janus ", line)]
    return [line for line in found if not NEEDS.search(line)]


def make_inputs(folder: Path) -> None:
    """Write the picture that the commands ask for."""
    y, x = np.mgrid[0:90, 0:120]
    pixels = np.stack([x * 2, y * 2, x + y], -1).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "photo.jpg", quality=92)


def run(line: str, checkout: Path, folder: Path) -> Outcome:
    """Run one command of `checkout` in `folder`."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    env = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    janus = f'janus() {{ "{sys.executable}" -m janus_cli "$@"; }}; set -o pipefail; '
    done = subprocess.run(
        ["bash", "-c", janus + line], cwd=folder, env=env, capture_output=True, timeout=LONGEST, check=False
    )

    def plain(data: bytes) -> str:
        text = data.decode("utf-8", "backslashreplace").replace(str(checkout), "").replace(str(folder), "")
        return TIMES.sub("TIME", text)

    files = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".ogg" and before.get(path) != path.stat().st_mtime_ns
    }
    return Outcome(done.returncode, plain(done.stdout), plain(done.stderr), files)


def compare(lines: Sequence[str], ours: Path, theirs: Path) -> list[str]:
    """Run the lines one after another in both checkouts; say for each that differs in what."""
    differences = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        for folder in (one, two):
            make_inputs(Path(folder))
        for line in lines:
            mine, other = run(line, ours, Path(one)), run(line, theirs, Path(two))
            if differ := [word for word in vars(mine) if getattr(mine, word) != getattr(other, word)]:
                differences.append(f"{line}: {', '.join(differ)}")
    return differences


def main() -> None:
    """Compare and print; exit code 1 where anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", type=Path)
    other = parser.parse_args().other.resolve()
    lines = list_commands(HERE / "README.md")
    differences = compare(lines, HERE, other)
    print("\n".join([*differences, f"{len(lines) - len(differences)} of {len(lines)} commands do the same"]))
    sys.exit(bool(differences))


if __name__ == "__main__":
    main()
