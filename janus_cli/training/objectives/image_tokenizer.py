"""Training objective of the image tokenizer: first the codebook, then the decoder.

The codes come from patches alone: principal components, then an EMA codebook. An encoder trained end
to end with a straight-through estimator ended 0.1 dB below this codebook's plain decode.
"""

import numpy as np
import torch
from torch import Tensor, nn

from janus_cli.config import DVAEConfig
from janus_cli.dataset.augment import shift_and_mirror
from janus_cli.dataset.pictures import Item, Scene, Sprites, compose, draw_scene
from janus_cli.errors import JanusError
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.pixels import to_float
from janus_cli.training.losses import psnr, reconstruction_loss

POOL = 14_000  # pictures whose distinct patches the codebook is fitted to
FIT_STEPS = 14
MAX_PATCHES = 600_000
FINE = 0.1  # share of quarters of 128 px pictures among those that the codebook is fitted to


class ImageTokenizerObjective(nn.Module):
    """Reconstruct composed pictures from codes that are fixed before the first step."""

    def __init__(self, cfg: DVAEConfig, sprites: Sprites, drawings: np.ndarray, batch_size: int):
        super().__init__()
        self.dvae = DVAE(cfg)
        self.dvae.project.requires_grad_(False)
        nn.init.zeros_(self.dvae.context[-2].weight)  # type: ignore[arg-type]
        self.sprites, self.drawings, self.batch_size = sprites, drawings, batch_size

    def _make_picture(self, rng: np.random.Generator, fine: float = FINE) -> np.ndarray:
        """Compose a picture of 64 px; a share `fine` are quarters of 128 px pictures, for finer patches."""
        scene = draw_scene(rng, self.drawings)
        if rng.random() >= fine:
            return compose(scene, self.sprites, 64)
        top, left = 8 * rng.integers(0, 9, 2)
        return compose(scene, self.sprites, 128)[top : top + 64, left : left + 64]

    def _make_moved(self, rng: np.random.Generator, fine: float = FINE, moved: float = 2 / 3) -> np.ndarray:
        picture = self._make_picture(rng, fine)
        return shift_and_mirror(picture, rng) if rng.random() < moved else picture

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Make pixels [B, 3, 64, 64]: half are quarters of 128 px pictures, half of all are moved."""
        pictures = [self._make_moved(rng, fine=0.5, moved=0.5) for _ in range(self.batch_size)]
        return {"pixels": to_float(np.stack(pictures))}

    @torch.no_grad()
    def initialise(self, rng: np.random.Generator, pool: int = POOL) -> None:
        """Fit projection and codebook: every drawing once, then composed pictures, `pool` in all.

        Of the composed pictures two in three are moved.
        Raises JanusError when they have too few different patches.
        """
        plain = (compose(Scene((Item(int(i)),)), self.sprites, 64) for i in self.drawings[:pool])
        mixed = (self._make_moved(rng) for _ in range(pool - min(pool, len(self.drawings))))
        pixels = to_float(np.stack([*plain, *mixed]))
        size = self.dvae.cfg.patch
        patches = torch.nn.functional.pixel_unshuffle(pixels, size).movedim(1, -1).flatten(0, 2)
        patches = torch.unique((patches * 127.5).round().to(torch.int16), dim=0).float() / 127.5
        if len(patches) <= self.dvae.cfg.codebook_size:
            raise JanusError(
                f"the pictures have {len(patches)} different patches, "
                f"too few for a codebook of {self.dvae.cfg.codebook_size}"
            )
        if len(patches) > MAX_PATCHES:
            patches = patches[torch.from_numpy(rng.permutation(len(patches))[:MAX_PATCHES])]
        self.dvae.fit_projection(patches)
        weight, bias = self.dvae.project.weight.flatten(1), self.dvae.project.bias
        assert bias is not None
        self.dvae.quantize.fit(torch.addmm(bias, patches, weight.T), FIT_STEPS)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss and metrics."""
        pixels = batch["pixels"]
        output = self.dvae.decode(self.dvae.encode(pixels))
        return reconstruction_loss(output, pixels), {"psnr": psnr(output, pixels)}
