"""Where a picture ends in its file: each format's blocks walked, and no pixel decoded.

What lies behind that end would be lost without a word, for no decoder looks there. A file that ends first
is cut off. Every walk reads headers and jumps; none allocates by what a header claims.
"""

import re
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from janus_cli.media.png import PNG_MARK

MAX_BLOCKS = 1_000_000  # of one file: chunks, boxes, segments; a stranger's may be empty ones without end
MAX_FRAMES = 100_000


class CutOffError(Exception):
    """The file ends before the picture does."""


def find_end(data: bytes, format: str) -> int | None:
    """Find the byte behind a picture of `format` (Pillow's name); None where its blocks do not tell.

    Raises CutOffError where the blocks go on behind the last byte.
    """
    walk = _WALKS.get(format)
    if walk is None:
        return None
    try:
        end = walk(data)
    except (struct.error, IndexError):
        raise CutOffError from None
    if end is not None and end > len(data):
        raise CutOffError
    return end


# ---- PNG


def walk_png(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Give each chunk's kind and where its data starts and ends. Raises CutOffError."""
    at = len(PNG_MARK)
    for _ in range(MAX_BLOCKS):
        if at + 12 > len(data):
            raise CutOffError
        length, kind = struct.unpack_from(">I4s", data, at)
        if at + 12 + length > len(data):
            raise CutOffError
        yield kind, at + 8, at + 8 + length
        if kind == b"IEND":
            return
        at += 12 + length
    raise ValueError(f"more than {MAX_BLOCKS:,} chunks")


def _end_png(data: bytes) -> int:
    return max(end for _, _, end in walk_png(data)) + 4


# ---- JPEG

_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # but no stuffed byte and no restart


def walk_jpeg(data: bytes, start: int = 0) -> Iterator[tuple[int, int, int]]:
    """Give each marker's number and its segment's start and end; the last is EOI. Raises CutOffError."""
    at = start + 2
    while found := _MARKER.search(data, at):
        marker, at = found[1][0], found.end()
        if marker == 0xD9:
            yield marker, at, at
            return
        if marker == 0x01 or marker == 0xD8:
            continue
        if at + 2 > len(data):
            break
        (length,) = struct.unpack_from(">H", data, at)
        yield marker, at + 2, at + max(length, 2)
        at += max(length, 2)
    raise CutOffError


def _end_jpeg(data: bytes, start: int = 0) -> int:
    (last,) = deque(walk_jpeg(data, start), maxlen=1)
    return last[2]


def _end_mpo(data: bytes) -> int:
    """Walk the JPEGs of an MPO one after another; padding may lie between them."""
    end = _end_jpeg(data)
    while (start := _skip_padding(data, end)) < len(data) and data.startswith(b"\xff\xd8\xff", start):
        end = _end_jpeg(data, start)
    return end


def _skip_padding(data: bytes, at: int) -> int:
    found = re.compile(rb"\x00*").match(data, at)
    return found.end() if found else at


# ---- GIF


@dataclass(frozen=True)
class GifFrame:
    """One frame of a GIF: where it lies on the canvas, how it leaves it, and its own bytes."""

    box: tuple[int, int, int, int]  # x, y, width, height
    disposal: int  # 2: cleared afterwards, 3: what was there before comes back
    start: int  # of the image descriptor
    end: int
    key: int | None  # the transparent colour's number


def walk_gif(data: bytes) -> tuple[list[GifFrame], int]:
    """List a GIF's frames, and find its end: behind the trailer, or -1 where it has none.

    Raises CutOffError where a block goes on behind the last byte.
    """
    frames: list[GifFrame] = []
    disposal, key = 0, None
    at = 13 + _palette_size(data[10])
    while at < len(data):
        mark = data[at]
        if mark == 0x3B:
            return frames, at + 1
        if mark == 0x21:
            if data[at + 1] == 0xF9 and data[at + 2] >= 4:
                flags = data[at + 3]
                disposal, key = flags >> 2 & 7, data[at + 6] if flags & 1 else None
            at = _skip_blocks(data, at + 2)
        elif mark == 0x2C:
            box = struct.unpack_from("<4H", data, at + 1)
            end = _skip_blocks(data, at + 11 + _palette_size(data[at + 9]))
            frames.append(GifFrame(box, disposal, at, end, key))
            if len(frames) > MAX_FRAMES:
                raise ValueError(f"more than {MAX_FRAMES:,} frames")
            at, disposal, key = end, 0, None
        else:
            at += 1  # a stray byte, as some writers leave
    return frames, -1


def cut_gif(data: bytes, frame: GifFrame) -> bytes:
    """Cut one frame out of a GIF, as a GIF of its own, of the frame's size."""
    size = struct.pack("<HH", *frame.box[2:])
    control = b"" if frame.key is None else bytes([0x21, 0xF9, 4, 1, 0, 0, frame.key, 0])
    place = b"\x2c\0\0\0\0" + size
    palette = data[10 : 13 + _palette_size(data[10])]
    return data[:6] + size + palette + control + place + data[frame.start + 9 : frame.end] + b";"


def _palette_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(data: bytes, at: int) -> int:
    while length := data[at]:
        at += 1 + length
    return at + 1


def _end_gif(data: bytes) -> int | None:
    frames, end = walk_gif(data)
    if end < 0 and not frames:
        raise CutOffError
    return None if end < 0 else end


# ---- TIFF

# bytes of a value of each type
_SIZES = dict(zip((*range(1, 14), 16, 17, 18), map(int, "1124811248484888"), strict=True))
_WHOLE = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}  # types that lengths and offsets come in
_FOLDERS = (0x014A, 0x8769, 0x8825, 0xA005)  # tags that point to further directories
_DATA = (
    (273, 279),
    (324, 325),
    (513, 514),
    (0x0120, 0x0121),
)  # offsets and lengths: strips, tiles, JPEG, free
_POINTERS = {*_FOLDERS, *(tag for pair in _DATA for tag in pair)}
_MAX_DIRECTORIES = 10_000
# offsets and lengths that are read in all, an entry counted as _ENTRY of them; a stranger's directories may
# overlap, and their entries share one table
_MAX_VALUES = 4_000_000
_ENTRY = 8


