"""What a modality brings to the shared decoder: a new one is a tokenizer and one of these adapters."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from janus_cli.config import ModalityConfig
from janus_cli.nets.layers import RMSNorm, SwiGLU


class ModalityAdapter(nn.Module):
    """What one modality brings to the decoder: embedding, delimiter and head.

    A token's id is its code; with several codebooks it is that of a frame, its codes as digits of one number
    (the first codebook's lowest). Their embeddings add up. A frame's codes are predicted in order: each
    codebook's head reads the hidden state through a small net that has seen the codes before it (the depth
    step of the RQ-Transformer, 2203.01941, without its attention). Table rows: the first codebook, the END
    that closes a sequence if the modality has one, the other codebooks. `head` is None when the heads are the
    embedding table itself; `head_bias` [rows] is there either way.
    """

    def __init__(self, cfg: ModalityConfig, dim: int, tied: bool) -> None:
        super().__init__()
        self.vocab_size, self.n_q, self.ends = cfg.vocab_size, cfg.n_q, int(cfg.ends)
        rows = cfg.vocab_size * cfg.n_q + self.ends
        self.embed = nn.Embedding(rows, dim)
        nn.init.normal_(self.embed.weight, std=0.02)
        self.delimiter = nn.Parameter(nn.init.normal_(torch.empty(dim), std=0.02))
        self.head = None if tied else nn.Linear(dim, rows, bias=False)
        self.head_bias = nn.Parameter(torch.zeros(rows))
        self.deeper = nn.ModuleList(DepthStep(dim) for _ in range(1, cfg.n_q))

    def forward(self, ids: Tensor) -> Tensor:
        """Embed ids, none of them negative: [..] -> [.., D]."""
        codes = self.split_ids(ids)
        total: Tensor = self.embed(codes[0])
        for level, code in enumerate(codes[1:], 1):
            total = total + self.embed_codes(level, code)
        return total

    def embed_codes(self, level: int, codes: Tensor) -> Tensor:
        """Embed one codebook's codes: [..] -> [.., D]."""
        out: Tensor = self.embed(codes + (level * self.vocab_size + self.ends if level else 0))
        return out

    def split_ids(self, ids: Tensor) -> list[Tensor]:
        """Split ids [..] into the codes of every codebook, each [..]."""
        if self.n_q == 1:
            return [ids]
        return [ids // self.vocab_size**level % self.vocab_size for level in range(self.n_q)]

    def join_codes(self, codes: Sequence[Tensor]) -> Tensor:
        """Join the codes of every codebook into ids; the inverse of `split_ids`."""
        return sum((c * self.vocab_size**level for level, c in enumerate(codes[1:], 1)), codes[0])

    def deepen(self, hidden: Tensor, before: Sequence[Tensor]) -> Tensor:
        """Adapt hidden [.., D] to the head of codebook len(before), by the codes [..] before it."""
        if not before:
            return hidden
        seen = sum(self.embed_codes(level, code) for level, code in enumerate(before))
        out: Tensor = self.deeper[len(before) - 1](hidden, seen)
        return out

    def find_rows(self, level: int) -> slice:
        """Find the table rows that the head of codebook `level` chooses from; the first has the END last."""
        start = level * self.vocab_size + self.ends if level else 0
        return slice(start, start + self.vocab_size + (0 if level else self.ends))


class DepthStep(nn.Module):
    """hidden + SwiGLU(hidden + norm(seen)), at the start the identity. hidden, seen [.., D] -> [.., D]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = RMSNorm(dim)
        self.mlp = SwiGLU(dim, dim)

    def forward(self, hidden: Tensor, seen: Tensor) -> Tensor:
        out: Tensor = hidden + self.mlp(hidden + self.norm(seen))
        return out


class FeatureAdapter(nn.Module):
    """A modality of continuous tokens, which can be read but not generated: a norm and a projection.

    A token's id is its row in the features that the decoder is given. It has no table to tie.
    """

    def __init__(self, cfg: ModalityConfig, dim: int, tied: bool) -> None:
        super().__init__()
        self.norm = RMSNorm(cfg.feature_dim)
        self.project = nn.Linear(cfg.feature_dim, dim)
        nn.init.normal_(self.project.weight, std=0.1 * cfg.feature_dim**-0.5)
        self.delimiter = nn.Parameter(nn.init.normal_(torch.empty(dim), std=0.02))

    def forward(self, ids: Tensor, features: Tensor) -> Tensor:
        """Embed the rows ids [..] of features [N, feature_dim]: [.., D]."""
        out: Tensor = self.project(self.norm(features))[ids]
        return out
