"""Beam search: the likeliest words, several tries at them a time (1409.3215).

Knows scores of next words; the decoder and its cache are the loop's.
"""

import math

import torch
from torch import Tensor

END = 0  # the text token <|end|>


class Beams:
    """`width` tries for each of B rows, best first; a row that is not `asked`, bool [B], ends at once.

    A try's score is the sum of its words' log probabilities, without a bonus for length: it only falls, so a
    row is settled as soon as its best try has ended.
    """

    def __init__(self, asked: Tensor, width: int) -> None:
        shape = (len(asked), width)
        self.scores = torch.full(shape, -math.inf, device=asked.device)
        self.scores[:, 0] = 0.0
        self.ended = ~asked[:, None].expand(shape)
        self.tries = torch.zeros(*shape, 0, dtype=torch.long, device=asked.device)
        self.first = torch.arange(len(asked), device=asked.device)[:, None] * width

    def choose(self, logits: Tensor) -> Tensor:
        """Choose the best tries one word longer, by its logits [B * width, V].

        A try that has ended goes on with END, which costs nothing. Gives for each new try the number of the
        old one that it continues, int64 [B * width].
        """
        chances = logits.float().log_softmax(dim=-1).view(*self.scores.shape, -1)
        chances = chances.masked_fill(self.ended[..., None], -math.inf)
        chances[..., END] = torch.where(self.ended, 0.0, chances[..., END])
        total = (self.scores[..., None] + chances).flatten(1)
        self.scores, chosen = total.topk(self.scores.shape[1])
        parent, word = chosen // logits.shape[-1], chosen % logits.shape[-1]
        before = self.tries.take_along_dim(parent[..., None], 1)
        self.tries = torch.cat([before, word[..., None]], dim=2)
        self.ended = self.ended.gather(1, parent) | (word == END)
        return (self.first + parent).flatten()

    @property
    def last(self) -> Tensor:
        """The last word of every try, int64 [B * width]."""
        return self.tries[..., -1].flatten()

    @property
    def settled(self) -> Tensor:
        """The rows whose best try has ended, bool [B]."""
        return self.ended[:, 0]

    @property
    def words(self) -> Tensor:
        """Each row's best try, int64 [B, T], END where it has ended."""
        return self.tries[:, 0]
