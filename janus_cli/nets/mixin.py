"""Mix-In adapters: what each modality may change in the shared decoder.

Every adapter starts without effect. Modalities are picked by a one-hot of the token types,
[B, T, M] (all zero at padding), so that no layer indexes by modality.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Cross-modal attention mass below this counts as none; far above fp32's smallest normal number.
TINY_MASS = 1e-20


class TypeEmbedding(nn.Module):
    """A learned vector per modality, scaled by a learned gate. onehot [B, T, M] -> [B, T, D].

    The gates start at zero, the vectors do not: otherwise neither would ever get a gradient.
    """

    def __init__(self, n_modality: int, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(nn.init.normal_(torch.empty(n_modality, dim), std=0.02))
        self.gate = nn.Parameter(torch.zeros(n_modality))

    def forward(self, onehot: Tensor) -> Tensor:
        return onehot @ (self.gate[:, None] * self.table).to(onehot.dtype)


class ModalityLoRA(nn.Module):
    """A low-rank change of one projection per modality (LoRA, 2106.09685).

    x [B, T, D], own [B, T, M * rank] -> [B, T, O]. The ranks of all modalities lie side by side; `own`,
    the one-hot with each entry repeated `rank` times, blanks the foreign ones. `up` starts at zero.
    """

    def __init__(self, dim: int, out_dim: int, n_modality: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(nn.init.normal_(torch.empty(n_modality * rank, dim), std=dim**-0.5))
        self.up = nn.Parameter(torch.zeros(out_dim, n_modality * rank))

    def forward(self, x: Tensor, own: Tensor) -> Tensor:
        return F.linear(F.linear(x, self.down) * own, self.up)


class CrossResidual(nn.Module):
    """Gated extra attention to the other modalities' tokens.

    A second softmax of the same scores over the visible keys whose modality differs from the
    query's; with probabilities at hand that is a renormalisation. A query that sees no such key
    gets nothing. The gates [M, H] start at zero.
    """

    def __init__(self, n_modality: int, n_head: int) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(n_modality, n_head))

    def forward(self, probs: Tensor, onehot: Tensor, differs: Tensor) -> Tensor:
        """Map probs [B, H, T, S] to the same shape; onehot [B, T, M], differs [B, 1, T, S] of 0 and 1."""
        gate = (onehot @ self.gate.tanh().to(onehot.dtype)).transpose(1, 2)[..., None]
        mass = (probs * differs).sum(dim=-1, keepdim=True)
        return torch.addcmul(probs, probs * differs, gate / mass.clamp_min(TINY_MASS))


class HeadScale(nn.Module):
    """One factor per modality and head on the heads' outputs, from 1.

    heads [B, H, T, hd], onehot [B, T, M] -> [B, H, T, hd].
    """

    def __init__(self, n_modality: int, n_head: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_modality, n_head))

    def forward(self, heads: Tensor, onehot: Tensor) -> Tensor:
        scale = (onehot @ self.scale.to(onehot.dtype)).transpose(1, 2)[..., None]
        return heads * scale
