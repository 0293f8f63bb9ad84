"""What is asked for, before the nets: lines become wishes, records prompts; those that cannot are counted.

A line of standard input is a prompt, `name<TAB>prompt`, or an object of JSON with the prompt and what it is
to be drawn with.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from janus_cli.config import refuse_twins
from janus_cli.errors import JanusError, UsageError
from janus_cli.pipeline import Size
from janus_cli.shell.console import shorten
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import read_lines
from janus_cli.shell.options import MAX_SEED, parse_size
from janus_cli.shell.sinks import Destination

if TYPE_CHECKING:
    from janus_cli.pipeline import Plan, Prompt
    from janus_cli.records import Record


@dataclass(frozen=True)
class Wish:
    """One text to make something of; what it does not say, the command line does."""

    text: str
    name: str = ""  # of its file
    seed: int | None = None
    n: int | None = None
    size: Size | None = None
    where: str = ""  # it came from, for messages


def read_wishes(
    texts: Sequence[str], stdin: bool, keys: Sequence[str], failures: Failures
) -> Iterator[Wish | None]:
    """Make wishes of texts, and of the lines of standard input; those that fail are counted.

    `keys`: what an object may say besides its prompt. A None says that no line is waiting.
    """
    yield from map(Wish, texts)
    for found in read_lines(failures) if stdin else ():
        if found is None:
            yield None
            continue
        where, line = found
        with failures.item():
            try:
                yield replace(parse_line(line, keys), where=where)
            except UsageError as error:
                raise UsageError(f"{where}: {error}") from None


def parse_line(line: str, keys: Sequence[str]) -> Wish:
    """Read a line: JSON where it begins with "{", name<TAB>prompt where it holds a tab. Raises UsageError."""
    if line.lstrip().startswith("{"):
        return _parse_object(line, keys)
    name, tab, text = line.partition("\t")
    wish = Wish(text, name.strip()) if tab else Wish(line)
    if not wish.text.strip():
        raise UsageError("a name before a tab, and no prompt behind it")
    return wish


def _parse_object(line: str, keys: Sequence[str]) -> Wish:
    """Read a wish from JSON. Raises UsageError for anything but the keys that it may have, in their types."""
    try:
        known = json.loads(line, object_pairs_hook=refuse_twins)
    except (ValueError, RecursionError) as error:
        fault = "too deep" if isinstance(error, RecursionError) else error
        raise UsageError(f"begins with {{ and is no JSON ({fault})") from None
    if unknown := sorted(set(known) - {"prompt", *keys}):
        raise UsageError(f"unknown key {json.dumps(unknown[0])} (known: prompt, {', '.join(keys)})")
    if not _is_text(known.get("prompt")):
        raise UsageError('no "prompt": give its text, as in {"prompt": "a red apple"}')
    if not isinstance(known.get("name", ""), str):
        raise UsageError('"name" is no text')
    for word, least in (("seed", 0), ("n", 1)):
        if word in known and (type(known[word]) is not int or not least <= known[word] <= MAX_SEED):
            raise UsageError(f'"{word}" is no whole number from {least} up')
    return Wish(known.pop("prompt"), **known | _parse_size(known))


def _parse_size(known: dict[str, Any]) -> dict[str, Size]:
    if "size" not in known:
        return {}
    size = known["size"]
    if type(size) not in (int, str):
        raise UsageError('"size" is no number of pixels such as 512, and no text such as "512x256"')
    return {"size": parse_size(str(size))}


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def explain_reading(prompt: "Prompt") -> Iterator[str]:
    """Say how a prompt was understood, where that is not what it says."""
    reading, text = prompt.reading, shorten(prompt.record.prompt)
    if reading is None:
        return
    if reading.changes:
        yield ", ".join(f"{word!r} → {name!r}" for word, name in reading.changes)
    if not reading.known:
        near = f"the nearest: {', '.join(reading.near)}; " if reading.near else ""
        yield (
            f"nothing in {text} is known to {reading.by}, so anything may come out: {near}"
            f"janus models show {reading.by} --words lists what is"
        )
    if reading.beyond:
        beyond = shorten(reading.beyond.strip())
        yield f"{reading.by} learned shorter prompts than {text}: it hardly knows what {beyond} is for"


def prepare_all(
    records: Iterable["Record | None"],
    plan: "Plan",
    failures: Failures,
    target: Destination | None = None,
    named: bool = False,
) -> "Iterator[Prompt | None]":
    """Prepare records; one that can be no prompt is counted as a failure. A None stays.

    What `target` has already is left out before. `named`: the record's id stands before what is said of it.
    """
    for record in records:
        if record is None:
            yield None
            continue
        with failures.item(record.id if named else ""):
            seeds = plan.list_seeds()
            if target is not None:
                seeds = {k: seed for k, seed in seeds.items() if target.claim(record.id)}
            if not seeds:
                continue
            try:
                prompt = plan.prepare(record, seeds)
            except JanusError:
                if target is not None:
                    target.give_up(record.id, len(seeds))
                raise
            for line in explain_reading(prompt):
                failures.note(line)
            yield prompt
