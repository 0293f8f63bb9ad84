"""`--preview`: paints the pictures under way on stderr's terminal, in place.

A block of pictures stays where it is as soon as all in it are done; the next ones begin below it. What is
written meanwhile comes out above the block: rich's Live sees to that, hides the cursor and gives it back.
"""

import contextlib
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from janus_cli.shell.console import escape, stdout_is_terminal
from janus_cli.shell.progress import Rate
from janus_cli.shell.watch.terminal import Protocol, Room

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live
    from rich.segment import Segment

    from janus_cli.shell.watch.canvas import Canvas

_MAX_LINES = 24  # of a block, however large the terminal is
_BESIDE = 5  # lines of the terminal that are left to words and to the shell
_PAUSE = 1 / 15  # seconds from one painting to the next, at least
_SHARE = 4  # and that many times what one painting takes, so that it does not slow what it shows


class Preview:
    """Paints canvases as they change. Once it is closed the terminal is as it was."""

    def __init__(
        self, protocol: Protocol, rate: Rate, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._protocol, self._rate, self._clock = protocol, rate, clock
        self._block: dict[object, Canvas] = {}
        self._prompts: list[str] = []
        self._undone: set[object] = set()
        self._live: Live | None = None
        self._due = 0.0  # when the next painting may be
        self._image_id = 0

    def close(self) -> None:
        """Leave what is painted, and give the cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, key: object, canvas: "Canvas", prompt: str) -> None:
        """Paint the picture `key`, which has changed, unless another painting was just now."""
        if key not in self._block:
            self._block[key] = canvas
            self._undone.add(key)
            self._prompts += [prompt] if prompt not in self._prompts else []
        if (start := self._clock()) >= self._due:
            self._paint(f"{self._rate.tokens} tokens, {self._rate.per_second:.0f} tokens/s").refresh()
            end = self._clock()
            self._due = end + max(_PAUSE, _SHARE * (end - start))

    def finish(self, key: object) -> None:
        """Leave the picture `key` as it is: it will not change any more."""
        self._undone.discard(key)
        if self._block and not self._undone:
            self._paint(escape(", ".join(self._prompts)))
            self.close()  # which paints
            self._block, self._prompts = {}, []

    def _paint(self, caption: str) -> "Live":
        """Hand the block as it stands to rich, which paints it at the next refresh."""
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            screen = Console(stderr=True)
            self._live = Live(console=screen, auto_refresh=False, redirect_stdout=stdout_is_terminal())
            self._image_id = secrets.randbelow(1 << 24) + 1
            self._live.start()
        console = self._live.console
        room = Room(console.width, max(1, min(_MAX_LINES, console.height - _BESIDE)), self._cell_size())
        pictures = [canvas.render() for canvas in self._block.values()]
        self._live.update(_Painting(self._protocol, pictures, room, caption, self._image_id))
        return self._live

    def _cell_size(self) -> tuple[int, int]:
        """Ask the terminal's driver for the width and height of a character in pixels."""
        usual = Room(1, 1).cell
        if self._protocol is Protocol.blocks:
            return usual
        with contextlib.suppress(ImportError, OSError, ValueError):
            import fcntl
            import struct
            import termios

            size = fcntl.ioctl(sys.stderr.fileno(), termios.TIOCGWINSZ, b"\0" * 8)
            lines, columns, width, height = struct.unpack("4H", size)
            if lines and columns and width and height:
                return width // columns, height // lines
        return usual


class _Painting:
    """A block of pictures as rich prints it: its lines, then one of words."""

    def __init__(
        self, protocol: Protocol, pictures: Sequence["np.ndarray"], room: Room, caption: str, image_id: int
    ) -> None:
        from janus_cli.media.pictures import resize
        from janus_cli.shell.watch import escapes

        self._caption = caption
        across, down = room.columns * room.cell[0], room.lines * room.cell[1]
        sheet = escapes.join_pictures(pictures, across / down)
        columns, self._lines = room.fit(*sheet.shape[:2])
        self._cells: np.ndarray | None = None
        if protocol is Protocol.blocks:
            self._cells = escapes.make_half_blocks(sheet, columns, self._lines)
        elif protocol is Protocol.sixel:
            height, width = self._lines * room.cell[1], columns * room.cell[0]
            self._escape = escapes.encode_sixel(resize(sheet, height, width))
        elif protocol is Protocol.kitty:
            self._escape = escapes.encode_kitty(sheet, self._lines, image_id)
        else:
            self._escape = escapes.encode_iterm2(sheet, self._lines)

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.segment import ControlType, Segment
        from rich.text import Text

        if self._cells is not None:
            for line in self._cells:
                yield from _half_block_line(line)
                yield Segment.line()
        else:
            yield Segment("\n" * self._lines)  # makes room: the screen may have to scroll
            painted = f"\x1b7\r\x1b[{self._lines}A{self._escape}\x1b8"  # and back to the line of words
            yield Segment(painted, None, [(ControlType.CURSOR_UP, self._lines)])
        yield Text(self._caption, style="dim", no_wrap=True, overflow="ellipsis", end="")


def _half_block_line(cells: "np.ndarray") -> Iterator["Segment"]:
    """Make one line of characters from the colours [columns, 2, 4] of its halves, blank where transparent."""
    from rich.color import Color
    from rich.segment import Segment
    from rich.style import Style

    def colour(rgba: Sequence[int]) -> Color | None:
        return Color.from_rgb(*rgba[:3]) if rgba[3] >= 128 else None

    for (upper, lower), run in groupby(cells.tolist()):
        count, top, bottom = len(list(run)), colour(upper), colour(lower)
        if top is None and bottom is None:
            yield Segment(" " * count)
        elif top is None:
            yield Segment("▄" * count, Style(color=bottom))
        else:
            yield Segment("▀" * count, Style(color=top, bgcolor=bottom))
