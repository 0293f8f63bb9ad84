"""From logits to a token: guidance, filters and reproducible noise.

A filter takes logits [B, V] and gives logits [B, V]; filters compose as a list. The draw is Gumbel-max:
the noise of an output's step t depends on (its seed, t) alone, not on the batch, the prompts before or the
device.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Filter = Callable[[Tensor], Tensor]

STREAM = 0x67656E  # sets these random numbers apart from other stages' with the same seed
BLOCK = 16  # steps of noise drawn at a time


def guide(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Apply classifier-free guidance (Ho and Salimans, 2207.12598): l_u + scale * (l_c - l_u), [B, V]."""
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


def sample(logits: Tensor, chain: Sequence[Filter], noise: Tensor | None) -> Tensor:
    """Choose a token a row, int64 [B], by filtered logits [B, V] plus Gumbel noise [B, V]; greedy without."""
    logits = logits.float()
    for keep in chain:
        logits = keep(logits)
    return (logits if noise is None else logits + noise).argmax(dim=-1)


class Noise:
    """Gumbel noise of a batch: one random stream per seed, drawn on the CPU."""

    def __init__(self, seeds: Sequence[int], vocab_size: int, device: torch.device | str) -> None:
        """Make noise for the outputs with these seeds; `draw` gives it on `device`."""
        keys = [np.random.SeedSequence([STREAM, seed]) for seed in seeds]
        self._streams = [np.random.Generator(np.random.PCG64(key)) for key in keys]
        self._vocab_size, self._device = vocab_size, device
        self._block = torch.empty(0)
        self._used = BLOCK

    def draw(self) -> Tensor:
        """Draw the noise of the next step, float32 [B, V]."""
        if self._used == BLOCK:
            shape = (BLOCK, self._vocab_size)
            uniform = np.stack([s.random(shape, dtype=np.float32) for s in self._streams], axis=1)
            with np.errstate(divide="ignore"):  # a uniform 0 becomes -inf: never chosen
                gumbel = -np.log(-np.log(uniform))
            self._block = torch.from_numpy(gumbel).to(self._device)
            self._used = 0
        self._used += 1
        return self._block[self._used - 1]
