"""What a terminal can show, and how much room it has.

Environment variables alone say which terminal it is. To ask the terminal itself would mean to wait for an
answer that may never come; one that came late would be taken for typing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from janus_cli.errors import UsageError

VARIABLE = "JANUS_PREVIEW"  # the user's choice of protocol


class Protocol(StrEnum):
    """How a terminal shows pictures."""

    kitty = "kitty"  # https://sw.kovidgoyal.net/kitty/graphics-protocol/
    iterm2 = "iterm2"  # https://iterm2.com/documentation-images.html
    sixel = "sixel"  # DEC's VT330/VT340 manual, chapter 14
    blocks = "blocks"  # two pixels in a character, upper and lower half


def detect(env: Mapping[str, str]) -> Protocol | None:
    """Tell the protocol of a terminal by its environment variables, None where nothing is to be painted.

    Terminals that need a setting for it (VS Code, xterm) and multiplexers get blocks. Raises UsageError for
    an unknown protocol in JANUS_PREVIEW.
    """
    chosen = env.get(VARIABLE, "")
    if chosen and chosen not in [*Protocol]:
        raise UsageError(f"{VARIABLE}={chosen}: choose {', '.join(Protocol)}")
    term, program = env.get("TERM", ""), env.get("TERM_PROGRAM", "")
    if env.get("NO_COLOR") or term in ("", "dumb"):
        return None
    if chosen:
        return Protocol(chosen)
    if env.get("TMUX") or env.get("STY") or env.get("ZELLIJ") or term.startswith(("screen", "tmux")):
        return Protocol.blocks
    if env.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return Protocol.kitty
    if program in ("iTerm.app", "WezTerm", "mintty") or env.get("LC_TERMINAL") == "iTerm2":
        return Protocol.iterm2
    if term.startswith(("foot", "mlterm", "contour", "yaft")):
        return Protocol.sixel
    return Protocol.blocks


@dataclass(frozen=True)
class Room:
    """Where a picture may be painted: columns and lines of characters, and a character's size in pixels."""

    columns: int
    lines: int
    cell: tuple[int, int] = (8, 16)  # width, height

    def fit(self, height: int, width: int) -> tuple[int, int]:
        """Count the columns and lines that a picture of that shape fills, as large as it fits."""
        across, down = self.cell
        scale = min(self.columns * across / width, self.lines * down / height)
        return (
            min(self.columns, max(1, round(width * scale / across))),
            min(self.lines, max(1, round(height * scale / down))),
        )
