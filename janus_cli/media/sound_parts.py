"""Where the sounds in a file begin and end, and what stands before, between and after them.

A walk over the structure alone: chunks (RIFF, RF64, W64, AIFF, CAF), AU headers, FLAC streams, Ogg pages,
MPEG frames. Nothing is decoded. Every byte is a part's, or of a known kind that holds no sound (tags,
padding), or the file is refused. Files that were put together become several parts.
"""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import SEEK_END
from itertools import islice
from typing import BinaryIO

from janus_cli.errors import MediaError
from janus_cli.media.sniff import MPEG_FRAME

_STREAMED = 0x7FFF0000  # a size in a header that was written before it was known says at least this
_LOOK = 1 << 20  # bytes looked at together
_FLAC_FRAME, _FLAC_TRIES = 1 << 21, 32  # bytes of a frame, and places where it may begin, at most


@dataclass(frozen=True)
class Part:
    """One sound of a file: a file of its own, from byte `start` to before byte `end`."""

    start: int
    end: int
    patches: tuple[tuple[int, bytes], ...] = ()  # (byte of the file, what stands there for whoever reads it)
    payload: int | None = None  # bytes of its samples, where the container counts them
    samples: int = 0  # per channel, with what an encoder put before and behind; 0 where that is not known
    is_counted: bool = True  # whether a decoder can know from it how many samples it will make
    is_ended: bool = True  # whether the mark stands at its end that its format puts there


