"""What a PNG says besides its pixels, by its chunks: texts, colours, the transparent colour, frames.

The format is W3C's PNG, third edition. Pillow gets a PNG without texts and profiles, so that a large one, or
a damaged one, costs no picture; texts over MAX_TEXT are passed over, packed or not.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from janus_cli.media.colours import (
    MAX_PROFILE,
    SRGB,
    find_coded_profile,
    make_profile,
)
from janus_cli.media.notes import Note
from janus_cli.media.picture_ends import CutOffError, walk_png
from janus_cli.media.png import PNG_MARK, put_chunk

MAX_TEXT = 1 << 20  # bytes of one text, unpacked
_MAX_TEXTS = 1 << 24  # of all
_PACKED = 1 << 16  # bytes that are unpacked together
_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_KEPT = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf")
_SRGB_GAMMA = range(45_400, 45_510)  # what writers of sRGB note as its gamma, times 100,000


@dataclass(frozen=True)
class PngFrame:
    """One picture of a PNG, as a PNG of its own, and its place on the canvas of an animation."""

    data: bytes
    box: tuple[int, int, int, int]  # x, y, width, height
    disposal: int = 0  # 1: cleared afterwards, 2: what was there before comes back
    over: bool = False  # laid over the canvas; else in its place


@dataclass(frozen=True)
class Png:
    """A PNG's header, its pictures, and what it says of colours."""

    width: int
    height: int
    bits: int
    kind: int  # colour type
    key: tuple[int, ...] | None  # the transparent grey or colour
    alphas: bool  # whether its palette has transparent entries
    frames: list[PngFrame]
    still: bool  # whether the first picture is apart from the animation


def read_png(data: bytes) -> Png:
    """Take a PNG apart. Raises ValueError or struct.error for no header or pixels, or a wrong checksum."""
    chunks = [(kind, data[start:end]) for kind, start, end in walk_png(data) if kind not in _TEXTS]
    for kind, start, end in walk_png(data):
        if kind not in _TEXTS and zlib.crc32(data[start - 4 : end]) != int.from_bytes(data[end : end + 4]):
            raise ValueError(f"wrong checksum of {kind.decode('latin-1')} at byte {start - 8:,}")
        if not kind[0] & 0x20 and kind not in _KEPT:  # as Apple's CgBI, with which it is no PNG to others
            raise ValueError(f"{kind.decode('latin-1')} must be known to read it; convert it to plain PNG")
    head = dict(reversed(chunks))[b"IHDR"]
    width, height, bits, kind = struct.unpack_from(">IIBB", head)
    found = dict(reversed(chunks)).get(b"tRNS")
    key = None
    if found is not None and kind in (0, 2):
        samples = struct.unpack_from(">3H" if kind == 2 else ">H", found)
        key = tuple(sample & (1 << bits) - 1 for sample in samples)
    frames, still = _split_frames(chunks, head, (0, 0, width, height), kind)
    return Png(width, height, bits, kind, key, found is not None and kind == 3, frames, still)


def _split_frames(
    chunks: list[tuple[bytes, bytes]], head: bytes, whole: tuple[int, int, int, int], kind: int
) -> tuple[list[PngFrame], bool]:
    """Write each picture as a PNG of its own; a picture that no fcTL announces stands apart."""
    shared = [c for c in chunks if c[0] in _KEPT and c[0] not in (b"IHDR", b"IDAT", b"IEND")]
    if kind != 3:
        shared = [c for c in shared if c[0] != b"tRNS"]
    animated = any(name == b"acTL" for name, _ in chunks)
    controls: list[tuple[tuple[int, int, int, int], int, bool]] = []
    parts: list[list[bytes]] = []
    for name, body in chunks:
        if name == b"fcTL" and animated:
            width, height, x, y = struct.unpack_from(">4I", body, 4)
            controls.append(((x, y, width, height), body[24], body[25] == 1))
            parts.append([])
        elif name == b"IDAT" or (name == b"fdAT" and animated and controls):
            if not controls:
                controls.append((whole, -1, False))
                parts.append([])
            parts[-1].append(body if name == b"IDAT" else body[4:])
    if not parts:
        raise ValueError("no pixels")
    frames = [
        PngFrame(_write(head, shared, box, b"".join(part)), box, max(disposal, 0), over)
        for (box, disposal, over), part in zip(controls, parts, strict=True)
        if part
    ]
    return frames, animated and controls[0][1] < 0 and len(frames) > 1


