"""One safetensors blob on a pipe: exact reads, caps before memory is taken, byte-stable writing.

Knows lengths, JSON, dtypes and offsets; knows no modality and no stream (records.py does). The library's
own reader cannot read a pipe and drops metadata, and its writer shuffles metadata and mis-saves strided
arrays; its layout is kept to the letter, so that it opens what is written here.
"""

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from janus_cli.errors import RecordError

MAX_HEADER = 1 << 20  # bytes of JSON; a record's header is a few hundred
MAX_BODY = 1 << 31  # bytes of tensors; the pixels of an 8192 x 8192 picture are 0.2 GB
MAX_AXES = 8
_CHUNK = 1 << 20  # a body is read in pieces of this size, so that a lying header reserves nothing
_DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
}
_MAGIC = (  # first bytes, what they are, what to do
    (b"\x89PNG", "a PNG picture", 'use "janus tokenize image"'),
    (b"\xff\xd8\xff", "a JPEG picture", 'use "janus tokenize image"'),
    (b"GIF8", "a GIF picture", 'use "janus tokenize image"'),
    (b"fLaC", "a FLAC sound", 'use "janus tokenize audio"'),
    (b"OggS", "an Ogg sound", 'use "janus tokenize audio"'),
    (b"ID3", "an MP3 sound", 'use "janus tokenize audio"'),
    (b"\xff\xfb", "an MP3 sound", 'use "janus tokenize audio"'),
    (b"\x93NUMPY", "an npy array", 'use "janus tokenize series" for a trace'),
    (b"\x1f\x8b", "gzip data", "unpack it first (gzip -dc)"),
    (b"PK\x03\x04", "a ZIP archive", "unpack it first"),
    (b"%PDF", "a PDF document", "only token records can be read here"),
)
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 27})  # bytes that no text holds


@dataclass(frozen=True)
class Tensor:
    """Dtype, shape and place of one tensor; `start` counts bytes from the start of the body."""

    dtype: str
    shape: tuple[int, ...]
    start: int


@dataclass(frozen=True)
class Header:
    """What stands before the body: the parsed `janus` metadata, the tensors, the blob's two lengths."""

    meta: dict[str, Any]
    tensors: dict[str, Tensor]
    header_bytes: int  # with the 8 of the length
    body_bytes: int


def quote(value: Any) -> str:
    """`value` for a one-line message, cut short: it may come from a hostile header."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The wire's name of a numpy dtype ("U16"), or numpy's own where the wire has none."""
    return next((name for name, known in _DTYPES.items() if known == dtype), str(dtype))


def canonical(value: Any) -> str:
    """The one JSON text of `value`. Raises RecordError where JSON in UTF-8 has none (NaN, surrogates)."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except (ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        raise RecordError(f"metadata that JSON cannot hold ({error})") from None
    return text


def pack(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """One blob: `meta` as the metadata key `janus`, and the arrays by name. The same input, the same bytes.

    Raises RecordError for metadata that JSON cannot hold and for more than MAX_HEADER or MAX_BODY bytes.
    """
    # Wide items first (the sort is stable): safetensors allows no holes, so the order must align them.
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    tensors: dict[str, Any] = {}
    end = 0
    for name in order:
        array, start = arrays[name], end
        end += array.nbytes
        tensors[name] = {
            "dtype": dtype_name(array.dtype),
            "shape": list(array.shape),
            "data_offsets": [start, end],
        }
    text = canonical({**tensors, "__metadata__": {"janus": canonical(meta)}}).encode("utf-8")
    text += b" " * (-len(text) % 8)  # the body starts at a multiple of 8
    if len(text) > MAX_HEADER:
        raise RecordError(f"a header of {len(text):,} bytes; at most {MAX_HEADER:,} are allowed")
    if end > MAX_BODY:
        raise RecordError(f"a record of {end:,} bytes; at most {MAX_BODY:,} are allowed")
    body = (arrays[name].astype(_DTYPES[tensors[name]["dtype"]], copy=False).tobytes() for name in order)
    return b"".join([struct.pack("<Q", len(text)), text, *body])


def read_header(file: BinaryIO) -> Header | None:
    """Read one blob's header, and no byte more; None where the file ends. Raises RecordError."""
    length = _read(file, 8)
    if not length:
        return None
    if len(length) < 8:
        # one or two bytes without a line's end may as well be the start of a record's length
        text = _sniff(bytes(length)) if len(length) > 2 or length.endswith(b"\n") else None
        raise RecordError(text or f"truncated: {len(length)} of a record's first 8 bytes")
    size = struct.unpack("<Q", length)[0]
    if not 2 <= size <= MAX_HEADER:
        raise RecordError(_wrong_length(bytes(length + _read(file, 4)), size))
    raw = _read(file, size)
    if raw and raw[:1] != b"{":
        raise RecordError("not a token record (its header does not start with '{')")
    if len(raw) < size:
        raise RecordError(f"truncated inside the header: {8 + len(raw):,} of {8 + size:,} bytes")
    data = _json(bytes(raw), "header")
    metadata = data.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not isinstance(metadata.get("janus", ""), str):
        raise RecordError("a header whose __metadata__ is no table of texts")
    if "janus" not in metadata:
        raise RecordError(f"an ordinary safetensors file ({len(data)} tensors), not a token record")
    tensors, end = _tensors(data)
    return Header(_json(metadata["janus"].encode("utf-8"), "metadata"), tensors, 8 + size, end)


