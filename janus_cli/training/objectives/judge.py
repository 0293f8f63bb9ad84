"""Training objective of the judge.

It learns every drawing, the held-out ones too: it must know what a picture that the generator never saw
should look like. It sees pictures as the generator can make them at best, through the frozen dVAE.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import JudgeConfig
from janus_cli.dataset.augment import soil, warp
from janus_cli.dataset.labels import SIZE
from janus_cli.dataset.pack import STYLES, Concept
from janus_cli.dataset.pictures import BACKGROUNDS, HUES, Item, Scene, Sprites, compose, list_drawings, shrink
from janus_cli.dataset.samples import LAYOUTS
from janus_cli.errors import ModelError
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.judge import Judge
from janus_cli.nets.pixels import to_float

SMOOTHING = 0.05
STYLE_WEIGHT = 0.3  # style loss against the concept's 1: three classes are learned at once
SPOTS = LAYOUTS["4"]  # the four half-size drawings of one picture


class JudgeObjective(nn.Module):
    """Name the concept and the style of composed pictures, half of them seen through the frozen dVAE.

    A batch has whole pictures, and quarters of pictures of four drawings, enlarged: that is how scenes
    are judged. Of those through the dVAE some are partly sharp again, as the refiner leaves them.
    """

    def __init__(
        self, cfg: JudgeConfig, concepts: Sequence[Concept], sprites: Sprites, dvae: DVAE, batch_size: int
    ):
        super().__init__()
        if (cfg.n_concept, cfg.n_style, cfg.size) != (len(concepts), len(STYLES), SIZE):
            raise ModelError(
                f"the pictures need {len(concepts)} concepts and {len(STYLES)} styles at {SIZE} px, "
                f"not {cfg.n_concept} and {cfg.n_style} at {cfg.size} px"
            )
        self.dvae = dvae.eval().requires_grad_(False)
        self.judge = Judge(cfg)
        self.sprites = sprites
        order = list(STYLES)
        self.labels = np.array([(c, order.index(style)) for c, style in list_drawings(concepts)])
        self.quads = max(1, batch_size // 16)  # pictures of four drawings: a quarter of the batch
        self.whole = max(0, batch_size - 4 * self.quads)
        self.through = max(0, batch_size // 2 - 4 * self.quads)  # whole pictures through the dVAE

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Make pixels [W, 3, 64, 64], quads [Q, 3, 64, 64], cells [4 Q, 3, 64, 64]; labels [W + 4 Q, 2]."""
        drawings = rng.integers(len(self.labels), size=self.whole + 4 * self.quads)
        whole = [compose(self._make_scene(drawings[i : i + 1], rng), self.sprites) for i in range(self.whole)]
        large = [
            compose(self._make_scene(drawings[i : i + 4], rng), self.sprites, 2 * SIZE)
            for i in range(self.whole, len(drawings), 4)
        ]
        four = np.stack(large)
        cells = four.reshape(-1, 2, SIZE, 2, SIZE, 3).swapaxes(2, 3).reshape(-1, SIZE, SIZE, 3)
        return {
            "pixels": to_float(np.array(whole, np.uint8).reshape(-1, SIZE, SIZE, 3)),
            "quads": to_float(shrink(four, SIZE)),
            "cells": to_float(cells),
            "labels": torch.from_numpy(self.labels[drawings]),
        }

    @staticmethod
    def _make_scene(drawings: np.ndarray, rng: np.random.Generator) -> Scene:
        background = str(rng.choice(list(BACKGROUNDS))) if rng.random() < 0.25 else ""
        hue = str(rng.choice(list(HUES))) if rng.random() < 0.15 else ""
        if len(drawings) == 1:
            return Scene((Item(int(drawings[0]), hue=hue),), background)
        return Scene(
            tuple(Item(int(d), *spot, 32, hue) for d, spot in zip(drawings, SPOTS, strict=True)), background
        )

    @torch.no_grad()
    def show(self, batch: dict[str, Tensor]) -> Tensor:
        """Prepare what the judge is shown, [W + 4 Q, 3, 64, 64], in the order of the labels."""
        whole, cells = batch["pixels"], batch["cells"]
        seen = self._reconstruct(torch.cat([whole[: self.through], batch["quads"]]))
        quarters = torch.stack(
            [seen[self.through :, :, t : t + 32, left : left + 32] for t, left in SPOTS], 1
        )
        quarters = F.interpolate(quarters.flatten(0, 1), scale_factor=2, mode="bilinear")
        seen = torch.cat([seen[: self.through], quarters])
        sharp = torch.cat([whole[: self.through], cells])
        draw = torch.rand(2, len(seen), 1, 1, 1, device=seen.device)
        mixed = torch.lerp(seen, sharp, torch.where(draw[0] < 0.5, 0.0, 0.8 * draw[1]))
        reconstructed, quarters = mixed[: self.through], mixed[self.through :]
        return soil(warp(torch.cat([reconstructed, whole[self.through :], quarters])))

    def _reconstruct(self, pixels: Tensor) -> Tensor:
        """Send pictures through the dVAE, half of them with up to a tenth of the codes from elsewhere."""
        codes = self.dvae.encode(pixels)
        rate = 0.2 * (torch.rand(len(codes), 1, 1, device=codes.device) - 0.5)
        wrong = torch.rand(codes.shape, device=codes.device) < rate
        others = codes.flatten()[torch.randint(codes.numel(), codes.shape, device=codes.device)]
        return self.dvae.decode(torch.where(wrong, others, codes)).float().clamp(-1, 1)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss, and the shares of right answers on this batch."""
        concept, style = (logits.float() for logits in self.judge(self.show(batch)))
        labels = batch["labels"]
        loss = F.cross_entropy(concept, labels[:, 0], label_smoothing=SMOOTHING)
        loss = loss + STYLE_WEIGHT * F.cross_entropy(style, labels[:, 1], label_smoothing=SMOOTHING)
        right = (concept.detach().argmax(1) == labels[:, 0]).float()
        return loss, {
            "top1": right.mean(),
            "top1_cells": right[self.whole :].mean(),
            "style": (style.detach().argmax(1) == labels[:, 1]).float().mean(),
        }
