"""`janus upsample`: pixels in, larger ones out; by a model of ours or a published checkpoint."""

from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from janus_cli.errors import UsageError
from janus_cli.media.picture_formats import SUFFIXES
from janus_cli.media.sniff import is_safetensors
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk, open_stdin
from janus_cli.shell.devices import Device, Dtype, pick_device
from janus_cli.shell.failures import Failures
from janus_cli.shell.folders import Input, expand
from janus_cli.shell.inputs import RECORDS, make_label, read_records
from janus_cli.shell.loader import Loader
from janus_cli.shell.media_output import PICTURE_FORMATS, RowsOutput
from janus_cli.shell.names import Existing
from janus_cli.shell.outputs import Outputs
from janus_cli.shell.progress import tile_bar
from janus_cli.shell.sinks import Destination, check_parts, write_all

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.pipeline import Pipeline
    from janus_cli.pipeline.refining import Transform
    from janus_cli.records import Record
    from janus_cli.stages.super_resolution import Picture, SuperResolution

_CHECKPOINTS = (".safetensors", ".pth", ".pt", ".ckpt")
_HINT = "name pictures or token files (janus upsample FILE --model CHECKPOINT), or pipe one in"


_Inputs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE|DIR|-",
        show_default=False,
        help="Token files, folders or .tar shards, with a checkpoint also pictures; standard input if "
        "none or -.",
    ),
]
_Scale = Annotated[
    int | None,
    typer.Option(
        "--scale",
        show_default="what --size asked for, else the model's",
        help="Enlargement: 1, 2 or 4; a checkpoint has its own.",
    ),
]
_Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        min=0,
        show_default="the model's",
        help="Denoising steps of a pass that goes on from an "
        "enlarged picture, or from bare tokens; 0 = only enlarge.",
    ),
]
_Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|DIR|CHECKPOINT",
        show_default=False,
        help="Model to use (otherwise the one that the record names), or a super-resolution checkpoint: "
        "SwinIR, ESRGAN, SPAN ... in .safetensors or .pth.",
    ),
]
_Tile = Annotated[
    int | None,
    typer.Option(
        "--tile",
        min=0,
        metavar="PX",
        show_default="256",
        help="With a checkpoint: about the side of what it sees at once; 0 = the whole picture.",
    ),
]
_Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        show_default=False,
        help="out.safetensors, a folder/ (one file a record) or shard-%06d.tar; with a checkpoint also "
        "pictures: a name in .png .jpg .webp with {prompt} {seed} {index} {id} {source}; standard output if "
        "none or -.",
    ),
]


def upsample(
    inputs: _Inputs = None,
    scale: _Scale = None,
    steps: _Steps = None,
    stream: opt.Stream = False,
    model: _Model = None,
    tile: _Tile = None,
    device: opt.DeviceChoice = Device.auto,
    dtype: Annotated[Dtype, typer.Option("--dtype", help="What a checkpoint computes in.")] = Dtype.auto,
    output: _Output = None,
    force: opt.Force = False,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,
) -> None:
    """Small to large.

    janus denoise apple.safetensors | janus upsample | janus decode -o apple.png
    janus upsample photo.jpg --model 4x.safetensors -o photo-x4.png
    """
    if model is not None and _is_checkpoint(model):
        if stream or steps:
            raise UsageError("--stream and --steps are for models of ours, not for a checkpoint")
        existing = Existing.from_flags(force, skip_existing)
        _enlarge(inputs or [], model, scale, tile, device, dtype, output, existing, quiet)
        return
    if tile is not None:
        raise UsageError("--tile goes with --model FILE, a super-resolution checkpoint")
    opt.check_known_scale(scale)
    check_parts(stream, output)
    target = Destination(output, Existing.from_flags(force, skip_existing), quiet)
    failures = Failures(quiet)
    loader = Loader(model, device, Talk(quiet), dtype)
    records = target.keep_wanted(read_records(inputs or [], failures, "upsample", stream))

    def stage(pipeline: "Pipeline") -> "Transform":
        return pipeline.refining.upsampler(scale, stream, steps)

    loader.load_meanwhile(inputs, target, stage)
    large = loader.run_each(records, failures, stage)
    write_all(large, target, failures, inputs)


def _is_checkpoint(model: str) -> bool:
    """Tell whether --model names a file, there or not, rather than a model of ours."""
    return Path(model).is_file() or (Path(model).suffix.lower() in _CHECKPOINTS and not Path(model).is_dir())


