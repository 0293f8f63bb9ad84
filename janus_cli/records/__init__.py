"""Token records and their streams, as docs/token-format.md says. Bytes and numpy; no torch, no model."""

from janus_cli.records.record import (
    FORMAT,
    MODALITIES,
    Part,
    Record,
    Segment,
    StreamWriter,
    check_ids,
    check_shape,
    dumps,
    ids_dtype,
    loads,
    read_stream,
    to_ids,
)

__all__ = [
    "FORMAT",
    "MODALITIES",
    "Part",
    "Record",
    "Segment",
    "StreamWriter",
    "check_ids",
    "check_shape",
    "dumps",
    "ids_dtype",
    "loads",
    "read_stream",
    "to_ids",
]
