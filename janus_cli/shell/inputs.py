"""What a command reads: texts, files and folders, and records from files, WebDataset shards and pipes.

Refuses to wait for a terminal to type records.
"""

import contextlib
import select
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from janus_cli import zoo
from janus_cli.errors import JanusError, MediaError, RecordError
from janus_cli.shell.console import complain, open_stdin
from janus_cli.shell.failures import Failures
from janus_cli.shell.folders import expand
from janus_cli.stages.wording import CONVERT, decode_text, drop_newline, is_wide

if TYPE_CHECKING:
    from janus_cli.records import Record
    from janus_cli.stages.text import TextTokenizer

MAX_LINE = 1 << 20  # bytes of a prompt on standard input
RECORDS = (".safetensors", ".tar")


def make_label(record: "Record", index: int) -> str:
    """A record's name for messages, as the stages have it; its number where it has no id."""
    return f"record {record.id!r}" if record.id else f"record {index}"


_NO_TEXT = 'give the text as an argument, or pipe it in (echo "a red apple" | janus ...)'


def read_text() -> str:
    """Read all of standard input as one text, less one newline at its end. Raises MediaError."""
    data = open_stdin(_NO_TEXT).read()
    try:
        return drop_newline(decode_text(data))
    except MediaError as error:
        raise MediaError(f"stdin: {error}") from None


def read_lines(failures: Failures) -> Iterator[tuple[str, str] | None]:
    """Read the lines on standard input: each with a name for messages, without its end.

    A None says that no line is waiting: the next may take a while. A line that is no text is counted as a
    failure, and empty ones and those that begin with "#" are passed over. Raises MediaError for UTF-16.
    """
    number = 0
    for data in _split_lines(open_stdin(_NO_TEXT)):
        if data is None:
            yield None
            continue
        number += 1
        if number == 1 and is_wide(data):
            raise MediaError(f"stdin: not UTF-8 text but UTF-16: {CONVERT}")
        with failures.item():
            line = _decode_line(data, where := f"stdin: line {number}")
            if line.strip() and not line.lstrip().startswith("#"):
                yield where, line


def _decode_line(data: bytes, where: str) -> str:
    """Decode a line, without a carriage return at its end. Raises MediaError."""
    if len(data) > MAX_LINE:
        raise MediaError(f"{where} is longer than {MAX_LINE:,} bytes")
    try:
        return decode_text(data).rstrip("\r")
    except MediaError as error:
        raise MediaError(f"{where}: {error}") from None


def _split_lines(file: BinaryIO) -> Iterator[bytes | None]:
    """Split what comes from `file` into lines, of a line over MAX_LINE its start; None when none is waiting.

    What is no pipe and no terminal is always ready.
    """
    rest = b""
    while True:
        if not _is_ready(file):
            yield None
        data = file.read1(1 << 16)  # type: ignore[attr-defined]  # what is there, as soon as there is something
        *lines, rest = (rest[: MAX_LINE + 1] + data).split(b"\n")
        yield from lines
        if not data:
            break
    if rest:
        yield rest


def with_pauses(records: Iterator["Record"]) -> Iterator["Record | None"]:
    """Pass on records of standard input; a None says that the next one may take a while."""
    while True:
        if sys.stdin is not None and not _is_ready(sys.stdin.buffer):
            yield None
        if (record := next(records, None)) is None:
            return
        yield record


def is_awaited(inputs: Sequence[str] | None) -> bool:
    """Tell whether the first input is a pipe in which there is nothing yet: its other end is at work."""
    stdin = sys.stdin
    if (inputs or ["-"])[0] != "-" or stdin is None or stdin.isatty():
        return False
    return not _is_ready(stdin.buffer)


def _is_ready(file: BinaryIO) -> bool:
    """Tell whether reading from behind `file` gives something at once, or its end; its buffer is not seen."""
    try:
        return bool(select.select([file.fileno()], [], [], 0)[0])
    except (OSError, ValueError):  # no descriptor, or none that can be asked
        return True


def open_tokenizer(file: str | None, model: str) -> "TextTokenizer":
    """Open the text tokenizer in `file`, named after it; else the model's."""
    from janus_cli.stages.text import TextTokenizer

    if file is None:
        found = zoo.find(model)
        return TextTokenizer(found.tokenizer_file, found.name)
    path = Path(file)
    return TextTokenizer(path, path.resolve().parent.name if path.stem == "tokenizer" else path.stem)


def read_records(
    inputs: Sequence[str], failures: Failures, command: str, parts: bool = False
) -> Iterator["Record"]:
    """Read the records that `read_named_records` reads, without the names."""
    return (record for _, record in read_named_records(inputs, failures, command, parts))


def read_named_records(
    inputs: Sequence[str], failures: Failures, command: str, parts: bool = False
) -> Iterator[tuple[str, "Record"]]:
    """Read the records of files, folders and shards one after another; of stdin for "-" or no input.

    Each comes with the name of its file ("-" for stdin, shard.tar:member in a shard). A file that fails is
    counted and the next one read; a single input that fails raises its RecordError. Parts of a progressive
    record must fit together; unless `parts`, only the last one is passed on: it holds the whole. A result
    whose last part never came, though its stream ended well, is counted where it had not failed before, and
    the others are good.
    """
    from janus_cli.records.progressive import PartOrder, is_whole

    names = [found.name for found in expand(inputs, RECORDS, "token records", failures)] or ["-"]
    for name in names:
        count, wholes, seen = 0, 0, PartOrder("stdin" if name == "-" else name)
        try:
            for place, record in _read_file(name, command):
                seen.check(record)
                if parts or is_whole(record):
                    yield place, record
                    count += 1
                    wholes += is_whole(record)
            for result, error in seen.find_unfinished().items():
                if result in failures.results:
                    continue  # it has been counted
                if not wholes:
                    raise error
                failures.add(error)
            if not count:
                raise RecordError(f"{'stdin' if name == '-' else name}: holds no records")
        except JanusError as error:
            if len(names) == 1:
                raise
            failures.add(error, name)


def _read_file(name: str, command: str) -> Iterator[tuple[str, "Record"]]:
    from janus_cli.records import read_stream

    typed = command != "info"  # which shows metadata whatever they are
    if name == "-":
        hint = f"name token files (janus {command} FILE) or pipe records in (janus ... | janus {command})"
        yield from ((name, record) for record in read_stream(open_stdin(hint), typed=typed))
        return
    with _open(name) as file:
        if name.endswith(".tar"):
            yield from _read_tar(file, name, typed)
        else:
            yield from ((name, record) for record in read_stream(file, name, typed))


@contextlib.contextmanager
def _open(name: str) -> Iterator[BinaryIO]:
    try:
        file = Path(name).open("rb")  # noqa: SIM115 (closed below; the reader's errors are its own)
    except OSError as error:
        raise RecordError(f"{name}: {error.strerror}") from None
    with file:
        yield file


def _read_tar(file: BinaryIO, name: str, typed: bool) -> Iterator[tuple[str, "Record"]]:
    """Read the token records in a WebDataset shard; members of other kinds are passed over, and counted."""
    from janus_cli.media.shards import read_members
    from janus_cli.records import read_stream

    others = []
    for member in read_members(file, name):
        if member.is_file and member.name.endswith(".safetensors"):
            place = f"{name}:{member.name}"
            yield from ((place, record) for record in read_stream(cast(BinaryIO, member), place, typed))
        else:
            others.append(member.name)
    if others:
        what = f"members passed over that are no .safetensors files: {len(others)}"
        complain(f"{name}: {what} (such as {others[0]})")
