"""Pictures and sounds: every mode and orientation, damage, bombs, metadata, round trips."""

import io
import json
import os
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from janus_cli.errors import MediaError
from janus_cli.media import pictures
from janus_cli.media.sniff import is_safetensors, sniff

CORNER = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[0, 0, 0], [128, 128, 128], [255, 255, 255]]], np.uint8
)


def save(image: Image.Image, format: str = "PNG", **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


def read(image: Image.Image, format: str = "PNG", **options) -> np.ndarray:
    return pictures.read_image(save(image, format, **options), "x")


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("PA", "TIFF"),
        ("RGB", "PNG"),
        ("RGBA", "PNG"),
        ("I;16", "PNG"),
        ("I;16", "TIFF"),
        ("I;16B", "TIFF"),
        ("F", "TIFF"),
        ("CMYK", "JPEG"),
        ("CMYK", "TIFF"),
        ("YCbCr", "JPEG"),
        ("LAB", "TIFF"),
        ("RGB", "WEBP"),
        ("RGBA", "WEBP"),
        ("P", "GIF"),
        ("RGB", "BMP"),
        ("RGB", "PPM"),
    ],
)
def test_every_mode_is_read_as_rgb(mode, format):
    whites = {"I": 65535, "I;16": 65535, "I;16B": 65535, "F": 1.0, "LAB": (255, 128, 128)}
    white = (
        Image.new(mode, (5, 3), whites[mode])
        if mode in whites
        else Image.new("RGB", (5, 3), "white").convert(mode)
    )
    found = read(white, format)
    assert found.shape == (3, 5, 3) and found.dtype == np.uint8
    assert found.min() >= 254


def test_gray_of_16_bits_is_scaled_not_cut():
    ramp = np.array([[0, 257, 32896, 65535]], np.uint16)
    assert read(Image.fromarray(ramp))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_float_pictures():
    found = read(Image.fromarray(np.array([[0, 0.5, 1]], np.float32)), "TIFF")
    assert found[0, :, 0].tolist() == [0, 128, 255]
    for values, said in (
        ([[0, 128, 300]], "floats from 0 to 300: only those from 0 to 1"),
        ([[0, np.nan]], "nan"),
    ):
        with pytest.raises(MediaError, match=said):  # where their white is, nobody knows
            read(Image.fromarray(np.array(values, np.float32)), "TIFF")


