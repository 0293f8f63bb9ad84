"""The header of a safetensors file: which tensors lie behind it, and where.

Token records (`wire`) and weight files (`zoo.read_header`, `weights.convert`) begin with the same length and
JSON; what they allow in it differs. Knows JSON values and offsets; reads and writes no file.
"""

import math
import struct
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from janus_cli.errors import RecordError, quote

MAX_AXES = 8  # also keeps the product of a hostile shape cheap
LENGTH = struct.Struct("<Q")  # bytes of JSON that follow
# Bytes of a number, by safetensors' word for its type.
WIDTH = dict(F64=8, F32=4, F16=2, BF16=2, I64=8, I32=4, U32=4, I16=2, U16=2, I8=1, U8=1, BOOL=1)


@dataclass(frozen=True)
class Tensor:
    """One entry of a header."""

    name: str
    dtype: str  # safetensors' word: F32, BF16, ...
    shape: tuple[int, ...]
    start: int  # its first byte, counted from where the reader says that counting starts

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def end(self) -> int:
        """The byte behind its last."""
        return self.start + self.size * WIDTH[self.dtype]


def entries(tensors: Mapping[str, tuple[str, Sequence[int]]]) -> tuple[dict[str, Any], int]:
    """Lay tensors (dtype word, shape) one behind the other: a header's entries, and the body's length."""
    found, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        start, end = end, end + math.prod(shape) * WIDTH[dtype]
        found[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    return found, end


def frame(text: str) -> bytes:
    """Put its length before a header's JSON and pad it, so that the body starts at a multiple of 8."""
    data = text.encode("utf-8")
    data += b" " * (-len(data) % 8)
    return LENGTH.pack(len(data)) + data


def read_entries(
    data: Mapping[str, Any], dtypes: Collection[str], most: int, base: int = 0
) -> tuple[dict[str, Tensor], int]:
    """Read a header's entries: the tensors, their `start` counted from `base`, and where the body ends.

    dtypes: those allowed. most: the largest size or offset allowed. Raises RecordError for a malformed entry,
    and unless the tensors fill the body without holes.
    """
    tensors, places = {}, []
    for name, entry in data.items():
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise RecordError(f"tensor {quote(name)}: malformed entry in the header")
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in dtypes:
            raise RecordError(f"tensor {quote(name)}: dtype {quote(dtype)}, not {', '.join(dtypes)}")
        if not _are_sizes(shape, MAX_AXES, most) or not _are_sizes(offsets, 2, most) or len(offsets) != 2:
            raise RecordError(f"tensor {quote(name)}: bad shape {quote(shape)} or place {quote(offsets)}")
        if offsets[1] - offsets[0] != math.prod(shape) * WIDTH[dtype]:
            raise RecordError(f"tensor {quote(name)}: shape {quote(shape)} does not fill bytes {offsets}")
        tensors[name] = Tensor(name, dtype, tuple(shape), base + offsets[0])
        places.append(offsets)
    end = 0
    for start, stop in sorted(places):
        if start != end:
            raise RecordError(f"tensors overlap or leave a hole at byte {end} of the body")
        end = stop
    return tensors, base + end


def _are_sizes(value: Any, count: int, most: int) -> bool:
    """Whether `value` is a list of at most `count` whole numbers from 0 to `most`."""
    return (
        isinstance(value, list)
        and len(value) <= count
        and all(type(n) is int and 0 <= n <= most for n in value)
    )
