"""`janus decode`: token records in, pictures, sounds and texts out."""

from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import zoo
from janus_cli.commands import options as opt
from janus_cli.commands.console import Device, Dtype, Failures, Talk
from janus_cli.commands.loading import Loader
from janus_cli.commands.outputs import Outputs, is_sound
from janus_cli.commands.sound_output import watched
from janus_cli.commands.streams import read_records
from janus_cli.commands.tokenize import text_tokenizer

if TYPE_CHECKING:
    from janus_cli.commands.outputs import Media
    from janus_cli.records import Record
    from janus_cli.stages.text import TextTokenizer


def decode(
    inputs: opt.Inputs = None,
    output: Annotated[str | None, typer.Option(
        "--output", "-o", metavar="TEMPLATE", show_default=False,
        help="A name in .png .jpg .webp .wav .flac .ogg or .txt, with {prompt} {seed} {index} {id}, or a "
             "folder/; standard output (PNG, WAV or text) if none or -.")] = None,
    model: opt.ModelName = None,
    tokenizer: Annotated[str | None, typer.Option(
        "--tokenizer", metavar="FILE", show_default=False,
        help="Read text tokens with this tokenizer.json.")] = None,
    device: opt.DeviceChoice = Device.auto,
    dtype: opt.DtypeChoice = Dtype.auto,
    force: opt.Force = False,
    quiet: opt.Quiet = False,
) -> None:
    """Tokens to pictures, sounds or text.

    janus decode apple.safetensors -o apple.png
    """
    talk, failures = Talk(quiet), Failures()
    loader = Loader(model, device, talk, dtype)
    reader = text_tokenizer(tokenizer, zoo.DEFAULT) if tokenizer else None
    outputs = Outputs(output, force)
    done = 0
    for i, record in enumerate(read_records(inputs or [], failures, "decode")):
        with failures.item(f"record {record.id or i}"):
            media = _media(record, loader, reader)
            if is_sound(media):
                with watched(media, record.id or "decode", quiet) as sound:
                    name = outputs.write(record, sound)
            else:
                name = outputs.write(record, media)
            done += 1
            if name != "-":
                talk(f"wrote {name}")
    failures.finish(done)


def _media(record: "Record", loader: Loader, reader: "TextTokenizer | None") -> "Media":
    if reader is not None and record.segments and record.segments[-1].modality == "text":
        return reader.decode(record.segments[-1])
    return loader.of(record).decode(record)
