"""Captions as people type prompts: frames, cases, everyday words, colours said in other ways, six languages.

`captions` says what a picture is; this says how somebody may ask for it. The shares are those of pocket's
rounds of names (models/TRAINING.md).
"""

import math
from collections.abc import Sequence

import numpy as np

from janus_cli.dataset.captions import add_article, add_background, add_style
from janus_cli.dataset.lexicon import make_lexicon
from janus_cli.dataset.pack import DEFAULT_STYLE, LANGUAGES, Concept
from janus_cli.dataset.phrases import (
    ADJECTIVES,
    ARTICLES,
    BACKGROUND,
    CORNERS,
    COUNTS,
    DETERMINERS,
    DYED,
    ENDINGS,
    FRAMES,
    HUE_WORDS,
    HUED,
    JAPANESE_COLOURS,
    MARKS,
    OPENINGS,
    RELATIONS,
)
from janus_cli.dataset.samples import Sample, change_colour, split_name
from janus_cli.stages.lexicon import COLOURS, LEAST, Tongue, pluralise

# A word is taught as one concept's where this share of what speaks for it is that concept's: with two owners
# the first tokens of two drawings mix, and the picture is a blob.
OWNED, CLEARLY_OWNED = 0.6, 0.85
STEEPNESS = 1.5  # of that share's softmax
HUED_ABROAD = 0.4  # of the share of other languages, for what is dyed


def list_own_words(concepts: Sequence[Concept]) -> list[dict[str, list[str]]]:
    """List the other words of each concept, by language, that are taught as its own.

    They are those that the lexicon takes for it and that hardly speak for another: none of an old pack.
    """
    own: list[dict[str, list[str]]] = [{} for _ in concepts]
    if not any(concept.words for concept in concepts):
        return own
    for language, content in make_lexicon(concepts).items():
        tongue = Tongue(content["names"], content["words"], language)
        for word, owners in tongue.words.items():
            (number, weight), *others = owners.items()
            share = 1 / (1 + sum(math.exp(STEEPNESS * (less - weight)) for _, less in others))
            sure = (share >= OWNED and weight >= LEAST) or (share >= CLEARLY_OWNED and weight > 0)
            if sure and word not in tongue.numbers:
                own[int(number)].setdefault(language, []).append(word)
    return own


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]


def _drop_article(phrase: str) -> str:
    return phrase.removeprefix("an ").removeprefix("a ")


def change_case(phrase: str, rng: np.random.Generator) -> str:
    """Write a phrase as people do: So it 12 %, So It 4, SO IT 5, so it 5; 10 % end in a mark."""
    draw = rng.random()
    if draw < 0.12:
        phrase = phrase[:1].upper() + phrase[1:]
    elif draw < 0.26:
        phrase = phrase.title() if draw < 0.16 else phrase.upper() if draw < 0.21 else phrase.lower()
    return phrase + _pick(MARKS, rng) if rng.random() < 0.1 else phrase


def frame(phrase: str, rng: np.random.Generator) -> str:
    """Ask for an English phrase in so many words: 'a photo of a dog', 'dog please'."""
    form = _pick(FRAMES["en"], rng)
    if form.startswith(DETERMINERS):
        phrase = _drop_article(phrase)
    elif rng.random() < 0.5 and not (
        phrase.startswith(OPENINGS) or phrase[:1].isupper() or form.startswith("{")
    ):
        phrase = add_article(phrase)
    return form.format(x=phrase)


