"""Samples: what the generator learns to draw, as data without pixels or words.

Every sample can be painted (pictures.py) and described (captions.py). Single drawings come in all
styles; recolouring, backgrounds and layouts in the default style, so that a small model sees each often.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from janus_cli.dataset import heldout
from janus_cli.dataset.pack import BLACK, DEFAULT_STYLE, LOOK_WORDS, STYLES, Concept
from janus_cli.dataset.pictures import BACKGROUNDS, HUES, Item, Scene, list_drawings, list_looks
from janus_cli.errors import JanusError
from janus_cli.stages.lexicon import COLOURS

SIDES = {"left", "right", "leftwards", "rightwards"}
SCENE_GROUPS = (3, 4)  # animals and plants, food: the nouns of scenes
LAYOUTS: dict[str, tuple[tuple[int, int], ...]] = {  # (top, left) of each 32-unit drawing
    "2": ((16, 0), (16, 32)),
    "3": ((0, 0), (0, 32), (32, 16)),
    "4": ((0, 0), (0, 32), (32, 0), (32, 32)),
    "left of": ((16, 0), (16, 32)),
    "above": ((0, 16), (32, 16)),
    "top left": ((0, 0),),
    "top right": ((0, 32),),
    "bottom left": ((32, 0),),
    "bottom right": ((32, 32),),
    "center": ((16, 16),),
}
RELATIONS = ("left of", "above")
KINDS = ("plain", "background", "hue", "scene", "look")
TRIES = 10_000  # draws of a couple before the pack is said to have none


@dataclass(frozen=True)
class Sample:
    """One picture to learn: concepts by number, style, and at most one of hue and layout."""

    concepts: tuple[int, ...]
    style: str  # of STYLES, or a set of LOOK_WORDS; "" = none of those that have a name
    background: str = ""
    hue: str = ""
    layout: str = ""

    @property
    def kind(self) -> str:
        """One of KINDS: what the sampling weights speak of."""
        if self.layout:
            return "scene"
        if self.style in LOOK_WORDS:
            return "look"
        return "hue" if self.hue else "background" if self.background else "plain"


def build_scene(sample: Sample, drawings: dict[tuple[int, str], int]) -> Scene:
    """Say how to paint a sample; `drawings` maps (concept, style) to the sprite's number."""
    numbers = [drawings[c, sample.style] for c in sample.concepts]
    if not sample.layout:
        return Scene((Item(numbers[0], hue=sample.hue),), sample.background)
    spots = LAYOUTS[sample.layout]
    numbers = numbers if len(numbers) == len(spots) else numbers * len(spots)
    return Scene(tuple(Item(n, *spot, 32) for n, spot in zip(numbers, spots, strict=True)), sample.background)


def number_drawings(concepts: Sequence[Concept]) -> dict[tuple[int, str], int]:
    """Number the drawings: (concept, style or set) -> number of its sprite."""
    return {pair: i for i, pair in enumerate([*list_drawings(concepts), *list_looks(concepts)])}


def split_name(concept: Concept) -> set[str]:
    """Split the name of a concept into its words."""
    return set(re.findall("[a-z]+", concept.name.lower()))


def find_other_looks(concepts: Sequence[Concept]) -> dict[int, list[int]]:
    """Find sprites by other sets that may be looked at: concept -> their numbers.

    Without those that would teach what is not so: a set's black drawings of what is named after a colour, and
    drawings that it has under several names.
    """
    held, first = heldout.find_pairs(concepts), len(list_drawings(concepts))
    drawings = Counter((look, svg) for c in concepts for look, svg in c.looks.items())
    looks: dict[int, list[int]] = {}
    for number, (concept, look) in enumerate(list_looks(concepts), first):
        its = concepts[concept]
        colourless = look in BLACK and COLOURS & split_name(its)
        unlike = drawings[look, its.looks[look]] == 1
        if look in heldout.list_allowed_looks(its, held) and unlike and not colourless:
            looks.setdefault(concept, []).append(number)
    return looks


def choose_look(
    sample: Sample,
    drawings: dict[tuple[int, str], int],
    looks: dict[int, list[int]],
    rng: np.random.Generator,
    share: float = 0.5,
) -> tuple[Sample, Scene]:
    """Choose what eyes are shown, and as what: a `share` of single drawings by another set, no style."""
    others = looks.get(sample.concepts[0], []) if sample.kind == "plain" else []
    if others and rng.random() < share:
        return replace(sample, style=""), Scene((Item(int(rng.choice(others))),))
    return sample, build_scene(sample, drawings)


def find_scene_nouns(concepts: Sequence[Concept], style: str) -> list[int]:
    """Find the concepts that stand in scenes: one-word names of animals, plants and food, never held out."""
    held = heldout.find_pairs(concepts)
    return [
        i
        for i, c in enumerate(concepts)
        if c.group in SCENE_GROUPS
        and c.name.isalpha()
        and style in c.drawings
        and (c.name, style) not in held
    ]


def draw_scene_sample(
    nouns: Sequence[int],
    concepts: Sequence[Concept],
    style: str,
    rng: np.random.Generator,
    held: bool = False,
) -> Sample:
    """Draw a layout and its concepts; relations of held-out couples only when `held`, else never."""
    background = str(rng.choice(list(BACKGROUNDS))) if rng.random() < 0.3 else ""
    layout = str(rng.choice(list(RELATIONS if held else LAYOUTS)))
    for _ in range(TRIES):
        first, second = (int(n) for n in rng.choice(nouns, 2, replace=False))
        if layout not in RELATIONS:
            return Sample((first,), style, background, layout=layout)
        if heldout.is_couple(concepts[first].name, concepts[second].name) == held:
            return Sample((first, second), style, background, layout=layout)
    raise JanusError(f"the pack has too few animals, plants and foods for scenes ({len(nouns)})")


