"""Stages that make pixels row by row: records or their parts in, records with pixels or their parts out.

What they share. A whole record goes the way of a stream whose parts come all at once.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from janus_cli.errors import RecordError, quote
from janus_cli.media.pictures import image_to_pixels, pixels_to_image
from janus_cli.nets.pixels import to_float, to_uint8
from janus_cli.records import Record, Segment
from janus_cli.records.progressive import as_last, as_part, as_row, is_whole, name_result, with_rows
from janus_cli.stages.rows.bands import Chain, Row, Step

_Taken = dict[str, np.ndarray]  # one row of each modality that a stage reads


class Rowwise(ABC):
    """One stage with its nets and options. Parts of several results may be mixed."""

    name: str  # as made_by has it
    reads: Sequence[str]  # modalities
    mask_code: int = 0  # stands for tokens where a record has pixels alone

    def __init__(self, device: torch.device, stream: bool = False) -> None:
        """Compute on `device`. `stream`: give parts as their rows are done, else whole records."""
        self.device, self.stream = device, stream
        self._begun: dict[str, _Result] = {}

    @abstractmethod
    def list_options(self, record: Record) -> dict[str, Any]:
        """List the options that `made_by` names."""

    @abstractmethod
    def check(self, record: Record) -> None:
        """Raise RecordError for a record or part that the stage can't take."""

    @abstractmethod
    def make_steps(self, record: Record) -> list[Step]:
        """Make the steps that the rows of this result go through."""

    @abstractmethod
    def describe_pixels(self, record: Record) -> dict[str, Any]:
        """Describe the new pixels, at least their `patch`. Raises RecordError for a size that cannot be."""

    @torch.inference_mode()
    def __call__(self, record: Record) -> Iterator[Record]:
        """Take one more record or part; give the results that are done. Raises RecordError for a misfit."""
        if not self.stream and not is_whole(record):
            return  # the last part has it all
        self.check(record)
        self.describe_pixels(record)  # raises for a size that makes no sense, before any work
        key = name_result(record)
        result = self._begun.pop(key, None) or _Result(self, record)
        yield from result.take(record)
        if not is_whole(record):
            self._begun[key] = result

    def finish(self, record: Record, pixels: np.ndarray) -> Record:
        """Give `record` the new pixels [rows, cols, P, P, 3] and this stage's step in made_by."""
        new = Segment("pixels", pixels, self.describe_pixels(record))
        kept = [s for s in record.segments if s.modality != "pixels"]
        return record.with_step(self.name, (*kept, new), **self.list_options(record))


class _Result:
    """One picture on its way through a stage."""

    def __init__(self, stage: Rowwise, record: Record) -> None:
        self._stage, self._chain = stage, Chain(stage.make_steps(record))
        self._taken: list[_Taken] = []
        self._made: list[np.ndarray] = []  # pixels [1, cols, P, P, 3] of each row

    def take(self, record: Record) -> Iterator[Record]:
        """Take the whole record, or its next part; give the results that are done."""
        yield from self._keep(record, self._chain.push(self._new_rows(record)))
        if not is_whole(record):
            return
        yield from self._keep(record, self._chain.end())
        done = self._stage.finish(record, np.concatenate(self._made))
        yield as_last(done, len(self._made)) if self._stage.stream else as_part(done, None)

    def _new_rows(self, record: Record) -> list[Row]:
        """Take the rows of `record` that have not been taken yet."""
        new = _cut_rows(record, self._stage.reads)
        old = len(self._taken) if is_whole(record) else 0
        again, new = new[:old], new[old:]
        known = self._taken[:1] or new[:1]
        if any(map(_differ, again, self._taken)) or any(
            _list_shapes(row) != _list_shapes(known[0]) for row in new
        ):
            raise RecordError(f"record {record.id!r}: its parts do not fit together")
        self._taken.extend(new)
        return [self._make_row(row) for row in new]

    def _make_row(self, row: _Taken) -> Row:
        """Make the tensors of one row."""
        cols, device = next(iter(row.values())).shape[1], self._stage.device
        ids = row.get("image", np.full((1, cols), self._stage.mask_code))
        codes = torch.from_numpy(ids.astype(np.int64))[None].to(device)
        pixels = (
            to_float(pixels_to_image(row["pixels"]), device)[None]
            if "pixels" in row
            else torch.empty(1, 3, 0, 0)
        )
        return Row(codes, pixels)

    def _keep(self, record: Record, rows: Sequence[Row]) -> Iterator[Record]:
        """Keep the pixels of rows that are done; where the stage streams, give each row as a part."""
        for row in rows:
            i, cols = len(self._made), row.codes.shape[2]
            self._made.append(image_to_pixels(to_uint8(row.pixels[0]), row.pixels.shape[3] // cols))
            if self._stage.stream:
                ids = self._taken[i].get("image")
                one = record if ids is None else with_rows(record, "image", ids)
                yield as_row(self._stage.finish(one, self._made[i]), i)


def enlarge_size(info: Mapping[str, Any], scale: int) -> dict[str, list[int]]:
    """Enlarge the `size` in a segment's `info` by `scale`; give nothing where it has none.

    Raises RecordError for a size that is no height and width.
    """
    size = info.get("size")
    if size is None:
        return {}
    if not isinstance(size, list | tuple) or len(size) != 2 or any(type(n) is not int or n < 1 for n in size):
        raise RecordError(f"size {quote(size)} is no height and width in pixels")
    return {"size": [n * scale for n in size]}


def _cut_rows(record: Record, modalities: Sequence[str]) -> list[_Taken]:
    """Cut the record's segments of these modalities into rows, each [1, cols, ...]."""
    found = {name: segment.data for name in modalities if (segment := record.find(name)) is not None}
    return [
        {name: data[i : i + 1] for name, data in found.items()} for i in range(min(map(len, found.values())))
    ]


def _list_shapes(row: _Taken) -> dict[str, tuple[int, ...]]:
    return {name: data.shape for name, data in row.items()}


def _differ(a: _Taken, b: _Taken) -> bool:
    return _list_shapes(a) != _list_shapes(b) or not all(np.array_equal(a[name], b[name]) for name in a)
