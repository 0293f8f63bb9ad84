"""Layers that every transformer here is made of: RMSNorm, SwiGLU and rotary positions."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Root-mean-square norm with a learned scale (Zhang and Sennrich, 1910.07467). [.., D] -> [.., D]."""

    def __init__(self, dim: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), self.eps)


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer, 2002.05202). [.., D] -> [.., D].

    `down_proj` starts at zero, so that a new block is the identity.
    """

    def __init__(self, dim: int, ff_dim: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(dim, ff_dim, bias=False)
        self.up_proj = nn.Linear(dim, ff_dim, bias=False)
        self.down_proj = nn.Linear(ff_dim, dim, bias=False)
        nn.init.zeros_(self.down_proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


def make_rope_table(head_dim: int, length: int, base: float) -> Tensor:
    """Tabulate cosines and sines of every position, [length, 2, head_dim], fp32.

    Both halves of the last axis are equal: the pairing is (i, i + head_dim / 2), as in Llama's
    published checkpoints.
    """
    frequency = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
    angle = torch.arange(length, dtype=torch.float32)[:, None] * frequency
    angle = torch.cat([angle, angle], dim=-1)
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x by its positions: rotary position embedding (Su et al., 2104.09864).

    x [B, H, T, hd]; cos and sin [B, 1, T, hd] -> [B, H, T, hd].
    """
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
