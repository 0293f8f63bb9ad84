"""Names of files, made of what others wrote: prompts, ids, numbers in metadata. None leaves its folder.

A template has placeholders, each of which is sanitised or a number, whoever wrote the record; a name without
any is literal.
"""

import os
import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from enum import Enum
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from janus_cli.errors import MediaError, UsageError
from janus_cli.media.files import is_special, number_path

if TYPE_CHECKING:
    from janus_cli.records import Record

_HOW_TO_EXIST = "use another name, --force to replace it, or --skip-existing to pass it over"
FIELDS = ("prompt", "seed", "index", "id", "source", "name")
MAX_NAME = 240  # bytes of a file's name; file systems stop at 255, and a number may still follow
_MAX_PART = 120  # bytes of a placeholder's value
_JOINERS = "\u200c\u200d\ufe0e\ufe0f"  # within words, and parts of an emoji: nothing that a name shows
_NUMBERS = ("seed", "index")
_SPECS = {True: r"0?\d{0,2}d?", False: r"(\.\d{1,3})?"}  # whether of a number -> how it may be formatted
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{name}{i}" for name in ("COM", "LPT") for i in range(1, 10))}


def slug(text: str, most: int = _MAX_PART, filler: str = "-") -> str:
    """Make `text` a part of a file name: letters, their marks and digits of any script, joined by `filler`.

    In NFC, at most `most` bytes and no mark without its letter. "" where nothing is left.
    """
    kept = ""
    for c in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(c)[0]
        if c in _JOINERS:
            continue
        if kind in "LN" or c in "_-" or (kind == "M" and kept[-1:] not in ("", filler)):
            kept += c
        elif not kept.endswith(filler):
            kept += filler
    kept = shorten_name(re.sub(f"{filler}+", filler, kept).strip("-_"), most).rstrip("-_")
    return _to_file_system(f"{kept}_" if kept.upper() in _DEVICES else kept)  # Windows' devices


def shorten_name(name: str, most: int) -> str:
    """Cut `name` to at most `most` bytes, and no letter from its marks."""
    data = name.encode("utf-8", "surrogateescape")
    whole = data.decode("utf-8", "surrogateescape")
    short = data[:most].decode("utf-8", "ignore") if len(data) > most else whole
    while short and len(short) < len(whole) and unicodedata.category(whole[len(short)])[0] == "M":
        short = short[:-1]
    return short


def _to_file_system(name: str) -> str:
    """Give `name` as Python has a file's name, UTF-8 in every locale."""
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))


def list_fields(template: str) -> list[str]:
    """List the placeholders of a template, none of a literal name. Raises UsageError for a wrong one."""
    try:
        found = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise UsageError(f"{template}: {error}: write {{{{ and }}}} for braces") from None
    for _, name, spec, conversion in found:
        if name not in FIELDS:
            known = ", ".join("{" + name + "}" for name in FIELDS)
            raise UsageError(
                f"{template}: unknown field {{{name}}} (known: {known}); write {{{{ and }}}} for braces"
            )
        if conversion or not re.fullmatch(_SPECS[name in _NUMBERS], spec or "", re.ASCII):
            raise UsageError(
                f"{template}: not a file name template: {{{name}}} takes "
                + (f"a width, as {{{name}:03}}" if name in _NUMBERS else f"a length, as {{{name}:.40}}")
            )
    return [str(name) for _, name, _, _ in found]


def fill(template: str, record: "Record", count: int, name: str = "") -> Path:
    """Fill in a template; `name`: what the user calls it; `count` stands where a record says nothing.

    {index} is the picture's among its prompt's. The last part of the path has at most MAX_NAME bytes.
    """
    made = record.step("generate")
    id = slug(record.id) or str(count)
    prompt = slug(record.prompt) or id
    values = {
        "prompt": prompt,
        "id": id,
        "source": slug(_find_source(record)) or id,
        "name": slug(name) or prompt,
        "seed": _as_number(made.get("seed"), 0),
        "index": _as_number(made.get("index"), count),
    }
    path = Path(template.format_map(values))
    return path.with_name(limit_name(path.stem, path.suffix)) if list_fields(template) else path


def limit_name(stem: str, suffix: str) -> str:
    """Give the name of a file, its stem cut where the name had more than MAX_NAME bytes."""
    short = shorten_name(stem, MAX_NAME - len(suffix.encode("utf-8", "surrogateescape")))
    return _to_file_system(short + suffix)


def _find_source(record: "Record") -> str:
    """Find what a record was made from, a file or a path, without its suffix."""
    sources = (segment.info.get("source") for segment in record.segments)
    path = PurePosixPath(next((source for source in sources if isinstance(source, str)), ""))
    return str(path.with_suffix("")) if path.name else ""


def _as_number(value: object, other: int) -> int:
    """Read a number of metadata, which anybody may have written; `other` for what is none."""
    return value if type(value) is int and 0 <= value < 10**60 else other


class Existing(Enum):
    """What becomes of files that exist: new ones get other names, replace them, or are not made."""

    keep = "keep"
    replace = "replace"
    skip = "skip"

    @classmethod
    def from_flags(cls, force: bool, skip: bool) -> "Existing":
        """Read --force and --skip-existing. Raises UsageError for both."""
        if force and skip:
            raise UsageError(
                "--force replaces what exists and --skip-existing passes it over: give one of them"
            )
        return cls.replace if force else cls.skip if skip else cls.keep


def check_given(output: str | None) -> None:
    """Raise UsageError for an output without a name, as a variable of the shell that is not set."""
    if output == "":
        raise UsageError("-o is empty: name a file, a folder/, or - for standard output")


def check_promise(path: Path, existing: Existing) -> None:
    """Raise MediaError where `path`, a literal name, exists, and nothing was said of what then."""
    if existing is Existing.keep and os.path.lexists(path) and not is_special(path):
        raise MediaError(f"{path} exists: {_HOW_TO_EXIST}")


class FreeNames:
    """Numbers names so that none is given twice, in the same time for the thousandth of its kind."""

    def __init__(self) -> None:
        self._taken: set[Path] = set()
        self._numbers: dict[Path, int] = {}  # a name -> the first of its numbers not tried yet

    def __len__(self) -> int:
        return len(self._taken)

    def take(self, path: Path, is_free: Callable[[Path], bool] = lambda path: True) -> Path:
        """Take `path`, or the first of name-1.png, name-2.png, ... that nobody has and that `is_free`."""
        names = ((n, number_path(path, n)) for n in count(self._numbers.get(path, 0)))
        number, found = next((n, p) for n, p in names if p not in self._taken and is_free(p))
        self._numbers[path] = number + 1
        self._taken.add(found)
        return found

    def add(self, path: Path) -> None:
        """Note a name that came about otherwise."""
        self._taken.add(path)


class Keys:
    """File names from record ids: no dot, no slash, none twice."""

    def __init__(self) -> None:
        self._names = FreeNames()

    def next(self, id: str) -> str:
        """Make a new name for a record of this id; its running number where the id says nothing."""
        key = slug(id, MAX_NAME - len(".safetensors"), "_") or f"{len(self._names):06d}"
        return str(self._names.take(Path(key)))


def suggest(template: str, fields: Sequence[str] = ("prompt", "index")) -> str:
    """Suggest a template in place of a literal name."""
    path = Path(template)
    return str(path.with_name("-".join("{" + field + "}" for field in fields) + path.suffix))
