"""Weights that would run code when they are read."""

import os
from collections.abc import Callable
from pathlib import Path


class Code:
    """What a malicious pickle does when it is read."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.place),)
