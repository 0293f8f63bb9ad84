"""What Mix-In adapters, the 2-D relative bias and the mix of rows are worth, at equal steps.

    python -m bench.ablate --steps 300            # five trainings from nothing, one after another

Prints the loss of each modality, in nats a token, on rows that no training draws (the same for all).
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import torch

from janus_cli.config import DecoderConfig
from janus_cli.dataset import find_data_folder
from janus_cli.training.jobs import gather_materials
from janus_cli.training.loop import Schedule
from janus_cli.training.objectives import joint
from janus_cli.training.objectives.joint import JointObjective, Materials
from janus_cli.training.optim import muon
from janus_cli.training.recipe import Recipe, read_recipe
from janus_cli.training.workshop import Workshop

UNSEEN = 10**6  # first step number of the rows that measure
BATCHES = 8  # of them


def with_rows(recipe: Recipe, share: float) -> Recipe:
    """The recipe with this share of its rows of every direction, one at least."""
    assert recipe.decoder is not None
    mix = {direction: max(1, round(share * rows)) for direction, rows in recipe.decoder.mix.items()}
    return dataclasses.replace(recipe, decoder=dataclasses.replace(recipe.decoder, mix=mix))


def balanced(rows: int) -> dict[str, int]:
    """Rows whose answer is words : a picture : a sound, or words and more = 2 : 2 : 1."""
    shares = {"draw": 0.4, "see": 0.2, "hear": 0.2, "speak": 0.1, "hear-draw": 0.05, "see-speak": 0.05}
    mix = {direction: max(1, round(share * rows)) for direction, share in shares.items()}
    return mix | {"draw": mix["draw"] + rows - sum(mix.values())}


def variants(cfg: DecoderConfig, mix: dict[str, int]) -> dict[str, tuple[DecoderConfig, dict[str, int]]]:
    """The decoder and its rows as they are, and with one thing less or other each."""
    flat = {name: dataclasses.replace(m, two_d=False) for name, m in cfg.modalities.items()}
    return {
        "all of it": (cfg, mix),
        "without Mix-In adapters": (dataclasses.replace(cfg, mixin=None), mix),
        "without 2-D bias (1-D between image tokens)": (dataclasses.replace(cfg, modalities=flat), mix),
        "without relative bias": (dataclasses.replace(cfg, relative=None), mix),
        "rows for text : image : others = 2 : 2 : 1": (cfg, balanced(sum(mix.values()))),
    }


def objective(
    cfg: DecoderConfig, mix: dict[str, int], recipe: Recipe, shop: Workshop, materials: Materials
) -> JointObjective:
    """The training of one variant, at its start."""
    assert recipe.decoder is not None
    torch.manual_seed(recipe.seed)
    made = JointObjective(cfg, materials, dataclasses.replace(recipe.decoder, mix=mix, restyle=0.0))
    made.initialise(shop.codec, shop.dvae.quantize.codebook)
    return made


def train(made: JointObjective, recipe: Recipe, steps: int, bf16: bool) -> float:
    """Seconds that `steps` steps take."""
    fit = recipe.decoder
    assert fit is not None
    schedule, start = Schedule(steps, fit.warmup, fit.constant), time.monotonic()
    optimizers = muon(made, made.decoder.layers, fit.muon_lr, fit.lr)
    for step in range(steps):
        torch.manual_seed(step)
        batch = made.batch(np.random.default_rng([recipe.seed, step, 0]), step)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss, _ = made(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(made.parameters(), 1.0)
        optimizers.step(schedule.factor(step))
        if step % 20 == 0:
            print(f"step {step} of {steps}: loss {float(loss.detach()):.3f}", file=sys.stderr)
    return time.monotonic() - start


@torch.no_grad()
def measure(made: JointObjective, recipe: Recipe) -> dict[str, float]:
    """Mean losses by modality on clean inputs in the recipe's mix, all classes counted."""
    assert recipe.decoder is not None
    made.eval()
    made.fit = dataclasses.replace(recipe.decoder, restyle=0.0, corrupt=0.0, blind=0.0, drop=0.0, negatives=0)
    rows = []
    for number in range(BATCHES):
        batch = made.batch(np.random.default_rng([recipe.seed, UNSEEN + number, 0]), UNSEEN + number)
        rows.append({name: float(value) for name, value in made(batch)[1].items()})
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=Path("models/pocket-any/recipe.toml"))
    parser.add_argument("--data", type=Path, default=find_data_folder())
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rows", type=float, default=1.0, help="share of the recipe's rows in a step")
    parser.add_argument("--bf16", action="store_true")
    args = parser.parse_args()
    recipe = with_rows(read_recipe(args.recipe), args.rows)
    shop = Workshop(recipe, args.data, args.recipe.parent, "cpu", lambda loop, label: loop)
    fit, cfg = recipe.decoder, recipe.model.decoder
    assert fit is not None and cfg is not None
    materials = gather_materials(shop, fit)
    names = list(joint.WEIGHTS)
    rows = sum(fit.mix.values())
    print(
        f"| decoder, {args.steps} steps of {rows} rows from nothing | {' | '.join(names)} | parameters "
        "| seconds |"
    )
    print("|---" * (len(names) + 3) + "|", flush=True)
    for label, (variant, mix) in variants(cfg, fit.mix).items():
        made = objective(variant, mix, recipe, shop, materials)
        seconds = train(made, recipe, args.steps, args.bf16)
        found = measure(made, recipe)
        size = sum(p.numel() for p in made.decoder.parameters()) / 1e6
        print(
            f"| {label} | {' | '.join(f'{found[n]:.3f}' for n in names)} | {size:.2f} M | {seconds:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
