"""`janus describe`: pictures in, words out; and a question, where the model answers such."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import zoo
from janus_cli.errors import UsageError
from janus_cli.pipeline.options import DrawOptions, check_asked, check_describes, for_text, is_published
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk, put, put_json
from janus_cli.shell.devices import Device, Dtype
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import PICTURES, expand, source
from janus_cli.shell.loader import Loader
from janus_cli.shell.words import say_all

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.pipeline import Pipeline
    from janus_cli.records import Record
    from janus_cli.stages.generate import GenerateOptions

QUESTION = "Describe this picture."


def describe(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE|-",
            show_default=False,
            help="Pictures, each described in a line; a Janus-Pro model is asked about all of them at once. "
            "- for standard input.",
        ),
    ],
    model: opt.NewModelName = zoo.SENSES,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt", "-p", metavar="TEXT", show_default=False, help="A question, for a Janus-Pro model."
        ),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            "--max-tokens", min=1, metavar="N", show_default="64; 512 of a Janus-Pro model", help="At most."
        ),
    ] = None,
    temperature: Annotated[
        float, typer.Option("--temperature", min=0.0, help="0 = the likeliest words, not drawn ones.")
    ] = 0.0,
    top_p: Annotated[
        float,
        typer.Option(
            "--top-p",
            min=0.0,
            max=1.0,
            help="Draw among the likeliest tokens that hold this share of the probability.",
        ),
    ] = 1.0,
    beams: opt.Beams = None,
    seed: Annotated[int, typer.Option("--seed", "-s", min=0, help="Same seed, same answer.")] = 0,
    device: opt.DeviceChoice = Device.auto,
    dtype: opt.DtypeChoice = Dtype.auto,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Put pictures into words.

    janus describe cat.png
    """
    if prompt is not None and not prompt.strip():
        raise UsageError("an empty prompt: ask something, or leave --prompt away")
    pipeline = Loader(model, device, Talk(quiet), dtype).named()
    (check_describes if prompt is None else check_asked)(pipeline.model)
    given = DrawOptions(seed=seed, temperature=temperature, top_p=top_p, beams=beams)
    options = for_text(pipeline.model, given, max_tokens)
    names = expand(images, PICTURES)
    if is_published(pipeline.model):
        _ask(names, QUESTION if prompt is None else prompt, pipeline, options, as_json)
        return
    failures = Failures()
    say_all(_shown(names, pipeline, failures), pipeline, options, len(names) > 1, as_json, failures)


def _read(name: str) -> "np.ndarray":
    """The picture uint8 [H, W, 3] in that file. Raises MediaError."""
    from janus_cli.media.pictures import read_image

    shown, place = source(name, "name a picture, or pipe one in")
    return read_image(place, shown)


def _shown(names: Sequence[str], pipeline: "Pipeline", failures: Failures) -> Iterator["Record"]:
    for name in names:
        shown = "stdin" if name == "-" else name
        with failures.item(shown):
            yield pipeline.shown(_read(name), id=shown)


def _ask(
    names: Sequence[str], question: str, pipeline: "Pipeline", options: "GenerateOptions", as_json: bool
) -> None:
    """The answer to one question about all pictures, as it is made; as JSON when it is whole."""
    pieces = pipeline.describe([_read(name) for name in names], question, options)
    if as_json:
        files = ["stdin" if name == "-" else name for name in names]
        put_json({"files": files, "prompt": question, "text": "".join(pieces), "model": pipeline.model.name})
        return
    for piece in pieces:
        put(piece, end="")
    put("")
