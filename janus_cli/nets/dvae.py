"""The image tokenizer: 8 px patches to 8192 codes and back.

The encoder is a linear projection of one patch at a time, so that equal patches get equal codes
wherever they stand: a wider one leaks its surroundings into the code, which then cannot be
predicted. The decoder adds what the neighbours tell; it is convolutional and local: no norm, no
attention, so pixels depend only on codes within a few cells. A picture of any size is encoded and
decoded in bounded memory, some rows at a time.
"""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import DVAEConfig
from janus_cli.nets.by_rows import Step, Sum, chain, cut_chunks, make_step, on_each_row
from janus_cli.nets.finite import check_finite
from janus_cli.nets.pixels import to_uint8
from janus_cli.nets.quantize import Quantizer

PATCHES = 1 << 14  # encoded at a time
CELLS = 1 << 12  # codes decoded at a time: 8 KB each where the net is widest
FEW = 8  # patches: fewer are multiplied in another order, to other last bits


class ResidualBlock(nn.Module):
    """x + conv(gelu(conv(gelu(x)))), the second convolution starting at zero."""

    def __init__(self, dim: int):
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 3, padding=1)
        self.conv2 = nn.Conv2d(dim, dim, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.gelu(self.conv1(F.gelu(x))))

    def make_step(self) -> Step:
        """Make the step of `nets.by_rows` that does as `forward`."""
        gelu = on_each_row(F.gelu)
        return Sum(lambda x: x, chain([gelu, make_step(self.conv1), gelu, make_step(self.conv2)]))


