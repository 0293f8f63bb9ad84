"""Pictures as a terminal takes them: the escape sequences of three graphics protocols, and half blocks.

Knows bytes and numpy pictures; writes to no terminal.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np

from janus_cli.media.pictures import resize

_CHUNK = 4096  # characters of base64 in one kitty command, a multiple of 4
_MAX_SIDE = 1024  # pixels of a picture that is sent; terminals scale it
_MAX_COLOURS = 128  # of a sixel picture; what it costs grows with them
_BAND = 6  # pixel rows in one row of sixels


def join_pictures(pictures: Sequence[np.ndarray], aspect: float) -> np.ndarray:
    """Join pictures [H, W, 3] of one size, in rows as suits a place of width / height, into RGBA [H', W', 4].

    What is between and beside them is transparent.
    """
    height, width = pictures[0].shape[:2]
    count, gap = len(pictures), max(1, width // 16)
    across = max(range(1, count + 1), key=lambda n: min(aspect / (n * width), 1 / (-(-count // n) * height)))
    down = -(-count // across)
    sheet = np.zeros((down * (height + gap) - gap, across * (width + gap) - gap, 4), np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // across * (height + gap), i % across * (width + gap)
        sheet[top : top + height, left : left + width] = np.dstack([picture, np.full((height, width), 255)])
    return sheet


def encode_kitty(picture: np.ndarray, lines: int, id: int) -> str:
    """Paint RGBA [H, W, 4] at the cursor, `lines` high, in the place of what had the same `id`.

    The cursor stays (C=1) and the terminal answers nothing (q=2).
    """
    data = base64.standard_b64encode(_png(picture)).decode("ascii")
    chunks = [data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK)]
    keys = f"a=T,f=100,i={id},p=1,r={lines},C=1,q=2,"
    last = len(chunks) - 1
    return "".join(
        f"\x1b_G{keys if i == 0 else 'q=2,'}m={int(i < last)};{chunk}\x1b\\" for i, chunk in enumerate(chunks)
    )


def encode_iterm2(picture: np.ndarray, lines: int) -> str:
    """Paint RGBA [H, W, 4] at the cursor, `lines` high. The cursor moves behind it."""
    data = _png(picture)
    keys = f"inline=1;size={len(data)};width=auto;height={lines};preserveAspectRatio=1"
    return f"\x1b]1337;File={keys}:{base64.standard_b64encode(data).decode('ascii')}\x07"


def encode_sixel(picture: np.ndarray) -> str:
    """Paint RGBA [H, W, 4] at the cursor, a pixel on a pixel. The cursor moves below it.

    Transparent pixels are left as they are.
    """
    from PIL import Image

    height, width = picture.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(picture[..., :3])).quantize(_MAX_COLOURS)
    palette = np.array(image.getpalette(), int).reshape(-1, 3)
    colours = np.asarray(image).astype(int)
    colours[picture[..., 3] < 128] = -1
    colours = np.pad(colours, ((0, -height % _BAND), (0, 0)), constant_values=-1)
    out = [f'\x1bP0;1;0q"1;1;{width};{height}']
    out += [
        f"#{i};2;{';'.join(str(round(c * 100 / 255)) for c in palette[i])}"
        for i in np.unique(colours)
        if i >= 0
    ]
    bands = []
    for top in range(0, len(colours), _BAND):
        band = colours[top : top + _BAND]
        weights = 1 << np.arange(_BAND)[:, None]
        bands.append(
            "$".join(f"#{i}{_run_lengths(((band == i) * weights).sum(0))}" for i in np.unique(band) if i >= 0)
        )
    return "".join([*out, "-".join(bands), "\x1b\\"])


def _run_lengths(sixels: np.ndarray) -> str:
    """Write one colour's sixels [W] as text: runs counted, blanks at the end cut. The top pixel is bit 0."""
    starts = np.concatenate([[0], np.flatnonzero(np.diff(sixels)) + 1])
    counts = np.diff(np.append(starts, len(sixels)))
    runs = [
        (chr(63 + value), count)
        for value, count in zip(sixels[starts].tolist(), counts.tolist(), strict=True)
    ]
    if runs[-1][0] == "?":
        runs.pop()
    return "".join(f"!{count}{char}" if count > 3 else char * count for char, count in runs)


def _png(picture: np.ndarray) -> bytes:
    """Encode RGBA [H, W, 4] as PNG, quickly, no larger than makes sense on a screen."""
    from PIL import Image

    image = Image.fromarray(picture)
    if picture[..., 3].min() == 255:
        image = image.convert("RGB")
    image.thumbnail((_MAX_SIDE, _MAX_SIDE))
    file = io.BytesIO()
    image.save(file, "png", compress_level=1)
    return file.getvalue()


def make_half_blocks(picture: np.ndarray, columns: int, lines: int) -> np.ndarray:
    """Turn RGBA [H, W, 4] into the colours of characters [lines, columns, 2, 4]: upper half, lower half."""
    small = resize(picture, lines * 2, columns)
    return small.reshape(lines, 2, columns, 4).swapaxes(1, 2)
