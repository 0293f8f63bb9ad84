"""Where a command's records go: standard output, one file, a folder, WebDataset shards.

Files appear complete or not at all. A file's or shard's name is a promise: where it exists nothing is done,
unless it is to be replaced or passed over. In a folder, files get names that are free.
"""

import contextlib
import io
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from janus_cli.errors import UsageError
from janus_cli.media.files import NewFile, is_special, make_folder, write_errors
from janus_cli.shell.console import Talk, drain_stdin, open_stdout
from janus_cli.shell.failures import Failures
from janus_cli.shell.names import Existing, Keys, check_given, check_promise

if TYPE_CHECKING:
    from janus_cli.records import Record

    Write = Callable[[Record], None]
    Sink = contextlib.AbstractContextManager[Write]  # completes the output, or leaves nothing half-written

SHARD_SIZE = 1000  # records in one shard of `shard-%06d.tar`
_NUMBER = re.compile(r"(?<!%)%0?\d{0,2}d", re.ASCII)  # of a shard, in its name
_DIRECTIVE = re.compile(r"(?<!%)%[#0+-]*\d*[a-zA-Z]", re.ASCII)  # what looks like one


class Destination:
    """What `-o` names, and which of its files are there already.

    A folder ends in "/" or exists, a shard ends in .tar; None and "-" are standard output.
    """

    def __init__(self, output: str | None, existing: Existing = Existing.keep, quiet: bool = False) -> None:
        """Raises UsageError for a shard's wrong name, MediaError for a file that exists; touches nothing."""
        check_given(output)
        self.output = None if output == "-" else output
        self.existing, self._talk = existing, Talk(quiet)
        self.is_folder = self.output is not None and (self.output.endswith("/") or Path(self.output).is_dir())
        self._keys = Keys()
        self._claims: dict[str, list[Path]] = {}  # record id -> files of what is under way
        self.passed_over = 0
        if self.output is not None and not self.is_folder:
            self._check_file(self.output)

    def _check_file(self, output: str) -> None:
        path = name_shard(output, 0)
        if path != Path(output) and self.existing is Existing.skip:
            raise UsageError(
                f"--skip-existing goes with a file or a folder, not with numbered shards: {output}"
            )
        check_promise(path, self.existing)
        if self.existing is Existing.skip and os.path.lexists(path) and not is_special(path):
            self.passed_over = 1

    @property
    def is_done(self) -> bool:
        """Whether it is one file that is there and is to be passed over: then there is nothing to do."""
        return bool(self.passed_over) and not self.is_folder

    def passes_over(self, id: str) -> bool:
        """Tell whether the next record of this id is there already, before it is made.

        Each is asked about once, in order, and made before the next one of its id is asked about, or not.
        """
        self._claims.pop(id, None)
        return not self.claim(id)

    def claim(self, id: str) -> bool:
        """Choose the file of one more record of this id; False where it is there and is to be passed over.

        What a file is called depends on the records before it, not on how many of them failed.
        """
        if not self.is_folder:
            return not self.is_done
        place = Path(self.output or "") / f"{self._keys.next(id)}.safetensors"
        if self.existing is Existing.skip and os.path.lexists(place):
            self.passed_over += 1
            return False
        self._claims.setdefault(id, []).append(place)
        return True

    def give_up(self, id: str, count: int) -> None:
        """Take back the last `count` claims of that id: nothing is made for them."""
        del self._claims.get(id, [])[-count:]

    def next_place(self, id: str) -> Path:
        """Give the file of the next record of this id that is written: each has been claimed."""
        return self._claims[id].pop(0)

    def keep_wanted(self, records: "Iterable[Record]") -> "Iterator[Record]":
        """Leave out the records of which there is a result already."""
        return (record for record in records if not self.passes_over(record.id))

    def conclude(self) -> None:
        """Say what was passed over."""
        if self.passed_over:
            what = self.output if self.is_done else f"{self.passed_over} of the records"
            self._talk(f"{what} passed over: already there")


def write_all(
    records: Iterable["Record"], target: Destination, failures: Failures, inputs: Sequence[str] | None
) -> int:
    """Write `records`, made of `inputs`, to `target`; returns how many were whole.

    Where there is nothing to do, standard input is still read if it is among the inputs, or there are none.
    When a record raises, or every item failed, the output is left incomplete: no file, no end record.
    """
    from janus_cli.records.progressive import is_whole

    done = 0
    if target.is_done:
        if "-" in (inputs or ["-"]):
            drain_stdin()
    else:
        with open_sink(target) as write:
            for record in records:
                with failures.item() if target.is_folder else contextlib.nullcontext():
                    write(record)
                    done += is_whole(record)
            failures.stop_if_all(done + target.passed_over)
    target.conclude()
    failures.finish(done + target.passed_over)
    return done


def check_parts(stream: bool, output: str | None) -> None:
    """Raise UsageError where parts of records, which follow one another, would go to files of their own."""
    if stream and output is not None and (output.endswith(("/", ".tar")) or Path(output).is_dir()):
        raise UsageError("--stream writes parts one after another: use a pipe or a file, no folder or shard")


def open_sink(target: Destination) -> "Sink":
    """Open what `-o` names. Raises UsageError for a terminal, MediaError for no place to write."""
    if (output := target.output) is None:
        return _open_stream(open_stdout("token records are", "pipe them on, or use -o FILE.safetensors"))
    path, force = Path(output), target.existing is Existing.replace
    if target.is_folder:
        return _open_folder(path, target)
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
def _open_folder(folder: Path, target: Destination) -> "Iterator[Write]":
    """Write one file a record, named by its id; each is complete as soon as it is there."""
    from janus_cli.records import StreamWriter

    make_folder(folder)

    def write(record: "Record") -> None:
        path = target.next_place(record.id)
        with NewFile(path, target.existing is Existing.replace) as new:
            StreamWriter(new.file, numbered=False, name=str(path)).write(record)

    yield write


@contextlib.contextmanager
def _open_shards(template: str, force: bool) -> "Iterator[Write]":
    """Write WebDataset: tar files of SHARD_SIZE members (one endless file without a "%d")."""
    keys, count, add = Keys(), 0, None
    is_numbered = name_shard(template, 0) != Path(template)

    def write(record: "Record") -> None:
        nonlocal count, add
        from janus_cli.records import dumps

        data = dumps(record)
        if add is None:
            add = shard.enter_context(_open_tar(name_shard(template, count // SHARD_SIZE), force))
        add(f"{keys.next(record.id)}.safetensors", data)
        count += 1
        if count % SHARD_SIZE == 0 and is_numbered:
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


def name_shard(template: str, number: int) -> Path:
    """Put a shard's number into its name; one without a number, as %06d, is literal. Raises UsageError."""
    path = Path(template)
    if path.suffix != ".tar" or not _NUMBER.search(path.name):
        return path
    if len(_DIRECTIVE.findall(path.name)) > 1:
        raise UsageError(f"{template}: a shard name has one number, as in shard-%06d.tar")
    return path.with_name(_NUMBER.sub(lambda found: found[0] % number, path.name))


def _new_file(path: Path, force: bool) -> NewFile:
    """Open a token file to be written. Raises MediaError if `path` exists and not `force`.

    It gets no other name: what reads it next has been told this one.
    """
    check_promise(path, Existing.replace if force else Existing.keep)
    return NewFile(path, force, numbered=False)


def _is_regular(file: IO[Any]) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except OSError:  # no file descriptor behind it
        return False
