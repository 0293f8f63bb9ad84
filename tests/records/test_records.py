"""One record: known bytes, validation, metadata, and safetensors' own reader on the same bytes."""

import json
import struct
import tracemalloc

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from helpers.runs import ROOT

from janus_cli.errors import RecordError
from janus_cli.records import (
    MODALITIES,
    Part,
    Record,
    Segment,
    check_ids,
    dumps,
    ids_dtype,
    loads,
    read_stream,
    to_ids,
    wire,
)

CONFORMANCE = ROOT / "tests" / "conformance"
MANIFEST = json.loads((CONFORMANCE / "manifest.json").read_text("utf-8"))
VALID = {**MANIFEST["canonical"], **MANIFEST["valid"]}


def everything() -> Record:
    """A record with a segment of every modality, of odd sizes."""
    rng = np.random.default_rng(0)
    return Record(
        (
            Segment(
                "text", np.array([3, 1, 2], np.uint16), {"tokenizer": "pocket", "fingerprint": "ab" * 32}
            ),
            Segment("pixels", rng.integers(0, 256, (1, 3, 3, 3, 3), np.uint8)),
            Segment("image", rng.integers(0, 8192, (3, 5)).astype(np.uint16), {"patch": 8}),
            Segment("audio", rng.integers(0, 1 << 20, (2, 7)).astype(np.uint32), {"frame_rate": 50.0}),
            Segment("series", rng.normal(size=(3, 4)).astype(np.float32), {"stride": 4, "channels": 1}),
            Segment("waveform", rng.normal(size=(2, 5)).astype(np.float32), {"sample_rate": 24000}),
        ),
        id="apfel 苹果",
        made_by=({"stage": "tokenize", "text": "a red apple"},),
        part=Part(2, True, (4, 8)),
    )


def found_in(record: Record) -> dict:
    """A record as the manifest writes it."""
    part = record.part and {**vars(record.part), "rows": list(record.part.rows)}
    return {
        "id": record.id,
        "made_by": list(record.made_by),
        "part": part,
        "segments": [
            {
                "modality": s.modality,
                "dtype": str(s.data.dtype),
                "data": s.data.tolist(),
                "info": dict(s.info),
            }
            for s in record.segments
        ],
    }


@pytest.mark.parametrize("name", VALID)
def test_conformance_valid(name):
    with (CONFORMANCE / f"{name}.safetensors").open("rb") as file:
        assert [found_in(r) for r in read_stream(file, name)] == VALID[name]


@pytest.mark.parametrize("name", MANIFEST["canonical"])
def test_conformance_rewrite(name):
    data = (CONFORMANCE / f"{name}.safetensors").read_bytes()
    assert dumps(loads(data)) == data


@pytest.mark.parametrize("name", MANIFEST["invalid"])
def test_conformance_invalid(name):
    with (CONFORMANCE / f"{name}.safetensors").open("rb") as file, pytest.raises(RecordError) as caught:
        list(read_stream(file, name))
    assert str(caught.value).startswith(f"{name}: ")
    assert MANIFEST["invalid"][name] in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_round_trip_of_every_modality():
    record = everything()
    assert {s.modality for s in record.segments} == {*MODALITIES, "series"}
    data = dumps(record)
    again = loads(data)
    assert found_in(again) == found_in(record)
    assert dumps(again) == data
    flags = [s.data.flags for s in again.segments]
    assert all(f.aligned and f.c_contiguous and f.writeable for f in flags)


@pytest.mark.parametrize(
    "record",
    [everything(), *(loads((CONFORMANCE / f"{n}.safetensors").read_bytes()) for n in MANIFEST["canonical"])],
)
def test_safetensors_own_loader_agrees(record, tmp_path):
    data = dumps(record)
    path = tmp_path / "one.safetensors"
    path.write_bytes(data)
    expected = {f"{i}.{s.modality}": s.data for i, s in enumerate(record.segments)}
    with safetensors.safe_open(path, "np") as file:
        opened = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        assert json.loads(file.metadata()["janus"])["id"] == record.id
    for arrays in (safetensors.numpy.load(data), safetensors.numpy.load_file(path), opened):
        assert arrays.keys() == expected.keys()
        for name, array in expected.items():
            assert arrays[name].dtype == array.dtype
            np.testing.assert_array_equal(arrays[name], array)


def test_safetensors_rewrite_of_a_record_is_still_a_record(tmp_path):
    record = everything()
    data = dumps(record)
    janus = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]
    assert list(janus) == ["janus"]
    theirs = safetensors.numpy.save(safetensors.numpy.load(data), metadata=janus)
    assert dumps(loads(theirs)) == data


def test_body_is_aligned():
    data = dumps(everything())
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    del header["__metadata__"]
    width = {"U8": 1, "U16": 2, "U32": 4, "F32": 4}
    assert size % 8 == 0
    assert all(t["data_offsets"][0] % width[t["dtype"]] == 0 for t in header.values())


