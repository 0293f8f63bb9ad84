"""The two contact sheets of a model, of the first items of every list; none is picked by hand.

The gallery shows what it draws; the album shows all directions: what it sees, hears, draws and says.
"""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from janus_cli.dataset.captions import add_style
from janus_cli.dataset.pack import LANGUAGES, STYLES, Concept
from janus_cli.dataset.pictures import HUES
from janus_cli.dataset.samples import change_colour
from janus_cli.dataset.speech import RATE, Speaker, Utterance
from janus_cli.evaluation.directions import Tour
from janus_cli.evaluation.lists import Lists
from janus_cli.evaluation.measures import resize
from janus_cli.evaluation.wishes import Wishes
from janus_cli.media.files import atomic_write
from janus_cli.media.pictures import image_bytes
from janus_cli.records import Record
from janus_cli.training.losses import log_mel

COLUMNS = 10
THUMB = 128  # pixels per side of a picture on the sheet
GAP = 10
TITLE, LABEL = 24, 34  # pixels above a row, and below each picture
INK, PAPER = (40, 40, 40), (255, 255, 255)
BANDS, WINDOW = THUMB, 1024
HEAT = np.array([(0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)], np.float32)

Shown = tuple[str, str]  # prompt, and its label in letters that the built-in font has
Strip = tuple[str, list[Shown]]  # title and pictures of one line of a sheet


def list_strips(lists: Lists, concepts: Sequence[Concept], wishes: Wishes | None = None) -> list[Strip]:
    """List what the gallery shows: a title and up to COLUMNS prompts a strip."""

    def pairs(title: str, chosen: Sequence[tuple[str, str]]) -> Strip:
        return title, [(add_style(*pair, 0),) * 2 for pair in chosen[:COLUMNS]]

    table = [pairs(f"trained: {s}", [p for p in lists.trained if p[1] == s]) for s in STYLES]
    table.append(pairs("held out: never seen in this style", lists.pairs))
    hues = [change_colour(name, hue) for name, hue in zip(lists.plain, list(HUES) * COLUMNS, strict=False)]
    composed = [entry.prompt for entry in lists.scenes if entry.layout]
    said = {
        "recoloured": hues,
        "on a background": [entry.prompt for entry in lists.scenes if entry.kind == "background"],
        "scenes: couples (never seen together), counts, places": composed[
            :: max(1, len(composed) // COLUMNS)
        ],
    }
    if wishes is not None:
        said |= {
            "things in other colours": [wish.prompt for wish in wishes.colours],
            "in frames, capitals and punctuation": [wish.frames[0] for wish in wishes.frames],
            "two things": [wish.prompt for wish in wishes.couples],
            "in one place": [wish.prompt for wish in wishes.corners],
        }
    table += [(title, [(prompt, prompt) for prompt in few[:COLUMNS]]) for title, few in said.items()]
    table.append(("other languages", _list_foreign(lists, concepts)))
    return [(title, shown) for title, shown in table if shown]


def _list_foreign(lists: Lists, concepts: Sequence[Concept]) -> list[Shown]:
    """List names in every other language by turns, labelled in English: the font lacks Japanese, Korean."""
    by_name = {concept.name: concept for concept in concepts}
    shown = []
    for i, name in enumerate(lists.languages[:COLUMNS]):
        language = LANGUAGES[1:][i % (len(LANGUAGES) - 1)]
        shown.append((by_name[name].labels[language], f"{language}: {name}"))
    return shown


def _plain_quotes(text: str) -> str:
    """Replace the typographic quotes in `text` by plain ones."""
    return text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})


def lay_out_sheet(table: Sequence[Strip], pictures: np.ndarray) -> np.ndarray:
    """Lay out pictures uint8 [N, S, S, 3] in the order of the strips, with titles and labels: [H, W, 3]."""
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
            for k, line in enumerate(textwrap.wrap(_plain_quotes(label), 23)[:2]):
                draw.text((left, top + TITLE + THUMB + 2 + 13 * k), line, INK, font)
            number += 1
    return np.asarray(canvas)


def write_gallery(
    path: Path,
    draw: Callable[[Sequence[str]], np.ndarray],
    lists: Lists,
    concepts: Sequence[Concept],
    wishes: Wishes | None,
) -> None:
    """Draw the sheet's prompts and write it to `path` as a PNG, over what is there."""
    table = list_strips(lists, concepts, wishes)
    pictures = draw([prompt for _, shown in table for prompt, _ in shown])
    atomic_write(path, image_bytes(lay_out_sheet(table, pictures), "png"), force=True)


def paint_spectrogram(waveform: np.ndarray) -> np.ndarray:
    """Paint a waveform float32 [T] as a picture uint8 [THUMB, THUMB, 3]: time to the right, mel upwards."""
    mel = log_mel(torch.from_numpy(waveform)[None], WINDOW, RATE, BANDS)[0].T.flip(0).numpy()
    level = (mel - mel.min()) / max(1e-6, float(np.ptp(mel)))
    columns = np.linspace(0, mel.shape[1] - 1, THUMB).round().astype(int)
    place = level[:, columns] * (len(HEAT) - 1)
    colours = [np.interp(place, np.arange(len(HEAT)), HEAT[:, channel]) for channel in range(3)]
    return np.stack(colours, -1).round().astype(np.uint8)


def _paint_sounds(tour: Tour, records: Sequence[Record]) -> np.ndarray:
    """Paint the sounds of audio tokens, uint8 [N, THUMB, THUMB, 3]."""
    return np.stack([paint_spectrogram(tour.candidate.play(record)) for record in records])


def _label_strip(title: str, labels: Sequence[str]) -> Strip:
    return title, [(label, label or "(nothing)") for label in labels]


def make_album(tour: Tour, held: Sequence[np.ndarray]) -> np.ndarray:
    """Make the album, uint8 [H, W, 3]; `held` are the true drawings of the held-out pairs."""
    count = min(COLUMNS, len(tour.lists.plain), len(held))
    names, pictures = list(tour.lists.plain[:count]), list(held[:count])
    seen = tour.write(tour.candidate.look(pictures))
    heard = tour.say(names)
    words = tour.write(heard)
    drawn = tour.draw(heard)
    said = tour.candidate.speak(tour.candidate.read(names))
    true = [Speaker().say(Utterance(name)) for name in names]
    shown_said = tour.candidate.speak(tour.candidate.look(pictures))
    both = [f"{name} > {text}" for name, text in zip(names, words, strict=True)]
    table = [
        _label_strip("image to text: held-out drawings, and what the model writes", seen),
        _label_strip("image to audio: what it says to them", [f"to {text}" for text in seen]),
        _label_strip("audio to text: unseen voices, and what the model understands", both),
        _label_strip("audio to image: drawn from the sounds above", words),
        _label_strip("text to audio: said by the model", names),
        _label_strip("the same, said by espeak-ng", names),
    ]
    rows = [
        resize(np.stack(pictures), THUMB),
        _paint_sounds(tour, shown_said),
        _paint_sounds(tour, heard),
        resize(drawn, THUMB),
        _paint_sounds(tour, said),
        np.stack([paint_spectrogram(w) for w in true]),
    ]
    return lay_out_sheet(table, np.concatenate(rows))


def write_album(path: Path, tour: Tour, held: Sequence[np.ndarray]) -> None:
    """Write the album to `path` as a PNG, over what is there."""
    atomic_write(path, image_bytes(make_album(tour, held), "png"), force=True)
