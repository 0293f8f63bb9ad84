"""Escape sequences decoded again; how pictures are laid out."""

import numpy as np
import pytest
from helpers.terminals import iterm2_pictures, kitty_pictures, sixel_picture

from janus_cli.shell.watch import escapes as ti


def drawing(height: int = 60, width: int = 48, alpha: bool = False) -> np.ndarray:
    """A few flat colours with edges that fall on no multiple of six, RGBA."""
    sheet = np.full((height, width, 4), 255, np.uint8)
    sheet[5:, 7:, :3] = (204, 0, 51)
    sheet[20:41, 10:30, :3] = (0, 102, 255)
    sheet[-1, :, :3] = 0
    if alpha:
        sheet[30:50, 20:40] = 0
    return sheet


def test_kitty_carries_the_very_pixels_in_chunks():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 4), np.uint8)
    noise[..., 3] = 255
    text = ti.encode_kitty(noise, 12, 77)
    [(keys, back)] = kitty_pictures(text)
    assert np.array_equal(back, noise[..., :3]) and text.count("\x1b_G") == 5
    assert keys == {"a": "T", "f": "100", "i": "77", "p": "1", "r": "12", "C": "1", "q": "2", "m": "1"}


def test_iterm2_carries_the_very_pixels():
    [(keys, back)] = iterm2_pictures(ti.encode_iterm2(drawing(alpha=True), 9))
    assert np.array_equal(back, drawing(alpha=True))
    assert keys["inline"] == "1" and keys["height"] == "9" and keys["preserveAspectRatio"] == "1"


def test_a_huge_sheet_is_sent_smaller():
    [(_, back)] = kitty_pictures(ti.encode_kitty(drawing(1500, 3000), 12, 1))
    assert back.shape == (512, 1024, 3)


@pytest.mark.parametrize("height", [6, 60, 61, 64, 65])
@pytest.mark.parametrize("alpha", [False, True])
def test_sixel_paints_every_pixel(height, alpha):
    sheet = drawing(height, alpha=alpha)
    back = sixel_picture(ti.encode_sixel(sheet))
    assert np.array_equal(back, sheet)


def test_sixel_of_many_colours_is_close():
    ramp = np.linspace(0, 255, 64)
    flat = [np.full((64, 64), value) for value in (128, 255)]
    sheet = np.dstack([*np.meshgrid(ramp, ramp), *flat]).astype(np.uint8)
    back = sixel_picture(ti.encode_sixel(sheet))
    assert np.abs(back.astype(int) - sheet).mean() < 6


def test_half_blocks_are_upper_and_lower_pixels():
    sheet = drawing(8, 6)
    cells = ti.make_half_blocks(sheet, 6, 4)
    assert cells.shape == (4, 6, 2, 4)
    assert np.array_equal(cells[:, :, 0], sheet[::2]) and np.array_equal(cells[:, :, 1], sheet[1::2])


@pytest.mark.parametrize(
    ("count", "aspect", "across", "down"),
    [(1, 1.7, 1, 1), (2, 1.7, 2, 1), (4, 4.0, 4, 1), (4, 1.7, 2, 2), (3, 0.4, 1, 3), (8, 1.7, 4, 2)],
)
def test_side_by_side(count, aspect, across, down):
    pictures = [np.full((32, 32, 3), 10 * (i + 1), np.uint8) for i in range(count)]
    sheet = ti.join_pictures(pictures, aspect)
    assert sheet.shape == (down * 34 - 2, across * 34 - 2, 4)
    for i in range(count):
        top, left = i // across * 34, i % across * 34
        assert (sheet[top : top + 32, left : left + 32] == [*[10 * (i + 1)] * 3, 255]).all()
    assert (sheet[..., 3] == 255).sum() == count * 32 * 32