class _Tiff:
    """Walks the directories of a TIFF or BigTIFF, and keeps the last byte that any of them claims."""

    def __init__(self, data: bytes) -> None:
        self.data, self.end, self.left = data, 8, _MAX_VALUES
        self.order = "<" if data[:2] == b"II" else ">"
        self.big = 43 in data[2:4]

    def get(self, form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + form, self.data, at)

    def walk(self) -> int:
        todo, seen = [self.get("Q", 8)[0] if self.big else self.get("I", 4)[0]], set[int]()
        while todo and len(seen) < _MAX_DIRECTORIES:
            at = todo.pop()
            if at and at not in seen:
                seen.add(at)
                todo += self.read_directory(at)
        return self.end

    def read_directory(self, at: int) -> list[int]:
        """Claim what one directory points to; returns the directories that it names."""
        count = self.get("Q" if self.big else "H", at)[0]
        first, size = (at + 8, 20) if self.big else (at + 2, 12)
        self.claim(first + count * size + (8 if self.big else 4))
        self.left -= count * _ENTRY
        if self.left < 0:
            raise ValueError(f"more than {_MAX_VALUES // _ENTRY:,} entries in its directories")
        entries: dict[int, list[int]] = {}
        for i in range(count):
            tag, values = self.read_entry(first + i * size)
            entries[tag] = values
        for offsets, lengths in _DATA:
            for place, length in zip(entries.get(offsets, []), entries.get(lengths, []), strict=False):
                self.claim(place + length)
        inner = [place for tag in _FOLDERS for place in entries.get(tag, [])]
        return [*self.get("Q" if self.big else "I", first + count * size), *inner]

    def read_entry(self, at: int) -> tuple[int, list[int]]:
        """Claim an entry's values; gives its tag, and the values where they may be lengths or offsets."""
        tag, kind, count = self.get("HHQ" if self.big else "HHI", at)
        room, slot = (8, at + 12) if self.big else (4, at + 8)
        size = _SIZES.get(kind, 0) * count
        if size > room:
            slot = self.get("Q" if self.big else "I", slot)[0]
            self.claim(slot + size)
        if tag not in _POINTERS or kind not in _WHOLE or slot + size > len(self.data) or count > self.left:
            return tag, []
        self.left -= count
        return tag, list(self.get(f"{count}{_WHOLE[kind]}", slot))

    def claim(self, end: int) -> None:
        self.end = max(self.end, end)


