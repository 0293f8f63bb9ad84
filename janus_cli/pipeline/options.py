"""What a user asks for; None means the model's own default. A plan completes it, once.

Knows options; no model, no net.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from janus_cli.errors import UsageError
from janus_cli.stages.decoding.options import GenerateOptions, number_seeds

MAX_SIDE = 1024  # pixels of a page


@dataclass(frozen=True)
class Size:
    """A picture's width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}" if self.width == self.height else f"{self.width}x{self.height}"


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn, of pictures, words and sounds alike."""

    n: int = 1  # outputs for each prompt
    seed: int = 0
    cfg_scale: float | None = None  # of pictures alone
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    batch_size: int = 8  # outputs generated together; changes none of them
    through_words: bool = True  # a prompt without words is put into words before it is drawn or spoken
    beams: int | None = None  # tries at the likeliest words
    literal: bool = False  # a picture's prompt is taken word by word, whatever the model's lexicon says
    parallel: int | None = None  # tokens of a picture guessed ahead; 0: none; None: as many as pay
    best_of: int = 1  # pictures that each picture is chosen among


@dataclass(frozen=True)
class PictureOptions:
    """What becomes of a picture's tokens. Raises UsageError for both a scale and a size."""

    size: Size | None = None  # of the final picture, instead of `scale`
    scale: int | None = None  # 1, 2 or 4
    steps: int | None = None  # of the denoiser

    def __post_init__(self) -> None:
        if self.size is not None and self.scale is not None:
            raise UsageError("give --size or --scale, not both")


def space_seeds(seed: int, n: int, best_of: int = 1) -> dict[int, int]:
    """Give each of a prompt's `n` outputs, by its number, its first seed; `best_of` seeds are its own.

    Raises UsageError for more outputs and candidates than there may be.
    """
    return {k: seed + k * best_of for k in range(len(number_seeds(seed, n * best_of)) // best_of)}


def complete(to: str, given: Sampling, beams: int, **ours: Any) -> GenerateOptions:
    """Complete the options for a modality; what neither `given` nor `ours` says is greedy, without filters.

    ours: fields of GenerateOptions by name.
    """
    words = ("temperature", "top_k", "top_p", *(["cfg_scale"] if to == "image" else []))
    wanted = {word: value for word in words if (value := getattr(given, word)) is not None}
    same = {word: getattr(given, word) for word in ("n", "seed", "batch_size", "through_words", "parallel")}
    greedy = {"cfg_scale": 1.0, "temperature": 0.0}
    return GenerateOptions(to=to, beams=beams, **same, **(greedy | ours | wanted))


def check_size(size: Size, sizes: Iterable[int], name: str) -> None:
    """Raise UsageError for a size that is none of the squares that model `name` draws by itself."""
    known = list(sizes)
    if size.width != size.height or size.height not in known:
        listed = ", ".join(map(str, known)) or "no"
        raise UsageError(f"size {size}: model {name} draws pictures of {listed} pixels only")
