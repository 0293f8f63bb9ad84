"""`janus generate`: prompts in, records of new tokens out."""

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli.config import Progress
from janus_cli.errors import RecordError, UsageError
from janus_cli.pipeline import PictureOptions, Sampling, Size
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk
from janus_cli.shell.devices import Device, Dtype
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import read_records, with_pauses
from janus_cli.shell.loader import Loader
from janus_cli.shell.making import Twins, explain_choice, format_seeds
from janus_cli.shell.names import Existing
from janus_cli.shell.progress import token_bar
from janus_cli.shell.prompts import prepare_all
from janus_cli.shell.sinks import Destination, check_parts, write_all

if TYPE_CHECKING:
    from janus_cli.pipeline import Pipeline, Plan
    from janus_cli.records import Record


class Target(StrEnum):
    """The modality to generate."""

    image = "image"
    text = "text"
    audio = "audio"


_Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature",
        min=0.0,
        show_default="the model's; 0 for a text",
        help="0 = always the likeliest token, or the likeliest text of --beams tries.",
    ),
]
_ThroughWords = Annotated[
    bool,
    typer.Option(
        "--through-words/--direct",
        help="Whether a prompt without text is put into words first, which then stay in the record.",
    ),
]


def generate(
    inputs: opt.Inputs = None,
    to: Annotated[Target, typer.Option("--to", help="What to generate.")] = Target.image,
    number: opt.Number = 1,
    seed: opt.Seed = 0,
    best_of: opt.BestOf = 1,
    size: opt.Size = None,
    cfg_scale: opt.CfgScale = None,
    temperature: _Temperature = None,
    top_k: opt.TopK = None,
    top_p: opt.TopP = None,
    max_tokens: Annotated[int | None, opt.max_tokens("64; 512 of a Janus-Pro model")] = None,
    seconds: opt.Seconds = None,
    through_words: _ThroughWords = True,
    beams: opt.Beams = None,
    join: Annotated[bool, typer.Option("--join", help="Make one prompt of all records.")] = False,
    literal: opt.Literal = False,
    batch_size: opt.BatchSize = 8,
    parallel: opt.Parallel = None,
    stream: opt.Stream = False,
    model: opt.ModelName = None,
    device: opt.DeviceChoice = Device.auto,
    dtype: opt.DtypeChoice = Dtype.auto,
    output: opt.Output = None,
    force: opt.Force = False,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,
) -> None:
    """Prompts of words, pictures and sounds to tokens of a picture, words or a sound.

    janus tokenize audio rocket.wav | janus generate --to image -m pocket-any | janus decode -o rocket.png
    """
    _check_flags(to, max_tokens, size, cfg_scale, seconds, stream, parallel, best_of)
    check_parts(stream, output)
    target = Destination(output, Existing.from_flags(force, skip_existing), quiet)
    drawn = number, seed, cfg_scale, temperature, top_k, top_p
    sampling = Sampling(*drawn, batch_size, through_words, beams, literal, parallel, best_of)
    talk, failures, twins = Talk(quiet), Failures(quiet), Twins()

    loader = Loader(model, device, talk, dtype)
    prompts = _read_prompts(inputs or ["-"], join, failures)

    def make(count: Progress) -> Iterator["Record"]:
        for pipeline, group in loader.group(prompts, failures):
            plan = _plan(to, pipeline, sampling, size, max_tokens, seconds)
            if plan.limits:
                talk(f"--size {size}: {plan.limits}")
            for made in plan.generate(prepare_all(group, plan, failures, target), count, stream):
                twins.add(made)
                if best_of > 1:
                    talk(explain_choice(made))
                yield made

    with token_bar(quiet) as (rate, count):
        write_all(make(count), target, failures, inputs)
    talk(f"{format_seeds(range(seed, seed + number * best_of), best_of)}, {rate}")
    if line := twins.explain("result"):
        talk(line)


def _check_flags(
    to: Target,
    max_tokens: int | None,
    size: Size | None,
    cfg_scale: float | None,
    seconds: float | None,
    stream: bool,
    parallel: int | None,
    best_of: int,
) -> None:
    """Raise UsageError for a flag that is for another modality than `to`, and for two that cannot be."""
    if to is not Target.text and max_tokens is not None:
        raise UsageError("--max-tokens is for --to text: a picture has a fixed number, a sound --seconds")
    if to is not Target.image and size is not None:
        raise UsageError("--size is for pictures")
    if to is not Target.image and cfg_scale is not None:
        raise UsageError(f"--cfg-scale is for pictures: {to.value} is generated without guidance")
    if to is not Target.image and parallel:
        raise UsageError(f"--parallel is for pictures: {to.value} is drawn token by token")
    if to is not Target.audio and seconds is not None:
        raise UsageError("--seconds is for --to audio")
    if to is not Target.image and stream:
        raise UsageError(f"--stream is for pictures: {to.value} comes whole")
    if to is not Target.image and best_of > 1:
        raise UsageError(f"--best-of is for pictures: no {to.value} is chosen among several")
    if stream and best_of > 1:
        raise UsageError("--best-of and --stream: which picture is best is known at the end: leave one away")


def _plan(
    to: Target,
    pipeline: "Pipeline",
    sampling: Sampling,
    size: Size | None,
    max_tokens: int | None,
    seconds: float | None,
) -> "Plan":
    """Plan what is to be generated. Raises UsageError where the model cannot."""
    if to is Target.text:
        return pipeline.plan_text(sampling, max_tokens)
    if to is Target.audio:
        return pipeline.plan_sound(sampling, seconds)
    return pipeline.plan_picture(sampling, PictureOptions(size))


def _read_prompts(inputs: list[str], join: bool, failures: Failures) -> Iterator["Record | None"]:
    """Read prompts, or one of all records; a None says that the next one may take a while."""
    records = read_records(inputs, failures, "generate")
    if join:
        return _join(records, failures)
    return with_pauses(records) if "-" in inputs else records


def _join(records: Iterator["Record"], failures: Failures) -> Iterator["Record"]:
    """Join all segments into one record, in order. Raises RecordError where a part could not be read."""
    from janus_cli.records import Record

    parts = list(records)
    if failures.count or not parts:
        raise RecordError("a part of the prompt is missing: nothing is generated from the rest")
    yield Record(
        tuple(s for r in parts for s in r.segments),
        parts[0].id,
        tuple(step for r in parts for step in r.made_by),
    )
