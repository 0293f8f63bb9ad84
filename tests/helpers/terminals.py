"""What a terminal makes of escape sequences: small decoders of our own, and pyte's screen for characters."""

import base64
import io
import re
from typing import Any

import numpy as np
from PIL import Image

KITTY = re.compile(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\")
ITERM2 = re.compile(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07")
SIXEL_TOKEN = r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|([$-])"
SIXEL = re.compile(r"\x1bP([\d;]*)q(.*?)\x1b\\", re.DOTALL)


def keys(text: str, between: str) -> dict[str, str]:
    """`a=T,f=100` as a dict."""
    return dict(pair.split("=") for pair in text.split(between))


def picture(data: bytes) -> np.ndarray:
    """A PNG file's pixels."""
    return np.asarray(Image.open(io.BytesIO(data)))


def kitty_pictures(text: str) -> list[tuple[dict[str, str], np.ndarray]]:
    """The pictures transmitted in `text`, with the keys of each one's first command."""
    found: list[tuple[dict[str, str], np.ndarray]] = []
    first: dict[str, str] = {}
    data = ""
    for control, chunk in KITTY.findall(text):
        assert len(chunk) <= 4096, "kitty takes no longer chunks"
        given = keys(control, ",")
        first = first or given
        data += chunk
        if given["m"] == "0":
            found.append((first, picture(base64.b64decode(data, validate=True))))
            first, data = {}, ""
        else:
            assert len(chunk) % 4 == 0
    assert not data, "a picture that does not end"
    return found


def iterm2_pictures(text: str) -> list[tuple[dict[str, str], np.ndarray]]:
    """The pictures in `text`, with their keys."""
    found = []
    for control, chunk in ITERM2.findall(text):
        given, data = keys(control, ";"), base64.b64decode(chunk, validate=True)
        assert int(given["size"]) == len(data)
        found.append((given, picture(data)))
    return found


def sixel_picture(text: str) -> np.ndarray:
    """RGBA [H, W, 4] of the one sixel picture in `text`, as DEC's manual reads it."""
    [(parameters, body)] = SIXEL.findall(text)
    assert parameters.split(";")[1] == "1", "what is not painted must stay as it is"
    size = re.match(r'"1;1;(\d+);(\d+)', body)
    assert size is not None
    width, height = int(size[1]), int(size[2])
    sheet = np.zeros((height + 6, width, 4), np.uint8)
    palette: dict[int, list[int]] = {}
    colour = x = y = 0
    for token in re.finditer(SIXEL_TOKEN, body[size.end() :]):
        if token[1]:
            colour = int(token[1])
            if token[2]:
                palette[colour] = [round(int(token[i]) * 2.55) for i in (2, 3, 4)]
        elif token[8]:
            x, y = 0, y + 6 * (token[8] == "-")
        else:
            bits, count = ord(token[6] or token[7]) - 63, int(token[5] or 1)
            for bit in range(6):
                if bits >> bit & 1:
                    sheet[y + bit, x : x + count] = [*palette[colour], 255]
            x += count
            assert x <= width
    assert not sheet[height:].any()
    return sheet[:height]


def screen(text: str, columns: int = 80, lines: int = 24) -> Any:
    """pyte's screen after `text`."""
    import pyte

    found = pyte.Screen(columns, lines)
    pyte.Stream(found).feed(text)
    return found


def painted(found: Any) -> np.ndarray:
    """The half blocks on a pyte screen as pixels [lines * 2, columns, 4]."""

    def rgba(name: str) -> list[int]:
        return [*bytes.fromhex(name), 255] if re.fullmatch("[0-9a-f]{6}", name) else [0, 0, 0, 0]

    sheet = np.zeros((found.lines * 2, found.columns, 4), np.uint8)
    for y, line in found.buffer.items():
        for x, char in line.items():
            if char.data == "▀":
                sheet[2 * y, x], sheet[2 * y + 1, x] = rgba(char.fg), rgba(char.bg)
            elif char.data == "▄":
                sheet[2 * y + 1, x] = rgba(char.fg)
    return sheet
