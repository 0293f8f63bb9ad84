"""What a command reads: texts, files and folders, and records from files, WebDataset shards and pipes.

Refuses to wait for a terminal to type records.
"""

import contextlib
import select
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from janus_cli import zoo
from janus_cli.errors import JanusError, MediaError, RecordError, UsageError
from janus_cli.shell.failures import Failures
from janus_cli.stages.wording import CONVERT, decode_text, drop_newline, is_wide

if TYPE_CHECKING:
    from janus_cli.records import Record
    from janus_cli.stages.text import TextTokenizer

MAX_LINE = 1 << 20  # bytes of a prompt on standard input

# Files of a folder that are read as pictures, or as sounds.
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm")
SOUNDS = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")


def open_stdin(hint: str) -> BinaryIO:
    """Give standard input. Raises UsageError with `hint` where nothing is piped in."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"no input: {hint}")
    return sys.stdin.buffer


def source(name: str, hint: str) -> tuple[str, Path | BinaryIO]:
    """Give the name of an input for messages, and what to read: its file, or standard input for "-".

    Raises UsageError with `hint` where nothing is piped in.
    """
    return ("stdin", open_stdin(hint)) if name == "-" else (name, Path(name))


def make_id(name: str) -> str:
    """The id of a record that is made of the input `name`."""
    return to_valid_text(Path(name).stem)


def make_label(record: "Record", index: int) -> str:
    """A record's name for messages, as the stages have it; its number where it has no id."""
    return f"record {record.id!r}" if record.id else f"record {index}"


def to_valid_text(name: str) -> str:
    """A file's name as valid Unicode, which records must hold: bytes that are no UTF-8 become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def file_name(name: str) -> str:
    """The file name that a record keeps of the input `name`; none of standard input."""
    return "" if name == "-" else to_valid_text(Path(name).name)


def expand(inputs: Sequence[str], suffixes: Iterable[str]) -> list[str]:
    """Replace each folder among `inputs` by its files of these suffixes, in the order of their names.

    Raises UsageError for a folder that holds none.
    """
    found: list[str] = []
    wanted = tuple(suffixes)
    for name in inputs:
        if name == "-" or not Path(name).is_dir():
            found.append(name)
            continue
        inside = sorted(str(p) for p in Path(name).rglob("*") if p.suffix.lower() in wanted and p.is_file())
        if not inside:
            raise UsageError(f"{name}: holds no file ending in {', '.join(sorted(wanted))}")
        found.extend(inside)
    return found


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

    names = expand(inputs, (".safetensors", ".tar")) or ["-"]
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

    if name == "-":
        hint = f"name token files (janus {command} FILE) or pipe records in (janus ... | janus {command})"
        yield from ((name, record) for record in read_stream(open_stdin(hint)))
        return
    with _open(name) as file:
        if name.endswith(".tar"):
            yield from _read_tar(file, name)
        else:
            yield from ((name, record) for record in read_stream(file, name))


@contextlib.contextmanager
def _open(name: str) -> Iterator[BinaryIO]:
    try:
        file = Path(name).open("rb")  # noqa: SIM115 (closed below; the reader's errors are its own)
    except OSError as error:
        raise RecordError(f"{name}: {error.strerror}") from None
    with file:
        yield file


def _read_tar(file: BinaryIO, name: str) -> Iterator[tuple[str, "Record"]]:
    """Read the token records in a WebDataset shard; members of other kinds are passed over."""
    import tarfile

    from janus_cli.records import read_stream

    try:
        with tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(".safetensors"):
                    inside = cast(BinaryIO, tar.extractfile(member))
                    place = f"{name}:{member.name}"
                    yield from ((place, record) for record in read_stream(inside, place))
    except tarfile.TarError as error:
        raise RecordError(f"{name}: not a readable tar file ({error})") from None
