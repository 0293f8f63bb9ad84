"""`janus info`: what is in a token file or stream, a picture or sound made here, or a model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from janus_cli import zoo
from janus_cli.errors import JanusError, ModelError, OutputError
from janus_cli.pipeline.inspection import describe_model
from janus_cli.shell import options as opt
from janus_cli.shell.console import put_json
from janus_cli.shell.facts import describe_record, find_describer
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import read_named_records
from janus_cli.shell.tables import put_table


def info(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|DIR|MODEL|-",
            show_default=False,
            help="Token files, folders or shards, pictures, sounds, models; standard input if none.",
        ),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Look inside.

    janus info apple.safetensors, janus info apple.png, janus info pocket
    """
    failures = Failures()
    done = 0
    names = inputs or ["-"]
    for name in names:
        try:
            for facts in _describe(name, failures):
                (put_json if as_json else put_table)(facts)
                done += 1
        except OutputError:
            raise
        except JanusError as error:
            if len(names) == 1:
                raise
            failures.add(error, name)
    failures.finish(done)


def _describe(name: str, failures: Failures) -> Iterator[dict[str, Any]]:
    """List the facts of each record, picture, sound or model that `name` stands for."""
    path = Path(name)
    if name != "-" and ((path / "config.json").is_file() or not path.exists()):
        yield describe_model(_locate(name))
    elif name != "-" and path.is_file() and (describe := find_describer(path)):
        yield describe(path)
    else:
        for i, (place, record) in enumerate(read_named_records([name], failures, "info")):
            yield {"kind": "record", "file": place, "number": i, **describe_record(record)}


def _locate(name: str) -> zoo.Place:
    """Find the model called `name`. Raises ModelError that says it is no file either."""
    try:
        return zoo.locate(name)
    except ModelError as error:
        if Path(name).suffix or "/" in name:
            raise ModelError(f"{name}: no such file") from None
        raise ModelError(f"{name}: no such file, and {error}") from None
