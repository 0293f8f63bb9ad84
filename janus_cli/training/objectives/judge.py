"""Training objective of the judge.

It learns every drawing, the held-out ones too: it must know what a picture that the generator never saw
should look like. It sees pictures as the generator can make them at best, through the frozen dVAE.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import JudgeConfig, ModelConfig, write_config
from janus_cli.dataset.pack import STYLES, Concept
from janus_cli.dataset.pictures import BACKGROUNDS, HUES, Item, Scene, Sprites, compose, index, shrink
from janus_cli.errors import ModelError
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.judge import Judge
from janus_cli.nets.pixels import to_float

SIZE = 64  # pixels per side of what the judge sees
SMOOTHING = 0.05
STYLE_WEIGHT = 0.3  # style loss against the concept's 1: three classes are learned at once
SPOTS = ((0, 0), (0, 32), (32, 0), (32, 32))  # the four half-size drawings of one picture


@dataclass(frozen=True)
class Labels:
    """What the judge's outputs stand for, in order."""

    concepts: tuple[str, ...]
    styles: tuple[str, ...]


def judge_config(concepts: Sequence[Concept]) -> JudgeConfig:
    """The judge that these concepts need."""
    return JudgeConfig(n_concept=len(concepts), n_style=len(STYLES), size=SIZE)


def write_labels(folder: Path, concepts: Sequence[Concept]) -> Labels:
    """Write labels.json and config.json of a judge of these concepts into its model folder."""
    labels = Labels(tuple(c.name for c in concepts), tuple(STYLES))
    data = {"concepts": labels.concepts, "styles": labels.styles}
    (folder / "labels.json").write_text(json.dumps(data, ensure_ascii=False, indent=0) + "\n", "utf-8")
    write_config(ModelConfig(name=folder.name, judge=judge_config(concepts)), folder / "config.json")
    return labels


def read_labels(folder: Path) -> Labels:
    """The labels of the judge in `folder`. Raises ModelError when there are none."""
    path = folder / "labels.json"
    try:
        data = json.loads(path.read_text("utf-8"))
        return Labels(tuple(data["concepts"]), tuple(data["styles"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: no readable judge labels ({error}): train the judge again") from None


def warp(pixels: Tensor, scale: float = 0.12, shift: float = 0.08) -> Tensor:
    """Each picture [B, 3, S, S] resized and moved (`shift` in sides) a little at random; edges repeat."""
    size = 1 + scale * (2 * torch.rand(len(pixels), 1, device=pixels.device) - 1)
    move = 2 * shift * (2 * torch.rand(len(pixels), 2, device=pixels.device) - 1)
    theta = torch.zeros(len(pixels), 2, 3, device=pixels.device)
    theta[:, 0, 0] = theta[:, 1, 1] = size[:, 0]
    theta[:, :, 2] = move
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid.to(pixels), padding_mode="border", align_corners=False)


def soil(pixels: Tensor, noise: float = 0.06) -> Tensor:
    """Blur a third of the pictures [B, 3, S, S] slightly, and add noise of a random level to each."""
    blurred = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    draw = torch.rand(2, len(pixels), 1, 1, 1, device=pixels.device)
    pixels = torch.where(draw[0] < 0.33, blurred, pixels)
    return pixels + noise * draw[1] * torch.randn_like(pixels)


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
        self.labels = np.array([(c, order.index(style)) for c, style in index(list(concepts))])
        self.quads = max(1, batch_size // 16)  # pictures of four drawings: a quarter of the batch
        self.whole = max(0, batch_size - 4 * self.quads)
        self.through = max(0, batch_size // 2 - 4 * self.quads)  # whole pictures through the dVAE

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """pixels [W, 3, 64, 64], quads [Q, 3, 64, 64], cells [4 Q, 3, 64, 64]; labels [W + 4 Q, 2]."""
        drawings = rng.integers(len(self.labels), size=self.whole + 4 * self.quads)
        whole = [compose(self._scene(drawings[i : i + 1], rng), self.sprites) for i in range(self.whole)]
        large = [
            compose(self._scene(drawings[i : i + 4], rng), self.sprites, 2 * SIZE)
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
    def _scene(drawings: np.ndarray, rng: np.random.Generator) -> Scene:
        background = str(rng.choice(list(BACKGROUNDS))) if rng.random() < 0.25 else ""
        hue = str(rng.choice(list(HUES))) if rng.random() < 0.15 else ""
        if len(drawings) == 1:
            return Scene((Item(int(drawings[0]), hue=hue),), background)
        return Scene(
            tuple(Item(int(d), *spot, 32, hue) for d, spot in zip(drawings, SPOTS, strict=True)), background
        )

    @torch.no_grad()
    def pictures(self, batch: dict[str, Tensor]) -> Tensor:
        """What the judge is shown, [W + 4 Q, 3, 64, 64], in the order of the labels."""
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
        """Through the dVAE, in half of the pictures with up to a tenth of the codes from elsewhere."""
        codes = self.dvae.encode(pixels)
        rate = 0.2 * (torch.rand(len(codes), 1, 1, device=codes.device) - 0.5)
        wrong = torch.rand(codes.shape, device=codes.device) < rate
        others = codes.flatten()[torch.randint(codes.numel(), codes.shape, device=codes.device)]
        return self.dvae.decode(torch.where(wrong, others, codes)).float().clamp(-1, 1)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss, and the shares of right answers on this batch."""
        concept, style = (logits.float() for logits in self.judge(self.pictures(batch)))
        labels = batch["labels"]
        loss = F.cross_entropy(concept, labels[:, 0], label_smoothing=SMOOTHING)
        loss = loss + STYLE_WEIGHT * F.cross_entropy(style, labels[:, 1], label_smoothing=SMOOTHING)
        right = (concept.detach().argmax(1) == labels[:, 0]).float()
        return loss, {
            "top1": right.mean(),
            "top1_cells": right[self.whole :].mean(),
            "style": (style.detach().argmax(1) == labels[:, 1]).float().mean(),
        }

    def after_step(self, step: int) -> None:
        """Nothing follows the optimiser's step."""
