"""The command lines that documentation shows: found in pages, examples and help texts, wherever they stand.

A command is a line of an indented block or of a ```sh fence whose first word is a program, or a span of code
in a sentence that begins so. Blocks that hold none (formulas, what an error looks like) are passed over.
"""

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from helpers.runs import ROOT

PROGRAMS = r"accelerate|awk|bash|cat|espeak-ng|ffmpeg|git|janus|make|npm|pip|printf|python3?|torchrun|\{"
BEGINS = re.compile(rf"(\w+=\S+ )*({PROGRAMS}) ")
FENCE = re.compile(r"^```(\w*)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
COMMENT = re.compile(r"\s+# (.*)$")
PLACEHOLDER = re.compile(r"(?<![\w{])[A-Z]{1,10}(?![\w}])|…")  # NAME, N, MODEL …: for the reader to fill in


@dataclass(frozen=True)
class Command:
    """A command line, where it stands, and what its comment promises."""

    page: str
    line: int
    block: int  # lines of one block share a number; a span has one of its own
    text: str
    comment: str = ""
    inline: bool = False

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def list_pages() -> list[Path]:
    """List the pages whose commands are to run."""
    parts = ["README.md", "CONTRIBUTING.md", "docs/*.md", "models/*.md", "models/*/*.md"]
    return [page for part in parts for page in sorted(ROOT.glob(part))]


def name_page(page: Path) -> str:
    """Name a page as the tests do."""
    return str(page.relative_to(ROOT))


def list_commands(page: Path) -> list[Command]:
    """List the commands of a page in their order, spans of code included."""
    found = [*_find_blocks(page), *_find_spans(page)]
    return sorted(found, key=lambda command: (command.line, command.inline))


def find_links(page: Path) -> list[str]:
    """Find the files that a page links to, pictures too, without places in them."""
    plain = FENCE.sub("", page.read_text("utf-8"))
    return [link for link in LINK.findall(plain) if "://" not in link]


def list_shown(page: Path) -> dict[int, tuple[int, str]]:
    """List the lines of a page's indented blocks and ```sh fences: number -> the block's, the line."""
    found: dict[int, tuple[int, str]] = {}
    block, fence, is_open = 0, None, True  # is_open: an indented line may begin a block here
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            fence, block = (None if fence is not None else line[3:].split(" ")[0]), block + 1
        elif fence == "sh" or (fence is None and is_open and line.startswith("    ")):
            found[number] = block, line.strip()
        elif fence is None:
            is_open = not line
            block += not is_open
    return found


def _find_blocks(page: Path) -> Iterator[Command]:
    """Find the commands among these lines; one that ends with a pipe or a \\ goes on in the next."""
    lines = iter(list_shown(page).items())
    for number, (block, line) in lines:
        if BEGINS.match(line):
            while line.endswith(("\\", "|")):
                line = line.removesuffix("\\").rstrip() + " " + next(lines)[1][1]
            comment = COMMENT.search(line)
            text = COMMENT.sub("", line)
            yield Command(name_page(page), number, block, text, comment[1] if comment else "")


def _find_spans(page: Path) -> Iterator[Command]:
    """Find the spans of code in sentences that begin with a program."""
    plain = FENCE.sub(lambda fence: "\n" * fence[0].count("\n"), page.read_text("utf-8"))
    for number, span in enumerate(SPAN.finditer(plain), 1):
        words = " ".join(span[1].split())
        if BEGINS.match(words):
            line = plain[: span.start()].count("\n") + 1
            yield Command(name_page(page), line, -number, words, inline=True)


def list_help() -> list[Command]:
    """List the examples in the help of `janus` and of all its commands."""
    found = []
    for name, command in walk_commands().items():
        told = f"{command.help or ''}\n{command.epilog or ''}".replace("\b", "")
        lines = [part for line in told.splitlines()[1:] for part in re.split(r", (?=janus )", line.strip())]
        page = f"{name} --help"
        found += [Command(page, i, 0, line) for i, line in enumerate(lines) if BEGINS.match(line)]
    return found


@cache
def walk_commands() -> dict[str, Any]:
    """List every command of `janus` by the words that call it, groups too."""
    import typer

    from janus_cli.app import app

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield name, command
        for verb in command.list_commands(None) if hasattr(command, "list_commands") else ():
            yield from walk(f"{name} {verb}", command.resolve_command(None, [verb])[1])

    return dict(walk("janus", typer.main.get_command(app)))


def find_fences(page: Path) -> list[tuple[str, str, str]]:
    """Find the fenced blocks of a page: language, file name (if it has one) and text of each."""
    return FENCE.findall(page.read_text("utf-8"))


# ---- what a line says, without running it


def split_stages(line: str) -> list[list[str]]:
    """Split a line of shell at pipes and semicolons: the words of each program, without redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;<>")
    lexer.whitespace_split = True
    stages: list[list[str]] = []
    for is_end, words in itertools.groupby(lexer, lambda word: word in ("|", ";", "||")):
        if not is_end:
            kept = list(words)
            cut = next((i for i, word in enumerate(kept) if word[0] in "<>"), len(kept))
            stages.append([word for word in kept[:cut] if word not in ("{", "}")])
    return [stage for stage in stages if stage]


def check_words(words: list[str]) -> dict[str, Any]:
    """Parse the words after `janus` as it would; the arguments (not options) that it found, by name.

    Raises its UsageError for what it does not know; what is missing is passed over.
    """
    commands, name = walk_commands(), "janus"
    while words and f"{name} {words[0]}" in commands:
        name, words = f"{name} {words[0]}", words[1:]
    command = commands[name]
    try:
        context = command.make_context(name, [word for word in words if word != "--help"])
    except Exception as error:
        if type(error).__name__ not in ("MissingParameter", "NoArgsIsHelpError"):
            raise
        return {}
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    given = {p.name: context.params[p.name] for p in arguments}
    return {p.name: given[p.name] for p in arguments if given[p.name] not in (None, [], (), p.default)}


def is_mention(command: Command) -> bool:
    """Tell whether a span only names a command: nothing to work on, or a placeholder for the reader."""
    first = split_stages(command.text)[0]
    if not command.inline or PLACEHOLDER.search(command.text):
        return command.inline
    if first[0] != "janus" or "--help" in first:
        return False
    try:
        return not check_words(first[1:])
    except Exception:  # it has what does not exist: let it be looked at
        return False
