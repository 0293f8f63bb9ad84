"""What it takes to import the programs that janus is compared with."""

from importlib.machinery import ModuleSpec
from types import ModuleType


def stand_in() -> dict[str, ModuleType]:
    """What to put into sys.modules before transformers is imported; mostly nothing.

    A torchaudio that was built for another torch cannot be loaded and takes transformers down with it,
    though it would only read sound files for it: an empty module does.
    """
    try:
        import torchaudio  # noqa: F401
    except ImportError:
        pass
    except OSError:
        empty = ModuleType("torchaudio")
        empty.__spec__ = ModuleSpec("torchaudio", None)
        return {"torchaudio": empty}
    return {}
