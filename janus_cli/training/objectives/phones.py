"""Sounds of speech on the way, frame by frame: which was heard, which is being said, which comes next.

espeak-ng tells when it says what. A decoder that learns to speak from codes alone must find out by itself
which of the words a frame is of; here it is told, and has to know a tenth of a second ahead what it will say,
which only the words can tell it. What is heard is told as in 1704.01631. It is not part of the model.
"""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.nets.decoder import Decoder
from janus_cli.training.objectives.sequences import NONE
from janus_cli.training.objectives.spelling import Tap

LATE = 2  # frames after which a sound that was heard should be known
SOON = 6  # frames before which a sound that will be said should be
HEARING, SAYING = 1 / 2, 2 / 3  # of the layers stand below


def moved(columns: Tensor, by: int) -> Tensor:
    """`columns` [B, T] with what stands `by` places later, or -by places before; NONE beyond the ends."""
    padded = F.pad(columns, (max(0, -by), max(0, by)), value=NONE)
    return padded[:, by:][:, : columns.shape[1]] if by > 0 else padded[:, : columns.shape[1]]


class Phones(nn.Module):
    """Reads the hidden states that a decoder's last forward pass had at HEARING and SAYING."""

    def __init__(self, decoder: Decoder, alphabets: Sequence[Sequence[str]]) -> None:
        """One alphabet for each source of speech; they are made one."""
        super().__init__()
        self.alphabet = sorted(set().union(*alphabets))
        self.numbers = [np.array([self.alphabet.index(p) for p in own], np.int64) for own in alphabets]
        dim = decoder.cfg.dim
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, len(self.alphabet)))
                for name in ("heard", "now", "soon")
            }
        )
        saying = Tap(decoder, SAYING)
        self.taps = {"heard": Tap(decoder, HEARING), "now": saying, "soon": saying}

    def forward(self, phones: Tensor, said: Tensor) -> dict[str, Tensor]:
        """Losses [N] of the frames of the last pass: `heard`, and of what is said `now` and `soon`.

        phones: int64 [B, T], of each frame of speech, NONE elsewhere; said: bool [B, T], where speech is an
        output. A state tells of the next token, so `now` is one place ahead.
        """
        labels = {
            "heard": moved(phones, -LATE).masked_fill(said | (phones == NONE), NONE),
            "now": moved(phones, 1).masked_fill(~said, NONE),  # the words before it don't say when
            "soon": moved(phones, 1 + SOON).masked_fill(~said, NONE),
        }
        losses = {}
        for name, label in labels.items():
            known = label != NONE
            scores = self.heads[name](self.taps[name].states[known]).float()
            losses[name] = F.cross_entropy(scores, label[known], reduction="none")
        return losses