def _enlarge(
    inputs: Sequence[str],
    model: str,
    scale: int | None,
    tile: int | None,
    device: Device,
    dtype: Dtype,
    output: str | None,
    existing: Existing,
    quiet: bool,
) -> None:
    """Enlarge every input; into pictures where `output` is a picture's name, else into records."""
    talk, failures = Talk(quiet), Failures(quiet)
    found = expand(inputs or ["-"], (*SUFFIXES, *RECORDS), "pictures or token records", failures)
    if any(item.name == "-" for item in found):
        open_stdin(_HINT)  # before the checkpoint is loaded
    to_pictures = (
        output is not None and Path(output).suffix.lower() in PICTURE_FORMATS and not Path(output).is_dir()
    )
    outputs = Outputs(output, existing, PICTURE_FORMATS) if to_pictures else None
    target = Destination(None if to_pictures else output, existing, quiet)
    work = _load(model, scale, tile, device, dtype, talk)
    pictures = _read_pictures(found, Loader(None, device, talk), failures)
    if outputs is None:
        write_all(_enlarge_records(pictures, work, target, failures, quiet), target, failures, inputs)
        return
    done = passed_over = 0
    for name, picture in pictures:
        with failures.item(name), tile_bar(name, work.count_tiles(picture), quiet) as progress:
            named = work.note_work(picture)
            if (path := outputs.choose(named, ".png")) is None:
                passed_over += 1
                continue
            talk(f"wrote {outputs.write(named, RowsOutput(work.enlarge(picture, progress)), path)}")
            done += 1
    if passed_over:
        talk(f"{passed_over} of the pictures passed over: already there")
    failures.finish(done + passed_over)


def _load(
    model: str, scale: int | None, tile: int | None, device: Device, dtype: Dtype, talk: Talk
) -> "SuperResolution":
    import torch

    from janus_cli.nets.super_resolution import Enlarger
    from janus_cli.stages.super_resolution import SuperResolution
    from janus_cli.weights.checkpoint import read_state

    state, where = read_state(Path(model)), pick_device(device)
    wanted = torch.bfloat16 if dtype is Dtype.bf16 else torch.float32
    net = Enlarger.from_state(state, Path(model).name, where, wanted)
    if scale not in (None, net.scale):
        raise UsageError(f"--scale {scale}: {model} enlarges {net.scale} times and nothing else")
    work = SuperResolution(net, tile)
    tiles = f"tiles of {work.tile} px" if work.tile else "whole pictures"
    words = "bf16" if dtype is Dtype.bf16 else "fp32"
    talk(f"{net.architecture} x{net.scale}, device {where}, {words}, {tiles}")
    if net.whole and work.tile:
        talk(
            f"{net.architecture} may show seams between tiles of large pictures: --tile 0 has none, "
            "and needs more memory"
        )
    return work


def _enlarge_records(
    pictures: "Iterable[tuple[str, Picture]]",
    work: "SuperResolution",
    target: Destination,
    failures: Failures,
    quiet: bool,
) -> "Iterator[Record]":
    for name, picture in pictures:
        if target.passes_over(work.note_work(picture).id):
            continue
        with failures.item(name), tile_bar(name, work.count_tiles(picture), quiet) as progress:
            yield work.make_record(picture, work.enlarge(picture, progress))


def _read_pictures(
    inputs: Sequence[Input], loader: Loader, failures: Failures
) -> "Iterator[tuple[str, Picture]]":
    """Read what there is to enlarge, each with a name for messages; inputs that fail are counted."""
    from janus_cli.media.pictures import read_image
    from janus_cli.stages.super_resolution import Picture

    def decode(record: "Record") -> "np.ndarray":
        return cast("np.ndarray", loader.open_for(record).decode(record))

    for item in inputs:
        with failures.item(item.label):
            if _holds_records(item.name):
                for i, record in enumerate(read_records([item.name], failures, "upsample")):
                    with failures.item(whose := make_label(record, i)):
                        yield whose, Picture.from_record(record, decode)
            else:
                pixels = read_image(item.open(_HINT), item.label, failures.note)
                yield item.label, Picture.from_file(pixels, item.id)


def _holds_records(name: str) -> bool:
    """Tell whether the input begins as a token record does, or is a shard of them; a pipe by its name."""
    if name == "-":
        return is_safetensors(cast(BufferedReader, open_stdin(_HINT)).peek(9))
    path = Path(name)
    if not path.is_file() or path.suffix.lower() == ".tar":
        return path.suffix.lower() not in SUFFIXES
    with path.open("rb") as file:
        return is_safetensors(file.read(9))
