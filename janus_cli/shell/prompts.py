"""What is asked for, before the nets: texts and records become prompts; those that cannot are counted."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from janus_cli.shell.console import shorten
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import read_texts

if TYPE_CHECKING:
    from janus_cli.pipeline import Pipeline, Plan, Prompt
    from janus_cli.records import Record


def prepare_texts(
    texts: Iterable[str], stdin: bool, pipeline: "Pipeline", plan: "Plan", failures: Failures
) -> "Iterator[Prompt | None]":
    """Prepare the texts, and with `stdin` its lines; None holds the place of one that failed.

    Empty lines are passed over and take no place.
    """
    number = 0
    for text in chain(texts, read_texts(True, failures) if stdin else ()):
        if text is not None and not text.strip():
            continue
        prompt = None
        if text is not None:
            with failures.item(shorten(text)):
                prompt = plan.prepare(pipeline.tokenize(text, str(number)))
        yield prompt
        number += 1


def prepare_all(
    records: Iterable["Record"], plan: "Plan", failures: Failures, named: bool = False
) -> "Iterator[Prompt | None]":
    """Prepare records; None holds the place of one that can be no prompt, which is counted as a failure.

    `named`: the record's id stands before what is said of it.
    """
    for record in records:
        prompt = None
        with failures.item(record.id if named else ""):
            prompt = plan.prepare(record)
        yield prompt
