"""Reading a file whole, and writing one so that it appears whole or not at all.

Knows paths, devices, links and full disks; knows nothing of what the bytes mean.
"""

import contextlib
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from janus_cli.errors import MediaError
from janus_cli.media import interrupts

MAX_BYTES = 1 << 29  # of one input file
Result = TypeVar("Result")
_STANDARD = ("/dev/stdin", "/dev/stdout", "/dev/stderr")


def read_bytes(source: Path | BinaryIO, name: str) -> bytes:
    """Read all of a file or pipe. Raises MediaError: missing, a folder, unreadable, empty, over MAX_BYTES."""
    data = bytearray()
    try:
        with source.open("rb") if isinstance(source, Path) else contextlib.nullcontext(source) as file:
            while len(data) <= MAX_BYTES and (chunk := file.read(1 << 20)):
                data += chunk
    except OSError as error:
        raise MediaError(f"{name}: {error.strerror}") from None
    if not data:
        raise MediaError(f"{name}: empty")
    if len(data) > MAX_BYTES:
        raise MediaError(f"{name}: longer than {MAX_BYTES:,} bytes")
    return bytes(data)


def free_path(path: Path) -> Path:
    """Choose `path`, or if it is taken the first free one of name-1.png, name-2.png, ...

    A device or FIFO is never taken: it is there to be written to.
    """
    names = (number_path(path, number) for number in count())
    return next(name for name in names if not os.path.lexists(name) or is_special(name))


def number_path(path: Path, number: int) -> Path:
    """Give name-7.png for name.png and 7; `path` itself for 0."""
    return path.with_name(f"{path.stem}-{number}{path.suffix}") if number else path


def is_special(path: Path) -> bool:
    """Whether `path` is a device, FIFO or open descriptor: written to as it is, never replaced."""
    place = str(path.absolute())
    if place in _STANDARD or place.startswith(("/dev/fd/", "/proc/")):  # even with a regular file behind it
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextlib.contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into a MediaError that names `path`; BrokenPipeError passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from None


def check_folder(path: Path) -> None:
    """Raise MediaError where the folder that `path` is to stand in is not there."""
    if not path.parent.is_dir():
        raise MediaError(f"{path}: there is no folder {path.parent}: make it first")


def make_folder(path: Path) -> None:
    """Make a folder and those around it, where they are not there. Raises MediaError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"{path}: cannot be made: {error.strerror}") from None


class NewFile:
    """A file that grows under a temporary name beside its place, and is moved there, synced, at the end.

    A context manager: when the block ends well the file is there, without `force` under the first free name;
    when it does not, nothing is left. Raises MediaError.
    """

    def __init__(self, path: Path, force: bool, numbered: bool = True) -> None:
        """`force`: replace what is there, through a link. `numbered`: else another name will do."""
        check_folder(path)
        self._numbered = numbered
        self.path, self._force = path, force  # the final path, once it is there
        self._target = Path(os.path.realpath(path)) if force else path
        self._temporary = name_temporary(self._target)
        with contextlib.ExitStack() as opened:
            opened.enter_context(interrupts.unfinished(self._temporary))
            with write_errors(path):
                self.file = _create(self._temporary)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        with self._opened:
            try:
                if kind is None:
                    with write_errors(self.path):
                        self._commit()
            finally:
                with contextlib.suppress(OSError):
                    self.file.close()

    def _commit(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        if not self._force:
            take = _take_free_name if self._numbered else _take_name
            self.path = take(self._temporary, self.path)
            return
        _replace(self._temporary, self._target)


@contextlib.contextmanager
def fill_path(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to a library that writes files by their names.

    When the block ends well, what was written there is moved to `path`, synced; when not, nothing is left.
    Raises MediaError.
    """
    temporary = name_temporary(path)
    with interrupts.unfinished(temporary), write_errors(path):
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _replace(temporary, path)


def _create(path: Path) -> BinaryIO:
    return path.open("xb")


def name_temporary(path: Path) -> Path:
    """Make up a name beside `path` that nobody uses, for what is not complete."""
    return path.with_name(f".janus-{secrets.token_hex(8)}.part")


def _replace(temporary: Path, target: Path) -> None:
    """Move `temporary` to `target`, with the permissions of what stood there."""
    if target.exists():
        temporary.chmod(stat.S_IMODE(target.stat().st_mode))
    temporary.replace(target)


class KeptErrors:
    """A file for a library in C: what using it raises is kept, for C cannot pass it on."""

    def __init__(self, file: Any) -> None:  # binary; buffered or not
        self._file = file
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write `data` and return how many bytes were written, none after an error."""
        return self._try(lambda: self._file.write(data), 0)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` and return how many bytes were read, none after an error."""
        return self._try(lambda: self._file.readinto(buffer), 0)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move as a file does; a file may write what it has buffered first."""
        return self._try(lambda: self._file.seek(offset, whence), -1)

    def tell(self) -> int:
        """Tell the position, -1 after an error."""
        return self._try(self._file.tell, -1)

    def flush(self) -> None:
        """Flush as a file does."""
        self._try(self._file.flush, None)

    def _try(self, action: Callable[[], Result], failed: Result) -> Result:
        try:
            return action() if self._error is None else failed
        except OSError as error:
            self._error = error
            return failed

    @contextlib.contextmanager
    def calls(self) -> Iterator[None]:
        """Call the library in this block: at its end what was kept is raised, and no interrupt is lost."""
        with interrupts.hold():
            try:
                yield
            finally:
                if self._error is not None:
                    raise self._error


def atomic_write(path: Path, data: bytes, force: bool = False) -> Path:
    """Write `data` whole or not at all; returns where: `path`, or without `force` the first free name.

    What is_special is written straight. Raises MediaError and leaves nothing behind; BrokenPipeError passes.
    """
    return write_with(path, lambda file: file.write(data), force)


def write_with(path: Path, write: Callable[[BinaryIO], object], force: bool = False) -> Path:
    """Write a file as `atomic_write` does, with what `write` puts into it; what `write` raises passes."""
    if is_special(path):
        with write_errors(path), path.open("ab") as file:
            write(file)
        return path
    with NewFile(path, force) as new, write_errors(path):
        write(new.file)
    return new.path


def _take_free_name(temporary: Path, path: Path) -> Path:
    """Give the temporary file the first free name of `path`, also where others write at the same time."""
    while True:
        found = free_path(path)
        with contextlib.suppress(FileExistsError):
            _link(temporary, found)
            return found


def _take_name(temporary: Path, path: Path) -> Path:
    """Give the temporary file the name `path` and no other. Raises MediaError where somebody was faster."""
    try:
        _link(temporary, path)
    except FileExistsError:
        raise MediaError(f"{path} exists since a moment ago: use another name, or --force") from None
    return path


def _link(temporary: Path, path: Path) -> None:
    """Give the temporary file a name. Raises FileExistsError where there is one of it by now."""
    try:
        os.link(temporary, path)  # unlike a rename, replaces nothing
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise FileExistsError from None
        temporary.rename(path)
