"""Folders among the arguments of a command: which of their files are read, and what is left out of them.

Linked folders are followed, each folder once, so that links in a circle end; a first dot hides a name.
"""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from janus_cli.errors import MediaError, UsageError
from janus_cli.shell.console import open_stdin
from janus_cli.shell.failures import Failures

_MAX_KINDS = 8  # suffixes of left-out files that are named


@dataclass(frozen=True)
class Input:
    """One file that a command reads, or standard input."""

    name: str  # its path; "-" for standard input
    below: str = ""  # its path below the folder that was given, with forward slashes; "" where none was

    @property
    def label(self) -> str:
        """What messages call it."""
        return "stdin" if self.name == "-" else self.name

    @property
    def source(self) -> str:
        """What a record keeps of it: the path below the folder that was given, else the file's name."""
        return "" if self.name == "-" else to_valid_text(self.below or Path(self.name).name)

    @property
    def id(self) -> str:
        """The id of a record that is made of it: its source without the suffix."""
        path = PurePosixPath(self.source or "stdin")
        return str(path.parent / path.stem)

    def open(self, hint: str) -> Path | BinaryIO:
        """Give what to read. Raises UsageError with `hint` where standard input is a terminal."""
        return open_stdin(hint) if self.name == "-" else Path(self.name)


def to_valid_text(name: str) -> str:
    """A file's name as valid Unicode, which records must hold: bytes that are no UTF-8 become U+FFFD."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def expand(names: Sequence[str], suffixes: Iterable[str], kind: str, failures: Failures) -> list[Input]:
    """Replace each folder among `names` by its files of these suffixes, in the order of their paths.

    What is left out is counted in a line; a folder inside that cannot be listed is a failure. kind: what the
    files are, for messages. Raises UsageError for a folder that holds none.
    """
    found: list[Input] = []
    wanted = tuple(suffixes)
    for name in names:
        if name == "-" or not Path(name).is_dir():
            found.append(Input(name))
            continue
        folder = _Folder(Path(name), wanted, failures)
        folder.walk()
        if left_out := folder.describe_rest(kind):
            failures.note(f"{name}: left out: {left_out}")
        if not folder.found:
            raise UsageError(f"{name}: holds no file ending in {', '.join(sorted(wanted))}")
        found += [Input(str(Path(name) / below), below) for below in sorted(folder.found)]
    return found


class _Folder:
    """Walks a folder, and counts what it leaves out."""

    def __init__(self, root: Path, wanted: tuple[str, ...], failures: Failures) -> None:
        self._root, self._wanted, self._failures = root, wanted, failures
        self.found: list[str] = []  # paths below the root
        self._others: Counter[str] = Counter()  # files of other kinds, by suffix
        self._rest: Counter[str] = Counter()  # what else is left out
        self._seen: set[tuple[int, int]] = set()
        self._links: list[str] = []  # linked folders, walked when all others have been

    def walk(self) -> None:
        """Walk the folder and those below it, linked ones last: what is met twice is read by its own name."""
        todo = [""]
        while todo or self._links:
            below = todo.pop() if todo else self._links.pop(0)
            path = self._root / below
            try:
                status = path.stat()
                if (status.st_dev, status.st_ino) in self._seen:
                    self._rest["linked folder that is read already"] += 1
                    continue
                self._seen.add((status.st_dev, status.st_ino))
                with os.scandir(path) as entries:
                    for entry in sorted(entries, key=lambda entry: entry.name):
                        self._sort(entry, f"{below}/{entry.name}".lstrip("/"), todo)
            except OSError as error:
                self._failures.add(MediaError(f"{path}: {error.strerror}"))

    def _sort(self, entry: "os.DirEntry[str]", below: str, todo: list[str]) -> None:
        """Take a file, put a folder on the list, or count what is neither."""
        try:
            is_folder, is_file = entry.is_dir(), entry.is_file()
        except OSError:  # a link to itself
            is_folder = is_file = False
        if entry.name.startswith("."):
            self._rest["hidden file or folder"] += 1
        elif is_folder:
            (self._links if entry.is_symlink() else todo).append(below)
        elif not is_file:
            self._rest["broken link" if entry.is_symlink() else "special file"] += 1
        elif Path(entry.name).suffix.lower() in self._wanted:
            self.found.append(below)
        else:
            self._others[Path(entry.name).suffix.lower() or "no suffix"] += 1

    def describe_rest(self, kind: str) -> str:
        """Say what was left out, by kind; "" for nothing."""
        said = []
        if count := self._others.total():
            by_suffix = [f"{suffix} {n}" for suffix, n in self._others.most_common(_MAX_KINDS)]
            more = ["..."] if len(self._others) > _MAX_KINDS else []
            no = f"no {kind}" if count > 1 else f"no {kind.removesuffix('s')}"
            said.append(
                f"{_count(count, 'file')} that {'are' if count > 1 else 'is'} {no}"
                f" ({', '.join([*by_suffix, *more])})"
            )
        said += [_count(n, what) for what, n in self._rest.items()]
        return ", ".join(said)


def _count(number: int, what: str) -> str:
    """Count things: "1 file", "2 files", "2 linked folders that are read already"."""
    if number == 1:
        return f"1 {what}"
    plural = {
        "hidden file or folder": "hidden files or folders",
        "linked folder that is read already": "linked folders that are read already",
    }
    return f"{number} {plural.get(what, what + 's')}"
