"""What decoded media are written as: into a file that appears whole, or on standard output.

A class for each kind knows its suffixes and writes itself. How a picture or a sound becomes bytes is media's
business; what a file is called is `outputs`'.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from janus_cli.errors import MediaError, OutputError
from janus_cli.media.files import atomic_write, is_special, write_with
from janus_cli.shell.console import catch_output_errors, escape_for_stdout, open_stdout
from janus_cli.shell.progress import sound_bar

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.media.png import Rows
    from janus_cli.media.sound_writer import Writer
    from janus_cli.media.sounds import Sound
    from janus_cli.records import Record

PICTURE_FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
SOUND_SUFFIXES = {".wav": "wav", ".flac": "flac", ".ogg": "ogg"}
_HINTS = {"picture": "use -o picture.png, or redirect it", "sound": "use -o sound.wav, or pipe it on"}


class Output(Protocol):
    """What a record was decoded to, which writes itself."""

    @property
    def kind(self) -> str:
        """Its name in messages: picture, sound, text, or a plugin's modality."""

    @property
    def suffixes(self) -> Sequence[str]:
        """Those of the files that it can be written to, the default first."""

    def write(self, record: "Record", path: Path, force: bool) -> Path:
        """Write a file in the format of `path`'s suffix, one of `suffixes`, whole or not at all.

        Returns where: `path`, or without `force` the first free name. Raises MediaError.
        """

    def put(self, record: "Record", stdout: "StandardOutput") -> None:
        """Write it to standard output in its default format."""


@dataclass(frozen=True)
class PictureOutput:
    """A picture, uint8 [H, W, 3]."""

    pixels: "np.ndarray"
    kind = "picture"
    suffixes = tuple(PICTURE_FORMATS)

    def encode(self, record: "Record", suffix: str) -> bytes:
        """Make the bytes of a file with that suffix, which says how the picture was made."""
        from janus_cli.media.pictures import image_bytes
        from janus_cli.records.provenance import collect_parameters

        return image_bytes(self.pixels, PICTURE_FORMATS[suffix], collect_parameters(record))

    def write(self, record: "Record", path: Path, force: bool) -> Path:
        return atomic_write(path, self.encode(record, path.suffix.lower()), force)

    def put(self, record: "Record", stdout: "StandardOutput") -> None:
        stdout.write(open_stdout_for(self.kind), self.encode(record, ".png"))


@dataclass(frozen=True)
class RowsOutput:
    """A picture that is made while it is written: a PNG grows, other formats want the whole."""

    rows: "Rows"
    kind = "picture"
    suffixes = tuple(PICTURE_FORMATS)

    def write(self, record: "Record", path: Path, force: bool) -> Path:
        if path.suffix.lower() != ".png":
            return PictureOutput(self.rows.whole()).write(record, path, force)
        from janus_cli.media.png import write_png
        from janus_cli.records.provenance import collect_parameters

        metadata = collect_parameters(record)
        return write_with(path, lambda file: write_png(file, self.rows, metadata), force)

    def put(self, record: "Record", stdout: "StandardOutput") -> None:
        PictureOutput(self.rows.whole()).put(record, stdout)


@dataclass(frozen=True)
class TextOutput:
    """A text; a line on standard output."""

    text: str
    kind = "text"
    suffixes = (".txt",)

    def write(self, record: "Record", path: Path, force: bool) -> Path:
        return atomic_write(path, f"{self.text}\n".encode(), force)

    def put(self, record: "Record", stdout: "StandardOutput") -> None:
        stdout.write_text(f"{escape_for_stdout(self.text)}\n".encode())


@dataclass(frozen=True)
class EncodedOutput:
    """A file whose bytes a plugin makes: a function for each suffix, the default first."""

    kind: str
    encoders: Mapping[str, Callable[[], bytes]]

    @property
    def suffixes(self) -> Sequence[str]:
        return tuple(self.encoders)

    def write(self, record: "Record", path: Path, force: bool) -> Path:
        return atomic_write(path, self.encoders[path.suffix.lower()](), force)

    def put(self, record: "Record", stdout: "StandardOutput") -> None:
        suffix = self.suffixes[0]
        data = self.encoders[suffix]()
        if _is_text(data):
            stdout.write_text(data)
        else:
            hint = f"use -o name{suffix}, or redirect it"
            stdout.write(open_stdout(f"a {suffix} file is", hint), data)


