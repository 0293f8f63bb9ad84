"""`tokenize series`: traces from CSV and npy to patches and back, value for value; what is refused."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import no_traceback
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from janus_cli import plugins
from janus_cli.errors import MediaError
from janus_cli.plugins import series
from janus_cli.records import Segment, loads, read_stream

TRACE = b"time,x\n0,1.5\n1,-2\n2,3e2\n3,4\n4,.5\n"
CHARS = b"()[]{}'\"\\,-1Of \n\xff"  # that a damaged npy header may hold
OPTIONS = {"stride": 2, "columns": None, "rate": None}


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def encode(data: bytes, **options):
    return series.encode(data, "trace", OPTIONS | options)


def one(data: bytes) -> Segment:
    [record] = read_stream(io.BytesIO(data))
    return record.segments[0]


# ---- known answers


def test_a_csv_with_a_header(janus):
    done = janus("tokenize", "series", "--stride", "2", "--rate", "100", stdin=TRACE)
    assert done.code == 0, done.err
    segment = one(done.out)
    assert segment.data.dtype == np.float32
    assert segment.data.tolist() == [[0, 1.5, 1, -2], [2, 300, 3, 4], [4, 0.5, 4, 0.5]]
    assert dict(segment.info) == {
        "tokenizer": "series",
        "stride": 2,
        "channels": 2,
        "num_samples": 5,
        "sample_rate": 100.0,
        "columns": ["time", "x"],
    }
    shown = janus("info", stdin=done.out).text
    assert "0.05 s" in shown and "100 Hz" in shown and "num_samples=5" in shown
    back = janus("decode", stdin=done.out)
    assert back.code == 0 and back.text == "time,x\n0.0,1.5\n1.0,-2.0\n2.0,300.0\n3.0,4.0\n4.0,0.5\n"


def test_the_default_stride_is_4(janus):
    made = janus("tokenize", "series", stdin=b"1\n2\n3\n4\n5").out
    assert one(made).data.tolist() == [[1, 2, 3, 4], [5] * 4]


@pytest.mark.parametrize(
    "data, expected",
    [
        (b"1,2\n3,4\n", [[1, 2], [3, 4]]),
        (b"1,2\r\n3,4\r\n\r\n\n", [[1, 2], [3, 4]]),
        (b"\xef\xbb\xbf a , b\n1, 2\n", [[1, 2]]),
        (b'"the ""first"", of two",b\n"1",2\n', [[1, 2]]),
        (b"1;2\n3;4", [[1, 2], [3, 4]]),
        (b"a\tb\n3\t4", [[3, 4]]),
        (b"-1e-3\n+0\n", [[-0.001], [0]]),
        (b"3.4028235e+38\n", [[np.finfo(np.float32).max]]),
    ],
)
def test_dialects(data, expected):
    trace, _ = series.read_csv(data, "x")
    np.testing.assert_array_equal(trace, np.array(expected, np.float32))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(5),
        np.arange(6.0).reshape(3, 2),
        np.arange(6, dtype=">i2").reshape(3, 2),
        np.asfortranarray(np.arange(6, dtype=np.float16).reshape(3, 2)),
        np.arange(8, dtype=np.uint64)[::2],
    ],
)
def test_npy(array):
    trace, names = series.read_npy(npy(array), "x")
    assert not names and trace.dtype == np.float32
    np.testing.assert_array_equal(trace, array.reshape(len(array), -1).astype(np.float32))


@pytest.mark.parametrize(
    "wanted, expected", [("x", [1.5, 2]), ("2", [1.5, 2]), ("x,1", [1.5, 0, 2, 1]), ("time", [0, 1])]
)
def test_columns(wanted, expected):
    patches, info = encode(b"time,x\n0,1.5\n1,2\n", columns=wanted)
    assert patches.tolist() == [expected] and info["channels"] == len(wanted.split(","))


def test_files_folders_and_templates(janus, environment):
    folder = environment / "in"
    folder.mkdir()
    (folder / "a.csv").write_bytes(TRACE)
    np.save(folder / "b.npy", np.float32([0.1, 0.2, 0.3]))
    (folder / "notes.txt").write_text("nothing")
    assert janus("tokenize", "series", "in", "-o", "out/").code == 0
    Path("back").mkdir()
    assert janus("decode", "out", "-o", "back/{id}.npy").code == 0
    np.testing.assert_array_equal(np.load("back/b.npy"), np.float32([[0.1], [0.2], [0.3]]))
    assert janus("decode", "out", "-o", "texts/").code == 0
    assert Path("texts/b.csv").read_text() == "0.1\n0.2\n0.3\n"
    record = loads(Path("out/a.safetensors").read_bytes())
    assert record.id == "a" and record.segments[0].info["source"] == "a.csv"


def test_adapter():
    plugin = plugins.find("series")
    patches, info = encode(b"1,2,3\n", stride=4)
    assert plugin.adapter(info) == {"feature_dim": patches.shape[1]} == {"feature_dim": 12}


# ---- round trips

FLOATS = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 9), st.integers(1, 3)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


@given(FLOATS, st.sampled_from(series.STRIDES))
@settings(deadline=None)
def test_round_trip(trace, stride):
    for data in (npy(trace), "\n".join(",".join(map(repr, row)) for row in trace.tolist()).encode()):
        patches, info = encode(data, stride=stride)
        assert patches.shape == (-(-len(trace) // stride), stride * trace.shape[1])
        assert np.load(io.BytesIO(series.to_npy(patches, info))).tobytes() == trace.tobytes()
        again, _ = series.read_csv(series.to_csv(patches, info), "again")
        assert again.tobytes() == trace.tobytes()


def test_every_exponent_comes_back_through_csv():
    bits = np.random.default_rng(0).integers(0, 1 << 32, 60_000, np.uint64).astype(np.uint32)
    values = bits.view(np.float32)
    values = values[np.isfinite(values)]
    again, _ = series.read_csv("\n".join(series._format_values(values)).encode(), "x")
    assert again.ravel().tobytes() == values.tobytes()


def test_a_text_that_double_rounding_would_spoil_gets_more_digits(monkeypatch):
    monkeypatch.setattr(series, "str", lambda value: f"{value:.2g}", raising=False)
    assert series._format_values(np.float32([0.5, 1.2345])) == ["0.5", repr(float(np.float32(1.2345)))]


# ---- errors


@pytest.mark.parametrize(
    "data, message",
    [
        (b"1,2\n3\n", "trace: line 2 has 1 values, the first line 2"),
        (b"a,b\n1,2\n3,4,5\n", "trace: line 3 has 3 values"),
        (b"1,2\n3,\n", "trace: line 2, column 2: is blank"),
        (b"1,2\nx,3\n", "trace: line 2, column 1: 'x' is no finite"),
        (b"a,b\n1,nan\n", "trace: line 2, column 2: 'nan' is no finite"),
        (b"1\n-inf\n", "trace: line 2, column 1: '-inf' is no finite"),
        (b"1\n1e39\n", "trace: line 2, column 1: '1e39' is no finite"),
        (b"1\n1_0\n", "trace: line 2, column 1: '1_0' is no finite"),
        (b"a,1\n2,3\n", "trace: line 1, column 1: 'a' is no finite"),
        (b"nan,b\n2,3\n", "trace: line 1, column 1: 'nan' is no finite"),
        (b",\n1,2\n", "trace: line 1, column 1: is blank"),
        (b"1\n\n2\n", "trace: line 2 is blank"),
        (b"\n1\n", "trace: line 1 is blank"),
        (b"a,b\n", "trace: holds no numbers, only a line of names"),
        (b"\n", "trace: holds no numbers"),
        (b"hello\nworld\n", "trace: line 2, column 1: 'world' is no finite"),
        (b"\x89PNG\r\n\x1a\n\xff", "trace: neither UTF-8 text"),
        ("1,2\n".encode("utf-16"), "trace: neither UTF-8 text"),
        (b'1,"2\n', "trace: line 1: no CSV"),
        (b"a" * (series.MAX_LINE + 1), "trace: line 1 has more than 262,144 characters"),
        (b"1\n" + b"1," * series.MAX_LINE, "trace: line 2 has more than"),
        (b"1," * series.MAX_CHANNELS + b"1\n", "trace: 4,097 columns; at most 4,096"),
        (
            npy(np.array([{}, None], object), allow_pickle=True),
            "trace: the array holds Python objects (pickled)",
        ),
        (npy(np.array(["a"])), "trace: the array holds dtype <U1"),
        (npy(np.array([1j])), "dtype complex128"),
        (npy(np.zeros(2, [("a", "<f4")])), "dtype [('a', '<f4')]"),
        (npy(np.zeros(2, [("a", object)]), allow_pickle=True), "Python objects (pickled)"),
        (npy(np.zeros((2, 2, 2))), "an array of shape [2, 2, 2]"),
        (npy(np.float32(1)), "an array of shape []"),
        (npy(np.zeros((0, 2))), "an array of shape [0, 2]"),
        (npy(np.zeros((1, 4097))), "4,097 columns"),
        (npy(np.array([[1, 2], [3, np.nan]])), "trace: sample 2, column 2: nan is no finite"),
        (npy(np.array([1, 1e300])), "trace: sample 2, column 1: 1e+300 is no finite"),
        (npy(np.arange(9))[:-1], "trace: 71 bytes of numbers where its header says 72"),
        (npy(np.arange(9)) + b"x", "trace: 73 bytes of numbers where its header says 72"),
        (b"\x93NUMPY\x01\x00\x76\x00{'descr'", "trace: a damaged npy header"),
        (b"\x93NUMPY\x09\x00", "trace: a damaged npy header"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 1 << 31) + b"{", "trace: a damaged npy header"),
        (
            b"\x93NUMPY\x02\x00" + struct.pack("<I", 20_000) + b"{" + b" " * 19_998 + b"}",
            "trace: a damaged npy header",
        ),
        (
            npy(np.zeros(1)).replace(b"(1,), ", b"(99999999999999999999999,), "),
            "where its header says 799,999,",
        ),
        (npy(np.zeros(1)).replace(b"(1,), }     ", b"(-1, -1), }"), "trace: a damaged npy header"),
    ],
)
def test_errors(data, message):
    with pytest.raises(MediaError) as caught:
        encode(data)
    assert str(caught.value).startswith(message) or message in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_a_damaged_npy_is_an_error_or_a_trace(data):
    damaged = bytearray(npy(np.arange(4.0).reshape(2, 2)))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(6, len(damaged) - 1))] = data.draw(st.sampled_from(CHARS))
    try:
        trace, _ = series.read_npy(bytes(damaged), "x")
    except MediaError as error:
        assert "\n" not in str(error)
    else:
        assert trace.dtype == np.float32 and np.isfinite(trace).all()


@pytest.mark.parametrize(
    "args",
    [
        ("--stride", "3"),
        ("--rate", "0"),
        ("--rate", "nan"),
        ("--columns", "y"),
        ("--columns", "3"),
        ("--columns", "0"),
        ("--columns", ""),
    ],
)
def test_wrong_options(janus, args):
    done = janus("tokenize", "series", *args, stdin=TRACE)
    assert done.code == 2 and no_traceback(done) and done.err.count("\n") == 1, done.err


@pytest.mark.parametrize("command", ["generate", "denoise"])
def test_stages_that_cannot_take_a_series_say_so(janus, command):
    done = janus(command, stdin=janus("tokenize", "series", stdin=TRACE).out)
    assert done.code in (1, 2) and done.err.splitlines()[-1].startswith("janus: record ")


def test_an_empty_input(janus):
    done = janus("tokenize", "series", stdin=b"")
    assert done.code == 1 and done.err == "janus: stdin: empty\n"


def test_a_bad_file_leaves_the_others(janus, environment):
    (environment / "good.csv").write_bytes(TRACE)
    (environment / "bad.csv").write_bytes(b"1,2\n3\n")
    done = janus("tokenize", "series", "bad.csv", "good.csv", "missing.csv", "-o", "out.safetensors")
    assert done.code == 3 and no_traceback(done)
    assert "bad.csv: line 2" in done.err and "missing.csv: No such file" in done.err
    assert loads((environment / "out.safetensors").read_bytes()).id == "good"


@pytest.mark.parametrize(
    "change",
    [
        {"stride": 4},
        {"num_samples": 3},
        {"num_samples": 7},
        {"channels": "2"},
        {"stride": None},
        {"channels": True},
    ],
)
def test_info_that_does_not_fit_the_patches(change):
    patches, info = encode(TRACE)
    for write in (series.to_csv, series.to_npy):
        with pytest.raises(MediaError, match="series segment"):
            write(patches, info | change)
