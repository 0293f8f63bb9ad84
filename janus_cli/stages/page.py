"""Pages of other sizes than a model learned: its drawing, finer where asked, amid its background.

A decoder that learned one grid repeats what it knows side by side on any other, so it always draws that
one. A larger square is the finished drawing, resized and tokenised again; a longer page goes on in the
drawing's background. Knows records and numpy; how tokens become a picture, and a picture tokens, is
handed in.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from janus_cli.errors import RecordError
from janus_cli.records import Record, Segment

Finish = Callable[[Record], np.ndarray]  # image tokens -> the finished picture, uint8 [S, S, 3]
Encode = Callable[[np.ndarray], Record]  # uint8 [H, W, 3] -> a record of its image tokens


@dataclass(frozen=True)
class Page:
    """A picture's size in pixels, and the enlargement after which it has it: height and width are multiples
    of `scale`. Tokens stand for `patch` pixels per side before the enlargement.
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
        """Whether no token sticks out."""
        return not any(n % self.patch for n in self.pixels)


def lay_out(records: Iterable[Record], page: Page, finish: Finish, encode: Encode) -> Iterator[Record]:
    """Each record with the tokens of its last picture, a square, laid out as `page`.

    The square is as large as the page's short side. Where its tokens are too few for that, `finish` makes
    the picture and `encode` tokenises it, resized. It stands in the middle; all around is the token that is
    most frequent along its border. Of a progressive record only the last part is laid out: it holds the
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
            square = _image(encode(_resized(finish(record), side))).data
        info = dict(drawn.info) | ({} if page.is_whole else {"size": list(page.pixels)})
        segments = [Segment("image", _around(square, page.grid), info) if s is drawn else s
                    for s in record.segments]
        done = Record(tuple(segments), record.id, record.made_by)
        yield done.with_step("page", size=[page.height, page.width], scale=page.scale,
                             drawn=list(drawn.data.shape))


def background(square: np.ndarray) -> int:
    """The most frequent id along the border of ids [rows, cols]; of several the one that comes first.

    Of 20 drawings the border's was the background's in all, the first token's in 19.
    """
    border = np.concatenate([square[0], square[1:-1, [0, -1]].ravel(), square[-1]])
    values, first, count = np.unique(border, return_index=True, return_counts=True)
    return int(values[np.lexsort((first, -count))[0]])


def _around(square: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Ids [*grid] with `square` in the middle."""
    whole = np.full(grid, background(square), square.dtype)
    top, left = ((n - m) // 2 for n, m in zip(grid, square.shape, strict=True))
    whole[top : top + square.shape[0], left : left + square.shape[1]] = square
    return whole


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    """uint8 [S, S, 3] -> [side, side, 3], antialiased."""
    from PIL import Image

    if picture.shape[:2] == (side, side):
        return picture
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def _image(record: Record) -> Segment:
    segment = record.find("image")
    assert segment is not None, "what tokenises a picture gives image tokens"
    return segment
