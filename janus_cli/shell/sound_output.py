"""How a decoded sound is written while it is made: into a file that appears whole, or on standard output."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from janus_cli.errors import MediaError
from janus_cli.media.files import NewFile, is_special, write_errors
from janus_cli.shell.console import output_errors, sound_bar
from janus_cli.shell.inputs import stdout_bytes

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.media.sound_writer import Writer
    from janus_cli.media.sounds import Sound
    from janus_cli.records import Record


def write_sound(record: "Record", sound: "Sound", path: Path, force: bool) -> Path:
    """Write `sound` in the format of `path`'s suffix; returns where: `path`, or the first free name.

    Raises MediaError, also one that comes up while the sound is made, and leaves nothing behind.
    """
    from janus_cli.media.sound_writer import FORMATS

    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise MediaError(f"{path}: the record holds a sound: use a name in {', '.join(FORMATS)}")
    if is_special(path):
        with write_errors(path), path.open("ab", buffering=0) as file:
            _into_pipe(record, sound, FORMATS[suffix], file)
        return path
    new = NewFile(path, force)
    try:
        with write_errors(path):
            _write(record, sound, FORMATS[suffix], new.file)
        return new.commit()
    except BaseException:
        new.abort()
        raise


@contextlib.contextmanager
def watched(sound: "Sound", label: str, quiet: bool) -> "Iterator[Sound]":
    """`sound`, with a bar on a terminal's stderr that goes on as its pieces are taken."""
    with sound_bar(label, sound.seconds, sound.sample_rate, quiet) as advance:
        yield replace(sound, pieces=_counted(sound.pieces, advance))


def _counted(pieces: "Iterable[np.ndarray]", advance: Callable[[int], None]) -> "Iterator[np.ndarray]":
    for piece in pieces:
        yield piece
        advance(piece.shape[1])


def _write(record: "Record", sound: "Sound", format: str, file: BinaryIO) -> None:
    from janus_cli.media.sound_writer import Writer
    from janus_cli.records.provenance import collect_parameters

    told = collect_parameters(record)
    with Writer(file, format, sound.sample_rate, sound.channels, sound.num_samples, told) as writer:
        for piece in sound.pieces:
            writer.write(piece)


def _into_pipe(record: "Record", sound: "Sound", format: str, file: BinaryIO) -> None:
    """FLAC and OGG are completed by seeking, so they are made elsewhere first."""
    if format == "wav":
        _write(record, sound, format, file)
        return
    with tempfile.TemporaryFile() as copy:
        _write(record, sound, format, copy)
        copy.seek(0)
        shutil.copyfileobj(copy, file)


class StandardOutput:
    """One WAV on standard output that holds every sound written to it, each as soon as it is made.

    Into a pipe its header leaves the length open, as other programs do; in a regular file it is put right
    after each sound.
    """

    def __init__(self) -> None:
        self._writer: Writer | None = None
        self._start: int | None = None  # of the header, where the file can be moved about in
        self._samples = 0
        self._told: dict[str, str] = {}  # the first sound's parameters

    def write(self, record: "Record", sound: "Sound") -> None:
        """Append `sound`. Raises MediaError where its rate or channels are not those of the ones before."""
        file = stdout_bytes("a sound is", "use -o sound.wav, or pipe it on")
        with output_errors():
            if self._writer is None:
                self._begin(record, sound, file)
            self._append(sound, file)

    def _begin(self, record: "Record", sound: "Sound", file: BinaryIO) -> None:
        from janus_cli.media.sound_writer import Writer
        from janus_cli.records.provenance import collect_parameters

        if file.seekable() and not _appends(file):
            self._start = file.tell()
        self._told = collect_parameters(record)
        self._writer = Writer(file, "wav", sound.sample_rate, sound.channels, None, self._told)

    def _append(self, sound: "Sound", file: BinaryIO) -> None:
        assert self._writer is not None
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
        self._put_right(file)

    def _put_right(self, file: BinaryIO) -> None:
        """Write the header again, now that the length is known."""
        if self._start is None or self._writer is None:
            return
        from janus_cli.media.sound_writer import Writer

        end = file.tell()
        file.seek(self._start)
        Writer(file, "wav", self._writer.sample_rate, self._writer.channels, self._samples, self._told)
        file.seek(end)
        file.flush()


def _appends(file: BinaryIO) -> bool:
    """Whether whatever is written goes to the file's end, as after `>>`."""
    import fcntl

    return bool(fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & os.O_APPEND)
