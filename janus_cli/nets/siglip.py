"""Janus-Pro's eyes as published: the SigLIP-L/16-384 vision transformer (2303.15343), without its pooling.

No class token: every patch gives one feature; ours averages squares of them, so that a picture is a short
prompt, and adds the mean of all. Part names are those of the published weights (timm's).
Facts: github deepseek-ai/Janus at 1daa72f, janus/models/siglip_vit.py.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import VisionConfig
from janus_cli.errors import ModelError
from janus_cli.nets.finite import check_finite


class PatchEmbed(nn.Module):
    """A linear map of each patch, or convolutions. Pixels [B, 3, H, W] -> [B, N, D], raster scan."""

    def __init__(self, cfg: VisionConfig) -> None:
        super().__init__()
        self.proj = make_stem(cfg) if cfg.stem else nn.Conv2d(3, cfg.dim, cfg.patch, stride=cfg.patch)

    def forward(self, pixels: Tensor) -> Tensor:
        out: Tensor = self.proj(pixels)
        return out.flatten(2).transpose(1, 2)


def make_stem(cfg: VisionConfig) -> nn.Sequential:
    """Make convolutions that halve the picture until a patch is one place (2106.14881).

    [B, 3, H, W] -> [B, D, h, w]. A ViT with one learns from few pictures what a plain one does not.
    """
    layers: list[nn.Module] = []
    before, channels = 3, cfg.stem
    for _ in range(cfg.patch.bit_length() - 1):
        layers += [
            nn.Conv2d(before, channels, 3, stride=2, padding=1),
            nn.GroupNorm(1, channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
            nn.GELU(),
        ]
        before, channels = channels, 2 * channels
    return nn.Sequential(*layers, nn.Conv2d(before, cfg.dim, 1))


class SelfAttention(nn.Module):
    """Attention of all patches to all. [B, N, D] -> [B, N, D]."""

    def __init__(self, dim: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.n_head, -1)).permute(2, 0, 3, 1, 4)
        out: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class MLP(nn.Module):
    """Two layers with GELU between. [B, N, D] -> [B, N, D]."""

    def __init__(self, dim: int, ff_dim: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, ff_dim), nn.Linear(ff_dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Pre-norm attention and MLP, each added to the residual stream. [B, N, D] -> [B, N, D]."""

    def __init__(self, cfg: VisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(cfg.dim, cfg.norm_eps)
        self.attn = SelfAttention(cfg.dim, cfg.n_head)
        self.norm2 = nn.LayerNorm(cfg.dim, cfg.norm_eps)
        self.mlp = MLP(cfg.dim, cfg.ff_dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class VisionTower(nn.Module):
    """Normalised pixels [B, 3, S, S] -> features [B, n_token, D]: (S / (patch * pool))^2 in raster scan.

    With `cfg.summary` their mean comes last: what a thing is, where the others tell where it is.
    """

    def __init__(self, cfg: VisionConfig) -> None:
        """Make the tower. Raises ModelError for squares of patches that don't fill the picture."""
        super().__init__()
        if cfg.pool < 1 or cfg.image_size % (cfg.patch * cfg.pool):
            raise ModelError(
                f"vision: {cfg.pool} x {cfg.pool} patches of {cfg.patch} px do not fill a "
                f"picture of {cfg.image_size} px"
            )
        self.cfg = cfg
        self.patch_embed = PatchEmbed(cfg)
        self.pos_embed = nn.Parameter(torch.zeros(1, (cfg.image_size // cfg.patch) ** 2, cfg.dim))
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_layer))
        self.norm = nn.LayerNorm(cfg.dim, cfg.norm_eps)

    def forward(self, pixels: Tensor, kept: Tensor | None = None) -> Tensor:
        """Encode pixels; of the patches numbered in `kept` [B, K] alone if given: features [B, K, D]."""
        x = self.patch_embed(pixels.to(self.pos_embed.dtype)) + self.pos_embed
        if kept is not None:
            x = x.take_along_dim(kept[..., None], 1)
        for block in self.blocks:
            x = block(x)
        out = check_finite(self.norm(x), self)
        if kept is not None:
            return out
        out = pool(out, self.cfg.pool) if self.cfg.pool > 1 else out
        return torch.cat([out, out.mean(1, keepdim=True)], 1) if self.cfg.summary else out


def pool(features: Tensor, side: int) -> Tensor:
    """Average squares of `side` x `side` features of a square picture: [B, N, D] -> [B, N / side^2, D]."""
    rows = math.isqrt(features.shape[1])
    maps = features.transpose(1, 2).unflatten(2, (rows, rows))
    return F.avg_pool2d(maps, side).flatten(2).transpose(1, 2)


class SigLIP(nn.Module):
    """The tower under its published name."""

    def __init__(self, cfg: VisionConfig) -> None:
        super().__init__()
        self.vision_tower = VisionTower(cfg)

    def forward(self, pixels: Tensor) -> Tensor:
        """Encode normalised pixels [B, 3, S, S] to features [B, N, D]."""
        out: Tensor = self.vision_tower(pixels)
        return out
