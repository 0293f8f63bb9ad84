"""What to generate and how to sample, completed: no value is left to a model's default."""

import math
from dataclasses import dataclass
from typing import Any

from janus_cli.errors import UsageError

TARGETS = ("image", "text", "audio")
MOST_OUTPUTS = 100_000  # of one prompt
MOST_BEAMS = 64  # a batch has so many rows for each prompt


@dataclass(frozen=True)
class GenerateOptions:
    """What to generate and how to sample. Raises UsageError for a value that cannot be."""

    to: str = "image"  # image, text or audio
    n: int = 1  # outputs per prompt
    seed: int = 0  # of each prompt's first output; the next ones have the next seeds
    cfg_scale: float = 1.5  # 1 = no guidance
    temperature: float = 0.3  # 0 = greedy
    top_k: int = 0  # 0 = all
    top_p: float = 1.0
    grid: tuple[int, int] = (8, 8)  # tokens of an image, rows and columns
    max_tokens: int = 64  # of a text, or frames of a sound
    batch_size: int = 8  # outputs generated together; changes no token
    through_words: bool = True  # a prompt that holds no text is put into words first, the likeliest ones
    max_words: int = 64  # tokens of those
    parallel: int | None = None  # tokens of a picture guessed ahead; 0: none; None: where it pays
    beams: int = 1  # tries at the likeliest words at a time; 1 = always the next likeliest

    def __post_init__(self) -> None:
        if self.to not in TARGETS:
            raise UsageError(f"cannot generate {self.to!r}: choose {', '.join(TARGETS)}")
        for word in ("n", "max_tokens", "max_words", "batch_size", "beams"):
            if getattr(self, word) < 1:
                raise UsageError(f"{word} is {getattr(self, word)}: give at least 1")
        if self.beams > MOST_BEAMS:
            raise UsageError(f"beams is {self.beams}: give at most {MOST_BEAMS}")
        if self.to == "text" and self.beams > 1 and self.temperature:
            raise UsageError(f"{self.beams} beams find the likeliest words: no temperature then")
        for word in ("seed", "top_k", "temperature", "cfg_scale"):
            if not 0 <= getattr(self, word) < math.inf:
                raise UsageError(f"{word} is {getattr(self, word)}: give 0 or more")
        if self.parallel is not None and self.parallel < 0:
            raise UsageError(f"parallel is {self.parallel}: give 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}: give more than 0 and at most 1")
        if min(self.grid) < 1:
            raise UsageError(f"grid is {self.grid[0]}x{self.grid[1]}: give at least one row and column")

    @property
    def seeds(self) -> dict[int, int]:
        """The seed of each output of a prompt, by its number."""
        return number_seeds(self.seed, self.n)

    @property
    def length(self) -> int:
        """Most tokens of one output."""
        return math.prod(self.grid) if self.to == "image" else self.max_tokens

    @property
    def note(self) -> dict[str, Any]:
        """The options that made_by names, beside model, seed and index."""
        words = ("to", "cfg_scale", "temperature", "top_k", "top_p")
        own = {"image": ("grid",), "text": ("max_tokens", "beams"), "audio": ("max_tokens",)}[self.to]
        note = {word: getattr(self, word) for word in (*words, *own)}
        return note | {"grid": list(self.grid)} if "grid" in note else note


def number_seeds(seed: int, n: int) -> dict[int, int]:
    """Give each of a prompt's `n` outputs, by its number, its seed: the k-th has `seed` + k.

    Raises UsageError for more than MOST_OUTPUTS.
    """
    if n > MOST_OUTPUTS:
        raise UsageError(
            f"{n} outputs of one prompt: give at most {MOST_OUTPUTS:,}, and go on with another seed"
        )
    return {k: seed + k for k in range(n)}
