"""Prompts in, new tokens out: autoregressive generation by the shared decoder.

A prompt is a record; its segments become `<txt> ids <img> ids ...`, followed by the delimiter of the
modality to generate. A prompt of sounds, pictures or traces alone may be put into words first, which
stay in the result. Knows a decoder and options; no files, no devices, no tokenizers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from janus_cli.config import Progress
from janus_cli.errors import JanusError, UsageError
from janus_cli.records import Record
from janus_cli.records.progressive import as_last, as_row, name_result, with_rows
from janus_cli.stages.decoding.loop import Item, Loop, Made
from janus_cli.stages.decoding.prompt import Preparer, Prompt
from janus_cli.stages.decoding.segments import cut_at_end, make_segment, make_text_segment

Spell = Callable[[list[int]], str]  # text ids -> what they say


@dataclass(frozen=True)
class Generate:
    """The stage: `prepare` checks a record and lays it out, the call makes records of the prompts.

    spell: what text ids say, for `made_by`, where a prompt was put into words. begin: called before the
    decoder runs, where it has no weights until then.
    """

    preparer: Preparer
    spell: Spell | None = None
    begin: Callable[[], object] = lambda: None

    def prepare(self, record: Record, seeds: Mapping[int, int] | None = None) -> Prompt:
        """Check a record and lay it out; takes and raises what `Preparer.prepare` does."""
        return self.preparer.prepare(record, seeds)

    def __call__(
        self, prompts: Iterable[Prompt | None], progress: Progress | None = None, stream: bool = False
    ) -> Iterator[Record]:
        """Make a record of one new segment for every seed of every prompt, in order; lazily, by batches.

        An output's randomness depends on its seed alone: not on the batch size, nor on what comes before. A
        None says that no more prompts are waiting: those before it are not kept back. `progress` is called
        with the number of new tokens of each pass. `stream`: pictures come in parts, a row of every picture
        of the batch as soon as the decoder has made it, then the whole ones as last parts. Raises UsageError
        for a modality that the model lacks.
        """
        decoder, options = self.preparer.decoder, self.preparer.options
        if options.to not in decoder.type_ids:
            known = ", ".join(decoder.type_ids)
            name = self.preparer.identity.name
            raise UsageError(f"model {name} does not generate {options.to} (it has {known})")
        if stream and options.to != "image":
            raise UsageError(f"only pictures can be streamed, not {options.to}")
        rows, cols = options.grid
        for batch in _cut_batches(_list_items(prompts), options.batch_size, stream):
            self.begin()
            loop = Loop(batch, decoder, options, progress)
            for done, made in enumerate(loop.run(cols if stream else 0)):
                for i, item in enumerate(batch):
                    result = self._finish(item, made, i)
                    yield _cut_part(result, done, rows) if stream else result

    def _finish(self, item: Item, made: Made, i: int) -> Record:
        """Add to the item's record what a batch has made for it, at place `i`."""
        decoder, options = self.preparer.decoder, self.preparer.options
        identity, vocab_size = self.preparer.identity, decoder.cfg.modalities[options.to].vocab_size
        segments = [make_segment(made.codes[i], options, vocab_size, identity)]
        words: dict[str, Any] = {}
        if item.prompt.words_first and made.words is not None:
            ids = cut_at_end(made.words[i])
            segments.insert(0, make_text_segment(ids, decoder, identity))
            words = {"beams": options.beams, **({"words": self.spell(ids.tolist())} if self.spell else {})}
        return item.prompt.record.with_step(
            "generate",
            segments,
            model=identity.name,
            seed=item.seed,
            index=item.index,
            **options.note,
            **words,
        )


def _list_items(prompts: Iterable[Prompt | None]) -> Iterator[Item | None]:
    """Make an item for each seed of each prompt; a None stays."""
    for prompt in prompts:
        if prompt is None:
            yield None
        else:
            yield from (Item(prompt, index, seed) for index, seed in prompt.seeds.items())


def _cut_batches(items: Iterable[Item | None], size: int, apart: bool = False) -> Iterator[list[Item]]:
    """Cut items into batches; the last before a None may be smaller.

    Gives those before a faulty prompt before its error is raised. `apart`: no two that nothing tells apart
    are in one batch, where their parts would be mixed.
    """
    batch: list[Item] = []
    try:
        for item in items:
            if apart and item is not None and any(_is_same(item, other) for other in batch):
                yield batch
                batch = []
            batch += [] if item is None else [item]
            if len(batch) == size or (item is None and batch):
                yield batch
                batch = []
    except JanusError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _is_same(one: Item, other: Item) -> bool:
    """Tell whether two items make the same result, even by name."""
    if (one.index, one.seed) != (other.index, other.seed):
        return False
    return name_result(one.prompt.record) == name_result(other.prompt.record)


def _cut_part(result: Record, done: int, rows: int) -> Record:
    """Cut out what a stream gives after `done` rows of a picture: the next row, at last the whole."""
    image = result.find("image")
    if done == rows or image is None:
        return as_last(result, rows)
    return as_row(with_rows(result, "image", image.data[done:]), done)
