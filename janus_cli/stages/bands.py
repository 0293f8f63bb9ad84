"""Rows of tokens and pixels through a chain of steps, as they come.

What a step makes of a row depends on that row, on rows at a fixed distance above and below, and on where the
picture ends; never on how many rows came at once. So a picture that is fed row by row is, to the byte, the
one that is fed whole. Knows tensors; no records, no options.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

# codes [1, n, W], pixels [1, 3, H, W * P] of their rows from the given one on -> other pixels
Work = Callable[[Tensor, Tensor, int], Tensor]


@dataclass(frozen=True, eq=False)
class Row:
    """One row of tokens with what is drawn of it so far."""

    codes: Tensor  # int64 [1, 1, W]
    pixels: Tensor  # float32 [1, 3, P, W * P] on [-1, 1]; P is 0 where nothing is drawn yet


class Step(Protocol):
    """Takes rows from the top down and gives back as many, later."""

    def push(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that are done now that `rows` have come."""

    def end(self) -> list[Row]:
        """The other rows, now that none will come."""


class Chain:
    """Steps one behind the other, as one."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    def push(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that have passed every step now that `rows` have come."""
        for step in self._steps:
            rows = step.push(rows)
        return list(rows)

    def end(self) -> list[Row]:
        """The other rows."""
        rows: list[Row] = []
        for step in self._steps:
            rows = [*step.push(rows), *step.end()]
        return rows


class Bands:
    """A net run on a band for each row: the row itself, `above` rows before it and `below` after it.

    At the picture's top and bottom the bands are shorter, and where one band is the same as the last one, as
    in a picture of few rows, the net runs once. `trim`: rows of pixels that it is not given of the first and
    the last row of tokens, unless that is the row itself.
    """

    def __init__(self, work: Work, above: int, below: int, trim: int = 0) -> None:
        self._work, self._above, self._below, self._trim = work, above, below, trim
        self._rows: list[Row] = []
        self._done = 0
        self._band = (0, 0, 0, 0)
        self._made = torch.empty(0)

    def push(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that have their context now."""
        self._rows.extend(rows)
        return self._until(len(self._rows) - self._below)

    def end(self) -> list[Row]:
        """The rows below which the picture ends."""
        return self._until(len(self._rows))

    def _until(self, end: int) -> list[Row]:
        first, self._done = self._done, max(self._done, end)
        return [self._row(i) for i in range(first, self._done)]

    def _row(self, i: int) -> Row:
        top, bottom = max(0, i - self._above), min(len(self._rows), i + 1 + self._below)
        first, rest = (self._trim * (end != i) for end in (top, bottom - 1))
        if (band := (top, bottom, first, rest)) != self._band:
            codes, pixels = stacked(self._rows[top:bottom])
            strip = pixels[:, :, first : pixels.shape[2] - rest]
            self._band, self._made = band, self._work(codes, strip, first)
        old, new = (x.shape[3] // self._rows[i].codes.shape[2] for x in (self._rows[i].pixels, self._made))
        start = (i - top) * new - (first * new // old if first else 0)
        return Row(self._rows[i].codes, self._made[:, :, start : start + new])


def stacked(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Codes [1, n, W] and pixels [1, 3, n * P, W * P] of n rows."""
    return torch.cat([row.codes for row in rows], 1), torch.cat([row.pixels for row in rows], 2)
