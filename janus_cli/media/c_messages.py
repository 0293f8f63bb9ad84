"""What code that is not Python says on stderr, kept from the terminal.

Of C libraries their `stderr` variable is turned to a file for a moment: what Python writes to standard error,
from whichever thread, does not pass through it. Where the C library is not glibc, which lets a program set
that variable, and for libraries in Rust, which know only the descriptor, the descriptor is turned.
"""

import contextlib
import ctypes
import fcntl
import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

_lock = threading.Lock()  # the variable, and the descriptor, are the process's
_MOST = 1 << 16  # bytes of messages that are kept


@cache
def _open() -> int:
    """Open a file of our own without a name, or the null device where there is no room for one."""
    try:
        with tempfile.TemporaryFile() as file:
            return _copy(file.fileno())
    except OSError:
        with open(os.devnull, "r+b", 0) as file:  # noqa: PTH123 (no path of ours)
            return _copy(file.fileno())


def _copy(descriptor: int) -> int:
    """Copy a descriptor, never to a closed one of the standard streams' three."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)


@cache
def _open_for_c() -> tuple[ctypes.c_void_p, int] | None:
    """Find glibc's `stderr`, and open that file for it; None where that can't be."""
    if platform.libc_ver()[0] != "glibc":
        return None
    libc = ctypes.CDLL(None)
    libc.fdopen.restype = ctypes.c_void_p
    file = libc.fdopen(_copy(_open()), b"w")
    if not file:
        return None
    libc.setbuf(ctypes.c_void_p(file), None)
    return ctypes.c_void_p.in_dll(libc, "stderr"), file


@contextlib.contextmanager
def keep_messages(descriptor: bool = False) -> Iterator[list[str]]:
    """Keep what C code says on stderr in the block; the list that is given holds its lines afterwards.

    descriptor: also what is written past the C library, as Rust does; then whatever other threads write to
    stderr is kept as well. One thread at a time is in such a block.
    """
    lines: list[str] = []
    with _lock:
        for_c = None if descriptor else _open_for_c()
        with _turn_variable(*for_c) if for_c else _turn_descriptor():
            try:
                yield lines
            finally:
                lines += _take()


@contextlib.contextmanager
def _turn_variable(variable: Any, file: int) -> Iterator[None]:
    """Turn C's `stderr` to `file`."""
    before, variable.value = variable.value, file
    try:
        yield
    finally:
        variable.value = before


@contextlib.contextmanager
def _turn_descriptor() -> Iterator[None]:
    """Turn descriptor 2 to the file; one that is closed stays so, for nobody hears it."""
    try:
        before = os.dup(2)
    except OSError:
        yield
        return
    try:
        os.dup2(_open(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _take() -> list[str]:
    """Take the lines out of the file, which is empty then."""
    said = os.pread(_open(), _MOST, 0)
    if said:
        os.ftruncate(_open(), 0)
        os.lseek(_open(), 0, os.SEEK_SET)
    return said.decode("utf-8", "replace").splitlines()
