"""What a user asks for, completed with a model's own defaults, and refused where the model cannot.

Knows configurations and options; loads nothing.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from janus_cli import zoo
from janus_cli.config import PublishedConfig
from janus_cli.errors import MediaError, UsageError
from janus_cli.plugins import BUILT_IN

if TYPE_CHECKING:
    from janus_cli.stages.generate import GenerateOptions
    from janus_cli.stages.page import Page

MAX_TOKENS = 512  # of a published model's answer, where nothing is said
MAX_WORDS = 64  # of our own model's text
BEAMS = 4  # tries at it, where it is not drawn
MAX_SECONDS = 10.0  # of speech
MAX_SIDE = 1024  # pixels of a page


@dataclass(frozen=True)
class Size:
    """A picture's width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}" if self.width == self.height else f"{self.width}x{self.height}"


@dataclass(frozen=True)
class DrawOptions:
    """How to draw, and, as `for_text` and `for_speech` take them, to write and to speak.

    None means the model's own default. Raises UsageError for both a scale and a size.
    """

    n: int = 1  # outputs for each prompt
    seed: int = 0
    cfg_scale: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    steps: int | None = None  # of the denoiser
    scale: int | None = None  # 1, 2 or 4
    batch_size: int = 8  # outputs generated together; changes none of them
    through_words: bool = True  # sounds are put into words before they are drawn
    beams: int | None = None  # tries at the likeliest words
    size: Size | None = None  # of the final picture, instead of `scale`

    def __post_init__(self) -> None:
        if self.size is not None and self.scale is not None:
            raise UsageError("give --size or --scale, not both")


def for_pictures(model: zoo.Model, given: DrawOptions) -> "GenerateOptions":
    """The sampling options of `given` for pictures."""
    from janus_cli.stages.generate import GenerateOptions

    ours, values = model.config.generation, vars(given)
    words = ("cfg_scale", "temperature", "top_k", "top_p")
    chosen = {w: getattr(ours, w) if values[w] is None else values[w] for w in words}
    return GenerateOptions(
        to="image",
        n=given.n,
        seed=given.seed,
        grid=ours.grid,
        batch_size=given.batch_size,
        through_words=given.through_words,
        beams=_beams(model, given),
        **chosen,
    )


def for_text(model: zoo.Model, given: DrawOptions, max_tokens: int | None = None) -> "GenerateOptions":
    """The sampling options of `given` for words: the likeliest where nothing is said, greedily as published.

    Raises UsageError for a model that writes none, or not as many, and for beams where words are drawn.
    """
    from janus_cli.stages.generate import GenerateOptions

    check_writes(model)
    usual = MAX_TOKENS if is_published(model) else MAX_WORDS
    if max_tokens is not None and max_tokens > (most := _room(model)):
        raise UsageError(f"{max_tokens} tokens are too long: model {model.name} writes {most} at most")
    return GenerateOptions(
        to="text",
        n=given.n,
        seed=given.seed,
        temperature=given.temperature or 0.0,
        top_k=given.top_k or 0,
        top_p=1.0 if given.top_p is None else given.top_p,
        cfg_scale=1.0,
        batch_size=given.batch_size,
        beams=1 if given.temperature and given.beams is None else _beams(model, given),
        max_tokens=usual if max_tokens is None else max_tokens,
    )


def for_speech(model: zoo.Model, given: DrawOptions, seconds: float | None = None) -> "GenerateOptions":
    """The sampling options of `given` for at most `seconds` of sound. Raises UsageError where it cannot."""
    from janus_cli.stages.generate import GenerateOptions

    check_speaks(model)
    ours, codec = model.config.generation, model.config.codec
    assert codec is not None, "check_speaks has said so"
    heat = ours.speech_temperature if given.temperature is None else given.temperature
    frames = math.ceil((MAX_SECONDS if seconds is None else seconds) * codec.frame_rate)
    if seconds is not None and frames > _room(model):
        most = _room(model) / codec.frame_rate
        raise UsageError(f"{seconds:g} s are too long: model {model.name} says {most:.1f} s at most")
    return GenerateOptions(
        to="audio",
        n=given.n,
        seed=given.seed,
        temperature=heat,
        top_k=given.top_k or 0,
        top_p=1.0 if given.top_p is None else given.top_p,
        cfg_scale=1.0,
        batch_size=given.batch_size,
        through_words=given.through_words,
        beams=_beams(model, given),
        max_tokens=frames,
    )


def _beams(model: zoo.Model, given: DrawOptions) -> int:
    """How many tries at the likeliest words there are. Raises UsageError for several of a published model."""
    if is_published(model):
        if given.beams not in (None, 1):
            raise UsageError(f"model {model.name} writes word by word: leave --beams away")
        return 1
    return BEAMS if given.beams is None else given.beams


def _room(model: zoo.Model) -> float:
    """How many new tokens follow the shortest prompt; a published model's answer ends where its room does."""
    decoder = model.config.decoder
    return math.inf if decoder is None or is_published(model) else decoder.max_seq_len - 2


def is_published(model: zoo.Model) -> bool:
    """Whether `model` is a Janus-Pro checkpoint."""
    return isinstance(model.config, PublishedConfig)


def _takes(model: zoo.Model, modality: str) -> bool:
    decoder = model.config.decoder
    return decoder is not None and modality in decoder.modalities


def sees(model: zoo.Model) -> bool:
    """Whether one of our own models sees pictures."""
    return _takes(model, "sight") and model.config.vision is not None


