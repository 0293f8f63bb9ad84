"""Janus-Pro's image tokenizer as published: VQ-16 of LlamaGen (2406.06525), 16 x 16 pixels a token.

A convolutional VQGAN with attention at its lowest resolution and a codebook of unit vectors. Part names
are those of the published weights. Facts: github deepseek-ai/Janus at 1daa72f, janus/models/vq_model.py.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import VQ_GROUPS, VQConfig
from janus_cli.nets.finite import check_finite
from janus_cli.nets.pixels import to_float

CHUNK = 4096  # latents compared with the whole codebook at a time


def make_norm(width: int) -> nn.GroupNorm:
    """Make a GroupNorm, everywhere of the same number of groups."""
    return nn.GroupNorm(VQ_GROUPS, width, eps=1e-6)


class ResidualBlock(nn.Module):
    """Two normed convolutions beside a shortcut, which is 1 x 1 where the width changes. [B, C, H, W]."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = make_norm(width), nn.Conv2d(width, out, 3, padding=1)
        self.norm2, self.conv2 = make_norm(out), nn.Conv2d(out, out, 3, padding=1)
        self.nin_shortcut = nn.Conv2d(width, out, 1) if width != out else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.nin_shortcut is None else self.nin_shortcut(x))


class GridAttention(nn.Module):
    """One head of attention between all cells of a grid. [B, C, H, W] -> [B, C, H, W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = make_norm(width)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        q, k, v = (part(h).flatten(2).transpose(1, 2) for part in (self.q, self.k, self.v))
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
        return x + self.proj_out(seen)


class Halve(nn.Module):
    """A strided convolution, padded right and below alone. [B, C, H, W] -> [B, C, H/2, W/2]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class Double(nn.Module):
    """Every cell repeated, then a convolution. [B, C, H, W] -> [B, C, 2H, 2W]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return out


class Level(nn.Module):
    """The blocks of one resolution, and the step to the next. Attention only at the lowest one."""

    def __init__(
        self,
        width: int,
        out: int,
        n_block: int,
        lowest: bool,
        downsample: Halve | None = None,
        upsample: Double | None = None,
    ) -> None:
        super().__init__()
        self.res = nn.ModuleList(ResidualBlock(width if i == 0 else out, out) for i in range(n_block))
        self.attn = nn.ModuleList(GridAttention(out) for _ in range(n_block if lowest else 0))
        self.downsample, self.upsample = downsample, upsample

    def forward(self, x: Tensor) -> Tensor:
        for i, block in enumerate(self.res):
            x = block(x)
            if len(self.attn):
                x = self.attn[i](x)
        if self.downsample is not None:
            x = self.downsample(x)
        return x if self.upsample is None else self.upsample(x)


def make_middle(width: int) -> nn.ModuleList:
    """Make the blocks between encoder or decoder levels and the latents."""
    return nn.ModuleList([ResidualBlock(width, width), GridAttention(width), ResidualBlock(width, width)])


class Encoder(nn.Module):
    """Pixels [B, 3, H, W] -> latents [B, Z, H/16, W/16]."""

    def __init__(self, cfg: VQConfig) -> None:
        super().__init__()
        widths = [cfg.dim * m for m in (1, *cfg.multipliers)]
        last = len(cfg.multipliers) - 1
        self.conv_in = nn.Conv2d(3, cfg.dim, 3, padding=1)
        self.conv_blocks = nn.ModuleList()
        for i in range(last + 1):
            step = Halve(widths[i + 1]) if i < last else None
            self.conv_blocks.append(Level(widths[i], widths[i + 1], cfg.n_block, i == last, downsample=step))
        self.mid = make_middle(widths[-1])
        self.norm_out = make_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], cfg.latent_dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for block in (*self.conv_blocks, *self.mid):
            x = block(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out


class Decoder(nn.Module):
    """Latents [B, Z, h, w] -> pixels [B, 3, 16h, 16w]; one block more a level than the encoder."""

    def __init__(self, cfg: VQConfig) -> None:
        super().__init__()
        widths = [cfg.dim * m for m in reversed(cfg.multipliers)]
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(cfg.latent_dim, widths[0], 3, padding=1)
        self.mid = make_middle(widths[0])
        self.conv_blocks = nn.ModuleList()
        for i, width in enumerate(widths):
            step = Double(width) if i < last else None
            before = widths[max(i - 1, 0)]
            self.conv_blocks.append(Level(before, width, cfg.n_block + 1, i == 0, upsample=step))
        self.norm_out = make_norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        x = self.conv_in(z)
        for block in (*self.mid, *self.conv_blocks):
            x = block(x)
        out: Tensor = self.conv_out(F.silu(self.norm_out(x)))
        return out


class Codebook(nn.Module):
    """Codes as unit vectors; latents are compared by direction alone."""

    def __init__(self, cfg: VQConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(cfg.codebook_size, cfg.codebook_dim)

    def encode(self, latents: Tensor) -> Tensor:
        """Find the code of the nearest direction for each latent: [.., D] -> [..] int64."""
        book = F.normalize(self.embedding.weight.float(), dim=-1)
        flat = F.normalize(latents.reshape(-1, latents.shape[-1]).float(), dim=-1)
        codes = [(part @ book.T).argmax(dim=1) for part in flat.split(CHUNK)]
        return torch.cat(codes).view(latents.shape[:-1])

    def lookup(self, codes: Tensor) -> Tensor:
        """Look up the unit vectors [.., D] of codes [..]."""
        return F.normalize(self.embedding(codes), dim=-1)


class VQ16(nn.Module):
    """Pixels [B, 3, H, W] in [-1, 1] <-> codes [B, H/16, W/16]."""

    def __init__(self, cfg: VQConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder, self.decoder = Encoder(cfg), Decoder(cfg)
        self.quantize = Codebook(cfg)
        self.quant_conv = nn.Conv2d(cfg.latent_dim, cfg.codebook_dim, 1)
        self.post_quant_conv = nn.Conv2d(cfg.codebook_dim, cfg.latent_dim, 1)

    def encode(self, pixels: Tensor) -> Tensor:
        """Encode pixels [B, 3, H, W] in [-1, 1] to codes [B, h, w] int64."""
        latents = self.quant_conv(self.encoder(pixels.to(self.quant_conv.weight.dtype)))
        return self.quantize.encode(check_finite(latents, self).movedim(1, -1))

    def encode_picture(self, picture: np.ndarray) -> np.ndarray:
        """Encode a picture uint8 [H, W, 3], both sides of which the patch divides, to codes int64 [h, w]."""
        device = self.quant_conv.weight.device
        return self.encode(to_float(picture, device)[None])[0].cpu().numpy()

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [B, h, w] to pixels [B, 3, H, W], nominally in [-1, 1] but not clamped."""
        pixels: Tensor = self.decoder(self.post_quant_conv(self.quantize.lookup(codes).movedim(-1, 1)))
        return check_finite(pixels, self)

    def decode_picture(self, codes: Tensor) -> np.ndarray:
        """Decode codes [1, h, w] to a picture uint8 [H, W, 3]: fractions are cut off, as published."""
        scaled = self.decode(codes)[0].float().add(1).mul(127.5).clamp(0, 255)
        return scaled.to(torch.uint8).movedim(0, -1).cpu().numpy()
