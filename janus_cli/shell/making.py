"""What `draw` and `speak` share: texts in, a file for each picture or sound out, and what is said of it."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from janus_cli.errors import UsageError
from janus_cli.shell.console import Talk, put_json, shorten
from janus_cli.shell.failures import Failures
from janus_cli.shell.inputs import read_texts
from janus_cli.shell.media_output import PICTURE_FORMATS, SOUND_FORMATS, as_output, open_stdout_for
from janus_cli.shell.outputs import Outputs
from janus_cli.shell.progress import Rate

if TYPE_CHECKING:
    from janus_cli.pipeline import Pipeline, Plan, Prompt
    from janus_cli.records import Record


@dataclass(frozen=True)
class Craft:
    """What a command makes of texts, in the words of its messages, and the suffixes of its files."""

    command: str
    verb: str  # what is done with a text
    noun: str  # what a text is called
    thing: str  # what is made of it
    suffixes: tuple[str, ...]


DRAWING = Craft("draw", "draw", "prompt", "picture", tuple(PICTURE_FORMATS))
SPEAKING = Craft("speak", "say", "text", "sound", tuple(SOUND_FORMATS))


@dataclass(frozen=True)
class Order:
    """Texts to make something of, and where it goes."""

    craft: Craft
    texts: Sequence[str]
    stdin: bool  # whether more texts come on standard input, one a line
    output: str
    as_json: bool
    force: bool
    quiet: bool

    def check(self) -> None:
        """Raise UsageError for what cannot be, before anything is loaded."""
        if any(not text.strip() for text in self.texts):
            raise UsageError(f"an empty {self.craft.noun}: say what to {self.craft.verb}")
        if not self.texts and not self.stdin:
            raise UsageError(
                f'no {self.craft.noun}: janus {self.craft.command} "a red apple", or --stdin for one a line'
            )
        if self.as_json and self.output == "-":
            raise UsageError("--json and -o - both want standard output: name a file")
        if self.output == "-":
            open_stdout_for(self.craft.thing)

    @property
    def is_typed(self) -> bool:
        """Whether someone is typing the texts: then each line is answered, whatever the size of a batch."""
        return self.stdin and sys.stdin is not None and sys.stdin.isatty()


class Maker:
    """An order under way. Items that fail are counted, and the rest is still made."""

    def __init__(self, order: Order) -> None:
        """Raises UsageError for a wrong output name."""
        self.order, self.talk, self.failures = order, Talk(order.quiet), Failures()
        self._outputs = Outputs(order.output, order.force, order.craft.suffixes)

    def prepare(self, pipeline: "Pipeline", plan: "Plan") -> "Iterator[Prompt | None]":
        """Prepare the texts, and the lines of standard input; None holds the place of one that failed.

        Empty lines are passed over and take no place.
        """
        number = 0
        for text in chain(self.order.texts, read_texts(True, self.failures) if self.order.stdin else ()):
            if text is not None and not text.strip():
                continue
            prompt = None
            if text is not None:
                with self.failures.item(shorten(text)):
                    prompt = plan.prepare(pipeline.tokenize(text, str(number)))
            yield prompt
            number += 1

    def write(
        self,
        made: Iterable["Record"],
        pipeline: "Pipeline",
        rate: Rate,
        finish: "Callable[[Record, Any], Sequence[str]]" = lambda record, media: (),
        explain: "Callable[[Record], str]" = lambda record: "",
    ) -> None:
        """Write a file for each record, say where, and at the end what it took.

        `finish` is called before, with what the record was decoded to, and gives lines to say after;
        `explain` says what is wrong with what was made, or nothing. Raises PartialError where some failed.
        """
        done = 0
        for record in made:
            with self.failures.item(shorten(record.prompt)):
                media = pipeline.decode(record)
                lines = finish(record, media)
                name = self._outputs.write(record, as_output(media))
                done += 1
                self._report(record, name, pipeline, rate)
                for line in lines:
                    self.talk(line)
                if fault := explain(record):
                    self.talk(f"{name}: {fault}")
        if done:
            seed = record.step("generate").get("seed")
            things = f"{done} {self.order.craft.thing}{'s' * (done > 1)}"
            self.talk(f"{things}, seed {seed}, {rate} on {pipeline.device}")
        elif not self.failures.count:
            raise UsageError(f"no {self.order.craft.noun}: standard input held nothing but empty lines")
        self.failures.finish(done)

    def _report(self, record: "Record", name: str, pipeline: "Pipeline", rate: Rate) -> None:
        """Say where a picture or sound went: a line on stderr, or JSON on stdout."""
        if not self.order.as_json:
            if name != "-":
                self.talk(f"wrote {name}")
            return
        from janus_cli.records.provenance import collect_parameters

        known: dict[str, Any] = json.loads(collect_parameters(record)["janus"])
        facts: dict[str, Any] = {
            word: known[word] for word in ("model", "seed", "index", "tokens") if word in known
        }
        cost = {"device": pipeline.device, "seconds": round(rate.seconds, 3)}
        put_json({"path": name, "prompt": record.prompt, **facts, **cost})
