"""The fixed lists that a model is examined with: held-out pairs and scenes, trained pairs, plain names.

They are drawn once, with a fixed seed, and kept as heldout.json in the model folder, so that two models
of one data pack are asked the same questions.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from janus_cli.dataset import heldout
from janus_cli.dataset.captions import add_background, describe_layout
from janus_cli.dataset.pack import DEFAULT_STYLE, LANGUAGES, Concept, read_pack
from janus_cli.dataset.pictures import BACKGROUNDS, list_drawings
from janus_cli.dataset.samples import LAYOUTS, RELATIONS, Sample, find_scene_nouns
from janus_cli.errors import JanusError
from janus_cli.media.files import atomic_write

FILE = "heldout.json"
EVERYDAY = "everyday.json"
SCENES = 120
NAMES = 120  # plain names
FOREIGN = 60  # concepts whose names in the other languages are asked for
COUNTS = ("2", "3", "4")
SPOTS = tuple(layout for layout in LAYOUTS if layout not in COUNTS + RELATIONS)
SHARES = {"couple": 0.4, "count": 0.2, "position": 0.2, "background": 0.2}  # of the scenes


@dataclass(frozen=True)
class SceneEntry:
    """One scene to ask for, by the names of its concepts."""

    kind: str  # couple (never trained on together), count, position or background
    concepts: tuple[str, ...]
    layout: str  # a key of LAYOUTS, or "" for one whole picture
    background: str  # a key of BACKGROUNDS, or "" for white

    @property
    def prompt(self) -> str:
        """What to ask for."""
        phrase = self.concepts[0]
        if self.layout:
            phrase = describe_layout(Sample((), DEFAULT_STYLE, layout=self.layout), self.concepts)
        return add_background(phrase, self.background) if self.background else phrase


@dataclass(frozen=True)
class Lists:
    """All questions. Pairs are (concept name, style); scenes and plain names are in the default style."""

    pairs: tuple[tuple[str, str], ...]  # held out
    trained: tuple[tuple[str, str], ...]  # as many, trained on
    plain: tuple[str, ...]
    languages: tuple[str, ...]  # English names; the pack has the others
    scenes: tuple[SceneEntry, ...]

    def limit(self, limit: int | None) -> "Lists":
        """Keep the first `limit` of each list; of the scenes, a mixture of all kinds."""
        if limit is None:
            return self
        step = max(1, len(self.scenes) // max(1, limit))
        cut = {f.name: getattr(self, f.name)[:limit] for f in dataclasses.fields(self)}
        return dataclasses.replace(self, **{**cut, "scenes": self.scenes[::step][:limit]})


def make_lists(concepts: Sequence[Concept], scenes: int = SCENES, seed: int = 0) -> Lists:
    """Make the lists of a data pack; the same pack and seed always give the same ones."""
    held = heldout.find_pairs(concepts)
    pairs = [(concepts[c].name, style) for c, style in list_drawings(concepts)]
    ours = [pair for pair in pairs if pair in held]
    theirs = [pair for pair in pairs if pair not in held]
    rng = np.random.default_rng(seed)
    trained = [theirs[i] for i in rng.permutation(len(theirs))[: len(ours) or len(theirs)]]
    named = [name for name, style in theirs if style == DEFAULT_STYLE]
    plain = [named[i] for i in rng.permutation(len(named))[:NAMES]]
    everywhere = {c.name for c in concepts if all(language in c.labels for language in LANGUAGES)}
    spoken = [named[i] for i in rng.permutation(len(named)) if named[i] in everywhere][:FOREIGN]
    entries = tuple(_make_scenes(concepts, scenes, rng))
    mixed = tuple(ours[i] for i in rng.permutation(len(ours)))
    return Lists(mixed, tuple(trained), tuple(plain), tuple(spoken), entries)


def _make_scenes(concepts: Sequence[Concept], total: int, rng: np.random.Generator) -> Iterator[SceneEntry]:
    nouns = [concepts[i].name for i in find_scene_nouns(concepts, DEFAULT_STYLE)]
    couples = [(a, b) for a in nouns for b in nouns if a != b and heldout.is_couple(a, b)]
    for kind, share in SHARES.items():
        for i in range(round(total * share)):
            background = str(rng.choice(list(BACKGROUNDS))) if rng.random() < 0.3 else ""
            noun = str(rng.choice(nouns)) if nouns else ""
            if kind == "couple" and couples:
                couple = couples[int(rng.integers(len(couples)))]
                yield SceneEntry(kind, couple, RELATIONS[i % len(RELATIONS)], background)
            elif kind == "count" and noun:
                yield SceneEntry(kind, (noun,), COUNTS[i % len(COUNTS)], background)
            elif kind == "position" and noun:
                yield SceneEntry(kind, (noun,), SPOTS[i % len(SPOTS)], background)
            elif kind == "background" and noun:
                yield SceneEntry(kind, (noun,), "", list(BACKGROUNDS)[i % len(BACKGROUNDS)])


def write_lists(pack: Path, path: Path) -> Lists:
    """Make the lists of the data pack `pack` and write them to `path`, one entry a line."""
    lists = make_lists(read_pack(pack))
    parts = []
    for name, entries in dataclasses.asdict(lists).items():
        lines = ",\n  ".join(json.dumps(entry, ensure_ascii=False) for entry in entries)
        parts.append(f'"{name}": [\n  {lines}\n]')
    atomic_write(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode(), force=True)
    return lists


def read_lists(path: Path) -> Lists:
    """Read the lists in `path`. Raises JanusError when it holds none."""
    try:
        data = json.loads(path.read_text("utf-8"))
        pairs, trained = (tuple((str(a), str(b)) for a, b in data[name]) for name in ("pairs", "trained"))
        plain, languages = (tuple(str(word) for word in data[name]) for name in ("plain", "languages"))
        scenes = [SceneEntry(**{**row, "concepts": tuple(row["concepts"])}) for row in data["scenes"]]
        return Lists(pairs, trained, plain, languages, tuple(scenes))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JanusError(f"{path}: no readable evaluation lists ({error!r})") from None


def read_everyday(path: Path, limit: int | None) -> dict[str, list[tuple[str, list[str]]]]:
    """Read the everyday words in `path`: by language prompts, each with the concepts that may be meant.

    Raises JanusError when it holds none.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
        lists = {"en": data["words"], **data["languages"]}
        return {
            key: [(str(p), [str(n) for n in names]) for p, names in rows[:limit]]
            for key, rows in lists.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise JanusError(f"{path}: no readable everyday words ({error!r})") from None
