"""The items of a command that failed: each is said and counted, and the rest is still done."""

import contextlib
from collections.abc import Iterator

import typer

from janus_cli.errors import JanusError, OutputError, PartialError, UsageError
from janus_cli.shell.console import Talk, complain


class Failures:
    """Counts the items of a command that failed, so that the rest is still done."""

    def __init__(self, quiet: bool = False) -> None:
        """`quiet`: `note` says nothing."""
        self.note = Talk(quiet)  # what is no failure, and yet must not pass in silence
        self.count = 0
        self.results: set[str] = set()  # those that failed with a part, by `progressive.name_result`
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
