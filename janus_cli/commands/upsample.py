"""`janus upsample`: pixels in, 2 or 4 times larger ones out."""

from typing import Annotated

import typer

from janus_cli.commands import options as opt
from janus_cli.commands.console import Device, Failures, Talk
from janus_cli.commands.loading import Loader
from janus_cli.commands.sinks import check_parts, write_all
from janus_cli.commands.streams import read_records


def upsample(
    inputs: opt.Inputs = None,
    scale: opt.Scale = None,
    steps: Annotated[int, typer.Option(
        "--steps", min=0, help="Denoise in the same passes, in so many steps each; 0 = only enlarge.")] = 0,
    stream: opt.Stream = False,
    model: opt.ModelName = None,
    device: opt.DeviceChoice = Device.auto,
    output: opt.Output = None,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Small to large.

    janus denoise apple.safetensors | janus upsample | janus decode -o apple.png
    """
    check_parts(stream, output)
    failures = Failures()
    loader = Loader(model, device, Talk(quiet))
    records = read_records(inputs or [], failures, "upsample", stream)
    large = loader.each(records, failures, lambda pipeline: pipeline.upsampler(scale, stream, steps))
    write_all(large, output, force, failures)
