"""Prompts in, new tokens out: autoregressive generation by the shared decoder.

A prompt is a record; its segments become `<txt> ids <img> ids ...`, followed by the delimiter of the
modality to generate. Knows a decoder and options; no files, no devices, no tokenizers.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from janus_cli.errors import JanusError, ModelError, RecordError, UsageError
from janus_cli.nets.decoder import DELIMITER, PADDING, Decoder
from janus_cli.nets.janus_pro import JanusPro
from janus_cli.records import Record, Segment, check_ids, to_ids
from janus_cli.stages.sampling import Noise, filters, guide, sample

END = 0  # the text token <|end|>
CHECK_EVERY = 16  # steps between looks at whether all texts have ended: each look waits for the device

Progress = Callable[[int], None]
Net = Decoder | JanusPro
Prompts = Callable[[Record, bool], np.ndarray]  # a record, whether without its text -> decoder input [4, T]


@dataclass(frozen=True)
class GenerateOptions:
    """What to generate and how to sample. Raises UsageError for a value that cannot be."""

    to: str = "image"  # image or text
    n: int = 1  # outputs per prompt
    seed: int = 0
    cfg_scale: float = 1.5  # 1 = no guidance
    temperature: float = 0.3  # 0 = greedy
    top_k: int = 0  # 0 = all
    top_p: float = 1.0
    grid: tuple[int, int] = (8, 8)  # tokens of an image, rows and columns
    max_tokens: int = 64  # of a text
    batch_size: int = 8  # outputs generated together; changes no token

    def __post_init__(self) -> None:
        if self.to not in ("image", "text"):
            raise UsageError(f"cannot generate {self.to!r}: choose image or text")
        for word in ("n", "max_tokens", "batch_size"):
            if getattr(self, word) < 1:
                raise UsageError(f"{word} is {getattr(self, word)}: give at least 1")
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


@dataclass(frozen=True)
class Identity:
    """Whose tokens the decoder speaks: the model's name and its tokenizers' sha256 fingerprints."""

    name: str
    text_fingerprint: str
    codebook_fingerprint: str

    def fingerprint(self, modality: str) -> str | None:
        """The fingerprint that segments of `modality` must carry, None where the model has none."""
        return {"text": self.text_fingerprint, "image": self.codebook_fingerprint}.get(modality)


@dataclass(frozen=True, eq=False)
class Item:
    """One output to make: its prompt, its running number, and its rows [4, T] of decoder input."""

    record: Record
    index: int
    tokens: np.ndarray  # ids, types, rows, cols
    unconditional: np.ndarray | None  # the same without the text; None without guidance


def _check_segment(segment: Segment, decoder: Net, identity: Identity, id: str) -> None:
    """Raise the error that says why `segment` cannot be a prompt of this model."""
    modality, who = segment.modality, f"record {id!r}: " if id else ""
    if modality not in decoder.type_ids:
        known = ", ".join(decoder.type_ids)
        raise UsageError(f"{who}model {identity.name} does not take {modality} (it has {known})")
    ours, theirs = identity.fingerprint(modality), segment.info.get("fingerprint")
    if ours is not None and theirs is not None and theirs != ours:
        raise ModelError(
            f"{who}the {modality} tokens are of {segment.info.get('tokenizer', 'an unnamed tokenizer')} "
            f"({theirs[:12]}), model {identity.name} has {ours[:12]}: choose the right one with --model"
        )
    try:
        check_ids(segment, decoder.cfg.modalities[modality].vocab_size)
    except RecordError as error:
        raise RecordError(f"{who}{error} (model {identity.name})") from None


def layout(segments: Iterable[Segment], to: str, decoder: Net, *, drop_text: bool = False) -> np.ndarray:
    """Decoder input of a prompt: ids, types, rows, cols as int64 [4, T].

    Every segment follows its delimiter; the delimiter of `to` comes last. `drop_text` keeps of a text
    only the delimiter, as captions are dropped in training. Audio [Q, T] is laid out step by step.
    """
    columns = []
    for segment in segments:
        data, kind = segment.data.astype(np.int64), decoder.type_ids[segment.modality]
        columns.append(np.array([[DELIMITER], [kind], [0], [0]]))
        if segment.modality == "text" and drop_text:
            continue
        grid = np.zeros((2, *data.shape), np.int64)
        if decoder.cfg.modalities[segment.modality].two_d:
            grid = np.indices(data.shape)
        elif data.ndim == 2:
            data = data.T
        columns.append(np.stack([data.ravel(), np.full(data.size, kind), *grid.reshape(2, -1)]))
    columns.append(np.array([[DELIMITER], [decoder.type_ids[to]], [0], [0]]))
    return np.concatenate(columns, axis=1)


def check_prompt(record: Record, decoder: Net, options: GenerateOptions, identity: Identity,
                 prompts: Prompts | None = None) -> None:
    """Raise what is wrong with `record` as a prompt, as `generate` would when it comes to it."""
    for segment in record.segments:
        _check_segment(segment, decoder, identity, record.id)
    prompt = 1 + sum(1 + segment.data.size for segment in record.segments)
    if prompts is not None:
        prompt = prompts(record, False).shape[1]
    if prompt + options.length - 1 > decoder.cfg.max_seq_len:
        raise UsageError(
            f"a prompt of {prompt} tokens and {options.length} new ones are too long: "
            f"model {identity.name} takes {decoder.cfg.max_seq_len} in all"
        )


def _items(
    records: Iterable[Record | None], decoder: Net, options: GenerateOptions, identity: Identity,
    prompts: Prompts | None,
) -> Iterator[Item]:
    """`options.n` items per prompt, numbered through. Raises what is wrong with a prompt."""
    for number, record in enumerate(records):
        if record is None:
            continue
        check_prompt(record, decoder, options, identity, prompts)
        rows = [prompts(record, drop) if prompts is not None
                else layout(record.segments, options.to, decoder, drop_text=drop)
                for drop in ((False, True) if options.cfg_scale != 1 else (False,))]
        tokens, plain = rows[0], rows[1] if len(rows) > 1 else None
        for k in range(options.n):
            yield Item(record, number * options.n + k, tokens, plain)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items in batches. Those before a faulty prompt come out before its error is raised."""
    batch: list[Item] = []
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


