"""The tables and the sheet of an any-to-any model."""

import numpy as np
import pytest

from janus_cli.evaluation.sheets import THUMB, paint_spectrogram
from janus_cli.evaluation.tables import tabulate_codec, tabulate_directions, tabulate_words

SCORE = {"n": 2, "top1": 0.25, "top5": 0.5, "style": 1.0, "both": 0.5}
DIRECTIONS = {
    "see": {"n": 3, "concept": 0.5, "style": 0.75, "both": 0.25},
    "see_scenes": {"n": 4, "concepts": 0.1, "placed": 0.2, "background": 0.3, "all": 0.05},
    "hear": {"names": {"n": 2, "words": 0.6, "exact": 0.4}, "scenes": {"n": 4, "words": 0.7}, "words": 0.667},
    "speak": {"n": 2, "own": 0.8, "own_limit": 0.9, "other": 0.5, "other_coded": 0.95, "other_limit": 0.85},
    "hear_draw": {"n": 2, "audio": SCORE, "text": {**SCORE, "top5": 1.0}},
    "see_speak": {"n": 3, "concept": 0.3, "words": 0.35},
}


def cells(table: str) -> list[list[str]]:
    lines = [line.strip("|") for line in table.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def test_every_direction_has_its_rows():
    head, rule, *rows = cells(tabulate_directions(DIRECTIONS))
    assert {len(row) for row in (head, rule, *rows)} == {4}
    directions = [row[0].strip("*") for row in rows if row[0]]
    assert directions == [
        "image to text",
        "audio to text",
        "text to audio",
        "audio to image",
        "text to image",
        "image to audio",
    ]
    scores = {row[2]: row[3] for row in rows}
    assert scores["words right, both lists"] == "66.7 %"
    assert [row[3] for row in rows if row[2] == "judge, top-5"] == ["50.0 %", "100.0 %"]


def test_the_codec_has_a_row_for_every_number_of_codebooks():
    level = {"bits": 500.0, "mel": 2.0, "stoi": 0.8, "pesq": 1.5, "used": 0.6, "perplexity": 400.0}
    report = {"n": 5, "seconds": 12.0, "levels": [{"n_q": n, **level} for n in (1, 2)]}
    _, _, *rows = cells(tabulate_codec(report))
    assert [row[0] for row in rows] == ["1", "2"] and rows[0][1] == "0.5 kbit/s"


def test_every_language_has_its_words_with_and_without_the_lexicon():
    ways = {"literal": {**SCORE, "top5": 0.75}, "lexicon": SCORE | {"top5": 1.0}}
    names = dict.fromkeys(("en", "de", "es", "fr", "ja", "ko"), ways)
    _, _, *rows = cells(tabulate_words({"names": names, "everyday": names}))
    assert [row[0] for row in rows[:2]] == ["English names", "German names"]
    assert rows[-1] == ["Korean everyday words", "2", "25.0 %", "75.0 %", "25.0 %", "100.0 %"]
    assert len(rows) == 12 and len(cells(tabulate_words({"names": names, "everyday": None}))) == 8


@pytest.mark.parametrize("hertz", [300, 1000, 4000])
def test_a_tone_is_one_bright_line_at_its_height(hertz: int):
    time = np.arange(16000, dtype=np.float32) / 16000
    picture = paint_spectrogram(np.sin(2 * np.pi * hertz * time).astype(np.float32)).astype(int)
    assert picture.shape == (THUMB, THUMB, 3)
    brightest = picture.sum(-1).mean(1).argmax()
    mel = np.log1p(hertz / 700) / np.log1p(8000 / 700)
    assert abs(brightest - (1 - mel) * THUMB) < 4
