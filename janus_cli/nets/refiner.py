"""The refiner: one depthwise-convolution trunk with two heads, a patch-wise denoiser and a x2 upsampler.

Knows pictures, codes and noise levels as tensors. Knows no records, no schedule and no files.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from janus_cli.config import RefinerConfig
from janus_cli.nets.finite import check_finite

CELL = 2  # pixels per trunk cell side: the trunk runs at half the picture's resolution
LEVELS = 3  # x1, x2, x4 enlargements the trunk can be told about
HEAD_SCALE = 0.1  # the heads' wide convolutions start at zero; without it Adam's first steps overshoot


def pixel_norm(x: Tensor, groups: int) -> Tensor:
    """Normalise [B, H, W, D] as GroupNorm, but with statistics of each position, over a group of channels.

    An ordinary GroupNorm averages over the whole picture: a patch would then change when a far one
    arrives, and a streamed picture could never equal the offline one. There is no gain and bias: a linear
    layer follows, and has both.
    """
    split = x.unflatten(-1, (groups, -1))
    return F.layer_norm(split, split.shape[-1:]).flatten(-2)


class Block(nn.Module):
    """Depthwise convolution, norm, two pointwise layers, residual (ConvNeXt, 2201.03545)."""

    def __init__(self, cfg: RefinerConfig) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(cfg.dim, cfg.dim, cfg.kernel, padding=cfg.kernel // 2, groups=cfg.dim)
        self.groups = cfg.groups
        self.up = nn.Linear(cfg.dim, cfg.dim * cfg.expansion)
        self.down = nn.Linear(cfg.dim * cfg.expansion, cfg.dim)
        nn.init.normal_(self.down.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, H, W, D] to the same shape; channels last in memory, so both layouts are free views."""
        local = self.spatial(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.down(F.gelu(self.up(pixel_norm(local, self.groups))))


class CodeMap(nn.Module):
    """What each code says about the pixels of its patch, as a map on the trunk's grid.

    A code's own vector is projected to every cell of its patch, so that position within the patch counts.
    """

    def __init__(self, cfg: RefinerConfig) -> None:
        super().__init__()
        self.side = cfg.patch // CELL
        self.table = nn.Embedding(cfg.codebook_size + 1, cfg.code_dim)  # the last row: not yet arrived
        self.hidden = nn.Linear(cfg.code_dim, 4 * cfg.code_dim)
        self.cells = nn.Linear(4 * cfg.code_dim, cfg.code_dim * self.side**2)

    def forward(self, codes: Tensor, scale: int) -> Tensor:
        """Map codes [B, rows, cols] to [B, rows * side * scale, cols * side * scale, code_dim]."""
        cells = self.cells(F.gelu(self.hidden(self.table(codes))))
        grid = F.pixel_shuffle(cells.permute(0, 3, 1, 2), self.side)
        return F.interpolate(grid, scale_factor=scale, mode="nearest").permute(0, 2, 3, 1)


class Refiner(nn.Module):
    """Denoiser and upsampler with shared weights."""

    def __init__(self, cfg: RefinerConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.codes = CodeMap(cfg)
        self.level = nn.Embedding(LEVELS, cfg.dim)
        self.input = nn.Linear(7 * CELL**2 + cfg.code_dim, cfg.dim)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.n_block))
        self.denoise_head = nn.Conv2d(cfg.dim, 3 * CELL**2, 3, padding=1)
        self.up_hidden = nn.Linear(cfg.dim, cfg.dim)
        self.up_head = nn.Conv2d(cfg.dim // CELL**2, 3 * 2**2, 3, padding=1)
        for head in (self.denoise_head, self.up_head):  # start as the identity and as plain enlargement
            nn.init.zeros_(head.weight)
            nn.init.zeros_(torch.as_tensor(head.bias))
        nn.init.normal_(self.level.weight, std=0.02)

    @property
    def mask_code(self) -> int:
        """The code of a patch that has not arrived, or of a picture that came without codes."""
        return self.cfg.codebook_size

    def init_codes(self, codebook: Tensor) -> None:
        """Start the code table from the principal axes of the dVAE's codebook [K, C].

        Rare codes are hardly seen in a short training; this way they begin beside their neighbours.
        """
        centred = codebook.detach().float() - codebook.detach().float().mean(0)
        axes = torch.linalg.svd(centred, full_matrices=False)[2][: self.cfg.code_dim]
        values = centred @ axes.T
        values = values / values.std(0).clamp_min(1e-6).sqrt()  # half-way to white: fine axes count too
        table = torch.zeros_like(self.codes.table.weight)
        table[:-1, : values.shape[1]] = (values / values.std().clamp_min(1e-6)).to(table)
        with torch.no_grad():
            self.codes.table.weight.copy_(table)

    def run_trunk(self, x: Tensor, y: Tensor, t: Tensor, codes: Tensor, first: int = 0) -> Tensor:
        """Run the trunk: x and y [B, 3, H, W], t [B, 1, H, W], codes [B, rows, cols] -> [B, H / 2, W / 2, D].

        The enlargement (1, 2 or 4) is W / (cols * patch). x may be a strip of what the codes stand for: from
        its row of pixels `first` on, which is even.
        """
        scale = x.shape[3] // (codes.shape[2] * self.cfg.patch)
        assert x.shape[3] == codes.shape[2] * self.cfg.patch * scale
        pixels = F.pixel_unshuffle(torch.cat((x, y, t), 1), CELL).permute(0, 2, 3, 1)
        known = self.codes(codes, scale)[:, first // CELL :][:, : pixels.shape[1]]
        h = self.input(torch.cat((pixels, known), -1))
        h = h + self.level.weight[scale.bit_length() - 1]
        for block in self.blocks:
            h = block(h)
        return pixel_norm(h, self.cfg.groups)

    def denoise(self, x: Tensor, y: Tensor, t: Tensor, codes: Tensor) -> Tensor:
        """Predict the sharp picture [B, 3, H, W] that the noisy x [B, 3, H, W] comes from.

        x = (1 - t)(y + noise * eps) + t * sharp on [-1, 1]; y: the dVAE's reconstruction, or what was
        enlarged from it; t [B, 1, H, W]: each pixel's time; codes [B, rows, cols], `mask_code` where none
        has arrived (x and y are 0 there).
        """
        return self._sharpen(self.run_trunk(x, y, t, codes), y)

    def upsample(self, x: Tensor, codes: Tensor, first: int = 0) -> Tensor:
        """Enlarge x [B, 3, H, W] on [-1, 1] to [B, 3, 2 H, 2 W]; codes [B, rows, cols], or all `mask_code`.

        `first`: the row of pixels with which x begins, where the codes stand for more.
        """
        return self._double(self.run_trunk(x, x, torch.ones_like(x[:, :1]), codes, first), x)

    def denoise_up(self, x: Tensor, y: Tensor, t: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Denoise to [B, 3, H, W] and enlarge that to [B, 3, 2 H, 2 W], in one pass of the trunk."""
        h = self.run_trunk(x, y, t, codes)
        sharp = self._sharpen(h, y)
        return sharp, self._double(h, sharp)

    def _sharpen(self, h: Tensor, y: Tensor) -> Tensor:
        # From y, not from x: what the head does not know yet is then blur, never left-over noise.
        detail = F.pixel_shuffle(self.denoise_head(h.permute(0, 3, 1, 2)), CELL)
        return check_finite(y + HEAD_SCALE * detail, self)

    def _double(self, h: Tensor, plain: Tensor) -> Tensor:
        h = F.pixel_shuffle(F.gelu(self.up_hidden(h)).permute(0, 3, 1, 2), CELL)
        plain = F.interpolate(plain, scale_factor=2, mode="bicubic", align_corners=False)
        return check_finite(plain + HEAD_SCALE * F.pixel_shuffle(self.up_head(h), 2), self)


def spread_over_pixels(patches: Tensor, size: int) -> Tensor:
    """Repeat a value per patch [B, rows, cols] for every pixel: [B, 1, rows * size, cols * size]."""
    return patches[:, None].repeat_interleave(size, 2).repeat_interleave(size, 3)
