"""`janus speak`: words in, sounds out."""

import sys
from itertools import chain
from typing import Annotated

import typer

from janus_cli import zoo
from janus_cli.commands.draw import report, usable
from janus_cli.errors import UsageError
from janus_cli.pipeline.options import DrawOptions, for_speech
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk, shorten
from janus_cli.shell.devices import Device
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import read_texts
from janus_cli.shell.loader import Loader
from janus_cli.shell.media_output import SOUND_FORMATS, as_output, stdout_for_sounds
from janus_cli.shell.outputs import Outputs
from janus_cli.shell.progress import token_bar


def speak(
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT", show_default=False, help="What to say.")
    ] = None,
    number: opt.Number = 1,
    seed: opt.Seed = 0,
    temperature: opt.Temperature = None,
    top_k: opt.TopK = None,
    top_p: opt.TopP = None,
    seconds: opt.Seconds = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="TEMPLATE",
            help="A name in .wav .flac .ogg, with {prompt} {seed} {index} {id}, a folder/, or - for "
            "standard output.",
        ),
    ] = "{prompt}.wav",
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read more texts from standard input, one a line.")
    ] = False,
    batch_size: opt.BatchSize = 8,
    model: opt.NewModelName = zoo.SENSES,
    device: opt.DeviceChoice = Device.auto,
    as_json: opt.Json = False,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Say words aloud.

    janus speak "rocket" -o rocket.wav
    """
    if any(not text.strip() for text in texts or []):
        raise UsageError("an empty text: say what to say")
    if not texts and not stdin:
        raise UsageError('no text: janus speak "a red apple", or --stdin for one a line')
    if as_json and output == "-":
        raise UsageError("--json and -o - both want standard output: name a file")
    if output == "-":
        stdout_for_sounds()  # before anything is loaded
    talk, failures, outputs = Talk(quiet), Failures(), Outputs(output, force, SOUND_FORMATS)
    pipeline = Loader(model, device, talk).named()
    if stdin and sys.stdin is not None and sys.stdin.isatty():
        batch_size = 1  # someone is typing: answer each line
    given = DrawOptions(number, seed, None, temperature, top_k, top_p, batch_size=batch_size)
    options, done = for_speech(pipeline.model, given, seconds), 0
    with token_bar(quiet) as (rate, count):
        lines = chain(texts or [], read_texts(True, failures) if stdin else ())
        for record in pipeline.speak(usable(lines, pipeline, options, failures), options, count):
            with failures.item(shorten(record.prompt)):
                name = outputs.write(record, as_output(pipeline.decode(record)))
                done += 1
                report(record, name, pipeline, rate, as_json, talk)
                if record.segments[-1].data.shape[1] == options.max_tokens:
                    talk(f"{name}: cut off before its end: give more --seconds")
    if done:
        talk(f"{done} sound{'s' * (done > 1)}, seed {seed}, {rate} on {pipeline.device}")
    elif not failures.count:
        raise UsageError("no text: standard input held nothing but empty lines")
    failures.finish(done)
