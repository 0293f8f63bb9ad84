"""transformers for the parity tests, also where torchaudio cannot be loaded."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest


@pytest.fixture(scope="package")
def transformers():
    """The library. Beside a torchaudio of another torch, without it: it only reads sound files for them."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            import torchaudio  # noqa: F401
        except ImportError:
            pass
        except OSError:
            empty = ModuleType("torchaudio")
            empty.__spec__ = ModuleSpec("torchaudio", None)
            patch.setitem(sys.modules, "torchaudio", empty)
        yield pytest.importorskip("transformers")
