"""Reading a file whole, and writing one so that it appears whole or not at all.

Knows paths, devices, links and full disks; knows nothing of what the bytes mean.
"""

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

from janus_cli.errors import MediaError

MAX_BYTES = 1 << 29  # of one input file
_STANDARD = ("/dev/stdin", "/dev/stdout", "/dev/stderr")


def read_bytes(source: Path | BinaryIO, name: str) -> bytes:
    """All of a file or pipe. Raises MediaError: missing, a folder, unreadable, empty, over MAX_BYTES."""
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


def free_path(path: Path, force: bool = False) -> Path:
    """`path`, or where it is taken the first free one of name-1.png, name-2.png, ...; with `force` `path`.

    A device or FIFO is never taken: it is there to be written to.
    """
    found, copy = path, 0
    while not force and os.path.lexists(found) and not is_special(found):
        copy += 1
        found = path.with_name(f"{path.stem}-{copy}{path.suffix}")
    return found


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


def atomic_write(path: Path, data: bytes, force: bool = False) -> Path:
    """Write `data` whole or not at all; returns where: `path`, or without `force` the first free name.

    A regular file comes by way of a synced temporary file beside it; what is_special is written straight.
    Raises MediaError and leaves nothing behind; BrokenPipeError passes.
    """
    try:
        if is_special(path):
            _write(os.open(path, os.O_WRONLY | os.O_APPEND), data, sync=False)
            return path
        target = Path(os.path.realpath(path)) if force else path  # through a link, not over it
        temporary = target.with_name(f".janus-{secrets.token_hex(8)}.part")
        try:
            _write(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), data, sync=True)
            if not force:
                return _take_free_name(temporary, path)
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            temporary.replace(target)
            return path
        finally:
            temporary.unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from None


def _take_free_name(temporary: Path, path: Path) -> Path:
    """Give the temporary file the first free name of `path`, also where others write at the same time."""
    while True:
        found = free_path(path)
        try:
            os.link(temporary, found)  # unlike a rename, fails where somebody was faster
        except FileExistsError:
            continue
        except OSError:  # a file system without hard links
            temporary.rename(found)
        return found


def _write(descriptor: int, data: bytes, sync: bool) -> None:
    """Write all of `data` to an open descriptor and close it."""
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view):]
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