@dataclass(frozen=True)
class SoundOutput:
    """A sound that is made while it is written, with a bar called `label` unless `quiet`."""

    sound: "Sound"
    label: str = ""
    quiet: bool = True
    kind = "sound"
    suffixes = tuple(SOUND_SUFFIXES)

    def write(self, record: "Record", path: Path, force: bool) -> Path:
        fill = self._write_copied if is_special(path) and path.suffix.lower() != ".wav" else self._write
        return write_with(path, lambda file: fill(record, SOUND_SUFFIXES[path.suffix.lower()], file), force)

    def put(self, record: "Record", stdout: "StandardOutput") -> None:
        with self._watch() as sound:
            stdout.append(record, sound)

    def _write(self, record: "Record", format: str, file: BinaryIO) -> None:
        from janus_cli.media.sound_writer import Writer
        from janus_cli.records.provenance import collect_parameters

        metadata = collect_parameters(record)
        with (
            self._watch() as sound,
            Writer(file, format, sound.sample_rate, sound.channels, sound.num_samples, metadata) as writer,
        ):
            for piece in sound.pieces:
                writer.write(piece)
                file.flush()  # into a pipe, somebody may be listening

    def _write_copied(self, record: "Record", format: str, file: BinaryIO) -> None:
        """Write into a pipe what is completed by seeking, FLAC and OGG: make it elsewhere first."""
        with tempfile.TemporaryFile() as copy:
            self._write(record, format, copy)
            copy.seek(0)
            shutil.copyfileobj(copy, file)

    @contextlib.contextmanager
    def _watch(self) -> "Iterator[Sound]":
        """Give the sound, with a bar that goes on as its pieces are taken."""
        sound = self.sound
        with sound_bar(self.label, sound.seconds, sound.sample_rate, self.quiet) as advance:

            def pieces() -> "Iterator[np.ndarray]":
                for piece in sound.pieces:
                    yield piece
                    advance(piece.shape[1])

            yield replace(sound, pieces=pieces())


def as_output(media: "np.ndarray | str | Sound", label: str = "", quiet: bool = True) -> Output:
    """Make the output of what a pipeline has decoded; a sound shows a bar called `label` unless `quiet`."""
    if isinstance(media, str):
        return TextOutput(media)
    from janus_cli.media.sounds import Sound

    return SoundOutput(media, label, quiet) if isinstance(media, Sound) else PictureOutput(media)


def open_stdout_for(kind: str) -> BinaryIO:
    """Give standard output for a picture or a sound. Raises UsageError where it is a terminal."""
    return open_stdout(f"a {kind} is", _HINTS[kind])


def _is_text(data: bytes) -> bool:
    """Tell whether a plugin's file is text that a terminal shows and does not obey."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return bool(text) and all(line.isprintable() for line in text.replace("\t", " ").split("\n"))


class StandardOutput:
    """Standard output and what it has taken: one picture, texts as lines, or sounds in one WAV.

    Each sound is written as soon as it is made. Into a pipe the WAV's header leaves the length open, as other
    programs do; in a regular file it is put right after each sound.
    """

    def __init__(self) -> None:
        self.held = ""  # the kind of what it has taken
        self._writer: Writer | None = None
        self._start: int | None = None  # of the header, where the file can be moved about in
        self._samples = 0
        self._metadata: dict[str, str] = {}  # the first sound's parameters

    def check(self, kind: str) -> None:
        """Raise OutputError where it has taken something that an output of this kind cannot follow."""
        if self.held and (self.held != kind or kind not in ("text", "sound")):
            other = f"another {kind}" if kind == self.held else f"a {kind}"
            raise OutputError(
                f"standard output holds a {self.held}, which {other} cannot follow: "
                "use -o to write a file each"
            )

    def write(self, file: BinaryIO, data: bytes) -> None:
        """Write bytes to `file`, which is standard output. Raises OutputError."""
        with catch_output_errors():
            file.write(data)
            file.flush()

    def write_text(self, data: bytes) -> None:
        """Write text that may go to a terminal. Raises OutputError."""
        sys.stdout.flush()
        self.write(sys.stdout.buffer, data)

    def append(self, record: "Record", sound: "Sound") -> None:
        """Append `sound`. Raises MediaError where its rate or channels are not those of the ones before."""
        file = open_stdout_for("sound")
        with catch_output_errors():
            if self._writer is None:
                self._writer = self._begin(record, sound, file)
            ours, theirs = ((s.sample_rate, s.channels) for s in (self._writer, sound))
            if ours != theirs:
                raise MediaError(
                    f"{theirs[0]} Hz in {theirs[1]} channels cannot follow {ours[0]} Hz in "
                    f"{ours[1]} in one WAV: use -o to write a file each"
                )
            for piece in sound.pieces:
                self._writer.write(piece)
                self._samples += piece.shape[1]
                file.flush()  # somebody may be listening
            self._correct_header(file)

    def _begin(self, record: "Record", sound: "Sound", file: BinaryIO) -> "Writer":
        """Write the header, with the length left open."""
        from janus_cli.media.sound_writer import Writer
        from janus_cli.records.provenance import collect_parameters

        if file.seekable() and not _appends(file):
            self._start = file.tell()
        self._metadata = collect_parameters(record)
        return Writer(file, "wav", sound.sample_rate, sound.channels, None, self._metadata)

    def _correct_header(self, file: BinaryIO) -> None:
        """Write the header again, now that the length is known."""
        if self._start is None or self._writer is None:
            return
        from janus_cli.media.sound_writer import Writer

        end = file.tell()
        file.seek(self._start)
        Writer(file, "wav", self._writer.sample_rate, self._writer.channels, self._samples, self._metadata)
        file.seek(end)
        file.flush()


def _appends(file: BinaryIO) -> bool:
    """Tell whether whatever is written goes to the file's end, as after `>>`."""
    import fcntl

    return bool(fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND)