class _Bytes:
    """A file's bytes up to `size`, without the tags at its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, SEEK_END)
        self.size = _find_tags_start(self, 0, self.size)

    def at(self, offset: int, count: int) -> bytes:
        """Read at most `count` bytes at `offset`."""
        self._file.seek(offset)
        return self._file.read(max(0, min(count, self.size - offset)))

    def find(self, pattern: re.Pattern[bytes], start: int) -> Iterator[int]:
        """Find where `pattern`, of at most 64 bytes, occurs from `start` on."""
        while start < self.size:
            for match in pattern.finditer(block := self.at(start, _LOOK + 64)):
                if match.start() < _LOOK:
                    yield start + match.start()
            start += min(_LOOK, len(block))


def find_parts(file: BinaryIO, name: str) -> list[Part]:
    """Find the sounds in `file`; none where it begins with something else.

    Raises MediaError: truncated, samples in several places, or bytes that belong to nothing.
    """
    data, parts, place = _Bytes(file), list[Part](), 0
    try:
        while (place := _skip_tags(data, place)) < data.size:
            head = data.at(place, 40)
            walk = next((walk for pattern, walk in _WALKS if pattern.match(head)), None)
            found = walk(data, place) if walk is not None else []
            if not found and not parts:
                return []
            if not found:
                rest = data.size - place
                raise MediaError(
                    f"{rest:,} bytes from byte {place:,} on are no sound that is known: cut them off, "
                    "or convert it first: ffmpeg -i FILE out.wav"
                )
            parts += found
            place = found[-1].end
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from None
    return parts


# ---- tags and padding


def _skip_tags(data: _Bytes, place: int) -> int:
    """Skip the tags and zeros that begin at `place`."""
    while place < data.size:
        head = data.at(place, 32)
        if head.startswith(b"ID3") and len(head) >= 10 and head[3] < 32:
            size = 10 + _read_syncsafe(head[6:10]) + 10 * bool(head[5] & 16)
        elif head.startswith(b"APETAGEX") and len(head) == 32:
            size = 32 + int.from_bytes(head[12:16], "little")
        elif head.startswith(b"TAG+"):
            size = 227
        elif head.startswith(b"TAG"):
            size = 128
        elif head.startswith(b"\0"):
            size = next(data.find(re.compile(rb"[^\x00]"), place), data.size) - place
        else:
            return place
        place = min(place + size, data.size)
    return place


def _read_syncsafe(four: bytes) -> int:
    """Read an ID3v2 number: seven bits of each byte."""
    return sum((byte & 127) << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=True))


def _find_tags_start(data: _Bytes, start: int, end: int) -> int:
    """Find where the tags that end at `end` begin: ID3v1, Lyrics3, APE, ID3v2 with a footer."""
    while True:
        tail = data.at(max(start, end - 227), min(227, end - start))
        if tail[-128:].startswith(b"TAG"):
            size = 227 + 128 if data.at(end - 355, 4) == b"TAG+" and end - 355 >= start else 128
        elif tail[-32:].startswith(b"APETAGEX"):
            size = int.from_bytes(tail[-20:-16], "little") + 32 * bool(tail[-9] & 128)
        elif tail.endswith(b"LYRICS200") and tail[-15:-9].isdigit():
            size = int(tail[-15:-9]) + 15
        elif tail[-10:].startswith(b"3DI"):
            size = _read_syncsafe(tail[-4:]) + 20
        else:
            return end
        if not 0 < size <= end - start:
            return end
        end -= size


# ---- chunks


@dataclass(frozen=True)
class _Chunks:
    """How a family of containers writes its chunks."""

    head: int  # bytes before the first
    name: int  # bytes of a name
    size: str  # struct's format of a size
    counts_head: bool  # whether a size counts name and size too
    align: int
    sound: bytes  # the beginning of the name of the chunk with the samples
    before: int  # bytes of that chunk before its samples
    outer: int | None  # where in the head the size of all stands
    counts_outer: int = 8  # bytes of all that this size does not count

    @property
    def length(self) -> int:
        """Bytes of a name and a size."""
        return self.name + struct.calcsize(self.size)


_RIFF = _Chunks(12, 4, "<I", False, 2, b"data", 0, 4)
_RIFX = replace(_RIFF, size=">I")
_FORM = replace(_RIFX, sound=b"SSND", before=8)
_W64 = _Chunks(40, 16, "<Q", True, 8, b"data", 0, 16, 0)
_CAF = _Chunks(8, 4, ">Q", False, 1, b"data", 4, None)
_HEADS = re.compile(  # how containers begin, in so many bytes that no samples do
    rb"(?s:RIFF....WAVE[ -~]{4}|RIFX....WAVE|RF64....WAVE|BW64....WAVE|FORM....AIF[FC]|"
    rb"caff\x00\x01\x00\x00desc|"
    rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00|\.snd\x00\x00[\x00-\x0f].....\x00\x00\x00[\x01-\x1b]|"
    rb"fLaC[\x00\x80]\x00\x00\x22|OggS\x00\x02)"
)


class _ChunkWalk:
    """The walk over one container of chunks."""

    def __init__(self, form: _Chunks) -> None:
        self._form = form

    def __call__(self, data: _Bytes, start: int) -> list[Part]:
        form, place, long = self._form, start + self._form.head, 0
        part: Part | None = None
        while (size := self._read_size(data, place)) is not None:
            body = place + form.length
            if data.at(place, 4) == b"ds64":  # sizes of 64 bits (EBU Tech 3306)
                long = body
            if data.at(place, len(form.sound)) == form.sound:
                if part is not None:
                    raise MediaError("samples in several places: convert it first: ffmpeg -i FILE out.wav")
                part = self._take_samples(data, start, place, size, long)
                size = part.end - body
            elif body + size > data.size:
                break
            place = self._skip_padding(data, start, body + size)
        if part is None:
            raise MediaError("a damaged or unknown sound: it ends before its samples")
        return [replace(part, end=place)]

    def _read_size(self, data: _Bytes, place: int) -> int | None:
        """Read how long the body of the chunk at `place` is; None where no chunk begins."""
        form, head = self._form, data.at(place, max(40, self._form.length))
        known = len(head) >= form.length and all(32 <= byte < 127 for byte in head[:4])
        if not known or _HEADS.match(head) or head.startswith((b"TAG", b"APETAGEX")):
            return None
        size: int = struct.unpack(form.size, head[form.name : form.length])[0]
        return max(0, size - form.length) if form.counts_head else size

    def _take_samples(self, data: _Bytes, start: int, place: int, size: int, long: int) -> Part:
        """Make the part of a container whose samples are in the chunk at `place`; it ends behind them.

        long: where a chunk with its sizes in 64 bits has its body, or 0.
        """
        form, body = self._form, place + self._form.length
        if long and size == _NO_SIZE:
            size = int.from_bytes(data.at(long + 8, 8), "little")
        found = _settle_size(data, body, size, form.before, lambda: self._is_empty(data, start, body + size))
        patches: tuple[tuple[int, bytes], ...] = ()
        if found != size and long:
            sizes = struct.pack("<QQ", body + found - start - 8, found)
            patches = ((long, sizes), (place + 4, struct.pack("<I", _NO_SIZE)))
        elif found != size:
            patches = self._fill_sizes(start, place, body + found)
        return Part(start, body + found, patches, max(0, found - form.before))

    def _skip_padding(self, data: _Bytes, start: int, place: int) -> int:
        """Skip what pads a chunk that ends at `place`; many writers leave it away."""
        padding = -(place - start) % self._form.align
        return place + padding if data.at(place, padding) == bytes(padding) else place

    def _is_empty(self, data: _Bytes, start: int, place: int) -> bool:
        """Tell whether chunks follow at `place`, to the end or the next container: no samples were there."""
        while (size := self._read_size(data, place)) is not None:
            place = self._skip_padding(data, start, place + self._form.length + size)
        return place == data.size or bool(_HEADS.match(data.at(place, 40)))

    def _fill_sizes(self, start: int, place: int, end: int) -> tuple[tuple[int, bytes], ...]:
        """Fill in the sizes of the chunk at `place`, which ends at `end`, and of all, where they fit."""
        form = self._form
        counted = end - place - (0 if form.counts_head else form.length)
        sizes = [(place + form.name, counted)]
        if form.outer is not None:
            sizes.append((start + form.outer, end - start - form.counts_outer))
        if any(size.bit_length() > 8 * struct.calcsize(form.size) for _, size in sizes):
            return ()
        return tuple((where, struct.pack(form.size, size)) for where, size in sizes)


_NO_SIZE = 0xFFFFFFFF


def _settle_size(
    data: _Bytes, body: int, size: int, before: int = 0, is_empty: Callable[[], bool] = lambda: False
) -> int:
    """Find how many bytes at `body` are samples, with the `before` ahead of them, where `size` is said.

    A size of nothing, or beyond what a file is known to have, was never filled in: they go on to the end, or
    to the next container. Raises MediaError where there are fewer than a size that was filled in.
    """
    room = data.size - body
    if size > room and size < _STREAMED:
        found, said = max(0, room - before), size - before
        raise MediaError(f"truncated: {found:,} of {said:,} bytes of samples")
    if size > room or (size <= before and room > size and not is_empty()):
        return next(data.find(_HEADS, body), data.size) - body
    return size


def _walk_au(data: _Bytes, start: int) -> list[Part]:
    """Walk over an AU file: a header, then samples."""
    offset, size = struct.unpack(">II", data.at(start + 4, 8).ljust(8, b"\0"))
    if not 24 <= offset <= data.size - start:
        raise MediaError("a damaged or unknown sound: it ends before its samples")
    body = start + offset
    found = _settle_size(data, body, size, is_empty=lambda: bool(_HEADS.match(data.at(body, 40))))
    patches = ((start + 8, struct.pack(">I", found)),) if found != size and found < _NO_SIZE else ()
    return [Part(start, body + found, patches, found)]


# ---- FLAC

_FLAC_SYNC = re.compile(rb"(?s)\xff[\xf8\xf9][\x10-\xff].")


def _make_crc_table() -> list[int]:
    """Make the table of FLAC's CRC-16, x^16 + x^15 + x^2 + 1 (RFC 9639, section 9.3)."""
    table = []
    for value in range(256):
        crc = value << 8
        for _ in range(8):
            crc = (crc << 1 ^ (0x8005 if crc & 0x8000 else 0)) & 0xFFFF
        table.append(crc)
    return table


