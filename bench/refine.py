"""How much sharper the refiner makes held-out drawings, and what it costs, beside plainer means.

    python -m bench.refine [MODEL] [--size 64|128] [--scale N] [--data .data] [--regressor FOLDER]
                           [--limit N] [--sheet FILE.png]

Prints Markdown. The pictures are drawings that no training saw, from their true tokens (of `--size` pixels),
compared with the drawing itself at once, twice and four times that size (or `--scale` times alone).
SSIMULACRA2 (higher is better, 100 is the same) and FLIP (lower is better) are perceptual measures that
nothing here was trained on; both look at the largest size, smaller pictures with their pixels repeated. The
sheet shows crops at their true size.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

import flip_evaluator
import numpy as np
import torch
from PIL import Image, ImageFilter
from ssimulacra2 import compute_ssimulacra2
from torch.nn import functional as F

from janus_cli import zoo
from janus_cli.dataset import heldout
from janus_cli.dataset.pack import PACK, find_data_folder, read_pack
from janus_cli.dataset.pictures import Renderings, Sprites, list_drawings, list_svgs
from janus_cli.evaluation.fidelity import paint_drawings
from janus_cli.evaluation.measures import measure_psnr, measure_ssim
from janus_cli.nets.pixels import to_float, to_uint8
from janus_cli.nets.refiner import Refiner
from janus_cli.pipeline import Pipeline, load
from janus_cli.records import Record

STEPS = (1, 2, 3, 4, 8)
SCALES = (1, 2, 4)
WAY = Callable[[Record], np.ndarray]  # image tokens -> uint8 [H, W, 3]


def held_out(data: Path, limit: int | None) -> tuple[Sprites, list[int]]:
    """All sprites, and the numbers of the held-out drawings (`limit` of them, spread over the list)."""
    concepts = read_pack(data / PACK)
    sprites = Sprites(Renderings(list_svgs(concepts), data))
    held = heldout.find_pairs(concepts)
    numbers = [i for i, (c, style) in enumerate(list_drawings(concepts)) if (concepts[c].name, style) in held]
    return sprites, numbers[:: max(1, len(numbers) // limit)][:limit] if limit else numbers


def perceptual(output: np.ndarray, target: np.ndarray, side: int) -> tuple[float, float]:
    """Means of SSIMULACRA2 and of FLIP over pictures uint8 [N, S, S, 3], looked at with `side` pixels."""
    times = side // output.shape[1]
    ssimulacra, flip = [], []
    with tempfile.TemporaryDirectory() as folder:
        names = [str(Path(folder) / name) for name in ("target.png", "output.png")]
        for pair in zip(target, output, strict=True):
            pair = [picture.repeat(times, 0).repeat(times, 1) for picture in pair]
            for picture, name in zip(pair, names, strict=True):
                Image.fromarray(picture).save(name)
            ssimulacra.append(compute_ssimulacra2(*names))
            flip.append(flip_evaluator.evaluate(*(p.astype(np.float32) / 255 for p in pair), "LDR")[1])
    return float(np.mean(ssimulacra)), float(np.mean(flip))


class Ways:
    """Every way from image tokens to a picture, for one enlargement."""

    def __init__(self, pipeline: Pipeline, rival: Refiner | None):
        self.pipeline, self.rival = pipeline, rival

    def of(self, scale: int) -> Iterator[tuple[str, WAY]]:
        """Names and functions, the plain ones first."""
        yield ("as decoded" if scale == 1 else "bicubic"), lambda tokens: self._plain(tokens, scale)
        yield "unsharp mask", lambda tokens: self._unsharp(tokens, scale)
        if self.rival:
            yield "regressor, same size", lambda tokens: self._regressed(tokens, scale)
        if scale > 1:
            yield "0 steps, enlarged", lambda tokens: self._refined(tokens, 0, scale)
        then = ", enlarged" if scale > 1 else ""
        for steps in STEPS:
            yield f"{_steps(steps)}{then}", lambda tokens, n=steps: self._refined(tokens, n, scale)
        if scale > 2:
            yield "2 steps, only enlarged", lambda tokens: self._refined(tokens, 2, scale, up_steps=0)
        if scale > 1:
            for steps in STEPS[:2]:
                yield f"enlarged, {_steps(steps)}", lambda tokens, n=steps: self._at_size(tokens, n, scale)
            for steps in STEPS[:2]:
                way = partial(self._in_passes, steps=steps, scale=scale)
                yield f"{_steps(steps)} in each pass", way
        yield f"2 steps{then}, noise of training", lambda tokens: self._refined(tokens, 2, scale, noise=1.0)

    def _decode(self, record: Record) -> np.ndarray:
        return cast(np.ndarray, self.pipeline.decode(record))

    def _plain(self, tokens: Record, scale: int) -> np.ndarray:
        decoded = to_float(self._decode(tokens)[None])
        if scale > 1:
            decoded = F.interpolate(decoded, scale_factor=scale, mode="bicubic")
        return to_uint8(decoded)[0]

    def _unsharp(self, tokens: Record, scale: int) -> np.ndarray:
        mask = ImageFilter.UnsharpMask(radius=scale, percent=50, threshold=0)
        return np.asarray(Image.fromarray(self._plain(tokens, scale)).filter(mask))

    @torch.inference_mode()
    def _regressed(self, tokens: Record, scale: int) -> np.ndarray:
        assert self.rival is not None
        x = to_float(self._decode(tokens)[None])
        grid = torch.from_numpy(tokens.segments[-1].data.astype(np.int64))[None]
        zero = torch.zeros_like(x[:, :1])
        if scale == 1:
            return to_uint8(self.rival.denoise(x, x, zero, grid).clamp(-1, 1))[0]
        for _ in range(scale.bit_length() - 1):
            x = self.rival.denoise_up(x, x, torch.zeros_like(x[:, :1]), grid)[1].clamp(-1, 1)
        return to_uint8(x)[0]

    def _refined(
        self, tokens: Record, steps: int, scale: int, noise: float = 0.0, up_steps: int | None = None
    ) -> np.ndarray:
        done = self.pipeline.denoise([tokens], steps, noise)
        return self._decode(next(self.pipeline.upsample(done, scale, steps=up_steps)))

    def _at_size(self, tokens: Record, steps: int, scale: int) -> np.ndarray:
        """Case 1: enlarged first, then denoised straight at the final size."""
        return self._decode(next(self.pipeline.denoise([tokens], steps, scale=scale)))

    def _in_passes(self, tokens: Record, steps: int, scale: int) -> np.ndarray:
        """Case 2: each pass denoises and enlarges."""
        return self._decode(next(self.pipeline.upsample([tokens], scale, steps=steps)))


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count > 1)}"


def rows(
    ways: Ways, tokens: list[Record], target: np.ndarray, scale: int, side: int
) -> Iterator[tuple[str, np.ndarray]]:
    """One line of the table and the pictures for each way; N records of tokens, target [N, S, S, 3]."""
    for name, way in ways.of(scale):
        way(tokens[0])
        start = time.perf_counter()
        output = np.stack([way(record) for record in tokens])
        each = 1000 * (time.perf_counter() - start) / len(tokens)
        ssimulacra, flip = perceptual(output, target, side)
        psnr, ssim = measure_psnr(output, target), measure_ssim(output, target)
        cells = f"x{scale} | {name} | {psnr:.2f} | {ssim:.4f} | "
        cells += f"{ssimulacra:.2f} | {flip:.4f} | {each / tokens[0].segments[-1].data.size:.2f} | {each:.1f}"
        yield f"| {cells} |", output


def sheet(columns: list[tuple[str, np.ndarray]], path: Path, count: int = 6) -> None:
    """Pictures uint8 [N, S, S, 3] side by side, one column per way: crops of 160 px at 100 %."""
    side = 160
    low = (columns[0][1].shape[1] - side) // 2
    grid = [np.hstack([p[i, low : low + side, low : low + side] for _, p in columns]) for i in range(count)]
    Image.fromarray(np.vstack(grid)).save(path)
    print("\ncolumns of the sheet:", ", ".join(name for name, _ in columns))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default=zoo.DEFAULT)
    parser.add_argument("--data", type=Path, default=find_data_folder())
    parser.add_argument("--regressor", type=Path, help="folder that bench.regressor wrote")
    parser.add_argument("--size", type=int, choices=(64, 128), default=128, help="pixels per side")
    parser.add_argument("--scale", type=int, choices=SCALES, help="this enlargement alone")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    pipeline = load(options.model)
    rival = load(str(options.regressor)).refiner if options.regressor else None
    sprites, numbers = held_out(options.data, options.limit)
    tokens = [pipeline.encode(picture) for picture in paint_drawings(numbers, sprites, options.size)]
    print(f"{len(numbers)} held-out drawings, {torch.get_num_threads()} threads\n")
    print("| enlarged | how | PSNR | SSIM | SSIMULACRA2 | FLIP | ms a patch | ms a picture |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for scale in (options.scale,) if options.scale else SCALES:
        target = paint_drawings(numbers, sprites, options.size * scale)
        shown = [("true", target)]
        for line, output in rows(Ways(pipeline, rival), tokens, target, scale, SCALES[-1] * options.size):
            print(line, flush=True)
            shown.append((line.split("|")[2].strip(), output))
    if options.sheet:
        sheet(shown, options.sheet)


if __name__ == "__main__":
    main()
