"""Rows of tokens and pixels through a chain of steps, as they come.

What a step makes of a row depends on that row, on its number, on rows near it above and below, and on where
the picture ends; never on how many rows came at once. So a picture that is fed row by row is, to the byte,
the one that is fed whole. Knows tensors; no records, no options.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

GROUP = 4  # rows of tokens that a net makes at once

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
        """Take the next rows; give those that are done now."""

    def end(self) -> list[Row]:
        """Give the other rows, now that none will come."""


class Chain:
    """Steps one behind the other, as one."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = steps

    def push(self, rows: Sequence[Row]) -> list[Row]:
        """Take the next rows; give those that have passed every step now."""
        for step in self._steps:
            rows = step.push(rows)
        return list(rows)

    def end(self) -> list[Row]:
        """Give the other rows, now that none will come."""
        rows: list[Row] = []
        for step in self._steps:
            rows = [*step.push(rows), *step.end()]
        return rows


def find_group_end(first: int) -> int:
    """Find the row behind the group that begins with row `first`: [0, 1), [1, 4), [4, 8), [8, 12) and so on.

    Neighbours share most of their context, so that a few rows cost little more than one. The first row is
    not kept waiting.
    """
    return (first // GROUP + 1) * GROUP if first else 1


class Bands:
    """A net run on a band for each group of rows: the group, `above` rows before it and `below` after it.

    At the picture's top and bottom the bands are shorter, and where one band is the same as the last one, as
    in a picture of few rows, the net runs once. `trim`: rows of pixels that it is not given of the first and
    the last row of tokens, where those are context.
    """

    def __init__(self, work: Work, above: int, below: int, trim: int = 0) -> None:
        self._work, self._above, self._below, self._trim = work, above, below, trim
        self._rows: list[Row] = []
        self._done = 0
        self._band = (0, 0, 0, 0)
        self._made = torch.empty(0)

    def push(self, rows: Sequence[Row]) -> list[Row]:
        """Take the next rows; give the groups that have their context now."""
        self._rows.extend(rows)
        return self._make_until(len(self._rows) - self._below)

    def end(self) -> list[Row]:
        """Give the groups whose context the picture's end cuts off, and the last, shorter group."""
        count = len(self._rows)
        whole = self._make_until(count)
        return [*whole, *self._make_group(self._done, count)] if self._done < count else whole

    def _make_until(self, known: int) -> list[Row]:
        """Make the groups within the rows before `known`."""
        out: list[Row] = []
        while (end := find_group_end(self._done)) <= known:
            out += self._make_group(self._done, end)
            self._done = end
        return out

    def _make_group(self, first: int, end: int) -> list[Row]:
        """Make rows [first, end) from their band."""
        top, bottom = max(0, first - self._above), min(len(self._rows), end + self._below)
        upper, lower = self._trim * (top < first), self._trim * (bottom > end)
        if (band := (top, bottom, upper, lower)) != self._band:
            codes, pixels = stack_rows(self._rows[top:bottom])
            strip = pixels[:, :, upper : pixels.shape[2] - lower]
            self._band, self._made = band, self._work(codes, strip, upper)
        old, new = (x.shape[3] // self._rows[0].codes.shape[2] for x in (self._rows[0].pixels, self._made))
        skip = (first - top) * new - (upper * new // old if upper else 0)
        made = self._made[:, :, skip : skip + (end - first) * new].split(new, 2)
        return [Row(row.codes, pixels) for row, pixels in zip(self._rows[first:end], made, strict=True)]


def stack_rows(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Stack n rows: codes [1, n, W] and pixels [1, 3, n * P, W * P]."""
    return torch.cat([row.codes for row in rows], 1), torch.cat([row.pixels for row in rows], 2)
