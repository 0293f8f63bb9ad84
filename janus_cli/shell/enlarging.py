"""`janus upsample --model FILE`: pictures and records through a published super-resolution checkpoint."""

from collections.abc import Iterable, Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, cast

from janus_cli.commands.tokenize import PICTURES
from janus_cli.errors import UsageError
from janus_cli.media.sniff import is_safetensors
from janus_cli.shell.console import Device, Dtype, Failures, Talk, pick_device, tile_bar
from janus_cli.shell.inputs import expand, id_of, label_of, read_records, stdin_bytes
from janus_cli.shell.loader import Loader
from janus_cli.shell.outputs import FORMATS, Outputs
from janus_cli.shell.sinks import write_all

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.records import Record
    from janus_cli.stages.super_resolution import Picture, SuperResolution

CHECKPOINTS = (".safetensors", ".pth", ".pt", ".ckpt")
_RECORDS = (".safetensors", ".tar")
_HINT = "name pictures or token files (janus upsample FILE --model CHECKPOINT), or pipe one in"


def is_checkpoint(model: str) -> bool:
    """Whether --model names a file, there or not, rather than a model of ours."""
    return Path(model).is_file() or (Path(model).suffix.lower() in CHECKPOINTS and not Path(model).is_dir())


def enlarge(
    inputs: Sequence[str],
    model: str,
    scale: int | None,
    tile: int | None,
    device: Device,
    dtype: Dtype,
    output: str | None,
    force: bool,
    quiet: bool,
) -> None:
    """Enlarge every input; into pictures where `output` is a picture's name, else into records."""
    talk, failures = Talk(quiet), Failures()
    names = expand(inputs, (*PICTURES, *_RECORDS)) or ["-"]
    if "-" in names:
        stdin_bytes(_HINT)  # before the checkpoint is loaded
    to_pictures = output is not None and Path(output).suffix.lower() in FORMATS and not Path(output).is_dir()
    outputs = Outputs(output, force, FORMATS) if to_pictures else None
    work = _load(model, scale, tile, device, dtype, talk)
    pictures = _pictures(names, Loader(None, device, talk), failures)
    if outputs is None:
        write_all(_records(pictures, work, failures, quiet), output, force, failures)
        return
    done = 0
    for name, picture in pictures:
        with failures.item(name), tile_bar(name, work.count(picture), quiet) as progress:
            talk(f"wrote {outputs.write(work.told(picture), work.rows(picture, progress))}")
            done += 1
    failures.finish(done)


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


def _records(
    pictures: "Iterable[tuple[str, Picture]]", work: "SuperResolution", failures: Failures, quiet: bool
) -> "Iterator[Record]":
    for name, picture in pictures:
        with failures.item(name), tile_bar(name, work.count(picture), quiet) as progress:
            yield work.record(picture, work.rows(picture, progress))


def _pictures(names: Sequence[str], loader: Loader, failures: Failures) -> "Iterator[tuple[str, Picture]]":
    """What there is to enlarge, each with a name for messages; inputs that fail are counted."""
    from janus_cli.media.pictures import read_image
    from janus_cli.stages.super_resolution import Picture

    def decode(record: "Record") -> "np.ndarray":
        return cast("np.ndarray", loader.of(record).decode(record))

    for name in names:
        shown = "stdin" if name == "-" else name
        with failures.item(shown):
            if _holds_records(name):
                for i, record in enumerate(read_records([name], failures, "upsample")):
                    with failures.item(label := label_of(record, i)):
                        yield label, Picture.of_record(record, decode)
            else:
                image = read_image(stdin_bytes(_HINT) if name == "-" else Path(name), shown)
                yield shown, Picture.of_file(image, id_of(shown))


def _holds_records(name: str) -> bool:
    """Whether the input begins as a token record does, or is a shard of them; a pipe by its name."""
    if name == "-":
        return is_safetensors(cast(BufferedReader, stdin_bytes(_HINT)).peek(9))
    path = Path(name)
    if not path.is_file() or path.suffix.lower() == ".tar":
        return path.suffix.lower() not in PICTURES
    with path.open("rb") as file:
        return is_safetensors(file.read(9))
