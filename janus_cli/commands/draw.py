"""`janus draw`: prompts in, pictures out, every stage in one process."""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from janus_cli import zoo
from janus_cli.commands.tokenize import read_texts
from janus_cli.errors import UsageError
from janus_cli.pipeline.options import DrawOptions, limits_of, page_for
from janus_cli.shell import options as opt
from janus_cli.shell.console import Device, Dtype, Failures, Rate, Talk, put_json, shortened, token_bar
from janus_cli.shell.loader import Loader
from janus_cli.shell.outputs import FORMATS, Outputs, picture_to_stdout
from janus_cli.shell.watch.watcher import Watcher

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.pipeline import Pipeline
    from janus_cli.records import Record
    from janus_cli.stages.generate import GenerateOptions


def draw(
    prompts: Annotated[
        list[str] | None, typer.Argument(metavar="PROMPT", show_default=False, help="What to draw.")
    ] = None,
    number: opt.Number = 1,
    seed: opt.Seed = 0,
    size: opt.Size = None,
    scale: opt.Scale = None,
    steps: opt.Steps = None,
    cfg_scale: opt.CfgScale = None,
    temperature: opt.Temperature = None,
    top_k: opt.TopK = None,
    top_p: opt.TopP = None,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="TEMPLATE",
            help="A name in .png .jpg .webp, with {prompt} {seed} {index} {id}, a folder/, or - for "
            "standard output.",
        ),
    ] = "{prompt}.png",
    stdin: Annotated[
        bool, typer.Option("--stdin", help="Read more prompts from standard input, one a line.")
    ] = False,
    batch_size: opt.BatchSize = 8,
    model: opt.NewModelName = zoo.DEFAULT,
    device: opt.DeviceChoice = Device.auto,
    dtype: opt.DtypeChoice = Dtype.auto,
    preview: opt.Preview = False,
    frames: opt.Frames = None,
    animation: opt.Animation = None,
    as_json: opt.Json = False,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Draw pictures.

    janus draw "a red apple" --seed 7 -o apple.png
    """
    if any(not prompt.strip() for prompt in prompts or []):
        raise UsageError("an empty prompt: say what to draw")
    if not prompts and not stdin:
        raise UsageError('no prompt: janus draw "a red apple", or --stdin for one a line')
    if as_json and output == "-":
        raise UsageError("--json and -o - both want standard output: name a file")
    if animation is not None and Path(animation) == Path(output) and Path(output).suffix:
        raise UsageError(f"--animation and -o both name {output}: choose another name for one of them")
    if output == "-":
        picture_to_stdout()  # before it is drawn
    talk, failures, outputs = Talk(quiet), Failures(), Outputs(output, force, FORMATS)
    watcher = Watcher(preview and not quiet, frames, animation, force, failures)
    loader = Loader(model, device, talk, dtype)
    pipeline = loader.named()
    if stdin and sys.stdin is not None and sys.stdin.isatty():
        batch_size = 1  # someone is typing: answer each line
    options = DrawOptions(
        number, seed, cfg_scale, temperature, top_k, top_p, steps, scale, batch_size, size=size
    )
    if (page := page_for(pipeline.model, size)) and (said := limits_of(pipeline.model, page)):
        talk(f"--size {size}: {said}")
    chosen, done = pipeline.generate_options(options), 0
    with token_bar(quiet or watcher.paints) as (rate, count), watcher.begin(pipeline, options, rate):
        given = usable(
            chain(prompts or [], read_texts(True, failures) if stdin else ()), pipeline, chosen, failures
        )
        for record in pipeline.draw(given, options, count, watch=watcher.part if watcher.watches else None):
            with failures.item(shortened(record.prompt)):
                picture = cast("np.ndarray", pipeline.decode(record))
                films: list[str] = []
                with failures.item(shortened(record.prompt)):  # the picture itself is written all the same
                    films = watcher.finished(record, picture)
                name = outputs.write(record, picture)
                done += 1
                report(record, name, pipeline, rate, as_json, talk)
                for film in films:
                    talk(f"wrote {film}")
    if done:
        talk(f"{done} picture{'s' * (done > 1)}, seed {seed}, {rate} on {pipeline.device}")
    elif not failures.count:
        raise UsageError("no prompt: standard input held nothing but empty lines")
    failures.finish(done)


def usable(
    prompts: Iterable[str | None], pipeline: "Pipeline", options: "GenerateOptions", failures: Failures
) -> Iterator[str | None]:
    """The prompts that the model takes, None for others, which are counted; empty lines are passed over."""

    def check(prompt: str) -> None:
        pipeline.check_prompt(pipeline.tokenize(prompt), options)

    for prompt in prompts:
        if prompt is None:
            yield None
        elif prompt.strip():
            yield prompt if failures.passed(shortened(prompt), check, prompt) else None


def report(record: "Record", name: str, pipeline: "Pipeline", rate: Rate, as_json: bool, talk: Talk) -> None:
    """Say where a picture or sound went: a line on stderr, or JSON on stdout."""
    if not as_json:
        if name != "-":
            talk(f"wrote {name}")
        return
    from janus_cli.records.provenance import collect_parameters

    known: dict[str, Any] = json.loads(collect_parameters(record)["janus"])
    words: dict[str, Any] = {w: known[w] for w in ("model", "seed", "index", "tokens") if w in known}
    put_json(
        {
            "path": name,
            "prompt": record.prompt,
            **words,
            "device": pipeline.device,
            "seconds": round(rate.seconds, 3),
        }
    )
