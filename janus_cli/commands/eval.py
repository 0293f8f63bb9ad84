"""`janus eval`: how good a model is, on lists that were fixed before it was trained."""

from pathlib import Path
from typing import Annotated

import typer

from janus_cli import zoo
from janus_cli.media.files import check_folder
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk, put, put_json
from janus_cli.shell.devices import Device, pick_device
from janus_cli.shell.names import Existing, check_promise
from janus_cli.shell.progress import exam_bars

Album = Annotated[
    Path | None,
    typer.Option(
        "--album",
        metavar="FILE",
        show_default=False,
        help="With --all: write a sheet of what it sees, hears, draws and says (PNG).",
    ),
]


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
    album: Album = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", show_default=False, help="Only N questions of each kind."),
    ] = None,
    seed: opt.Seed = 0,
    data: opt.DataFolder = None,
    device: opt.DeviceChoice = Device.auto,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Examine a model: trained and held-out pairs, scenes, the tokenizer, the refiner.

    janus eval pocket --gallery gallery.png
    """
    from janus_cli.dataset import find_data_folder
    from janus_cli.evaluation import evaluate, render_table

    sheets = _check_sheets(gallery, album, force)
    chosen, folder = pick_device(device), data or find_data_folder()
    talk = Talk(quiet)
    talk(f"device {chosen}, data in {folder}")
    with exam_bars(quiet) as progress:
        report = evaluate(
            model,
            data=folder,
            limit=limit,
            seed=seed,
            gallery=gallery,
            device=chosen,
            write_card=write_card,
            everything=everything or album is not None,
            album=album,
            progress=progress,
            say=talk,
        )
    if as_json:
        put_json(report)
    else:
        put(render_table(report))
    for sheet in sheets:
        talk(f"wrote {sheet}")


def _check_sheets(gallery: Path | None, album: Path | None, force: bool) -> list[Path]:
    """List the sheets to be written, before the long exam. Raises MediaError for one that cannot be."""
    sheets = [sheet for sheet in (gallery, album) if sheet is not None]
    for sheet in sheets:
        check_folder(sheet)
        check_promise(sheet, Existing.from_flags(force, False))
    return sheets
