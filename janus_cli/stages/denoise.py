"""Blurred to sharp: refine the dVAE's reconstruction patch by patch, in raster order.

Each patch has its own time t from 0 (the reconstruction) to 1 (done). A wavefront
runs over the token index, never over wall-clock time, so the picture does not depend on when tokens
arrive. Knows a dVAE, a refiner and options.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from janus_cli.errors import ModelError, RecordError, UsageError
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.pixels import cut, to_uint8
from janus_cli.nets.refiner import Refiner, pixel_map
from janus_cli.records import Record, Segment, check_ids

MAX_STEPS = 64
ABOVE, BELOW = 2, 1  # rows of tokens the net sees around those it works on


@dataclass(frozen=True)
class DenoiseOptions:
    """How to denoise; with 0 steps the result is the dVAE's reconstruction.

    noise: share of the training's noise to start from. What the net can't turn into detail stays as grain,
    so 0 is the default, and then there is no chance in it; the seed matters only above 0.
    """

    steps: int = 3
    noise: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= MAX_STEPS:
            raise UsageError(f"--steps {self.steps}: give a number from 0 to {MAX_STEPS}")
        if not 0 <= self.noise <= 1:
            raise UsageError(f"--noise {self.noise:g}: give a share from 0 to 1")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: give a number from 0 up")


@dataclass(frozen=True, eq=False)
class Front:
    """One evaluation of the net: patches in rows [top, bottom) go from time `now` to time `then`."""

    now: np.ndarray  # float32 [rows, cols] in [0, 1]
    then: np.ndarray
    top: int
    bottom: int


def wavefront(rows: int, cols: int, steps: int, stride: int | None = None) -> Iterator[Front]:
    """The schedule of a grid: the front moves `stride` tokens (default: a row) per evaluation.

    t_p = clip((front - p) / (steps * stride), 0, 1) for raster index p (Rolling Diffusion 2402.09470, cut
    into patches). A front at m needs tokens below m + stride, and BELOW rows more where the grid has them.
    """
    stride = stride or cols
    index = np.arange(rows * cols).reshape(rows, cols)
    window = steps * stride
    for front in range(0, rows * cols + window, stride) if steps else ():
        now, then = (((m - index) / window).clip(0, 1).astype(np.float32) for m in (front, front + stride))
        active = np.flatnonzero((then > now).any(1))
        if active.size:
            yield Front(now, then, int(active[0]), int(active[-1]) + 1)


def patch_noise(rows: int, cols: int, size: int, seed: int, index: int) -> np.ndarray:
    """Standard normal noise [3, rows * size, cols * size] of one stream per (seed, item index).

    Drawn patch after patch in raster order: a patch's noise is known as soon as the patch is due.
    """
    rng = np.random.Generator(np.random.PCG64([seed, index]))
    noise = rng.standard_normal((rows, cols, 3, size, size), dtype=np.float32)
    return noise.transpose(2, 0, 3, 1, 4).reshape(3, rows * size, cols * size)


def denoise(
    records: Iterable[Record], dvae: DVAE, refiner: Refiner, options: DenoiseOptions
) -> Iterator[Record]:
    """Each record with a `pixels` segment [rows, cols, patch, patch, 3] behind its image tokens.

    Pixels that the record already had are replaced. Raises ModelError when the two nets do not belong
    together, RecordError for a record without image tokens or with ids beyond the codebook.
    """
    check_pair(dvae, refiner)
    for record in records:
        segment = record.find("image")
        if segment is None:
            raise RecordError(f"record {record.id!r}: no image tokens (`janus generate` makes them)")
        check_ids(segment, dvae.cfg.codebook_size)
        sharp = refine(segment.data, dvae, refiner, options, item_index(record))
        pixels = cut(to_uint8(sharp), dvae.cfg.patch)
        info = {"patch": dvae.cfg.patch} | {k: segment.info[k] for k in ("size",) if k in segment.info}
        kept = [s for s in record.segments if s.modality != "pixels"]
        done = (*kept, Segment("pixels", pixels, info))
        drawn = {"noise": options.noise, "seed": options.seed} if options.noise else {}
        yield record.with_step("denoise", done, steps=options.steps, **drawn)


@torch.inference_mode()
def refine(data: np.ndarray, dvae: DVAE, refiner: Refiner, options: DenoiseOptions, index: int = 0) -> Tensor:
    """Codes [rows, cols] -> the sharp picture [1, 3, rows * patch, cols * patch] in [-1, 1].

    Euler steps of v = (x_hat - x_t) / (1 - t) along the bridge x_t = (1 - t) y + t x, from
    the reconstruction y; each evaluation sees a band of rows around the patches under way.
    """
    device = next(dvae.parameters()).device
    codes = torch.from_numpy(data.astype(np.int64))[None].to(device)
    y = dvae.decode(codes).clamp(-1, 1)
    if not options.steps:
        return y
    rows, cols = data.shape
    size = dvae.cfg.patch
    x = y.clone()
    if options.noise:
        noise = torch.from_numpy(patch_noise(rows, cols, size, options.seed, index)).to(device)
        x += options.noise * refiner.cfg.noise * noise[None]
    for front in wavefront(rows, cols, options.steps):
        top, bottom = max(0, front.top - ABOVE), min(rows, front.bottom + BELOW)
        band = slice(top * size, bottom * size)
        now, then = (
            pixel_map(torch.from_numpy(t[None, top:bottom]).to(device), size) for t in (front.now, front.then)
        )
        guess = refiner.denoise(x[:, :, band], y[:, :, band], now, codes[:, top:bottom])
        share = (then - now) / (1 - now).clamp_min(1e-6)  # 0 where nothing moves, 1 on the last step
        x[:, :, band] = torch.lerp(x[:, :, band], guess, share)
    return x.clamp(-1, 1)


def item_index(record: Record) -> int:
    """Which of a prompt's pictures this is: `generate` says so; 0 for any other record."""
    steps = [step for step in record.made_by if step.get("stage") == "generate"]
    index = steps[-1].get("index", 0) if steps else 0
    return index if type(index) is int and index >= 0 else 0


def check_pair(dvae: DVAE, refiner: Refiner) -> None:
    """Raise ModelError unless the refiner was made for a codebook and patch like the dVAE's."""
    theirs, ours = dvae.cfg, refiner.cfg
    if (theirs.codebook_size, theirs.patch) != (ours.codebook_size, ours.patch):
        raise ModelError(
            f"the refiner is for {ours.codebook_size} codes of {ours.patch} px, the dVAE has "
            f"{theirs.codebook_size} codes of {theirs.patch} px: they are of different models"
        )
