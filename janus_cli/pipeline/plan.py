"""What is to be generated, completed once: a plan prepares prompts and makes records of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from janus_cli.config import Progress
from janus_cli.errors import UsageError
from janus_cli.pipeline.options import PictureOptions, space_seeds

if TYPE_CHECKING:
    from janus_cli.pipeline.nets import GeneratingStage
    from janus_cli.records import Record
    from janus_cli.stages.decoding.options import GenerateOptions
    from janus_cli.stages.lexicon import Reading
    from janus_cli.stages.page import Page

Prompt = Any  # what a plan's stage makes of a record that it can take, frozen: nobody else's business


@dataclass(frozen=True)
class Plan:
    """The options of a run and the stage that they are for, which is opened with the first prompt."""

    options: "GenerateOptions"
    open_stage: "Callable[[], GeneratingStage]"
    picture: PictureOptions = PictureOptions()
    page: "Page | None" = None  # where the model does not draw pictures of that size by itself
    limits: str = ""  # what such a page cannot be, for the user
    lay_out: "Callable[[Iterable[Record]], Iterator[Record]]" = iter
    interpret: "Callable[[Record], tuple[Record, Reading | None]]" = lambda record: (record, None)
    best_of: int = 1  # pictures drawn for each, of which `choose` keeps one
    choose: "Callable[[Iterable[Record]], Iterator[Record]]" = iter

    @cached_property
    def _stage(self) -> "GeneratingStage":
        return self.open_stage()

    def open(self) -> None:
        """Open the stage, as the first prompt would. Raises ModelError where the model has none."""
        _ = self._stage

    def list_seeds(self) -> dict[int, int]:
        """Give each output of a prompt, by its number, its seed: the first of those it is chosen among."""
        return space_seeds(self.options.seed, self.options.n, self.best_of)

    def prepare(self, record: "Record", seeds: Mapping[int, int] | None = None) -> Prompt:
        """Check a record and lay it out, once, as a prompt for `generate`.

        `seeds`: those of its outputs, by number, each the first of `best_of`; None: as `list_seeds` gives.
        Raises UsageError for an empty one, of which anything at all would be made, for one too long, and for
        one without words where these choose; RecordError and ModelError for tokens that are not the model's.
        Published weights are not read for it.
        """
        if not any(segment.data.size for segment in record.segments):
            who = f"record {record.id!r}: " if record.id else ""
            raise UsageError(f"{who}an empty prompt: it holds no words, no picture and no sound")
        read, reading = self.interpret(record)
        first = self.list_seeds() if seeds is None else seeds
        candidates = {k * self.best_of + i: s + i for k, s in first.items() for i in range(self.best_of)}
        prompt: Prompt = self._stage.prepare(read, candidates)
        if self.best_of > 1 and not (record.prompt or prompt.words_first):
            raise UsageError("--best-of: the record says no words, and they say what is best: leave it away")
        return prompt if reading is None else replace(prompt, reading=reading)

    def draw_tokens(
        self, prompts: Iterable[Prompt | None], progress: Progress | None = None, stream: bool = False
    ) -> Iterator["Record"]:
        """Make a record of one new segment for each seed of each prompt, after words where it had none.

        None says that no more prompts are waiting, so that those before it are not kept back for a batch.
        `stream`: pictures come in parts, row by row, before they come whole as last parts; chosen ones come
        whole alone.
        """
        from janus_cli.records.progressive import as_last

        if self.best_of == 1:
            return self._stage(prompts, progress, stream)
        chosen = self.choose(self._stage(prompts, progress))
        return (as_last(record, self.options.grid[0]) for record in chosen) if stream else chosen

    def generate(
        self, prompts: Iterable[Prompt | None], progress: Progress | None = None, stream: bool = False
    ) -> Iterator["Record"]:
        """Make what `draw_tokens` does, with pictures laid out on their page."""
        return self.lay_out(self.draw_tokens(prompts, progress, stream))

    def run(
        self, records: Iterable["Record"], progress: Progress | None = None, stream: bool = False
    ) -> Iterator["Record"]:
        """Prepare records and generate from them. Raises what `prepare` does."""
        return self.generate(map(self.prepare, records), progress, stream)
