"""A data pack made by hand for judge and evaluation: three things in three styles, as simple shapes."""

import json
import lzma
from dataclasses import asdict
from pathlib import Path

from janus_cli.dataset.pack import LANGUAGES, STYLES, Concept

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
SHAPES = {  # the bear is held out as twemoji, and bear and duck never meet in training
    "apple": '<circle cx="32" cy="34" r="24" fill="{colour}"/>',
    "bear": '<rect x="8" y="10" width="48" height="44" fill="{colour}"/>',
    "duck": '<path d="M32 6 L58 56 L6 56 Z" fill="{colour}"/>',
}
COLOURS = {  # concept -> colour by style
    "apple": ("#d02020", "#f06060", "#801010"),
    "bear": ("#704020", "#a07040", "#402010"),
    "duck": ("#e0b000", "#2060c0", "#208040"),
}


def concepts() -> list[Concept]:
    """Animals and food of emojibase's groups 3 and 4, with names in every language."""
    out = []
    for name, shape in SHAPES.items():
        drawings = {
            style: f"{HEAD}{shape.format(colour=colour)}</svg>"
            for style, colour in zip(STYLES, COLOURS[name], strict=True)
        }
        labels = {language: name if language == "en" else f"{name} {language}" for language in LANGUAGES}
        out.append(Concept(name, 3, labels, {language: [] for language in LANGUAGES}, drawings))
    return out


def write_pack(folder: Path) -> Path:
    """The pack as a training finds it, in `folder`; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pack.json.xz"
    path.write_bytes(lzma.compress(json.dumps([asdict(c) for c in concepts()]).encode()))
    return path