def _pad(prompts: list[np.ndarray], device: torch.device) -> list[Tensor]:
    """ids, types, rows, cols [B, T] of prompts of any lengths, padded on the left."""
    width = max(p.shape[1] for p in prompts)
    padded = np.zeros((4, len(prompts), width), np.int64)
    padded[1] = PADDING
    for row, prompt in enumerate(prompts):
        padded[:, row, width - prompt.shape[1] :] = prompt
    return list(torch.from_numpy(padded).to(device))


@torch.inference_mode()
def _run(items: list[Item], decoder: Net, options: GenerateOptions, progress: Progress | None) -> Tensor:
    """New ids of a batch, int64 [B, up to options.length], on the CPU; a text may hold an END."""
    device, count, total = decoder.device, len(items), options.length
    guided = [i.unconditional for i in items if i.unconditional is not None]
    inputs = _pad([i.tokens for i in items] + guided, device)
    copies = 1 + bool(guided)
    cache = decoder.new_cache(count * copies, inputs[0].shape[1] + total - 1)
    vocab_size = decoder.cfg.modalities[options.to].vocab_size
    noise = Noise(options.seed, [i.index for i in items], vocab_size, device) if options.temperature else None
    chain = filters(options.temperature, options.top_k, options.top_p)
    types = torch.full((count * copies, 1), decoder.type_ids[options.to], device=device)
    flat = torch.arange(total, device=device)
    cells = (flat // options.grid[1], flat % options.grid[1])
    rows, cols = (cell[:, None, None].expand(total, len(types), 1) for cell in cells)
    made: list[Tensor] = []
    ended = torch.zeros(count, dtype=torch.bool, device=device)
    for step in range(total):
        logits = decoder.logits(decoder(*inputs, cache=cache)[:, -1], options.to)
        if guided:
            logits = guide(logits[:count], logits[count:], options.cfg_scale)
        new = sample(logits, chain, noise.step() if noise else None)
        made.append(new)
        if progress:
            progress(count)
        if options.to == "text":
            ended |= new == END
            if step % CHECK_EVERY == CHECK_EVERY - 1 and bool(ended.all()):
                break
        inputs = [new.repeat(copies)[:, None], types, rows[step], cols[step]]
    return torch.stack(made, dim=1).cpu()


def _segment(ids: np.ndarray, options: GenerateOptions, vocab_size: int, identity: Identity) -> Segment:
    """The generated ids [T] as a segment; a text ends before its END."""
    if options.to == "image":
        ids = ids.reshape(options.grid)
    elif (ids == END).any():
        ids = ids[: int((ids == END).argmax())]
    info: dict[str, Any] = {"tokenizer": identity.name, "fingerprint": identity.fingerprint(options.to)}
    return Segment(options.to, to_ids(ids, vocab_size), info)


def generate(
    records: Iterable[Record | None],
    decoder: Net,
    options: GenerateOptions,
    identity: Identity,
    progress: Progress | None = None,
    prompts: Prompts | None = None,
) -> Iterator[Record]:
    """For every prompt `options.n` records of one new segment, in order; lazily, a batch at a time.

    Item i = number of the prompt * n + k draws from the random stream (seed, i), so the tokens do not
    depend on the batch size; None holds the place of a prompt that failed before. `prompts` lays a prompt
    out, where the net wants another template than delimiters between segments. `progress` is called with
    each number of new tokens. Raises UsageError for a modality that the model lacks or a sequence too long
    for it, RecordError for ids out of range, ModelError for another tokenizer's tokens.
    """
    if options.to not in decoder.type_ids:
        known = ", ".join(decoder.type_ids)
        raise UsageError(f"model {identity.name} does not generate {options.to} (it has {known})")
    words = ["to", "cfg_scale", "temperature", "top_k", "top_p"]
    words.append("grid" if options.to == "image" else "max_tokens")
    values = dataclasses.asdict(options)
    note = {word: list(values[word]) if word == "grid" else values[word] for word in words}
    vocab_size = decoder.cfg.modalities[options.to].vocab_size
    for batch in _batches(_items(records, decoder, options, identity, prompts), options.batch_size):
        ids = _run(batch, decoder, options, progress).numpy()
        for item, row in zip(batch, ids, strict=True):
            made = (_segment(row, options, vocab_size, identity),)
            yield item.record.with_step(
                "generate", made, model=identity.name, seed=options.seed, index=item.index, **note
            )
