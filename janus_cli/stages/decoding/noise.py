"""Noise by a counter: the number of (seed, step, codebook level, class) depends on nothing else.

Nothing is drawn in order, so a number is computed only where it is looked at, on whatever device, for one
step or for many at once. Random words and uniform numbers are equal to the bit everywhere. Gumbel numbers are
logarithms in double precision, rounded to float32: two libraries' logarithms that differ in the last bit give
the same float32 but for one number in a hundred million or so.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Words = TypeVar("Words", np.ndarray, Tensor)  # int64 that hold 32 bits each

STREAM = 0x67656E  # sets these random numbers apart from other stages' with the same seed
ROUNDS = 10
LOW = 0xFFFFFFFF  # the 32 bits of a word
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
WEYL = np.array([0x9E3779B9, 0xBB67AE85])  # what a key grows by in a round
REACH = 26.1  # more than the largest Gumbel number exceeds the least: 33 log 2 + log(33 log 2) = 26.003


def schedule_keys(key: np.ndarray) -> np.ndarray:
    """Make the keys of all rounds of a key of two words, int64 [.., 2] -> [ROUNDS, 2, ..]."""
    steps = np.arange(ROUNDS).reshape(-1, *[1] * key.ndim)
    return np.moveaxis((key + steps * WEYL) & LOW, -1, 1)


def philox(counter: Sequence[Words], keys: Iterable[Any]) -> tuple[Words, Words, Words, Words]:
    """Compute four random words of each counter of four: Philox4x32-10 (Salmon et al., SC'11).

    Words are int64 arrays or tensors, `keys` those of the rounds; shapes need only go together. A product
    that runs over the sign has the right bits all the same; what is above 32 bits is cut off where it counts.
    """
    c0, c1, c2, c3 = counter
    for k0, k1 in keys:
        left, right = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c2 = ((right >> 32) ^ c1 ^ k0) & LOW, ((left >> 32) ^ c3 ^ k1) & LOW
        c1, c3 = right, left
    return c0, c1 & LOW, c2, c3 & LOW


def make_uniform(words: Words) -> Words:
    """Map words, a tensor's as float64, to numbers strictly between 0 and 1: (word + 1/2) / 2^32, exact."""
    return (words + 0.5) * 2.0**-32


class Noise:
    """Gumbel noise for a batch of outputs, a key for each seed."""

    def __init__(self, seeds: Sequence[int]) -> None:
        """Make noise for the outputs with these seeds, none of them negative, however large."""
        keys = [np.random.SeedSequence([STREAM, seed]).generate_state(2) for seed in seeds]
        self._keys = schedule_keys(np.array(keys, np.int64).reshape(-1, 2))  # [ROUNDS, 2, B]

    def take(self, rows: Sequence[int]) -> "Noise":
        """Make the noise of these rows of the batch alone."""
        made = Noise(())
        made._keys = self._keys[..., list(rows)]
        return made

    def draw(self, steps: Any, n_class: int, level: int = 0, device: torch.device | str = "cpu") -> Tensor:
        """Draw the noise of all classes at these steps, int [B or 1, T]: float32 [B, T, n_class].

        A device without float64 gets what the CPU computes.
        """
        where = "cpu" if torch.device(device).type == "mps" else device
        keys = torch.from_numpy(self._keys).to(where)[..., None, None]
        step = torch.as_tensor(steps, device=where)[..., None]
        block = torch.arange(-(-n_class // 4), device=where)
        words = philox((block, step, torch.full_like(step, level), torch.zeros_like(step)), keys)
        uniform = make_uniform(torch.stack(words, dim=-1).double()).flatten(-2)[..., :n_class]
        return -(-uniform.log()).log().float().to(device)

    def choose(self, logits: Tensor, steps: Any, level: int = 0) -> Tensor:
        """Choose classes by logits [B, T, V] float32 and the noise of steps, int [B or 1, T]: int64 [B, T].

        That draws from the softmax (Gumbel-max). On the CPU noise is computed for the few classes alone that
        it could carry to the top.
        """
        at, least = np.empty(0, np.int64), logits.amax(dim=-1, keepdim=True) - REACH
        if logits.device.type == "cpu":
            at = np.flatnonzero(~(logits < least).numpy())  # NaN stays, whoever made it is told elsewhere
        if not len(at) or len(at) > logits.numel() // 4:  # four numbers are made at a time
            return (logits + self.draw(steps, logits.shape[-1], level, logits.device)).argmax(dim=-1)
        place, classes = np.divmod(at, logits.shape[-1])
        if len(at) > least.numel():  # somewhere there is a choice
            steps = np.broadcast_to(np.asarray(steps, np.int64), logits.shape[:-1]).reshape(-1)[place]
            scores = logits.reshape(-1).numpy()[at]
            scores = scores + self._draw_few(place // logits.shape[1], steps, level, classes)
            classes = classes[_find_largest(scores, place)]
        return torch.from_numpy(classes).view(logits.shape[:-1])

    def _draw_few(self, rows: np.ndarray, steps: np.ndarray, level: int, classes: np.ndarray) -> np.ndarray:
        """Draw the noise of single classes, float32 [N], of the batch's `rows` and steps, all int64 [N]."""
        zero = np.zeros_like(steps)
        words = np.stack(philox((classes >> 2, steps, zero + level, zero), self._keys[..., rows]))
        uniform = make_uniform(words[classes & 3, np.arange(len(classes))])
        return -np.log(-np.log(uniform)).astype(np.float32)


def _find_largest(scores: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Find where each place has its largest score, the first of equals; `place`, int64 [N], counts up."""
    counts = np.bincount(place)
    first = counts.cumsum() - counts
    rows = np.full((len(counts), counts.max()), -np.inf, np.float32)
    rows[place, np.arange(len(place)) - first[place]] = scores
    return first + rows.argmax(axis=1)
