"""What `draw` and `speak` share: texts in, a file for each picture or sound out, and what is said of it."""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from janus_cli.errors import UsageError
from janus_cli.pipeline.options import space_seeds
from janus_cli.shell.console import Talk, put_json, shorten
from janus_cli.shell.failures import Failures
from janus_cli.shell.media_output import PICTURE_FORMATS, SOUND_SUFFIXES, as_output, open_stdout_for
from janus_cli.shell.names import Existing
from janus_cli.shell.outputs import Outputs
from janus_cli.shell.progress import Rate
from janus_cli.shell.prompts import Wish, explain_reading, read_wishes
from janus_cli.stages.wording import clean_prompt

if TYPE_CHECKING:
    from janus_cli.pipeline import Pipeline, Plan, Prompt
    from janus_cli.records import Record

    Key = tuple[str, int]  # id of a text, number of its result


LEAST_CHANCE = 0.001  # percent that are told apart from nothing


@dataclass(frozen=True)
class Craft:
    """What a command makes of texts, in the words of its messages, and the suffixes of its files."""

    command: str
    verb: str  # what is done with a text
    noun: str  # what a text is called
    thing: str  # what is made of it
    suffixes: tuple[str, ...]
    keys: tuple[str, ...]  # what a line of JSON may say beside its prompt


DRAWING = Craft("draw", "draw", "prompt", "picture", tuple(PICTURE_FORMATS), ("name", "seed", "size", "n"))
SPEAKING = Craft("speak", "say", "text", "sound", tuple(SOUND_SUFFIXES), ("name", "seed", "n"))


@dataclass(frozen=True)
class Order:
    """Texts to make something of, and where it goes."""

    craft: Craft
    texts: Sequence[str]
    stdin: bool  # whether more texts come on standard input, one a line
    output: str
    as_json: bool
    existing: Existing
    quiet: bool
    seed: int
    n: int  # results of each text
    best_of: int = 1  # candidates that each is chosen among

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


class Maker:
    """An order under way. Items that fail are counted, and the rest is still made."""

    def __init__(self, order: Order) -> None:
        """Raises what `Order.check` does, UsageError for a wrong name, MediaError for one that exists."""
        order.check()
        self.order, self.talk, self.failures = order, Talk(order.quiet), Failures(order.quiet)
        self._outputs = Outputs(order.output, order.existing, order.craft.suffixes)
        self._outputs.check_count(max(len(order.texts), 1) * order.n)
        self._places: dict[Key, Path] = {}
        self._twins = Twins()
        self.names: dict[str, str] = {}  # what the user calls them: id of a text -> name
        self.passed_over = 0

    def make(
        self,
        pipeline: "Pipeline",
        choose_plan: "Callable[[Wish], Plan]",
        run: "Callable[[Plan, Iterator[Prompt | None]], Iterator[Record]]",
    ) -> "Iterator[Record]":
        """Make what the texts ask for: `run` is called with neighbours of the same plan, prepared for it."""
        planned = self._prepare(pipeline, choose_plan)
        for plan, group in groupby(planned, key=itemgetter(0)):
            yield from run(plan, (prompt for _, prompt in group))

    def _prepare(
        self, pipeline: "Pipeline", choose_plan: "Callable[[Wish], Plan]"
    ) -> "Iterator[tuple[Plan, Prompt | None]]":
        """Prepare the texts, and the lines of standard input, each with its plan.

        A None in place of a prompt says that no line is waiting. What is to be passed over is not prepared.
        """
        number, plan = 0, choose_plan(Wish(""))
        wishes = read_wishes(self.order.texts, self.order.stdin, self.order.craft.keys, self.failures)
        for wish in wishes:
            if wish is None:
                yield plan, None
                continue
            id, seeds = str(number), dict[int, int]()
            number += 1
            with self.failures.item(wish.where or shorten(wish.text)):
                seeds, plan = self._choose_places(id, wish), choose_plan(wish)
            if not seeds:
                continue
            plan.open()  # where the model cannot do it, no prompt helps
            with self.failures.item(wish.where or shorten(wish.text)):
                prompt = plan.prepare(pipeline.tokenize(wish.text, id), seeds)
                for line in explain_reading(prompt):
                    self.failures.note(line)
                yield plan, prompt

    def _choose_places(self, id: str, wish: Wish) -> dict[int, int]:
        """Choose the files of a wish's results; give the seeds of those that are to be made, by number."""
        from janus_cli.records import Record

        record = Record((), id).with_step("tokenize", text=clean_prompt(wish.text))
        if wish.name:
            self.names[record.id] = wish.name
        seed = self.order.seed if wish.seed is None else wish.seed
        seeds = space_seeds(seed, self.order.n if wish.n is None else wish.n, self.order.best_of)
        self._outputs.check_count(len(seeds))
        for k, seed in list(seeds.items()):
            named = record.with_step("generate", seed=seed, index=k)
            path = self._outputs.choose(named, self.order.craft.suffixes[0], wish.name)
            if path is None:
                self.passed_over += 1
                del seeds[k]
            else:
                self._places[record.id, k] = path
        return seeds

    def write(
        self,
        made: Iterable["Record"],
        pipeline: "Pipeline",
        rate: Rate,
        finish: "Callable[[Record, Any, str], Sequence[str]]" = lambda record, media, name: (),
        explain: "Callable[[Record], str]" = lambda record: "",
    ) -> None:
        """Write a file for each record, say where, and at the end what it took.

        `finish` is called before, with what the record was decoded to and what the user calls it, and gives
        lines to say after; `explain` says what is wrong with what was made, or nothing. Raises PartialError
        where some failed.
        """
        seeds, count = list[int](), 0
        for record in made:
            with self.failures.item(shorten(record.prompt)):
                media = pipeline.decode(record)
                lines = finish(record, media, self.names.get(record.id, ""))
                step = record.step("generate")
                name = self._outputs.write(
                    record, as_output(media), self._places.pop((record.id, step["index"]))
                )
                seeds += [seed for seed, _ in record.step("choose").get("candidates", [(step["seed"], 0)])]
                count += 1
                self._twins.add(record)
                self._report(record, name, pipeline, rate)
                for line in lines:
                    self.talk(line)
                if fault := explain(record):
                    self.talk(f"{name}: {fault}")
        self._conclude(count, seeds, f"{rate} on {pipeline.device}" if seeds else "")

    def _conclude(self, count: int, seeds: list[int], cost: str) -> None:
        """Say what was made, of which seeds, and what was not; raises what `Failures.finish` does."""
        thing, noun = self.order.craft.thing, self.order.craft.noun
        if seeds:
            self.talk(f"{count_things(count, thing)}, {format_seeds(seeds, self.order.best_of)}, {cost}")
        elif not self.failures.count and not self.passed_over:
            raise UsageError(f"no {noun}: standard input held nothing but empty lines and comments")
        if self.passed_over:
            self.talk(f"{count_things(self.passed_over, thing)} passed over: already there")
        if line := self._twins.explain(thing):
            self.talk(line)
        self.failures.finish(count + self.passed_over)

    def _report(self, record: "Record", name: str, pipeline: "Pipeline", rate: Rate) -> None:
        """Say where a picture or sound went: a line on stderr, or JSON on stdout."""
        if not self.order.as_json:
            if name != "-":
                self.talk(f"wrote {name}")
            if self.order.best_of > 1:
                self.talk(explain_choice(record))
            return
        from janus_cli.records.provenance import collect_parameters

        known: dict[str, Any] = json.loads(collect_parameters(record)["janus"])
        known["index"] = record.step("generate").get("index")
        facts: dict[str, Any] = {
            word: known[word] for word in ("model", "seed", "index", "tokens") if word in known
        }
        cost = {"device": pipeline.device, "seconds": round(rate.seconds, 3), "passes": rate.passes}
        put_json({"path": name, "prompt": record.prompt, **facts, **list_candidates(record), **cost})


