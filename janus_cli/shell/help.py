"""How `--help` lists commands, in sections and no line cut short; commands that are imported when called."""

from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

_WHOLE = 10_000  # characters of a command's help, so many as to cut none


class HelpfulGroup(TyperGroup):
    """A group of commands whose help lists each with all of its first sentence."""

    sections: ClassVar[Mapping[str, Collection[str]]] = {}  # title -> commands; none: all in one

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the sections, each a list of commands."""
        listed = self.list_commands(ctx)
        width = max(map(len, listed))
        for title, names in (self.sections or {"Commands": listed}).items():
            commands = {name.ljust(width): self.get_command(ctx, name) for name in names}
            with formatter.section(title):
                formatter.write_dl([(n, c.get_short_help_str(_WHOLE)) for n, c in commands.items() if c])


class VerbGroup(HelpfulGroup):
    """A group whose commands are only imported when they are called: each adds to the time of a start.

    sections: title -> command -> where it is ("module:attribute", a function or a typer.Typer), and its help.
    """

    sections: ClassVar[Mapping[str, Mapping[str, tuple[str, str]]]] = {}

    @property
    def _verbs(self) -> dict[str, tuple[str, str]]:
        return {name: verb for verbs in self.sections.values() for name, verb in verbs.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        """List the commands, section by section."""
        return list(self._verbs)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Get a stand-in for a command: enough to list it."""
        if cmd_name not in self._verbs:
            return None
        return TyperCommand(cmd_name, short_help=self._verbs[cmd_name][1])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` call, and import it."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, self.import_command(str(name)), rest

    def import_command(self, name: str) -> Any:
        """Import the command of that name."""
        module, _, attribute = self._verbs[name][0].partition(":")
        verb = getattr(import_module(module), attribute)
        return typer.main.get_command(verb) if isinstance(verb, typer.Typer) else make_command(name, verb)


def make_command(name: str, run: Callable[..., None], help: str | None = None) -> Any:
    """Make a command of a function with typer's annotations; `help` instead of its docstring."""
    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    alone.command(name, help=help)(run)
    return typer.main.get_command(alone)
