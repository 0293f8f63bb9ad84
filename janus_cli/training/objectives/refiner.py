"""Training objective of the refiner: denoise patch by patch, enlarge twice, one trunk for all.

Knows pictures and a frozen tokenizer. A step trains four passes on a crop: the way from the tokenizer's
reconstruction to the picture at x1 (both heads), the enlargement of x1, that of its own output (half of the
time denoising again), and denoising at x4.

What the denoiser sees on its way is where its own steps lead, not a blend with the true picture: a net that
learned on those took its own first guess for the truth, and more steps gained nothing.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from janus_cli.config import RefinerConfig
from janus_cli.dataset.augment import shift_and_mirror
from janus_cli.dataset.pictures import Sprites, compose, draw_scene
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.pixels import to_float
from janus_cli.nets.refiner import Refiner, spread_over_pixels
from janus_cli.training.losses import gradient_loss, psnr, structure_loss

CLEAN, RECONSTRUCTED = 0.2, 0.2  # shares of the inputs that the upsampler learns from; the rest is our own
PLAIN = 0.5  # share of the second enlargements that start from a finished picture; the rest denoise too
NO_CODES = 0.1  # share of the enlarged pictures that come without codes
WAVEFRONT, RANDOM = 0.5, 0.25  # shares of the noise maps; the rest has one level for the whole picture
START = 0.3  # share of the pictures in which every patch is at time 0, as at the first step
NOISY = 0.25  # share of the pictures that start with noise
STRUCTURE = 0.4  # weight of SSIM
SIDES = (256, 512)  # pixels of the large pictures: four times what models of 64 and of 256 tokens draw


@dataclass(frozen=True)
class Crops:
    """A square of `tokens` x `tokens` tokens per picture, at the same place in every tensor."""

    corners: tuple[tuple[int, int], ...]  # (row, column) of the first token
    tokens: int

    @classmethod
    def draw(cls, batch: int, grid: tuple[int, int], tokens: int) -> "Crops":
        """Draw random places on a grid of rows and columns."""
        tokens = min(tokens, *grid)
        places = [torch.randint(side - tokens + 1, (batch,)).tolist() for side in grid]
        return cls(tuple(zip(*places, strict=True)), tokens)

    def take(self, x: Tensor, size: int = 1) -> Tensor:
        """Cut out: [B, ..., rows * size, cols * size] -> [B, ..., tokens * size, tokens * size]."""
        n = self.tokens * size
        starts = [(r * size, c * size) for r, c in self.corners]
        return torch.stack([x[i, ..., r : r + n, c : c + n] for i, (r, c) in enumerate(starts)])


def sharp_loss(output: Tensor, target: Tensor) -> Tensor:
    """Compare [B, 3, H, W] by colours (squared error above all), structure, edges, spatial frequencies.

    Squared error alone averages over where an edge might be and blurs it. The spectrum's L1 (MIMO-UNet,
    2108.05054) asks for the fine frequencies that hardly count among pixels; with more of it, pictures
    were no nearer to the original than enlarged ones.
    """
    output, target = output.float(), target.float()
    spectrum = torch.fft.rfft2(output - target, norm="ortho").abs().mean()
    pixels = 0.5 * F.l1_loss(output, target) + 10 * F.mse_loss(output, target)
    edges = 0.1 * gradient_loss(output, target) + 0.05 * spectrum
    return pixels + edges + STRUCTURE * structure_loss(output, target)


def draw_noise_maps(batch: int, grid: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Draw times t [B, rows, cols] in [0, 1] and which patches have arrived (bool, same shape).

    A time per patch, as in Diffusion Forcing (2407.01392); the wavefront is Rolling Diffusion (2402.09470)
    cut into patches: t_p = clip((front - p) / window, 0, 1) over the raster index p. In half of the
    wavefronts the patches well ahead are missing.
    """
    rows, cols = grid
    index = torch.arange(rows * cols, device=device).view(1, rows, cols)
    draw = torch.rand(5, batch, 1, 1, device=device)
    window = cols * torch.randint(1, 5, (batch, 1, 1), device=device)
    front = draw[0] * (rows * cols + window)
    wave = ((front - index) / window).clamp(0, 1)
    t = torch.where(draw[1] < WAVEFRONT + RANDOM, torch.rand(batch, rows, cols, device=device), draw[2])
    t = torch.where(draw[1] < WAVEFRONT, wave, t)
    t = torch.where(draw[4] < START, 0.0, t)
    ahead = 4 * cols * draw[3]  # above two rows: all have arrived
    missing = (draw[1] < WAVEFRONT) & (draw[4] >= START) & (ahead < 2 * cols) & (index >= front + ahead)
    return t, ~missing


