"""`janus speak`: words in, sounds out."""

from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import zoo
from janus_cli.pipeline import Sampling
from janus_cli.shell import options as opt
from janus_cli.shell.devices import Device
from janus_cli.shell.loader import Loader
from janus_cli.shell.making import SPEAKING, Maker, Order
from janus_cli.shell.names import Existing
from janus_cli.shell.progress import token_bar

if TYPE_CHECKING:
    from janus_cli.records import Record


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
    output: Annotated[str, opt.template(".wav .flac .ogg")] = "{prompt}.wav",
    stdin: Annotated[bool, typer.Option("--stdin", help=opt.STDIN_HELP.format("texts"))] = False,
    batch_size: opt.BatchSize = 8,
    model: opt.NewModelName = zoo.SENSES,
    device: opt.DeviceChoice = Device.auto,
    as_json: opt.Json = False,
    force: opt.Force = False,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,
) -> None:
    """Say words aloud.

    janus speak "rocket" -o rocket.wav
    """
    existing = Existing.from_flags(force, skip_existing)
    order = Order(SPEAKING, texts or [], stdin, output, as_json, existing, quiet, seed, number)
    sampling = Sampling(number, seed, None, temperature, top_k, top_p, batch_size=batch_size)
    maker = Maker(order)
    pipeline = Loader(model, device, maker.talk).open()
    plan = pipeline.plan_sound(sampling, seconds)

    def explain(record: "Record") -> str:
        cut = record.segments[-1].data.shape[1] == plan.options.max_tokens
        return "cut off before its end: give more --seconds" if cut else ""

    with token_bar(quiet) as (rate, count):
        made = maker.make(pipeline, lambda wish: plan, lambda plan, prepared: plan.generate(prepared, count))
        maker.write(made, pipeline, rate, explain=explain)
