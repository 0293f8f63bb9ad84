"""Picture files built byte by byte, after the formats' own texts: what a picture library would not write."""

import struct
import zlib

import numpy as np


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def pack_bits(rows: np.ndarray, bits: int, order: str = ">") -> list[bytes]:
    """Pack samples [H, N] row by row, the first in the highest bits; 16 and 32 bits in `order`."""
    if bits >= 8:
        return [row.astype(f"{order}u{bits // 8}").tobytes() for row in rows]
    packed = []
    for row in rows:
        text = "".join(f"{int(v):0{bits}b}" for v in row)
        text += "0" * (-len(text) % 8)
        packed.append(int(text, 2).to_bytes(len(text) // 8))
    return packed


def png(samples, bits: int, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of samples [H, W, C] or [H, W]; chunks: what stands before the pixels."""
    samples = np.asarray(samples)
    height, width = samples.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    lines = b"".join(b"\0" + row for row in pack_bits(samples.reshape(height, -1), bits))
    body = [chunk(b"IHDR", head), *(chunk(*c) for c in chunks)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def iccp(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"a profile\0\0" + zlib.compress(profile)


def apng(width: int, height: int, frames, still: bytes | None = None) -> bytes:
    """An APNG of RGBA frames: (pixels [h, w, 4], x, y, disposal, over); still: IDAT's RGBA, not animated."""
    number, body = 0, []

    def pack(pixels) -> bytes:
        pixels = np.asarray(pixels, np.uint8)
        return zlib.compress(b"".join(b"\0" + row.tobytes() for row in pixels))

    if still is not None:
        body.append(chunk(b"IDAT", pack(still)))
    for i, (pixels, x, y, disposal, over) in enumerate(frames):
        h, w = np.shape(pixels)[:2]
        control = struct.pack(">5IHHBB", number, w, h, x, y, 1, 10, disposal, over)
        body.append(chunk(b"fcTL", control))
        number += 1
        if i == 0 and still is None:
            body.append(chunk(b"IDAT", pack(pixels)))
        else:
            body.append(chunk(b"fdAT", struct.pack(">I", number) + pack(pixels)))
            number += 1
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    start = chunk(b"acTL", struct.pack(">II", len(frames), 0))
    return b"\x89PNG\r\n\x1a\n" + head + start + b"".join(body) + chunk(b"IEND", b"")


SHORT, LONG, RATIONAL, UNDEFINED = 3, 4, 5, 7


def tiff_page(
    samples,
    bits: int,
    photometric: int,
    tags: dict[int, tuple[int, list[int] | bytes]] | None = None,
    *,
    order: str = "<",
    at: int = 8,
    next_page: bool = False,
    planes: bool = False,
    kind: str = "u",
    packed: bytes | None = None,
    reverse: bool = False,
) -> bytes:
    """One directory of a TIFF and its one strip (or a strip a plane), to lie at byte `at` of the file."""
    samples = np.asarray(samples)
    height, width = samples.shape[:2]
    count = samples.shape[2] if samples.ndim == 3 else 1
    if kind == "f":
        strips = [samples.astype(f"{order}f4").tobytes()]
    elif planes:
        strips = [b"".join(pack_bits(samples[..., c], bits, order)) for c in range(count)]
    else:
        strips = [b"".join(pack_bits(samples.reshape(height, -1), bits, order))]
    if reverse:
        strips = [bytes(int(f"{b:08b}"[::-1], 2) for b in s) for s in strips]
    strips = [packed] if packed is not None else strips
    entries: dict[int, tuple[int, list[int] | bytes]] = {
        256: (SHORT, [width]),
        257: (SHORT, [height]),
        258: (SHORT, [bits] * count),
        259: (SHORT, [1]),
        262: (SHORT, [photometric]),
        277: (SHORT, [count]),
        278: (SHORT, [height]),
        279: (LONG, [len(s) for s in strips]),
        **(tags or {}),
    }
    if planes:
        entries[284] = (SHORT, [2])
    if reverse:
        entries[266] = (SHORT, [2])
    return lay_out(entries, strips, order, at, next_page)


def lay_out(entries, strips: list[bytes], order: str, at: int, next_page: bool) -> bytes:
    """Lay out a directory, the strips behind it, and the values that do not fit into its entries."""
    directory = 2 + 12 * (len(entries) + 1) + 4
    extra = b"".join(strips)
    offsets, place = [], at + directory
    for s in strips:
        offsets.append(place)
        place += len(s)
    entries[273] = (LONG, offsets)
    table = struct.pack(order + "H", len(entries))
    for tag, (form, values) in sorted(entries.items()):
        if isinstance(values, bytes):
            data, number = values, len(values)
        else:
            letter = {SHORT: "H", LONG: "I", RATIONAL: "I"}[form]
            data = struct.pack(f"{order}{len(values)}{letter}", *values)
            number = len(values) // (2 if form == RATIONAL else 1)
        if len(data) > 4:
            extra += b"\0" * ((at + directory + len(extra)) % 2)
            data, extra = struct.pack(order + "I", at + directory + len(extra)), extra + data
        table += struct.pack(order + "HHI", tag, form, number) + data.ljust(4, b"\0")
    extra += b"\0" * ((at + directory + len(extra)) % 2)
    following = at + directory + len(extra) if next_page else 0
    return table + struct.pack(order + "I", following) + extra


def tiff(samples, bits: int, photometric: int, tags=None, *, order: str = "<", **more) -> bytes:
    """A TIFF of one page."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    page = tiff_page(samples, bits, photometric, tags, order=order, **more)
    return head + struct.pack(order + "I", 8) + page


def bmp(rows, bits: int, palette: bytes = b"", masks: tuple[int, ...] = (), profile: bytes = b"") -> bytes:
    """A bitmap of rows of packed bytes from the bottom; masks: bit fields; profile: version 5 with ICC."""
    width, lines = rows
    packed = 3 if masks else 0
    body = b"".join(line + b"\0" * (-len(line) % 4) for line in lines)
    size = 124 if profile or len(masks) == 4 else 40
    head = struct.pack(
        "<IiiHHIIiiII", size, width, len(lines), 1, bits, packed, len(body), 0, 0, len(palette) // 4, 0
    )
    if size == 124:
        fields = struct.pack("<4I", *(masks or (0, 0, 0, 0)))
        space = b"DEBM" if profile else b"BGRs"
        place = 124 + len(palette) + len(body)
        head += fields + space + bytes(48) + struct.pack("<IIII", 0, place if profile else 0, len(profile), 0)
    elif masks:
        head += struct.pack("<3I", *masks[:3])
    start = 14 + len(head) + len(palette)
    full = start + len(body) + len(profile)
    return b"BM" + struct.pack("<IHHI", full, 0, 0, start) + head + palette + body + profile


def ico(width: int, line: bytes, bits: int, palette: bytes, mask: int) -> bytes:
    """An icon of one row; the mask's bits, from the left, are where it is transparent."""
    head = struct.pack("<IiiHHIIiiII", 40, width, 2, 1, bits, 0, 0, 0, 0, len(palette) // 4, 0)
    cut = (mask << (32 - width)).to_bytes(4)
    body = head + palette + line + b"\0" * (-len(line) % 4) + cut
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, width, 1, 0, 0, 1, bits, len(body), 22) + body


def tga(
    kind: int, bits: int, width: int, height: int, body: bytes, flags: int = 0x20, palette: bytes = b""
) -> bytes:
    """A Targa from the top down (flags 0x20); palette: BGR."""
    colours = (
        struct.pack("<BHHB", 1, 0, len(palette) // 3, 24) if palette else struct.pack("<BHHB", 0, 0, 0, 0)
    )
    head = b"\0" + colours[:1] + bytes([kind]) + colours[1:]
    return head + struct.pack("<HHHHBB", 0, 0, width, height, bits, flags) + palette + body


def icc(space: bytes, tags: list[tuple[bytes, bytes]], pcs: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    """An ICC profile, version 2.4, after ICC.1:2001-04."""
    table, body, at = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, data in tags:
        table += struct.pack(">4sII", name, at + len(body), len(data))
        body += data + b"\0" * (-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", at + len(body), b"none", 0x02400000, kind, space, pcs)
    head = head.ljust(36, b"\0") + b"acsp" + bytes(28) + xyz(0.9642, 1, 0.8249)[8:]
    return head.ljust(128, b"\0") + table + body


def xyz(*values: float) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def icc_grey(gamma: float) -> bytes:
    return icc(b"GRAY", [(b"wtpt", xyz(0.9642, 1, 0.8249)), (b"kTRC", curve(gamma))])


# Colorants of Display P3 and Adobe RGB (1998), adapted to D50, as their published profiles have them.
P3_COLORANTS = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
ADOBE_COLORANTS = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))


def icc_rgb(colorants, gamma: float) -> bytes:
    tags = [(b"wtpt", xyz(0.9642, 1, 0.8249))]
    tags += [(n + b"XYZ", xyz(*c)) for n, c in zip((b"r", b"g", b"b"), colorants, strict=True)]
    tags += [(n + b"TRC", curve(gamma)) for n in (b"r", b"g", b"b")]
    return icc(b"RGB ", tags)


def icc_cmyk(lab_of) -> bytes:
    """A press whose 16 mixes of full inks have the colours lab_of(c, m, y, k), L a b; between them it blends.

    A lut16Type with two grid points a channel (ICC.1:2001-04, 6.5.9), Lab as its version 2 codes it.
    """
    grid = []
    for i in range(16):
        light, a, b = lab_of(*(i >> s & 1 for s in (3, 2, 1, 0)))
        grid += [round(light * 652.8), round((a + 128) * 256), round((b + 128) * 256)]
    line = struct.pack(">2H", 0, 65535)
    lut = (
        b"mft2\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    )
    lut += (
        struct.pack(">HH", 2, 2) + line * 4 + struct.pack(">48H", *(min(v, 65535) for v in grid)) + line * 3
    )
    return icc(b"CMYK", [(b"wtpt", xyz(0.9642, 1, 0.8249)), (b"A2B0", lut)], pcs=b"Lab ", kind=b"prtr")


# ---- sRGB by its definition (IEC 61966-2-1), for the right values

SRGB_TO_XYZ = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)


def encode_srgb(linear) -> np.ndarray:
    """Linear light on [0, 1] to sRGB's numbers, 0 to 255, not rounded; what is beyond is cut."""
    x = np.clip(np.asarray(linear, float), 0, 1)
    return 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def decode_srgb(numbers) -> np.ndarray:
    v = np.asarray(numbers, float) / 255
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def mix(colorants, linear) -> np.ndarray:
    """What sRGB number a colour of these colorants (D50) has, its parts linear on [0, 1]."""
    return encode_srgb(np.linalg.inv(SRGB_TO_XYZ) @ (np.array(colorants).T @ np.asarray(linear, float)))


def srgb_to_lab(rgb) -> tuple[float, float, float]:
    """CIE L*a*b* (D50) of sRGB numbers."""
    x = SRGB_TO_XYZ @ decode_srgb(rgb) / np.array([0.9642, 1, 0.8249])
    f = np.where(x > (6 / 29) ** 3, np.cbrt(x), x / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])
