"""Pages of other sizes than a model learned: its drawing, finer where asked, amid its background.

A decoder that learned one grid repeats what it knows side by side on any other, so it always draws that
one. A larger square is the finished drawing, resized and tokenised again; a longer page goes on in the
drawing's background. Knows records and pictures; how tokens become a picture, and a picture tokens, is
handed in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from janus_cli.errors import RecordError
from janus_cli.media.pictures import resize
from janus_cli.records import Record, Segment

Look = Callable[[Segment], np.ndarray]  # image tokens -> the plain picture, uint8 [H, W, 3]
Finish = Callable[[Record], np.ndarray]  # image tokens -> the finished picture, uint8 [S, S, 3]
Encode = Callable[[np.ndarray], Record]  # uint8 [H, W, 3] -> a record of its image tokens


@dataclass(frozen=True)
class Page:
    """A picture's final size in pixels, and the enlargement by `scale`, which divides height and width.

    Tokens stand for `patch` pixels per side before the enlargement.
    """

    width: int
    height: int
    scale: int
    patch: int

    @property
    def pixels(self) -> tuple[int, int]:
        """Height and width before the enlargement."""
        return self.height // self.scale, self.width // self.scale

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens; the last ones may stick out of the page."""
        height, width = self.pixels
        return -(-height // self.patch), -(-width // self.patch)

    @property
    def is_whole(self) -> bool:
        """Whether no token sticks out of the page."""
        return not any(n % self.patch for n in self.pixels)


def lay_out(
    records: Iterable[Record], page: Page, look: Look, finish: Finish, encode: Encode
) -> Iterator[Record]:
    """Lay out the tokens of each record's last picture, a square, as `page`.

    The square is as large as the page's short side. Where its tokens are too few for that, `finish` makes
    the picture and `encode` tokenises it, resized. It stands in the middle; all around is the token of its
    evenest corner, as `look` shows it. Of a progressive record only the last part is laid out: it holds the
    whole. Raises RecordError for a record without image tokens.
    """
    for record in records:
        if record.part is not None and not record.part.last:
            continue
        drawn = record.find("image")
        if drawn is None:
            raise RecordError(f"record {record.id!r}: no image tokens to lay out")
        side = min(page.pixels)
        square = drawn.data
        if square.shape != (side / page.patch, side / page.patch):
            square = _get_image(encode(resize(finish(record), side, side))).data
        info = dict(drawn.info) | ({} if page.is_whole else {"size": list(page.pixels)})
        paper = find_background(square, drawn.info, look)
        whole = Segment("image", _surround(square, paper, page.grid), info)
        segments = [whole if s is drawn else s for s in record.segments]
        done = Record(tuple(segments), record.id, record.made_by)
        yield done.with_step(
            "page", size=[page.height, page.width], scale=page.scale, drawn=list(drawn.data.shape)
        )


def find_background(square: np.ndarray, info: Mapping[str, Any], look: Look) -> int:
    """Find the corner of ids [rows, cols] whose patch is the evenest side by side with itself; give its id.

    A drawing may reach into some corners; an id of its outline would tile the page. Of 65 drawings the
    first token was the background's in 62, the border's most frequent one in 63, this one in all.
    """
    ids = [int(square[row, col]) for row in (0, -1) for col in (0, -1)]
    return min(ids, key=lambda id: _measure_unevenness(id, square.dtype, info, look))


def _measure_unevenness(id: int, dtype: np.dtype[Any], info: Mapping[str, Any], look: Look) -> float:
    """Measure the variance of a patch whose neighbours all have the same `id`."""
    tiled = look(Segment("image", np.full((3, 3), id, dtype), info)).astype(np.float64)
    side = len(tiled) // 3
    return float(tiled[side : 2 * side, side : 2 * side].var((0, 1)).sum())


def _surround(square: np.ndarray, paper: int, grid: tuple[int, int]) -> np.ndarray:
    """Make ids [*grid] that are `paper`, with `square` in the middle."""
    whole = np.full(grid, paper, square.dtype)
    top, left = ((n - m) // 2 for n, m in zip(grid, square.shape, strict=True))
    whole[top : top + square.shape[0], left : left + square.shape[1]] = square
    return whole


def _get_image(record: Record) -> Segment:
    segment = record.find("image")
    assert segment is not None, "what tokenises a picture gives image tokens"
    return segment
