"""A data pack made by hand for the tests of training: plain shapes in the three styles."""

import lzma
from collections.abc import Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path

from janus_cli.dataset.pack import LANGUAGES, STYLES, Concept

NAMES = ("apple", "bear", "cherry", "red kite")  # held out: a bear in twemoji, a cherry in noto
COLOURS = ("#e33", "#840", "#b05", "#c22")
SHAPES = {
    "fluent": '<circle cx="8" cy="8" r="7" fill="{c}"/><circle cx="5" cy="5" r="2" fill="#fff"/>',
    "noto": '<rect x="2" y="2" width="12" height="12" fill="{c}"/>',
    "twemoji": '<path d="M8 1 15 15H1Z" fill="{c}"/>',
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


def many_concepts(count: int = 200) -> list[Concept]:
    """One-word concepts by number, for what is a matter of shares."""
    letters = "abcdefghij"
    return [concept("".join(letters[int(digit)] for digit in f"{i:04}")) for i in range(count)]


def write_pack(path: Path, concepts: Sequence[Concept]) -> Path:
    """The pack file of `concepts`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(dumps([asdict(c) for c in concepts]).encode(), preset=0))
    return path
