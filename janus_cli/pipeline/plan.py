"""What is to be generated, completed once: a plan prepares prompts and makes records of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from janus_cli.config import Progress
from janus_cli.errors import UsageError
from janus_cli.pipeline.options import PictureOptions

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

    @cached_property
    def _stage(self) -> "GeneratingStage":
        return self.open_stage()

    def open(self) -> None:
        """Open the stage, as the first prompt would. Raises ModelError where the model has none."""
        _ = self._stage

    def prepare(self, record: "Record", seeds: Mapping[int, int] | None = None) -> Prompt:
        """Check a record and lay it out, once, as a prompt for `generate`.

        `seeds`: those of its outputs, by number; None: `options.n` of them, from `options.seed` on.
        Raises UsageError for an empty one, of which anything at all would be made, and for one too long;
        RecordError and ModelError for tokens that are not the model's. Published weights are not read for it.
        """
        if not any(segment.data.size for segment in record.segments):
            who = f"record {record.id!r}: " if record.id else ""
            raise UsageError(f"{who}an empty prompt: it holds no words, no picture and no sound")
        read, reading = self.interpret(record)
        prompt: Prompt = self._stage.prepare(read, seeds)
        return prompt if reading is None else replace(prompt, reading=reading)

    def draw_tokens(
        self, prompts: Iterable[Prompt | None], progress: Progress | None = None, stream: bool = False
    ) -> Iterator["Record"]:
        """Make a record of one new segment for each seed of each prompt, after words where it had none.

        None says that no more prompts are waiting, so that those before it are not kept back for a batch.
        `stream`: pictures come in parts, row by row, before they come whole.
        """
        return self._stage(prompts, progress, stream)

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
