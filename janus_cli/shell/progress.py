"""How far a command is: bars on a terminal's stderr, the speed of generating, the lines of a training."""

import contextlib
import operator
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from janus_cli.config import Progress
from janus_cli.shell.console import Talk, complain, escape, stdout_is_terminal

if TYPE_CHECKING:
    from rich import progress as rich

PATIENCE = 2.0  # seconds before a loop says how far it is
LINES = 30.0  # seconds between the lines of a loop
_LABEL = "janus: {task.description}"
_SHARE = ("{task.description}", "BarColumn", "TaskProgressColumn", "TimeRemainingColumn")


class Rate:
    """Counts tokens, the passes of the decoder that made them, and the seconds since it was created."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.tokens = self.passes = 0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start

    @property
    def per_second(self) -> float:
        """Tokens per second since the start."""
        return self.tokens / max(self.seconds, 1e-9)

    def __str__(self) -> str:
        made = f"{self.tokens} tokens in {self.passes} passes"
        return f"{made}, {self.seconds:.1f} s ({self.per_second:.0f} tokens/s)"


def byte_bar(label: str, quiet: bool) -> contextlib.AbstractContextManager[Progress]:
    """Count bytes; the function adds to them."""
    return _open_bar(label, None, quiet, "SpinnerColumn", _LABEL, "DownloadColumn", "TransferSpeedColumn")


def tile_bar(label: str, count: int, quiet: bool) -> contextlib.AbstractContextManager[Progress]:
    """Show how many of a picture's `count` tiles are done; the function adds to them."""
    return _open_bar(
        label, count, quiet, _LABEL, "BarColumn", "MofNCompleteColumn", "tiles", "TimeRemainingColumn"
    )


@contextlib.contextmanager
def sound_bar(label: str, seconds: float, rate: int, quiet: bool) -> Iterator[Progress]:
    """Show how much of a sound of `seconds` is done; the function adds samples, `rate` a second."""
    shown = "{task.completed:.0f} of {task.total:.0f} s"
    columns = (_LABEL, "BarColumn", shown, "TimeRemainingColumn")
    with _open_bar(label, max(seconds, 1e-9), quiet, *columns) as advance:
        yield lambda samples: advance(samples / rate)


@contextlib.contextmanager
def token_bar(quiet: bool) -> Iterator[tuple[Rate, Progress]]:
    """Count generated tokens: yields the count, and the function that adds to it."""
    rate = Rate()
    made, speed = "{task.completed:.0f} tokens", "{task.fields[rate].per_second:.0f} tokens/s"
    columns = ("SpinnerColumn", made, speed, "TimeElapsedColumn")
    with _open_bar("generate", None, quiet, *columns, rate=rate) as advance:

        def count(new: int) -> None:
            rate.tokens += new
            rate.passes += 1
            advance(new)

        yield rate, count


@contextlib.contextmanager
def exam_bars(quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Draw a bar for each part of an examination; yields what takes label, done and total.

    Where stderr is no terminal, a line says which part has begun.
    """
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        begun: set[str] = set()

        def announce(label: str, done: int, total: int) -> None:
            if label not in begun:
                begun.add(label)
                complain(f"examining {label}: {total}")

        yield announce
        return
    with _open_bars(*_SHARE) as bars:
        tasks: dict[str, rich.TaskID] = {}

        def report(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = bars.add_task(label, total=total)
            bars.update(tasks[label], completed=done, total=total)

        yield report


def track(loop: Iterable[int], label: str, quiet: bool) -> Iterator[int]:
    """Go through a loop; once it has taken PATIENCE seconds, show how much of it is done.

    On a terminal that is a bar, elsewhere a line every LINES seconds.
    """
    total, start = operator.length_hint(loop), time.monotonic()
    on_terminal, due = sys.stderr.isatty(), start + PATIENCE
    with contextlib.ExitStack() as opened:
        advance: Progress | None = None
        for done, item in enumerate(loop):
            if advance is None and not quiet and (now := time.monotonic()) >= due:
                if on_terminal:
                    advance = opened.enter_context(_open_bar(label, total or None, quiet, *_SHARE))
                    advance(done)
                else:
                    complain(f"{label}: {_describe_share(done, total, now - start)}")
                    due = now + LINES
            yield item
            if advance is not None:
                advance(1)


def _describe_share(done: int, total: int, seconds: float) -> str:
    """Say how much of a loop is done after `seconds`, and how long the rest takes at that pace."""
    if not done or not total:
        return f"{done} done"
    return f"{done} of {total}, {seconds / done * (total - done) / 60:.1f} min left"


def step_reporter(talk: Talk) -> Callable[[str, int, int, dict[str, float]], None]:
    """Make what says each report of a training in a line, with the minutes left at the present pace."""
    begun: dict[str, tuple[float, int]] = {}

    def report(component: str, step: int, steps: int, metrics: dict[str, float]) -> None:
        start, first = begun.setdefault(component, (time.monotonic(), step))
        left = ""
        if step > first:
            seconds = (time.monotonic() - start) / (step - first) * (steps - step)
            left = f", {seconds / 60:.0f} min left"
        values = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        talk(f"{component} step {step} of {steps}: {values}{left}")

    return report


@contextlib.contextmanager
def _open_bar(
    label: str, total: float | None, quiet: bool, *columns: str, **fields: Any
) -> Iterator[Callable[[float], None]]:
    """Draw one bar while the block runs, where stderr is a terminal; the function adds to what is done.

    `fields`: what the columns may show besides, as {task.fields[name]}.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda done: None
        return
    with _open_bars(*columns) as bars:
        task = bars.add_task(escape(label), total=total, **fields)
        yield lambda done: bars.advance(task, done)


def _open_bars(*columns: str) -> "rich.Progress":
    """Make rich's bars on stderr, gone when they are done.

    `columns`: names of rich's own, or texts about the task; a label may be a file's name, so no text is
    markup.
    """
    from rich import progress as rich
    from rich.console import Console

    made = (getattr(rich, c)() if c.endswith("Column") else rich.TextColumn(c, markup=False) for c in columns)
    return rich.Progress(
        *made, console=Console(stderr=True), transient=True, redirect_stdout=stdout_is_terminal()
    )
