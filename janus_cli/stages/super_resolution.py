"""Pictures enlarged by a published super-resolution net: what `upsample --model FILE` makes of them.

Knows a net, tiles and records. Opens no file, picks no device.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from janus_cli.config import Progress
from janus_cli.errors import RecordError
from janus_cli.media.pictures import cut_to_size, pixels_to_image
from janus_cli.media.png import Rows
from janus_cli.nets.super_resolution import Enlarger
from janus_cli.records import Record, Segment
from janus_cli.stages.rows import tiles

TILE = 256  # px; at x4 the largest nets take some 1 GB for one
PATCH = 8  # px of a picture that is no record: one token's, as the dVAE cuts it


@dataclass(frozen=True)
class Picture:
    """What to enlarge, uint8 [H, W, 3], the record that it came in, and its grid of patches there."""

    image: np.ndarray
    record: Record
    grid: tuple[int, int]
    patch: int

    @classmethod
    def from_file(cls, image: np.ndarray, id: str) -> "Picture":
        """Make a Picture of an image from a file or pipe."""
        grid = (-(-image.shape[0] // PATCH), -(-image.shape[1] // PATCH))
        return cls(image, Record((), id), grid, PATCH)

    @classmethod
    def from_record(cls, record: Record, decode: Callable[[Record], np.ndarray]) -> "Picture":
        """Make a Picture of a record's pixels, else of its image tokens by `decode`; cut to the true size.

        Raises RecordError where the record has neither.
        """
        segment = record.find("pixels") or record.find("image")
        if segment is None:
            raise RecordError("neither pixels nor image tokens to enlarge")
        if segment.modality == "pixels":
            image = cut_to_size(pixels_to_image(segment.data), segment.info.get("size"))
            return cls(image, record, segment.data.shape[:2], segment.data.shape[2])
        image = decode(Record((segment,), record.id))
        rows, cols = segment.data.shape
        patch = segment.info.get("patch", PATCH)
        if type(patch) is not int or patch * rows < image.shape[0] or patch * cols < image.shape[1]:
            raise RecordError(
                f"patches of {patch!r} px do not cover a picture of {list(image.shape[:2])} pixels"
            )
        return cls(image, record, (rows, cols), patch)


class SuperResolution:
    """A net at work, with tiles of a size that suits it."""

    def __init__(self, net: Enlarger, tile: int | None = None) -> None:
        """Fit the tile to the net. tile: px that the net sees at once; 0: the whole picture; None: TILE."""
        self.net = net
        self.tile = tile if tile == 0 else tiles.fit_side(TILE if tile is None else tile, net.align)

    def count_tiles(self, picture: Picture) -> int:
        """Count the tiles that `picture` is cut into."""
        return tiles.count_tiles(picture.image.shape, self.tile, self.net.align)

    def enlarge(self, picture: Picture, progress: Progress = lambda tiles: None) -> Rows:
        """Enlarge `picture`, while the rows of the result are taken; progress: called after each tile."""
        net, image = self.net, picture.image
        bands = tiles.enlarge_bands(image, net, net.scale, self.tile, net.align, progress)
        return Rows(image.shape[0] * net.scale, image.shape[1] * net.scale, bands)

    def make_record(self, picture: Picture, rows: Rows) -> Record:
        """Give the picture's record these rows as its pixels, padded to whole patches at the edges."""
        scale = self.net.scale
        info: dict[str, object] = {"patch": picture.patch * scale}
        pixels = cut_patches(rows, picture.grid, picture.patch * scale)
        if (rows.height, rows.width) != tuple(n * picture.patch * scale for n in picture.grid):
            info["size"] = [rows.height, rows.width]
        kept = [s for s in picture.record.segments if s.modality != "pixels"]
        return self.note_work(picture, (*kept, Segment("pixels", pixels, info)))

    def note_work(self, picture: Picture, segments: tuple[Segment, ...] | None = None) -> Record:
        """Note in the picture's record what enlarged it."""
        return picture.record.with_step(
            "upsample",
            segments,
            model=self.net.name,
            scale=self.net.scale,
            architecture=self.net.architecture,
            tile=self.tile,
        )


def cut_patches(rows: Rows, grid: tuple[int, int], side: int) -> np.ndarray:
    """Cut rows [height, width, 3] into patches [*grid, side, side, 3], the last row and column repeated."""
    pixels = np.empty((*grid, side, side, 3), np.uint8)
    y, line = 0, np.empty(0, np.uint8)
    for band in rows.bands:
        for line in np.pad(band, ((0, 0), (0, grid[1] * side - rows.width), (0, 0)), "edge"):
            pixels[y // side, :, y % side] = line.reshape(grid[1], side, 3)
            y += 1
    for below in range(y, grid[0] * side):
        pixels[below // side, :, below % side] = line.reshape(grid[1], side, 3)
    return pixels