_CRC16 = _make_crc_table()


def _walk_flac(data: _Bytes, start: int) -> list[Part]:
    """Walk over one FLAC stream, up to the next one or the end (RFC 9639)."""
    place, last = start + 4, False
    while not last:
        head = data.at(place, 4)
        if len(head) < 4 or place + 4 + int.from_bytes(head[1:], "big") > data.size:
            raise MediaError("a damaged or unknown sound: it ends before its samples")
        place, last = place + 4 + int.from_bytes(head[1:], "big"), head[0] >= 128
    end = next(data.find(_HEADS, place), data.size)
    end = _find_tags_start(data, place, _find_id3_before(data, place, end))
    if end > place and not _ends_in_frame(data, max(place, end - _FLAC_FRAME), end):
        raise MediaError("damaged after its last whole frame: truncated, or followed by what is no FLAC")
    return [Part(start, end)]


def _find_id3_before(data: _Bytes, start: int, end: int) -> int:
    """Find where an ID3v2 tag begins that ends at `end`, where the next stream begins; else `end`."""
    first = max(start, end - (1 << 24))
    if end == data.size:
        return end
    places = islice(data.find(re.compile(rb"ID3[\x02-\x04]"), first), 100)
    return next((place for place in places if place < end and _skip_tags(data, place) == end), end)


