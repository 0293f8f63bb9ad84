"""Scoring scenes: is each thing where it was asked for, nothing else, and on the right background?

A scene's layout says which cells hold a drawing; the judge names what is in each, and the rest must be
background. Knows pictures, samples and a judge.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from janus_cli.dataset.labels import SIZE
from janus_cli.dataset.pack import DEFAULT_STYLE, Concept
from janus_cli.dataset.pictures import BACKGROUNDS, WHITE, Sprites, compose
from janus_cli.dataset.samples import LAYOUTS, Sample, build_scene, number_drawings
from janus_cli.evaluation.judge import Examiner
from janus_cli.evaluation.lists import SceneEntry
from janus_cli.evaluation.measures import compute_share, resize

BLOCK = 16  # 64ths of the picture: all layouts are made of such blocks
EMPTY = 12  # largest mean distance from the background, of 255, in a block that holds nothing
PRESENT = 0.3  # of the asked-for drawing's own distance from the background: below, nothing is there
SAME_COLOUR = 40  # largest distance of a background, of 255 in any channel, from the one asked for


def list_cells(entry: SceneEntry) -> list[tuple[int, int, int]]:
    """List (top, left, side) of each drawing, in 64ths of the picture."""
    return [(top, left, 32) for top, left in LAYOUTS[entry.layout]] if entry.layout else [(0, 0, 64)]


def list_concepts(entry: SceneEntry) -> list[str]:
    """List the concept that each cell should hold."""
    count = len(list_cells(entry))
    return list(entry.concepts) if len(entry.concepts) == count else list(entry.concepts) * count


def paint_scenes(
    entries: Sequence[SceneEntry], concepts: Sequence[Concept], sprites: Sprites, size: int = SIZE
) -> np.ndarray:
    """Paint the scenes as the training data would show them, uint8 [N, size, size, 3]."""
    numbers, by_name = number_drawings(concepts), {c.name: i for i, c in enumerate(concepts)}
    pictures = []
    for entry in entries:
        chosen = tuple(by_name[name] for name in entry.concepts)
        sample = Sample(chosen, DEFAULT_STYLE, entry.background, layout=entry.layout)
        pictures.append(compose(build_scene(sample, numbers), sprites, size))
    return np.stack(pictures)


def crop_cells(pictures: np.ndarray, entries: Sequence[SceneEntry]) -> np.ndarray:
    """Cut out every cell of every picture [N, S, S, 3], one after another, uint8 [cells, 64, 64, 3]."""
    unit = pictures.shape[1] // 64
    out = []
    for picture, entry in zip(pictures, entries, strict=True):
        for top, left, side in list_cells(entry):
            cell = picture[top * unit : (top + side) * unit, left * unit : (left + side) * unit]
            out.append(resize(cell[None], SIZE)[0])
    return np.stack(out)


def find_background(picture: np.ndarray) -> np.ndarray:
    """Find the colour [3] of a picture's corners [64, 64, 3]: the median, in spite of one busy corner."""
    corners = [picture[top : top + 3, left : left + 3] for top in (0, 61) for left in (0, 61)]
    return np.median(np.concatenate(corners).reshape(-1, 3), 0)


def _measure_distance(picture: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Measure the mean distance from `colour` in each block of a picture [64, 64, 3]: [4, 4]."""
    far = np.abs(picture.astype(np.float32) - colour).mean(-1)
    return far.reshape(64 // BLOCK, BLOCK, 64 // BLOCK, BLOCK).mean((1, 3))


def is_placed(picture: np.ndarray, reference: np.ndarray, entry: SceneEntry) -> bool:
    """Whether every cell of `picture` [64, 64, 3] holds something, and all the rest is background.

    `reference`, as paint_scenes gives it, says how much of a cell a drawing fills.
    """
    ours = _measure_distance(picture, find_background(picture))
    wanted = _measure_distance(reference, np.array(BACKGROUNDS.get(entry.background, WHITE)))
    free = np.ones(ours.shape, bool)
    for top, left, side in list_cells(entry):
        block = (slice(top // BLOCK, (top + side) // BLOCK), slice(left // BLOCK, (left + side) // BLOCK))
        free[block] = False
        if ours[block].mean() < PRESENT * wanted[block].mean():
            return False
    return bool((ours[free] < EMPTY).all())


def has_background(picture: np.ndarray, entry: SceneEntry) -> bool:
    """Whether the corners of `picture` [64, 64, 3] have the colour that was asked for."""
    palette = {"": WHITE, **BACKGROUNDS}
    far = {name: np.abs(find_background(picture) - np.array(rgb)).max() for name, rgb in palette.items()}
    return min(far, key=lambda name: far[name]) == entry.background and far[entry.background] <= SAME_COLOUR


@dataclass(frozen=True)
class Marks:
    """What is right in each of N pictures, arrays [N]."""

    cells: np.ndarray  # how many cells hold a drawing
    found: np.ndarray  # in how many of them the concept is in the judge's top 5
    placed: np.ndarray  # whether exactly the things asked for stand where they were asked for
    background: np.ndarray  # whether it is of the right colour

    @property
    def whole(self) -> np.ndarray:
        """Whether everything is right."""
        return self.placed & self.background & (self.found == self.cells)

    def summarise(self, chosen: np.ndarray) -> dict[str, float]:
        """Summarise the pictures `chosen` (numbers); of the concepts the share of all their cells."""
        return {
            "n": len(chosen),
            "concepts": round(float(self.found[chosen].sum() / self.cells[chosen].sum()), 4),
            "placed": compute_share(self.placed[chosen]),
            "background": compute_share(self.background[chosen]),
            "all": compute_share(self.whole[chosen]),
        }


def mark_scenes(
    pictures: np.ndarray, entries: Sequence[SceneEntry], references: np.ndarray, judge: Examiner
) -> Marks:
    """Mark pictures uint8 [N, S, S, 3] of scenes; `references` [N, 64, 64, 3] are from paint_scenes."""
    pictures = pictures if pictures.shape[1] % SIZE == 0 else resize(pictures, SIZE)
    small = resize(pictures, SIZE)
    names = [name for entry in entries for name in list_concepts(entry)]
    right = judge.rank(judge.classify(crop_cells(pictures, entries))[0], names) < 5
    cells = np.array([len(list_cells(entry)) for entry in entries])
    return Marks(
        cells,
        np.array([part.sum() for part in np.split(right, np.cumsum(cells)[:-1])]),
        np.array([is_placed(*row) for row in zip(small, references, entries, strict=True)]),
        np.array([has_background(*row) for row in zip(small, entries, strict=True)]),
    )


def score_scenes(
    pictures: np.ndarray, entries: Sequence[SceneEntry], references: np.ndarray, judge: Examiner
) -> dict[str, dict[str, float]]:
    """Score by kind of scene and over all; pictures and references are as in `mark_scenes`."""
    marks = mark_scenes(pictures, entries, references, judge)
    kinds = np.array([entry.kind for entry in entries])
    chosen = {kind: np.flatnonzero(kinds == kind) for kind in dict.fromkeys(kinds.tolist())}
    chosen["all"] = np.arange(len(entries))
    return {kind: marks.summarise(numbers) for kind, numbers in chosen.items()}
