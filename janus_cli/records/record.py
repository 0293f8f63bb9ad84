"""The token record and its stream: an ordered list of segments, one blob each, over pipes and files.

Knows what docs/token-format.md says of modalities, metadata and streams: no torch, no models, no media
files; how one blob lies in bytes is wire.py's business. Ids are each modality's own.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Self

import numpy as np

from janus_cli import plugins
from janus_cli.errors import RecordError, quote
from janus_cli.records import wire
from janus_cli.records.metadata import check_info, check_step

FORMAT = 1  # version of the `janus` metadata's layout
_KEYS = {"format", "id", "made_by", "segments", "part", "seq", "end"}
_SHAPES = {  # modality -> the words for its axes, and the dtypes it may have
    "text": (("T",), ("U16", "U32")),
    "image": (("H", "W"), ("U16", "U32")),
    "audio": (("Q", "T"), ("U16", "U32")),
    "pixels": (("rows", "cols", "P", "P", "3"), ("U8",)),
    "waveform": (("channels", "samples"), ("F32",)),
}
MODALITIES = tuple(_SHAPES)
_TOLD = (("tokenize", "text"), ("generate", "words"))  # stage -> where it says what a record is about
_MAY_BE_EMPTY = {"T", "samples"}  # an empty prompt and silence of no length are data; an empty grid is not


@dataclass(frozen=True, eq=False)
class Segment:
    """One array of one modality and what is known about it. Treat `data` as read-only.

    data: text [T], image [H, W], audio [Q, T] uint16 or uint32 ids; pixels [rows, cols, P, P, 3] uint8;
    waveform [channels, samples] float32; others as their plugin says. info: plain JSON values (tokenizer,
    fingerprint, patch, sample_rate in Hz, frame_rate in Hz, num_samples, ...). Raises RecordError for any
    other shape or dtype.
    """

    modality: str
    data: np.ndarray
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_shape(self.modality, wire.name_dtype(self.data.dtype), self.data.shape)
        if self.data.dtype.kind == "f" and not np.isfinite(self.data).all():
            raise RecordError(f"{self.modality} segment: holds values that are no finite numbers")
        # the library's own numpy writer mis-saves strided arrays; C order is also the wire's order
        object.__setattr__(self, "data", np.require(self.data, requirements=["C", "A"]))


@dataclass(frozen=True)
class Part:
    """Place of a progressive record: its number, whether it is the last, its half-open token rows."""

    index: int
    last: bool
    rows: tuple[int, int]

    def __post_init__(self) -> None:
        numbers = (self.index, *self.rows)
        if any(type(n) is not int for n in numbers) or type(self.last) is not bool:
            raise RecordError("part: index and rows must be integers, last true or false")
        if len(self.rows) != 2 or self.index < 0 or not 0 <= self.rows[0] < self.rows[1]:
            raise RecordError(f"part: impossible index {self.index} or rows {list(self.rows)}")


@dataclass(frozen=True, eq=False)
class Record:
    """An ordered list of segments, a name, and what each stage did to get here."""

    segments: tuple[Segment, ...]
    id: str = ""
    made_by: tuple[dict[str, Any], ...] = ()
    part: Part | None = None

    def find(self, modality: str) -> Segment | None:
        """Return the last segment of `modality`, or None."""
        return next((s for s in reversed(self.segments) if s.modality == modality), None)

    @property
    def prompt(self) -> str:
        """The text that `tokenize text` read (several joined by a space), and words that `generate` heard."""
        texts = (
            step.get(word) for step in self.made_by for stage, word in _TOLD if step.get("stage") == stage
        )
        return " ".join(text for text in texts if isinstance(text, str))

    def step(self, stage: str) -> dict[str, Any]:
        """Return the last step in `made_by` that `stage` made; {} where it made none."""
        return next((step for step in reversed(self.made_by) if step.get("stage") == stage), {})

    def with_step(self, stage: str, segments: Sequence[Segment] | None = None, **options: Any) -> "Record":
        """Return the record after `stage`: one step more, and new `segments` where they are given."""
        kept = self.segments if segments is None else tuple(segments)
        return Record(kept, self.id, (*self.made_by, {"stage": stage, **options}))


def ids_dtype(codebook_size: int) -> type[np.uint16] | type[np.uint32]:
    """Choose the dtype that ids of a codebook of `codebook_size` entries have on the wire."""
    if not 0 < codebook_size <= 1 << 32:
        raise RecordError(f"a codebook of {codebook_size} entries does not fit 32-bit ids")
    return np.uint16 if codebook_size <= 1 << 16 else np.uint32


def to_ids(values: Any, codebook_size: int) -> np.ndarray:
    """Convert integers of any shape to ids. Raises RecordError for one outside [0, codebook_size)."""
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise RecordError(f"ids must be integers, not {array.dtype}")
    if array.size and (int(array.min()) < 0 or int(array.max()) >= codebook_size):
        bad = int(array.min()) if array.min() < 0 else int(array.max())
        raise RecordError(f"id {bad} is out of range: the codebook has {codebook_size} entries")
    return array.astype(ids_dtype(codebook_size))


def check_ids(segment: Segment, codebook_size: int) -> None:
    """Raise RecordError unless every id of `segment` is below `codebook_size`."""
    top = int(segment.data.max()) if segment.data.size else 0
    if top >= codebook_size:
        raise RecordError(
            f"{segment.modality} segment: id {top} is out of range: the codebook has {codebook_size} entries"
        )


def check_shape(modality: str, dtype: str, shape: Sequence[int]) -> None:
    """Raise RecordError unless `modality` is known and may have this wire dtype ("U16", ...) and shape.

    A modality that is not built in is its plugin's: PluginError, a RecordError, where that is missing.
    """
    plugin = None if modality in _SHAPES else plugins.find(modality)
    axes, dtypes = _SHAPES[modality] if plugin is None else (plugin.axes, plugin.dtypes)
    if dtype not in dtypes:
        raise RecordError(f"{modality} segment: dtype {dtype}, expected {' or '.join(dtypes)}")
    fits = len(shape) == len(axes) and all(
        n >= (plugin is not None or axis not in _MAY_BE_EMPTY) for n, axis in zip(shape, axes, strict=True)
    )
    if not fits or (modality == "pixels" and (shape[4] != 3 or shape[2] != shape[3])):
        found = quote(list(shape))
        raise RecordError(f"{modality} segment: shape {found}, expected [{', '.join(axes)}]")


def dumps(record: Record, seq: int | None = None) -> bytes:
    """Write `record` as one canonical safetensors blob; `seq` is its number in a numbered stream.

    The same record gives the same bytes. Raises RecordError for metadata that JSON cannot hold and for
    records over wire.MAX_HEADER or wire.MAX_BODY.
    """
    meta: dict[str, Any] = {
        "format": FORMAT,
        "id": record.id,
        "made_by": list(record.made_by),
        "segments": [dict(s.info) for s in record.segments],
    }
    if record.part:
        meta["part"] = {"index": record.part.index, "last": record.part.last, "rows": list(record.part.rows)}
    if seq is not None:
        meta["seq"] = seq
    return wire.pack(meta, {f"{i}.{s.modality}": s.data for i, s in enumerate(record.segments)})


class StreamWriter:
    """Writes records one after another, each flushed; `numbered` for pipes, not for regular files.

    As a context manager it closes the stream only when no exception passes: a failed upstream leaves no
    end record. Raises RecordError when the disk is full; BrokenPipeError passes.
    """

    def __init__(self, file: BinaryIO, numbered: bool, name: str = "stdout") -> None:
        self._file, self._numbered, self._name, self.count = file, numbered, name, 0

    def write(self, record: Record) -> None:
        """Append one record."""
        self._put(dumps(record, self.count if self._numbered else None))
        self.count += 1

    def close(self) -> None:
        """End the stream: with the end record when numbered. Leaves the file itself open."""
        self._put(wire.pack({"end": {"count": self.count}, "format": FORMAT}, {}) if self._numbered else b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()

    def _put(self, data: bytes) -> None:
        view = memoryview(data)
        try:
            while view:  # an unbuffered pipe may take less than it is offered
                view = view[self._file.write(view) :]
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise RecordError(f"{self._name}: cannot write the record: {error.strerror}") from None


# ---- bytes in


def _check_meta(header: wire.Header) -> list[str]:
    """List the tensors' names in segment order. Raises RecordError for metadata that is not format 1."""
    meta = header.meta
    if type(version := meta.get("format")) is not int or version != FORMAT:
        raise RecordError(f"token format {quote(version)}, but this janus reads format {FORMAT}")
    if unknown := sorted(set(meta) - _KEYS):
        raise RecordError(f"unknown metadata key {quote(unknown[0])}")
    kinds = {"id": str, "made_by": list, "segments": list, "part": dict, "seq": int, "end": dict}
    for key, kind in kinds.items():
        if key in meta and type(meta[key]) is not kind:
            raise RecordError(f"metadata key {key!r} holds {quote(meta[key])}")
    if not all(isinstance(item, dict) for key in ("made_by", "segments") for item in meta.get(key, [])):
        raise RecordError("the entries of made_by and segments must be objects")
    numbered = {name.partition(".")[0]: name for name in header.tensors}
    names = [numbered[str(i)] for i in range(len(header.tensors)) if str(i) in numbered]
    if len(names) != len(header.tensors):
        found = quote(sorted(header.tensors))
        raise RecordError(f"tensors named {found}, not 0.<modality>, 1.<modality>, ...")
    for name in names:
        check_shape(name.partition(".")[2], header.tensors[name].dtype, header.tensors[name].shape)
    if len(names) != len(meta.get("segments", [])):
        raise RecordError(f"{len(names)} tensors, but metadata for {len(meta.get('segments', []))} segments")
    return names