def _ends_in_frame(data: _Bytes, start: int, end: int) -> bool:
    """Tell whether some frame after `start` ends at `end`, or is followed by zeros up to there."""
    block = data.at(start, end - start)
    for match in list(_FLAC_SYNC.finditer(block))[: -_FLAC_TRIES - 1 : -1]:
        crc = 0
        for byte in block[match.start() :]:
            crc = (crc << 8 & 0xFF00) ^ _CRC16[crc >> 8 ^ byte]
        if not crc:
            return True
    return False


# ---- Ogg

_OGG_KINDS = {  # how the first packet of a stream begins
    b"\1vorbis": "Vorbis",
    b"OpusHead": "Opus",
    b"\x7fFLAC": "FLAC",
    b"Speex   ": "Speex",
    b"\x80theora": "Theora",
    b"fishead\0": "",  # a skeleton, which only tells of the others
}
_OGG_READ = ("Vorbis", "Opus")
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass
class _Link:
    """A stretch of an Ogg file that stands for itself: pages of one sound, with what tells of it."""

    start: int
    kinds: list[str]
    open: set[int]  # serial numbers of streams that have not ended
    pages: dict[int, int]  # serial number -> number of the page that comes next
    has_data: bool = False
    last: bytes = b""  # its last page


def _walk_ogg(data: _Bytes, start: int) -> list[Part]:
    """Walk over Ogg pages (RFC 3533, section 6): a part for each link of a chain."""
    parts, place, link = list[Part](), start, _Link(start, [], set(), {})
    while data.at(place, 4) == b"OggS":
        page = _read_page(data, place)
        flags, serial, number = (
            page[5],
            int.from_bytes(page[14:18], "little"),
            int.from_bytes(page[18:22], "little"),
        )
        if flags & 2 and link.has_data:
            parts.append(_close_link(link, place))
            link = _Link(place, [], set(), {})
        if flags & 2:
            body = page[27 + page[26] :]
            link.kinds.append(
                next((k for magic, k in _OGG_KINDS.items() if body.startswith(magic)), "unknown")
            )
            link.open.add(serial)
        elif link.pages.get(serial) != number:
            raise MediaError(f"damaged: pages are missing before byte {place:,}")
        link.pages[serial] = (number + 1) & _NO_SIZE
        link.has_data |= not flags & 2
        link.last = page
        if flags & 4:
            link.open.discard(serial)
        place += len(page)
    return [*parts, _close_link(link, place)]