def hears(model: zoo.Model) -> bool:
    """Whether `model` has sounds in its decoder, to take and to make."""
    return _takes(model, "audio") and model.config.codec is not None


def _reads_more(model: zoo.Model) -> bool:
    """Whether `model` has words in its decoder, and a modality that a plugin brings."""
    decoder = model.config.decoder
    return (
        decoder is not None
        and "text" in decoder.modalities
        and not set(decoder.modalities) <= {*BUILT_IN, "sight"}
    )


def check_writes(model: zoo.Model) -> None:
    """Raise UsageError where `model` was not trained to write."""
    if not (is_published(model) or sees(model) or hears(model) or _reads_more(model)):
        raise UsageError(
            f"model {model.name} writes no text: its decoder neither sees nor hears: "
            f"name one that does ({zoo.SENSES}), or a Janus-Pro checkpoint, with --model"
        )


def check_describes(model: zoo.Model) -> None:
    """Raise UsageError where `model` was not trained to put pictures into words."""
    check_writes(model)
    if not (is_published(model) or sees(model)):
        raise UsageError(
            f"model {model.name} describes no pictures: its decoder has no sight: name one that "
            f"has ({zoo.SENSES}), or a Janus-Pro checkpoint, with --model"
        )


def check_asked(model: zoo.Model) -> None:
    """Raise UsageError where `model` was not trained to answer questions."""
    check_describes(model)
    if not is_published(model):
        raise UsageError(
            f"model {model.name} answers no questions: it was trained to describe, never on "
            "questions: leave --prompt away, or name a Janus-Pro checkpoint with --model"
        )


def check_speaks(model: zoo.Model) -> None:
    """Raise UsageError where `model` was not trained to make sounds and to take them."""
    if not hears(model):
        raise UsageError(
            f"model {model.name} neither speaks nor hears: its decoder knows no audio: name one "
            f"that does ({zoo.SENSES}) with --model"
        )


def check_length(model: zoo.Model, seconds: float, options: "GenerateOptions") -> None:
    """Raise UsageError where a sound is longer than `model` can hear and then write `options.max_tokens` of.

    And MediaError for one of no length. What `generate` would say once it has been tokenized, which takes a
    while.
    """
    check_speaks(model)
    decoder, codec = model.config.decoder, model.config.codec
    assert decoder is not None and codec is not None, "check_speaks has said so"
    if not seconds:
        raise MediaError("a sound of no length: there is nothing to hear")
    most = max(decoder.max_seq_len - options.max_tokens - 1, 0) / codec.frame_rate
    if seconds > most + 1 / codec.frame_rate:
        raise UsageError(
            f"a sound of {seconds:.1f} s is too long: model {model.name} hears at most "
            f"{most:.1f} s at once, beside {options.max_tokens} new tokens: cut it"
        )


def page_for(model: zoo.Model, size: Size | None) -> "Page | None":
    """How pictures of `size` are laid out; None where the model draws that size by itself, or for None.

    The enlargement is the largest that leaves the short side as many tokens as the model learned. Raises
    UsageError, naming what is near, for a size that cannot be.
    """
    from janus_cli.stages.page import Page

    if size is None:
        return None
    sizes, ours = model.config.sizes, model.config.generation
    if is_published(model) or not sizes or ours.grid[0] != ours.grid[1]:
        if size.width != size.height or size.height not in sizes:
            known = ", ".join(map(str, sizes)) or "no"
            raise UsageError(f"size {size}: model {model.name} draws pictures of {known} pixels only")
        return None
    assert model.config.dvae is not None, "else there were no sizes"
    patch, short = model.config.dvae.patch, min(size.width, size.height)
    _check_sides(size, patch, min(sizes))
    scale = max(scale for side, scale in sizes.items() if side <= short)
    page = Page(size.width, size.height, scale, patch)
    return None if (page.grid, scale) == (ours.grid, ours.upsample) and page.is_whole else page


def _check_sides(size: Size, patch: int, least: int) -> None:
    """Raise UsageError for sides that are no multiples of `patch` from `least` to MAX_SIDE."""

    def near(up: int) -> Size:
        sides = ((side + up * (patch - 1)) // patch * patch for side in (size.width, size.height))
        return Size(*(min(max(side, least), MAX_SIDE) for side in sides))

    if min(size.width, size.height) < least:
        raise UsageError(f"--size {size}: too small: each side needs at least {least} pixels")
    if max(size.width, size.height) > MAX_SIDE:
        raise UsageError(f"--size {size}: too large: each side has at most {MAX_SIDE} pixels")
    if size.width % patch or size.height % patch:
        raise UsageError(f"--size {size}: choose multiples of {patch}, such as {near(0)} or {near(1)}")


def limits_of(model: zoo.Model, page: "Page") -> str:
    """What a page can't be, in words for the user; nothing where it is what the model learned."""
    rows, cols = model.config.generation.grid
    side, said = min(page.width, page.height), []
    if min(page.grid) > rows or not page.is_whole:
        said.append(
            f"{model.name} draws {rows} x {cols} tokens and they are enlarged: sharper edges, no more detail"
        )
    if page.width != page.height:
        said.append(f"the drawing has the middle {side} x {side} pixels, the rest is background")
    return "; ".join(said)


def dtype_for(model: zoo.Model, wanted: str, device: str) -> str:
    """What `model` computes in on `device`, fp32 or bf16, where `wanted` may be auto.

    Most CPUs multiply bf16 slowly, and our own models were trained in fp32.
    """
    if wanted != "auto":
        return wanted
    return "bf16" if is_published(model) and device != "cpu" else "fp32"
