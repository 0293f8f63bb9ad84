"""How fast pictures become tokens and tokens pictures, beside the plain nets on the same pictures, in turn.

    python -m bench.tokenizing [MODEL] [--pictures 40] [--side 256] [--large 3000x2000]

Prints Markdown. "plain" is the net's own `encode` or `decode` on the whole picture at once, and Pillow's
usual PNG. The nets are the reference for what comes out: where tokens or pixels differ, that is said and
the exit code is 1. Times are processor time, all threads together, so that other work on the machine
disturbs them little; each pair is measured REPEATS times in turn and the least is taken. Peaks of memory
are of a process that does only that.
"""

import argparse
import io
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from janus_cli import zoo
from janus_cli.media.pictures import image_bytes, read_image
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.pixels import to_float, to_uint8
from janus_cli.pipeline import load

REPEATS = 3
MEASURE = """
import sys
from janus_cli.app import main
code = main(sys.argv[1:])
# not ru_maxrss, which begins with what the process had that started this one
peak = next(int(line.split()[1]) >> 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak, file=sys.stderr)
sys.exit(code)
"""


def make_photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Make a picture with structure of several sizes, and grain."""
    rng, picture = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for cell, share in ((width // 8, 0.6), (40, 0.25), (6, 0.15)):
        small = rng.integers(0, 256, (height // cell + 1, width // cell + 1, 3), np.uint8)
        picture += share * np.asarray(
            Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        )
    return (picture + rng.normal(0, 3, picture.shape)).clip(0, 255).astype(np.uint8)


def make_drawing(height: int, width: int) -> np.ndarray:
    """Make a disc on paper: most patches are equal."""
    y, x = np.ogrid[:height, :width]
    inside = (y - height / 2) ** 2 + (x - width / 2) ** 2 < (min(height, width) / 4) ** 2
    return np.where(inside[..., None], np.uint8([200, 30, 40]), np.uint8(255)).astype(np.uint8)


def measure(*actions: Callable[[], object]) -> list[float]:
    """Measure the least processor seconds of each action, of REPEATS in turn, after one round unmeasured."""
    rounds = []
    for _ in range(REPEATS + 1):
        seconds = []
        for action in actions:
            before = resource.getrusage(resource.RUSAGE_SELF)
            action()
            after = resource.getrusage(resource.RUSAGE_SELF)
            seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        rounds.append(seconds)
    return [min(column) for column in zip(*rounds[1:], strict=True)]


def measure_peak(*args: str) -> int:
    """Measure the peak memory of a `janus` process in MB, on Linux."""
    command = [sys.executable, "-c", MEASURE, *args]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stderr.split()[-1])


@torch.inference_mode()
def compare_net(dvae: DVAE, name: str, picture: np.ndarray) -> tuple[list[str], bool]:
    """Compare encoding and decoding a picture with the plain net: rows of the table; whether all is equal."""
    codes = torch.from_numpy(dvae.encode_picture(picture))[None]

    def encode() -> np.ndarray:
        return dvae.encode(to_float(picture)[None])[0].numpy()

    def decode() -> np.ndarray:
        return to_uint8(dvae.decode(codes)[0])

    same = np.array_equal(codes[0].numpy(), encode()) and np.array_equal(dvae.decode_picture(codes), decode())
    rows = []
    for what, ours, plain in (
        ("tokens", lambda: dvae.encode_picture(picture), encode),
        ("pixels", lambda: dvae.decode_picture(codes), decode),
    ):
        mine, theirs = measure(ours, plain)
        rows.append(f"| {name} to {what} | {1 / mine:.2f} | {1 / theirs:.2f} | {theirs / mine:.2f} |")
    return rows, same


def compare_png(name: str, picture: np.ndarray) -> str:
    """Compare writing a PNG with Pillow's level 6: a row of the table, with the share of the size."""

    def plain() -> bytes:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "png", compress_level=6)
        return file.getvalue()

    share = len(image_bytes(picture, "png")) / len(plain())
    mine, theirs = measure(lambda: image_bytes(picture, "png"), plain)
    row = f"| {name} to PNG, {share:.3f} of the size | {1 / mine:.2f} | {1 / theirs:.2f} |"
    return f"{row} {theirs / mine:.2f} |"


def run_commands(model: str, folder: Path, count: int, side: int, large: np.ndarray) -> None:
    """Run the commands on files, each in a process of its own, and print what they need."""
    many, one, tokens = folder / "many", folder / "large.jpg", str(folder / "large.safetensors")
    many.mkdir()
    for i in range(count):
        (many / f"{i:04}.jpg").write_bytes(image_bytes(make_photograph(side, side, i), "jpeg"))
    one.write_bytes(image_bytes(large, "jpeg"))
    size = f"{large.shape[1]} x {large.shape[0]}"
    print(f"\n| process | peak MB |\n|---|---|\n| nothing but the model | {measure_peak('info', model)} |")
    for name, *args in (
        (
            f"tokenize {count} of {side} px",
            "tokenize",
            "image",
            str(many),
            "-o",
            str(folder / "many.safetensors"),
        ),
        (f"tokenize {size}", "tokenize", "image", str(one), "-o", tokens),
        (f"decode {size}", "decode", tokens, "-o", str(folder / "large.png")),
    ):
        print(f"| {name} | {measure_peak(*args, '--model', model)} |")


def main() -> None:
    """Measure and print; exit code 1 where anything differs from the plain nets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default=zoo.DEFAULT)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--large", default="3000x2000")
    given = parser.parse_args()
    width, height = map(int, given.large.split("x"))
    pictures = load(given.model).pictures
    dvae = pictures.dvae
    if not isinstance(dvae, DVAE):
        parser.error(f"model {given.model} has no dVAE of ours")
    photograph, large = make_photograph(given.side, given.side), make_photograph(height, width)
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads, model {given.model}; least of {REPEATS}")
    print("\n| work | a processor second | plain | ratio |\n|---|---|---|---|")
    same = True
    for name, picture in (
        (f"photograph of {given.side} px", photograph),
        (f"drawing of {given.side} px", make_drawing(given.side, given.side)),
        (f"photograph of {width} x {height}", large),
    ):
        whole = picture[: picture.shape[0] // 8 * 8, : picture.shape[1] // 8 * 8]
        rows, equal = compare_net(dvae, name, whole)
        print("\n".join([*rows, compare_png(name, whole)]))
        same &= equal
    data = image_bytes(photograph, "jpeg")

    def tokenize() -> object:
        return pictures.encode(read_image(io.BytesIO(data), "a.jpg"))

    print(f"| JPEG of {given.side} px to a record | {1 / measure(tokenize)[0]:.2f} | | |")
    with tempfile.TemporaryDirectory() as folder:
        run_commands(given.model, Path(folder), given.pictures, given.side, large)
    print(f"\ntokens and pixels {'are those' if same else 'DIFFER from those'} of the plain nets")
    sys.exit(not same)


if __name__ == "__main__":
    main()