def _read_page(data: _Bytes, place: int) -> bytes:
    """Read the page at `place`. Raises MediaError where it is not whole, or damaged."""
    head = data.at(place, 27 + 255)
    size = 27 + head[26] + sum(head[27 : 27 + head[26]]) if len(head) > 26 else 28
    page = data.at(place, size)
    if len(page) < size:
        raise MediaError("truncated: its last page is missing")
    if _sum_page(page) != page[22:26]:
        raise MediaError(f"damaged: the page at byte {place:,} does not fit its checksum")
    return page


def _sum_page(page: bytes) -> bytes:
    """Make a page's checksum: zlib's with the bits the other way round, and begun with nothing."""
    plain = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    crc = zlib.crc32(plain, _NO_SIZE) ^ _NO_SIZE
    return crc.to_bytes(4, "big").translate(_REVERSED)


def _close_link(link: _Link, end: int) -> Part:
    """Make the part of a whole link. Raises MediaError for what holds no sound, or several streams."""
    kinds = [kind for kind in link.kinds if kind]
    if len(kinds) != 1 or kinds[0] not in _OGG_READ:
        raise MediaError(
            f"Ogg of {' and '.join(kinds) or 'nothing'} is not read, only of one stream of "
            f"{' or '.join(_OGG_READ)}: convert it first: ffmpeg -i FILE out.wav"
        )
    return _end_link(link, end) if link.open else Part(link.start, end)


def _end_link(link: _Link, end: int) -> Part:
    """Make the part of a link on whose last page the flag is missing that says so, and set it there.

    Some writers never set it: nobody can tell whether there was more. Raises MediaError where the page ends
    no sample, or within a packet.
    """
    page, place = link.last, end - len(link.last)
    if int.from_bytes(page[6:14], "little", signed=True) <= 0 or page[26 + page[26]] == 255:
        raise MediaError("truncated: its last page is missing")
    ended = page[:5] + bytes([page[5] | 4]) + page[6:]
    patches = ((place + 5, ended[5:6]), (place + 22, _sum_page(ended)))
    return Part(link.start, end, patches, is_ended=False)


# ---- MPEG audio

