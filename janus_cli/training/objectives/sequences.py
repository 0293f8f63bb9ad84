"""Training sequences: delimited segments of any modality, one after another, with the target of each token.

Knows ids and types; no pictures, no sounds, no nets. A row is what `generate` lays out and then continues,
so that training and use see the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from janus_cli.nets.decoder import DELIMITER, PADDING

DIRECTIONS = ("draw", "see", "hear", "speak", "hear-draw", "see-speak")  # what joint.py makes rows of
COLUMNS = ("ids", "types", "rows", "cols", "targets", "roles", "phones")
NONE = -1  # target of a token after which nothing is learned; phone of one that is no speech


@dataclass(frozen=True)
class Part:
    """One segment of a row."""

    modality: str
    ids: np.ndarray  # what the model reads, int64 [T]
    targets: np.ndarray | None = None  # what it should have read, [T]; None = nothing of it is learned
    end: int | None = None  # the id that closes it, where it is learned
    role: int = 0  # which weight its loss has
    grid: tuple[int, int] | None = None  # rows and columns of a picture
    phones: np.ndarray | None = None  # of each frame of speech, [T]


@dataclass
class Row:
    """Parallel columns of one sequence, and what follows each token."""

    ids: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    cols: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    roles: list[int] = field(default_factory=list)
    phones: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, part: Part, type_id: int) -> None:
        """Append a segment: its delimiter, then its tokens."""
        ids, count = part.ids.tolist(), len(part.ids)
        self.ids += [DELIMITER, *ids]
        self.types += [type_id] * (count + 1)
        cells = np.indices(part.grid).reshape(2, -1) if part.grid else np.zeros((2, count), np.int64)
        self.rows += [0, *cells[0].tolist()]
        self.cols += [0, *cells[1].tolist()]
        following = [] if part.targets is None else part.targets.tolist()
        closing = [NONE if part.end is None else part.end]
        self.targets += [*following, *closing] if following else [NONE] * (count + 1)
        self.roles += [part.role] * (count + 1)
        self.phones += [NONE, *([NONE] * count if part.phones is None else part.phones.tolist())]


def row_of(parts: Sequence[Part], type_ids: dict[str, int]) -> Row:
    """The row of these segments; the last one's last token is left out where nothing follows it."""
    row = Row()
    for part in parts:
        row.add(part, type_ids[part.modality])
    if row.targets[-1] == NONE:
        for column in vars(row).values():
            column.pop()
    return row


def pad(rows: Sequence[Row], multiple: int = 8) -> dict[str, Tensor]:
    """The COLUMNS as int64 [B, T], padded on the right to a `multiple`."""
    width = -(-max(map(len, rows)) // multiple) * multiple
    fill = dict(zip(COLUMNS, (0, PADDING, 0, 0, NONE, 0, NONE), strict=True))
    return {
        name: torch.tensor([getattr(row, name) + [value] * (width - len(row)) for row in rows])
        for name, value in fill.items()
    }


def chunks(rows: Sequence[Row], count: int) -> list[list[Row]]:
    """The rows in `count` groups of like lengths, shortest first, so that little of a group is padding."""
    ordered = sorted(rows, key=len)
    edges = np.linspace(0, len(ordered), count + 1).round().astype(int)
    return [ordered[a:b] for a, b in pairwise(edges) if a < b]
