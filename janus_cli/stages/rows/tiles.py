"""Large pictures through a net in bounded memory: overlapping tiles, faded into each other, a band at a time.

Pure geometry and sums; knows no net, only a function from a tile to its enlarged self.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from janus_cli.config import Progress
from janus_cli.nets.pixels import to_unit, unit_to_uint8

MARGIN = 16  # px beside a cut that a net sees and whose result is thrown away: it lacks what lies beyond
FADE = 16  # px over which one tile gives way to the next
OVERLAP = 2 * MARGIN + FADE


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in px of the small picture.

    The net sees [start, stop). Used is [rise[0], fall[1]): the weight goes from 0 to 1 over `rise`, and back
    over `fall`, both empty at the picture's own edges.
    """

    start: int
    stop: int
    rise: tuple[int, int]
    fall: tuple[int, int]

    def make_weights(self, scale: int) -> Tensor:
        """Make the weights [(fall[1] - rise[0]) * scale] of the used pixels; neighbours' add up to 1."""
        up, flat, down = (
            n * scale
            for n in (self.rise[1] - self.rise[0], self.fall[0] - self.rise[1], self.fall[1] - self.fall[0])
        )
        return torch.cat([_make_ramp(up), torch.ones(flat), 1 - _make_ramp(down)])

    def find_used(self, scale: int) -> slice:
        """Find the used pixels in the tile's own result."""
        return slice((self.rise[0] - self.start) * scale, (self.fall[1] - self.start) * scale)

    def find_place(self, scale: int) -> slice:
        """Find the place of the used pixels in the large picture."""
        return slice(self.rise[0] * scale, self.fall[1] * scale)


def _make_ramp(length: int) -> Tensor:
    return (torch.arange(length) + 0.5) / max(length, 1)


def fit_side(wanted: int, align: int) -> int:
    """Find the largest multiple of `align` up to `wanted` px, but at least room for two fades."""
    return max(wanted // align, -(-OVERLAP // align) - (-FADE // align)) * align


def cut_spans(length: int, tile: int, align: int) -> list[Span]:
    """Cut `length` px into tiles of at most `tile` px that start at multiples of `align`.

    `tile` is a side that `fit_side` gives, or 0 for one tile that is the whole.
    """
    if not tile or length <= tile:
        return [Span(0, length, (0, 0), (length, length))]
    stride = (tile - OVERLAP) // align * align
    starts = range(0, length - tile + stride, stride)
    stops = [min(start + tile, length) for start in starts]
    middles = [(after + stop - FADE) // 2 for after, stop in zip(starts[1:], stops[:-1], strict=True)]
    seams = [(0, 0), *((m, m + FADE) for m in middles), (length, length)]
    return [Span(*four) for four in zip(starts, stops, seams[:-1], seams[1:], strict=True)]


def count_tiles(shape: tuple[int, ...], tile: int, align: int) -> int:
    """Count the tiles that a picture of shape [H, W, ...] is cut into."""
    return len(cut_spans(shape[0], tile, align)) * len(cut_spans(shape[1], tile, align))


def enlarge_bands(
    picture: np.ndarray,
    net: Callable[[Tensor], Tensor],
    scale: int,
    tile: int,
    align: int,
    progress: Progress = lambda tiles: None,
) -> Iterator[np.ndarray]:
    """Enlarge a picture uint8 [H, W, 3] by `net`; give its rows from the top, in uint8 [h, W * scale, 3].

    `net` takes [1, 3, h, w] in [0, 1] and gives [1, 3, h * scale, w * scale] on the same scale. Beside the
    picture no more is held than one row of tiles. progress: called after each tile.
    """
    height, width = picture.shape[:2]
    left = None  # the rows over which the last row of tiles gives way to this one
    for row in cut_spans(height, tile, align):
        band = torch.zeros((row.fall[1] - row.rise[0]) * scale, width * scale, 3)
        down = row.make_weights(scale)[:, None, None]
        for column in cut_spans(width, tile, align):
            piece = picture[row.start : row.stop, column.start : column.stop]
            result = (
                net(to_unit(piece))[0].movedim(0, -1)[row.find_used(scale), column.find_used(scale)].cpu()
            )
            band[:, column.find_place(scale)] += result * (down * column.make_weights(scale)[:, None])
            progress(1)
        if left is not None:
            band[: len(left)] += left
        done = (row.fall[0] - row.rise[0]) * scale
        left, ready = band[done:].clone(), unit_to_uint8(band[:done])
        del band  # before the next one is there
        yield ready