def list_candidates(record: "Record") -> dict[str, Any]:
    """List, for JSON, what a picture was chosen among, and by whom; nothing where it was not."""
    if not (step := record.step("choose")):
        return {}
    candidates = [{"seed": seed, "score": score} for seed, score in step["candidates"]]
    return {"score": step["score"], "candidates": candidates, "chosen_by": step["model"]}


def explain_choice(record: "Record") -> str:
    """Say which of several pictures was chosen, and what eyes think of it and of the others."""
    step = record.step("choose")
    seed, scores = record.step("generate")["seed"], sorted(score for _, score in step["candidates"])
    low, high, best = map(_format_chance, (scores[0], scores[-2], scores[-1]))
    seen = f"{step['model']} sees {shorten(step['wording'])} in it at {best}"
    if step["different"] == 1:
        return f"{len(scores)} seeds drew one picture, {seen}: --best-of needs a higher --temperature here"
    others = f"the other{'s' * (len(scores) > 2)} {low}" + (f" to {high}" if low != high else "")
    return f"seed {seed} is the best of {len(scores)}: {seen}, in {others}"


def _format_chance(score: float) -> str:
    """Format the natural logarithm of a probability."""
    percent = 100 * math.exp(score)
    return f"{percent:.2g} %" if percent >= LEAST_CHANCE else f"less than {LEAST_CHANCE} %"


class Twins:
    """Finds results of one prompt that are the same although their seeds are not."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bytes], object] = {}  # a prompt and its result -> which it was
        self.count = 0

    def add(self, record: "Record") -> None:
        """Take in one more result."""
        from janus_cli.records.progressive import is_whole

        segment = record.find("image") or record.find("audio") or record.find("text")
        if segment is None or not is_whole(record):
            return
        made = (record.id + record.prompt, hashlib.sha256(segment.data.tobytes()).digest())
        index = record.step("generate").get("index")
        self.count += self._seen.setdefault(made, index) != index

    def explain(self, thing: str) -> str:
        """Say how many there were, or nothing."""
        if not self.count:
            return ""
        same = f"{count_things(self.count, thing)} came out the same as another of the same prompt"
        return f"{same}: their seeds made no difference: raise --temperature"


def count_things(count: int, thing: str) -> str:
    """Count things in words: 1 picture, 2 pictures."""
    return f"{count} {thing}{'s' * (count != 1)}"


def format_seeds(seeds: Sequence[int], best_of: int = 1) -> str:
    """Say which seeds there were, `best_of` of them for each result."""
    low, high = min(seeds), max(seeds)
    best = "the best of " if best_of > 1 else ""
    return f"seed {low}" if low == high else f"{best}seeds {low} to {high}"
