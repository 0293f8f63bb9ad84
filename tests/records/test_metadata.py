"""Metadata from strangers: each key that has a meaning has its type where a record is read to be used."""

import io
import json

import numpy as np
import pytest
from helpers.runs import no_traceback

from janus_cli.errors import RecordError
from janus_cli.media.tensor_header import frame
from janus_cli.records import Record, Segment, dumps, loads, read_stream

WORDS = ("tokenizer", "fingerprint", "source")
NUMBERS = ("patch", "num_samples", "stride", "channels")
RATES = ("sample_rate", "frame_rate")
WRONG_NUMBERS = [None, True, "1", -1, 0.5, [], {}, 10**400]
WRONG = [
    *((word, value) for word in WORDS for value in (None, True, 1, 0.5, [], {})),
    *((word, value) for word in NUMBERS for value in WRONG_NUMBERS),
    *((word, value) for word in RATES for value in (None, True, "1", -1, 0, [], 10**400, 1e300)),
    *(
        ("size", value)
        for value in (None, 8, [8], [8, 8, 8], [8, 0], [8, -8], [8, "8"], [8, 8.5], [8, 10**30])
    ),
    *(("scales", value) for value in (None, 1.0, ["x"], [None], [True], [10**400])),
    *(
        ("heard", value)
        for value in (None, 7, "all", [], [1], [1, 2, 3], [0.0, 3], [True, 3], [-1, 3], ["0", "1"], {"a": 1})
    ),
    *(("columns", value) for value in (None, "a", [1])),
]
WRONG_STEPS = [
    *((word, value) for word in ("seed", "index") for value in (None, True, "../../x", -1, 0.5, [], {})),
    *((word, value) for word in ("stage", "model", "text", "words", "source") for value in (None, 1, [], {})),
]


def blob(info: object, step: object) -> bytes:
    """A record of one image segment with this metadata, which our own writer need not like."""
    meta = {"format": 1, "id": "a", "made_by": [step], "segments": [info]}
    entry = {"dtype": "U16", "shape": [2, 2], "data_offsets": [0, 8]}
    return frame(json.dumps({"0.image": entry, "__metadata__": {"janus": json.dumps(meta)}})) + bytes(8)


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_segment_says_which_key_is_wrong(key, value):
    with pytest.raises(RecordError) as error:
        loads(blob({key: value}, {"stage": "generate"}), "a")
    assert str(error.value).startswith(f"a: metadata segments[0].{key}") and len(str(error.value)) < 200
    assert loads(blob({key: value}, {}), typed=False).segments[0].info[key] == value


@pytest.mark.parametrize(("key", "value"), WRONG_STEPS)
def test_a_step_says_which_key_is_wrong(key, value):
    with pytest.raises(RecordError, match=rf"^a: metadata made_by\[0\]\.{key}: expected "):
        list(read_stream(io.BytesIO(blob({}, {"stage": "generate"} | {key: value})), "a"))


def test_what_is_right_or_free_is_kept():
    info = {
        "patch": 8,
        "size": [16, 15],
        "sample_rate": 44100.5,
        "num_samples": 0,
        "mine": [None, {"a": 1e9}],
    }
    step = {"stage": "mine", "seed": 2**63 - 1, "scale": 1.5, "more": None}
    record = loads(blob(info, step))
    assert record.segments[0].info == info and record.made_by == (step,)


@pytest.mark.parametrize(
    "command", [["decode", "-o", "-"], ["denoise"], ["upsample"], ["generate", "--to", "image"]]
)
def test_every_command_says_it_in_one_line(janus, command):
    for info, step in (({"fingerprint": None}, {}), ({}, {"seed": "../../x"})):
        done = janus(*command, stdin=blob(info, step))
        assert done.code == 1 and no_traceback(done) and not done.out
        assert done.err.count("\n") == 1 and "metadata" in done.err and "expected" in done.err


def test_a_model_without_a_tokenizer_for_what_it_makes_writes_no_null():
    from janus_cli.stages.decoding.options import GenerateOptions
    from janus_cli.stages.decoding.segments import Identity, make_segment

    made = make_segment(np.zeros((1, 4), np.int64), GenerateOptions(grid=(2, 2)), 8, Identity("m", "f", None))
    assert "fingerprint" not in made.info
    assert loads(dumps(Record((made,)))).segments[0].info == {"tokenizer": "m"}


def test_python_may_still_hold_anything():
    assert Segment("text", np.zeros(1, np.uint16), {"patch": None}).info == {"patch": None}
