"""Weight files to modules and back, always strict: our own, and published checkpoints under other names.

What needs torch is imported when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from janus_cli.weights.modules import load, load_component, save

__all__ = ["load", "load_component", "save"]


def __getattr__(name: str) -> Any:
    """Import `weights.modules` for the names of it that __all__ lists."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from janus_cli.weights import modules

    return getattr(modules, name)
