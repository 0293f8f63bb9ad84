"""How a command ended, what it wrote, and what runs of commands share."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from janus_cli.records import Record, read_stream

ROOT = Path(__file__).parent.parent.parent
TIMEOUT = 600  # seconds for one command; a stuck pipe must not stop the suite


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.out.decode("utf-8")


def no_traceback(done: Done) -> bool:
    """Whether every line on stderr is ours."""
    return all(line.startswith("janus: ") for line in done.err.splitlines())


def records(data: bytes) -> list[Record]:
    """The records of a stream that was written."""
    return list(read_stream(io.BytesIO(data)))


def pixels(name: str | Path) -> np.ndarray:
    """The pixels of a picture that was written, uint8 [H, W, 3]."""
    return np.asarray(Image.open(name).convert("RGB"))
