"""The lines of a command: what it says on stderr, and its text and JSON on stdout."""

import codecs
import contextlib
import json
import re
import struct
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from janus_cli.errors import OutputError, UsageError

ESCAPE = "janus-escape"  # what is done with characters that a stream's encoding lacks, by that name
_JOINERS = "\u200c\u200d"  # between letters, and parts of an emoji


def _escape_unknown(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write a character that an encoding lacks as JSON's escape; a byte of a file's name as it came."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    c, rest = error.object[error.start], error.start + 1
    if "\udc80" <= c <= "\udcff":
        return bytes([ord(c) - 0xDC00]), rest
    return escape_character(c), rest


codecs.register_error(ESCAPE, _escape_unknown)


def complain(text: str) -> None:
    """Write one line to stderr, with the program's name in front; control characters are escaped."""
    with contextlib.suppress(OSError):  # nobody may be listening: no reason to stop
        print(f"janus: {escape(text)}", file=sys.stderr, flush=True)


class Talk:
    """Writes a line to stderr for each call, with the program's name in front; none when `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def __call__(self, text: str) -> None:
        if not self.quiet:
            complain(text)


def shorten(text: str, length: int = 60) -> str:
    """Quote `text` for a message, cut to about `length` characters."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")


def escape(text: str, keep: str = "") -> str:
    """Write what a terminal would obey instead of show as JSON's escapes; the characters in `keep` stay.

    That is control characters, marks that turn the direction of writing, and whatever has no glyph.
    """
    return "".join(
        c
        if c.isprintable() or c in keep or c in _JOINERS or unicodedata.category(c) == "Zs"
        else escape_character(c)
        for c in text
    )


def escape_character(c: str) -> str:
    """Write a character as JSON's escape."""
    units = struct.iter_unpack(">H", c.encode("utf-16-be", "surrogatepass"))
    return "".join(f"\\u{unit:04x}" for (unit,) in units)


def escape_for_stdout(text: str) -> str:
    """Escape `text` line by line where stdout is a terminal; elsewhere leave it as it is."""
    return escape(text, "\n\t") if stdout_is_terminal() else text


def stdout_is_terminal() -> bool:
    """Tell whether stdout is a terminal: only then may rich print it above what it draws on stderr."""
    return sys.stdout is not None and sys.stdout.isatty()


def open_stdin(hint: str) -> BinaryIO:
    """Give standard input. Raises UsageError with `hint` where nothing is piped in."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError(f"no input: {hint}")
    return sys.stdin.buffer


def drain_stdin() -> None:
    """Read standard input to its end, so that what writes it ends well; a terminal is not read."""
    if sys.stdin is not None and not sys.stdin.isatty():
        with contextlib.suppress(OSError):
            while sys.stdin.buffer.read(1 << 16):
                pass


def open_stdout(what: str, hint: str) -> BinaryIO:
    """Give stdout for binary data. Raises UsageError where it is a terminal, OutputError where closed."""
    if sys.stdout.isatty():
        raise UsageError(f"{what} not written to the terminal: {hint}")
    return sys.stdout.buffer


@contextlib.contextmanager
def catch_output_errors() -> Iterator[None]:
    """Turn an OSError of standard output into an OutputError; BrokenPipeError passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: cannot be written: {error.strerror}") from None


def put(text: str, end: str = "\n") -> None:
    """Write `text` to stdout at once. Raises OutputError where that is full or closed."""
    with catch_output_errors():
        print(escape_for_stdout(text), end=end, flush=True)


def put_json(facts: Mapping[str, Any]) -> None:
    """Write `facts` to stdout as one line of JSON; raises what `put` does."""
    text = json.dumps(facts, ensure_ascii=False)
    half = "[\ud800-\udfff]"  # a character: no UTF-8, and yet in the name of a file whose bytes are none
    put(re.sub(half, lambda found: f"\\u{ord(found[0]):04x}", text))
