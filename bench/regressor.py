"""The refiner's plain rival: the same net, trained as a one-step regressor on squared error.

    python -m bench.regressor models/pocket/recipe.toml --data .data --out runs/regressor [--start FOLDER]

Writes a model folder that `python -m bench.refine --regressor` compares with. No noise, no times, no edges
or frequencies in the loss: what the picture is on average, given the codes.
"""

import argparse
import dataclasses
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from janus_cli import weights
from janus_cli.config import RefinerConfig, format_config
from janus_cli.dataset import find_data_folder
from janus_cli.nets.refiner import Refiner
from janus_cli.training.loop import Run, Schedule, fit
from janus_cli.training.objectives.refiner import Crops, RefinerObjective
from janus_cli.training.optim import adamw
from janus_cli.training.recipe import read_recipe
from janus_cli.training.workshop import Workshop


def in_one_step(refiner: Refiner, y: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """The guess for y [B, 3, H, W] and its enlargement [B, 3, 2 H, 2 W]; codes [B, rows, cols]."""
    return refiner.denoise_up(y, y, torch.zeros_like(y[:, :1]), codes)


class Regressor(RefinerObjective):
    """Squared error at x1, x2 and x4, from the tokenizer's reconstruction in one step each."""

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its parts for pictures [B, 3, S, S] in [-1, 1]."""
        pictures, size = batch["pixels"], self.refiner.cfg.patch
        middle = F.avg_pool2d(pictures, 2)
        small = F.avg_pool2d(middle, 2)
        with torch.no_grad():
            codes = self.dvae.encode(small)
            y = self.dvae.decode(codes).float().clamp(-1, 1)
        crops = Crops.draw(len(pictures), (codes.shape[1], codes.shape[2]), self.crop)
        known = crops.take(codes)
        sharp, twice = in_one_step(self.refiner, crops.take(y, size), known)
        inner = Crops.draw(len(pictures), (crops.tokens, crops.tokens), max(1, crops.tokens // 2))
        source = inner.take(twice.detach().clamp(-1, 1), 2 * size)
        again, four_times = in_one_step(self.refiner, source, inner.take(known))
        losses = {
            "x1": F.mse_loss(sharp, crops.take(small, size)),
            "x2": F.mse_loss(twice, crops.take(middle, 2 * size)),
            "x2_again": F.mse_loss(again, inner.take(crops.take(middle, 2 * size), 2 * size)),
            "x4": F.mse_loss(four_times, inner.take(crops.take(pictures, 4 * size), 4 * size)),
        }
        return 10 * torch.stack(list(losses.values())).sum(), {k: v.detach() for k, v in losses.items()}


def main() -> None:
    """Train with the recipe's steps, batch and rate; resumes from its checkpoint."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, default=find_data_folder())
    parser.add_argument("--out", type=Path, default=Path("runs/regressor"))
    parser.add_argument("--start", type=Path, help="model folder with a dVAE, and a refiner to start from")
    options = parser.parse_args()
    recipe = read_recipe(options.recipe)
    model = options.start or options.recipe.parent
    shop = Workshop(recipe, options.data, model, "cpu", lambda items, _: items)
    assert recipe.refiner is not None and recipe.model.refiner is not None
    cfg: RefinerConfig = dataclasses.replace(recipe.model.refiner, noise=0.0, steps=1)
    torch.manual_seed(recipe.seed)
    objective = Regressor(
        cfg, shop.dvae, shop.sprites, shop.trained_drawings, recipe.refiner.batch_size, recipe.refiner.crop
    )
    if options.start:
        start = weights.load(Refiner(cfg), options.start / "refiner.safetensors")
        objective.refiner.load_state_dict({k: v.clone() for k, v in start.state_dict().items()})
    schedule = Schedule(recipe.refiner.steps, recipe.refiner.warmup, recipe.refiner.constant)
    optimizers = adamw(objective, recipe.refiner.lr)
    fit("regressor", objective, optimizers, schedule, Run(options.out, recipe.seed), True, print)
    weights.save(objective.eval().refiner, options.out / "refiner.safetensors", torch.float16)
    weights.save(shop.dvae, options.out / "dvae.safetensors")
    made = dataclasses.replace(recipe.model, refiner=cfg, decoder=None)
    (options.out / "config.json").write_text(format_config(made))


if __name__ == "__main__":
    main()
