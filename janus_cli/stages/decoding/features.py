"""Continuous segments before the decoder: a delimiter, and for each token the number of its row of features.

What a `FeatureAdapter` reads has no ids of its own: a token's id is its place among the rows that the decoder
is given beside the ids. Here segments become ids, and batches' rows are put together: those of plugins'
segments, and those that a vision encoder makes of pictures.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from janus_cli.errors import UsageError
from janus_cli.nets.decoder import DELIMITER, Decoder
from janus_cli.nets.janus_pro import JanusPro
from janus_cli.records import Segment

Net = Decoder | JanusPro
Features = dict[str, Tensor]  # modality -> float32 [N, feature_dim]


def takes_features(modality: str, decoder: Net) -> bool:
    """Tell whether the decoder reads `modality` as features rather than ids."""
    config = decoder.cfg.modalities.get(modality)
    return config is not None and config.feature_dim > 0


def number_tokens(modality: str, count: int, decoder: Net, first: int = 0) -> np.ndarray:
    """Lay out the delimiter and `count` tokens of a continuous modality, int64 [4, 1 + count].

    The rows are ids, types, rows, cols, as the decoder takes them; ids count from `first`, the number of
    tokens of this modality before it.
    """
    ids = np.concatenate([[DELIMITER], np.arange(first, first + count)])
    kinds = np.full_like(ids, decoder.type_ids[modality])
    return np.stack([ids, kinds, np.zeros_like(ids), np.zeros_like(ids)])


def check_width(segment: Segment, decoder: Net) -> None:
    """Raise UsageError unless the decoder reads tokens of a continuous segment's width."""
    width = decoder.cfg.modalities[segment.modality].feature_dim
    if segment.data.ndim != 2 or segment.data.shape[1] != width or segment.data.dtype != np.float32:
        found = f"{segment.data.dtype} {list(segment.data.shape)}"
        raise UsageError(
            f"{segment.modality} segment: {found}, but the decoder reads float32 tokens of "
            f"{width} values: was it made with other options?"
        )


def collect_features(segments: Iterable[Segment], decoder: Net) -> Features:
    """Collect the tokens of a prompt's continuous segments by modality, in the order of their ids."""
    found: dict[str, list[np.ndarray]] = {}
    for segment in segments:
        if takes_features(segment.modality, decoder):
            found.setdefault(segment.modality, []).append(segment.data)
    return {name: torch.from_numpy(np.concatenate(rows)) for name, rows in found.items()}


def join_features(
    tokens: Sequence[np.ndarray], each: Sequence[Mapping[str, Tensor]], decoder: Net
) -> tuple[list[np.ndarray], Features]:
    """Join the features of a batch's prompts, and renumber the ids in `tokens`, [4, T] each, to match.

    `each` has the features of each prompt; a tensor that several prompts have stands there once. The arrays
    given are left as they are.
    """
    moved = [prompt.copy() for prompt in tokens]
    joined: Features = {}
    for name in dict.fromkeys(name for own in each for name in own):
        kept: dict[int, int] = {}  # id of a tensor -> its first row among all
        tensors: list[Tensor] = []
        for prompt, own in zip(moved, each, strict=True):
            if name not in own:
                continue
            rows = own[name]
            if id(rows) not in kept:
                kept[id(rows)] = sum(map(len, tensors))
                tensors.append(rows)
            mine = (prompt[1] == decoder.type_ids[name]) & (prompt[0] != DELIMITER)
            prompt[0, mine] += kept[id(rows)]
        joined[name] = torch.cat(tensors)
    return moved, joined
