"""`janus decode`: token records in; pictures, sounds, texts and what plugins write out."""

from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import plugins, zoo
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk
from janus_cli.shell.devices import Device, Dtype
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import make_label, open_tokenizer, read_records
from janus_cli.shell.loader import Loader
from janus_cli.shell.media_output import EncodedOutput, Output, as_output
from janus_cli.shell.names import Existing
from janus_cli.shell.outputs import Outputs, list_suffixes, name_suffix

if TYPE_CHECKING:
    from janus_cli.records import Record
    from janus_cli.stages.text import TextTokenizer


def decode(
    inputs: opt.Inputs = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="TEMPLATE",
            show_default=False,
            help="A name in .png .jpg .webp .wav .flac .ogg or .txt (.csv or .npy of a series), with "
            "{prompt} {seed} {index} {id} {source}, or a folder/; standard output (PNG, WAV, text, CSV) if "
            "none.",
        ),
    ] = None,
    model: opt.ModelName = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="FILE",
            show_default=False,
            help="Read text tokens with this tokenizer.json.",
        ),
    ] = None,
    device: opt.DeviceChoice = Device.auto,
    dtype: opt.DtypeChoice = Dtype.auto,
    force: opt.Force = False,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,
) -> None:
    """Tokens to pictures, sounds, text or what a plugin writes.

    janus decode apple.safetensors -o apple.png
    """
    talk, failures = Talk(quiet), Failures(quiet)
    loader = Loader(model, device, talk, dtype)
    reader = open_tokenizer(tokenizer, zoo.DEFAULT) if tokenizer else None
    outputs = Outputs(output, Existing.from_flags(force, skip_existing), list_suffixes(output))
    done = passed_over = 0
    for i, record in enumerate(read_records(inputs or [], failures, "decode")):
        outputs.check(record)
        with failures.item(make_label(record, i)):
            if (path := outputs.choose(record, name_suffix(record))) is None:
                passed_over += 1
                continue
            name = outputs.write(record, _decode(record, loader, reader, quiet), path)
            done += 1
            if name != "-":
                talk(f"wrote {name}")
    if passed_over:
        talk(f"{passed_over} of the records passed over: already there")
    failures.finish(done + passed_over)


def _decode(record: "Record", loader: Loader, reader: "TextTokenizer | None", quiet: bool) -> Output:
    """Decode the last segment, with the plugin of its modality or the model that made it."""
    if reader is not None and record.segments and record.segments[-1].modality == "text":
        return as_output(reader.decode(record.segments[-1]))
    if record.segments and record.segments[-1].modality not in plugins.BUILT_IN:
        from janus_cli.stages.plugin import make_writers

        return EncodedOutput(record.segments[-1].modality, make_writers(record.segments[-1]))
    return as_output(loader.open_for(record).decode(record), record.id or "decode", quiet)
