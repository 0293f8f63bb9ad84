"""From logits to a token: guidance, filters, and the choice by noise.

A filter takes logits [.., V] and gives logits [.., V]; filters compose as a list.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from janus_cli.stages.decoding.noise import Noise

Filter = Callable[[Tensor], Tensor]


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Apply classifier-free guidance (Ho and Salimans, 2207.12598): l_u + scale * (l_c - l_u), [.., V]."""
    return unconditional + scale * (conditional - unconditional)


def temperature(value: float) -> Filter:
    """Make a filter that divides by `value` > 0: below 1 sharper, above 1 flatter."""
    return lambda logits: logits / value


def top_k(count: int) -> Filter:
    """Make a filter that keeps the `count` largest logits of each row, and ties of the smallest of them."""

    def keep(logits: Tensor) -> Tensor:
        least = logits.topk(min(count, logits.shape[-1])).values[..., -1:]
        return logits.masked_fill(logits < least, -torch.inf)

    return keep


def top_p(mass: float) -> Filter:
    """Make a filter that keeps the fewest tokens of a row with `mass` of the probability (1904.09751)."""

    def keep(logits: Tensor) -> Tensor:
        ordered, order = logits.sort(dim=-1, descending=True, stable=True)
        probs = ordered.softmax(dim=-1)
        drop = probs.cumsum(dim=-1) - probs >= mass
        drop[..., 0] = False
        return logits.masked_fill(torch.zeros_like(drop).scatter(-1, order, drop), -torch.inf)

    return keep


def make_filters(heat: float, count: int = 0, mass: float = 1.0) -> list[Filter]:
    """Make the filters of a temperature `heat`, top-k `count` (0 = all) and top-p `mass`, in that order.

    Greedy choice (heat 0) needs none of them.
    """
    if heat == 0:
        return []
    chosen = [temperature(heat)] if heat != 1 else []
    chosen += [top_k(count)] if count else []
    return chosen + ([top_p(mass)] if mass < 1 else [])


def narrow(logits: Tensor, chain: Sequence[Filter]) -> Tensor:
    """Apply the filters to logits [.., V], in float32."""
    logits = logits.float()
    for keep in chain:
        logits = keep(logits)
    return logits


def sample(
    logits: Tensor, chain: Sequence[Filter], noise: Noise | None, steps: Any, level: int = 0
) -> Tensor:
    """Choose tokens, int64 [B, T], by filtered logits [B, T, V] and the noise of their steps; greedy without.

    `steps` is int [B or 1, T]; `level` says which of a token's codebooks it is.
    """
    logits = narrow(logits, chain)
    return logits.argmax(dim=-1) if noise is None else noise.choose(logits, steps, level)
