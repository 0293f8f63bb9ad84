"""Which terminal gets which protocol, and how large a picture may be there."""

import pytest

from janus_cli.errors import UsageError
from janus_cli.shell.watch.terminal import Room, detect


@pytest.mark.parametrize(
    ("env", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "mlterm-256color"}, "sixel"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "vscode"}, "blocks"),
        ({"TERM": "tmux-256color"}, "blocks"),
        ({"TERM": "screen", "KITTY_WINDOW_ID": "1"}, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/x,1,0"}, "blocks"),
        ({"TERM": "foot", "ZELLIJ": "0"}, "blocks"),
        ({"TERM": "tmux-256color", "JANUS_PREVIEW": "sixel"}, "sixel"),
        ({"TERM": "dumb"}, None),
        ({}, None),
        ({"TERM": "xterm-kitty", "NO_COLOR": "1"}, None),
        ({"TERM": "dumb", "JANUS_PREVIEW": "kitty"}, None),
        ({"TERM": "foot", "NO_COLOR": ""}, "sixel"),
    ],
)
def test_terminals(env, protocol):
    assert detect(env) == protocol


def test_an_unknown_protocol():
    with pytest.raises(UsageError, match="JANUS_PREVIEW=x11: choose kitty, iterm2, sixel, blocks"):
        detect({"JANUS_PREVIEW": "x11", "TERM": "foot"})


@pytest.mark.parametrize(
    ("room", "shape", "fits"),
    [
        (Room(80, 24), (256, 256), (48, 24)),  # a character is twice as high as wide
        (Room(20, 24), (256, 256), (20, 10)),
        (Room(80, 24, (10, 20)), (100, 400), (80, 10)),
        (Room(80, 24, (12, 18)), (256, 256), (36, 24)),
        (Room(1, 1), (256, 256), (1, 1)),
    ],
)
def test_as_large_as_it_fits(room, shape, fits):
    assert room.fit(*shape) == fits
