"""Where a command's records go: standard output, one file, a folder, WebDataset shards.

Files appear complete or not at all, and never in place of another unless `force` says so.
"""

import io
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol

from janus_cli.errors import RecordError, UsageError
from janus_cli.media.files import NewFile, is_special, write_errors
from janus_cli.shell.console import stdout_bytes
from janus_cli.shell.failures import Failures

if TYPE_CHECKING:
    from janus_cli.records import Record

SHARD_SIZE = 1000  # records in one shard of `shard-%06d.tar`
_MAX_KEY = 80  # characters of a record's id that a file name keeps


class Sink(Protocol):
    """Takes records; `close` completes the output, `abort` leaves nothing half-written."""

    def write(self, record: "Record") -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


def write_all(records: Iterable["Record"], output: str | None, force: bool, failures: Failures) -> int:
    """Write `records` to what `-o` names (None and "-": standard output); returns how many were whole.

    When a record raises, or every item failed, the output is left incomplete: no file, no end record.
    """
    from janus_cli.records.progressive import is_whole

    sink = open_sink(output, force)
    done = 0
    try:
        for record in records:
            sink.write(record)
            done += is_whole(record)
        failures.stop_if_all(done)
        sink.close()
    except BaseException:
        sink.abort()
        raise
    failures.finish(done)
    return done


def check_parts(stream: bool, output: str | None) -> None:
    """Raise UsageError where parts of records, which follow one another, would go to files of their own."""
    if stream and output is not None and (output.endswith(("/", ".tar")) or Path(output).is_dir()):
        raise UsageError("--stream writes parts one after another: use a pipe or a file, no folder or shard")


def open_sink(output: str | None, force: bool) -> Sink:
    """Open what `-o` names: a folder ends in "/" or exists, a shard ends in .tar.

    Raises UsageError for a terminal, RecordError for a file that exists or cannot be written.
    """
    if output is None or output == "-":
        return _StreamSink(stdout_bytes("token records are", "pipe them on, or use -o FILE.safetensors"))
    path = Path(output)
    if output.endswith("/") or path.is_dir():
        return _FolderSink(path, force)
    if path.suffix == ".tar":
        return _ShardSink(output, force)
    if is_special(path):
        with write_errors(path):
            return _StreamSink(path.open("ab"), str(path))
    return _FileSink(path, force)


class _StreamSink:
    """Standard output, a FIFO or a device: a numbered stream, unless a regular file stands behind it."""

    def __init__(self, file: BinaryIO, name: str = "stdout") -> None:
        from janus_cli.records import StreamWriter

        self._writer = StreamWriter(file, numbered=not _is_regular(file), name=name)

    def write(self, record: "Record") -> None:
        self._writer.write(record)

    def close(self) -> None:
        self._writer.close()

    def abort(self) -> None:
        """What went out is out; the missing end record tells the reader."""


class _FileSink:
    """Records one after another in one file."""

    def __init__(self, path: Path, force: bool) -> None:
        from janus_cli.records import StreamWriter

        self._file = new_file(path, force)
        self._writer = StreamWriter(self._file.file, numbered=False, name=str(path))

    def write(self, record: "Record") -> None:
        self._writer.write(record)

    def close(self) -> None:
        self._file.commit()

    def abort(self) -> None:
        self._file.abort()


class _FolderSink:
    """One file a record, named by its id; each is complete as soon as it is there."""

    def __init__(self, folder: Path, force: bool) -> None:
        self._folder, self._force, self._keys = folder, force, Keys()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f"{folder}: cannot be made: {error.strerror}") from None

    def write(self, record: "Record") -> None:
        sink = _FileSink(self._folder / f"{self._keys.next(record.id)}.safetensors", self._force)
        try:
            sink.write(record)
            sink.close()
        except BaseException:
            sink.abort()
            raise

    def close(self) -> None: ...

    def abort(self) -> None: ...


class _ShardSink:
    """WebDataset: tar files of SHARD_SIZE members (one endless file without a "%d"); no times, no owners."""

    def __init__(self, template: str, force: bool) -> None:
        self._template, self._force, self._keys = template, force, Keys()
        self._shard = self._count = 0
        self._file: NewFile | None = None
        self._tar: Any = None
        self._shard_path()

    def _shard_path(self) -> Path:
        if "%" not in self._template:
            return Path(self._template)
        try:
            return Path(self._template % self._shard)
        except (TypeError, ValueError):
            raise UsageError(f"{self._template}: a shard name has one number, as in shard-%06d.tar") from None

    def write(self, record: "Record") -> None:
        import tarfile

        from janus_cli.records import dumps

        data = dumps(record)
        member = tarfile.TarInfo(f"{self._keys.next(record.id)}.safetensors")
        member.size = len(data)
        if self._file is None:
            self._file = new_file(self._shard_path(), self._force)
            self._tar = tarfile.open(fileobj=self._file.file, mode="w")  # noqa: SIM115 (closed in `close`)
        with write_errors(self._file.path):
            self._tar.addfile(member, io.BytesIO(data))
        self._count += 1
        if self._count % SHARD_SIZE == 0 and "%" in self._template:
            self.close()
            self._shard += 1

    def close(self) -> None:
        if self._file is not None:
            with write_errors(self._file.path):
                self._tar.close()
            self._file.commit()
            self._file = None

    def abort(self) -> None:
        if self._file is not None:
            self._file.abort()


def new_file(path: Path, force: bool) -> NewFile:
    """Open a token file to be written. Raises RecordError if `path` exists and not `force`.

    Unlike a picture it gets no other name: what reads it next has been told this one.
    """
    if path.exists() and not force:
        raise RecordError(f"{path} exists: use another name, or --force to replace it")
    return NewFile(path, force)


class Keys:
    """File names from record ids: no dot, no slash, none twice."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._index = 0

    def next(self, id: str) -> str:
        """Make a new name for a record of this id; its running number where the id says nothing."""
        key = re.sub(r"[^\w-]+", "_", id)[:_MAX_KEY].strip("_") or f"{self._index:06d}"
        self._index += 1
        name, copy = key, 0
        while name in self._used:
            copy += 1
            name = f"{key}-{copy}"
        self._used.add(name)
        return name


def _is_regular(file: IO[Any]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # no file descriptor behind it
        return False
