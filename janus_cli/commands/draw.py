"""`janus draw`: prompts in, pictures out, every stage in one process."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import zoo
from janus_cli.errors import UsageError
from janus_cli.pipeline import PictureOptions, Sampling, Size
from janus_cli.shell import options as opt
from janus_cli.shell.devices import Device, Dtype
from janus_cli.shell.loader import Loader
from janus_cli.shell.making import DRAWING, Maker, Order
from janus_cli.shell.names import Existing
from janus_cli.shell.progress import token_bar
from janus_cli.shell.watch.watcher import Watcher

if TYPE_CHECKING:
    from janus_cli.pipeline import Plan, Prompt
    from janus_cli.records import Record

_Prompts = Annotated[
    list[str] | None, typer.Argument(metavar="PROMPT", show_default=False, help="What to draw.")
]
_Stdin = Annotated[bool, typer.Option("--stdin", help=opt.STDIN_HELP.format("prompts"))]


def draw(
    prompts: _Prompts = None,
    number: opt.Number = 1,
    seed: opt.Seed = 0,
    best_of: opt.BestOf = 1,
    size: opt.Size = None,
    scale: opt.Scale = None,
    steps: opt.Steps = None,
    cfg_scale: opt.CfgScale = None,
    temperature: opt.Temperature = None,
    top_k: opt.TopK = None,
    top_p: opt.TopP = None,
    literal: opt.Literal = False,
    output: Annotated[str, opt.template(".png .jpg .webp")] = "{prompt}.png",
    stdin: _Stdin = False,
    batch_size: opt.BatchSize = 8,
    parallel: opt.Parallel = None,
    model: opt.NewModelName = zoo.DEFAULT,
    device: opt.DeviceChoice = Device.auto,
    dtype: opt.DtypeChoice = Dtype.auto,
    preview: opt.Preview = False,
    frames: opt.Frames = None,
    animation: opt.Animation = None,
    as_json: opt.Json = False,
    force: opt.Force = False,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,
) -> None:
    """Draw pictures.

    janus draw "a red apple" --seed 7 -o apple.png
    """
    existing = Existing.from_flags(force, skip_existing)
    order = Order(DRAWING, prompts or [], stdin, output, as_json, existing, quiet, seed, number, best_of)
    _check_names(animation, output)
    drawn = number, seed, cfg_scale, temperature, top_k, top_p
    sampling = Sampling(*drawn, batch_size, literal=literal, parallel=parallel, best_of=best_of)
    maker = Maker(order)
    watcher = Watcher(preview and not quiet, frames, animation, existing, maker.failures)
    watcher.check_count(max(len(order.texts), 1) * number)
    pipeline = Loader(model, device, maker.talk, dtype).open()

    @cache
    def plan_for(chosen: Size | None) -> "Plan":
        picture = PictureOptions(chosen, None if chosen != size else scale, steps)
        plan = pipeline.plan_picture(sampling, picture)
        if plan.limits:
            maker.talk(f"--size {chosen}: {plan.limits}")
        return plan

    plan_for(size)  # before anything is drawn
    with token_bar(quiet or watcher.paints) as (rate, count), watcher.begin(pipeline, rate):

        def render(plan: "Plan", prepared: "Iterator[Prompt | None]") -> "Iterator[Record]":
            watcher.plan = plan
            return pipeline.render(plan, prepared, count, watcher.add_part if watcher.watches else None)

        made = maker.make(pipeline, lambda wish: plan_for(wish.size or size), render)
        maker.write(made, pipeline, rate, watcher.finish, _explain)


def _check_names(animation: str | None, output: str) -> None:
    """Raise UsageError where a picture and its animation have one name."""
    if animation is not None and Path(animation) == Path(output) and Path(output).suffix:
        raise UsageError(f"--animation and -o both name {output}: choose another name for one of them")


def _explain(record: "Record") -> str:
    """Say that a picture shows nothing; "" where it shows something."""
    segment = record.find("image")
    is_empty = segment is not None and segment.data.size > 1 and (segment.data == segment.data.flat[0]).all()
    return (
        "an empty page: the model made nothing of the prompt, try other words or another --seed"
        if is_empty
        else ""
    )
