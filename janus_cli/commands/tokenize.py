"""`janus tokenize text|image|audio`, and what plugins bring: media in, token records out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from janus_cli import zoo
from janus_cli.media import picture_formats, sound_formats
from janus_cli.media.files import is_special
from janus_cli.shell import options as opt
from janus_cli.shell.ahead import read_ahead
from janus_cli.shell.console import Talk, open_stdin
from janus_cli.shell.devices import Device, Dtype
from janus_cli.shell.failures import Failures
from janus_cli.shell.folders import Input, expand
from janus_cli.shell.inputs import (
    open_tokenizer,
    read_lines,
    read_text,
)
from janus_cli.shell.loader import Loader
from janus_cli.shell.names import Existing
from janus_cli.shell.plugin_commands import PluginGroup
from janus_cli.shell.progress import sound_bar
from janus_cli.shell.sinks import Destination, write_all
from janus_cli.stages.wording import clean_prompt

if TYPE_CHECKING:
    from janus_cli.media.pictures import Frame
    from janus_cli.records import Record
    from janus_cli.stages.text import TextTokenizer

AHEAD = 1 << 26  # bytes of pictures that are read before they are worked on
_NO_PICTURE = "name a picture (janus tokenize image FILE), or pipe one in"
_NO_SOUND = "name a sound (janus tokenize audio FILE), or pipe one in"


class Frames(StrEnum):
    """Which of the pictures in a file are read."""

    first = "first"
    all = "all"


app = typer.Typer(
    cls=PluginGroup,
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    help="Text, pictures, sounds and what plugins know to tokens.",
)


@app.command("text")
def text(
    texts: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT|-",
            show_default=False,
            help="One record each; standard input if none or -, less its last newline.",
        ),
    ] = None,
    lines: Annotated[
        bool,
        typer.Option(
            "--lines", help="Standard input has one text a line; empty ones and # lines are no texts."
        ),
    ] = False,
    model: opt.NewModelName = zoo.DEFAULT,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer",
            metavar="FILE",
            show_default=False,
            help="Use this tokenizer.json instead of the model's.",
        ),
    ] = None,
    output: opt.Output = None,
    force: opt.Force = False,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,  # as every filter has it; here there is nothing to say but errors
) -> None:
    """Text to tokens.

    janus tokenize text "a red apple" | janus info
    """
    failures = Failures()
    target = Destination(output, Existing.from_flags(force, skip_existing), quiet)
    encoder = open_tokenizer(tokenizer, model)
    write_all(_tokenize_texts(texts or ["-"], lines, encoder, target, failures), target, failures, texts)


def _tokenize_texts(
    texts: Sequence[str], lines: bool, encoder: "TextTokenizer", target: Destination, failures: Failures
) -> Iterator["Record"]:
    index = 0
    for argument in texts:
        for name, read in _read_texts(argument, lines, failures):
            with failures.item(name or f"text {index}"):
                if not target.passes_over(str(index)):
                    yield encoder.encode(read(), str(index))
            index += 1


def _read_texts(argument: str, lines: bool, failures: Failures) -> Iterator[tuple[str, Callable[[], str]]]:
    """Give for each text of an argument its name for messages, if it has one, and what reads it."""
    if argument != "-":
        yield "", lambda: clean_prompt(argument)
    elif not lines:
        yield "stdin", read_text
    else:
        for where, line in filter(None, read_lines(failures)):
            yield where, partial(clean_prompt, line)


@app.command("image")
def image(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|DIR|-", show_default=False, help="Pictures, folders of them, or standard input."
        ),
    ] = None,
    frames: Annotated[
        Frames,
        typer.Option("--frames", help="Of animations, and of files with several pages, pictures or sizes."),
    ] = Frames.first,
    model: opt.NewModelName = zoo.DEFAULT,
    device: opt.DeviceChoice = Device.auto,
    dtype: opt.DtypeChoice = Dtype.auto,
    output: opt.Output = None,
    force: opt.Force = False,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,
) -> None:
    """Pictures to tokens.

    janus tokenize image cat.png | janus decode -o cat-again.png
    """
    failures = Failures(quiet)
    target = Destination(output, Existing.from_flags(force, skip_existing), quiet)
    loader = Loader(model, device, Talk(quiet), dtype)
    found = expand(inputs or ["-"], picture_formats.SUFFIXES, "pictures", failures)
    write_all(
        _tokenize_pictures(found, frames is Frames.all, loader, target, failures), target, failures, inputs
    )


@dataclass(frozen=True, eq=False)
class _File:
    """A file of pictures, and what was to be said when it was read."""

    item: Input
    notes: list[str] = field(default_factory=list)

    def read(self) -> "Iterator[Frame]":
        """Read its pictures, each when it is asked for. Raises MediaError."""
        from janus_cli.media.pictures import read_frames

        return read_frames(self.item.open(_NO_PICTURE), self.item.label, self.notes.append)

    def read_first(self) -> "list[Frame]":
        """Read the first picture alone, as `read` does."""
        frames = self.read()
        try:
            return [next(frames)]
        finally:
            frames.close()  # type: ignore[attr-defined]  # what it is decoded from is large, too

    def read_beside(self) -> "list[Frame]":
        """Read the first picture in another thread; nothing of a pipe, which may never come."""
        waits = self.item.name == "-" or is_special(Path(self.item.name))
        return [] if waits else self.read_first()


def _read_first_pictures(
    files: Sequence[_File], target: Destination
) -> "Iterator[tuple[_File, Callable[[], list[Frame]]]]":
    """Give for each file a call that reads its first picture, perhaps beside the work on the one before."""
    if target.existing is Existing.skip:  # some may be passed over
        yield from ((file, file.read_first) for file in files)
        return
    for file, take in read_ahead(
        files, _File.read_beside, lambda read: sum(frame.pixels.nbytes for frame in read), AHEAD
    ):
        yield file, lambda take=take, file=file: take() or file.read_first()  # type: ignore[misc]


def _tokenize_pictures(
    inputs: Sequence[Input], every: bool, loader: Loader, target: Destination, failures: Failures
) -> Iterator["Record"]:
    """Make a record of each picture; every: of all that a file holds, each with its number in its id."""
    from janus_cli.media.pictures import describe_several

    files = [_File(item) for item in inputs]
    for file, read in ((f, f.read) for f in files) if every else _read_first_pictures(files, target):
        item = file.item
        if not every and target.passes_over(item.id):
            continue
        with failures.item(item.label):
            for frame in _say_notes(file, read, failures):
                id = item.id
                if frame.count > 1 and every:
                    id += f"-{frame.number:0{len(str(frame.count))}}"
                elif frame.count > 1:
                    failures.note(f"{item.label}: {describe_several(frame)}: --frames all reads each")
                if not (every and target.passes_over(id)):
                    yield loader.open().pictures.encode(frame.pixels, id=id, source=item.source)


def _say_notes(file: _File, read: "Callable[[], Iterable[Frame]]", failures: Failures) -> "Iterator[Frame]":
    """Give the pictures that `read` reads of the file, after what was noted of them."""

    def say() -> None:
        while file.notes:
            failures.note(file.notes.pop(0))

    try:
        for frame in read():
            say()
            yield frame
    finally:
        say()


@app.command("audio")
def audio(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|DIR|-",
            show_default=False,
            help="WAV, FLAC, OGG, MP3 ..., folders of them, or standard input.",
        ),
    ] = None,
    model: opt.NewModelName = zoo.DEFAULT,
    bandwidth: Annotated[
        float | None,
        typer.Option(
            "--bandwidth",
            "-b",
            min=0.0,
            metavar="KBPS",
            show_default="all codebooks",
            help="kbit/s of the tokens, as the codec has them: 1.5, 3, 6, 12 or 24 for encodec_24khz.",
        ),
    ] = None,
    device: opt.DeviceChoice = Device.auto,
    output: opt.Output = None,
    force: opt.Force = False,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,
) -> None:
    """Sounds to tokens, of any length, rate and number of channels.

    janus tokenize audio speech.flac | janus decode -o speech-again.wav
    """
    failures = Failures(quiet)
    target = Destination(output, Existing.from_flags(force, skip_existing), quiet)
    loader = Loader(model, device, Talk(quiet))
    found = expand(inputs or ["-"], sound_formats.SUFFIXES, "sounds", failures)
    write_all(_tokenize_sounds(found, loader, bandwidth, target, failures, quiet), target, failures, inputs)


def _tokenize_sounds(
    inputs: Sequence[Input],
    loader: Loader,
    bandwidth: float | None,
    target: Destination,
    failures: Failures,
    quiet: bool,
) -> Iterator["Record"]:
    from janus_cli.media.sounds import fit, open_sound

    if any(item.name == "-" for item in inputs):
        open_stdin(_NO_SOUND)  # before the codec is loaded
    pipeline = loader.open()
    codec = pipeline.sounds.codec.cfg
    pipeline.sounds.check_bandwidth(bandwidth)
    for item in inputs:
        if target.passes_over(item.id):
            continue
        with (
            failures.item(item.label),
            open_sound(item.open(_NO_SOUND), item.label, failures.note) as sound,
            sound_bar(Path(item.label).name, sound.seconds, codec.sample_rate, quiet) as progress,
        ):
            pieces = fit(sound, codec.sample_rate, codec.channels).pieces
            yield pipeline.sounds.encode(
                pieces, id=item.id, bandwidth=bandwidth, source=item.source, progress=progress
            )