_KBIT = {  # (MPEG 1, layer) -> kbit/s by the number in a frame's header
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


@dataclass(frozen=True)
class _Frame:
    """What the header of an MPEG frame says (ISO 11172-3, 13818-3, and MPEG 2.5)."""

    sample_rate: int
    layer: int
    mono: bool
    size: int  # bytes
    samples: int
    info: int  # where in the frame an encoder's note of the whole stands


def _read_frame(head: bytes) -> _Frame | None:
    """Read a frame's header of 4 bytes; None where there is none, or none that tells its size."""
    if len(head) < 4 or head[0] != 0xFF or head[1] < 0xE0:
        return None
    version, layer, kbit, rate = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer == 4 or kbit in (0, 15) or rate == 3:
        return None
    first, padding, mono = version == 3, head[2] >> 1 & 1, head[3] >> 6 == 3
    hertz = (44100, 48000, 32000)[rate] >> (0 if first else 1 if version == 2 else 2)
    samples = {1: 384, 2: 1152, 3: 1152 if first else 576}[layer]
    slot = 4 if layer == 1 else 1
    size = (samples // 8 // slot * _KBIT[first, layer][kbit] * 1000 // hertz + padding) * slot
    side = (17 if mono else 32) if first else (9 if mono else 17)
    return _Frame(hertz, layer, mono, size, samples, 4 + side + 2 * (not head[1] & 1))


@dataclass
class _Run:
    """Frames that belong together, counted as the walk goes on."""

    start: int
    frame: _Frame  # the first
    told: int | None  # how many frames an encoder's note says that follow it
    note: int  # where that number stands
    count: int = 0
    split: int = 0  # where what was told ends


def _walk_mpeg(data: _Bytes, start: int) -> list[Part]:
    """Walk over MPEG frames: a part for each run that an encoder made; none where there are no frames."""
    parts, place, run = list[Part](), start, None
    while (frame := _read_frame(data.at(place, 4))) is not None:
        if run is None and not _is_followed(data, place + frame.size):
            return []
        if place + frame.size > data.size:
            if run is not None:
                _close_run(run, place)  # knows how much is missing
            left = data.size - place
            raise MediaError(f"truncated: its last frame has {left:,} of {frame.size:,} bytes")
        told, note = _read_note(data, place, frame)
        same = run is not None and _kind(run.frame) == _kind(frame)
        if run is None or not same or note:
            parts += _close_run(run, place) if run is not None else []
            run = _Run(place, frame, told, note, -1 if note else 0)
        run.count += 1
        if run.count == (run.told or 0):
            run.split = place + frame.size
        place += frame.size
    return parts + (_close_run(run, place) if run is not None else [])


def _kind(frame: _Frame) -> tuple[int, int, bool]:
    """Give what is the same in all frames of one run."""
    return frame.sample_rate, frame.layer, frame.mono


def _is_followed(data: _Bytes, place: int) -> bool:
    """Tell whether a frame, or nothing that looks like text, follows the first frame."""
    return place >= data.size or _read_frame(data.at(place, 4)) is not None


def _read_note(data: _Bytes, place: int, frame: _Frame) -> tuple[int | None, int]:
    """Read the note of Xing, LAME or Fraunhofer in a frame: how many frames follow, and where that stands.

    None where it does not say how many; 0 for the place where the frame is no note.
    """
    head = data.at(place, 64)
    if frame.layer == 3 and head[frame.info :].startswith((b"Xing", b"Info")):
        note = frame.info + 8
        has_count = head[frame.info + 7] & 1
    elif frame.layer == 3 and head[36:].startswith(b"VBRI"):
        note, has_count = 36 + 14, 1
    else:
        return None, 0
    return (int.from_bytes(head[note : note + 4], "big") if has_count else None), place + note


def _close_run(run: _Run, end: int) -> list[Part]:
    """Make the parts of a run of frames that ends at `end`.

    Two when many more follow than an encoder noted: something was put behind it. One or two more are its
    mistake, which is put right.
    """
    each, told = run.frame.samples, run.told
    if told and run.count < told - 1:
        raise MediaError(f"truncated: {run.count * each:,} of {told * each:,} samples")
    if told and run.count > told + 2:
        rest = Part(run.split, end, samples=(run.count - told) * each, is_counted=False)
        return [Part(run.start, run.split, samples=told * each), rest]
    patches = () if not told or run.count == told else ((run.note, struct.pack(">I", run.count)),)
    return [Part(run.start, end, patches, samples=run.count * each, is_counted=bool(told))]


_WALKS: tuple[tuple[re.Pattern[bytes], Callable[[_Bytes, int], list[Part]]], ...] = (
    (re.compile(rb"(?s)(RIFF|RF64|BW64)....WAVE"), _ChunkWalk(_RIFF)),
    (re.compile(rb"(?s)RIFX....WAVE"), _ChunkWalk(_RIFX)),
    (re.compile(rb"(?s)FORM....AIF[FC]"), _ChunkWalk(_FORM)),
    (re.compile(rb"riff\x2e\x91\xcf\x11"), _ChunkWalk(_W64)),
    (re.compile(rb"caff"), _ChunkWalk(_CAF)),
    (re.compile(rb"\.snd"), _walk_au),
    (re.compile(rb"fLaC"), _walk_flac),
    (re.compile(rb"OggS"), _walk_ogg),
    (MPEG_FRAME, _walk_mpeg),
)
