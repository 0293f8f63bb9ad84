"""Data packs made by hand: plain shapes in the three styles."""

import lzma
from collections.abc import Sequence
from dataclasses import asdict, replace
from json import dumps
from pathlib import Path

from janus_cli.dataset.pack import LANGUAGES, STYLES, Concept
from janus_cli.dataset.words import SHORTCODES, WORDNET

NAMES = ("apple", "bear", "cherry", "red kite")  # held out: a bear in twemoji, a cherry in noto
COLOURS = ("#e33", "#840", "#b05", "#c22")
SHAPES = {
    "fluent": '<circle cx="8" cy="8" r="7" fill="{c}"/><circle cx="5" cy="5" r="2" fill="#fff"/>',
    "noto": '<rect x="2" y="2" width="12" height="12" fill="{c}"/>',
    "twemoji": '<path d="M8 1 15 15H1Z" fill="{c}"/>',
}

OWN_SHAPES = {  # one for each concept, for what has to tell them apart
    "apple": '<circle cx="32" cy="34" r="24" fill="{c}"/>',
    "bear": '<rect x="8" y="10" width="48" height="44" fill="{c}"/>',
    "duck": '<path d="M32 6 L58 56 L6 56 Z" fill="{c}"/>',
}
OWN_COLOURS = {  # concept -> colour by style
    "apple": ("#d02020", "#f06060", "#801010"),
    "bear": ("#704020", "#a07040", "#402010"),
    "duck": ("#e0b000", "#2060c0", "#208040"),
}


def svg(body: str, box: str = "0 0 16 16") -> str:
    """A drawing with this body."""
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}">{body}</svg>'


def concept(
    name: str, group: int = 3, colour: str = "#e33", styles: Sequence[str] = tuple(STYLES)
) -> Concept:
    """A concept whose names in the other languages are `<language>:<name>`."""
    labels = {language: name if language == "en" else f"{language}:{name}" for language in LANGUAGES}
    tags = {language: [f"{label} tag", f"{label} sign"] for language, label in labels.items()}
    drawings = {style: svg(SHAPES[style].format(c=colour)) for style in styles}
    return Concept(name, group, labels, tags, drawings)


def four_concepts() -> list[Concept]:
    """Three nouns of scenes and a name of two words."""
    return [concept(name, colour=colour) for name, colour in zip(NAMES, COLOURS, strict=True)]


def three_concepts() -> list[Concept]:
    """Three nouns of a shape each; a bear in twemoji and a scene of bear and duck are held out."""
    return [
        replace(
            concept(name),
            drawings={
                style: svg(shape.format(c=colour), "0 0 64 64")
                for style, colour in zip(STYLES, OWN_COLOURS[name], strict=True)
            },
        )
        for name, shape in OWN_SHAPES.items()
    ]


def many_concepts(count: int = 200) -> list[Concept]:
    """One-word concepts by number, for what is a matter of shares."""
    letters = "abcdefghij"
    return [concept("".join(letters[int(digit)] for digit in f"{i:04}")) for i in range(count)]


def write_pack(path: Path, concepts: Sequence[Concept]) -> Path:
    """The pack file of `concepts`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(dumps([asdict(c) for c in concepts]).encode(), preset=0))
    return path


NOUNS = """  1 the licence stands here
00000001 13 n 02 apple 0 orchard_apple 0 000 | fruit with red or green skin and sweet flesh
00000002 05 n 02 automobile 0 motorcar 0 000 | a wheeled vehicle
00000003 18 n 02 cook 0 chef 0 000 | someone who cooks food
00000004 06 n 01 bunny 0 000 | a waitress
"""
INDEX = """  1 the licence stands here
apple n 1 1 @ 1 1 00000001
orchard_apple n 1 1 @ 1 0 00000001
motorcar n 1 1 @ 1 0 00000002
chef n 1 1 @ 1 0 00000003
cook n 1 1 @ 1 0 00000003
"""


def write_word_sources(modules: Path, shortcodes: dict[str, str | list[str]] | None = None) -> None:
    """Write emojibase's shortcodes and a WordNet of four nouns into a node_modules folder."""
    folder = modules / "emojibase-data" / "en" / "shortcodes"
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHORTCODES:
        (folder / f"{name}.json").write_text(dumps(shortcodes or {}), "utf-8")
    nouns = modules / WORDNET.rpartition("@")[0] / "dict"
    nouns.mkdir(parents=True)
    (nouns / "data.noun").write_text(NOUNS, "utf-8")
    (nouns / "index.noun").write_text(INDEX, "utf-8")
