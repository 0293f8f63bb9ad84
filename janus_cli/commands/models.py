"""`janus models list|show|verify|pull|import`: the models that are here, and how others come here."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from janus_cli import zoo
from janus_cli.errors import JanusError, ModelError, UsageError
from janus_cli.pipeline.inspection import describe_model, list_checks, locate_importable
from janus_cli.shell import options as opt
from janus_cli.shell.console import Talk, escape, put, put_json, shorten
from janus_cli.shell.failures import Failures
from janus_cli.shell.help import HelpfulGroup
from janus_cli.shell.progress import byte_bar
from janus_cli.shell.tables import align_columns, put_table

app = typer.Typer(
    add_completion=False, cls=HelpfulGroup, rich_markup_mode=None, no_args_is_help=True, help="The model zoo."
)


@app.command("list")
def list_models(as_json: opt.Json = False) -> None:
    """The models that are here."""
    failures, found = Failures(), []
    for place in zoo.list_places():
        with failures.item(place.name):  # somebody else's folder, or a damaged one, hides no other
            found.append(describe_model(place))
    if as_json:
        for facts in found:
            put_json(facts)
    else:
        _put_models(found)
    failures.finish(len(found))


def _put_models(found: list[dict[str, Any]]) -> None:
    """Write a line for each model."""
    rows = [["name", "parameters", "MB", "components", "folder"]]
    for facts in found:
        have = [name for name, part in facts["components"].items() if "parameters" in part]
        have += ["(incomplete)"] * bool("problem" in facts or facts.get("missing"))
        rows.append(
            [
                facts["name"],
                f"{facts['parameters']:,}",
                f"{facts['bytes'] / 1e6:.1f}",
                " ".join(have) or "none",
                facts["path"],
            ]
        )
    put("\n".join(escape(line.removeprefix("  ")) for line in align_columns(rows)))


@app.command("show")
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL")] = zoo.DEFAULT,
    pattern: Annotated[
        str, typer.Argument(metavar="[PATTERN]", show_default=False, help="With --words: those that hold it.")
    ] = "",
    words: Annotated[bool, typer.Option("--words", help="List what it draws, in which words.")] = False,
    as_json: opt.Json = False,
) -> None:
    """One model's components, sizes and fingerprints.

    janus models show pocket apple --words
    """
    if words:
        _put_words(model, pattern, as_json)
        return
    if pattern:
        raise UsageError(f"{pattern}: a pattern goes with --words")
    facts = describe_model(zoo.locate(model))
    (put_json if as_json else put_table)(facts)


def _put_words(model: str, pattern: str, as_json: bool) -> None:
    """Write a line for each word that the model's lexicon knows: language, word, what is drawn."""
    from janus_cli.stages.lexicon import FILE, Lexicon, make_key

    found = zoo.find(model)
    if not (found.path / FILE).is_file():
        raise ModelError(f"model {found.name} has no {FILE}: nobody has listed its words")
    listed = list(Lexicon.read(found.path / FILE).list_words(pattern))
    if not listed:
        raise ModelError(f"model {found.name} knows no word with {shorten(pattern)}")
    for language, word, name in listed:
        if as_json:
            put_json({"language": language, "word": word, "name": name})
        else:
            put(f"{language}  {word}" + (f"  →  {name}" if make_key(name) != word else ""))


@app.command("verify")
def verify(
    models: Annotated[list[str] | None, typer.Argument(metavar="MODEL")] = None, as_json: opt.Json = False
) -> None:
    """Check every file and tensor; name what is missing or does not fit."""
    failures = Failures()
    done = 0
    for place in [zoo.locate(name) for name in models] if models else zoo.list_places():
        with failures.item(place.name):
            for what, check in list_checks(place):
                done += _make_check(place.name, what, check, failures, as_json)
    failures.finish(done)


def _make_check(name: str, what: str, check: Callable[[], str], failures: Failures, as_json: bool) -> bool:
    """Make one check and say what came of it; returns whether it found nothing wrong."""
    found = {"model": name, "check": what, "ok": False, "found": ""}
    with failures.item(name):
        try:
            found |= {"ok": True, "found": check()}
        except JanusError as error:
            found["found"] = str(error)
            raise
        finally:
            if as_json:
                put_json(found)
    if found["ok"] and not as_json:
        put(escape(f"{name} {what}: {found['found']}"))
    return bool(found["ok"])


class Stored(StrEnum):
    """The float types that `import` can store."""

    bf16 = "bf16"
    fp32 = "fp32"


@app.command("pull")
def pull(
    name: Annotated[str, typer.Argument(metavar="ORG/NAME")],
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="REV", show_default="main", help="Branch, tag or commit."),
    ] = None,
    quiet: opt.Quiet = False,
) -> None:
    """Fetch a model from the Hugging Face hub into the cache that its tools share; run it again to go on.

    janus models pull deepseek-ai/Janus-Pro-1B
    """
    from janus_cli.zoo import hub

    full = f"{name}@{revision}" if revision else name
    with byte_bar("pulling", quiet) as progress:
        path = hub.pull(full, progress)
    Talk(quiet)(f"use it with --model {full}")
    put(str(path))


@app.command("import")
def import_model(
    model: Annotated[str, typer.Argument(metavar="MODEL|FILE", help="A name, folder, or weight file.")],
    dtype: Annotated[Stored | None, typer.Option("--dtype", show_default="as stored")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", show_default="NAME-safetensors", help="The new folder."
        ),
    ] = None,
    skip_existing: opt.SkipExisting = False,
    quiet: opt.Quiet = False,
) -> None:
    """Turn a published checkpoint's .bin files into safetensors, once: they load faster and run no code.

    janus models import deepseek-ai/Janus-Pro-1B --dtype bf16 -o janus-pro-1b
    """
    place = locate_importable(model)
    target = output or Path(f"{place.name.rpartition('/')[2]}-safetensors")
    if skip_existing and (target / "config.json").is_file():
        Talk(quiet)(f"{target} passed over: already there")
        put(str(target))
        return
    import torch

    from janus_cli.weights.convert import convert

    kinds = {Stored.bf16: torch.bfloat16, Stored.fp32: torch.float32}
    with byte_bar("writing", quiet) as progress:
        files = convert(place.path, target, kinds[dtype] if dtype else None, progress)
    Talk(quiet)(
        f"{len(files)} files, {sum(f.stat().st_size for f in files) / 1e9:.2f} GB: "
        f"use them with --model {target}"
    )
    put(str(target))
