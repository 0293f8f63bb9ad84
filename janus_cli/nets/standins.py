"""Packages that others import without using: where one cannot be loaded, empty modules do.

torchaudio and torchvision must be built for just the torch that is there, and often are not.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType


@contextmanager
def stand_in(modules: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Let `modules`, and names from them, be imported in the block though they may be missing or broken.

    Where one of them is, all are empty in the block, with those names set to None, and gone after it.
    """
    standins: dict[str, ModuleType] = {}
    try:
        for name in modules:
            importlib.import_module(name)
    except (ImportError, OSError, RuntimeError):  # the last one from a build for another torch
        standins = {name: _make_empty(name, words) for name, words in modules.items()}
    sys.modules.update(standins)
    try:
        yield
    finally:
        for name in standins:
            sys.modules.pop(name, None)


def _make_empty(name: str, words: Sequence[str]) -> ModuleType:
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    for word in words:
        setattr(module, word, None)
    return module
