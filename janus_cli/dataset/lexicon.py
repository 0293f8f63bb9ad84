"""The lexicon of a model: which concept an everyday word means, in every language of the pack."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from janus_cli.dataset.pack import LANGUAGES, Concept
from janus_cli.errors import JanusError
from janus_cli.stages.lexicon import FILE, fold, make_key

Owners = dict[str, dict[int, float]]  # word -> the concepts that it may mean, and how much speaks for each

KEPT = 4  # concepts a word, for phrases of several words
ALIKE = 0.4  # least overlap (Dice) of a word's concepts with an English word's, to be its translation
TRANSLATED = 3.0  # weight of the English word's own concept, times the overlap


def find_owners(concepts: Sequence[Concept], language: str) -> Owners:
    """Find which concepts each word of `language` may mean."""
    owners: Owners = defaultdict(dict)
    for number, concept in enumerate(concepts):
        for word, weight in concept.words.get(language, {}).items():
            owners[word][number] = weight
    return owners


def name_concepts(concepts: Sequence[Concept], language: str) -> dict[str, int]:
    """Number the concepts by their names in `language`; of equal names the first counts."""
    names: dict[str, int] = {}
    for number, concept in enumerate(concepts):
        if language in concept.labels:
            names.setdefault(fold(concept.labels[language]), number)
    return names


def translate_words(owners: Owners, english: Owners, names: dict[str, int]) -> None:
    """Raise, in `owners`, the concept that a word's English translation means first.

    No dictionary is read: the translation is the English word whose concepts overlap most with the word's.
    """
    meaning = {**{word: max(who, key=lambda n: who[n]) for word, who in english.items()}, **names}
    groups = {word: set(who) for word, who in english.items()}
    for name, number in names.items():
        groups.setdefault(name, set()).add(number)
    by_concept: dict[int, set[str]] = defaultdict(set)
    for word, numbers in groups.items():
        for number in numbers:
            by_concept[number].add(word)
    for who in owners.values():
        near = sorted({word for number in who for word in by_concept[number] if meaning[word] in who})
        if not near:
            continue
        overlap = {w: 2 * len(groups[w] & who.keys()) / (len(groups[w]) + len(who)) for w in near}
        best = max(near, key=lambda w: overlap[w])
        if overlap[best] >= ALIKE:
            who[meaning[best]] += TRANSLATED * overlap[best]


def rank_owners(who: dict[int, float]) -> dict[str, float]:
    """Keep the likeliest concepts of a word, by number, the likeliest first."""
    ranked = sorted(who.items(), key=lambda item: (-item[1], item[0]))
    return {str(number): round(weight, 2) for number, weight in ranked[:KEPT]}


class LanguagePart(TypedDict):
    """One language of lexicon.json."""

    names: list[str]  # by a concept's number
    words: dict[str, dict[str, float]]  # what each may mean, the likeliest first


def make_lexicon(concepts: Sequence[Concept]) -> dict[str, LanguagePart]:
    """Make the content of lexicon.json: per language the concepts' names, and what each word may mean.

    Raises JanusError for a pack without words.
    """
    if not any(concept.words for concept in concepts):
        raise JanusError("the data pack is of an earlier version and has no words: delete it, train again")
    english, english_names = find_owners(concepts, "en"), name_concepts(concepts, "en")
    content: dict[str, LanguagePart] = {}
    for language in LANGUAGES:
        owners = english if language == "en" else find_owners(concepts, language)
        if language != "en":
            translate_words(owners, english, english_names)
        labels = {n: c.labels[language] for n, c in enumerate(concepts) if language in c.labels}
        words = {make_key(word): rank_owners(who) for word, who in sorted(owners.items())}
        content[language] = {"names": [labels.get(n, "") for n in range(len(concepts))], "words": words}
    return content


def write_lexicon(folder: Path, concepts: Sequence[Concept]) -> None:
    """Write lexicon.json into a model folder. Raises what `make_lexicon` raises."""
    text = json.dumps(make_lexicon(concepts), ensure_ascii=False, separators=(",", ":"))
    (folder / FILE).write_text(text, "utf-8")
