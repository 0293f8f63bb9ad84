"""The modality `series`: sensor traces of any number of channels, cut into patches of 2 or 4 samples.

A plugin like any other (docs/modality-plugin.md), the first one. A trace is float32 [T, C]; a token is a
patch, continuous: `stride` samples of all channels one after another, float32 [stride * C]. Reads CSV and
npy, never a pickle. Knows no records, models or paths.
"""

import csv
import io
import math
import warnings
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from janus_cli.errors import MediaError, UsageError
from janus_cli.plugins import Info, Modality, Option

MAX_LINE = 1 << 18  # characters of one line of a CSV
MAX_CHANNELS = 4096
STRIDES = (2, 4)
_NPY = b"\x93NUMPY"
_BEYOND = 3.4028235677973366e38  # numbers from here on are infinite as float32


def encode(data: bytes, name: str, options: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """Turn a CSV's or npy's bytes into patches float32 [ceil(T / stride), stride * C], and their info.

    The last patch is filled up with copies of the last sample; `num_samples` is T. options: stride, columns
    ("2,4" or names, None for all), rate in Hz or None. Raises MediaError naming line and column, UsageError
    for a rate or column that cannot be.
    """
    stride, rate = options["stride"], options["rate"]
    if stride not in STRIDES:
        raise UsageError(f"stride {stride}: choose 2 or 4")
    if rate is not None and not 0 < rate < math.inf:
        raise UsageError(f"rate {rate}: give the samples per second, more than 0")
    trace, names = read_npy(data, name) if data.startswith(_NPY) else read_csv(data, name)
    if options["columns"] is not None:
        chosen = _choose_columns(options["columns"], names, trace.shape[1], name)
        trace, names = trace[:, chosen], [names[i] for i in chosen] if names else []
    info = {
        "stride": stride,
        "channels": trace.shape[1],
        "num_samples": len(trace),
        **({"sample_rate": rate} if rate is not None else {}),
        **({"columns": names} if names else {}),
    }
    padded = np.pad(trace, ((0, -len(trace) % stride), (0, 0)), mode="edge")
    return padded.reshape(-1, stride * trace.shape[1]), info


def to_trace(patches: np.ndarray, info: Info) -> np.ndarray:
    """Join patches into the trace [T, C]. Raises MediaError where `info` does not fit them."""
    stride, channels, count = (_to_count(info.get(word)) for word in ("stride", "channels", "num_samples"))
    if patches.shape[1] != stride * channels or not 0 <= len(patches) * stride - count < stride:
        raise MediaError(
            f"series segment: {list(patches.shape)} patches do not hold {count} samples of "
            f"{channels} channels at stride {stride}"
        )
    return patches.reshape(-1, channels)[:count]


def _to_count(value: Any) -> int:
    """Return `value` if it is a whole number above 0, else 0."""
    return value if type(value) is int and value > 0 else 0


# ---- in


def read_npy(data: bytes, name: str) -> tuple[np.ndarray, list[str]]:
    """Read the trace [T, C] in an npy's bytes, of a float or integer array [T] or [T, C]; it has no names.

    Reads the numbers where they lie: numpy's own reader takes the memory that a header asks for.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[version[0]]
        with warnings.catch_warnings(action="ignore"):
            shape, by_column, dtype = read(file)
        if min(shape, default=0) < 0:
            raise ValueError(f"shape {shape}")
    except Exception as error:  # numpy parses it as Python; what that raises is not written down
        what = " ".join(str(error).split())[:80]
        raise MediaError(f"{name}: a damaged npy header ({what})") from None
    if dtype.kind not in "fiu":
        what = "Python objects (pickled), which are never read" if dtype.hasobject else f"dtype {dtype}"
        raise MediaError(f"{name}: the array holds {what}: give floats or integers")
    found, expected = len(data) - file.tell(), math.prod(shape) * dtype.itemsize
    if found != expected:
        raise MediaError(f"{name}: {found:,} bytes of numbers where its header says {expected:,}")
    if len(shape) not in (1, 2) or not math.prod(shape):
        raise MediaError(
            f"{name}: an array of shape {list(shape)}: give samples [T] or [T, channels], at least one"
        )
    values = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if by_column else "C")
    trace = values.reshape(len(values), -1)
    _check_channels(trace.shape[1], name)
    with np.errstate(over="ignore"):
        small = trace.astype(np.float32)
    if not np.isfinite(small).all():
        row, column = np.argwhere(~np.isfinite(small))[0]
        raise MediaError(
            f"{name}: sample {row + 1}, column {column + 1}: {trace[row, column]} is no finite float32 number"
        )
    return small, []


def read_csv(data: bytes, name: str) -> tuple[np.ndarray, list[str]]:
    """Read the trace [T, C] in a CSV's bytes, and the columns' names if its first line has such.

    Commas separate; where the first line has none, semicolons or tabs. Every line has a number for every
    column. Raises MediaError naming the line and column.
    """
    text = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    values, names, width, blank = array("d"), list[str](), 0, 0
    try:
        rows = csv.reader(_read_lines(text, name), delimiter=_find_delimiter(data), strict=True)
        for cells in rows:
            line = rows.line_num
            if not cells:
                blank = blank or line
                continue
            if blank:
                raise MediaError(f"{name}: line {blank} is blank")
            if not width:
                width = len(cells)
                _check_channels(width, name)
                if _is_header(cells):
                    names = [cell.strip() for cell in cells]
                    continue
            if len(cells) != width:
                raise MediaError(f"{name}: line {line} has {len(cells)} values, the first line {width}")
            values.extend(_parse_numbers(cells, name, line))
    except UnicodeDecodeError:
        raise MediaError(f"{name}: neither UTF-8 text, as a CSV is, nor an npy file") from None
    except csv.Error as error:
        raise MediaError(f"{name}: line {rows.line_num}: no CSV ({error})") from None
    if not values:
        raise MediaError(f"{name}: holds no numbers{', only a line of names' if names else ''}")
    return np.array(values, np.float64).astype(np.float32).reshape(-1, width), names


def _read_lines(file: io.TextIOWrapper, name: str) -> Iterator[str]:
    """Read lines, one at a time, of at most MAX_LINE characters."""
    for number in range(1, 1 << 62):
        line = file.readline(MAX_LINE + 1)
        if len(line) > MAX_LINE:
            raise MediaError(f"{name}: line {number} has more than {MAX_LINE:,} characters")
        if not line:
            return
        yield line


def _find_delimiter(data: bytes) -> str:
    start = data[:MAX_LINE].split(b"\n", 1)[0]
    return next((d for d in ",;\t" if d.encode() in start), ",")


def _is_header(cells: Sequence[str]) -> bool:
    """Whether a first line names columns: no number in it, and not all blank."""
    return any(cell.strip() for cell in cells) and not any(_is_number(cell) for cell in cells)


def _is_number(cell: str) -> bool:
    """Whether `cell` is one for `float`, nan and inf included; Python's 1_000 is not."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _parse_numbers(cells: Sequence[str], name: str, line: int) -> list[float]:
    """Parse the numbers of a line. Raises MediaError for the first that is none, or infinite as float32."""
    try:
        found = list(map(float, cells))
        good = all(abs(value) < _BEYOND for value in found) and not any("_" in cell for cell in cells)
    except ValueError:
        good = False
    if good:
        return found
    column, cell = next(
        (i, cell) for i, cell in enumerate(cells, 1) if not _is_number(cell) or not abs(float(cell)) < _BEYOND
    )
    what = "is blank" if not cell.strip() else f"{cell[:40]!r} is no finite float32 number"
    raise MediaError(f"{name}: line {line}, column {column}: {what}")


def _check_channels(count: int, name: str) -> None:
    if count > MAX_CHANNELS:
        raise MediaError(
            f"{name}: {count:,} columns; at most {MAX_CHANNELS:,} are read: samples go "
            "downwards, channels to the right"
        )


def _choose_columns(wanted: str, names: Sequence[str], width: int, name: str) -> list[int]:
    """Choose the columns of "time,2", from 0: a name, else a number counted from 1. Raises UsageError."""
    chosen = []
    for word in (word.strip() for word in wanted.split(",")):
        if word in names:
            chosen.append(names.index(word))
        elif word.isdecimal() and 1 <= int(word) <= width:
            chosen.append(int(word) - 1)
        else:
            have = f"1 to {width}" + (f" or {', '.join(names)}"[:200] if names else "")
            raise UsageError(f"{name}: no column {word!r} (it has {have})")
    return chosen


# ---- out


def to_npy(patches: np.ndarray, info: Info) -> bytes:
    """Write the trace as an npy file, float32 [T, C]."""
    file = io.BytesIO()
    np.save(file, to_trace(patches, info), allow_pickle=False)
    return file.getvalue()


def to_csv(patches: np.ndarray, info: Info) -> bytes:
    """Write the trace as CSV, with a line of names where it has them; read again, it has the same values."""
    trace = to_trace(patches, info)
    out = io.StringIO()
    names = info.get("columns")
    if isinstance(names, list) and len(names) == trace.shape[1] and _is_header(list(map(str, names))):
        csv.writer(out, lineterminator="\n").writerow(names)
    texts = _format_values(trace.ravel())
    width = trace.shape[1]
    for start in range(0, len(texts), width):
        out.write(",".join(texts[start : start + width]) + "\n")
    return out.getvalue().encode("utf-8")


def _format_values(values: np.ndarray) -> list[str]:
    """Format float32 values [N] as the shortest decimal texts that give them again."""
    texts = list(map(str, values))
    # read as double and rounded to float32, a text is rounded twice: now and then that is one too many
    again = np.array(list(map(float, texts))).astype(np.float32)
    for i in np.flatnonzero(again != values):
        texts[i] = repr(float(values[i]))
    return texts


SERIES = Modality(
    name="series",
    help="Sensor traces to continuous tokens: CSV (a column per channel) or npy ([T] or [T, channels]).",
    axes=("patches", "stride * channels"),
    dtypes=("F32",),
    encode=encode,
    writers={".csv": to_csv, ".npy": to_npy},
    adapter=lambda info: {"feature_dim": info["stride"] * info["channels"]},
    suffixes=(".csv", ".npy"),
    options=(
        Option("stride", "Samples in a token: 2 or 4.", int, 4, STRIDES),
        Option("columns", "Only these, by name or number from 1: time,3"),
        Option("rate", "Samples per second, to be kept with them.", float),
    ),
)
