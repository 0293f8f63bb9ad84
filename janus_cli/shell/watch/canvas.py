"""A picture while it is made: the parts that have come, each at its place, at the final size.

Knows progressive records and numpy pictures. It knows no net: its caller says how tokens are decoded.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from janus_cli.errors import RecordError
from janus_cli.media.pictures import pixels_to_image, resize
from janus_cli.records import Record, Segment, to_ids

if TYPE_CHECKING:
    Decode = Callable[[Segment], np.ndarray]  # image tokens [h, W] -> picture [h * patch, W * patch, 3]

PAPER = 232  # grey level of what has not come


class Canvas:
    """The picture of one record. Parts may come in any order, and a row more than once."""

    def __init__(
        self,
        grid: tuple[int, int],
        patch: int,
        scale: int,
        decode: "Decode",
        page: tuple[int, int] | None = None,
    ) -> None:
        """`grid`: rows and columns of the tokens that are generated, each `patch` pixels per side.

        `page`: height and width before the enlargement by `scale`, where the picture is laid out on another
        grid than was generated, as wide as needed; the tokens then stand in its middle, as large as they fit.
        """
        self._patch, self._scale, self._decode = patch, scale, decode
        self._page = page or (grid[0] * patch, grid[1] * patch)
        page_grid = (-(-self._page[0] // patch), -(-self._page[1] // patch))
        self._grids = {"generate": grid, "denoise": page_grid, "upsample": page_grid}
        self._arrived = {stage: np.zeros(rows, bool) for stage, (rows, _) in self._grids.items()}
        self._tokens = np.zeros(grid, np.uint32)
        self._info: dict[str, object] = {}
        self._coarse, self._fine = (_paper(page_grid, patch * n) for n in (1, scale))
        self._is_stale = False  # tokens have come that are not decoded

    def paste(self, stage: str, record: Record) -> None:
        """Put in the rows that `stage` ("generate", "denoise" or "upsample") has made.

        Raises RecordError for a part without them, or one that does not fit the picture.
        """
        kind = "image" if stage == "generate" else "pixels"
        segment, part = record.find(kind), record.part
        if segment is None or part is None:
            raise RecordError(f"record {record.id!r}: a part of {stage} must hold rows of {kind}")
        layer, side = (
            (self._coarse, self._patch) if stage == "denoise" else (self._fine, self._patch * self._scale)
        )
        first, end = part.rows
        rows, cols = self._grids[stage]
        fits = (end - first, cols) if stage == "generate" else (end - first, cols, side, side, 3)
        if end > rows or segment.data.shape != fits:
            raise RecordError(
                f"record {record.id!r}: rows {first} to {end} of {stage}, "
                f"{list(segment.data.shape)}, do not fit a picture of {rows} x {cols} tokens"
            )
        if stage == "generate":
            self._tokens[first:end], self._info, self._is_stale = segment.data, dict(segment.info), True
        else:
            layer[first * side : end * side] = pixels_to_image(segment.data)
        self._arrived[stage][first:end] = True

    def render(self) -> np.ndarray:
        """Render the picture as it stands, uint8 [H, W, 3]; what only the tokenizer decoded is blurred."""
        self._decode_tokens()
        sharp = np.repeat(self._arrived["upsample"], self._patch * self._scale)
        picture = self._fine.copy() if sharp.all() else resize(self._coarse, *self._fine.shape[:2])
        picture[sharp] = self._fine[sharp]
        height, width = (n * self._scale for n in self._page)
        return picture[:height, :width]

    def _decode_tokens(self) -> None:
        """Decode the rows from the top that have come, all anew: each is clearer with the next one below."""
        blurred = np.repeat(~self._arrived["denoise"], self._patch)
        if not self._is_stale or not blurred.any():
            return
        self._is_stale = False
        arrived = self._arrived["generate"]
        count = len(arrived) if arrived.all() else int(arrived.argmin())
        draft = _paper(self._grids["generate"], self._patch)
        if count:
            draft[: count * self._patch] = self._decode(
                Segment("image", to_ids(self._tokens[:count], 1 << 32), self._info)
            )
        under = self._coarse.copy()
        _put_in_middle(under, self._page, self._patch, draft)
        self._coarse[blurred] = under[blurred]


def _paper(grid: tuple[int, int], patch: int) -> np.ndarray:
    """Make a picture of nothing yet, of that many tokens."""
    return np.full((grid[0] * patch, grid[1] * patch, 3), PAPER, np.uint8)


def _put_in_middle(sheet: np.ndarray, page: tuple[int, int], patch: int, draft: np.ndarray) -> None:
    """Put `draft` in the middle of `sheet`, between whole tokens, as large as it fits into `page`."""
    share = min(n / m for n, m in zip(page, draft.shape, strict=False))
    height, width = (round(n * share) for n in draft.shape[:2])
    top, left = (
        (n // patch - -(-m // patch)) // 2 * patch for n, m in zip(sheet.shape, (height, width), strict=False)
    )
    sheet[top : top + height, left : left + width] = resize(draft, height, width)
