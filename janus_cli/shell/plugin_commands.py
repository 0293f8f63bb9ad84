"""`janus tokenize NAME` for every modality that a plugin brings: commands made from what plugins state.

Listing them imports no plugin; only the command that is used imports its own.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from janus_cli import plugins
from janus_cli.errors import UsageError
from janus_cli.plugins import Modality, Option
from janus_cli.shell import options as opt
from janus_cli.shell.failures import Failures
from janus_cli.shell.folders import Input, expand
from janus_cli.shell.help import HelpfulGroup, make_command
from janus_cli.shell.names import Existing
from janus_cli.shell.sinks import Destination, write_all

if TYPE_CHECKING:
    from janus_cli.records import Record


class PluginGroup(HelpfulGroup):
    """A group of our own commands and those of the installed plugins."""

    def list_commands(self, ctx: Any) -> list[str]:
        """List our own commands, then the plugins'."""
        return [*super().list_commands(ctx), *plugins.list_names()]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Get our own command, or a stand-in for a plugin's: enough to list it."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or cmd_name not in plugins.list_names():
            return own
        makers = ", ".join(plugins.package_of(point) for point in plugins.find_all()[cmd_name])
        return TyperCommand(cmd_name, short_help=f"Modality of the plugin {makers}.")

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that `args` call. Raises PluginError where its plugin is broken."""
        name, command, rest = super().resolve_command(ctx, args)
        if name in plugins.list_names() and name not in self.commands:
            command = make_plugin_command(plugins.find(name))
        return name, command, rest

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write which plugins cannot be used, and why."""
        super().format_epilog(ctx, formatter)
        for line in plugins.list_misnamed():
            formatter.write_text(line)


def make_plugin_command(plugin: Modality) -> Any:
    """Make the command `janus tokenize NAME` of a plugin."""

    def run(
        inputs: list[str] | None,
        output: str | None,
        force: bool,
        skip_existing: bool,
        quiet: bool,
        **given: Any,
    ) -> None:
        options = {option.name: given[_word(option)] for option in plugin.options}
        failures = Failures(quiet)
        found = expand(inputs or ["-"], plugin.suffixes, plugin.name, failures)
        target = Destination(output, Existing.from_flags(force, skip_existing), quiet)
        write_all(_tokenize(found, plugin, options, target, failures), target, failures, inputs)

    parameters = [
        _parameter(
            "inputs",
            Annotated[
                list[str] | None,
                typer.Argument(
                    metavar="FILE|DIR|-",
                    show_default=False,
                    help="Files, folders of them, or standard input.",
                ),
            ],
        ),
        *(_parameter(_word(option), _annotation(option), option.default) for option in plugin.options),
        _parameter("output", opt.Output),
        _parameter("force", opt.Force, False),
        _parameter("skip_existing", opt.SkipExisting, False),
        _parameter("quiet", opt.Quiet, False),
    ]
    vars(run)["__signature__"] = inspect.Signature(parameters)  # what typer reads of a function
    return make_command(plugin.name, run, plugin.help)


def _word(option: Option) -> str:
    return option.name.replace("-", "_")


def _parameter(name: str, annotation: Any, default: Any = None) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _annotation(option: Option) -> Any:
    """Declare an option for typer."""
    kind: Any = option.kind if option.default is not None else option.kind | None
    shown, check = option.default is not None, _choice_check(option)
    return Annotated[
        kind, typer.Option(f"--{option.name}", help=option.help, callback=check, show_default=shown)
    ]


def _choice_check(option: Option) -> Callable[[Any], Any]:
    """Make the check that a value is among the option's choices."""

    def check(value: Any) -> Any:
        if option.choices and value is not None and value not in option.choices:
            known = ", ".join(map(str, option.choices))
            raise UsageError(f"--{option.name} {value}: choose among {known}")
        return value

    return check


def _tokenize(
    inputs: Sequence[Input],
    plugin: Modality,
    options: dict[str, Any],
    target: Destination,
    failures: Failures,
) -> "Iterator[Record]":
    from janus_cli.media.files import read_bytes
    from janus_cli.stages.plugin import tokenize

    for item in inputs:
        if target.passes_over(item.id):
            continue
        with failures.item(item.label):
            place = item.open(f"name a file (janus tokenize {plugin.name} FILE), or pipe one in")
            data = read_bytes(place, item.label)
            yield tokenize(plugin, data, item.label, options, id=item.id, source=item.source)
