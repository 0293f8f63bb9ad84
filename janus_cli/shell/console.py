"""What a command says on stderr: its lines, its progress bar, the device it took, the items that failed.

And how text and JSON, where they are a command's data, go to stdout.
"""

import contextlib
import json
import re
import struct
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from janus_cli.errors import JanusError, OutputError, PartialError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TextColumn

_JOINERS = "\u200c\u200d"  # between letters, and parts of an emoji


class Device(StrEnum):
    """What a user may ask for; `auto` is decided by `pick_device`."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Dtype(StrEnum):
    """What the nets of a published model compute in; `auto` is bf16 on a GPU, fp32 elsewhere."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


def complain(text: str) -> None:
    """One line on stderr, with the program's name; what `text` holds can be no second line and no command."""
    with contextlib.suppress(OSError):  # nobody may be listening: no reason to stop
        print(f"janus: {visible(text)}", file=sys.stderr, flush=True)


class Talk:
    """One line a call on stderr, each with the program's name; silent when `quiet`."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet

    def __call__(self, text: str) -> None:
        if not self.quiet:
            complain(text)


def pick_device(wanted: Device) -> str:
    """The torch device for `wanted`. Raises UsageError for one that this machine lacks."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted is Device.auto:
        return next(name for name, here in present.items() if here)
    if not present[wanted.value]:
        have = ", ".join(name for name, here in present.items() if here)
        raise UsageError(f"torch {torch.__version__} finds no {wanted.value} device here (it has {have})")
    return wanted.value


class Failures:
    """Counts the items of a command that failed, so that the rest is still done."""

    def __init__(self) -> None:
        self.count = 0
        self.results: set[str] = set()  # those that failed with a part, by `progressive.result_of`
        self._all_usage = True  # as long as nothing failed but for how it was asked for

    def add(self, error: JanusError, name: str = "") -> None:
        """Say what failed; `name` goes in front where the message does not begin with it."""
        text = str(error)
        complain(text if text.startswith(name) else f"{name}: {text}")
        self.count += 1
        self._all_usage &= isinstance(error, UsageError)

    @contextlib.contextmanager
    def item(self, name: str = "") -> Iterator[None]:
        """Turn a JanusError in the block into a counted failure; an OutputError passes."""
        try:
            yield
        except OutputError:
            raise
        except JanusError as error:
            self.add(error, name)

    def passed(self, name: str, check: Callable[..., object], *args: object) -> bool:
        """Whether `check(*args)` raises no JanusError; one that it raises is counted."""
        with self.item(name):
            check(*args)
            return True
        return False

    def stop_if_all(self, done: int) -> None:
        """Leave when all there was failed, so that no output is completed; with 2 if all was wrong usage."""
        kind = UsageError if self._all_usage else JanusError
        if self.count == 1 and not done:
            raise typer.Exit(kind.exit_code)  # the one failure has been said
        if self.count and not done:
            raise kind(f"all {self.count} items failed")

    def finish(self, done: int) -> None:
        """Raise PartialError when some items failed and `done` others did not."""
        self.stop_if_all(done)
        if self.count:
            raise PartialError(f"{self.count} of {self.count + done} items failed; the rest is done")


def shortened(text: str, length: int = 60) -> str:
    """`text` quoted for a message, cut to about `length` characters."""
    return repr(text if len(text) <= length else text[: length - 1] + "…")


def visible(text: str, keep: str = "") -> str:
    """`text` with what a terminal would obey instead of show written as JSON's escapes, but for `keep`.

    That is control characters, marks that turn the direction of writing, and whatever has no glyph.
    """

    def escape(c: str) -> str:
        units = struct.iter_unpack(">H", c.encode("utf-16-be", "surrogatepass"))
        return "".join(f"\\u{unit:04x}" for (unit,) in units)

    return "".join(
        c if c.isprintable() or c in keep or c in _JOINERS or unicodedata.category(c) == "Zs" else escape(c)
        for c in text
    )


def shown(text: str) -> str:
    """`text` for standard output: as it is, but on a terminal `visible` in its lines."""
    return visible(text, "\n\t") if stdout_is_terminal() else text