@torch.no_grad()
def step_towards(refiner: Refiner, y: Tensor, time: Tensor, codes: Tensor) -> Tensor:
    """Take one or two Euler steps of `refiner` from y [B, 3, H, W] to each pixel's time [B, 1, H, W].

    Some pictures start with noise of a random strength. This stands for every schedule of steps.
    """
    draw = torch.rand(3, len(y), 1, 1, 1, device=y.device)
    strength = refiner.cfg.noise * torch.where(draw[0] < NOISY, draw[1], 0.0)
    x = y + strength * torch.randn_like(y)
    between = time * torch.where(draw[2] < 0.5, 2 * draw[2], 0.0)
    if (between > 0).any():
        x = torch.lerp(x, refiner.denoise(x, y, torch.zeros_like(time), codes), between)
    share = (time - between) / (1 - between).clamp_min(1e-6)
    return torch.lerp(x, refiner.denoise(x, y, between, codes), share)


def bridge_losses(
    refiner: Refiner, sharp: Tensor, twice: Tensor, y: Tensor, codes: Tensor, t: Tensor, arrived: Tensor
) -> tuple[Tensor, Tensor]:
    """Losses of the denoiser and of the upsampler on the way from y to `sharp`.

    sharp, y [B, 3, H, W]; twice [B, 3, 2 H, 2 W]; the rest [B, rows, cols]. The denoiser answers for the
    patches that are under way, the upsampler for all that have arrived.
    """
    size = sharp.shape[2] // t.shape[1]
    time, here = spread_over_pixels(t, size), spread_over_pixels(arrived, size)
    known = codes.masked_fill(~arrived, refiner.mask_code)
    x = step_towards(refiner, y * here, time, known) * here
    guess, enlarged = refiner.denoise_up(x, y * here, time, known)
    denoising = _compare_masked(guess, sharp, here & (time < 1))
    return denoising, _compare_masked(enlarged, twice, spread_over_pixels(arrived, 2 * size))


def _compare_masked(output: Tensor, target: Tensor, where: Tensor) -> Tensor:
    """The sharp loss of the pixels in `where` [B, 1, H, W], as if they were all there are."""
    return sharp_loss(torch.where(where, output, target), target) / where.float().mean().clamp_min(0.05)


@torch.no_grad()
def run_denoiser(refiner: Refiner, y: Tensor, codes: Tensor, steps: int = 2) -> Tensor:
    """Denoise y [B, 3, H, W] in Euler steps, with one time for all patches."""
    x = y
    for step in range(steps):
        t = torch.full_like(x[:, :1], step / steps)
        x = x + (refiner.denoise(x, y, t, codes) - x) / (steps - step)
    return x.clamp(-1, 1)


