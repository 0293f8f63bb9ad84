"""How `--help` lists commands: in sections, and no line of help cut short."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from typer.core import TyperGroup

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