def stdout_is_terminal() -> bool:
    """Whether stdout is a terminal: only then may rich print it above what it draws on stderr."""
    return sys.stdout is not None and sys.stdout.isatty()


@contextlib.contextmanager
def output_errors() -> Iterator[None]:
    """Turn an OSError of standard output into an OutputError; BrokenPipeError passes."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"standard output: cannot be written: {error.strerror}") from None


def put(text: str, end: str = "\n") -> None:
    """`text` on standard output at once. Raises OutputError where that is full or closed."""
    with output_errors():
        print(shown(text), end=end, flush=True)


def put_json(facts: Mapping[str, Any]) -> None:
    """`facts` as one line of JSON on standard output; raises what `put` does."""
    text = json.dumps(facts, ensure_ascii=False)
    half = "[\ud800-\udfff]"  # a character: no UTF-8, and yet in the name of a file whose bytes are none
    put(re.sub(half, lambda found: f"\\u{ord(found[0]):04x}", text))


def _bar(*columns: "ProgressColumn") -> "Progress":
    """Progress on stderr's terminal, gone when it is done."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=stdout_is_terminal()
    )


def _label() -> "TextColumn":
    """The program's name and the task's, which may be a file's: neither a format nor markup."""
    from rich.progress import TextColumn

    return TextColumn("janus: {task.description}", markup=False)


@contextlib.contextmanager
def byte_bar(label: str, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A count of bytes on a terminal's stderr, nothing elsewhere; the function adds to it."""
    if quiet or not sys.stderr.isatty():
        yield lambda count: None
        return
    from rich.progress import DownloadColumn, SpinnerColumn, TransferSpeedColumn

    with _bar(SpinnerColumn(), _label(), DownloadColumn(), TransferSpeedColumn()) as bar:
        task = bar.add_task(visible(label), total=None)
        yield lambda count: bar.advance(task, count)


@contextlib.contextmanager
def sound_bar(label: str, seconds: float, rate: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """How much of a sound of that length is done, on a terminal's stderr; the function adds samples to it."""
    if quiet or not sys.stderr.isatty():
        yield lambda samples: None
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    done = TextColumn("{task.completed:.0f} of {task.total:.0f} s")
    with _bar(_label(), BarColumn(), done, TimeRemainingColumn()) as bar:
        task = bar.add_task(visible(label), total=max(seconds, 1e-9))
        yield lambda samples: bar.advance(task, samples / rate)


@contextlib.contextmanager
def tile_bar(label: str, count: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """How many of a picture's tiles are done, on a terminal's stderr; the function adds to it."""
    if quiet or not sys.stderr.isatty():
        yield lambda tiles: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (_label(), BarColumn(), MofNCompleteColumn(), TextColumn("tiles"), TimeRemainingColumn())
    with _bar(*columns) as bar:
        task = bar.add_task(visible(label), total=count)
        yield lambda tiles: bar.advance(task, tiles)


class Rate:
    """Tokens made since it was created, and the seconds that took."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.tokens = 0

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.start

    @property
    def per_second(self) -> float:
        """Tokens per second since the start."""
        return self.tokens / max(self.seconds, 1e-9)

    def __str__(self) -> str:
        return f"{self.tokens} tokens in {self.seconds:.1f} s ({self.per_second:.0f} tokens/s)"


@contextlib.contextmanager
def token_bar(quiet: bool) -> Iterator[tuple[Rate, Callable[[int], None]]]:
    """A running count of generated tokens: (the count, what to call with each number of new tokens).

    Draws a bar only where stderr is a terminal.
    """
    rate = Rate()
    if quiet or not sys.stderr.isatty():

        def count(new: int) -> None:
            rate.tokens += new

        yield rate, count
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    made, speed = (
        TextColumn(text) for text in ("{task.completed:.0f} tokens", "{task.fields[speed]:.0f} tokens/s")
    )
    with _bar(SpinnerColumn(), made, speed, TimeElapsedColumn()) as progress:
        task = progress.add_task("generate", total=None, speed=0.0)

        def advance(new: int) -> None:
            rate.tokens += new
            progress.update(task, completed=rate.tokens, speed=rate.per_second)

        yield rate, advance
