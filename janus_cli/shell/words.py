"""What `describe` and `transcribe` share: records of pictures or sounds in, a line of words each out."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from janus_cli.shell.console import put, put_json
from janus_cli.shell.failures import Failures

if TYPE_CHECKING:
    from janus_cli.pipeline import Pipeline
    from janus_cli.records import Record
    from janus_cli.stages.generate import GenerateOptions


def say_all(
    records: Iterator["Record"],
    pipeline: "Pipeline",
    options: "GenerateOptions",
    named: bool,
    as_json: bool,
    failures: Failures,
) -> None:
    """The words for each record on standard output, one line each; `named`: after its id, as grep does.

    As JSON: file, text, model. Records that are no prompts are counted as failures.
    """

    def usable() -> Iterator["Record | None"]:
        for record in records:
            yield record if failures.attempt(record.id, pipeline.check_prompt, record, options) else None

    done = 0
    for record in pipeline.generate(usable(), options):
        said = " ".join(str(pipeline.decode(record)).split("\n"))
        if as_json:
            put_json({"file": record.id, "text": said, "model": pipeline.model.name})
        else:
            put(f"{record.id}: {said}" if named else said)
        done += 1
    failures.finish(done)