def change_colour(name: str, hue: str) -> str:
    """Replace the colour in a name: 'red apple' in blue is 'blue apple'."""
    kept = [word for word in name.split() if word not in COLOURS]
    return " ".join([hue, *(kept or [name])])


def list_dyed(pairs: Sequence[tuple[int, str]], concepts: Sequence[Concept]) -> list[Sample]:
    """List the drawings `pairs` in every hue that leaves a caption one picture.

    A red apple in green is none: that is the green apple's name. Of two that would be called alike in one
    style the first counts.
    """
    called = {(concept.name, style) for concept in concepts for style in STYLES}
    dyed = []
    for concept, style in pairs:
        for hue in HUES:
            name = change_colour(concepts[concept].name, hue), style
            if name not in called:
                called.add(name)
                dyed.append(Sample((concept,), style, hue=hue))
    return dyed


def make_training_samples(
    concepts: Sequence[Concept],
    style: str,
    scenes: int,
    seed: int = 0,
    *,
    vary_all: bool = False,
    with_looks: bool = False,
) -> list[Sample]:
    """List all that is trained on: all pairs that are not held out, and variations in the default `style`.

    `vary_all`: drawings in the other styles on backgrounds and in hues, too; `with_looks`: the drawings of
    LOOK_WORDS' sets.
    """
    held = heldout.find_pairs(concepts)
    pairs = [(c, s) for c, s in list_drawings(concepts) if (concepts[c].name, s) not in held]
    samples = [Sample((c,), s) for c, s in pairs]
    varied = pairs if vary_all else [(c, s) for c, s in pairs if s == style]
    samples += [Sample((c,), s, background) for c, s in varied for background in BACKGROUNDS]
    samples += list_dyed(varied, concepts)
    rng = np.random.default_rng(seed)
    nouns = find_scene_nouns(concepts, style)
    samples += [draw_scene_sample(nouns, concepts, style, rng) for _ in range(scenes)]
    if with_looks:
        places = list_looks(concepts)
        first = len(list_drawings(concepts))
        shown = [places[n - first] for numbers in find_other_looks(concepts).values() for n in numbers]
        samples += [Sample((c,), look) for c, look in shown if look in LOOK_WORDS]
    return samples


def restyle(
    sample: Sample, concepts: Sequence[Concept], held: Collection[tuple[str, str]], rng: np.random.Generator
) -> Sample:
    """Name another style for `sample`, whose caption is then nearly right.

    Pairs of concept and style in `held` are never named. Without another style it is `sample` itself.
    """
    name = concepts[sample.concepts[0]].name
    others = [style for style in STYLES if style != sample.style and (name, style) not in held]
    return replace(sample, style=str(rng.choice(others))) if others else sample


class Corpus:
    """Samples with their precomputed codes [N, rows, cols], drawn by kind and style."""

    def __init__(
        self,
        samples: Sequence[Sample],
        codes: np.ndarray,
        weights: Mapping[str, float],
        others: Mapping[str, float] | None = None,
    ):
        """`weights`, `others`: see `share_out`; they hold where `draw` is given none."""
        self.samples, self.codes = samples, codes
        groups: dict[tuple[str, bool], list[int]] = {}
        for i, sample in enumerate(samples):
            groups.setdefault((sample.kind, sample.style == DEFAULT_STYLE), []).append(i)
        self.groups = {key: np.array(numbers) for key, numbers in groups.items()}
        self.share = self.share_out(weights, others or {})
        same: dict[tuple[tuple[int, ...], str, str], list[int]] = {}
        for i, sample in enumerate(samples):
            if not sample.layout:
                same.setdefault((sample.concepts, sample.background, sample.hue), []).append(i)
        self._same = same

    def share_out(self, weights: Mapping[str, float], others: Mapping[str, float]) -> np.ndarray:
        """Compute each group's share of what is drawn, by the shares of their kinds; only ratios count.

        `weights` are of the default style and `others` of the others; without these `weights` are of all.
        Raises JanusError where nothing is left to draw.
        """
        share = []
        for (kind, is_default), numbers in self.groups.items():
            both = sum(len(more) for (other, _), more in self.groups.items() if other == kind)
            part = 1.0 if others else len(numbers) / both
            share.append((weights if is_default or not others else others).get(kind, 0.0) * part)
        if not sum(share):
            raise JanusError(
                f"the pack has no pictures of the kinds with a share: {sorted({**weights, **others})}"
            )
        return np.array(share) / sum(share)

    def draw(self, rng: np.random.Generator, count: int, share: np.ndarray | None = None) -> np.ndarray:
        """Draw the numbers of `count` samples, of the groups by their `share`."""
        kinds = rng.choice(len(self.groups), count, p=self.share if share is None else share)
        groups = list(self.groups.values())
        return np.array([groups[k][rng.integers(len(groups[k]))] for k in kinds])

    def find_cousins(self, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Find for each sample the same thing in another style, drawn at random; -1 where there is none."""
        found = np.full(len(chosen), -1)
        for n, number in enumerate(chosen):
            sample = self.samples[number]
            alike = [] if sample.layout else self._same[sample.concepts, sample.background, sample.hue]
            if others := [other for other in alike if other != number]:
                found[n] = others[int(rng.integers(len(others)))]
        return found


def allows_changes(sample: Sample, concepts: Sequence[Concept]) -> bool:
    """Whether the sample's caption stays true when its picture is dyed and mirrored."""
    return sample.kind == "plain" and not split_name(concepts[sample.concepts[0]]) & (COLOURS | SIDES)
