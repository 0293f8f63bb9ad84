"""What an interrupt must not leave behind, and where it must not strike.

Knows files that are being written, and libraries in C that call back into Python: an exception that a signal
raises in there is lost. Which signals there are, and what they raise, is `app`'s business.
"""

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

_unfinished: set[Path] = set()
_held = False  # the main thread is where nothing may be raised
_waiting: list[Callable[[], object]] = []


@contextlib.contextmanager
def unfinished(path: Path) -> Iterator[None]:
    """Note that `path`, a temporary file or folder, is nobody's once the block has ended: it is removed."""
    _unfinished.add(path)  # before it is made: whenever an interrupt strikes, `remove_unfinished` knows it
    try:
        yield
    finally:
        _remove(path)
        _unfinished.discard(path)


def remove_unfinished() -> None:
    """Remove what blocks that will not end any more have begun."""
    for path in list(_unfinished):
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def hold() -> Iterator[None]:
    """Let no interrupt raise within the block, which calls C that calls Python; it comes at the end."""
    global _held
    if threading.current_thread() is not threading.main_thread() or _held:
        yield  # signals are handled in the main thread alone
        return
    _held = True
    try:
        yield
    finally:
        _held = False
        if _waiting:
            _waiting.pop()()


def interrupt(leave: Callable[[], object]) -> None:
    """Call `leave`, which raises: at once, or where the block of a `hold` ends."""
    if _held:
        _waiting.append(leave)
    else:
        leave()
