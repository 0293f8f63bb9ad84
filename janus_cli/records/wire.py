"""One safetensors blob on a pipe: exact reads, caps before memory is taken, byte-stable writing.

Knows lengths, JSON, dtypes and offsets; knows no modality and no stream (record.py does). The library's
own reader cannot read a pipe and drops metadata, and its writer shuffles metadata and mis-saves strided
arrays; its layout is kept to the letter, so that it opens what is written here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from janus_cli.config import refuse_twins
from janus_cli.errors import RecordError
from janus_cli.media.sniff import is_safetensors, sniff
from janus_cli.media.tensor_header import LENGTH, Tensor, entries, frame, read_entries

MAX_HEADER = 1 << 20  # bytes of JSON; a record's header is a few hundred
MAX_BODY = 1 << 31  # bytes of tensors; the pixels of an 8192 x 8192 picture are 0.2 GB
_CHUNK = 1 << 20  # a body is read in pieces of this size, so that a lying header reserves nothing
_DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "F32": np.dtype("<f4"),
}
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 27})  # bytes that no text holds


@dataclass(frozen=True)
class Header:
    """What stands before the body: the parsed `janus` metadata, the tensors, the blob's two lengths."""

    meta: dict[str, Any]
    tensors: dict[str, Tensor]  # whose `start` counts from the start of the body
    header_bytes: int  # with the 8 of the length
    body_bytes: int


def name_dtype(dtype: np.dtype[Any]) -> str:
    """Name a numpy dtype in the wire's words ("U16"), in numpy's own where the wire has none."""
    return next((name for name, known in _DTYPES.items() if known == dtype), str(dtype))


def dump_json(value: Any) -> str:
    """Write `value` as JSON, always the same text. Raises RecordError for what JSON cannot hold (NaN)."""
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:  # UnicodeEncodeError is a ValueError
        raise RecordError(f"metadata that JSON cannot hold ({error})") from None
    return text


def pack(meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Make one blob: `meta` as the metadata key `janus`, and the arrays by name. Same input, same bytes.

    Raises RecordError for metadata that JSON cannot hold and for more than MAX_HEADER or MAX_BODY bytes.
    """
    # Wide items first (the sort is stable): safetensors allows no holes, so the order must align them.
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    tensors, end = entries({name: (name_dtype(arrays[name].dtype), arrays[name].shape) for name in order})
    head = frame(dump_json({**tensors, "__metadata__": {"janus": dump_json(meta)}}))
    if len(head) - LENGTH.size > MAX_HEADER:
        raise RecordError(
            f"a header of {len(head) - LENGTH.size:,} bytes; at most {MAX_HEADER:,} are allowed"
        )
    if end > MAX_BODY:
        raise RecordError(f"a record of {end:,} bytes; at most {MAX_BODY:,} are allowed")
    body = (arrays[name].astype(_DTYPES[tensors[name]["dtype"]], copy=False).tobytes() for name in order)
    return b"".join([head, *body])


def read_header(file: BinaryIO) -> Header | None:
    """Read one blob's header, and no byte more; None where the file ends. Raises RecordError."""
    length = _read(file, 8)
    if not length:
        return None
    if len(length) < 8:
        # one or two bytes without a line's end may as well be the start of a record's length
        text = _recognise(bytes(length)) if len(length) > 2 or length.endswith(b"\n") else None
        raise RecordError(text or f"truncated: {len(length)} of a record's first 8 bytes")
    size = LENGTH.unpack(length)[0]
    if not 2 <= size <= MAX_HEADER:
        raise RecordError(_explain_length(bytes(length + _read(file, 4)), size))
    raw = _read(file, size)
    if raw and raw[:1] != b"{":
        raise RecordError("not a token record (its header does not start with '{')")
    if len(raw) < size:
        raise RecordError(f"truncated inside the header: {8 + len(raw):,} of {8 + size:,} bytes")
    data = _parse_json(bytes(raw), "header")
    metadata = data.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not isinstance(metadata.get("janus", ""), str):
        raise RecordError("a header whose __metadata__ is no table of texts")
    if "janus" not in metadata:
        raise RecordError(f"an ordinary safetensors file ({len(data)} tensors), not a token record")
    tensors, end = read_entries(data, _DTYPES, MAX_BODY)
    return Header(_parse_json(metadata["janus"].encode("utf-8"), "metadata"), tensors, 8 + size, end)


def read_body(file: BinaryIO, header: Header) -> dict[str, np.ndarray]:
    """Read the tensors that follow `header`, writable and C-contiguous. Raises RecordError when cut short."""
    body = _read(file, header.body_bytes)
    if len(body) < header.body_bytes:
        raise RecordError(
            f"truncated: {header.header_bytes + len(body):,} of "
            f"{header.header_bytes + header.body_bytes:,} bytes of the record"
        )
    return {name: _view_array(body, tensor) for name, tensor in header.tensors.items()}


def _view_array(body: bytearray, tensor: Tensor) -> np.ndarray:
    """Make one tensor's array, without a copy where it lies aligned and this machine is little-endian."""
    dtype, count = _DTYPES[tensor.dtype], tensor.size
    flat = np.frombuffer(body, dtype, count, tensor.start) if count else np.empty(0, dtype)
    return np.require(flat.reshape(tensor.shape), dtype.newbyteorder("="), ["C", "A"])


def _read(file: BinaryIO, size: int) -> bytearray:
    """Read `size` bytes, fewer only where the file ends: a pipe gives what it has, not what was asked."""
    data = bytearray()
    try:
        while len(data) < size and (chunk := file.read(min(size - len(data), _CHUNK))):
            data += chunk
    except OSError as error:
        raise RecordError(f"cannot be read: {error.strerror}") from None
    return data


def _parse_json(text: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object that can be written again. Raises RecordError."""
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=refuse_twins)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"a {what} that is no JSON ({error})") from None
    if not isinstance(value, dict):
        raise RecordError(f"a {what} that is no JSON object")
    dump_json(value)  # refuses what json.loads lets through: NaN, 1e999, lone surrogates
    return value


def _recognise(head: bytes) -> str | None:
    """Say what an input that starts with `head` is, and what to do with it; None if it is not recognised."""
    if kind := sniff(head):
        return f"this is {kind.name}, not a token record; {kind.advice}"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # a character cut at the end of `head` is still text
            return None
    if any(byte in _CONTROL for byte in head):
        return None
    return 'this is text, not a token record; use "janus tokenize text"'


def _explain_length(head: bytes, size: int) -> str:
    """Say why an input is no record if its first 8 bytes would mean a header of `size` bytes."""
    if is_safetensors(head) and size > MAX_HEADER:
        return (
            f"an ordinary safetensors file, not a token record (a header of {size:,} bytes; "
            f"at most {MAX_HEADER:,} are allowed)"
        )
    return _recognise(head) or "not a token record (it starts with no safetensors header)"