def test_strided_and_fortran_arrays_are_written_in_c_order():
    grid = np.arange(12, dtype=np.uint16).reshape(3, 4)
    for view in (grid.T, np.asfortranarray(grid), grid[:, ::2], grid[::-1]):
        back = loads(dumps(Record((Segment("image", view),)))).segments[0].data
        np.testing.assert_array_equal(back, view)


@pytest.mark.parametrize(
    ("modality", "array"),
    [
        ("text", np.zeros(3, np.int64)),
        ("text", np.zeros(3, np.uint8)),
        ("text", np.zeros(3, np.float32)),
        ("text", np.zeros(3, ">u2")),
        ("text", np.zeros((1, 3), np.uint16)),
        ("image", np.zeros(4, np.uint16)),
        ("image", np.zeros((0, 4), np.uint16)),
        ("audio", np.zeros((0, 4), np.uint16)),
        ("pixels", np.zeros((1, 1, 8, 8, 4), np.uint8)),
        ("pixels", np.zeros((1, 1, 8, 4, 3), np.uint8)),
        ("pixels", np.zeros((1, 1, 8, 8, 3), np.float32)),
        ("waveform", np.zeros(4, np.float32)),
        ("waveform", np.zeros((1, 4), np.float64)),
        ("waveform", np.full((1, 4), np.nan, np.float32)),
        ("video", np.zeros(4, np.uint16)),
    ],
)
def test_wrong_segments_are_refused(modality, array):
    with pytest.raises(RecordError, match=modality):
        Segment(modality, array)


def test_ids_have_the_dtype_of_their_codebook():
    assert ids_dtype(8192) is np.uint16
    assert ids_dtype(65536) is np.uint16
    assert ids_dtype(65537) is np.uint32
    assert to_ids([[0, 65535]], 65536).dtype == np.uint16
    assert to_ids([], 100).dtype == np.uint16
    for values, message in (([8192], "id 8192"), ([-1], "id -1"), ([0.5], "integers"), ([1 << 40], "range")):
        with pytest.raises(RecordError, match=message):
            to_ids(values, 8192)
    with pytest.raises(RecordError, match="codebook"):
        ids_dtype(0)


def test_check_ids():
    segment = Segment("image", np.array([[1, 8192]], np.uint16))
    check_ids(segment, 8193)
    check_ids(Segment("text", np.zeros(0, np.uint16)), 1)
    with pytest.raises(RecordError, match="image segment: id 8192 is out of range: the codebook has 8192"):
        check_ids(segment, 8192)


def test_find_prompt_and_steps():
    first, second = (Segment("text", np.array([i], np.uint16)) for i in (1, 2))
    record = Record((first, second), "x")
    assert record.find("text") is second
    assert record.find("image") is None
    assert record.prompt == ""
    told = record.with_step("tokenize", text="a red apple").with_step("generate", [first], seed=7)
    assert told.prompt == "a red apple"
    assert told.made_by == ({"stage": "tokenize", "text": "a red apple"}, {"stage": "generate", "seed": 7})
    assert told.segments == (first,) and told.id == "x"
    assert record.made_by == ()


@pytest.mark.parametrize("info", [{"x": float("nan")}, {"x": float("inf")}, {"x": "\ud800"}])
def test_metadata_that_json_cannot_hold(info):
    with pytest.raises(RecordError, match="JSON"):
        dumps(Record((Segment("text", np.zeros(1, np.uint16), info),)))


def test_too_much_metadata():
    with pytest.raises(RecordError, match="1,048,576"):
        dumps(Record((), id="x" * wire.MAX_HEADER))


def test_loads_takes_one_whole_record():
    data = dumps(everything())
    for bad, message in (
        (data + data, "more bytes"),
        (data[:-1], "truncated"),
        (b"", "empty"),
        (wire.pack({"end": {"count": 0}, "format": 1}, {}), "end of a stream"),
    ):
        with pytest.raises(RecordError, match=f"cat.safetensors: .*{message}"):
            loads(bad, "cat.safetensors")


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<Q", 1 << 20) + b"{",  # a header that never comes
        (CONFORMANCE / "bad-lying-body.safetensors").read_bytes(),  # says 0.8 GB, has 3 bytes
        (CONFORMANCE / "bad-deep-json.safetensors").read_bytes(),
    ],
)
def test_a_lying_header_takes_no_memory(data):
    tracemalloc.start()
    with pytest.raises(RecordError):
        loads(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_part_is_checked():
    for bad in ((-1, False, (0, 1)), (0, False, (2, 2)), (0, 1, (0, 1)), (0, True, (0, 1, 2))):
        with pytest.raises(RecordError, match="part"):
            Part(*bad)


def test_the_last_step_of_a_stage():
    record = Record(
        (), made_by=({"stage": "generate", "n": 1}, {"stage": "page"}, {"stage": "generate", "n": 2})
    )
    assert record.step("generate")["n"] == 2 and record.step("denoise") == {}
