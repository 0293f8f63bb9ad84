"""Training objective of the image tokenizer."""

import numpy as np
import torch
from torch import Tensor, nn

from janus_cli.config import DVAEConfig
from janus_cli.nets.dvae import DVAE
from janus_cli.training.losses import reconstruction_loss
from janus_cli.training.pictures import BACKGROUNDS, HUES, Item, Scene, Sprites, compose

COMMITMENT = 0.25
POOL = 131_072  # latents gathered for k-means


def to_tensor(pictures: np.ndarray) -> Tensor:
    """uint8 [..., H, W, 3] -> float [..., 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, -3).float().div_(127.5).sub_(1)


def any_scene(rng: np.random.Generator, drawings: np.ndarray) -> Scene:
    """A scene without a caption: mostly one drawing, sometimes coloured, small, or in company."""
    background = str(rng.choice(list(BACKGROUNDS))) if rng.random() < 0.2 else ""
    hue = str(rng.choice(list(HUES))) if rng.random() < 0.1 else ""
    if rng.random() < 0.75:
        return Scene((Item(int(rng.choice(drawings)), hue=hue),), background)
    spots = [(t, left) for t in (0, 32) for left in (0, 32)]
    count = rng.integers(1, 5)
    items = [Item(int(rng.choice(drawings)), *spots[i], 32, hue) for i in rng.permutation(4)[:count]]
    return Scene(tuple(items), background)


class TokenizerObjective(nn.Module):
    """Reconstruct composed pictures: first unquantised, then through a codebook made by k-means."""

    def __init__(self, cfg: DVAEConfig, sprites: Sprites, drawings: np.ndarray, batch_size: int, warmup: int):
        super().__init__()
        self.dvae = DVAE(cfg)
        self.register_buffer("count", self.dvae.quantize.count)  # persistent here: resume needs them
        self.register_buffer("total", self.dvae.quantize.total)
        self.sprites, self.drawings = sprites, drawings
        self.batch_size, self.warmup = batch_size, warmup
        self.step = 0
        self.used: tuple[Tensor, Tensor] | None = None

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """64 px pictures; a fifth of them are quarters of 128 px ones, for finer patches."""
        self.step = step
        if step == self.warmup:
            self._make_codebook(rng)
        pictures = []
        for _ in range(self.batch_size):
            scene = any_scene(rng, self.drawings)
            if rng.random() < 0.2:
                top, left = 8 * rng.integers(0, 9, 2)
                pictures.append(compose(scene, self.sprites, 128)[top : top + 64, left : left + 64])
            else:
                pictures.append(compose(scene, self.sprites, 64))
        return {"pixels": to_tensor(np.stack(pictures))}

    @torch.no_grad()
    def _make_codebook(self, rng: np.random.Generator) -> None:
        device = self.dvae.quantize.codebook.device
        parts = []
        for _ in range(POOL // 64 // self.batch_size * 2):
            pixels = torch.unique(self._patches(self.batch(rng, -1)["pixels"]), dim=0)
            parts.append(self.dvae.latents(pixels.to(device)).flatten(0, 2))
        self.step = self.warmup
        self.dvae.quantize.kmeans(torch.cat(parts))

    @staticmethod
    def _patches(pixels: Tensor) -> Tensor:
        return pixels.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).flatten(0, 2)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and metrics; remembers the assignments for the codebook's moving average."""
        latents = self.dvae.latents(batch["pixels"])
        if self.step < self.warmup:
            output = self.dvae.decode_latents(latents)
            self.used = None
            return reconstruction_loss(output, batch["pixels"]), {"psnr": psnr(output, batch["pixels"])}
        quantised, codes, commitment = self.dvae.quantize(latents)
        output = self.dvae.decode_latents(quantised)
        self.used = latents.detach().flatten(0, 2), codes.flatten()
        loss = reconstruction_loss(output, batch["pixels"]) + COMMITMENT * commitment
        return loss, {"psnr": psnr(output, batch["pixels"]), "commitment": commitment}

    def after_step(self, step: int) -> None:
        """Moving average of the codebook."""
        if self.used is not None and self.training:
            self.dvae.quantize.update(*self.used)


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of each picture's PSNR in dB; [B, 3, H, W] in [-1, 1]."""
    error = (output.detach().float().clamp(-1, 1) - target).square().mean((1, 2, 3)).clamp_min(1e-8)
    return (10 * torch.log10(4 / error)).mean()
