"""Training sequences: delimited segments of any modality, one after another, with the target of each token.

Knows ids and types; no pictures, no sounds, no nets. A sequence is laid out as `generate` lays out a prompt
and its answer, so that training and use see the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from janus_cli.nets.decoder import DELIMITER, PADDING

DIRECTIONS = ("draw", "see", "hear", "speak", "hear-draw", "see-speak")  # what the joint objective trains
COLUMNS = ("ids", "types", "rows", "cols", "targets", "roles", "phones")
NONE = -1  # target of a token after which nothing is learned; phone of one that is no speech


@dataclass(frozen=True)
class Span:
    """One segment of a training sequence."""

    modality: str
    ids: np.ndarray  # what the model reads, int64 [T]
    targets: np.ndarray | None = None  # what it should have read, [T]; None = nothing of it is learned
    end: int | None = None  # the id that closes it, where it is learned
    role: int = 0  # which weight its loss has
    grid: tuple[int, int] | None = None  # rows and columns of a picture
    phones: np.ndarray | None = None  # of each frame of speech, [T]


@dataclass
class TrainingSequence:
    """The COLUMNS of one sequence side by side: its tokens, and what follows each."""

    ids: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    cols: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    roles: list[int] = field(default_factory=list)
    phones: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, span: Span, type_id: int) -> None:
        """Append a segment: its delimiter, then its tokens."""
        ids, count = span.ids.tolist(), len(span.ids)
        self.ids += [DELIMITER, *ids]
        self.types += [type_id] * (count + 1)
        cells = np.indices(span.grid).reshape(2, -1) if span.grid else np.zeros((2, count), np.int64)
        self.rows += [0, *cells[0].tolist()]
        self.cols += [0, *cells[1].tolist()]
        following = [] if span.targets is None else span.targets.tolist()
        closing = [NONE if span.end is None else span.end]
        self.targets += [*following, *closing] if following else [NONE] * (count + 1)
        self.roles += [span.role] * (count + 1)
        self.phones += [NONE, *([NONE] * count if span.phones is None else span.phones.tolist())]


def join_spans(spans: Sequence[Span], type_ids: dict[str, int]) -> TrainingSequence:
    """Lay segments out as one sequence; the last one's last token is left out where nothing follows it."""
    sequence = TrainingSequence()
    for span in spans:
        sequence.add(span, type_ids[span.modality])
    if sequence.targets[-1] == NONE:
        for column in vars(sequence).values():
            column.pop()
    return sequence


def pad(sequences: Sequence[TrainingSequence], multiple: int = 8) -> dict[str, Tensor]:
    """Stack sequences to the COLUMNS as int64 [B, T], padded on the right to a `multiple`."""
    width = -(-max(map(len, sequences)) // multiple) * multiple
    fill = dict(zip(COLUMNS, (0, PADDING, 0, 0, NONE, 0, NONE), strict=True))
    return {
        name: torch.tensor([getattr(s, name) + [value] * (width - len(s)) for s in sequences])
        for name, value in fill.items()
    }


def group_by_length(sequences: Sequence[TrainingSequence], count: int) -> list[list[TrainingSequence]]:
    """Split sequences into `count` groups of like lengths, shortest first: little of a group is padding."""
    ordered = sorted(sequences, key=len)
    edges = np.linspace(0, len(ordered), count + 1).round().astype(int)
    return [ordered[a:b] for a, b in pairwise(edges) if a < b]
