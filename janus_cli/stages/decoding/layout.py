"""How a prompt stands before the decoder: segments as delimiters and tokens, each modality's own ids.

Knows a decoder's configuration and numpy; no nets run here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from janus_cli.nets.decoder import DELIMITER
from janus_cli.records import Segment
from janus_cli.stages.decoding.features import Net, number_tokens, takes_features

SIGHT = "sight"  # the decoder's modality of what a vision encoder makes of a picture


@dataclass(frozen=True)
class Eyes:
    """How a picture is seen: `see` gives features [n_token, feature_dim] of an image or pixels segment."""

    n_token: int
    see: Callable[[Segment], Tensor]


Placed = tuple[str, Segment]  # a segment, behind the decoder's modality that stands for it


def arrange(segments: Iterable[Segment], to: str, decoder: Net, n_sight: int) -> list[Placed]:
    """Name for every segment the modality that stands for it in a prompt for `to`.

    Pictures are seen unless one is to be drawn, and unless `n_sight`, the features of a picture, is 0 or
    the decoder has no sight; pixels stand for the image tokens before them.
    """
    if to == "image" or not n_sight or SIGHT not in decoder.type_ids:
        return [(segment.modality, segment) for segment in segments]
    placed: list[Placed] = []
    before = ""
    for segment in segments:
        if segment.modality == "pixels" and before == "image":
            placed[-1] = (SIGHT, segment)
        else:
            seen = segment.modality in ("image", "pixels")
            placed.append((SIGHT if seen else segment.modality, segment))
        before = segment.modality
    return placed


def needs_words(placed: Sequence[Placed], to: str, decoder: Net) -> bool:
    """Tell whether a prompt for `to` must be put into words first: it holds no text, only what is understood.

    Understood are sounds, and what is read as features: seen pictures and plugins' continuous segments.
    """
    understood = all(name == "audio" or takes_features(name, decoder) for name, _ in placed)
    return to != "text" and "text" in decoder.type_ids and bool(placed) and understood


def lay_out(
    placed: Iterable[Placed], to: str, decoder: Net, *, drop_text: bool = False, n_sight: int = 0
) -> np.ndarray:
    """Lay a prompt out as the decoder's input: ids, types, rows, cols as int64 [4, T].

    Every segment follows its delimiter; the delimiter of `to` comes last. `drop_text` keeps of a text
    only the delimiter, as captions are dropped in training. Of audio [Q, T] the first codebooks, as many as
    the decoder knows, make T ids. What is read as features takes ids that run through all of its modality in
    the prompt: a seen picture `n_sight`, a continuous segment one for each of its tokens.
    """
    laid: list[np.ndarray] = []
    counts: dict[str, int] = {}  # features so far
    for name, segment in placed:
        first = counts.get(name, 0)
        if name == SIGHT:
            laid.append(number_tokens(name, n_sight, decoder, first))
            counts[name] = first + n_sight
        elif takes_features(segment.modality, decoder):
            laid.append(number_tokens(name, len(segment.data), decoder, first))
            counts[name] = first + len(segment.data)
        else:
            laid.append(_delimit(decoder, name))
            if name != "text" or not drop_text:
                laid.append(_lay_body(segment, decoder))
    laid.append(_delimit(decoder, to))
    return np.concatenate(laid, axis=1)


def _delimit(decoder: Net, modality: str) -> np.ndarray:
    """Give the delimiter of `modality`, int64 [4, 1]."""
    return np.array([[DELIMITER], [decoder.type_ids[modality]], [0], [0]], np.int64)


def _lay_flat(ids: np.ndarray, kind: int) -> np.ndarray:
    """Lay out tokens that lie on no grid: ids [T] -> int64 [4, T]."""
    return np.stack([ids.astype(np.int64), np.full(ids.size, kind), *np.zeros((2, ids.size), np.int64)])


def _lay_body(segment: Segment, decoder: Net) -> np.ndarray:
    """Lay out the tokens of a segment, int64 [4, T]."""
    cfg, kind = decoder.cfg.modalities[segment.modality], decoder.type_ids[segment.modality]
    data = segment.data.astype(np.int64)
    if segment.modality == "audio":
        digits = cfg.vocab_size ** np.arange(cfg.n_q, dtype=np.int64)
        return _lay_flat(digits @ data[: cfg.n_q], kind)
    if not cfg.two_d:
        return _lay_flat(data.ravel(), kind)
    grid = np.indices(data.shape).reshape(2, -1)
    return np.stack([data.ravel(), np.full(data.size, kind), *grid])