def _end_tiff(data: bytes) -> int:
    end = _Tiff(data).walk()
    rest = data[end : end + 64]
    return end + len(rest) if len(rest) < 64 and not any(rest) else end  # writers fill up to 2, 4, 16 or 32


# ---- boxes: AVIF, HEIF, JPEG 2000


def walk_boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Give each ISO box's kind and where its content starts and ends. Raises CutOffError."""
    at = start
    for _ in range(MAX_BLOCKS):
        if at + 8 > stop:
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", data, at + 8), 16
        if length == 0:
            length = stop - at
        if length < head:
            return  # no box: what lies here belongs to nobody
        if at + length > stop:
            raise CutOffError
        yield kind, at + head, at + length
        at += length
    raise ValueError(f"more than {MAX_BLOCKS:,} boxes")


_BOXES = (b"ftyp", b"meta", b"mdat", b"moov", b"moof", b"free", b"skip", b"wide", b"uuid", b"idat", b"mpvd")
_JP2_BOXES = (
    b"jP  ",
    b"ftyp",
    b"jp2h",
    b"jp2c",
    b"jp2i",
    b"xml ",
    b"uuid",
    b"uinf",
    b"res ",
    b"rreq",
    b"asoc",
)


def _end_boxes(data: bytes, known: tuple[bytes, ...]) -> int:
    """Walk the boxes of a file; another file's begin where a first one comes again, or a box is unknown."""
    at, seen = 0, set[bytes]()
    while at + 8 <= len(data):
        kind = data[at + 4 : at + 8]
        if kind not in known or (kind in (b"jP  ", b"ftyp") and kind in seen):
            break
        seen.add(kind)
        at = next(walk_boxes(data, at, len(data)), (b"", 0, len(data)))[2]
    return at


def _end_heif(data: bytes) -> int:
    return _end_boxes(data, _BOXES)


def _end_jpeg2000(data: bytes) -> int | None:
    return _end_codestream(data) if data[:2] == b"\xff\x4f" else _end_boxes(data, _JP2_BOXES)


def _end_codestream(data: bytes) -> int | None:
    """Walk a JPEG 2000 codestream: segments, then parts of tiles, whose headers tell their length."""
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", data, at) if at + 4 <= len(data) else (0, 0)
        if data[at : at + 2] == b"\xff\xd9":
            return at + 2
        if not marker:
            raise CutOffError
        if marker == 0xFF90:  # SOT: the length of the part from here on; 0: to the end
            (part,) = struct.unpack_from(">I", data, at + 6)
            if part == 0:
                return None
            at += max(part, 12)
        else:
            at += 2 + length


# ---- and the small ones


def _end_webp(data: bytes) -> int:
    """Find a WebP's end by its size, padded to an even number; some writers leave the padding away."""
    (length,) = struct.unpack_from("<I", data, 4)
    return 8 + length + length % 2 if 8 + length < len(data) else 8 + length


def _end_bmp(data: bytes) -> int | None:
    """Find the end of a bitmap by its size; of a packed one by what its header says."""
    (start,) = struct.unpack_from("<I", data, 10)
    (head,) = struct.unpack_from("<I", data, 14)
    if head == 12:
        width, height, _, bits = struct.unpack_from("<4H", data, 18)
        packed = length = 0
    else:
        width, height, _, bits, packed, length = struct.unpack_from("<iiHHII", data, 18)
    if packed not in (0, 3, 6):
        return start + length if length else None
    end = start + (width * bits + 31) // 32 * 4 * abs(height)
    return max(end, find_bmp_profile(data)[1])


