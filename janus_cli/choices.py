"""What a user asks for, completed with a model's own defaults, and refused where the model cannot.

Knows configurations and options; loads nothing.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from janus_cli import zoo
from janus_cli.config import PublishedConfig
from janus_cli.errors import UsageError

if TYPE_CHECKING:
    from janus_cli.stages.generate import GenerateOptions

MAX_TOKENS = 512  # of an answer, where nothing is said


@dataclass(frozen=True)
class DrawOptions:
    """How to draw. None means the model's own default."""

    n: int = 1  # pictures for each prompt
    seed: int = 0
    cfg_scale: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    steps: int | None = None  # of the denoiser
    scale: int | None = None  # 1, 2 or 4
    batch_size: int = 8  # pictures generated together; changes no picture


def for_pictures(model: zoo.Model, given: DrawOptions) -> "GenerateOptions":
    """The sampling options of `given` for pictures."""
    from janus_cli.stages.generate import GenerateOptions

    ours, values = model.config.generation, vars(given)
    words = ("cfg_scale", "temperature", "top_k", "top_p")
    chosen = {w: getattr(ours, w) if values[w] is None else values[w] for w in words}
    return GenerateOptions(to="image", n=given.n, seed=given.seed, grid=ours.grid,
                           batch_size=given.batch_size, **chosen)


def for_text(model: zoo.Model, given: DrawOptions, max_tokens: int | None = None) -> "GenerateOptions":
    """The sampling options of `given` for words: greedy where nothing is said, as published.

    Raises UsageError for a model that writes none.
    """
    from janus_cli.stages.generate import GenerateOptions

    check_writes(model)
    return GenerateOptions(to="text", n=given.n, seed=given.seed, temperature=given.temperature or 0.0,
                           top_k=given.top_k or 0, top_p=1.0 if given.top_p is None else given.top_p,
                           max_tokens=MAX_TOKENS if max_tokens is None else max_tokens)


def check_writes(model: zoo.Model) -> None:
    """Raise UsageError where `model` was not trained to write."""
    if not isinstance(model.config, PublishedConfig):
        raise UsageError(f"model {model.name} writes no text: name a Janus-Pro checkpoint with --model")


def scale_for(model: zoo.Model, size: int) -> int:
    """The scale that makes generated pictures `size` pixels high. Raises UsageError if none does."""
    sizes = model.config.sizes
    if size not in sizes:
        known = ", ".join(map(str, sizes)) or "no"
        raise UsageError(f"size {size}: model {model.name} draws pictures of {known} pixels only")
    return sizes[size]


def dtype_for(model: zoo.Model, wanted: str, device: str) -> str:
    """What `model` computes in on `device`, fp32 or bf16, where `wanted` may be auto.

    Most CPUs multiply bf16 slowly, and our own models were trained in fp32.
    """
    if wanted != "auto":
        return wanted
    return "bf16" if isinstance(model.config, PublishedConfig) and device != "cpu" else "fp32"
