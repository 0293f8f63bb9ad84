"""`janus eval`: how good a model is, on lists that were fixed before it was trained."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import zoo
from janus_cli.shell import options as opt
from janus_cli.shell.console import Device, Talk, pick_device, put, put_json

if TYPE_CHECKING:
    from janus_cli.evaluation import Reporter


def evaluate(
    model: Annotated[str, typer.Argument(metavar="NAME|DIR", help="The model to examine.")] = zoo.DEFAULT,
    as_json: opt.Json = False,
    gallery: Annotated[
        Path | None,
        typer.Option("--gallery", metavar="FILE", show_default=False, help="Write a contact sheet (PNG)."),
    ] = None,
    write_card: Annotated[
        bool, typer.Option("--write-card", help="Put the table into the model's README.md.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Every direction of an any-to-any model, and its codec.")
    ] = False,
    album: Annotated[
        Path | None,
        typer.Option(
            "--album",
            metavar="FILE",
            show_default=False,
            help="With --all: write a sheet of what it sees, hears, draws and says (PNG).",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", show_default=False, help="Only N questions of each kind."),
    ] = None,
    seed: opt.Seed = 0,
    data: Annotated[str, typer.Option("--data", metavar="DIR", help="Folder of the data pack.")] = ".data",
    device: opt.DeviceChoice = Device.auto,
    quiet: opt.Quiet = False,
) -> None:
    """Examine a model: trained and held-out pairs, scenes, the tokenizer, the refiner.

    janus eval pocket --gallery gallery.png
    """
    from janus_cli.evaluation import evaluate, render_table

    chosen = pick_device(device)
    talk = Talk(quiet)
    talk(f"device {chosen}")
    with _show_progress(quiet) as progress:
        report = evaluate(
            model,
            data=Path(data),
            limit=limit,
            seed=seed,
            gallery=gallery,
            device=chosen,
            write_card=write_card,
            everything=everything or album is not None,
            album=album,
            progress=progress,
        )
    if as_json:
        put_json(report)
    else:
        put(render_table(report))
    for sheet in (gallery, album):
        if sheet is not None:
            talk(f"wrote {sheet}")


@contextmanager
def _show_progress(quiet: bool) -> "Iterator[Reporter | None]":
    """Show one bar for each part of the examination, where stderr is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)

        yield tell