def test_alpha_lies_over_white():
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    assert read(Image.fromarray(pixels))[0].tolist() == [[255, 0, 0], [255, 255, 255], [127, 127, 127]]
    gray = np.array([[[0, 255], [0, 0]]], np.uint8)
    assert read(Image.fromarray(gray, "LA"))[0].tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_palette_with_transparency(transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert read(image, transparency=transparency)[0].tolist() == [[10, 20, 30], [255, 255, 255]]


def test_transparent_colour_of_rgb_and_gray():
    assert read(Image.fromarray(CORNER), transparency=(0, 0, 0))[1, 0].tolist() == [255, 255, 255]
    gray = Image.fromarray(np.array([[0, 9]], np.uint8))
    assert read(gray, transparency=9)[0].tolist() == [[0, 0, 0], [255, 255, 255]]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF", "MPO"])
def test_exif_orientation(orientation, format):
    # where a viewer finds the stored pixels: EXIF 2.3, 4.6.4, table of tag 0x0112
    upright = {
        1: CORNER,
        2: CORNER[:, ::-1],
        3: CORNER[::-1, ::-1],
        4: CORNER[::-1],
        5: CORNER.swapaxes(0, 1),
        6: np.rot90(CORNER, -1),
        7: CORNER[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(CORNER),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    side = 1 if format in ("PNG", "WEBP", "TIFF") else 16  # of a flat spot, for what is lossy
    if side > 1:
        options = {"quality": 100, "subsampling": "4:4:4"}
    image = Image.fromarray(CORNER.repeat(side, axis=0).repeat(side, axis=1))
    found = read(image, format, exif=exif, **options)[side // 2 :: side, side // 2 :: side]
    assert found.shape == upright[orientation].shape
    assert np.abs(found.astype(int) - upright[orientation]).max() <= (0 if side == 1 else 40)


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0garbage",
        b"Exif\0\0II*\0\xff\xff\xff\xff",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"x" * 30,
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\xff\xff\xff\xff\x06\0\0\0",
    ],
)
def test_broken_exif_does_not_lose_the_picture(exif):
    for format in ("PNG", "JPEG", "WEBP"):
        assert read(Image.new("RGB", (4, 2), "white"), format, exif=exif).size == 24
        assert pictures.read_image_metadata(save(Image.new("RGB", (4, 2)), format, exif=exif), "x") == {}


def png(width: int, height: int) -> bytes:
    """A PNG that claims this size and holds almost nothing."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


@pytest.mark.parametrize("side", [10_001, 13_000, 60_000])
def test_decompression_bombs(side, recwarn):
    with pytest.raises(MediaError, match="100,000,000"):
        pictures.read_image(io.BytesIO(png(side, side)), "bomb.png")
    assert not recwarn.list


def test_damaged_pictures_give_one_line():
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8))
    for format in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
        data = save(image, format).read()
        for _ in range(40):
            bad = bytearray(data[: rng.integers(1, len(data) + 1)])
            for place in rng.integers(0, len(bad), 3):
                bad[place] = rng.integers(256)
            try:
                assert pictures.read_image(io.BytesIO(bytes(bad)), "x.png", lambda text: None).shape[2] == 3
            except MediaError as error:
                assert str(error).startswith("x.png: ") and "\n" not in str(error)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x: empty"),
        (b"hello", "not a picture"),
        (png(10, 10), "cut off"),
        (b"\x20\0\0\0\0\0\0\0{}", "token record"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    ],
)
def test_what_is_no_picture(data, message):
    with pytest.raises(MediaError, match=message):
        pictures.read_image(io.BytesIO(data), "x")


def test_paths_that_cannot_be_read(tmp_path):
    for path, message in ((tmp_path / "none.png", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(MediaError, match=message):
            pictures.read_image(path, str(path))


def test_a_picture_may_come_through_a_pipe():
    source, sink = os.pipe()
    data = save(Image.fromarray(CORNER)).read()
    thread = threading.Thread(target=lambda: (os.write(sink, data), os.close(sink)))
    thread.start()
    with os.fdopen(source, "rb", buffering=0) as file:
        np.testing.assert_array_equal(pictures.read_image(file, "stdin"), CORNER)
    thread.join()


METADATA = {"Software": "janus-cli", "prompt": 'ein roter Apfel, 苹果\n"', "janus": json.dumps({"seed": 7})}


@pytest.mark.parametrize("format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("metadata", [METADATA, {}, None])
def test_pictures_round_trip_with_their_metadata(format, metadata, tmp_path):
    smooth = np.broadcast_to(np.linspace(0, 255, 32)[:, None, None], (32, 48, 3)).astype(np.uint8)
    data = pictures.image_bytes(smooth, format, metadata)
    assert data == pictures.image_bytes(np.asfortranarray(smooth), format, metadata)
    path = tmp_path / f"x.{format}"
    path.write_bytes(data)
    found = pictures.read_image(path, "x")
    assert found.shape == smooth.shape
    assert np.abs(found.astype(int) - smooth).max() <= (0 if format == "png" else 6)
    assert pictures.read_image_metadata(path) == (metadata or {})
    assert Image.open(path).format == format.upper()


def test_png_texts_are_what_other_tools_read():
    image = Image.open(io.BytesIO(pictures.image_bytes(CORNER, "png", METADATA)))
    assert isinstance(image, PngImagePlugin.PngImageFile)
    assert image.text == METADATA
    assert b"tEXtjanus\0" in pictures.image_bytes(CORNER, "png", METADATA)


def test_what_a_format_cannot_hold():
    with pytest.raises(MediaError, match="use png"):
        pictures.image_bytes(CORNER, "jpeg", {"janus": "x" * 70_000})
    with pytest.raises(MediaError, match="17000 x 1 pixels cannot be written as webp"):
        pictures.image_bytes(np.zeros((1, 17_000, 3), np.uint8), "webp")
    with pytest.raises(MediaError, match="'bmp'"):
        pictures.image_bytes(CORNER, "bmp")


def test_patches_and_pictures():
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    pixels = pictures.image_to_pixels(image, 2)
    assert pixels.shape == (2, 3, 2, 2, 3)
    np.testing.assert_array_equal(pixels[1, 2], image[2:4, 4:6])
    np.testing.assert_array_equal(pictures.pixels_to_image(pixels), image)
    with pytest.raises(MediaError, match="6 x 4 pixels is no multiple of the patch, 4"):
        pictures.image_to_pixels(image, 4)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP picture"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a WAV sound"),
        (b"FORM\0\0\0\0AIFFCOMM", "an AIFF sound"),
        (b"ID3", "an MP3 sound"),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"\x10\0\0\0\0\0\0\0{}", None),
        (b"", None),
    ],
)
def test_first_bytes_tell(head, name):
    kind = sniff(head)
    assert (kind and kind.name) == name
    assert is_safetensors(head) == head.endswith(b"{}")


def test_too_little_memory_is_no_damage(monkeypatch):
    def load(image):
        raise MemoryError

    monkeypatch.setattr(pictures, "_load", load)
    with pytest.raises(MemoryError):
        read(Image.fromarray(CORNER))


def test_a_png_is_searched_for_repeats_where_it_has_them():
    glyph = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    page = np.full((512, 512, 3), 255, np.uint8)
    for y, x in np.random.default_rng(1).integers(0, 504, (30, 2)):
        page[y : y + 8, x : x + 8] = glyph
    file = io.BytesIO()
    Image.fromarray(page).save(file, "png", compress_level=6)
    data = pictures.image_bytes(page, "png")
    assert len(data) <= len(file.getvalue())
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), page)


@pytest.mark.parametrize("height", [1, 255, 256, 257, 600])
def test_pixels_are_copied_band_by_band(height):
    pixels = np.random.default_rng(height).integers(0, 256, (height, 3, 3)).astype(np.uint8)
    file = io.BytesIO(pictures.image_bytes(pixels, "png"))
    assert np.array_equal(pictures.read_image(file, "a.png"), pixels)
