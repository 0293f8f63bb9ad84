"""`janus transcribe`: speech in, words out."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import zoo
from janus_cli.media import sound_formats
from janus_cli.pipeline import Sampling
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk, open_stdin
from janus_cli.shell.devices import Device
from janus_cli.shell.failures import Failures
from janus_cli.shell.folders import Input, expand
from janus_cli.shell.loader import Loader
from janus_cli.shell.words import put_words

if TYPE_CHECKING:
    from janus_cli.pipeline import Pipeline, Plan
    from janus_cli.records import Record

_NO_SOUND = "name a sound (janus transcribe FILE), or pipe one in"


def transcribe(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="AUDIO|-",
            show_default=False,
            help="WAV, FLAC, OGG, MP3 ..., folders of them, or standard input; a line each.",
        ),
    ] = None,
    model: opt.NewModelName = zoo.SENSES,
    max_tokens: Annotated[int | None, opt.max_tokens("64")] = None,
    temperature: opt.WordTemperature = 0.0,
    beams: opt.Beams = None,
    seed: Annotated[int, typer.Option("--seed", "-s", min=0, help="Same seed, same words.")] = 0,
    device: opt.DeviceChoice = Device.auto,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Put speech into words.

    janus transcribe say.wav
    """
    pipeline, failures = Loader(model, device, Talk(quiet)).open(), Failures(quiet)
    pipeline.nets.check_hears()
    plan = pipeline.plan_text(Sampling(seed=seed, temperature=temperature, beams=beams), max_tokens)
    found = expand(inputs or ["-"], sound_formats.SUFFIXES, "sounds", failures)
    if any(item.name == "-" for item in found):
        open_stdin(_NO_SOUND)  # before the nets are loaded
    records = _tokenize(found, pipeline, plan, failures)
    put_words(records, pipeline, plan, len(found) > 1, as_json, failures)


def _tokenize(
    inputs: Sequence[Input], pipeline: "Pipeline", plan: "Plan", failures: Failures
) -> Iterator["Record"]:
    """Turn the sounds into audio tokens. What is no sound, or too long, is counted as a failure."""
    from janus_cli.media.sounds import fit, open_sound

    codec = pipeline.sounds.codec.cfg
    for item in inputs:
        with (
            failures.item(item.label),
            open_sound(item.open(_NO_SOUND), item.label, failures.note) as sound,
        ):
            pipeline.nets.check_sound(sound.seconds, plan.options)
            pieces = fit(sound, codec.sample_rate, codec.channels).pieces
            yield pipeline.sounds.encode(pieces, id=item.label)
