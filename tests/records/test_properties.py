"""Properties of the format, over generated records and damaged bytes."""

import contextlib
import io
import struct

import numpy as np
import pytest
from helpers.strategies import INFO, JSON, TEXT, array
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from janus_cli.errors import RecordError
from janus_cli.records import Part, Record, Segment, StreamWriter, dumps, loads, read_stream, to_ids

SEGMENT = st.sampled_from(["text", "image", "audio", "pixels", "waveform", "series"]).flatmap(
    lambda modality: st.builds(Segment, st.just(modality), array(modality), INFO)
)
PART = st.builds(
    lambda index, last, first, rows: Part(index, last, (first, first + rows)),
    st.integers(0, 99),
    st.booleans(),
    st.integers(0, 99),
    st.integers(1, 9),
)
RECORD = st.builds(
    Record,
    st.lists(SEGMENT, max_size=4).map(tuple),
    TEXT,
    st.lists(INFO, max_size=2).map(tuple),
    st.none() | PART,
)


def same(a: Record, b: Record) -> bool:
    """Whether two records hold the same values, bit for bit."""
    return (
        (a.id, a.made_by, a.part) == (b.id, b.made_by, b.part)
        and len(a.segments) == len(b.segments)
        and all(
            (s.modality, dict(s.info), s.data.dtype, s.data.shape, s.data.tobytes())
            == (t.modality, dict(t.info), t.data.dtype, t.data.shape, t.data.tobytes())
            for s, t in zip(a.segments, b.segments, strict=True)
        )
    )


@given(RECORD)
def test_round_trip_and_byte_identical_rewrite(record):
    data = dumps(record)
    assert same(loads(data), record)
    assert dumps(loads(data)) == data
    assert dumps(record) == data


@given(st.lists(RECORD, max_size=4), st.booleans(), st.integers(1, 7))
def test_streams_round_trip(records, numbered, chunk):
    class Short(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, chunk))

    file = io.BytesIO()
    with StreamWriter(file, numbered) as writer:
        for record in records:
            writer.write(record)
    if records or numbered:
        found = list(read_stream(Short(file.getvalue())))
        assert len(found) == len(records)
        assert all(same(a, b) for a, b in zip(found, records, strict=True))


@given(RECORD, st.data())
def test_truncation_is_an_error(record, data):
    whole = dumps(record)
    with pytest.raises(RecordError):
        loads(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(RECORD, st.data())
@settings(max_examples=250)
def test_a_flipped_byte_is_an_error_or_a_record(record, data):
    damaged = bytearray(dumps(record))
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] ^= data.draw(st.integers(1, 255))
    try:
        found = loads(bytes(damaged))
    except RecordError as error:
        assert "\n" not in str(error)
    else:
        assert same(loads(dumps(found)), found)


def test_every_flipped_bit_of_one_record():
    whole = dumps(
        Record(
            (
                Segment("text", np.array([1, 2], np.uint16), {"tokenizer": "p"}),
                Segment("pixels", np.zeros((1, 1, 1, 1, 3), np.uint8)),
            ),
            "i",
        ),
        seq=0,
    )
    for place in range(len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            with contextlib.suppress(RecordError):
                dumps(loads(bytes(damaged)))


@given(st.binary(max_size=200))
def test_any_bytes(data):
    with contextlib.suppress(RecordError):
        list(read_stream(io.BytesIO(data)))


@given(st.binary(max_size=60) | JSON.map(lambda v: repr(v).encode("utf-8", "replace")))
def test_any_header(text):
    with pytest.raises(RecordError):
        loads(struct.pack("<Q", len(text) + 1) + b"{" + text)


@given(
    hnp.arrays(st.sampled_from([np.int64, np.int8, np.uint64, np.uint16]), st.integers(0, 5)),
    st.integers(1, 1 << 20),
)
def test_ids_are_kept_or_refused(values, size):
    inside = all(0 <= int(v) < size for v in values)
    try:
        ids = to_ids(values, size)
    except RecordError:
        assert not inside
    else:
        assert inside
        assert ids.dtype == (np.uint16 if size <= 65536 else np.uint32)
        assert ids.tolist() == values.tolist()
