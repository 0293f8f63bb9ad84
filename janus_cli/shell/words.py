"""What `describe` and `transcribe` share: records of pictures or sounds in, a line of words each out."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from janus_cli.shell.console import put, put_json
from janus_cli.shell.failures import Failures
from janus_cli.shell.prompts import prepare_all

if TYPE_CHECKING:
    from janus_cli.pipeline import Pipeline, Plan
    from janus_cli.records import Record


def put_words(
    records: Iterable["Record"],
    pipeline: "Pipeline",
    plan: "Plan",
    named: bool,
    as_json: bool,
    failures: Failures,
) -> None:
    """Write the words for each record on standard output, one line each; `named`: after its id, as grep does.

    As JSON: file, text, model. Records that are no prompts are counted as failures.
    """
    done = 0
    for record in plan.generate(prepare_all(records, plan, failures, named=True)):
        text = " ".join(str(pipeline.decode(record)).split("\n"))
        if as_json:
            put_json({"file": record.id, "text": text, "model": pipeline.model.name})
        else:
            put(f"{record.id}: {text}" if named else text)
        done += 1
    failures.finish(done)
