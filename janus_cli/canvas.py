"""A picture while it is made: the parts that have come, each at its place, at the final size.

Knows progressive records and numpy pictures. Who decodes tokens is told; it knows no net.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from janus_cli.errors import RecordError
from janus_cli.media import pixels_to_image
from janus_cli.records import Record, Segment, to_ids

if TYPE_CHECKING:
    Decode = Callable[[Segment], np.ndarray]  # image tokens [h, W] -> picture [h * patch, W * patch, 3]

PAPER = 232  # grey level of what has not come


class Canvas:
    """The picture of one record. Parts may come in any order, and a row more than once."""

    def __init__(self, grid: tuple[int, int], patch: int, scale: int, decode: "Decode",
                 drawn: tuple[int, int] | None = None, size: tuple[int, int] | None = None) -> None:
        """`grid`: token rows and columns; `patch`: pixels per token side, before they are enlarged.

        On a page `drawn` is the grid of the square that is generated, to be seen in the middle until the
        page is laid out, and `size` the page's height and width where its last tokens stick out.
        """
        self._grid, self._patch, self._scale, self._decode = grid, patch, scale, decode
        self._drawn, self._size = drawn or grid, size
        rows, cols = grid
        self._tokens = np.zeros(self._drawn, np.uint32)
        self._info: dict[str, object] = {}
        self._coarse = np.full((rows * patch, cols * patch, 3), PAPER, np.uint8)
        self._fine = np.empty((rows * patch * scale, cols * patch * scale, 3), np.uint8)
        counts = {"generate": self._drawn[0], "denoise": rows, "upsample": rows}
        self._arrived = {stage: np.zeros(count, bool) for stage, count in counts.items()}
        self._is_stale = False  # tokens have come that are not decoded

    def paste(self, stage: str, record: Record) -> None:
        """Take in what `stage` ("generate", "denoise" or "upsample") has made of some rows.

        Raises RecordError for a part without them, or one that does not fit the grid.
        """
        kind = "image" if stage == "generate" else "pixels"
        segment, part = record.find(kind), record.part
        if segment is None or part is None:
            raise RecordError(f"record {record.id!r}: a part of {stage} must hold rows of {kind}")
        (first, end), grid = part.rows, self._drawn if stage == "generate" else self._grid
        if end > grid[0] or segment.data.shape[:2] != (end - first, grid[1]):
            raise RecordError(f"record {record.id!r}: rows {first} to {end} of {list(segment.data.shape)} do "
                              f"not fit a picture of {list(grid)} tokens")
        if stage == "generate":
            self._tokens[first:end], self._info, self._is_stale = segment.data, dict(segment.info), True
        else:
            layer, side = (self._coarse, self._patch) if stage == "denoise" else \
                (self._fine, self._patch * self._scale)
            layer[first * side:end * side] = pixels_to_image(segment.data)
        self._arrived[stage][first:end] = True

    def image(self) -> np.ndarray:
        """The picture as it stands, uint8 [H, W, 3]: what only the tokenizer has decoded is blurred."""
        self._decode_tokens()
        sharp = np.repeat(self._arrived["upsample"], self._patch * self._scale)
        height, width = self._size or self._fine.shape[:2]
        if sharp.all():
            return self._fine[:height, :width].copy()
        picture = _resized(self._coarse, self._fine.shape[1], self._fine.shape[0])
        picture[sharp] = self._fine[sharp]
        return picture[:height, :width]

    def _decode_tokens(self) -> None:
        """Decode the rows from the top that have come, all anew: each is clearer with the next one below."""
        if not self._is_stale:
            return
        self._is_stale = False
        arrived = self._arrived["generate"]
        count = len(arrived) if arrived.all() else int(arrived.argmin())
        blurred = np.repeat(~self._arrived["denoise"], self._patch)
        if count and blurred.any():
            square = self._decode(Segment("image", to_ids(self._tokens[:count], 1 << 32), self._info))
            self._place(square, min(self._grid) / min(self._drawn), blurred)

    def _place(self, square: np.ndarray, times: float, blurred: np.ndarray) -> None:
        """Put the top of what is drawn, `times` as large, in the middle, where the page is `blurred`."""
        if times != 1:
            square = _resized(square, round(square.shape[1] * times), round(square.shape[0] * times))
        grids = zip(self._grid, self._drawn, strict=True)
        places = [round((n - m * times) * self._patch) // 2 for n, m in grids]
        rows, cols = (slice(at, at + n) for at, n in zip(places, square.shape[:2], strict=True))
        self._coarse[rows, cols][blurred[rows]] = square[blurred[rows]]


def _resized(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture [H, W, 3] at another size, smoothly."""
    from PIL import Image

    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))
