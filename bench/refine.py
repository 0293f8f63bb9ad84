"""How much sharper the refiner makes held-out drawings, and what it costs, beside plainer means.

    python -m bench.refine [MODEL] [--data .data] [--regressor FOLDER] [--limit N] [--sheet FILE.png]

Prints Markdown. The pictures are drawings that no training saw, from their true tokens (64 px), compared
with the drawing itself at 64, 128 and 256 px. SSIMULACRA2 (higher is better, 100 is the same) and FLIP
(lower is better) are perceptual measures that nothing here was trained on; both look at 256 px, smaller
pictures with their pixels repeated. The sheet shows crops at their true size.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import flip_evaluator
import numpy as np
import torch
from PIL import Image, ImageFilter
from ssimulacra2 import compute_ssimulacra2
from torch.nn import functional as F

from janus_cli import zoo
from janus_cli.dataset import heldout
from janus_cli.dataset.pack import read_pack
from janus_cli.dataset.pictures import Sprites, index
from janus_cli.evaluation.fidelity import paint, psnr, ssim
from janus_cli.evaluation.judge import Artist, from_tensor
from janus_cli.media.pictures import pixels_to_image
from janus_cli.nets.pixels import to_tensor
from janus_cli.nets.refiner import Refiner
from janus_cli.pipeline import load
from janus_cli.records import Record, Segment, to_ids
from janus_cli.stages.denoise import DenoiseOptions, denoise
from janus_cli.stages.upsample import UpsampleOptions, upsample

STEPS = (1, 2, 3, 4, 8)
SCALES = (1, 2, 4)
LARGE = 256  # pixels per side that the perceptual measures look at
WAY = Callable[[np.ndarray], np.ndarray]  # codes [rows, cols] -> uint8 [H, W, 3]


def held_out(data: Path, limit: int | None) -> tuple[Sprites, list[int]]:
    """All sprites, and the numbers of the held-out drawings (`limit` of them, spread over the list)."""
    concepts = read_pack(data / "pack.json.xz")
    sprites = Sprites(np.load(data / "sprites.npy", mmap_mode="r"))
    held = heldout.pairs(concepts)
    numbers = [i for i, (c, style) in enumerate(index(concepts)) if (concepts[c].name, style) in held]
    return sprites, numbers[:: max(1, len(numbers) // limit)][:limit] if limit else numbers


def perceptual(output: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """Means of SSIMULACRA2 and of FLIP over pictures uint8 [N, S, S, 3]."""
    times = LARGE // output.shape[1]
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
    """Every way from codes to a picture, for one enlargement."""

    def __init__(self, artist: Artist, refiner: Refiner, rival: Refiner | None):
        self.artist, self.refiner, self.rival = artist, refiner, rival

    def of(self, scale: int) -> Iterator[tuple[str, WAY]]:
        """Names and functions, the plain ones first."""
        yield ("as decoded" if scale == 1 else "bicubic"), lambda codes: self._plain(codes, scale)
        yield "unsharp mask", lambda codes: self._unsharp(codes, scale)
        if self.rival:
            yield "regressor, same size", lambda codes: self._regressed(codes, scale)
        if scale > 1:
            yield "0 steps, enlarged", lambda codes: self._refined(codes, 0, scale)
        then = ", enlarged" if scale > 1 else ""
        for steps in STEPS:
            yield f"{_steps(steps)}{then}", lambda codes, n=steps: self._refined(codes, n, scale)
        if scale > 2:
            yield "2 steps, only enlarged", lambda codes: self._refined(codes, 2, scale, up_steps=0)
        if scale > 1:
            for steps in STEPS[:2]:
                yield f"enlarged, {_steps(steps)}", lambda codes, n=steps: self._at_size(codes, n, scale)
            for steps in STEPS[:2]:
                yield f"{_steps(steps)} in each pass", lambda codes, n=steps: self._in_passes(codes, n, scale)
        yield f"2 steps{then}, noise of training", lambda codes: self._refined(codes, 2, scale, noise=1.0)

    def _plain(self, codes: np.ndarray, scale: int) -> np.ndarray:
        decoded = to_tensor(self.artist.decode(codes[None]))
        if scale > 1:
            decoded = F.interpolate(decoded, scale_factor=scale, mode="bicubic")
        return from_tensor(decoded)[0]

    def _unsharp(self, codes: np.ndarray, scale: int) -> np.ndarray:
        mask = ImageFilter.UnsharpMask(radius=scale, percent=50, threshold=0)
        return np.asarray(Image.fromarray(self._plain(codes, scale)).filter(mask))

    @torch.inference_mode()
    def _regressed(self, codes: np.ndarray, scale: int) -> np.ndarray:
        assert self.rival is not None
        x, grid = to_tensor(self.artist.decode(codes[None])), torch.from_numpy(codes.astype(np.int64))[None]
        zero = torch.zeros_like(x[:, :1])
        if scale == 1:
            return from_tensor(self.rival.denoise(x, x, zero, grid).clamp(-1, 1))[0]
        for _ in range(scale.bit_length() - 1):
            x = self.rival.denoise_up(x, x, torch.zeros_like(x[:, :1]), grid)[1].clamp(-1, 1)
        return from_tensor(x)[0]

    def _record(self, codes: np.ndarray) -> Record:
        return Record((Segment("image", to_ids(codes, self.artist.dvae.cfg.codebook_size)),))

    def _refined(
        self, codes: np.ndarray, steps: int, scale: int, noise: float = 0.0, up_steps: int | None = None
    ) -> np.ndarray:
        options = DenoiseOptions(steps=steps, noise=noise)
        done = denoise([self._record(codes)], self.artist.dvae, self.refiner, options)
        if scale > 1:
            larger = UpsampleOptions(scale, steps=self.refiner.cfg.up_steps if up_steps is None else up_steps)
            done = upsample(done, self.artist.dvae, self.refiner, larger)
        return pixels_to_image(next(iter(done)).segments[-1].data)

    def _at_size(self, codes: np.ndarray, steps: int, scale: int) -> np.ndarray:
        """Case 1: enlarged first, then denoised straight at the final size."""
        options = DenoiseOptions(steps, scale=scale)
        done = denoise([self._record(codes)], self.artist.dvae, self.refiner, options)
        return pixels_to_image(next(done).segments[-1].data)

    def _in_passes(self, codes: np.ndarray, steps: int, scale: int) -> np.ndarray:
        """Case 2: each pass denoises and enlarges."""
        options = UpsampleOptions(scale, steps=steps)
        done = upsample([self._record(codes)], self.artist.dvae, self.refiner, options)
        return pixels_to_image(next(done).segments[-1].data)


def _steps(count: int) -> str:
    return f"{count} step{'s' * (count > 1)}"


def rows(ways: Ways, codes: np.ndarray, target: np.ndarray, scale: int) -> Iterator[tuple[str, np.ndarray]]:
    """One line of the table and the pictures for each way; codes [N, rows, cols], target [N, S, S, 3]."""
    for name, way in ways.of(scale):
        way(codes[0])
        start = time.perf_counter()
        output = np.stack([way(grid) for grid in codes])
        each = 1000 * (time.perf_counter() - start) / len(codes)
        ssimulacra, flip = perceptual(output, target)
        cells = f"x{scale} | {name} | {psnr(output, target):.2f} | {ssim(output, target):.4f} | "
        cells += f"{ssimulacra:.2f} | {flip:.4f} | {each / codes[0].size:.2f} | {each:.1f}"
        yield f"| {cells} |", output


def sheet(columns: list[tuple[str, np.ndarray]], path: Path, count: int = 6) -> None:
    """Pictures uint8 [N, 256, 256, 3] side by side, one column per way: crops of 160 px at 100 %."""
    low, side = 48, 160
    grid = [np.hstack([p[i, low : low + side, low : low + side] for _, p in columns]) for i in range(count)]
    Image.fromarray(np.vstack(grid)).save(path)
    print("\ncolumns of the sheet:", ", ".join(name for name, _ in columns))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default=zoo.DEFAULT)
    parser.add_argument("--data", type=Path, default=Path(".data"))
    parser.add_argument("--regressor", type=Path, help="folder that bench.regressor wrote")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    artist = Artist.load(zoo.find(options.model), "cpu")
    rival = load(str(options.regressor)).refiner if options.regressor else None
    assert artist.refiner is not None, "only asked of a model that has a refiner"
    sprites, numbers = held_out(options.data, options.limit)
    codes = artist.encode(paint(numbers, sprites, 64))
    print(f"{len(numbers)} held-out drawings, {torch.get_num_threads()} threads\n")
    print("| enlarged | how | PSNR | SSIM | SSIMULACRA2 | FLIP | ms a patch | ms a picture |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for scale in SCALES:
        target = paint(numbers, sprites, 64 * scale)
        shown = [("true", target)]
        for line, output in rows(Ways(artist, artist.refiner, rival), codes, target, scale):
            print(line, flush=True)
            shown.append((line.split("|")[2].strip(), output))
    if options.sheet:
        sheet(shown, options.sheet)


if __name__ == "__main__":
    main()
