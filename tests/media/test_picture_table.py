"""The table of pictures that are read: a generated file for each row, the right pixel worked out by hand."""

import io
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from helpers import picture_files as make
from PIL import Image

from janus_cli.media import layouts, picture_formats, pictures
from janus_cli.media.picture_formats import FORMATS, READ, Layout

ROOT = Path(__file__).parents[2]
RED, WHITE, BLACK = [255, 0, 0], [255, 255, 255], [0, 0, 0]
DOTS = np.array([[[255, 0, 0], [10, 20, 30]]], np.uint8)


class Case(NamedTuple):
    """A file, what it is, and its first row of pixels."""

    format: str
    layout: Layout
    data: bytes
    pixels: list[list[int]]
    near: int = 0  # how far a number may be off


def grey(*values: int) -> list[list[int]]:
    return [[v] * 3 for v in values]


def save(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def flat(colour, format: str, mode: str = "RGB", **options) -> bytes:
    """A picture of one colour, for formats that are lossy, or that a library must write."""
    return save(Image.new(mode, (16, 16), colour), format, **options)


def list_png():
    for bits, middle in ((1, 1), (2, 2), (4, 5), (8, 77), (16, 30_000)):
        most = (1 << bits) - 1
        shown = grey(0, round(middle * 255 / most), 255)
        samples = [[0, middle, most]]
        yield Case("PNG", Layout("grey", bits), make.png(samples, bits, 0), shown)
        key = (b"tRNS", struct.pack(">H", 0))
        yield Case(
            "PNG", Layout("grey", bits, "colour key"), make.png(samples, bits, 0, key), grey(255) + shown[1:]
        )
        if bits in (2, 4, 8, 16):
            key = (b"tRNS", struct.pack(">H", middle))
            missed = [shown[0], *grey(255), shown[2]]
            yield Case("PNG", Layout("grey", bits, "colour key"), make.png(samples, bits, 0, key), missed)
    yield Case(
        "PNG", Layout("grey", 8, "alpha"), make.png([[[0, 255], [0, 0], [0, 51]]], 8, 4), grey(0, 255, 204)
    )
    wide = make.png([[[0x8080, 65535], [0, 0], [0, 0x3333]]], 16, 4)
    yield Case("PNG", Layout("grey", 16, "alpha"), wide, grey(128, 255, 204))
    yield Case("PNG", Layout("RGB", 8), make.png(DOTS, 8, 2), DOTS[0].tolist())
    key = (b"tRNS", struct.pack(">3H", 10, 20, 30))
    yield Case("PNG", Layout("RGB", 8, "colour key"), make.png(DOTS, 8, 2, key), [RED, WHITE])
    yield Case(
        "PNG",
        Layout("RGB", 8, "alpha"),
        make.png([[[255, 0, 0, 51], [1, 2, 3, 0]]], 8, 6),
        [[255, 204, 204], WHITE],
    )
    wide = np.array([[[65535, 0, 0x1234], [0x1200, 0x3400, 0x5600], [0x1201, 0x3400, 0x5600]]])
    shown = [[255, 0, 0x12], [0x12, 0x34, 0x56], [0x12, 0x34, 0x56]]
    yield Case("PNG", Layout("RGB", 16), make.png(wide, 16, 2), shown, 1)
    key = (
        b"tRNS",
        struct.pack(">3H", 0x1201, 0x3400, 0x5600),
    )  # its low byte alone tells the second from the third
    yield Case("PNG", Layout("RGB", 16, "colour key"), make.png(wide, 16, 2, key), [*shown[:2], WHITE], 1)
    yield Case(
        "PNG",
        Layout("RGB", 16, "alpha"),
        make.png([[[65535, 0, 0, 0x3333], [9, 9, 9, 0]]], 16, 6),
        [[255, 204, 204], WHITE],
    )
    palette = (b"PLTE", bytes([255, 0, 0, 10, 20, 30]))
    for bits in (1, 2, 4, 8):
        plain = make.png([[0, 1]], bits, 3, palette)
        yield Case("PNG", Layout("palette", bits), plain, DOTS[0].tolist())
        for alphas, shown in ((b"\x33", [[255, 204, 204], [10, 20, 30]]), (b"\xff\0", [RED, WHITE])):
            data = make.png([[0, 1]], bits, 3, palette, (b"tRNS", alphas))
            yield Case("PNG", Layout("palette", bits, "alpha"), data, shown)


def list_jpeg():
    yield Case("JPEG", Layout("grey", 8), flat(77, "JPEG", "L"), grey(77), 1)
    yield Case("JPEG", Layout("YCbCr", 8), flat((200, 60, 20), "JPEG", quality=95), [[200, 60, 20]], 3)
    yield Case("JPEG", Layout("YCbCr", 8), flat((200, 60, 20), "JPEG", progressive=True), [[200, 60, 20]], 3)
    yield Case("JPEG", Layout("RGB", 8), flat((200, 60, 20), "JPEG", keep_rgb=True), [[200, 60, 20]], 3)
    # C 0, M 1/5, Y 3/5, K 2/5 of full ink: (1 - ink)(1 - black)
    cmyk, shown = (0, 51, 153, 102), [[153, 122, 61]]
    data = flat(cmyk, "JPEG", "CMYK", quality=95)
    yield Case("JPEG", Layout("CMYK", 8, form="Adobe's, inverted"), data, shown, 3)
    # YCCK: Y, Cb, Cr of the stored (inverted) C, M, Y; a 2 in Adobe's marker says so. Grey: Cb = Cr = 128
    ycck = flat((0x80, 0x7F, 0x7F, 102), "JPEG", "CMYK", quality=95)
    place = ycck.index(b"Adobe") + 11
    ycck = ycck[:place] + b"\2" + ycck[place + 1 :]
    yield Case("JPEG", Layout("YCCK", 8, form="Adobe's, inverted"), ycck, grey(round(0x7F * 0.6)), 4)
    two = [Image.new("RGB", (16, 16), c) for c in ((200, 60, 20), (0, 0, 0))]
    data = save(two[0], "MPO", save_all=True, append_images=two[1:])
    yield Case("MPO", Layout("YCbCr", 8), data, [[200, 60, 20]], 3)
    two = [Image.new("L", (16, 16), c) for c in (77, 0)]
    yield Case(
        "MPO", Layout("grey", 8), save(two[0], "MPO", save_all=True, append_images=two[1:]), grey(77), 1
    )


def list_tiff():
    for order in "<>":
        for bits, middle in ((1, 1), (2, 2), (4, 5), (8, 77), (16, 30_000)):
            most = (1 << bits) - 1
            samples, shown = [[0, middle, most]], grey(0, round(middle * 255 / most), 255)
            data = make.tiff(samples, bits, 1, order=order)
            yield Case("TIFF", Layout("grey", bits), data, shown)
            negative = [[255 - v for v in pixel] for pixel in shown]
            data = make.tiff(samples, bits, 0, order=order)
            yield Case("TIFF", Layout("grey", bits, form="white is 0"), data, negative)
        alpha = {338: (make.SHORT, [2])}
        premultiplied = {338: (make.SHORT, [1])}
        data = make.tiff([[[0, 255], [0, 0], [0, 51]]], 8, 1, alpha, order=order)
        yield Case("TIFF", Layout("grey", 8, "alpha"), data, grey(0, 255, 204))
        data = make.tiff([[[100, 255], [0, 0], [20, 51]]], 8, 1, premultiplied, order=order)
        yield Case("TIFF", Layout("grey", 8, "premultiplied"), data, grey(100, 255, 224), 1)
        data = make.tiff([[0, 0.5, 1]], 32, 1, {339: (make.SHORT, [3])}, kind="f", order=order)
        yield Case("TIFF", Layout("grey", 32, form="float from 0 to 1"), data, grey(0, 128, 255))
        for bits, full in ((8, 1), (16, 257)):
            data = make.tiff(DOTS.astype(int) * full, bits, 2, order=order)
            yield Case("TIFF", Layout("RGB", bits), data, DOTS[0].tolist())
            samples = np.array([[[255, 0, 0, 51], [1, 2, 3, 0], [10, 20, 30, 255]]]) * full
            data = make.tiff(samples, bits, 2, alpha, order=order)
            yield Case("TIFF", Layout("RGB", bits, "alpha"), data, [[255, 204, 204], WHITE, [10, 20, 30]])
            samples = np.array([[[51, 0, 0, 51], [0, 0, 0, 0], [10, 20, 30, 255]]]) * full
            data = make.tiff(samples, bits, 2, premultiplied, order=order)
            yield Case(
                "TIFF", Layout("RGB", bits, "premultiplied"), data, [[255, 204, 204], WHITE, [10, 20, 30]], 1
            )
            cmyk = np.array([[[0, 51, 153, 102], [0, 0, 0, 0], [0, 0, 0, 255]]]) * full
            data = make.tiff(cmyk, bits, 5, order=order)
            yield Case("TIFF", Layout("CMYK", bits), data, [[153, 122, 61], WHITE, BLACK], 1)
        data = make.tiff(np.repeat(DOTS, 3, axis=0), 8, 2, planes=True, order=order)
        yield Case("TIFF", Layout("RGB", 8, form="planes"), data, DOTS[0].tolist())
        for bits in (1, 2, 4, 8):
            colours = np.zeros((3, 1 << bits), int)
            colours[:, 0], colours[:, 1] = [v * 257 for v in RED], [v * 257 for v in (10, 20, 30)]
            table = {320: (make.SHORT, colours.ravel().tolist())}
            data = make.tiff([[0, 1]], bits, 3, table, order=order)
            yield Case("TIFF", Layout("palette", bits), data, DOTS[0].tolist())
        data = make.tiff([[[0, 51], [1, 0], [1, 255]]], 8, 3, {**table, **alpha}, order=order)
        yield Case("TIFF", Layout("palette", 8, "alpha"), data, [[255, 204, 204], WHITE, [10, 20, 30]])
        whole = {530: (make.SHORT, [1, 1])}
        data = make.tiff([[[128, 128, 128], [76, 85, 255]]], 8, 6, whole, order=order)
        yield Case("TIFF", Layout("YCbCr", 8), data, [[128] * 3, [254, 0, 0]], 1)
        light, a, b = make.srgb_to_lab([200, 60, 20])
        lab = [[[round(light * 2.55), round(a), round(b)], [255, 0, 0]]]
        data = make.tiff(lab, 8, 8, order=order)
        yield Case("TIFF", Layout("Lab", 8), data, [[200, 60, 20], WHITE], 3)


def list_packed_tiff():
    data = make.tiff([[0, 1, 1, 0, 0, 0, 0, 1]], 1, 1, reverse=True)
    yield Case("TIFF", Layout("grey", 1), data, grey(0, 255, 255, 0, 0, 0, 0, 255))
    photo = save(Image.new("RGB", (16, 16), (200, 60, 20)).convert("YCbCr"), "TIFF", compression="jpeg")
    yield Case("TIFF", Layout("YCbCr", 8), photo, [[200, 60, 20]], 3)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"):
        data = save(Image.fromarray(DOTS), "TIFF", compression=compression)
        yield Case("TIFF", Layout("RGB", 8), data, DOTS[0].tolist())
        wide = save(
            Image.fromarray(np.array([[0, 30_000, 65535]], np.uint16)), "TIFF", compression=compression
        )
        yield Case("TIFF", Layout("grey", 16), wide, grey(0, 117, 255))
    for compression in ("group3", "group4"):
        line = Image.fromarray(np.array([[0, 255, 255, 0]], np.uint8)).convert("1")
        form = "white is 0" if line.mode == "L" else ""
        data = save(line, "TIFF", compression=compression)
        yield Case("TIFF", Layout("grey", 1, form=form), data, grey(0, 255, 255, 0))


def list_others():
    yield Case("WEBP", Layout("RGB", 8), save(Image.fromarray(DOTS), "WEBP", lossless=True), DOTS[0].tolist())
    layer = Image.fromarray(np.array([[[255, 0, 0, 51], [1, 2, 3, 0]]], np.uint8))
    data = save(layer, "WEBP", lossless=True, exact=True)
    yield Case("WEBP", Layout("RGB", 8, "alpha"), data, [[255, 204, 204], WHITE])
    two = Image.new("P", (2, 1))
    two.putpalette([255, 0, 0, 10, 20, 30])
    two.putpixel((1, 0), 1)
    yield Case("GIF", Layout("palette", 8), save(two, "GIF"), DOTS[0].tolist())
    yield Case("GIF", Layout("palette", 8, "alpha"), save(two, "GIF", transparency=1), [RED, WHITE])
    # bitmaps: blue first; 5 bits a sample: 31 is full
    palette = bytes([0, 0, 255, 0, 30, 20, 10, 0])
    for bits, line in ((1, b"\x40"), (4, b"\x01"), (8, b"\0\1")):
        yield Case("BMP", Layout("palette", bits), make.bmp((2, [line]), bits, palette), DOTS[0].tolist())
    packed = bytearray(make.bmp((2, [b"\0\1"]), 8, palette))  # 8 bits in runs: one 0, one 1, end
    packed[30], packed[34] = 1, 6
    data = bytes(packed[:-4]) + bytes([1, 0, 1, 1, 0, 1])
    yield Case("BMP", Layout("palette", 8), data, DOTS[0].tolist())
    five = struct.pack("<2H", 31 << 10, 15 << 10 | 31 << 5)
    yield Case("BMP", Layout("RGB", 5), make.bmp((2, [five]), 16), [RED, [123, 255, 0]], 1)
    six = struct.pack("<2H", 31 << 11, 63 << 5)
    masks = (0xF800, 0x7E0, 0x1F)
    yield Case("BMP", Layout("RGB", 5), make.bmp((2, [six]), 16, masks=masks), [RED, [0, 255, 0]])
    line = bytes([0, 0, 255, 30, 20, 10])
    yield Case("BMP", Layout("RGB", 8), make.bmp((2, [line]), 24), DOTS[0].tolist())
    line = bytes([0, 0, 255, 0, 30, 20, 10, 0])
    yield Case("BMP", Layout("RGB", 8), make.bmp((2, [line]), 32), DOTS[0].tolist())
    line = bytes([0, 0, 255, 51, 30, 20, 10, 255])
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    data = make.bmp((2, [line]), 32, masks=masks)
    yield Case("BMP", Layout("RGB", 8, "alpha"), data, [[255, 204, 204], [10, 20, 30]])


def list_small():
    """Netpbm, AVIF, Targa, icons, QOI, JPEG 2000."""
    for text, layout, shown in (
        (b"P1 # bits\n3 1\n1 0\n1\n", Layout("grey", 1), grey(0, 255, 0)),
        (b"P4\n3 1\n\xa0", Layout("grey", 1), grey(0, 255, 0)),
        (b"P2\n2 1\n100\n0 50\n", Layout("grey", 8), grey(0, 128)),
        (b"P5\n2 1\n255\n\0\x4d", Layout("grey", 8), grey(0, 77)),
        (b"P5\n2 1\n65535\n\0\0\x75\x30", Layout("grey", 16), grey(0, 117)),
        (b"P3\n1 1\n255\n10 20 30\n", Layout("RGB", 8), [[10, 20, 30]]),
        (b"P6\n1 1\n255\n\x0a\x14\x1e", Layout("RGB", 8), [[10, 20, 30]]),
        (b"P6\n1 1\n65535\n\xff\xff\0\0\x12\x34", Layout("RGB", 16), [[255, 0, 18]]),
    ):
        yield Case("PPM", layout, text, shown, 1 if layout.bits == 16 or b"100" in text else 0)
    for quality, near in ((90, 4), (100, 2)):
        yield Case(
            "AVIF", Layout("RGB", 8), flat((200, 60, 20), "AVIF", quality=quality), [[200, 60, 20]], near
        )
    data = flat((255, 0, 0, 51), "AVIF", "RGBA", quality=100)
    yield Case("AVIF", Layout("RGB", 8, "alpha"), data, [[255, 204, 204]], 3)
    yield Case("TGA", Layout("grey", 8), make.tga(3, 8, 2, 1, b"\0\x4d"), grey(0, 77))
    yield Case("TGA", Layout("grey", 8), make.tga(11, 8, 3, 1, b"\x81\x4d\0\0"), grey(77, 77, 0))
    palette = bytes([0, 0, 255, 30, 20, 10])
    yield Case("TGA", Layout("palette", 8), make.tga(1, 8, 2, 1, b"\0\1", palette=palette), DOTS[0].tolist())
    yield Case("TGA", Layout("RGB", 8), make.tga(2, 24, 2, 1, palette), DOTS[0].tolist())
    yield Case("TGA", Layout("RGB", 8), make.tga(2, 24, 1, 2, palette[3:] + palette[:3], flags=0), [RED])
    data = make.tga(2, 32, 2, 1, bytes([0, 0, 255, 51, 30, 20, 10, 255]), flags=0x28)
    yield Case("TGA", Layout("RGB", 8, "alpha"), data, [[255, 204, 204], [10, 20, 30]])
    layer = Image.new("RGBA", (16, 16), (255, 0, 0, 51))
    for options in ({}, {"bitmap_format": "bmp"}):
        data = save(layer, "ICO", sizes=[(16, 16)], **options)
        yield Case("ICO", Layout("RGB", 8, "alpha"), data, [[255, 204, 204]])
    colours = bytes([0, 0, 255, 0, 30, 20, 10, 0])
    for bits, line in ((1, b"\x40"), (4, b"\1"), (8, b"\0\1"), (24, bytes([0, 0, 255, 30, 20, 10]))):
        data = make.ico(2, line, bits, colours if bits < 24 else b"", mask=0b01)
        yield Case("ICO", Layout("RGB", 8, "alpha"), data, [RED, WHITE])
    end = bytes(7) + b"\1"
    data = b"qoif" + struct.pack(">IIBB", 2, 1, 3, 0) + b"\xfe\xff\0\0\xfe\x0a\x14\x1e" + end
    yield Case("QOI", Layout("RGB", 8), data, DOTS[0].tolist())
    yield Case("QOI", Layout("RGB", 8), save(Image.fromarray(DOTS), "QOI"), DOTS[0].tolist())
    data = b"qoif" + struct.pack(">IIBB", 1, 1, 4, 0) + b"\xff\xff\0\0\x33" + end
    yield Case("QOI", Layout("RGB", 8, "alpha"), data, [[255, 204, 204]])
    for name in ("a.jp2", "a.j2k"):
        kind = {"no_jp2": name.endswith("j2k")}
        for colour, mode, layout, shown in (
            (77, "L", Layout("grey", 8), grey(77)),
            ((0, 51), "LA", Layout("grey", 8, "alpha"), grey(204)),
            ((200, 60, 20), "RGB", Layout("RGB", 8), [[200, 60, 20]]),
            ((255, 0, 0, 51), "RGBA", Layout("RGB", 8, "alpha"), [[255, 204, 204]]),
            (30_000, "I;16", Layout("grey", 16), grey(117)),
        ):
            yield Case("JPEG2000", layout, flat(colour, "JPEG2000", mode, **kind), shown)


def list_heif():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    yield Case("HEIF", Layout("RGB", 8), flat((200, 60, 20), "HEIF", quality=100), [[200, 60, 20]], 4)
    data = flat((255, 0, 0, 51), "HEIF", "RGBA", quality=100)
    yield Case("HEIF", Layout("RGB", 8, "alpha"), data, [[255, 204, 204]], 4)
    for bits in (10, 12):
        wide = np.full((64, 64, 3), 200 * 257, np.uint16)
        file = io.BytesIO()
        heif.options.SAVE_HDR_TO_12_BIT = bits == 12
        heif.encode("RGB;16", (64, 64), wide.tobytes(), file, quality=100)
        heif.options.SAVE_HDR_TO_12_BIT = False
        yield Case("HEIF", Layout("RGB", bits), file.getvalue(), grey(200), 3)


CASES = [
    *list_png(),
    *list_jpeg(),
    *list_tiff(),
    *list_packed_tiff(),
    *list_others(),
    *list_small(),
    *list_heif(),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{i}-{c.format}-{c.layout}" for i, c in enumerate(CASES)])
def test_the_pixel_is_right(case, monkeypatch, recwarn):
    seen = []
    monkeypatch.setattr(
        pictures, "check_layout", lambda *found: (seen.append(found), layouts.check_layout(*found))
    )
    name = f"x.{case.format.lower()}"
    shown = next(pictures.read_frames(io.BytesIO(case.data), name)).pixels[0, : len(case.pixels)]
    if case.format != "ICO":
        assert seen == [(case.format, case.layout)]
    assert np.abs(shown.astype(int) - case.pixels).max() <= case.near, shown.tolist()
    assert not recwarn.list


def test_every_row_of_the_table_is_tested():
    assert {(c.format, c.layout) for c in CASES} == READ
    assert {f.name for f in FORMATS} == {row.format for row in picture_formats.ROWS}
    assert len(set(picture_formats.SUFFIXES)) == len(picture_formats.SUFFIXES)


def test_the_documentation_shows_the_table():
    text = (ROOT / "docs/formats.md").read_text()
    assert picture_formats.to_markdown() in text
