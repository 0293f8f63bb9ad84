"""Wishes: what people ask for in words of their own, listed by hand, and how far a model fulfils them.

The lists are `wishes.json` in a model folder. Knows words, scenes and a judge; who draws, it is told.
"""

from pathlib import Path
from typing import Annotated

import msgspec

from janus_cli.dataset.pictures import BACKGROUNDS, HUES
from janus_cli.errors import JanusError
from janus_cli.evaluation.lists import SPOTS

FILE = "wishes.json"
AS_ROWS = {"array_like": True, "frozen": True, "forbid_unknown_fields": True}
Words = Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]


class Dyed(msgspec.Struct, **AS_ROWS):
    """A thing in a colour that is not its own."""

    prompt: str
    meant: Words  # concepts, each of which is right
    hue: str  # a key of HUES

    def __post_init__(self) -> None:
        if self.hue not in HUES:
            raise ValueError(f"{self.hue!r} is none of {', '.join(HUES)}")


class Framed(msgspec.Struct, **AS_ROWS):
    """A name, and the same in frames, capitals and punctuation."""

    bare: str
    meant: Words
    frames: Words


class Backed(msgspec.Struct, **AS_ROWS):
    """A thing on a coloured background."""

    prompt: str
    concept: str
    background: str  # a key of BACKGROUNDS

    def __post_init__(self) -> None:
        if self.background not in BACKGROUNDS:
            raise ValueError(f"{self.background!r} is none of {', '.join(BACKGROUNDS)}")


class Coupled(msgspec.Struct, **AS_ROWS):
    """Two things side by side, or one above the other: which, the words leave open."""

    prompt: str
    concepts: tuple[str, str]


class Placed(msgspec.Struct, **AS_ROWS):
    """A small thing in one place."""

    prompt: str
    concept: str
    spot: str  # one of SPOTS

    def __post_init__(self) -> None:
        if self.spot not in SPOTS:
            raise ValueError(f"{self.spot!r} is none of {', '.join(SPOTS)}")


class Wishes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All lists; `abroad` is in the languages of the pack but English."""

    colours: Annotated[tuple[Dyed, ...], msgspec.Meta(min_length=1)]
    colours_abroad: Annotated[tuple[Dyed, ...], msgspec.Meta(min_length=1)]
    backgrounds: Annotated[tuple[Backed, ...], msgspec.Meta(min_length=1)]
    frames: Annotated[tuple[Framed, ...], msgspec.Meta(min_length=1)]
    frames_abroad: Annotated[tuple[Framed, ...], msgspec.Meta(min_length=1)]
    couples: Annotated[tuple[Coupled, ...], msgspec.Meta(min_length=1)]
    corners: Annotated[tuple[Placed, ...], msgspec.Meta(min_length=1)]

    def limit(self, limit: int | None) -> "Wishes":
        """Keep the first `limit` of each list."""
        return Wishes(**{name: getattr(self, name)[:limit] for name in self.__struct_fields__})


def read_wishes(path: Path) -> Wishes:
    """Read the lists in `path`. Raises JanusError when it does not hold them all."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Wishes)
    except (OSError, msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise JanusError(f"{path}: no readable wishes ({error})") from None
