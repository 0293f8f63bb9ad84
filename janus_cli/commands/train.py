"""`janus train`: a recipe in, a model folder out."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk, put
from janus_cli.shell.devices import Device, pick_device
from janus_cli.shell.progress import step_reporter, track


class Component(StrEnum):
    """What a recipe can train."""

    dvae = "dvae"
    codec = "codec"
    vision = "vision"
    decoder = "decoder"
    refiner = "refiner"
    judge = "judge"


WarmStart = Annotated[
    bool,
    typer.Option("--warm-start", help="Begin with the weights in the model folder; codes stay as they are."),
]
OutFolder = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", show_default="the recipe's folder", help="Model folder to write."),
]
SaveEvery = Annotated[
    float, typer.Option("--save-every", min=0, metavar="SECONDS", help="Between two checkpoints.")
]
Minutes = Annotated[
    float,
    typer.Option(
        "--minutes",
        min=0,
        max=100_000,
        metavar="N",
        show_default="the recipe's steps",
        help="Train each component for so long, its schedule fitted to the time.",
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", min=0, max=256, metavar="N", help="Processes that make batches beside the device."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe.toml; see models/pocket.")],
    only: Annotated[
        Component | None, typer.Option("--only", show_default=False, help="Train this component alone.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint, exactly as if never stopped.")
    ] = False,
    warm: WarmStart = False,
    out: OutFolder = None,
    data: opt.DataFolder = None,
    runs: Annotated[
        str, typer.Option("--runs", metavar="DIR", help="Folder of checkpoints and metrics (JSONL).")
    ] = "runs",
    minutes: Minutes = 0,
    workers: Workers = 0,
    save_every: SaveEvery = 120,
    dry_run: DryRun = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="Mixed precision; for GPUs.")] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the decoder's layers.")] = False,
    device: opt.DeviceChoice = Device.auto,
    quiet: opt.Quiet = False,
) -> None:
    """Train a model.

    janus train models/pocket/recipe.toml --resume
    """
    from janus_cli.dataset import find_data_folder
    from janus_cli.training import TrainOptions, plan_training, train

    talk = Talk(quiet)
    chosen, place = pick_device(device), data or find_data_folder()
    options = TrainOptions(
        only.value if only else None,
        resume,
        warm,
        out,
        place,
        Path(runs),
        chosen,
        bf16,
        compile,
        save_every,
        minutes,
        workers,
    )
    if dry_run:
        put("\n".join(plan_training(recipe, options)))
        return
    talk(f"device {chosen}, data in {place}, checkpoints in {runs}")
    folder = train(recipe, options, step_reporter(talk), partial(track, quiet=quiet), talk)
    talk(f"trained {folder}")
