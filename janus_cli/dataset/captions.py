"""Captions for samples: names, keywords, styles, colours and a small scene grammar.

Knows words only. Of what is to be drawn, captions without a style always mean the default one, so that no
caption has three equally good pictures; all other styles are named. What is only looked at may have none.
"""

from collections.abc import Sequence

import numpy as np

from janus_cli.dataset.pack import LANGUAGES, Concept
from janus_cli.dataset.samples import COLOUR_WORDS, Sample

DEFAULT_STYLE = "fluent"
NUMBERS = {2: "two", 3: "three", 4: "four"}
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
IRREGULAR = {"mouse": "mice"} | {noun: noun for noun in ("sheep", "fish", "shrimp", "squid", "sushi")}


def with_article(name: str) -> str:
    """'an apple', 'a dog'."""
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def plural(noun: str) -> str:
    """Plural of a single English noun."""
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun.endswith(("s", "x", "ch", "sh", "to")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def styled(phrase: str, style: str, form: int) -> str:
    """`phrase` with its style named in one of three ways."""
    return (f"{phrase}, {style}", f"{phrase} in {style} style", f"{style} {phrase}")[form]


def on_background(phrase: str, background: str, language: str = "en", form: int = 0) -> str:
    """`phrase` on a coloured background, said in `language`."""
    word = BACKGROUND_WORDS.get(language, {}).get(background, background)
    forms = ON_BACKGROUND[language]
    return forms[form % len(forms)].format(x=phrase, c=word)


def recoloured(name: str, hue: str) -> str:
    """The name with its colour replaced: 'red apple' in blue is 'blue apple'."""
    kept = [word for word in name.split() if word not in COLOUR_WORDS]
    return " ".join([hue, *(kept or [name])])


def scene_phrase(sample: Sample, names: Sequence[str]) -> str:
    """Caption of a sample with a layout: count, relation or corner. Ends without a background."""
    if sample.layout in ("2", "3", "4"):
        return f"{NUMBERS[int(sample.layout)]} {plural(names[0])}"
    if sample.layout in ("left of", "above"):
        return f"{with_article(names[0])} {sample.layout} {with_article(names[1])}"
    return f"a small {names[0]} in the {sample.layout}"


def _subject(concept: Concept, language: str, rng: np.random.Generator) -> str:
    """A name (75 %), a name with keywords (18 %) or keywords alone (7 %)."""
    label, tags = concept.labels[language], concept.tags[language]
    draw = rng.random()
    if draw < 0.75 or len(tags) < 2:
        article = language == "en" and not label[0].isupper() and rng.random() < 0.3
        return with_article(label) if article else label
    few = [str(tag) for tag in rng.permutation(tags)[: rng.integers(1, 3) + (draw >= 0.93)]]
    return ", ".join(few if draw >= 0.93 else [label, *few])


def caption(
    sample: Sample, concepts: Sequence[Concept], rng: np.random.Generator, foreign: float = 0.25
) -> str:
    """A random caption of `sample`; `foreign` is the share of the other languages where they can say it."""
    first = concepts[sample.concepts[0]]
    if sample.layout:
        phrase = scene_phrase(sample, [concepts[c].name for c in sample.concepts])
        return on_background(phrase, sample.background) if sample.background else phrase
    if sample.hue:
        phrase = recoloured(first.name, sample.hue)
        return with_article(phrase) if rng.random() < 0.3 else phrase
    language = "en"
    if rng.random() < foreign:
        language = str(rng.choice([k for k in LANGUAGES[1:] if k in first.labels] or ["en"]))
    phrase = _subject(first, language, rng)
    if sample.background:
        return on_background(phrase, sample.background, language, int(rng.random() < 0.3))
    if sample.style and (sample.style != DEFAULT_STYLE or rng.random() < 0.3):
        phrase = styled(phrase, sample.style, int(rng.choice(3, p=(0.5, 0.3, 0.2))))
    return phrase


def draw_sentence(concepts: Sequence[Concept], rng: np.random.Generator) -> tuple[str, str]:
    """Make up a sentence of the names and keywords of two concepts; returns it and its language."""
    language = str(rng.choice(list(LANGUAGES), p=(0.5, 0.1, 0.1, 0.1, 0.1, 0.1)))
    words: list[str] = []
    for number in rng.integers(len(concepts), size=2):
        concept = concepts[number]
        words += [concept.labels.get(language, concept.name), *concept.tags.get(language, [])[:2]]
    return ", ".join(str(w) for w in rng.permutation(words)), language
