"""How a command ended, and what runs of commands share."""

from dataclasses import dataclass
from pathlib import Path

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
