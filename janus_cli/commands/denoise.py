"""`janus denoise`: image tokens in, the same with sharpened pixels out."""

from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk
from janus_cli.shell.devices import Device
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import read_records
from janus_cli.shell.loader import Loader
from janus_cli.shell.names import Existing
from janus_cli.shell.sinks import Destination, check_parts, write_all

if TYPE_CHECKING:
    from janus_cli.pipeline import Pipeline
    from janus_cli.pipeline.refining import Transform


def denoise(
    inputs: opt.Inputs = None,
    steps: opt.Steps = None,
    scale: Annotated[
        int,
        typer.Option(
            "--scale",
            callback=opt.check_known_scale,
            help="Enlarge first by 1, 2 or 4, then denoise straight at that size.",
        ),
    ] = 1,
    noise: opt.Noise = 0.0,
    seed: opt.Seed = 0,
    stream: opt.Stream = False,
    model: opt.ModelName = None,
    device: opt.DeviceChoice = Device.auto,
    output: opt.Output = None,
    force: opt.Force = False,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,
) -> None:
    """Blur to sharp.

    janus denoise apple.safetensors | janus decode -o apple.png
    """
    check_parts(stream, output)
    target = Destination(output, Existing.from_flags(force, skip_existing), quiet)
    failures = Failures(quiet)
    loader = Loader(model, device, Talk(quiet))
    records = target.keep_wanted(read_records(inputs or [], failures, "denoise", stream))

    def stage(pipeline: "Pipeline") -> "Transform":
        return pipeline.refining.denoiser(steps, noise, seed, stream, scale)

    loader.load_meanwhile(inputs, target, stage)
    sharp = loader.run_each(records, failures, stage)
    write_all(sharp, target, failures, inputs)
