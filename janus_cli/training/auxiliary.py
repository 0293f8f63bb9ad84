"""Losses in the middle of the decoder that help it to hear and to speak; nothing of them is in the model.

A decoder that must find out from words alone which frames they were said in needs far more speech than there
is. `Spelling` tells every frame's layer which letters to listen for (CTC, Graves 2006; intermediate:
2102.03216), and the layers above read them. `Phones` asks for the sound of each frame, as espeak-ng tells
when it says what: the sound heard (1704.01631), the one being said, and the one a tenth of a second ahead,
which only the words can tell.
"""

from collections.abc import Sequence
from string import ascii_lowercase
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.nets.decoder import Decoder
from janus_cli.training.sequences import NONE

LETTERS = " " + ascii_lowercase + "'"
BLANK = 0  # class of no letter; letter i is class i + 1
LATE = 2  # frames after which a sound that was heard should be known
SOON = 6  # frames before which a sound that will be said should be known
SPELLED, HEARD, SAID = 2 / 3, 1 / 2, 2 / 3  # depths: which share of the layers stands below


class Tap:
    """Keeps the hidden states [B, T, D] that a decoder's last forward pass had at `depth` of its layers."""

    def __init__(self, decoder: Decoder, depth: float) -> None:
        self.states: Tensor
        layer = decoder.layers[max(1, round(depth * len(decoder.layers))) - 1]
        layer.register_forward_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self.states = output


class Spelling(nn.Module):
    """Reads letters from the hidden states that a decoder's last forward pass had at SPELLED."""

    def __init__(self, decoder: Decoder, tokenizer: Any) -> None:
        super().__init__()
        dim = decoder.cfg.dim
        self.letters = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, len(LETTERS) + 1))
        texts = (tokenizer.decode([i]).lower() for i in range(tokenizer.get_vocab_size()))
        self.spelled = [[LETTERS.index(c) + 1 for c in text if c in LETTERS] for text in texts]
        self.tap = Tap(decoder, SPELLED)

    def forward(self, heard: Tensor, words: Tensor) -> list[Tensor]:
        """One loss per letter for each row of the last pass that hears something.

        heard: bool [B, T], its frames; words: int64 [B, T], the tokens of what was said, negative elsewhere.
        """
        rows = [i for i in range(len(heard)) if heard[i].any()]
        said = [[c for token in words[i][words[i] >= 0].tolist() for c in self.spelled[token]] for i in rows]
        rows, said = [i for i, s in zip(rows, said, strict=True) if s], [s for s in said if s]
        if not rows:
            return []
        frames = nn.utils.rnn.pad_sequence([self.tap.states[i][heard[i]] for i in rows])  # [T, rows, D]
        scores = self.letters(frames).float().log_softmax(-1)
        counts = torch.tensor([int(heard[i].sum()) for i in rows])
        targets = torch.cat([torch.tensor(s) for s in said]).to(scores.device)
        lengths = torch.tensor([len(s) for s in said])
        losses = F.ctc_loss(scores, targets, counts, lengths, BLANK, "none", zero_infinity=True)
        return list(losses / lengths.to(losses))


def shift_columns(columns: Tensor, by: int) -> Tensor:
    """`columns` [B, T] with what stands `by` places later, or -by places before; NONE beyond the ends."""
    padded = F.pad(columns, (max(0, -by), max(0, by)), value=NONE)
    return padded[:, by:][:, : columns.shape[1]] if by > 0 else padded[:, : columns.shape[1]]


class Phones(nn.Module):
    """Reads sounds of speech from the hidden states that a decoder's last pass had at HEARD and SAID."""

    def __init__(self, decoder: Decoder, alphabets: Sequence[Sequence[str]]) -> None:
        """One alphabet for each source of speech; they are made one."""
        super().__init__()
        self.alphabet = sorted(set().union(*alphabets))
        self.numbers = [np.array([self.alphabet.index(p) for p in own], np.int64) for own in alphabets]
        dim, count = decoder.cfg.dim, len(self.alphabet)
        heads = {n: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, count)) for n in ("heard", "now", "soon")}
        self.heads = nn.ModuleDict(heads)
        saying = Tap(decoder, SAID)
        self.taps = {"heard": Tap(decoder, HEARD), "now": saying, "soon": saying}

    def forward(self, phones: Tensor, said: Tensor) -> dict[str, Tensor]:
        """Losses [N] of the frames of the last pass: `heard`, and of what is said `now` and `soon`.

        phones: int64 [B, T], of each frame of speech, NONE elsewhere; said: bool [B, T], where speech is an
        output. A state tells of the next token, so `now` is one place ahead.
        """
        labels = {
            "heard": shift_columns(phones, -LATE).masked_fill(said | (phones == NONE), NONE),
            "now": shift_columns(phones, 1).masked_fill(~said, NONE),  # the words before it don't say when
            "soon": shift_columns(phones, 1 + SOON).masked_fill(~said, NONE),
        }
        losses = {}
        for name, label in labels.items():
            known = label != NONE
            scores = self.heads[name](self.taps[name].states[known]).float()
            losses[name] = F.cross_entropy(scores, label[known], reduction="none")
        return losses
