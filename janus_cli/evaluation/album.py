"""The sheet of all directions: the first items of every list, seen, heard, drawn and said; none picked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from janus_cli.dataset.speech import RATE, Speaker, Utterance
from janus_cli.evaluation.directions import Tour
from janus_cli.evaluation.gallery import COLUMNS, THUMB, Row, sheet
from janus_cli.evaluation.judge import at_size
from janus_cli.media.files import atomic_write
from janus_cli.media.pictures import image_bytes
from janus_cli.records import Record
from janus_cli.training.objectives.codec import log_mel

BANDS, WINDOW = THUMB, 1024
HEAT = np.array([(0, 0, 4), (81, 18, 124), (183, 55, 121), (252, 137, 97), (252, 253, 191)], np.float32)


def spectrogram(waveform: np.ndarray) -> np.ndarray:
    """A waveform float32 [T] as a picture uint8 [THUMB, THUMB, 3]: time to the right, mel bands upwards."""
    mel = log_mel(torch.from_numpy(waveform)[None], WINDOW, RATE, BANDS)[0].T.flip(0).numpy()
    level = (mel - mel.min()) / max(1e-6, float(np.ptp(mel)))
    columns = np.linspace(0, mel.shape[1] - 1, THUMB).round().astype(int)
    place = level[:, columns] * (len(HEAT) - 1)
    colours = [np.interp(place, np.arange(len(HEAT)), HEAT[:, channel]) for channel in range(3)]
    return np.stack(colours, -1).round().astype(np.uint8)


def _spectrograms(tour: Tour, records: Sequence[Record]) -> np.ndarray:
    """The sounds of audio tokens, uint8 [N, THUMB, THUMB, 3]."""
    return np.stack([spectrogram(tour.waveform(record)) for record in records])


def _row(title: str, labels: Sequence[str]) -> Row:
    return title, [(label, label or "(nothing)") for label in labels]


def album(tour: Tour, held: Sequence[np.ndarray]) -> np.ndarray:
    """The sheet, uint8 [H, W, 3]; `held` are the true drawings of the held-out pairs."""
    count = min(COLUMNS, len(tour.lists.plain), len(held))
    names, pictures = list(tour.lists.plain[:count]), list(held[:count])
    seen = tour.written(tour.shown(pictures))
    heard = tour.spoken(names)
    words = tour.written(heard)
    drawn = tour.drawn(heard)
    said = tour.said([tour.pipeline.tokenize(name, str(i)) for i, name in enumerate(names)])
    true = [Speaker().say(Utterance(name)) for name in names]
    shown_said = tour.said(tour.shown(pictures))
    table = [
        _row("image to text: held-out drawings, and what the model writes", seen),
        _row("image to audio: what it says to them", [f"to {text}" for text in seen]),
        _row(
            "audio to text: unseen voices, and what the model understands",
            [f"{name} > {text}" for name, text in zip(names, words, strict=True)],
        ),
        _row("audio to image: drawn from the sounds above", words),
        _row("text to audio: said by the model", names),
        _row("the same, said by espeak-ng", names),
    ]
    rows = [
        at_size(np.stack(pictures), THUMB),
        _spectrograms(tour, shown_said),
        _spectrograms(tour, heard),
        at_size(drawn, THUMB),
        _spectrograms(tour, said),
        np.stack([spectrogram(w) for w in true]),
    ]
    return sheet(table, np.concatenate(rows))


def write_album(path: Path, tour: Tour, held: Sequence[np.ndarray]) -> None:
    """Write the sheet to `path` as a PNG, over what is there."""
    atomic_write(path, image_bytes(album(tour, held), "png"), force=True)
