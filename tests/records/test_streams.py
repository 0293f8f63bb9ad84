"""Streams of records: numbering and the end record, pipes and FIFOs, several streams in one."""

import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from janus_cli.errors import RecordError
from janus_cli.records import Record, Segment, StreamWriter, dumps, loads, read_stream


def record(i: int, size: int = 3) -> Record:
    return Record((Segment("text", np.arange(i, i + size, dtype=np.uint32)),), id=str(i))


def stream(count: int, numbered: bool = True, end: bool = True) -> bytes:
    file = io.BytesIO()
    writer = StreamWriter(file, numbered)
    for i in range(count):
        writer.write(record(i))
    if end:
        writer.close()
    return file.getvalue()


def ids(data: bytes) -> list[str]:
    return [r.id for r in read_stream(io.BytesIO(data))]


class Dribble(io.RawIOBase):
    """A pipe that gives one to three bytes at a time, and takes as few."""

    def __init__(self, data: bytes = b"") -> None:
        self.data, self.turn = data, 0

    def read(self, size: int = -1) -> bytes:
        self.turn += 1
        size = min(size, 1 + self.turn % 3)
        given, self.data = self.data[:size], self.data[size:]
        return given

    def write(self, data) -> int:
        self.turn += 1
        taken = bytes(data)[: 1 + self.turn % 3]
        self.data += taken
        return len(taken)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_numbered_stream(count):
    assert ids(stream(count)) == [str(i) for i in range(count)]


def test_a_file_gets_no_end_record():
    assert stream(1, numbered=False) == dumps(record(0))
    assert stream(2, numbered=False) == dumps(record(0)) + dumps(record(1))


def test_streams_follow_one_another():
    assert ids(stream(2) + stream(1, numbered=False) + stream(0) + stream(1)) == ["0", "1", "0", "0"]


def test_a_numbered_record_can_be_read_alone():
    assert loads(dumps(record(4), seq=4)).id == "4"


@pytest.mark.parametrize("count", [1, 3])
def test_missing_end_record(count):
    records = []
    with pytest.raises(RecordError, match=rf"^pipe: after record {count}: .* stopped after {count} of"):
        for found in read_stream(io.BytesIO(stream(count, end=False)), "pipe"):
            records.append(found.id)
    assert len(records) == count  # what came before the error was handed out


def test_nothing_at_all_is_an_error():
    with pytest.raises(RecordError, match="stdin: empty"):
        ids(b"")


def test_every_truncation_of_a_numbered_stream_is_an_error():
    data = stream(2)
    for size in range(len(data)):
        with pytest.raises(RecordError):
            ids(data[:size])


def test_a_truncated_record_says_how_much_came():
    data = dumps(record(0))
    with pytest.raises(RecordError, match=rf"truncated: {len(data) - 5} of {len(data)} bytes"):
        ids(data[:-5])
    with pytest.raises(RecordError, match="after record 1: truncated inside the header: 20 of"):
        ids(data + data[:20])


def test_a_failed_writer_leaves_no_end_record():
    file = io.BytesIO()
    with pytest.raises(ZeroDivisionError), StreamWriter(file, numbered=True) as writer:
        writer.write(record(0))
        raise ZeroDivisionError
    with pytest.raises(RecordError, match="stopped after 1"):
        ids(file.getvalue())
    with StreamWriter(file := io.BytesIO(), numbered=True) as writer:
        writer.write(record(0))
    assert ids(file.getvalue()) == ["0"]


def test_short_reads_and_short_writes():
    pipe = Dribble()
    with StreamWriter(pipe, numbered=True) as writer:
        writer.write(record(0))
        writer.write(record(1, size=1000))
    assert pipe.data[:8] == dumps(record(0), seq=0)[:8]
    assert [len(r.segments[0].data) for r in read_stream(pipe)] == [3, 1000]


@pytest.mark.parametrize("kind", ["pipe", "fifo"])
def test_pipes_and_fifos(kind, tmp_path):
    if kind == "fifo":
        os.mkfifo(tmp_path / "fifo")
        path = tmp_path / "fifo"  # each end opens only when the other one does
        to_read, to_write = (lambda: os.open(path, os.O_RDONLY)), (lambda: os.open(path, os.O_WRONLY))
    else:
        source, sink = os.pipe()
        to_read, to_write = (lambda: source), (lambda: sink)

    def write() -> None:
        with os.fdopen(to_write(), "wb") as file, StreamWriter(file, numbered=True) as writer:
            for i in range(3):
                writer.write(record(i, size=100_000))  # larger than a pipe's buffer

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(to_read(), "rb", buffering=0) as file:
        found = list(read_stream(file))
    thread.join()
    assert [r.id for r in found] == ["0", "1", "2"]
    np.testing.assert_array_equal(found[2].segments[0].data, np.arange(2, 100_002))


def test_reading_is_lazy_and_takes_no_byte_too_many():
    file = io.BytesIO(dumps(record(0)) + dumps(record(1)))
    records = read_stream(file)
    assert next(records).id == "0"
    assert file.tell() == len(dumps(record(0)))


def test_each_record_is_flushed():
    source, sink = os.pipe()
    with os.fdopen(source, "rb") as reader, os.fdopen(sink, "wb") as writer:
        StreamWriter(writer, numbered=True).write(record(0))
        assert next(read_stream(reader)).id == "0"  # would wait for ever if the bytes were still buffered


def test_full_disk_and_closed_pipe():
    with (
        Path("/dev/full").open("wb", buffering=0) as file,
        pytest.raises(RecordError, match=r"out: .*No space left"),
    ):
        StreamWriter(file, numbered=True, name="out").write(record(0))
    source, sink = os.pipe()
    os.close(source)
    with os.fdopen(sink, "wb", buffering=0) as file, pytest.raises(BrokenPipeError):
        StreamWriter(file, numbered=True).write(record(0))