def check_pixels(data: bytes) -> None:
    """Raise CutOffError where a PNG's packed data is shorter than its rows: Pillow would fill up with 0."""
    chunks = {kind: data[start:end] for kind, start, end in walk_png(data)}
    width, height, bits, kind, _, _, interlaced = struct.unpack_from(">IIBBBBB", chunks[b"IHDR"])
    depth = bits * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind]
    # Adam7: first column and row of a pass, and its steps (section 8.1)
    passes = (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    )
    left = 0
    for x, y, across, down in passes if interlaced else ((0, 0, 1, 1),):
        columns, rows = max(-(-(width - x) // across), 0), max(-(-(height - y) // down), 0)
        left += rows * (1 + (columns * depth + 7) // 8) if columns else 0
    if _count_unpacked(chunks[b"IDAT"], left) < left:
        raise CutOffError


def _count_unpacked(packed: bytes, most: int) -> int:
    """Count the bytes that zlib data unpacks to, up to `most`; little of it is held at a time."""
    worker, view, count = zlib.decompressobj(), memoryview(packed), 0
    for start in range(0, len(view), _PACKED):  # a piece each: what zlib leaves of it is copied every time
        piece: bytes | memoryview = view[start : start + _PACKED]
        while piece and count < most and not worker.eof:
            count += len(worker.decompress(piece, 1 << 20))
            piece = worker.unconsumed_tail
        if count >= most or worker.eof:
            break
    return count


def _write(head: bytes, shared: list[tuple[bytes, bytes]], box: tuple[int, ...], pixels: bytes) -> bytes:
    head = struct.pack(">II", box[2], box[3]) + head[8:]
    file = io.BytesIO()
    file.write(PNG_MARK)
    for kind, body in ((b"IHDR", head), *shared, (b"IDAT", pixels), (b"IEND", b"")):
        put_chunk(file, kind, body)
    return file.getvalue()


def read_profile(data: bytes, note: Note) -> bytes | None:
    """Find the profile that a PNG's chunks stand for, None for sRGB: cICP, else iCCP, else sRGB, else gAMA.

    gAMA, with cHRM's primaries or sRGB's, is a power law; with sRGB's own value it stands for sRGB. Raises
    MediaError for cICP of what is not read.
    """
    found = {kind: data[start:end] for kind, start, end in reversed(list(walk_png(data)))}
    if len(codes := found.get(b"cICP", b"")) == 4:
        return find_coded_profile(codes[0], codes[1])
    if (packed := found.get(b"iCCP")) is not None:
        profile = _unpack(packed.partition(b"\0")[2][1:], MAX_PROFILE)
        if profile is None:
            note("its colour profile is damaged: its colours are taken for sRGB")
        return profile
    if b"sRGB" in found or len(found.get(b"gAMA", b"")) != 4:
        return None
    gamma = int.from_bytes(found[b"gAMA"])
    points = SRGB
    if len(found.get(b"cHRM", b"")) == 32:
        points = tuple(n / 100_000 for n in struct.unpack(">8I", found[b"cHRM"]))
    plain = gamma in _SRGB_GAMMA
    if plain and max(abs(a - b) for a, b in zip(points, SRGB, strict=True)) < 0.002:
        return None
    try:
        return make_profile(points, None if plain else 100_000 / gamma)
    except (ValueError, ZeroDivisionError):
        note("its gAMA or cHRM says nothing possible: its colours are taken for sRGB")
        return None


def read_texts(data: bytes) -> dict[str, str]:
    """Read the texts of a PNG; one over MAX_TEXT is passed over."""
    texts: dict[str, str] = {}
    left = _MAX_TEXTS
    for key, text in _list_texts(data):
        left -= len(text)
        if left < 0:
            break
        texts[key] = text
    return texts


def _list_texts(data: bytes) -> Iterator[tuple[str, str]]:
    for kind, start, end in walk_png(data):
        if kind not in _TEXTS:
            continue
        key, _, body = data[start:end].partition(b"\0")
        packed = kind == b"zTXt" or (kind == b"iTXt" and body[:1] == b"\1")
        if kind == b"iTXt":
            body = body[2:].split(b"\0", 2)[-1]
        elif kind == b"zTXt":
            body = body[1:]
        text = _unpack(body, MAX_TEXT) if packed else body
        if text is not None and len(text) <= MAX_TEXT:
            yield key.decode("latin-1"), text.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")


def _unpack(packed: bytes, most: int) -> bytes | None:
    """Unpack zlib data of at most `most` bytes; None for more, and for what is damaged."""
    worker = zlib.decompressobj()
    try:
        found = worker.decompress(packed, most)
    except zlib.error:
        return None
    return found if worker.eof else None
