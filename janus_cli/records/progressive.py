"""Progressive records: which parts belong together, whether they fit, and how a record is cut into rows.

What section 6 of docs/token-format.md says, over records that have been read.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from janus_cli.errors import RecordError
from janus_cli.records import Part, Record, Segment

GRIDS = ("image", "pixels")  # modalities of which a part has some rows


def is_whole(record: Record) -> bool:
    """Whether `record` holds all of its result."""
    return record.part is None or record.part.last


def name_result(record: Record) -> str:
    """Name the result that a part belongs to: a text that all of its parts share, and no others."""
    return json.dumps([record.id, record.made_by], sort_keys=True)


class PartOrder:
    """Checks that the parts of each result fit together; those of several may be mixed.

    A last part may come without the others: it needs none.
    """

    def __init__(self, name: str = "") -> None:
        """`name`: of the input, for errors."""
        self._who = f"{name}: record" if name else "record"
        self._begun: dict[str, tuple[int, int, str]] = {}  # result -> the part due, its first row, the id

    def check(self, record: Record) -> None:
        """Raise RecordError for a part that does not come in its turn, or has other rows than it says."""
        if (part := record.part) is None:
            return
        key, who, (first, end) = (
            name_result(record),
            f"{self._who} {record.id!r}: part {part.index}",
            part.rows,
        )
        index, row, _ = self._begun.pop(key, (0, 0, ""))
        if part.index != index and (index or not part.last):
            raise RecordError(f"{who} comes where part {index} is due")
        if first != (0 if part.last else row) or end < row:
            due = f"all {row} or more" if part.last else f"those from {row}"
            raise RecordError(f"{who} has the rows {first} to {end} where {due} are due")
        for segment in filter(None, map(record.find, GRIDS)):
            if len(segment.data) != end - first:
                raise RecordError(
                    f"{who} says that it has {end - first} rows, but its {segment.modality} "
                    f"segment has {len(segment.data)}"
                )
        if not part.last:
            self._begun[key] = index + 1, end, record.id

    def find_unfinished(self) -> dict[str, RecordError]:
        """Find the results (by `name_result`) whose last part has not come, with an error for each."""
        return {
            result: RecordError(
                f"{self._who} {id!r}: stopped after {index} of its parts, {row} rows, "
                "without the last one; the command that wrote it did not finish"
            )
            for result, (index, row, id) in self._begun.items()
        }


def check_order(records: Iterable[Record]) -> Iterator[Record]:
    """Pass records on and check that their parts fit together, and that none is left out at the end.

    Raises RecordError as `PartOrder` does.
    """
    parts = PartOrder()
    for record in records:
        parts.check(record)
        yield record
    for error in parts.find_unfinished().values():
        raise error


def run_stage(stage: Callable[[Record], Iterator[Record]], records: Iterable[Record]) -> Iterator[Record]:
    """Run `stage` over records and parts, which are checked as `check_order` does."""
    return (made for record in check_order(records) for made in stage(record))


def as_part(record: Record, part: Part | None) -> Record:
    """Make `record` that part of a result; with None, a result that has no parts."""
    return replace(record, part=part)


def as_row(record: Record, row: int) -> Record:
    """Make `record`, which holds one row of a picture, the part with the number of its row."""
    return as_part(record, Part(row, False, (row, row + 1)))


def as_last(record: Record, height: int) -> Record:
    """Make `record`, which holds a picture of `height` rows, the last part: it follows those of the rows."""
    return as_part(record, Part(height, True, (0, height)))


def with_rows(record: Record, modality: str, data: np.ndarray) -> Record:
    """Replace the data in the last segment of `modality`."""
    last = record.find(modality)
    segments = (Segment(modality, data, s.info) if s is last else s for s in record.segments)
    return replace(record, segments=tuple(segments))
