"""Wishes: what people ask for in words of their own, listed by hand, and how far a model fulfils them.

The lists are `wishes.json` in a model folder. Knows words, scenes and a judge; who draws, it is told.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import numpy as np

from janus_cli.dataset import heldout
from janus_cli.dataset.pictures import BACKGROUNDS, HUES
from janus_cli.dataset.samples import RELATIONS
from janus_cli.errors import JanusError
from janus_cli.evaluation.hues import drop_colour, has_hue
from janus_cli.evaluation.judge import Examiner
from janus_cli.evaluation.lists import SPOTS, SceneEntry
from janus_cli.evaluation.measures import compute_share
from janus_cli.evaluation.scenes import Marks, mark_scenes

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

    @property
    def entries(self) -> tuple[SceneEntry, ...]:
        """The scenes that are right."""
        return (SceneEntry("background", (self.concept,), "", self.background),)

    def __post_init__(self) -> None:
        if self.background not in BACKGROUNDS:
            raise ValueError(f"{self.background!r} is none of {', '.join(BACKGROUNDS)}")


class Coupled(msgspec.Struct, **AS_ROWS):
    """Two things side by side, or one above the other: which, the words leave open."""

    prompt: str
    concepts: tuple[str, str]

    @property
    def entries(self) -> tuple[SceneEntry, ...]:
        """The scenes that are right."""
        orders = self.concepts, self.concepts[::-1]
        return tuple(SceneEntry("couple", order, layout, "") for layout in RELATIONS for order in orders)


class Placed(msgspec.Struct, **AS_ROWS):
    """A small thing in one place."""

    prompt: str
    concept: str
    spot: str  # one of SPOTS

    @property
    def entries(self) -> tuple[SceneEntry, ...]:
        """The scenes that are right."""
        return (SceneEntry("position", (self.concept,), self.spot, ""),)

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

    def list_concepts(self) -> Iterator[str]:
        """List the concepts that are spoken of."""
        for several in (self.colours, self.colours_abroad, self.frames, self.frames_abroad):
            yield from (name for wish in several for name in wish.meant)
        for staged in (self.backgrounds, self.couples, self.corners):
            yield from (name for wish in staged for name in wish.entries[0].concepts)

    def limit(self, limit: int | None) -> "Wishes":
        """Keep the first `limit` of each list."""
        return Wishes(**{name: getattr(self, name)[:limit] for name in self.__struct_fields__})


def read_wishes(path: Path) -> Wishes:
    """Read the lists in `path`. Raises JanusError when it does not hold them all."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Wishes)
    except (OSError, msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise JanusError(f"{path}: no readable wishes ({error})") from None


class Draw(Protocol):
    """What draws prompts, with a label for who watches: uint8 [N, S, S, 3].

    Prompts with equal `numbers` have the same seed; None counts them.
    """

    def __call__(
        self, prompts: Sequence[str], label: str, *, numbers: Sequence[int] | None = None
    ) -> np.ndarray:
        """Draw."""


@dataclass(frozen=True)
class Wishing:
    """Who draws, who judges, and who paints the right scenes (uint8 [N, 64, 64, 3])."""

    draw: Draw
    judge: Examiner
    paint: Callable[[Sequence[SceneEntry]], np.ndarray]

    def examine(self, wishes: Wishes) -> dict[str, dict[str, Any]]:
        """Score every list. `missed` has the prompts that were not fulfilled."""
        report = {
            "colours": self.examine_colours(wishes.colours, "colours"),
            "colours_abroad": self.examine_colours(wishes.colours_abroad, "colours abroad"),
            "frames": self.examine_frames(wishes.frames, "frames"),
            "frames_abroad": self.examine_frames(wishes.frames_abroad, "frames abroad"),
            "backgrounds": self.examine_staged(wishes.backgrounds, "backgrounds"),
            "corners": self.examine_staged(wishes.corners, "corners"),
        }
        unseen = [wish for wish in wishes.couples if heldout.is_couple(*wish.concepts)]
        seen = [wish for wish in wishes.couples if wish not in unseen]
        parts = {"couples": seen, "couples_unseen": unseen}
        return report | {k: self.examine_staged(part, "couples") for k, part in parts.items() if part}

    def examine_colours(self, asked: Sequence[Dyed], label: str) -> dict[str, Any]:
        """Score things in other colours: is it the thing, has it the colour?"""
        pictures = self.draw([wish.prompt for wish in asked], label)
        return score_colours(pictures, asked, self.judge)

    def examine_frames(self, asked: Sequence[Framed], label: str) -> dict[str, Any]:
        """Score names in frames beside the same names alone, of the same seeds."""
        bare = self.draw([wish.bare for wish in asked], label)
        numbers = [i for i, wish in enumerate(asked) for _ in wish.frames]
        prompts = [frame for wish in asked for frame in wish.frames]
        framed = self.draw(prompts, label, numbers=numbers)
        alone = self.judge.rank_meant(bare, [wish.meant for wish in asked])[numbers]
        inside = self.judge.rank_meant(framed, [asked[i].meant for i in numbers])
        return compare_frames(alone < 5, inside < 5) | {"missed": _list_missed(prompts, inside < 5)}

    def examine_staged(
        self, asked: Sequence[Backed] | Sequence[Coupled] | Sequence[Placed], label: str
    ) -> dict[str, Any]:
        """Score scenes; where several are right, by the one that a picture comes nearest to."""
        prompts = [wish.prompt for wish in asked]
        pictures = self.draw(prompts, label)
        ways = zip(*(wish.entries for wish in asked), strict=True)
        marks = choose_marks([mark_scenes(pictures, way, self.paint(way), self.judge) for way in ways])
        return {**marks.summarise(np.arange(len(asked))), "missed": _list_missed(prompts, marks.whole)}


def score_colours(pictures: np.ndarray, asked: Sequence[Dyed], judge: Examiner) -> dict[str, Any]:
    """Score pictures uint8 [N, S, S, 3] of dyed things: thing among the judge's top 5, colour, both.

    The judge has learned no pink elephant, only a grey one: it sees each picture also without its colour.
    """
    meant = [wish.meant for wish in asked]
    thing = np.minimum(*(judge.rank_meant(shown, meant) for shown in (pictures, drop_colour(pictures)))) < 5
    colour = np.array([has_hue(picture, wish.hue) for picture, wish in zip(pictures, asked, strict=True)])
    shares = {"thing": thing, "colour": colour, "both": thing & colour}
    missed = _list_missed([wish.prompt for wish in asked], thing & colour)
    return {"n": len(asked), **{k: compute_share(right) for k, right in shares.items()}, "missed": missed}


def compare_frames(alone: np.ndarray, inside: np.ndarray) -> dict[str, float]:
    """Compare booleans [N]: whether the name alone was drawn, and whether it was in a frame.

    `kept` is the share of the bare names' score that is left, 0 where that is 0.
    """
    bare, framed = compute_share(alone), compute_share(inside)
    return {
        "n": len(inside),
        "bare": bare,
        "framed": framed,
        "kept": round(framed / bare, 4) if bare else 0.0,
    }


def choose_marks(ways: Sequence[Marks]) -> Marks:
    """Choose, for each picture, the marks of the way in which most of it is right."""
    worth = [np.stack([way.whole, way.placed, way.found / way.cells]) for way in ways]
    best = np.argmax([4 * whole + 2 * placed + found for whole, placed, found in worth], axis=0)
    columns = np.arange(len(best))
    chosen = {f.name: np.stack([getattr(way, f.name) for way in ways])[best, columns] for f in fields(Marks)}
    return Marks(**chosen)


def _list_missed(prompts: Sequence[str], right: np.ndarray) -> list[str]:
    return [prompt for prompt, fulfilled in zip(prompts, right, strict=True) if not fulfilled]
