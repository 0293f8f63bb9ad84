"""`janus upsample`: pixels in, larger ones out; by a model of ours or a published checkpoint."""

from typing import Annotated

import typer

from janus_cli.errors import UsageError
from janus_cli.shell import options as opt
from janus_cli.shell.console import Device, Dtype, Failures, Talk
from janus_cli.shell.enlarging import enlarge, is_checkpoint
from janus_cli.shell.inputs import read_records
from janus_cli.shell.loader import Loader
from janus_cli.shell.sinks import check_parts, write_all


def upsample(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|DIR|-",
            show_default=False,
            help="Token files, folders or .tar shards, with a checkpoint also pictures; standard input if none "
            "or -.",
        ),
    ] = None,
    scale: Annotated[
        int | None,
        typer.Option(
            "--scale",
            show_default="what --size asked for, else the model's",
            help="Enlargement: 1, 2 or 4; a checkpoint has its own.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=0,
            show_default="the model's",
            help="Denoising steps of a pass that goes on from an "
            "enlarged picture, or from bare tokens; 0 = only enlarge.",
        ),
    ] = None,
    stream: opt.Stream = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="NAME|DIR|CHECKPOINT",
            show_default=False,
            help="Model to use (otherwise the one that the record names), or a super-resolution checkpoint: "
            "SwinIR, ESRGAN, SPAN ... in .safetensors or .pth.",
        ),
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(
            "--tile",
            min=0,
            metavar="PX",
            show_default="256",
            help="With a checkpoint: about the side of what it sees at once; 0 = the whole picture.",
        ),
    ] = None,
    device: opt.DeviceChoice = Device.auto,
    dtype: Annotated[Dtype, typer.Option("--dtype", help="What a checkpoint computes in.")] = Dtype.auto,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            show_default=False,
            help="out.safetensors, a folder/ (one file a record) or shard-%06d.tar; with a checkpoint also "
            "pictures: a name in .png .jpg .webp with {prompt} {seed} {index} {id}; standard output if "
            "none or -.",
        ),
    ] = None,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Small to large.

    janus denoise apple.safetensors | janus upsample | janus decode -o apple.png
    janus upsample photo.jpg --model 4x.safetensors -o photo-x4.png
    """
    if model is not None and is_checkpoint(model):
        if stream or steps:
            raise UsageError("--stream and --steps are for models of ours, not for a checkpoint")
        enlarge(inputs or [], model, scale, tile, device, dtype, output, force, quiet)
        return
    if tile is not None:
        raise UsageError("--tile goes with --model FILE, a super-resolution checkpoint")
    opt.known_scale(scale)
    check_parts(stream, output)
    failures = Failures()
    loader = Loader(model, device, Talk(quiet), dtype)
    records = read_records(inputs or [], failures, "upsample", stream)
    large = loader.each(records, failures, lambda pipeline: pipeline.refining.upsampler(scale, stream, steps))
    write_all(large, output, force, failures)
