"""What C libraries say on stderr, kept from the terminal.

Their `stderr` variable is turned to a file for a moment, never the descriptor: what Python writes to
standard error, from whichever thread, does not pass through it. Where the C library is not glibc, which lets
a program set that variable, nothing is kept.
"""

import contextlib
import ctypes
import os
import platform
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

_lock = threading.Lock()  # the variable is the process's


@cache
def _open() -> tuple[Any, ctypes.c_void_p, int] | None:
    """Open the C library, its `stderr`, and a file of its own without a name; None where that can't be."""
    if platform.libc_ver()[0] != "glibc":
        return None
    libc = ctypes.CDLL(None)
    libc.tmpfile.restype = ctypes.c_void_p
    file = libc.tmpfile()
    return (libc, ctypes.c_void_p.in_dll(libc, "stderr"), file) if file else None


@contextlib.contextmanager
def keep_messages() -> Iterator[list[str]]:
    """Keep what C code says on stderr in the block; the list that is given holds its lines afterwards.

    One thread at a time is in such a block.
    """
    lines: list[str] = []
    with _lock:
        opened = _open()
        if opened is None:
            yield lines
            return
        libc, variable, file = opened
        before, variable.value = variable.value, file
        try:
            yield lines
        finally:
            variable.value = before
            lines += _take(libc, ctypes.c_void_p(file))


def _take(libc: Any, file: ctypes.c_void_p) -> list[str]:
    """Take the lines out of the file, which is empty then."""
    libc.fflush(file)
    descriptor = libc.fileno(file)
    said = os.pread(descriptor, 1 << 16, 0)
    if said:
        os.ftruncate(descriptor, 0)
        libc.rewind(file)
    return said.decode("utf-8", "replace").splitlines()
