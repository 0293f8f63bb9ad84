"""Memory that runs out: told apart from bugs, and torch not begun with where it would end the process.

Knows the words of Python, numpy, torch and the loader for it.
"""

import contextlib
import re
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LEAST = 640 << 20  # bytes of address space with which torch loads, or fails with an exception
_WORDS = re.compile(
    "allocate memory|out of memory|bad_alloc|failed to map segment|cannot allocate|thread creation failed|"
    "can't start new thread|Resource temporarily unavailable",
    re.IGNORECASE,
)


def is_lack_of_memory(error: Exception) -> bool:
    """Whether `error` says that memory, or threads, ran out."""
    lacks = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return lacks or (isinstance(error, ImportError | RuntimeError) and bool(_WORDS.search(str(error))))


class _Refuser(MetaPathFinder):
    """Raises MemoryError when torch is about to be loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torch":
            raise MemoryError
        return None


def refuse_hopeless_loading() -> None:
    """Let torch not be imported where `ulimit -v` leaves it too little: its C++ would end the process."""
    with contextlib.suppress(ImportError):  # no such limits on this system
        import resource

        if 0 <= resource.getrlimit(resource.RLIMIT_AS)[0] < LEAST:
            sys.meta_path.insert(0, _Refuser())