def refine_loss(
    refiner: Refiner, dvae: DVAE, pictures: Tensor, crop: int = 6
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the loss and metrics for pictures [B, 3, S, S] in [-1, 1]; S / 4 is a multiple of the patch.

    crop: tokens per side of the training crop at x1; the second enlargement sees half of it.
    """
    size, batch = refiner.cfg.patch, len(pictures)
    middle = F.avg_pool2d(pictures, 2)
    small = F.avg_pool2d(middle, 2)
    with torch.no_grad():
        codes = dvae.encode(small)
        decoded = dvae.decode(codes).float().clamp(-1, 1)
    grid = (codes.shape[1], codes.shape[2])
    t, arrived = draw_noise_maps(batch, grid, pictures.device)
    crops = Crops.draw(batch, grid, crop)
    codes, t, arrived = (crops.take(v) for v in (codes, t, arrived))
    x1, y = crops.take(small, size), crops.take(decoded, size)
    x2, x4 = crops.take(middle, 2 * size), crops.take(pictures, 4 * size)
    denoising, both = bridge_losses(refiner, x1, x2, y, codes, t, arrived)

    own = run_denoiser(refiner, y, codes)
    pick = torch.rand(batch, 1, 1, 1, device=y.device)
    source = torch.where(pick < CLEAN, x1, torch.where(pick < CLEAN + RECONSTRUCTED, y, own))
    known = codes.masked_fill(torch.rand(batch, 1, 1, device=y.device) < NO_CODES, refiner.mask_code)
    twice = refiner.upsample(source, known)

    inner = Crops.draw(batch, (crops.tokens, crops.tokens), max(1, crops.tokens // 2))
    clean = torch.rand(batch, 1, 1, 1, device=y.device) < CLEAN
    source2 = inner.take(torch.where(clean, x2, twice.detach().clamp(-1, 1).to(x2)), 2 * size)
    target2, target4 = inner.take(x2, 2 * size), inner.take(x4, 4 * size)
    again, four = _enlarge_again(refiner, source2, target2, target4, inner.take(known), inner.take(t))
    last = _denoise_large(refiner, four, target4, inner.take(known), inner.take(t))

    doubling = sharp_loss(twice, x2)
    bicubic = F.interpolate(y, scale_factor=2, mode="bicubic")
    judged = (pick >= CLEAN).flatten()  # enlarged from codes, as in use
    judged = judged if judged.any() else torch.ones_like(judged)
    metrics = {
        "denoise": denoising,
        "both": both,
        "x2": doubling,
        "x4": again,
        "denoise_x4": last,
        "psnr_decoded": psnr(y, x1),
        "psnr_denoised": psnr(own, x1),
        "psnr_x2": psnr(twice[judged], x2[judged]),
        "psnr_bicubic": psnr(bicubic[judged], x2[judged]),
    }
    return denoising + 0.5 * (both + doubling + last) + again, {k: v.detach() for k, v in metrics.items()}


def _enlarge_again(
    refiner: Refiner, source: Tensor, sharp: Tensor, twice: Tensor, codes: Tensor, t: Tensor
) -> tuple[Tensor, Tensor]:
    """Enlarge a second time: the loss and what was made, [B, 3, 2 H, 2 W].

    Pictures are enlarged as they are, or denoised in the same pass. source, sharp [B, 3, H, W]; twice
    [B, 3, 2 H, 2 W]; codes and t [B, rows, cols].
    """
    enlarged = refiner.upsample(source, codes)
    if torch.rand(()) < PLAIN:
        return sharp_loss(enlarged, twice), enlarged
    everywhere = torch.ones_like(codes, dtype=torch.bool)
    denoising, both = bridge_losses(refiner, sharp, twice, source, codes, t, everywhere)
    return 0.5 * denoising + both, enlarged


def _denoise_large(refiner: Refiner, source: Tensor, sharp: Tensor, codes: Tensor, t: Tensor) -> Tensor:
    """Denoise an enlarged picture [B, 3, H, W] on an inner crop: the loss; codes and t [B, rows, cols]."""
    size = sharp.shape[2] // codes.shape[1]
    inner = Crops.draw(len(sharp), (codes.shape[1], codes.shape[2]), max(1, codes.shape[1] * 2 // 3))
    y, target = inner.take(source.detach().clamp(-1, 1).to(sharp), size), inner.take(sharp, size)
    codes, time = inner.take(codes), spread_over_pixels(inner.take(t), size)
    guess = refiner.denoise(step_towards(refiner, y, time, codes), y, time, codes)
    return _compare_masked(guess, target, time < 1)


class RefinerObjective(nn.Module):
    """Composed pictures at four times the tokenizer's size, refined from its codes."""

    def __init__(
        self,
        cfg: RefinerConfig,
        dvae: DVAE,
        sprites: Sprites,
        drawings: np.ndarray,
        batch_size: int,
        crop: int = 6,
        sides: tuple[int, ...] = SIDES,
    ):
        super().__init__()
        self.dvae = dvae.eval().requires_grad_(False)
        self.refiner = Refiner(cfg)
        self.refiner.init_codes(dvae.quantize.codebook)
        self.sprites, self.drawings = sprites, drawings
        self.batch_size, self.crop, self.sides = batch_size, crop, sides

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Make pictures [B, 3, side, side], half of them moved; steps with each of the sides take turns."""
        side = self.sides[step % len(self.sides)]
        scenes = [draw_scene(rng, self.drawings) for _ in range(self.batch_size)]
        pictures = [compose(scene, self.sprites, side) for scene in scenes]
        half_patch = 4 * self.refiner.cfg.patch // 2
        pictures = [p if rng.random() < 0.5 else shift_and_mirror(p, rng, half_patch) for p in pictures]
        return {"pixels": to_float(np.stack(pictures))}

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss and metrics of `batch`."""
        return refine_loss(self.refiner, self.dvae, batch["pixels"], self.crop)
