"""What a record's metadata may hold: the keys that docs/token-format.md gives a meaning, and their types.

Knows types, no meaning: whether a fingerprint is ours is asked where it is used. Other keys are free. Who
reads a record whose metadata passed here may trust the types of these.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from janus_cli.config import Finite, parse
from janus_cli.errors import ModelError, RecordError

Natural = Annotated[int, Meta(ge=0)]
Seed = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]  # `--seed` ends at half of it: seed + k is one, too
Size = Annotated[int, Meta(ge=1, le=1 << 31)]
Samples = Annotated[int, Meta(ge=0, le=1 << 53)]  # as a float holds them exactly
Rate = Annotated[float, Meta(gt=0, le=1 << 24)]  # Hz


class _Info(Struct):
    """A segment's metadata. The defaults mean nothing: a key may be missing, but not null."""

    tokenizer: str = ""
    fingerprint: str = ""
    patch: Size = 1
    size: tuple[Size, Size] = (1, 1)
    sample_rate: Rate = 1.0
    frame_rate: Rate = 1.0
    num_samples: Samples = 0
    scales: list[Finite] = []
    stride: Size = 1
    channels: Size = 1
    heard: tuple[Natural, Natural] = (0, 0)  # frames
    columns: list[str] = []
    source: str = ""


class _Step(Struct):
    """What a stage was told."""

    stage: str = ""
    model: str = ""
    seed: Seed = 0
    index: Natural = 0
    text: str = ""
    words: str = ""
    source: str = ""


def check_info(info: Mapping[str, Any], where: str) -> None:
    """Raise RecordError, with `where` in front, for a key of a segment that has a wrong type or value."""
    _check(_Info, info, where)


def check_step(step: Mapping[str, Any], where: str) -> None:
    """Raise RecordError, with `where` in front, for a key of a step that has a wrong type or value."""
    _check(_Step, step, where)


def _check(kind: type[Struct], data: Mapping[str, Any], where: str) -> None:
    try:
        parse(kind, data, where)
    except ModelError as error:
        raise RecordError(str(error)) from None
