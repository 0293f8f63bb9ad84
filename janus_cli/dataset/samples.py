"""Samples: what the generator learns to draw, as data without pixels or words.

Every sample can be painted (pictures.py) and described (captions.py). Single drawings come in all
styles; recolouring, backgrounds and layouts in the default style, so that a small model sees each often.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from janus_cli.dataset import heldout
from janus_cli.dataset.pack import BLACK, STYLES, Concept
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
KINDS = ("plain", "background", "hue", "scene")
TRIES = 10_000  # draws of a couple before the pack is said to have none


@dataclass(frozen=True)
class Sample:
    """One picture to learn: concepts by number, style, and at most one of hue and layout."""

    concepts: tuple[int, ...]
    style: str  # "" = none of those that have a name
    background: str = ""
    hue: str = ""
    layout: str = ""

    @property
    def kind(self) -> str:
        """One of KINDS: what the sampling weights speak of."""
        if self.layout:
            return "scene"
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
    """Number the drawings: (concept, style) -> number of its sprite."""
    return {pair: i for i, pair in enumerate(list_drawings(concepts))}


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


def make_training_samples(
    concepts: Sequence[Concept], style: str, scenes: int, seed: int = 0
) -> list[Sample]:
    """List all that is trained on: all pairs that are not held out, and variations in the default style."""
    held = heldout.find_pairs(concepts)
    pairs = [(c, s) for c, s in list_drawings(concepts) if (concepts[c].name, s) not in held]
    samples = [Sample((c,), s) for c, s in pairs]
    plain = [c for c, s in pairs if s == style]
    samples += [Sample((c,), style, background) for c in plain for background in BACKGROUNDS]
    samples += [Sample((c,), style, hue=hue) for c in plain for hue in HUES]
    rng = np.random.default_rng(seed)
    nouns = find_scene_nouns(concepts, style)
    samples += [draw_scene_sample(nouns, concepts, style, rng) for _ in range(scenes)]
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
    """Samples with their precomputed codes [N, rows, cols], drawn by kind."""

    def __init__(self, samples: Sequence[Sample], codes: np.ndarray, weights: dict[str, float]):
        self.samples, self.codes = samples, codes
        groups: dict[str, list[int]] = {}
        for i, sample in enumerate(samples):
            groups.setdefault(sample.kind, []).append(i)
        self.groups = {kind: np.array(groups[kind]) for kind in weights if kind in groups}
        share = np.array([weights[kind] for kind in self.groups])
        self.share = share / share.sum()

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw the numbers of `count` samples."""
        kinds = rng.choice(len(self.share), count, p=self.share)
        groups = list(self.groups.values())
        return np.array([groups[k][rng.integers(len(groups[k]))] for k in kinds])


def allows_changes(sample: Sample, concepts: Sequence[Concept]) -> bool:
    """Whether the sample's caption stays true when its picture is dyed and mirrored."""
    return sample.kind == "plain" and not split_name(concepts[sample.concepts[0]]) & (COLOURS | SIDES)
