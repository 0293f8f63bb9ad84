"""The image tokenizer: 8 px patches to 8192 codes and back.

The encoder sees one patch at a time (1x1 convolutions after unshuffling), so that equal patches get
equal codes wherever they stand: a wider one leaks its surroundings into the code, which then cannot
be predicted. The decoder is convolutional and local: no norm, no attention, so pixels depend only on
codes within a few cells.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import DVAEConfig
from janus_cli.nets.quantize import Quantizer


class ResidualBlock(nn.Module):
    """x + conv(gelu(conv(gelu(x)))), the second convolution starting at zero."""

    def __init__(self, dim: int, kernel: int = 3):
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, kernel, padding=kernel // 2)
        self.conv2 = nn.Conv2d(dim, dim, kernel, padding=kernel // 2)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.gelu(self.conv1(F.gelu(x))))


class DVAE(nn.Module):
    """Pixels [B, 3, H, W] in [-1, 1] <-> codes [B, H/patch, W/patch]."""

    def __init__(self, cfg: DVAEConfig):
        super().__init__()
        self.cfg = cfg
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(cfg.patch),
            nn.Conv2d(3 * cfg.patch**2, cfg.encoder_dim, 1),
            ResidualBlock(cfg.encoder_dim, kernel=1),
            ResidualBlock(cfg.encoder_dim, kernel=1),
            nn.Conv2d(cfg.encoder_dim, cfg.codebook_dim, 1),
        )
        self.quantize = Quantizer(cfg.codebook_size, cfg.codebook_dim)
        half = cfg.dim * 3 // 4
        fine = cfg.patch // 2  # pixels per cell of the second resolution
        self.decoder = nn.Sequential(
            nn.Conv2d(cfg.codebook_dim, cfg.dim, 3, padding=1),
            *(ResidualBlock(cfg.dim) for _ in range(cfg.n_block)),
            nn.Conv2d(cfg.dim, half * 4, 1),
            nn.PixelShuffle(2),
            *(ResidualBlock(half) for _ in range(cfg.n_block // 2)),
            nn.Conv2d(half, 3 * fine**2, 3, padding=1),
            nn.PixelShuffle(fine),
        )

    def latents(self, pixels: Tensor) -> Tensor:
        """Unit vectors [B, h, w, D] before quantisation."""
        return F.normalize(self.encoder(pixels).movedim(1, -1), dim=-1)

    def encode(self, pixels: Tensor) -> Tensor:
        """Pixels [B, 3, H, W] in [-1, 1] -> codes [B, h, w] int64. H and W are multiples of the patch."""
        return self.quantize.encode(self.latents(pixels))

    def lookup(self, codes: Tensor) -> Tensor:
        """Code vectors [B, D, h, w] of codes [B, h, w]."""
        return self.quantize.lookup(codes).movedim(-1, 1)

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Unit vectors [B, h, w, D] -> pixels [B, 3, H, W]."""
        return self.decoder(latents.movedim(-1, 1))

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, h, w] -> pixels [B, 3, H, W], nominally in [-1, 1] but not clamped."""
        return self.decode_latents(self.quantize.lookup(codes))
