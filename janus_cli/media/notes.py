"""How a reader says what it passed over: with a sentence to whoever called it."""

from collections.abc import Callable

Note = Callable[[str], None]  # takes a sentence about a file


def warn(text: str) -> None:
    """Say a sentence about a file as a Python warning; commands give a `note` that writes to stderr."""
    import warnings

    warnings.warn(text, stacklevel=3)
