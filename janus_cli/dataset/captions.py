"""Captions for samples: names, keywords, styles, colours and a small scene grammar.

Knows words only. A caption of a drawing names its style, or means the default one, so that no caption has
three equally good pictures. A picture that is only looked at may have no style.
"""

from collections.abc import Sequence

import numpy as np

from janus_cli.dataset.pack import DEFAULT_STYLE, LANGUAGES, LOOK_WORDS, Concept
from janus_cli.dataset.samples import Sample, change_colour
from janus_cli.stages.lexicon import NUMBERS, pluralise

# how a language says "X on a blue background"
ON_BACKGROUND = {
    "en": ("{x} on a {c} background", "{x} on {c}"),
    "de": ("{x} auf {c} Hintergrund",),
    "es": ("{x} sobre fondo {c}",),
    "fr": ("{x} sur fond {c}",),
    "ja": ("{c}背景の{x}",),
    "ko": ("{c} 배경의 {x}",),
}
BACKGROUND_WORDS = {
    "de": dict(blue="blauem", green="grünem", yellow="gelbem", pink="rosa", gray="grauem", black="schwarzem"),
    "es": dict(blue="azul", green="verde", yellow="amarillo", pink="rosa", gray="gris", black="negro"),
    "fr": dict(blue="bleu", green="vert", yellow="jaune", pink="rose", gray="gris", black="noir"),
    "ja": dict(blue="青い", green="緑の", yellow="黄色い", pink="ピンクの", gray="灰色の", black="黒い"),
    "ko": dict(blue="파란", green="초록", yellow="노란", pink="분홍", gray="회색", black="검은"),
}


def add_article(name: str) -> str:
    """Put the article before a name: 'an apple', 'a dog'."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def add_style(phrase: str, style: str, form: int) -> str:
    """Name the style after, or before, `phrase` in one of three ways."""
    style = LOOK_WORDS.get(style, style)
    return (f"{phrase}, {style}", f"{phrase} in {style} style", f"{style} {phrase}")[form]


def add_background(phrase: str, background: str, language: str = "en", form: int = 0) -> str:
    """Say in `language` that `phrase` is on a coloured background."""
    word = BACKGROUND_WORDS.get(language, {}).get(background, background)
    forms = ON_BACKGROUND[language]
    return forms[form % len(forms)].format(x=phrase, c=word)


def describe_layout(sample: Sample, names: Sequence[str]) -> str:
    """Describe a sample that has a layout by count, relation or corner; no word of the background."""
    if sample.layout in ("2", "3", "4"):
        return f"{NUMBERS[int(sample.layout)]} {pluralise(names[0])}"
    if sample.layout in ("left of", "above"):
        return f"{add_article(names[0])} {sample.layout} {add_article(names[1])}"
    return f"a small {names[0]} in the {sample.layout}"


def _write_subject(concept: Concept, language: str, rng: np.random.Generator) -> str:
    """Choose a name (75 %), a name with keywords (18 %) or keywords alone (7 %)."""
    label, tags = concept.labels[language], concept.tags[language]
    draw = rng.random()
    if draw < 0.75 or len(tags) < 2:
        article = language == "en" and not label[0].isupper() and rng.random() < 0.3
        return add_article(label) if article else label
    few = [str(tag) for tag in rng.permutation(tags)[: rng.integers(1, 3) + (draw >= 0.93)]]
    return ", ".join(few if draw >= 0.93 else [label, *few])


def write_caption(
    sample: Sample, concepts: Sequence[Concept], rng: np.random.Generator, foreign: float = 0.25
) -> str:
    """Make up a caption of `sample`; `foreign` is the share of the other languages where they can say it."""
    first = concepts[sample.concepts[0]]
    if sample.layout:
        phrase = describe_layout(sample, [concepts[c].name for c in sample.concepts])
        return add_background(phrase, sample.background) if sample.background else phrase
    if sample.hue:
        phrase = change_colour(first.name, sample.hue)
        return add_article(phrase) if rng.random() < 0.3 else phrase
    language = "en"
    if rng.random() < foreign:
        language = str(rng.choice([k for k in LANGUAGES[1:] if k in first.labels] or ["en"]))
    phrase = _write_subject(first, language, rng)
    if sample.background:
        return add_background(phrase, sample.background, language, int(rng.random() < 0.3))
    if sample.style and (sample.style != DEFAULT_STYLE or rng.random() < 0.3):
        phrase = add_style(phrase, sample.style, int(rng.choice(3, p=(0.5, 0.3, 0.2))))
    return phrase


def draw_sentence(concepts: Sequence[Concept], rng: np.random.Generator) -> tuple[str, str]:
    """Make up a sentence of the names and keywords of two concepts; returns it and its language."""
    language = str(rng.choice(list(LANGUAGES), p=(0.5, 0.1, 0.1, 0.1, 0.1, 0.1)))
    words: list[str] = []
    for number in rng.integers(len(concepts), size=2):
        concept = concepts[number]
        words += [concept.labels.get(language, concept.name), *concept.tags.get(language, [])[:2]]
    return ", ".join(str(w) for w in rng.permutation(words)), language
