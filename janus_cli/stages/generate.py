"""Prompts in, new tokens out: autoregressive generation by the shared decoder.

A prompt is a record; its segments become `<txt> ids <img> ids ...`, followed by the delimiter of the
modality to generate. A prompt of sounds, pictures or traces alone may be put into words first, which
stay in the result. Knows a decoder and options; no files, no devices, no tokenizers.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from janus_cli.errors import JanusError, ModelError, RecordError, UsageError
from janus_cli.records import Record, Segment, check_ids
from janus_cli.records.progressive import as_last, as_row, with_rows
from janus_cli.stages.decoding.features import Features, Net, check_width, features, is_continuous
from janus_cli.stages.decoding.layout import SIGHT, Eyes, arrange, layout, needs_words
from janus_cli.stages.decoding.loop import Loop, Made, Progress, Row
from janus_cli.stages.decoding.segments import Identity, new_segment, text_segment, until_end

TARGETS = ("image", "text", "audio")
MOST_BEAMS = 64  # a batch has so many rows for each prompt
Prompts = Callable[[Record, bool], np.ndarray]  # a record, whether without its text -> decoder input [4, T]
Spell = Callable[[list[int]], str]  # text ids -> what they say


@dataclass(frozen=True)
class GenerateOptions:
    """What to generate and how to sample. Raises UsageError for a value that cannot be."""

    to: str = "image"  # image, text or audio
    n: int = 1  # outputs per prompt
    seed: int = 0
    cfg_scale: float = 1.5  # 1 = no guidance
    temperature: float = 0.3  # 0 = greedy
    top_k: int = 0  # 0 = all
    top_p: float = 1.0
    grid: tuple[int, int] = (8, 8)  # tokens of an image, rows and columns
    max_tokens: int = 64  # of a text, or frames of a sound
    batch_size: int = 8  # outputs generated together; changes no token
    through_words: bool = True  # a prompt that holds no text is put into words first, the likeliest ones
    max_words: int = 64  # tokens of those
    beams: int = 1  # tries at the likeliest words at a time; 1 = always the next likeliest

    def __post_init__(self) -> None:
        if self.to not in TARGETS:
            raise UsageError(f"cannot generate {self.to!r}: choose {', '.join(TARGETS)}")
        for word in ("n", "max_tokens", "max_words", "batch_size", "beams"):
            if getattr(self, word) < 1:
                raise UsageError(f"{word} is {getattr(self, word)}: give at least 1")
        if self.beams > MOST_BEAMS:
            raise UsageError(f"beams is {self.beams}: give at most {MOST_BEAMS}")
        if self.to == "text" and self.beams > 1 and self.temperature:
            raise UsageError(f"{self.beams} beams find the likeliest words: no temperature then")
        for word in ("seed", "top_k", "temperature", "cfg_scale"):
            if not 0 <= getattr(self, word) < math.inf:
                raise UsageError(f"{word} is {getattr(self, word)}: give 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}: give more than 0 and at most 1")
        if min(self.grid) < 1:
            raise UsageError(f"grid is {self.grid[0]}x{self.grid[1]}: give at least one row and column")

    @property
    def length(self) -> int:
        """Most tokens of one output."""
        return math.prod(self.grid) if self.to == "image" else self.max_tokens

    @property
    def note(self) -> dict[str, Any]:
        """What made_by says of them, beside model, seed and index."""
        words = ("to", "cfg_scale", "temperature", "top_k", "top_p")
        own = {"image": ("grid",), "text": ("max_tokens", "beams"), "audio": ("max_tokens",)}[self.to]
        note = {word: getattr(self, word) for word in (*words, *own)}
        return note | {"grid": list(self.grid)} if "grid" in note else note


@dataclass(frozen=True)
class PromptBuilder:
    """A decoder with all that it needs to take prompts."""

    decoder: Net
    options: GenerateOptions
    identity: Identity
    prompts: Prompts | None = None  # another template than delimiters between segments
    eyes: Eyes | None = None
    spell: Spell | None = None

    @property
    def n_sight(self) -> int:
        """Features of a picture, 0 where none is seen."""
        return self.eyes.n_token if self.eyes is not None else 0

    def asks(self, record: Record) -> bool:
        """Whether `record` is put into words first."""
        return (
            self.prompts is None
            and self.options.through_words
            and needs_words(record.segments, self.options.to, self.decoder, self.n_sight)
        )

    def laid_out(self, record: Record, *, drop_text: bool = False) -> np.ndarray:
        """Decoder input of a prompt, int64 [4, T]; without the words where they come first."""
        if self.prompts is not None:
            return self.prompts(record, drop_text)
        asks = self.asks(record)
        segments = () if asks and drop_text else record.segments  # training drops captions, with all before
        to = "text" if asks else self.options.to
        return layout(segments, to, self.decoder, drop_text=drop_text, n_sight=self.n_sight)

    def result(self, record: Record, row: Row, made: Made, i: int) -> Record:
        """`record` with what a batch has made for its item `i`."""
        options, vocab_size = self.options, self.decoder.cfg.modalities[self.options.to].vocab_size
        segments = [new_segment(made.codes[i], options, vocab_size, self.identity)]
        said: dict[str, Any] = {}
        if row.words_first and made.words is not None:
            ids = until_end(made.words[i])
            segments.insert(0, text_segment(ids, self.decoder, self.identity))
            said = {"beams": options.beams, **({"words": self.spell(ids.tolist())} if self.spell else {})}
        return record.with_step(
            "generate",
            segments,
            model=self.identity.name,
            seed=options.seed,
            index=row.index,
            **options.note,
            **said,
        )

    def check(self, record: Record) -> None:
        """Raise the error that says why `record` cannot be a prompt."""
        for name, segment in arrange(record.segments, self.options.to, self.decoder, self.n_sight):
            if name != SIGHT or segment.modality in self.decoder.type_ids:
                self._check_segment(segment, record.id)
        width, new = self.laid_out(record).shape[1], self.options.length
        if self.asks(record):
            new += self.options.max_words + 1
        if width + new - 1 > self.decoder.cfg.max_seq_len:
            raise UsageError(self._too_long(record, width, new))

    def _check_segment(self, segment: Segment, id: str) -> None:
        modality, who = segment.modality, f"record {id!r}: " if id else ""
        if modality not in self.decoder.type_ids:
            known = ", ".join(self.decoder.type_ids)
            raise UsageError(f"{who}model {self.identity.name} does not take {modality} (it has {known})")
        ours, theirs = self.identity.fingerprint(modality), segment.info.get("fingerprint")
        if ours is not None and theirs is not None and theirs != ours:
            raise ModelError(
                f"{who}the {modality} tokens are of {segment.info.get('tokenizer', 'an unnamed tokenizer')} "
                f"({theirs[:12]}), model {self.identity.name} has {ours[:12]}: "
                "choose the right one with --model"
            )
        cfg = self.decoder.cfg.modalities[modality]
        try:
            if is_continuous(segment, self.decoder):
                check_width(segment, self.decoder)
            elif segment.data.dtype.kind == "f":
                raise UsageError(f"{modality} segment: continuous tokens, but the decoder reads ids")
            else:
                check_ids(segment, cfg.vocab_size)
        except (RecordError, UsageError) as error:
            raise type(error)(f"{who}{error} (model {self.identity.name})") from None
        if modality == "audio" and len(segment.data) < cfg.n_q:
            raise RecordError(
                f"{who}audio segment: {len(segment.data)} codebooks, model "
                f"{self.identity.name} reads {cfg.n_q}: tokenize it without --bandwidth"
            )
        if modality == "audio" and not segment.data.size:
            raise RecordError(f"{who}audio segment: a sound of no length: there is nothing to hear")

    def _too_long(self, record: Record, width: int, new: int) -> str:
        """How long a prompt may be, in seconds where it is a sound."""
        name, most = self.identity.name, self.decoder.cfg.max_seq_len
        frames = sum(s.data.shape[1] for s in record.segments if s.modality == "audio")
        if not frames or self.identity.codec is None:
            return (
                f"a prompt of {width} tokens and {new} new ones are too long: "
                f"model {name} takes {most} in all"
            )
        rate = self.identity.codec.frame_rate
        room = max(most + 1 - new - (width - frames), 0) / rate
        return (
            f"a sound of {frames / rate:.1f} s is too long: model {name} takes at most {room:.1f} s "
            f"here, beside {new} new tokens"
        )


def check_prompt(
    record: Record,
    decoder: Net,
    options: GenerateOptions,
    identity: Identity,
    prompts: Prompts | None = None,
    eyes: Eyes | None = None,
) -> None:
    """Raise what is wrong with `record` as a prompt, as `generate` would when it comes to it.

    UsageError for continuous tokens of another width or a sequence too long, RecordError for ids out of
    range and a sound of no length, ModelError for another tokenizer's tokens.
    """
    PromptBuilder(decoder, options, identity, prompts, eyes).check(record)


def _items(records: Iterable[Record | None], builder: PromptBuilder) -> Iterator[tuple[Record, Row]]:
    """`options.n` rows per prompt, numbered through. Raises what is wrong with a prompt."""
    options = builder.options
    for number, record in enumerate(records):
        if record is None:
            continue
        builder.check(record)
        tokens = builder.laid_out(record)
        plain = builder.laid_out(record, drop_text=True) if options.cfg_scale != 1 else None
        rows = _features(record, builder)
        for k in range(options.n):
            yield record, Row(number * options.n + k, tokens, plain, rows, builder.asks(record))


def _features(record: Record, builder: PromptBuilder) -> Features:
    """What a prompt's ids point at: its continuous segments' tokens, and what is seen of its pictures."""
    if builder.prompts is not None:
        return {}
    found = features(record.segments, builder.decoder)
    if builder.eyes is not None:
        placed = arrange(record.segments, builder.options.to, builder.decoder, builder.n_sight)
        if seen := [builder.eyes.see(segment) for name, segment in placed if name == SIGHT]:
            found[SIGHT] = torch.cat(seen)
    return found


def _batches(items: Iterable[tuple[Record, Row]], size: int) -> Iterator[list[tuple[Record, Row]]]:
    """Items in batches. Those before a faulty prompt come out before its error is raised."""
    batch: list[tuple[Record, Row]] = []
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except JanusError:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def generate(
    records: Iterable[Record | None],
    decoder: Net,
    options: GenerateOptions,
    identity: Identity,
    progress: Progress | None = None,
    prompts: Prompts | None = None,
    eyes: Eyes | None = None,
    spell: Spell | None = None,
    stream: bool = False,
) -> Iterator[Record]:
    """For every prompt `options.n` records of one new segment, in order; lazily, a batch at a time.

    Item i = number of the prompt * n + k draws from the random stream (seed, i), so the tokens do not
    depend on the batch size; None holds the place of a prompt that failed before. `prompts` lays a prompt
    out, where the net wants another template than delimiters between segments. `progress` is called with
    each number of new tokens. `eyes` sees pictures where none is drawn. A prompt of sounds, seen pictures and
    continuous segments alone is put into words first: they are a text segment before the new one, and
    `spell` says what they are for `made_by`. `stream`: pictures come in parts, a row of every picture of the
    batch as soon as the decoder has made it, then the whole ones as last parts. Raises what `check_prompt`
    does, and UsageError for a modality that the model lacks.
    """
    if options.to not in decoder.type_ids:
        known = ", ".join(decoder.type_ids)
        raise UsageError(f"model {identity.name} does not generate {options.to} (it has {known})")
    if stream and options.to != "image":
        raise UsageError(f"only pictures can be streamed, not {options.to}")
    builder = PromptBuilder(decoder, options, identity, prompts, eyes, spell)
    rows, cols = options.grid
    for batch in _batches(_items(records, builder), options.batch_size):
        loop = Loop([row for _, row in batch], decoder, options, progress)
        for done, made in enumerate(loop.run(cols if stream else 0)):
            for i, (record, row) in enumerate(batch):
                result = builder.result(record, row, made, i)
                yield _part(result, done, rows) if stream else result


def _part(result: Record, done: int, rows: int) -> Record:
    """What a stream gives after `done` rows of a picture: the next one, and after all of `rows` the whole."""
    image = result.find("image")
    if done == rows or image is None:
        return as_last(result, rows)
    return as_row(with_rows(result, "image", image.data[done:]), done)
