"""The `janus` command: subcommands gathered, errors turned into one line on stderr and an exit code.

0 all done, 1 failed, 2 wrong usage, 3 some items failed and the rest is done, 130 interrupted,
143 terminated, 129 hung up.
"""

import contextlib
import errno
import io
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ClassVar, NoReturn, Self, TextIO, cast

import typer

from janus_cli import __version__
from janus_cli.errors import JanusError, OutputError
from janus_cli.media import interrupts
from janus_cli.neighbour import share_processors
from janus_cli.shell.console import ESCAPE, complain
from janus_cli.shell.help import VerbGroup
from janus_cli.shell.memory import is_lack_of_memory, refuse_hopeless_loading

# Section of the help -> command -> where it is, and its line there: the first of its docstring. A command is
# imported when it is called.
VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "Draw and tell": {
        "draw": ("draw:draw", "Draw pictures."),
        "describe": ("describe:describe", "Put pictures into words."),
        "speak": ("speak:speak", "Say words aloud."),
        "transcribe": ("transcribe:transcribe", "Put speech into words."),
    },
    "The pipeline": {
        "tokenize": ("tokenize:app", "Text, pictures, sounds and what plugins know to tokens."),
        "generate": (
            "generate:generate",
            "Prompts of words, pictures and sounds to tokens of a picture, words or a sound.",
        ),
        "denoise": ("denoise:denoise", "Blur to sharp."),
        "upsample": ("upsample:upsample", "Small to large."),
        "decode": ("decode:decode", "Tokens to pictures, sounds, text or what a plugin writes."),
    },
    "Look": {"info": ("info:info", "Look inside."), "models": ("models:app", "The model zoo.")},
    "Train": {
        "train": ("train:train", "Train a model."),
        "eval": (
            "eval:evaluate",
            "Examine a model: trained and held-out pairs, scenes, the tokenizer, the refiner.",
        ),
    },
}


class _Group(VerbGroup):
    """The commands of `janus`."""

    sections: ClassVar = {
        title: {name: (f"janus_cli.commands.{place}", line) for name, (place, line) in verbs.items()}
        for title, verbs in VERBS.items()
    }


app = typer.Typer(
    cls=_Group,
    name="janus",
    rich_markup_mode=None,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Multimodal token pipelines: every stage is a filter, janus draw runs them all.",
    epilog='janus tokenize text "a red apple" | janus generate | janus denoise | janus upsample | '
    "janus decode -o apple.png",
)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"janus {__version__}")
        raise typer.Exit


@app.callback()
def janus(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """The options of `janus` itself."""


def main(args: list[str] | None = None) -> int:
    """Run `janus` with `args` (those of the process if None); returns the exit code."""
    if args is None:  # the process is ours, and so is its environment
        share_processors()
    if sys.stdout is None:
        sys.stdout = cast(TextIO, _Closed())
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=ESCAPE)  # the name of a file leaves as it came
    if sys.stderr is None:  # closed: `print` would take stdout instead
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 (for as long as the process lives)
    refuse_hopeless_loading()
    with Stop() as stop:
        try:
            code = app(args, prog_name="janus", standalone_mode=False) or 0
            sys.stdout.flush()
        except SystemExit as error:  # typer leaves this way when the reader of a pipe has gone
            code = error.code if isinstance(error.code, int) else 1
        except KeyboardInterrupt:
            code = 130
        except Exception as error:
            code = 1 if stop.signal else _explain(error)  # what a signal broke off is no fault
    _quieten()
    return 128 + stop.signal if stop.signal else code


class _Closed(io.TextIOBase):
    """Standard output that the shell has closed: who writes to it fails, as on a full disk."""

    def write(self, text: str) -> int:
        """Raise OutputError, always."""
        raise OutputError("standard output is closed")

    @property
    def buffer(self) -> BinaryIO:
        """Raises OutputError, always."""
        raise OutputError("standard output is closed")


class Stop:
    """Lets SIGINT, SIGTERM and SIGHUP leave the block as an error does: what is half-written is removed.

    A signal that was ignored when the process began, as under nohup, stays so. Another signal while the first
    one's clean-up lasts, a second later or more, ends the process at once; what was begun is removed all the
    same.
    """

    _PATIENCE = 1.0  # seconds: `timeout` and closing terminals send a signal twice

    def __init__(self) -> None:
        self.signal = 0  # that came first
        self._since = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # only there may a handler be set
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)  # what is left to do is short
        if self._before:
            interrupts.remove_unfinished()
        for number, before in self._before.items():
            signal.signal(number, before or signal.SIG_DFL)

    def _handle(self, number: int, _: object) -> None:
        if not self.signal:
            self.signal, self._since = number, time.monotonic()
            interrupts.interrupt(self._leave)
        elif time.monotonic() - self._since > self._PATIENCE:
            interrupts.remove_unfinished()
            os._exit(128 + self.signal)

    def _leave(self) -> NoReturn:
        raise KeyboardInterrupt if self.signal == signal.SIGINT else SystemExit(128 + self.signal)


def _explain(error: Exception) -> int:
    """Say `error` in one line on stderr; the exit code. A bug keeps its traceback."""
    if os.environ.get("JANUS_DEBUG") == "1":
        traceback.print_exc()
    code = 1
    if isinstance(error, BrokenPipeError):
        return code
    if isinstance(error, JanusError):
        code, text = error.exit_code, str(error)
    elif isinstance(error, typer.TyperException):
        code, text = error.exit_code, _format_usage_error(error)
        if text.startswith("Usage:"):  # a group without a subcommand: typer's message is its help
            print(text, file=sys.stderr)
            return code
    elif isinstance(error, OSError):
        text = _format_os_error(error)
    elif is_lack_of_memory(error):
        text = "not enough memory: try a smaller batch, picture or model (or raise ulimit -v)"
    else:
        if os.environ.get("JANUS_DEBUG") != "1":
            traceback.print_exc()
        text = f"this is a bug in janus {__version__}: please report the lines above"
    complain(text)
    return code


def _format_usage_error(error: typer.TyperException) -> str:
    """Typer's complaint about the command line, and which --help to read."""
    context = getattr(error, "ctx", None)
    text = error.format_message().replace("Value error, ", "")  # pydantic's words, not ours
    if context is None or text.startswith("Usage:"):
        return text
    return f"{' '.join(text.split()).rstrip('.')} (see {context.command_path} --help)"


def _format_os_error(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    if error.errno == errno.ENOSPC:
        return f"{place}the disk is full"
    return f"{place}{error.strerror or error}"


def _quieten() -> None:
    """Keep Python's own flush at exit from complaining of a reader that has gone or a disk that is full."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