def read_body(file: BinaryIO, header: Header) -> dict[str, np.ndarray]:
    """The tensors that follow `header`, writable and C-contiguous. Raises RecordError when cut short."""
    body = _read(file, header.body_bytes)
    if len(body) < header.body_bytes:
        raise RecordError(
            f"truncated: {header.header_bytes + len(body):,} of "
            f"{header.header_bytes + header.body_bytes:,} bytes of the record"
        )
    return {name: _array(body, tensor) for name, tensor in header.tensors.items()}


def _array(body: bytearray, tensor: Tensor) -> np.ndarray:
    """One tensor's array, without a copy where it lies aligned and this machine is little-endian."""
    dtype, count = _DTYPES[tensor.dtype], math.prod(tensor.shape)
    flat = np.frombuffer(body, dtype, count, tensor.start) if count else np.empty(0, dtype)
    return np.require(flat.reshape(tensor.shape), dtype.newbyteorder("="), ["C", "A"])


def _read(file: BinaryIO, size: int) -> bytearray:
    """`size` bytes, fewer only where the file ends: a pipe gives what it has, not what was asked."""
    data = bytearray()
    try:
        while len(data) < size and (chunk := file.read(min(size - len(data), _CHUNK))):
            data += chunk
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}") from None
    return data


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError for a key that stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _json(text: bytes, what: str) -> dict[str, Any]:
    """A JSON object that can be written again. Raises RecordError."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"a {what} that is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise RecordError(f"a {what} that is no JSON object")
    canonical(value)  # refuses what json.loads lets through: NaN, 1e999, lone surrogates
    return value


def _tensors(data: dict[str, Any]) -> tuple[dict[str, Tensor], int]:
    """The tensors of a header and the body's length. Raises RecordError unless they fill it without holes."""
    tensors = {}
    places = []
    for name, entry in data.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise RecordError(f"tensor {quote(name)}: malformed entry in the header")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _DTYPES:
            raise RecordError(f"tensor {quote(name)}: dtype {quote(dtype)}, not {', '.join(_DTYPES)}")
        # the limit on axes also keeps the product of a hostile shape cheap
        if not _counts(shape, MAX_AXES) or not _counts(offsets, 2) or len(offsets) != 2:
            raise RecordError(f"tensor {quote(name)}: bad shape {quote(shape)} or place {quote(offsets)}")
        if offsets[1] - offsets[0] != math.prod(shape) * _DTYPES[dtype].itemsize:
            raise RecordError(f"tensor {quote(name)}: shape {quote(shape)} does not fill bytes {offsets}")
        tensors[name] = Tensor(dtype, tuple(shape), offsets[0])
        places.append(offsets)
    end = 0
    for start, stop in sorted(places):
        if start != end:
            raise RecordError(f"tensors overlap or leave a hole at byte {end} of the body")
        end = stop
    return tensors, end


def _counts(value: Any, most: int) -> bool:
    """Whether `value` is a list of at most `most` sizes that a body may have."""
    return (
        isinstance(value, list)
        and len(value) <= most
        and all(type(n) is int and 0 <= n <= MAX_BODY for n in value)
    )


def _sniff(head: bytes) -> str | None:
    """What input that starts with `head` is, and what to do with it; None when nothing is recognised."""
    form = {b"WEBP": ("WebP picture", "image"), b"WAVE": ("WAV sound", "audio")}.get(head[8:12])
    if head[:4] == b"RIFF" and form:
        return f'this is a {form[0]}, not a token record; use "janus tokenize {form[1]}"'
    for magic, what, advice in _MAGIC:
        if head.startswith(magic):
            return f"this is {what}, not a token record; {advice}"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character cut at the end of `head` is still text
            return None
    if any(byte in _CONTROL for byte in head):
        return None
    return 'this is text, not a token record; use "janus tokenize text"'


def _wrong_length(head: bytes, size: int) -> str:
    """Why an input cannot be a record whose first 8 bytes say that its header has `size` bytes."""
    if head[8:9] == b"{" and size > MAX_HEADER:
        return (
            f"an ordinary safetensors file, not a token record (a header of {size:,} bytes; "
            f"at most {MAX_HEADER:,} are allowed)"
        )
    return _sniff(head) or "not a token record (it starts with no safetensors header)"
