"""`janus train`: a recipe in, a model folder out."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from janus_cli.shell import options as opt
from janus_cli.shell.console import Device, Talk, pick_device


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
    data: Annotated[str, typer.Option("--data", metavar="DIR", help="Folder of the data pack.")] = ".data",
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
    folder = train(recipe, options, _make_reporter(talk), _make_tracker(quiet))
    talk(f"trained {folder}")


def _make_reporter(talk: Talk) -> Callable[[str, int, int, dict[str, float]], None]:
    """Make what says each report in a line, with the time that is left at the present pace."""
    begun: dict[str, tuple[float, int]] = {}

    def report(component: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        start, first = begun.setdefault(component, (time.monotonic(), step))
        left = ""
        if step > first:
            seconds = (time.monotonic() - start) / (step - first) * (steps - step)
            left = f", {seconds / 60:.0f} min left"
        values = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        talk(f"{component} step {step} of {steps}: {values}{left}")

    return report


def _make_tracker(quiet: bool) -> Callable[[Iterable[int], str], Iterable[int]]:
    """Make what shows a bar for long loops where stderr is a terminal."""
    if quiet or not sys.stderr.isatty():
        return lambda loop, label: loop

    def track(loop: Iterable[int], label: str) -> Iterator[int]:
        from rich.console import Console
        from rich.progress import track

        yield from track(loop, description=label, console=Console(stderr=True), transient=True)

    return track
