"""The denoiser's schedule and its run: every patch at its own time, in raster order.

A wavefront runs over the token index, never over wall-clock time, so the picture does not depend on when
tokens arrive. Knows the refiner and rows; no records.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from janus_cli.nets.refiner import Refiner, spread_over_pixels
from janus_cli.stages.rows.bands import Row, stack_rows

MAX_STEPS = 64  # evaluations of a patch
ABOVE, BELOW = 1, 0  # rows of tokens the net sees around those it works on


@dataclass(frozen=True)
class Wave:
    """The schedule of a grid of `cols` columns: the front moves `stride` tokens per evaluation.

    t_p = clip((front - p) / window, 0, 1) for raster index p (Rolling Diffusion 2402.09470, cut into
    patches), p counted in strides: patches that the front passes at once share their time. How many rows
    there are does not matter: a picture that is still coming has no last one.
    """

    cols: int
    stride: int
    window: int  # tokens under way at a time

    @classmethod
    def from_steps(cls, cols: int, steps: int) -> "Wave":
        """Make the schedule of `steps` evaluations of each patch, one for each row that comes."""
        return cls(cols, cols, steps * cols)

    def find_times(self, front: int, top: int, bottom: int) -> np.ndarray:
        """Find each patch's time in rows [top, bottom), float32 [rows, cols]."""
        index = np.arange(top * self.cols, bottom * self.cols).reshape(-1, self.cols)
        passed = index // self.stride * self.stride
        return ((front - passed) / self.window).clip(0, 1).astype(np.float32)

    def find_active_rows(self, front: int) -> tuple[int, int]:
        """Find the rows [top, bottom) whose patches move while the front goes from `front` by a stride."""
        first = -(-max(0, front - self.window + 1) // self.stride) * self.stride
        return first // self.cols, (front + self.stride - 1) // self.cols + 1


class Denoiser:
    """A step of `bands` that makes rows of the dVAE's reconstruction sharp.

    Euler steps of v = (x_hat - x_t) / (1 - t) along the bridge x_t = (1 - t) y + t x, from the
    reconstruction y; each evaluation sees a band of rows around the patches under way. `twice`: what is
    given is twice as large, from the pass of the net that is a patch's last.
    """

    def __init__(
        self, refiner: Refiner, wave: Wave, noise: Iterator[np.ndarray] | None = None, twice: bool = False
    ) -> None:
        """Start without rows. `noise`: float32 [3, P, W * P] for each row, added to the reconstruction."""
        self._refiner, self._wave, self._noise, self._twice = refiner, wave, noise, twice
        self._rows: list[Row] = []  # the reconstruction
        self._x: list[Tensor] = []  # the rows on their way, pixels [1, 3, P, W * P]
        self._large: list[Tensor] = []  # those enlarged, [1, 3, 2 P, 2 W * P]
        self._front = self._done = 0

    def push(self, rows: Sequence[Row]) -> list[Row]:
        """Take the next rows of the reconstruction; give those that are sharp now."""
        for row in rows:
            self._rows.append(row)
            self._x.append(row.pixels)
            if self._noise is not None:
                self._x[-1] = row.pixels + torch.from_numpy(next(self._noise))[None].to(row.pixels.device)
            if self._twice:
                size, width = row.pixels.shape[2:]
                self._large.append(row.pixels.new_zeros(1, 3, 2 * size, 2 * width))
        return self._advance(len(self._rows) - BELOW)

    def end(self) -> list[Row]:
        """Give the other rows: the front runs out of the picture."""
        return self._advance(None)

    def _advance(self, known: int | None) -> list[Row]:
        """Move the front as far as rows < `known` allow, or to the end; give the rows that are done now."""
        count = len(self._rows)
        top, bottom = self._wave.find_active_rows(self._front)
        while top < count and (known is None or bottom <= known):
            self._evaluate(top, min(bottom, count))
            self._front += self._wave.stride
            top, bottom = self._wave.find_active_rows(self._front)
        first, self._done = self._done, min(top, count)
        made = self._large if self._twice else self._x
        return [Row(self._rows[i].codes, made[i].clamp(-1, 1)) for i in range(first, self._done)]

    def _evaluate(self, top: int, bottom: int) -> None:
        """Take the patches in rows [top, bottom) from the front to the next one."""
        band = slice(max(0, top - ABOVE), min(len(self._rows), bottom + BELOW))
        codes, y = stack_rows(self._rows[band])
        x, size = torch.cat(self._x[band], 2), self._rows[0].pixels.shape[2]
        fronts = self._front, self._front + self._wave.stride
        times = torch.from_numpy(np.stack([self._wave.find_times(m, band.start, band.stop) for m in fronts]))
        now, then = spread_over_pixels(times.to(y.device), size).split(1)
        if self._twice:
            guess, large = self._refiner.denoise_up(x, y, now, codes)
            last = ((then >= 1) & (now < 1)).repeat_interleave(2, 2).repeat_interleave(2, 3)
            self._large[band] = torch.where(last, large, torch.cat(self._large[band], 2)).split(2 * size, 2)
        else:
            guess = self._refiner.denoise(x, y, now, codes)
        share = (then - now) / (1 - now).clamp_min(1e-6)  # 0 where nothing moves, 1 on the last step
        self._x[band] = torch.lerp(x, guess, share).split(size, 2)


def draw_noise_rows(cols: int, size: int, seed: int) -> Iterator[np.ndarray]:
    """Draw standard normal noise [3, size, cols * size] for each row, one stream per seed.

    Drawn patch after patch in raster order: a row's noise is known as soon as the row is due.
    """
    rng = np.random.Generator(np.random.PCG64([seed]))
    while True:
        noise = rng.standard_normal((cols, 3, size, size), dtype=np.float32)
        yield noise.transpose(1, 2, 0, 3).reshape(3, size, cols * size)
