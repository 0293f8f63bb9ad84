"""Disks that take no more: files that fail after some bytes, as the system would say it."""

import io
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from janus_cli.media import files


class Failing(io.FileIO):
    """A new file in which there is room for `room` bytes; then the error `number`."""

    def __init__(self, path: Path, room: int, number: int) -> None:
        super().__init__(path, "x")
        self._room, self._number = room, number

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(data) > self._room:
            raise OSError(self._number, os.strerror(self._number))
        return super().write(data)


def fill(monkeypatch: pytest.MonkeyPatch, room: int, number: int) -> None:
    """Let every file that this process writes fail after `room` bytes."""

    def create(path: Path) -> BinaryIO:
        return io.BufferedWriter(Failing(path, room, number))

    monkeypatch.setattr(files, "_create", create)
