"""What it takes to import the programs that janus is compared with."""

from importlib.machinery import ModuleSpec
from types import ModuleType


def stand_in() -> dict[str, ModuleType | None]:
    """What to put into sys.modules before transformers is imported; mostly nothing.

    A torchaudio or torchvision that was built for another torch cannot be loaded and takes transformers down
    with it, though they would only read sound files and resize pictures for it: an empty module does, and
    None passes for a package that is not installed.
    """
    modules: dict[str, ModuleType | None] = {}
    try:
        import torchaudio  # noqa: F401
    except ImportError:
        pass
    except OSError:
        modules["torchaudio"] = ModuleType("torchaudio")
        modules["torchaudio"].__spec__ = ModuleSpec("torchaudio", None)
    try:
        import torchvision  # noqa: F401
    except ImportError:
        pass
    except (OSError, RuntimeError):
        modules["torchvision"] = None
    return modules
