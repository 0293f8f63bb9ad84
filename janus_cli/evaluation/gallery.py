"""The contact sheet of a model: what it draws for the first prompts of every list, none picked by hand."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from janus_cli.dataset.captions import recoloured, styled
from janus_cli.dataset.pack import LANGUAGES, STYLES, Concept
from janus_cli.dataset.pictures import HUES
from janus_cli.evaluation.lists import Lists
from janus_cli.media.files import atomic_write
from janus_cli.media.pictures import image_bytes

COLUMNS = 10
THUMB = 128  # pixels per side of a picture on the sheet
GAP = 10
TITLE, LABEL = 24, 34  # pixels above a row, and below each picture
INK, PAPER = (40, 40, 40), (255, 255, 255)

Shown = tuple[str, str]  # prompt, and its label in letters that the built-in font has
Row = tuple[str, list[Shown]]


def rows(lists: Lists, concepts: Sequence[Concept]) -> list[Row]:
    """What the sheet shows: a title and up to COLUMNS prompts a row."""

    def pairs(title: str, chosen: Sequence[tuple[str, str]]) -> Row:
        return title, [(styled(*pair, 0),) * 2 for pair in chosen[:COLUMNS]]

    table = [pairs(f"trained: {s}", [p for p in lists.trained if p[1] == s]) for s in STYLES]
    table.append(pairs("held out: never seen in this style", lists.pairs))
    hues = [recoloured(name, hue) for name, hue in zip(lists.plain, list(HUES) * COLUMNS, strict=False)]
    table.append(("recoloured", [(prompt, prompt) for prompt in hues[:COLUMNS]]))
    on_colours = [entry.prompt for entry in lists.scenes if entry.kind == "background"]
    table.append(("on a background", [(prompt, prompt) for prompt in on_colours[:COLUMNS]]))
    composed = [entry.prompt for entry in lists.scenes if entry.layout]
    spread = composed[:: max(1, len(composed) // COLUMNS)][:COLUMNS]
    table.append(("scenes: couples (never seen together), counts, places", [(p, p) for p in spread]))
    table.append(("other languages", _foreign(lists, concepts)))
    return [(title, shown) for title, shown in table if shown]


def _foreign(lists: Lists, concepts: Sequence[Concept]) -> list[Shown]:
    """Names in every other language by turns, labelled in English: the font knows no Japanese or Korean."""
    by_name = {concept.name: concept for concept in concepts}
    shown = []
    for i, name in enumerate(lists.languages[:COLUMNS]):
        language = LANGUAGES[1:][i % (len(LANGUAGES) - 1)]
        shown.append((by_name[name].labels[language], f"{language}: {name}"))
    return shown


def _letters(text: str) -> str:
    """`text` with typographic quotes as plain ones."""
    return text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})


def sheet(table: Sequence[Row], pictures: np.ndarray) -> np.ndarray:
    """All pictures uint8 [N, S, S, 3] in the order of the rows, with titles and prompts: [H, W, 3]."""
    height = TITLE + THUMB + LABEL
    canvas = Image.new("RGB", (GAP + COLUMNS * (THUMB + GAP), GAP + height * len(table)), PAPER)
    draw = ImageDraw.Draw(canvas)
    title_font, font = ImageFont.load_default(15), ImageFont.load_default(11)
    number = 0
    for i, (title, shown) in enumerate(table):
        top = GAP + i * height
        draw.text((GAP, top), title, INK, title_font)
        for j, (_, label) in enumerate(shown):
            left = GAP + j * (THUMB + GAP)
            image = Image.fromarray(pictures[number]).resize((THUMB, THUMB), Image.Resampling.BOX)
            canvas.paste(image, (left, top + TITLE))
            for k, line in enumerate(textwrap.wrap(_letters(label), 23)[:2]):
                draw.text((left, top + TITLE + THUMB + 2 + 13 * k), line, INK, font)
            number += 1
    return np.asarray(canvas)


def write_gallery(
    path: Path, draw: Callable[[Sequence[str]], np.ndarray], lists: Lists, concepts: Sequence[Concept]
) -> None:
    """Draw the sheet's prompts and write it to `path` as a PNG, over what is there."""
    table = rows(lists, concepts)
    pictures = draw([prompt for _, shown in table for prompt, _ in shown])
    atomic_write(path, image_bytes(sheet(table, pictures), "png"), force=True)
