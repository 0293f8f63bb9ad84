"""`janus draw --preview --frames --animation`: on a terminal of our own, in files, and nowhere else."""

import os
import pty
import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import pixels
from helpers.terminals import SIXEL, iterm2_pictures, kitty_pictures, painted, screen, sixel_picture
from PIL import Image

from janus_cli.app import main
from janus_cli.shell.progress import Rate
from janus_cli.shell.watch import canvas
from janus_cli.shell.watch.preview import Preview
from janus_cli.shell.watch.terminal import Protocol

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


@pytest.fixture
def terminal(environment, monkeypatch):
    """Run `janus ARGS` with stderr on a terminal of 80 x 24 characters: (exit code, what it got)."""
    for name in (
        "NO_COLOR",
        "TMUX",
        "STY",
        "ZELLIJ",
        "KITTY_WINDOW_ID",
        "TERM_PROGRAM",
        "LC_TERMINAL",
        "JANUS_PREVIEW",
        "FORCE_COLOR",
    ):
        monkeypatch.delenv(name, raising=False)
    settings = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": "80", "LINES": "24"}

    def run(*args: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        for name, value in {**settings, **(env or {})}.items():
            monkeypatch.setenv(name, value)
        ours, theirs = pty.openpty()
        seen = bytearray()

        def read() -> None:
            while chunk := _chunk(ours):
                seen.extend(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        with os.fdopen(theirs, "w", encoding="utf-8") as file, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", file)
            code = main(list(args))
        reader.join()
        os.close(ours)
        return code, seen.decode("utf-8")

    return run


def _chunk(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except OSError:  # the other side is closed
        return b""


# ---- the terminal


def test_half_blocks_end_as_the_picture(terminal):
    code, text = terminal("draw", "a red apple", "--preview")
    assert code == 0 and text.count(HIDE) == text.count(SHOW) == 1 and "\x1b_G" not in text
    shown = screen(text)
    assert not shown.cursor.hidden
    lines = [line.rstrip() for line in shown.display]
    top = next(i for i, line in enumerate(lines) if line.startswith("▀"))
    assert lines[top : top + 19] == ["▀" * 38] * 19, "one picture, painted in place, as high as it fits"
    assert lines[top + 19] == "a red apple" and lines[top + 20] == "janus: wrote a-red-apple.png"
    small = Image.open("a-red-apple.png").convert("RGBA").resize((38, 38), Image.Resampling.LANCZOS)
    assert np.array_equal(painted(shown)[top * 2 : top * 2 + 38, :38], np.asarray(small))


def test_lines_that_are_said_meanwhile_stay_above(terminal):
    code, text = terminal("draw", "a", "b", "--preview", "-o", "{prompt}.png")
    lines = [line.rstrip() for line in screen(text).display]
    blocks = [i for i, line in enumerate(lines) if line.startswith("▀")]
    assert code == 0 and "janus: wrote b.png" in lines and len(blocks) <= 19


def test_256_colours_where_there_are_no_more(terminal):
    _, text = terminal("draw", "a red apple", "--preview", env={"COLORTERM": ""})
    assert re.search(r"\x1b\[38;5;\d+;48;5;\d+m", text) and "38;2;" not in text


def test_kitty_replaces_one_image(terminal):
    _, text = terminal("draw", "a red apple", "--preview", env={"TERM": "xterm-kitty"})
    shown = kitty_pictures(text)
    assert len(shown) >= 2 and len({keys["i"] for keys, _ in shown}) == 1
    assert {keys["r"] for keys, _ in shown} == {"19"} and "▀" not in text
    assert np.array_equal(shown[-1][1], pixels("a-red-apple.png"))
    assert not np.array_equal(shown[0][1], shown[-1][1])


def test_each_block_of_pictures_is_an_image(terminal):
    _, text = terminal("draw", "a", "b", "--batch-size", "1", "--preview", env={"TERM": "xterm-kitty"})
    shown = kitty_pictures(text)
    assert len({keys["i"] for keys, _ in shown}) == 2
    assert np.array_equal(shown[-1][1], pixels("b.png"))


def test_iterm2(terminal):
    _, text = terminal("draw", "a red apple", "--preview", env={"TERM_PROGRAM": "iTerm.app"})
    keys, last = iterm2_pictures(text)[-1]
    assert np.array_equal(last, pixels("a-red-apple.png")) and keys["height"] == "19"


def test_sixel(terminal):
    _, text = terminal("draw", "a red apple", "--preview", env={"TERM": "foot"})
    last = SIXEL.search(text, text.rindex("\x1bP"))
    assert last is not None
    back = sixel_picture(last[0])
    assert back.shape == (19 * 16, 38 * 8, 4) and (back[..., 3] == 255).all()
    large = Image.open("a-red-apple.png").convert("RGBA").resize((304, 304), Image.Resampling.LANCZOS)
    assert np.abs(back.astype(int) - np.asarray(large)).mean() < 16  # noise in 128 colours


def test_the_picture_itself_may_go_down_a_pipe(terminal, capfdbinary):
    terminal("draw", "a red apple", "-o", "a.png")
    code, text = terminal("draw", "a red apple", "--preview", "-o", "-")
    assert code == 0 and capfdbinary.readouterr().out == Path("a.png").read_bytes() and "▀" in text


def test_json_goes_to_stdout_not_to_the_terminal(terminal, capfdbinary):
    for more in ([], ["--preview"]):
        _, text = terminal("draw", "a", "--json", *more)
        assert b'"path"' in capfdbinary.readouterr().out and '"path"' not in text


@pytest.mark.parametrize(
    ("env", "more"), [({"TERM": "dumb"}, []), ({"NO_COLOR": "1"}, []), ({}, ["--quiet"])]
)
def test_nothing_is_painted(terminal, env, more):
    code, text = terminal("draw", "a", "--preview", *more, env=env)
    assert code == 0 and "▀" not in text and "\x1b_G" not in text and "\x1b]1337" not in text


def test_no_terminal_no_byte(janus, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-kitty")
    plain, watched = janus("draw", "a", "-o", "1.png"), janus("draw", "a", "-o", "2.png", "--preview")
    assert watched.out == plain.out == b"" and "\x1b" not in watched.err
    assert watched.err.splitlines()[:2] == ["janus: device cpu, fp32", "janus: wrote 2.png"]
    assert Path("1.png").read_bytes() == Path("2.png").read_bytes()


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt(), 130), (OSError(5, "no more"), 1)])
def test_the_cursor_comes_back(terminal, monkeypatch, error, code):
    paste, count = canvas.Canvas.paste, iter(range(100))

    def failing(self, stage, record):
        paste(self, stage, record)
        if next(count) == 5:
            raise error

    monkeypatch.setattr(canvas.Canvas, "paste", failing)
    ended, text = terminal("draw", "a", "--preview")
    assert ended == code and text.count(HIDE) == text.count(SHOW) == 1
    assert text.index(HIDE) < text.index("▀") < text.rindex(SHOW)
    shown = screen(text)
    assert shown.cursor.x == 0 and not shown.cursor.hidden
    assert not list(Path().iterdir())


def test_paintings_are_not_too_many(monkeypatch, environment):
    """At most 15 a second, and at most a fifth of the time is spent on them."""
    now, painted_at = [0.0], []

    class Live:
        def refresh(self) -> None:
            painted_at.append(now[0])
            now[0] += cost

    preview = Preview(Protocol.blocks, Rate(), lambda: now[0])
    monkeypatch.setattr(preview, "_paint", lambda caption: Live())
    for cost, gap in ((0.001, 1 / 15), (0.1, 0.4)):
        painted_at.clear()
        for _ in range(400):
            preview.update("a", None, "a")  # type: ignore[arg-type]
            now[0] += 0.01
        gaps = np.diff(painted_at[1:])
        assert len(gaps) > 5 and (gaps >= gap + cost - 1e-9).all() and (gaps < gap + cost + 0.02).all()
