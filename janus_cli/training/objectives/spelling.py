"""Letters heard on the way: a CTC loss in the middle of the decoder (Graves 2006; intermediate: 2102.03216).

A decoder that must find out from words alone which frames they were said in needs far more speech than there
is. Spelling tells every frame's layer what to listen for; the layers above read it. It is not part of
the model.
"""

from string import ascii_lowercase
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.nets.decoder import Decoder

LETTERS = " " + ascii_lowercase + "'"
BLANK = 0  # class of no letter; letter i is class i + 1
DEPTH = 2 / 3  # of the layers stand below


class Tap:
    """Keeps the hidden states [B, T, D] that a decoder's last forward pass had at `depth` of its layers."""

    def __init__(self, decoder: Decoder, depth: float) -> None:
        self.states: Tensor
        layer = decoder.layers[max(1, round(depth * len(decoder.layers))) - 1]
        layer.register_forward_hook(self._keep)

    def _keep(self, layer: nn.Module, inputs: Any, output: Tensor) -> None:
        self.states = output


class Spelling(nn.Module):
    """Reads the hidden states that a decoder's last forward pass had at DEPTH."""

    def __init__(self, decoder: Decoder, tokenizer: Any) -> None:
        super().__init__()
        dim = decoder.cfg.dim
        self.letters = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, len(LETTERS) + 1))
        texts = (tokenizer.decode([i]).lower() for i in range(tokenizer.get_vocab_size()))
        self.spelled = [[LETTERS.index(c) + 1 for c in text if c in LETTERS] for text in texts]
        self.tap = Tap(decoder, DEPTH)

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
