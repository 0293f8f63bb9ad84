"""What a user asks for; None means the model's own default. A plan completes it, once.

Knows options; no model, no net.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from janus_cli.config import GenerationConfig
from janus_cli.errors import UsageError
from janus_cli.stages.decoding.options import GenerateOptions

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


@dataclass(frozen=True)
class PictureOptions:
    """What becomes of a picture's tokens. Raises UsageError for both a scale and a size."""

    size: Size | None = None  # of the final picture, instead of `scale`
    scale: int | None = None  # 1, 2 or 4
    steps: int | None = None  # of the denoiser

    def __post_init__(self) -> None:
        if self.size is not None and self.scale is not None:
            raise UsageError("give --size or --scale, not both")


def complete_picture(given: Sampling, ours: GenerationConfig, beams: int) -> GenerateOptions:
    """Complete the options for pictures with a model's own defaults."""
    words = ("cfg_scale", "temperature", "top_k", "top_p")
    chosen = {w: getattr(ours, w) if getattr(given, w) is None else getattr(given, w) for w in words}
    return GenerateOptions(
        to="image",
        n=given.n,
        seed=given.seed,
        grid=ours.grid,
        batch_size=given.batch_size,
        through_words=given.through_words,
        beams=beams,
        **chosen,
    )


def complete_words(given: Sampling, beams: int, max_tokens: int) -> GenerateOptions:
    """Complete the options for a text: the likeliest words where nothing is said."""
    return GenerateOptions(
        to="text",
        n=given.n,
        seed=given.seed,
        temperature=given.temperature or 0.0,
        top_k=given.top_k or 0,
        top_p=1.0 if given.top_p is None else given.top_p,
        cfg_scale=1.0,
        batch_size=given.batch_size,
        beams=beams,
        max_tokens=max_tokens,
    )


def complete_speech(given: Sampling, temperature: float, beams: int, frames: int) -> GenerateOptions:
    """Complete the options for at most `frames` of sound, drawn at `temperature` where nothing is said."""
    return GenerateOptions(
        to="audio",
        n=given.n,
        seed=given.seed,
        temperature=temperature if given.temperature is None else given.temperature,
        top_k=given.top_k or 0,
        top_p=1.0 if given.top_p is None else given.top_p,
        cfg_scale=1.0,
        batch_size=given.batch_size,
        through_words=given.through_words,
        beams=beams,
        max_tokens=frames,
    )


def check_size(size: Size, sizes: Iterable[int], name: str) -> None:
    """Raise UsageError for a size that is none of the squares that model `name` draws by itself."""
    known = list(sizes)
    if size.width != size.height or size.height not in known:
        listed = ", ".join(map(str, known)) or "no"
        raise UsageError(f"size {size}: model {name} draws pictures of {listed} pixels only")
