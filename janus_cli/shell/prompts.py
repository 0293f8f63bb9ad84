"""What is asked for, before the nets: records become prompts; those that cannot are counted."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from janus_cli.shell.failures import Failures

if TYPE_CHECKING:
    from janus_cli.pipeline import Plan, Prompt
    from janus_cli.records import Record


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
