"""`janus transcribe`: speech in, words out."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import zoo
from janus_cli.pipeline import Sampling
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk
from janus_cli.shell.devices import Device
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import SOUNDS, expand, open_stdin, source
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
    pipeline, failures = Loader(model, device, Talk(quiet)).open(), Failures()
    pipeline.nets.check_hears()
    plan = pipeline.plan_text(Sampling(seed=seed, temperature=temperature, beams=beams), max_tokens)
    names = expand(inputs or ["-"], SOUNDS)
    if "-" in names:
        open_stdin(_NO_SOUND)  # before the nets are loaded
    records = _tokenize(names, pipeline, plan, failures)
    put_words(records, pipeline, plan, len(names) > 1, as_json, failures)


def _tokenize(
    names: Sequence[str], pipeline: "Pipeline", plan: "Plan", failures: Failures
) -> Iterator["Record"]:
    """Turn the sounds into audio tokens. What is no sound, or too long, is counted as a failure."""
    from janus_cli.media.sounds import fit, open_sound

    codec = pipeline.sounds.codec.cfg
    for name in names:
        shown, place = source(name, _NO_SOUND)
        with failures.item(shown), open_sound(place, shown) as sound:
            pipeline.nets.check_sound(sound.seconds, plan.options)
            pieces = fit(sound, codec.sample_rate, codec.channels).pieces
            yield pipeline.sounds.encode(pieces, id=shown)