class Prompter:
    """Makes up prompts for samples of a pack's concepts."""

    def __init__(self, concepts: Sequence[Concept]) -> None:
        self.concepts, self.words = concepts, list_own_words(concepts)

    def write(self, sample: Sample, rng: np.random.Generator, foreign: float = 0.45) -> str:
        """Make up a prompt for `sample`; `foreign`: the share of other languages where they can say it."""
        if sample.layout:
            phrase = self._say_layout(sample, rng)
            phrase = self._add_background(phrase, sample, "en", rng) if sample.background else phrase
            return change_case(frame(phrase, rng) if rng.random() < 0.12 else phrase, rng)
        language = self._choose_language(sample, rng, foreign)
        if sample.hue:
            phrase = self._say_dyed(sample, language, rng)
        elif language == "en":
            phrase = self._say_thing(sample.concepts[0], rng)
        else:
            phrase = self._say_thing_abroad(sample.concepts[0], language, rng)
        if sample.background:
            phrase = self._add_background(phrase, sample, language, rng)
        if sample.style != DEFAULT_STYLE or rng.random() < 0.2:
            phrase = add_style(phrase, sample.style, int(rng.choice(3, p=(0.5, 0.3, 0.2))))
        if language != "en":
            return phrase
        return change_case(frame(phrase, rng) if rng.random() < 0.22 else phrase, rng)

    def _choose_language(self, sample: Sample, rng: np.random.Generator, foreign: float) -> str:
        concept = self.concepts[sample.concepts[0]]
        if sample.hue:  # what has a colour in its name has it in another place there
            foreign *= 0.0 if split_name(concept) & COLOURS else HUED_ABROAD
        if rng.random() >= foreign:
            return "en"
        return str(rng.choice([k for k in LANGUAGES[1:] if k in concept.labels] or ["en"]))

    def _find_word(self, number: int, language: str, rng: np.random.Generator) -> str:
        """Find an everyday word for the concept; '' where it has none."""
        words = self.words[number].get(language)
        return _pick(words, rng) if words else ""

    def _say_layout(self, sample: Sample, rng: np.random.Generator) -> str:
        """Say what is where in a scene, by one or two names, now and then an everyday word."""
        names = [self.concepts[c].name for c in sample.concepts]
        for i, number in enumerate(sample.concepts):
            if rng.random() < 0.12 and (word := self._find_word(number, "en", rng)).isalpha():
                names[i] = word
        if sample.layout.isdecimal():
            counts = COUNTS[int(sample.layout)]
            return f"{counts[0] if rng.random() < 0.6 else _pick(counts, rng)} {pluralise(names[0])}"
        if sample.layout in RELATIONS:
            a, b = map(add_article, names) if rng.random() < 0.85 else names
            return _pick(RELATIONS[sample.layout], rng).format(a=a, b=b)
        place = sample.layout
        if rng.random() < 0.3:
            place = "middle" if place == "center" else f"{place} corner"
        return _pick(CORNERS, rng).format(x=names[0], p=place)

    def _say_thing(self, number: int, rng: np.random.Generator) -> str:
        """Name a thing: by name 56 %, an everyday word 24, name and keywords 12, keywords alone 8."""
        concept, draw = self.concepts[number], rng.random()
        tags = concept.tags["en"]
        if draw < 0.24 and (word := self._find_word(number, "en", rng)):
            plural = rng.random() < 0.1 and word.isalpha()
            word = pluralise(word) if plural else word
            return add_article(word) if rng.random() < 0.4 and not word[0].isupper() else word
        if draw > 0.80 and len(tags) >= 2:
            few = [str(tag) for tag in rng.permutation(tags)[: rng.integers(1, 3) + (draw > 0.92)]]
            return _pick((", ", ", ", " "), rng).join(few if draw > 0.92 else [concept.name, *few])
        phrase = concept.name
        if phrase.endswith(" face") and phrase.count(" ") == 1 and rng.random() < 0.05:
            phrase = phrase.removesuffix(" face")
        phrase = add_article(phrase) if not phrase[0].isupper() and rng.random() < 0.4 else phrase
        if rng.random() < 0.05:
            phrase = add_article(f"{_pick(ADJECTIVES, rng)} {_drop_article(phrase)}")
        return phrase

    def _say_thing_abroad(self, number: int, language: str, rng: np.random.Generator) -> str:
        """Name a thing: by name 68 %, an everyday word 20, name and keywords 6, keywords alone 6.

        By name where it has no such word, no keywords.
        """
        concept, draw = self.concepts[number], rng.random()
        tags, phrase = concept.tags.get(language, []), concept.labels[language]
        if draw < 0.2:
            phrase = self._find_word(number, language, rng) or phrase
        elif draw < 0.32 and len(tags) >= 2:
            few = [str(tag) for tag in rng.permutation(tags)[: rng.integers(1, 3) + (draw < 0.26)]]
            phrase = ", ".join(few if draw < 0.26 else [phrase, *few])
        elif language == "ja" and (colour := JAPANESE_COLOURS.get(phrase[:1])) and rng.random() < 0.3:
            bare = phrase[1:].removeprefix("い").removeprefix("色").removeprefix("の")
            phrase = colour + bare if COLOURS & split_name(concept) and bare else phrase
        if language in ARTICLES:
            how = rng.random()
            if how < 0.07:
                phrase = f"{_pick(ARTICLES[language], rng)} {phrase}"
            elif how < 0.19:
                phrase = phrase.lower() if how < 0.13 else phrase[:1].upper() + phrase[1:]
        phrase = _pick(FRAMES[language], rng).format(x=phrase) if rng.random() < 0.05 else phrase
        return phrase + _pick((".", "!"), rng) if rng.random() < 0.02 else phrase

    def _say_dyed(self, sample: Sample, language: str, rng: np.random.Generator) -> str:
        """Name a thing and the colour that it was given."""
        number = sample.concepts[0]
        concept = self.concepts[number]
        if language != "en":
            word = HUE_WORDS[language][sample.hue]
            endings = ENDINGS.get(language, {}).get(word)
            word += _pick(endings, rng) if endings else ""
            return HUED[language].format(x=concept.labels[language], h=word)
        name = (self._find_word(number, "en", rng) if rng.random() < 0.12 else "") or concept.name
        phrase = change_colour(name, sample.hue)
        if rng.random() < 0.15:
            bare = phrase.removeprefix(f"{sample.hue} ")
            bare = add_article(bare) if rng.random() < 0.5 else bare
            return _pick(DYED, rng).format(x=bare, h=sample.hue)
        return add_article(phrase) if rng.random() < 0.4 else phrase

    def _add_background(self, phrase: str, sample: Sample, language: str, rng: np.random.Generator) -> str:
        if language == "en":
            return _pick(BACKGROUND, rng).format(x=phrase, c=sample.background)
        return add_background(phrase, sample.background, language)
