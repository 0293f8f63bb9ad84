"""`janus describe`: pictures in, words out; and a question, where the model answers such."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import zoo
from janus_cli.errors import UsageError
from janus_cli.media import picture_formats
from janus_cli.pipeline import QUESTION, Sampling
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk, put, put_json
from janus_cli.shell.devices import Device, Dtype
from janus_cli.shell.failures import Failures
from janus_cli.shell.folders import Input, expand
from janus_cli.shell.loader import Loader
from janus_cli.shell.words import put_words

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.pipeline import Pipeline, Plan
    from janus_cli.records import Record


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
    max_tokens: Annotated[int | None, opt.max_tokens("64; 512 of a Janus-Pro model", "At most.")] = None,
    temperature: opt.WordTemperature = 0.0,
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
    pipeline = Loader(model, device, Talk(quiet), dtype).open()
    (pipeline.nets.check_describes if prompt is None else pipeline.nets.check_asked)()
    sampling = Sampling(seed=seed, temperature=temperature, top_p=top_p, beams=beams)
    plan = pipeline.plan_text(sampling, max_tokens)
    failures = Failures(quiet)
    found = expand(images, picture_formats.SUFFIXES, "pictures", failures)
    if pipeline.nets.takes_questions:
        _put_answer(found, QUESTION if prompt is None else prompt, pipeline, plan, as_json, failures)
        return
    put_words(_show_each(found, pipeline, failures), pipeline, plan, len(found) > 1, as_json, failures)


def _read(item: Input, failures: Failures) -> "np.ndarray":
    """Read the picture uint8 [H, W, 3] in that file. Raises MediaError."""
    from janus_cli.media.pictures import read_image

    return read_image(item.open("name a picture, or pipe one in"), item.label, failures.note)


def _show_each(inputs: Sequence[Input], pipeline: "Pipeline", failures: Failures) -> Iterator["Record"]:
    for item in inputs:
        with failures.item(item.label):
            yield pipeline.show(_read(item, failures), id=item.label)


def _put_answer(
    inputs: Sequence[Input],
    question: str,
    pipeline: "Pipeline",
    plan: "Plan",
    as_json: bool,
    failures: Failures,
) -> None:
    """Write the answer to one question about all pictures, as it is made; as JSON when it is whole."""
    pieces = pipeline.nets.answer([_read(item, failures) for item in inputs], question, plan.options)
    if as_json:
        files = [item.label for item in inputs]
        put_json({"files": files, "prompt": question, "text": "".join(pieces), "model": pipeline.model.name})
    else:
        for piece in pieces:
            put(piece, end="")
        put("")
    failures.finish(1)
