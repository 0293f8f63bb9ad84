"""Continuous segments before the decoder: a delimiter, and for each token the number of its row of features.

What a `FeatureAdapter` reads has no ids of its own: a token's id is its place among the rows that the decoder
is given beside the ids. Here segments become ids, and batches' rows are put together.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from janus_cli.errors import UsageError
from janus_cli.nets.decoder import DELIMITER, Decoder
from janus_cli.records import Segment

Features = dict[str, Tensor]  # modality -> float32 [N, feature_dim], on the CPU


def is_continuous(segment: Segment, decoder: Decoder) -> bool:
    """Whether the decoder reads the segment's modality as features rather than ids."""
    config = decoder.cfg.modalities.get(segment.modality)
    return config is not None and config.feature_dim > 0


def columns(segment: Segment, decoder: Decoder, first: int = 0) -> np.ndarray:
    """The delimiter and the tokens of a continuous segment [N, feature_dim]: int64 [4, 1 + N].

    The rows are ids, types, rows, cols, as the decoder takes them; ids count from `first`, the number of
    tokens of this modality before it. Raises UsageError where the decoder reads tokens of another width.
    """
    width = decoder.cfg.modalities[segment.modality].feature_dim
    if segment.data.ndim != 2 or segment.data.shape[1] != width or segment.data.dtype != np.float32:
        found = f"{segment.data.dtype} {list(segment.data.shape)}"
        raise UsageError(f"{segment.modality} segment: {found}, but the decoder reads float32 tokens of "
                         f"{width} values: was it made with other options?")
    ids = np.concatenate([[DELIMITER], np.arange(first, first + len(segment.data))])
    kinds = np.full_like(ids, decoder.type_ids[segment.modality])
    return np.stack([ids, kinds, np.zeros_like(ids), np.zeros_like(ids)])


def features(segments: Iterable[Segment], decoder: Decoder) -> Features:
    """The tokens of a prompt's continuous segments by modality, in the order of their ids."""
    found: dict[str, list[np.ndarray]] = {}
    for segment in segments:
        if is_continuous(segment, decoder):
            found.setdefault(segment.modality, []).append(segment.data)
    return {name: torch.from_numpy(np.concatenate(rows)) for name, rows in found.items()}


def together(tokens: Sequence[np.ndarray], each: Sequence[Mapping[str, Tensor]],
             decoder: Decoder) -> tuple[list[np.ndarray], Features]:
    """A batch's prompts [4, T] with ids that count through the features of them all, and those features.

    `each` has the features of each prompt. The arrays given are left as they are.
    """
    moved = [prompt.copy() for prompt in tokens]
    joined: Features = {}
    for name in dict.fromkeys(name for own in each for name in own):
        before = 0
        for prompt, own in zip(moved, each, strict=True):
            mine = (prompt[1] == decoder.type_ids[name]) & (prompt[0] != DELIMITER)
            prompt[0, mine] += before
            before += len(own[name]) if name in own else 0
        joined[name] = torch.cat([own[name] for own in each if name in own])
    return moved, joined