def find_bmp_profile(data: bytes) -> tuple[int, int]:
    """Find where the ICC profile in a bitmap of version 5 starts and ends; 0, 0 where there is none."""
    if struct.unpack_from("<I", data, 14)[0] < 124 or data[70:74] != b"DEBM":  # "MBED", little-endian
        return 0, 0
    place, length = struct.unpack_from("<II", data, 14 + 112)  # counted from the header
    return 14 + place, 14 + place + length


def _end_ico(data: bytes) -> int:
    count = struct.unpack_from("<H", data, 4)[0]
    ends = [6 + 16 * count]
    for i in range(count):
        length, start = struct.unpack_from("<II", data, 6 + 16 * i + 8)
        ends.append(start + length)
    return max(ends)


def _end_qoi(data: bytes) -> int:
    """Find QOI's end mark, which no picture's data can hold: a run of one index is written as a run."""
    mark = data.find(b"\0\0\0\0\0\0\0\1", 14)
    if mark < 0:
        raise CutOffError
    return mark + 8


_NETPBM = re.compile(rb"P([1-6])" + rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,9})" * 2)
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"


def _end_netpbm(data: bytes) -> int | None:
    """Find the end of a Netpbm picture: so many samples behind its header, packed or as decimal numbers."""
    found = _NETPBM.match(data)
    if not found:
        return None
    kind, width, height = int(found[1]), int(found[2]), int(found[3])
    at, depth = found.end(), 1
    if kind not in (1, 4):
        most = re.compile(_GAP + rb"(\d{1,5})").match(data, at)
        if not most:
            return None
        at, depth = most.end(), 1 if int(most[1]) < 256 else 2
    samples = width * height * (3 if kind in (3, 6) else 1)
    if kind == 4:
        return at + 1 + (width + 7) // 8 * height
    if kind > 4:
        return at + 1 + samples * depth
    at = _skip_numbers(data, at, samples, rb"01" if kind == 1 else rb"\d")
    return at + len(re.compile(rb"\s*").match(data, at)[0])  # type: ignore[index]


def _skip_numbers(data: bytes, at: int, count: int, digits: bytes) -> int:
    """Find the end of `count` numbers from `at` on, whatever lies between them. Raises CutOffError."""
    number = rb"[01]" if digits == b"01" else rb"\d++"  # those of packed bits may touch
    for many in (10_000, 1):  # a run of them is one match
        run = re.compile(rb"(?:(?:[^%b#]++|#[^\r\n]*+)*+%b){%d}" % (digits, number, many))
        while count >= many:
            if (found := run.match(data, at)) is None:
                break
            at, count = found.end(), count - many
    if count:
        raise CutOffError
    return at


def _end_tga(data: bytes) -> int:
    """Find the end of a Targa: behind its pixels, and behind the footer of version 2 where it has one."""
    name, mapped, kind = data[0], data[1], data[2]
    length, depth = struct.unpack_from("<HB", data, 5)
    width, height, bits = struct.unpack_from("<HHB", data, 12)
    at, step, todo = 18 + name + (length * -(-depth // 8) if mapped else 0), -(-bits // 8), width * height
    if not kind & 8:
        at += todo * step
    while kind & 8 and todo > 0:
        run = (data[at] & 127) + 1
        at += 1 + (step if data[at] & 128 else run * step)
        todo -= run
    footer = data.find(b"TRUEVISION-XFILE.\0", at)
    return at if footer < 0 else footer + 18


_WALKS: dict[str, Callable[[bytes], int | None]] = {
    "PNG": _end_png,
    "JPEG": _end_jpeg,
    "MPO": _end_mpo,
    "GIF": _end_gif,
    "WEBP": _end_webp,
    "BMP": _end_bmp,
    "TIFF": _end_tiff,
    "PPM": _end_netpbm,
    "AVIF": _end_heif,
    "HEIF": _end_heif,
    "TGA": _end_tga,
    "ICO": _end_ico,
    "QOI": _end_qoi,
    "JPEG2000": _end_jpeg2000,
}