class DVAE(nn.Module):
    """Pixels [B, 3, H, W] in [-1, 1] <-> codes [B, H/patch, W/patch]."""

    def __init__(self, cfg: DVAEConfig):
        super().__init__()
        self.cfg = cfg
        pixels = 3 * cfg.patch**2
        self.project = nn.Conv2d(pixels, cfg.codebook_dim, 1)
        self.quantize = Quantizer(cfg.codebook_size, cfg.codebook_dim)
        self.unproject = nn.Conv2d(cfg.codebook_dim, pixels, 1)
        half = cfg.dim * 3 // 4
        fine = cfg.patch // 2  # pixels per cell of the second resolution
        self.context = nn.Sequential(
            nn.Conv2d(cfg.codebook_dim, cfg.dim, 3, padding=1),
            *(ResidualBlock(cfg.dim) for _ in range(cfg.n_block)),
            nn.Conv2d(cfg.dim, half * 4, 1),
            nn.PixelShuffle(2),
            *(ResidualBlock(half) for _ in range(cfg.n_block // 2)),
            nn.Conv2d(half, 3 * fine**2, 3, padding=1),
            nn.PixelShuffle(fine),
        )

    @property
    def reach(self) -> int:
        """Rows of codes above its own, and as many below, that a row of decoded pixels depends on."""
        blocks = self.cfg.n_block // 2  # of the second resolution, two cells a code
        return 1 + 2 * self.cfg.n_block + (2 * blocks + 1 + 1) // 2

    @torch.no_grad()
    def fit_projection(self, patches: Tensor) -> None:
        """Set encoder and plain decoder to the principal components of patches [N, 3 * patch^2]."""
        mean = patches.mean(0)
        _, vectors = torch.linalg.eigh((patches - mean).T @ (patches - mean) / len(patches))
        basis = vectors[:, -self.cfg.codebook_dim :].flip(1)  # [pixels, D], orthonormal columns
        self.project.weight.copy_(basis.T[..., None, None])
        self.project.bias.copy_(-basis.T @ mean)  # type: ignore[union-attr]
        self.unproject.weight.copy_(basis[..., None, None])
        self.unproject.bias.copy_(mean)  # type: ignore[union-attr]

    def compute_latents(self, pixels: Tensor) -> Tensor:
        """Project pixels [B, 3, H, W] to vectors [B, h, w, D] before quantisation."""
        return self.project(F.pixel_unshuffle(pixels, self.cfg.patch)).movedim(1, -1)

    def encode(self, pixels: Tensor) -> Tensor:
        """Encode pixels [B, 3, H, W] in [-1, 1] to codes [B, h, w] int64; the patch divides H and W."""
        return self.quantize.encode(check_finite(self.compute_latents(pixels), self))

    def encode_picture(self, picture: np.ndarray) -> np.ndarray:
        """Encode a picture uint8 [H, W, 3], both sides of which the patch divides, to codes int64 [h, w].

        Equal patches among some thousand neighbours are encoded once: drawings have much paper.
        """
        rows, cols = (side // self.cfg.patch for side in picture.shape[:2])
        codes = np.empty((rows, cols), np.int64)
        step = max(1, PATCHES // cols)
        for top in range(0, rows, step):
            patches = self._cut_patches(picture[top * self.cfg.patch : (top + step) * self.cfg.patch])
            words = patches.view(f"V{patches.shape[1]}")[:, 0]
            _, first, place = np.unique(words, return_index=True, return_inverse=True)
            first = np.resize(first, max(len(first), min(FEW, len(patches))))
            codes[top : top + step] = self._encode_patches(patches[first])[place].reshape(-1, cols)
        return codes

    def _cut_patches(self, band: np.ndarray) -> np.ndarray:
        """Cut a picture uint8 [h * patch, w * patch, 3] into patches [h * w, 3 * patch^2], channels first."""
        patch = self.cfg.patch
        split = band.reshape(-1, patch, band.shape[1] // patch, patch, 3).transpose(0, 2, 4, 1, 3)
        return np.ascontiguousarray(split).reshape(-1, 3 * patch**2)

    def _encode_patches(self, patches: np.ndarray) -> np.ndarray:
        """Encode patches uint8 [N, 3 * patch^2] to codes int64 [N]."""
        pixels = torch.from_numpy(patches).to(self.quantize.codebook.device).float().div_(127.5).sub_(1)
        latents = F.linear(pixels, self.project.weight.flatten(1), self.project.bias)
        return self.quantize.encode(check_finite(latents, self)).cpu().numpy()

    def lookup(self, codes: Tensor) -> Tensor:
        """Look up the vectors [B, D, h, w] of codes [B, h, w]."""
        return self.quantize.lookup(codes).movedim(-1, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [B, h, w] to pixels [B, 3, H, W], nominally in [-1, 1] but not clamped."""
        vectors = self.lookup(codes)
        return check_finite(self._decode_plainly(vectors) + self.context(vectors), self)

    def _decode_plainly(self, vectors: Tensor) -> Tensor:
        """Decode vectors [B, D, h, w] to pixels [B, 3, H, W], each patch alone."""
        return F.pixel_shuffle(self.unproject(vectors), self.cfg.patch)

    def decode_by_rows(self, codes: Tensor, step: int) -> Iterator[Tensor]:
        """Decode codes [B, h, w], `step` rows at a time, to bands of the pixels that `decode` gives."""
        decode = Sum(self._decode_plainly, make_step(self.context))
        for grid, is_last in cut_chunks(codes[:, None], step, self.reach):
            if (band := decode(self.lookup(grid[:, 0]), is_last)) is not None:
                yield check_finite(band, self)

    def decode_picture(self, codes: Tensor) -> np.ndarray:
        """Decode codes [1, h, w] to a picture uint8 [H, W, 3]."""
        rows, cols = codes.shape[1:]
        step = max(1, CELLS // cols)
        if rows <= step:
            return to_uint8(self.decode(codes)[0])
        picture, top = np.empty((rows * self.cfg.patch, cols * self.cfg.patch, 3), np.uint8), 0
        for band in self.decode_by_rows(codes, step):
            picture[top : top + band.shape[2]] = to_uint8(band[0])
            top += band.shape[2]
        return picture
