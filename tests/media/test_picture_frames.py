"""Several pictures in one file: frames as a viewer shows them, pages, sizes; what one reading says of it."""

import io
import struct
import zlib

import numpy as np
import pytest
from helpers import picture_files as make
from PIL import Image

from janus_cli.errors import MediaError
from janus_cli.media import pictures

RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]
SOLID = {"red": [255, 0, 0, 255], "green": [0, 255, 0, 255], "blue": [0, 0, 255, 255]}


def silent(text: str) -> None:
    raise AssertionError(text)


def read_all(data: bytes, name: str = "x") -> list[np.ndarray]:
    frames = list(pictures.read_frames(io.BytesIO(data), name, silent))
    assert [f.number for f in frames] == list(range(1, len(frames) + 1))
    assert {f.count for f in frames} == {len(frames)}
    return [f.pixels for f in frames]


def block(colour: str, width: int, height: int = 1) -> np.ndarray:
    return np.full((height, width, 4), SOLID[colour], np.uint8)


def gif(width: int, height: int, frames, screen_key: int | None = None) -> bytes:
    """A GIF of frames (colour, x, y, w, h, disposal, transparent colour): 0 red, 1 green, 2 blue, 3 black."""
    data = (
        b"GIF89a" + struct.pack("<HHBBB", width, height, 0x91, 3, 0) + bytes([*RED, *GREEN, *BLUE, 0, 0, 0])
    )
    for colour, x, y, w, h, disposal, key in frames:
        flags = disposal << 2 | (key is not None)
        data += bytes([0x21, 0xF9, 4, flags, 1, 0, key or 0, 0])
        data += b"," + struct.pack("<4HB", x, y, w, h, 0) + b"\2"
        codes = [c for index in [colour] * (w * h) for c in (4, index)] + [5]  # a clear code before each
        bits = sum(code << 3 * i for i, code in enumerate(codes))
        packed = bits.to_bytes(-(-3 * len(codes) // 8), "little")
        assert len(packed) < 256
        data += bytes([len(packed)]) + packed + b"\0"
    return data + b";"


def test_frames_of_a_gif_build_up():
    data = gif(
        4,
        1,
        [
            (0, 0, 0, 2, 1, 1, None),  # red on the left; on the right there was nothing yet
            (1, 1, 0, 2, 1, 2, None),  # green over the middle, cleared afterwards
            (2, 3, 0, 1, 1, 3, None),  # blue on the right, taken back afterwards
            (3, 0, 0, 1, 1, 1, 3),  # transparent: what is below stays
        ],
    )
    shown = [frame[0].tolist() for frame in read_all(data)]
    assert shown == [
        [RED, RED, WHITE, WHITE],
        [RED, GREEN, GREEN, WHITE],
        [RED, WHITE, WHITE, BLUE],
        [RED, WHITE, WHITE, WHITE],
    ]


def test_a_gif_frame_beyond_its_screen():
    assert read_all(gif(1, 1, [(0, 0, 0, 3, 2, 1, None)]))[0].shape == (2, 3, 3)
    assert read_all(gif(2, 1, [(0, 0, 0, 2, 1, 1, None), (1, 1, 0, 5, 1, 1, None)]))[1].tolist() == [
        [RED, GREEN]
    ]


def test_frames_of_an_apng_build_up():
    half = np.array([[[0, 0, 255, 51]]], np.uint8)
    frames = [
        (block("red", 3), 0, 0, 0, 0),
        (block("green", 1), 1, 0, 1, 0),  # cleared afterwards
        (half, 0, 0, 2, 1),  # over red, taken back afterwards
        (half, 2, 0, 0, 0),  # in place of red
    ]
    shown = [frame[0].tolist() for frame in read_all(make.apng(3, 1, frames))]
    assert shown == [
        [RED, RED, RED],
        [RED, GREEN, RED],
        [[204, 0, 51], WHITE, RED],
        [RED, WHITE, [204, 204, 255]],
    ]


def test_a_picture_apart_from_the_animation_is_the_first():
    frames = [(block("red", 2), 0, 0, 0, 0), (block("blue", 1), 0, 0, 0, 1)]
    shown = [frame[0].tolist() for frame in read_all(make.apng(2, 1, frames, still=block("green", 2)))]
    assert shown == [[GREEN, GREEN], [RED, RED], [BLUE, RED]]


def test_a_png_that_only_claims_frames_is_one_picture():
    data = make.png([[RED]], 8, 2, (b"acTL", struct.pack(">II", 5, 0)))
    assert len(read_all(data)) == 1


def three(mode: str = "RGB") -> list[Image.Image]:
    return [Image.new(mode, (16, 8), colour) for colour in ("#ff0000", "#00ff00", "#0000ff")]


@pytest.mark.parametrize(
    ("format", "options", "by"),
    [
        ("WEBP", {"lossless": True}, 0),
        ("AVIF", {"quality": 100}, 6),
        ("TIFF", {}, 0),
        ("MPO", {"quality": 95}, 3),
    ],
)
def test_frames_and_pages_that_a_library_reads(format, options, by):
    first, *rest = three()
    file = io.BytesIO()
    first.save(file, format, save_all=True, append_images=rest, **options)
    shown = read_all(file.getvalue())
    for frame, right in zip(shown, (RED, GREEN, BLUE), strict=True):
        assert frame.shape == (8, 16, 3) and np.abs(frame[4, 8].astype(int) - right).max() <= by


def test_heif_begins_with_its_primary_picture():
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    first, *rest = three()
    file = io.BytesIO()
    first.save(file, "HEIF", save_all=True, append_images=rest, quality=100, primary_index=1)
    shown = [frame[4, 8].astype(int) for frame in read_all(file.getvalue())]
    assert all(np.abs(a - b).max() < 9 for a, b in zip(shown, (GREEN, RED, BLUE), strict=True))


def test_pages_of_other_sizes_and_turns():
    page = make.tiff_page([[RED[:1] * 3]], 8, 1 + 1, at=8, next_page=True)
    corner = np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8)
    second = make.tiff_page(corner, 8, 2, {274: (make.SHORT, [6])}, at=8 + len(page))
    shown = read_all(b"II*\0\x08\0\0\0" + page + second)
    assert [frame.shape[:2] for frame in shown] == [(1, 1), (2, 1)]
    assert shown[1][:, 0].tolist() == [RED, GREEN]


def test_sizes_of_an_icon_from_the_largest():
    file = io.BytesIO()
    Image.new("RGBA", (64, 64), "red").save(file, "ICO", sizes=[(16, 16), (64, 64), (32, 32)])
    assert [frame.shape[0] for frame in read_all(file.getvalue())] == [64, 32, 16]


def test_a_page_that_is_not_read_leaves_those_before_it():
    page = make.tiff_page([[[1, 2, 3]]], 8, 2, at=8, next_page=True)
    wide = make.tiff_page([[7]], 32, 1, at=8 + len(page))
    frames = pictures.read_frames(io.BytesIO(b"II*\0\x08\0\0\0" + page + wide), "x.tif", silent)
    assert next(frames).pixels.tolist() == [[[1, 2, 3]]]
    with pytest.raises(
        MediaError, match=r"x\.tif, 2 of 2 pages: a TIFF picture \(grey of 32 bits\) is not read"
    ):
        next(frames)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (gif(1, 1, [(0, 0, 0, 1, 1, 1, None)] * 3), "x: 3 frames, the first is read"),
        (make.apng(1, 1, [(block("red", 1), 0, 0, 0, 0)] * 2), "x: 2 frames, the first is read"),
    ],
)
def test_one_reading_says_what_it_leaves(data, said):
    notes: list[str] = []
    assert pictures.read_image(io.BytesIO(data), "x", notes.append).tolist() == [[RED]]
    assert notes == [said]
    with pytest.warns(UserWarning, match=said):
        pictures.read_image(io.BytesIO(data), "x")


def test_frames_cannot_be_bombs():
    bomb = gif(60_000, 60_000, [(0, 0, 0, 1, 1, 1, None)])
    with pytest.raises(MediaError, match="60000 x 60000 pixels; at most 100,000,000"):
        read_all(bomb)
    rows = zlib.compress(bytes(100))
    control = make.chunk(b"fcTL", struct.pack(">5IHHBB", 0, 60_000, 60_000, 0, 0, 1, 1, 0, 0))
    data = make.apng(1, 1, [(block("red", 1), 0, 0, 0, 0)], still=block("red", 1))
    place = data.index(b"fcTL") - 4
    data = data[:place] + control + make.chunk(b"fdAT", b"\0\0\0\1" + rows) + make.chunk(b"IEND", b"")
    frames = pictures.read_frames(io.BytesIO(data), "x", silent)
    next(frames)
    with pytest.raises(MediaError, match="60000 x 60000 pixels; at most 100,000,000"):
        next(frames)
