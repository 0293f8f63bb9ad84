"""`janus train`: a recipe in, a model folder out."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk
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


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="A recipe.toml; see models/pocket.")],
    only: Annotated[
        Component | None, typer.Option("--only", show_default=False, help="Train this component alone.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint, exactly as if never stopped.")
    ] = False,
    warm: Annotated[
        bool,
        typer.Option(
            "--warm-start", help="Begin with the weights in the model folder; codes stay as they are."
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", show_default="the recipe's folder", help="Model folder to write."
        ),
    ] = None,
    data: opt.DataFolder = ".data",
    runs: Annotated[
        str, typer.Option("--runs", metavar="DIR", help="Folder of checkpoints and metrics (JSONL).")
    ] = "runs",
    bf16: Annotated[bool, typer.Option("--bf16", help="Mixed precision; for GPUs.")] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the decoder's layers.")] = False,
    device: opt.DeviceChoice = Device.auto,
    quiet: opt.Quiet = False,
) -> None:
    """Train a model.

    janus train models/pocket/recipe.toml --resume
    """
    from janus_cli.training import TrainOptions, train

    talk = Talk(quiet)
    chosen = pick_device(device)
    talk(f"device {chosen}")
    options = TrainOptions(
        only.value if only else None, resume, warm, out, Path(data), Path(runs), chosen, bf16, compile
    )
    folder = train(recipe, options, step_reporter(talk), partial(track, quiet=quiet))
    talk(f"trained {folder}")
