"""Where a command's records go: standard output, one file, a folder, WebDataset shards.

Files appear complete or not at all, and never in place of another unless `force` says so.
"""

import contextlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from janus_cli.errors import RecordError, UsageError
from janus_cli.media.files import NewFile, is_special, make_folder, number_paths, write_errors
from janus_cli.shell.console import open_stdout
from janus_cli.shell.failures import Failures

if TYPE_CHECKING:
    from janus_cli.records import Record

    Write = Callable[[Record], None]
    Sink = contextlib.AbstractContextManager[Write]  # completes the output, or leaves nothing half-written

SHARD_SIZE = 1000  # records in one shard of `shard-%06d.tar`
_MAX_KEY = 80  # characters of a record's id that a file name keeps


def write_all(records: Iterable["Record"], output: str | None, force: bool, failures: Failures) -> int:
    """Write `records` to what `-o` names (None and "-": standard output); returns how many were whole.

    When a record raises, or every item failed, the output is left incomplete: no file, no end record.
    """
    from janus_cli.records.progressive import is_whole

    done = 0
    with open_sink(output, force) as write:
        for record in records:
            write(record)
            done += is_whole(record)
        failures.stop_if_all(done)
    failures.finish(done)
    return done


def check_parts(stream: bool, output: str | None) -> None:
    """Raise UsageError where parts of records, which follow one another, would go to files of their own."""
    if stream and output is not None and (output.endswith(("/", ".tar")) or Path(output).is_dir()):
        raise UsageError("--stream writes parts one after another: use a pipe or a file, no folder or shard")


def open_sink(output: str | None, force: bool) -> "Sink":
    """Open what `-o` names: a folder ends in "/" or exists, a shard ends in .tar.

    Raises UsageError for a terminal, RecordError for a file that exists, MediaError for no place to write.
    """
    if output is None or output == "-":
        return _open_stream(open_stdout("token records are", "pipe them on, or use -o FILE.safetensors"))
    path = Path(output)
    if output.endswith("/") or path.is_dir():
        return _open_folder(path, force)
    if path.suffix == ".tar":
        return _open_shards(output, force)
    if is_special(path):
        with write_errors(path):
            return _open_stream(path.open("ab"), str(path))
    return _open_file(path, force)


@contextlib.contextmanager
def _open_stream(file: BinaryIO, name: str = "stdout") -> "Iterator[Write]":
    """Write to standard output, a FIFO or a device: a numbered stream, unless a regular file is behind it.

    What went out is out; where it breaks off the missing end record tells the reader.
    """
    from janus_cli.records import StreamWriter

    with StreamWriter(file, numbered=not _is_regular(file), name=name) as writer:
        yield writer.write


@contextlib.contextmanager
def _open_file(path: Path, force: bool) -> "Iterator[Write]":
    """Write records one after another into one file."""
    from janus_cli.records import StreamWriter

    with _new_file(path, force) as new:
        yield StreamWriter(new.file, numbered=False, name=str(path)).write


@contextlib.contextmanager
def _open_folder(folder: Path, force: bool) -> "Iterator[Write]":
    """Write one file a record, named by its id; each is complete as soon as it is there."""
    keys = Keys()
    make_folder(folder)

    def write(record: "Record") -> None:
        with _open_file(folder / f"{keys.next(record.id)}.safetensors", force) as put:
            put(record)

    yield write


@contextlib.contextmanager
def _open_shards(template: str, force: bool) -> "Iterator[Write]":
    """Write WebDataset: tar files of SHARD_SIZE members (one endless file without a "%d")."""
    keys, count, add = Keys(), 0, None
    _name_shard(template, 0)

    def write(record: "Record") -> None:
        nonlocal count, add
        from janus_cli.records import dumps

        data = dumps(record)
        if add is None:
            add = shard.enter_context(_open_tar(_name_shard(template, count // SHARD_SIZE), force))
        add(f"{keys.next(record.id)}.safetensors", data)
        count += 1
        if count % SHARD_SIZE == 0 and "%" in template:
            shard.close()
            add = None

    with contextlib.ExitStack() as shard:
        yield write


@contextlib.contextmanager
def _open_tar(path: Path, force: bool) -> Iterator[Callable[[str, bytes], None]]:
    """Write a tar file, whose members have no times and no owners."""
    import tarfile

    def add(name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        with write_errors(path):
            tar.addfile(member, io.BytesIO(data))

    with _new_file(path, force) as new:
        tar = tarfile.open(fileobj=new.file, mode="w")  # noqa: SIM115 (closed only where all went well)
        yield add
        with write_errors(path):
            tar.close()


def _name_shard(template: str, number: int) -> Path:
    try:
        return Path(template % number if "%" in template else template)
    except (TypeError, ValueError):
        raise UsageError(f"{template}: a shard name has one number, as in shard-%06d.tar") from None


def _new_file(path: Path, force: bool) -> NewFile:
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
        name = next(name for name in map(str, number_paths(Path(key))) if name not in self._used)
        self._used.add(name)
        return name


def _is_regular(file: IO[Any]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # no file descriptor behind it
        return False
