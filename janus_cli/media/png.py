"""Pictures out, some rows at a time: PNG that is written while its picture is made.

Pillow wants all of a picture before it writes the first byte, in four bytes a pixel. Here a picture of
hundreds of megapixels takes no more memory than a few of its rows. The format: W3C's PNG, third edition.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

PNG_MARK = b"\x89PNG\r\n\x1a\n"  # how a PNG begins
_AT_ONCE = 64  # rows that are filtered together
_LEVEL = 6  # zlib's, as media has it


@dataclass(frozen=True)
class Rows:
    """A picture that is made while its bands are taken, which can be done once."""

    height: int
    width: int
    bands: Iterable[np.ndarray] = field(repr=False)  # uint8 [any number, width, 3], from the top

    def whole(self) -> np.ndarray:
        """Take all bands: uint8 [height, width, 3]."""
        image = np.empty((self.height, self.width, 3), np.uint8)
        y = 0
        for band in self.bands:
            image[y : y + len(band)] = band
            y += len(band)
        return image


def write_png(file: BinaryIO, rows: Rows, metadata: Mapping[str, str] | None = None) -> None:
    """Write `rows` into an open file or pipe as PNG, with text chunks. The same rows give the same bytes."""
    file.write(PNG_MARK)
    put_chunk(file, b"IHDR", struct.pack(">IIBBBBB", rows.width, rows.height, 8, 2, 0, 0, 0))  # 8 bits, RGB
    for key, text in (metadata or {}).items():
        name = key.encode("latin-1") + b"\0"
        if text.isascii():
            put_chunk(file, b"tEXt", name + text.encode("ascii"))
        else:
            put_chunk(file, b"iTXt", name + b"\0\0\0\0" + text.encode("utf-8"))
    packer = zlib.compressobj(_LEVEL, strategy=zlib.Z_RLE)  # as media.pictures has it, and why
    for lines in _filter_rows(rows):
        if packed := packer.compress(lines):
            put_chunk(file, b"IDAT", packed)
    put_chunk(file, b"IDAT", packer.flush())
    put_chunk(file, b"IEND", b"")


def put_chunk(file: BinaryIO, kind: bytes, data: bytes) -> None:
    """Write one chunk: its length, kind, data and checksum."""
    file.write(struct.pack(">I", len(data)) + kind)
    file.write(data)
    file.write(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))


def _filter_rows(rows: Rows) -> Iterator[bytes]:
    """Filter each row with the one of sub, up and Paeth that leaves the least (PNG, section 9)."""
    above = np.zeros((1, rows.width * 3), np.int16)
    for band in rows.bands:
        lines = band.reshape(len(band), -1)
        for start in range(0, len(lines), _AT_ONCE):
            x = lines[start : start + _AT_ONCE].astype(np.int16)
            up = np.concatenate([above, x[:-1]])
            above = x[-1:]
            yield _filter_lines(x, up)


def _filter_lines(x: np.ndarray, up: np.ndarray) -> bytes:
    """Filter lines [h, width * 3], given those above them: each gets its filter's number in front."""
    left, corner = _shift(x), _shift(up)
    by_left, by_up = np.abs(up - corner), np.abs(left - corner)
    by_corner = np.abs(left + up - 2 * corner)
    paeth = np.where(
        (by_left <= by_up) & (by_left <= by_corner), left, np.where(by_up <= by_corner, up, corner)
    )
    rests = np.stack([(x - guess).astype(np.uint8) for guess in (left, up, paeth)])
    best = np.abs(rests.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64).argmin(axis=0)
    kinds = np.array([1, 2, 4], np.uint8)[best]
    return np.concatenate([kinds[:, None], rests[best, np.arange(len(x))]], axis=1).tobytes()


def _shift(lines: np.ndarray) -> np.ndarray:
    """Shift lines by a pixel: each gets its left neighbour, 0 before the first."""
    return np.pad(lines[:, :-3], ((0, 0), (3, 0)))
