"""What a command reads: texts, files and folders, and records from files, WebDataset shards and pipes.

Refuses to wait for a terminal to type records.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from janus_cli import zoo
from janus_cli.errors import JanusError, MediaError, RecordError
from janus_cli.media.sound_formats import SUFFIXES
from janus_cli.shell.console import complain, open_stdin
from janus_cli.shell.failures import Failures
from janus_cli.shell.folders import expand

if TYPE_CHECKING:
    from janus_cli.records import Record
    from janus_cli.stages.text import TextTokenizer

SOUNDS = SUFFIXES
RECORDS = (".safetensors", ".tar")


def make_label(record: "Record", index: int) -> str:
    """A record's name for messages, as the stages have it; its number where it has no id."""
    return f"record {record.id!r}" if record.id else f"record {index}"


def read_texts(lines: bool, failures: Failures) -> Iterator[str | None]:
    """Read the text on standard input, or its lines; without the newline at the end.

    None stands for what is no UTF-8 text; it is counted as a failure.
    """
    file = open_stdin('give the text as an argument, or pipe it in (echo "a red apple" | janus ...)')
    for i, data in enumerate(file if lines else [file.read()]):
        try:
            yield data.decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError as error:
            where = f"line {i + 1}" if lines else f"byte {error.start}"
            failures.add(MediaError(f"stdin: {where} is not UTF-8 text"))
            yield None


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