def _check_types(meta: dict[str, Any]) -> None:
    """Raise RecordError for a key of a segment or a step that has a meaning, but not its type."""
    for key, check in (("segments", check_info), ("made_by", check_step)):
        for i, item in enumerate(meta.get(key, [])):
            check(item, f"metadata {key}[{i}]")


def _parse_part(value: dict[str, Any] | None) -> Part | None:
    """Make the Part that the metadata describes."""
    if value is None:
        return None
    if set(value) != {"index", "last", "rows"} or type(value["rows"]) is not list or len(value["rows"]) != 2:
        raise RecordError(f"part holds {quote(value)}")
    return Part(value["index"], value["last"], (value["rows"][0], value["rows"][1]))


def _read_one(file: BinaryIO, typed: bool = True) -> tuple[Record, int | None] | int | None:
    """Read the next record and its number, or an end record's count, or None where the file ends.

    typed: refuse metadata of wrong types.
    """
    if (header := wire.read_header(file)) is None:
        return None
    names, meta = _check_meta(header), header.meta
    if "end" in meta:
        count = meta["end"].get("count")
        if type(count) is not int or set(meta) != {"end", "format"} or set(meta["end"]) != {"count"} or names:
            raise RecordError("a malformed end record")
        return count
    if typed:
        _check_types(meta)
    arrays = wire.read_body(file, header)
    segments = tuple(
        Segment(name.partition(".")[2], arrays[name], info)
        for name, info in zip(names, meta.get("segments", []), strict=True)
    )
    record = Record(
        segments, meta.get("id", ""), tuple(meta.get("made_by", [])), _parse_part(meta.get("part"))
    )
    return record, meta.get("seq")


