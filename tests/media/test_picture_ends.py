"""All bytes of a picture's file accounted for: cut and joined ones refused, others said; and no faults."""

import io
import os
import random
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from helpers import picture_files as make
from PIL import Image

from janus_cli.errors import MediaError
from janus_cli.media import pictures, png_chunks
from janus_cli.media.picture_ends import CutOffError, find_end

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (24, 40, 3), np.uint8)


def save(format: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(NOISE).convert("P" if format == "GIF" else "RGB").save(file, format, **options)
    return file.getvalue()


def heif() -> bytes:
    pytest.importorskip("pillow_heif").register_heif_opener()
    return save("HEIF")


FILES = {
    "png": save("PNG"),
    "jpg": save("JPEG", quality=90),
    "progressive.jpg": save("JPEG", progressive=True, exif=Image.Exif()),
    "gif": save("GIF"),
    "webp": save("WEBP"),
    "lossless.webp": save("WEBP", lossless=True),
    "tif": save("TIFF"),
    "lzw.tif": save("TIFF", compression="tiff_lzw"),
    "planes.tif": make.tiff(NOISE, 8, 2, planes=True),
    "big-endian.tif": make.tiff(NOISE.astype(int) * 257, 16, 2, order=">"),
    "big.tif": save("TIFF", big_tiff=True),
    "bmp": save("BMP"),
    "ppm": save("PPM"),
    "avif": save("AVIF"),
    "heic": heif(),
    "tga": save("TGA"),
    "rle.tga": save("TGA", compression="tga_rle"),
    "ico": save("ICO", sizes=[(16, 16), (24, 24)]),
    "qoi": save("QOI"),
    "jp2": save("JPEG2000"),
    "j2k": save("JPEG2000", no_jp2=True),
}


def read(data: bytes, name: str) -> list[str]:
    """Read a picture; returns what was said, without the name."""
    notes: list[str] = []
    next(pictures.read_frames(io.BytesIO(data), f"x.{name}", notes.append))
    return [text.removeprefix(f"x.{name}: ") for text in notes]


@pytest.mark.parametrize("name", FILES)
def test_a_whole_file_says_nothing(name):
    assert read(FILES[name], name) == []
    assert find_end(FILES[name], Image.open(io.BytesIO(FILES[name])).format) == len(FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_bytes_behind_the_end_are_said(name):
    said = "bytes behind the picture's end are no part of it, and are passed over"
    for rest in (b"behind it", b"\0" * 5000 + b"x", b"PK\3\4" + bytes(100)):
        assert read(FILES[name] + rest, name) == [f"{len(rest):,} {said}"]
    one = "1 byte behind the picture's end is no part of it, and is passed over"
    assert read(FILES[name] + b"\1", name) == [one]


@pytest.mark.parametrize("name", FILES)
def test_padding_behind_the_end_says_nothing(name):
    for rest in (b"\n", b"\r\n", b"\0", b"\0" * 5000, b"\0\n\0"):
        assert read(FILES[name] + rest, name) == []


@pytest.mark.parametrize("name", FILES)
def test_joined_pictures_are_refused(name):
    others = [FILES["png"], FILES["jpg"], FILES["tif"], FILES["heic"]]
    for behind in (*others, b"\0\0" + FILES["gif"], b"\n" + FILES["webp"]):
        with pytest.raises(
            MediaError, match="picture follows the picture's end at byte .*: make files of them"
        ):
            read(FILES[name] + behind, name)
    if "tga" not in name:  # which has no mark at its start
        with pytest.raises(MediaError, match="picture follows the picture's end"):
            read(FILES[name] * 2, name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_off_is_never_read_in_silence(name):
    data = FILES[name]
    for end in (*range(1, 40), *range(40, len(data), max(len(data) // 40, 1)), len(data) - 2, len(data) - 1):
        try:
            said = read(data[:end], name)
        except MediaError:
            continue
        # a mark or a footer behind the last pixel is all that may be missing
        assert len(data) - end <= (26 if "tga" in name else 2) and (said or "tga" in name), (end, len(data))


def test_rows_that_are_missing_in_a_whole_png():
    head = struct.pack(">IIBBBBB", 10, 10, 8, 2, 0, 0, 0)
    for rows, interlaced in ((1, 0), (9, 0), (5, 1)):
        head = head[:-1] + bytes([interlaced])
        body = make.chunk(b"IDAT", zlib.compress((b"\0" + bytes(30)) * rows))
        data = b"\x89PNG\r\n\x1a\n" + make.chunk(b"IHDR", head) + body + make.chunk(b"IEND", b"")
        with pytest.raises(MediaError, match="x.png: cut off"):
            read(data, "png")


def test_a_png_without_pixels_is_cut_off():
    head = make.chunk(b"IHDR", struct.pack(">IIBBBBB", 10, 10, 8, 2, 0, 0, 0))
    data = FILES["png"][:8] + head + make.chunk(b"IDAT", b"") + make.chunk(b"IEND", b"")
    with pytest.raises(MediaError, match="^x.png: cut off"):
        read(data, "png")


def test_an_interlaced_png_is_read():
    """Adam7 by hand: 3 x 2 pixels in the passes that they fall into (PNG, 8.1)."""
    head = struct.pack(">IIBBBBB", 3, 2, 8, 0, 0, 0, 1)
    rows = b"\0\x0a" + b"\0\x1e" + b"\0\x14" + b"\0\x28\x32\x3c"  # passes 1, 4, 6, 7
    data = b"\x89PNG\r\n\x1a\n" + make.chunk(b"IHDR", head)
    data += make.chunk(b"IDAT", zlib.compress(rows)) + make.chunk(b"IEND", b"")
    shown = pictures.read_image(io.BytesIO(data), "x")[..., 0]
    assert shown.tolist() == [[10, 20, 30], [40, 50, 60]]


@pytest.mark.parametrize("place", ["IHDR", "IDAT", "IEND"])
def test_a_wrong_checksum_is_damage(place):
    data = bytearray(make.png(NOISE, 8, 2))
    at = data.index(place.encode())
    data[at + 4 + int.from_bytes(data[at - 4 : at])] ^= 1
    with pytest.raises(MediaError, match=f"damaged picture .wrong checksum of {place}"):
        read(bytes(data), "png")


def test_a_chunk_that_must_be_known():
    """CgBI, as in the packages of iPhone programs: blue first, no zlib header."""
    data = make.png(NOISE, 8, 2)
    with pytest.raises(MediaError, match="CgBI must be known to read it; convert it to plain PNG"):
        read(data[:8] + make.chunk(b"CgBI", bytes(4)) + data[8:], "png")


def test_a_gif_without_its_end_mark_is_said():
    assert read(FILES["gif"][:-1], "gif") == ["its end mark is missing: it may be cut off"]


def test_long_texts_cost_no_picture():
    """Two MiB of XMP, as photo editors write it; a bomb of text; more of them than fit into memory."""
    bomb = zlib.compress(bytes(1 << 26))
    texts = [
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(bytes(2 << 20))),
        (b"iTXt", b"plain\0\0\0\0\0" + b"x" * (2 << 20)),
        *[(b"zTXt", b"bomb\0\0" + bomb)] * 20,
        (b"zTXt", b"broken\0\0no zlib"),
        (b"tEXt", b"prompt\0a red apple"),
        (b"iTXt", b"Titel\0\1\0de\0\0" + zlib.compress("Käse".encode())),
    ]
    data = make.png([[[9, 8, 7]]], 8, 2, *texts)
    start = time.monotonic()
    assert pictures.read_image(io.BytesIO(data), "x").tolist() == [[[9, 8, 7]]]
    assert pictures.read_image_metadata(io.BytesIO(data), "x") == {"prompt": "a red apple", "Titel": "Käse"}
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (make.tiff([[7]], 32, 1), r"grey of 32 bits\) is not read; convert it to grey of 8 bits, as PNG"),
        (make.tiff([[7]], 16, 1, {339: (make.SHORT, [2])}), "grey of 16 bits, signed"),
        (make.tiff(NOISE.astype(int) * 257, 16, 2, planes=True), "RGB of 16 bits, planes"),
        (make.tiff([[[1, 2, 3, 4]]], 8, 2), "RGB of 8 bits, an unnamed sample more"),
        (make.tiff([[[1, 2, 3, 4]]], 8, 2, {338: (make.SHORT, [0])}), "an unnamed sample more"),
        (make.tiff([[[1, 2, 3, 4]]], 8, 5, {332: (make.SHORT, [2])}), "CMYK of 8 bits, other inks"),
        (make.tiff([[[1, 2, 3]]], 8, 6), "YCbCr of 8 bits, subsampled"),
        (make.tiff([[[1, 2, 3]]], 8, 9), "not read; convert it to RGB of 8 bits, as PNG"),
        (make.tiff([[[1, 2, 3]]], 32, 2, kind="f"), "not read; convert it to RGB of 8 bits, as PNG"),
        (make.tiff([[[1, 2, 3]]], 8, 2, {0xC612: (make.SHORT, [1])}), "the preview of a raw photo"),
        (make.tiff([[[1, 2, 3]]], 8, 2, {254: (4, [1]), 330: (4, [8])}), "the preview of a raw photo"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "not a picture that can be read .*: convert it to PNG",
        ),
        (make.tga(2, 32, 1, 1, bytes(4)), "RGB of 8 bits, an unnamed sample more"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0", "not a picture that can be read"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not a picture that can be read"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "damaged, or a kind of picture that is not read"),
    ],
)
def test_what_the_table_lacks_is_refused_with_a_word(data, said):
    with pytest.raises(MediaError, match=said) as caught:
        read(data, "tga" if data[:3] == b"\0\0\2" else "tif")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("x.t")


def test_cmyk_without_adobe_s_marker_is_refused():
    file = io.BytesIO()
    Image.new("CMYK", (16, 16)).save(file, "JPEG")
    data = file.getvalue()
    place = data.index(b"\xff\xee")
    length = int.from_bytes(data[place + 2 : place + 4])
    with pytest.raises(
        MediaError, match=r"JPEG picture \(CMYK of 8 bits, without Adobe's marker\) is not read"
    ):
        read(data[:place] + data[place + 2 + length :], "jpg")


def test_heif_without_its_package_names_the_extra(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(
        MediaError, match=r'x.heic: HEIF needs another package: pip install "janus-cli\[heif\]"'
    ):
        read(FILES["heic"], "heic")


def test_targa_is_read_by_its_name_or_its_footer():
    data = FILES["tga"]
    assert data.endswith(b"TRUEVISION-XFILE.\0")
    read(data, "bin")
    with pytest.raises(MediaError, match="not a picture that can be read"):
        read(data[:-26], "bin")


def test_a_hostile_directory_costs_no_time():
    """65,535 entries that share one table, in many directories that point to one another."""
    entry = struct.pack("<HHII", 273, 4, 400_000, 16)
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 65_535) + entry * 65_535 + bytes(2_000_000)
    start = time.monotonic()
    with pytest.raises(MediaError):
        read(data, "tif")
    assert time.monotonic() - start < 5


def test_plain_numbers_end_where_they_do():
    """Netpbm's: in runs that are matched together and one by one, bits that touch, comments between."""
    grey = b"P2 150 200 255\n" + b"7 12\n255 " * 10_000
    bits = b"P1 150 200\n" + b"# 2 to 9\n" + b"01 " * 15_000
    for data in (grey, bits, grey.replace(b"255 ", b"255 # in 1999\n", 3)):
        assert find_end(data, "PPM") == find_end(data + b"x", "PPM") == len(data)
        with pytest.raises(CutOffError):
            find_end(data[: -len(b"255 ") if data[1:2] == b"2" else -2], "PPM")


def test_a_large_plain_netpbm_costs_little_time():
    data = b"P3 1000 1000 255\n" + b"0 10 255 " * 1_000_000
    start = time.process_time()
    assert find_end(data, "PPM") == len(data)
    assert time.process_time() - start < 1.3  # of some 2


def test_directories_that_overlap_cost_no_time():
    """One entry that names 300 directories, of 65,535 entries each, two bytes apart."""
    table, rest = 8 + 2 + 12 + 4, b"\xff" * 1200 + bytes(65_536 * 12)
    places = struct.pack("<300I", *range(table + 1200, table + 1800, 2))
    entry = struct.pack("<HHII", 0x014A, 4, 300, table)
    data = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4) + places + rest
    start = time.process_time()
    with pytest.raises(ValueError, match="more than 500,000 entries"):
        find_end(data, "TIFF")
    assert time.process_time() - start < 8  # of some 15


def test_a_run_of_ff_costs_no_time():
    start = time.process_time()
    with pytest.raises(CutOffError):
        find_end(b"\xff\xd8\xff\xda\0\2" + b"\xff" * 100_000, "JPEG")
    assert time.process_time() - start < 5  # of some 90


@pytest.mark.parametrize("level", [0, 9])
def test_pixels_are_counted_in_little_memory(level):
    """What zlib leaves of its input is copied: a megabyte at a time, all the rest would be, each time."""
    packed = zlib.compress(bytes(1 << 24), level)
    half = packed[: len(packed) // 2]
    tracemalloc.start()
    assert png_chunks._count_unpacked(packed, 1 << 30) == 1 << 24 > png_chunks._count_unpacked(half, 1 << 24)
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()
    assert (1 << 20) <= png_chunks._count_unpacked(packed, 1 << 20) < (3 << 20)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (FILES["png"][:33] + make.chunk(b"abCd", b"") * 1_000_001, "more than 1,000,000 chunks"),
        (FILES["gif"][:-1] + (b"," + bytes(8) + b"\0\2\0") * 100_001 + b";", "more than 100,000 frames"),
    ],
)
def test_blocks_without_end_are_refused(data, said):
    with pytest.raises(MediaError, match=said):
        read(data, "png")


def test_mutated_files_give_one_line_and_no_noise(capfd):
    rng = random.Random(7)
    start = time.monotonic()
    for data in FILES.values():
        for _ in range(25):
            bad = bytearray(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.2 else data)
            for _ in range(rng.randrange(1, 4)):
                bad[rng.randrange(min(len(bad), rng.choice((60, 400, len(bad)))))] = rng.choice(
                    (0, 1, 127, 255)
                )
            try:
                next(pictures.read_frames(io.BytesIO(bytes(bad)), "x", lambda text: None))
            except MediaError as error:
                assert str(error).startswith("x: ") and "\n" not in str(error)
    assert capfd.readouterr() == ("", "")
    assert time.monotonic() - start < 60
    os.fstat(2)