def loads(data: bytes, name: str = "token record", typed: bool = True) -> Record:
    """Read the one record in `data`; `typed` as in `read_stream`.

    Raises RecordError, with `name` in front, for anything else.
    """
    file = io.BytesIO(data)
    try:
        found = _read_one(file, typed)
        if not isinstance(found, tuple):
            what = "empty, no token record" if found is None else "the end of a stream, not a record"
            raise RecordError(what)
        if rest := len(data) - file.tell():
            raise RecordError(f"{rest} more bytes follow the record")
    except RecordError as error:
        raise RecordError(f"{name}: {error}") from None
    return found[0]


def read_stream(file: BinaryIO, name: str = "stdin", typed: bool = True) -> Iterator[Record]:
    """Read the records in `file`, one at a time as they arrive; `file` may be a pipe.

    typed: refuse metadata whose keys have a wrong type (metadata.py); who only shows them need not.

    Several streams may follow one another. A numbered stream must be whole: records 0, 1, ... and an end
    record with their count. Parts come as they are; joining them is the caller's work. Raises RecordError,
    with `name` and the place in front, for a malformed, truncated, empty or wrong input.
    """
    due = 0  # the number of the next record inside a numbered stream; 0 outside
    done, begun = 0, False
    while True:
        try:
            found = _read_one(file, typed)
            if found is None and not begun:
                raise RecordError("empty, no token record")
            due = _check_order(found, due)
        except RecordError as error:
            raise RecordError(f"{name}: {f'after record {done}: ' if done else ''}{error}") from None
        begun = True
        if found is None:
            return
        if isinstance(found, tuple):
            done += 1
            yield found[0]


def _check_order(found: tuple[Record, int | None] | int | None, due: int) -> int:
    """Return the number due after `found`. Raises RecordError when a numbered stream is not whole."""
    number = found[1] if isinstance(found, tuple) else None
    if isinstance(found, int):
        if found != due:
            raise RecordError(f"the stream ends with {due} of its {found} records")
        return 0
    if due and not number:  # the file ends, or another stream begins
        raise RecordError(
            f"the stream stopped after {due} of its records, without an end record; "
            "the command that wrote it did not finish"
        )
    if number is None:
        return 0
    if number != due:
        raise RecordError(f"record number {number} comes where number {due} is due")
    return number + 1
