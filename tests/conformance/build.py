"""Writes the conformance files and manifest.json, from docs/token-format.md alone.

A second writer on purpose: it imports nothing of janus_cli, so that a mistake there cannot hide here.
Run `python tests/conformance/build.py` after a change of the format, and look at what git says changed.
"""

import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def js(value) -> str:
    """Canonical JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def raw(header: bytes, body: bytes = b"") -> bytes:
    """A blob with this header, padded, and this body."""
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + body


def entry(dtype: str, shape: list, start: int, end: int) -> dict:
    """A tensor's entry."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def make(tensors: dict, meta: dict, body: bytes = b"") -> bytes:
    """A blob of these tensors with this metadata."""
    return raw(js({**tensors, "__metadata__": {"janus": js(meta)}}).encode(), body)


def meta(segments: list, **more) -> dict:
    """Metadata of a record."""
    return {"format": 1, "id": "", "made_by": [], "segments": segments, **more}


TEXT_INFO = {"fingerprint": SHA, "tokenizer": "pocket"}
TEXT = {"0.text": entry("U16", [3], 0, 6)}
TEXT_BODY = struct.pack("<3H", 5, 0, 65535)


def text(**more) -> bytes:
    """A record of three text ids."""
    return make(TEXT, meta([TEXT_INFO], **more), TEXT_BODY)


def end(count: int) -> bytes:
    """An end record."""
    return make({}, {"end": {"count": count}, "format": 1})


def segment(modality: str, dtype: str, data: list, info: dict | None = None) -> dict:
    """What a reader must find in a segment; `data` as nested lists."""
    return {"modality": modality, "dtype": dtype, "data": data, "info": info or {}}


def record(*segments: dict, id: str = "", made_by: list | None = None, part: dict | None = None) -> dict:
    """What a reader must find in a record."""
    return {"segments": list(segments), "id": id, "made_by": made_by or [], "part": part}


THREE = segment("text", "uint16", [5, 0, 65535], TEXT_INFO)
PLAIN = record(THREE)
STEPS = [
    {"stage": "tokenize", "text": 'ein roter Apfel, 苹果 "\\\n'},
    {"stage": "generate", "seed": 7, "top_p": 0.9},
]
PART = {"index": 1, "last": False, "rows": [2, 4]}
TRACE = {"channels": 1, "num_samples": 3, "stride": 2, "tokenizer": "series"}
RATES = {"frame_rate": 50.0, "num_samples": 1900}
TILES = [
    [[[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]],
    [[[[12, 13, 14], [15, 16, 17]], [[18, 19, 20], [21, 22, 23]]]],
]
PIXEL = segment("pixels", "uint8", [[[[[1, 2, 3]]]]])
PAIR = segment("text", "uint16", [7, 8])
MIXED = {
    "0.pixels": entry("U8", [1, 1, 1, 1, 3], 12, 15),
    "1.text": entry("U16", [2], 8, 12),
    "2.waveform": entry("F32", [1, 2], 0, 8),
}
FOREIGN = {
    "__metadata__": {"tool": "x", "janus": '{ "segments": [{}], "format": 1 }'},
    "0.text": entry("U16", [1], 0, 2),
}

CANONICAL = {  # name: (bytes, the one record in it); writing that record gives the bytes again
    "text": (text(), PLAIN),
    "made-by": (text(id="äpfel-01", made_by=STEPS), record(THREE, id="äpfel-01", made_by=STEPS)),
    "empty-prompt": (
        make({"0.text": entry("U16", [0], 0, 0)}, meta([{}])),
        record(segment("text", "uint16", [])),
    ),
    "no-segments": (make({}, meta([])), record()),
    "image-u32": (
        make(
            {"0.image": entry("U32", [2, 2], 0, 16)}, meta([{"patch": 8}]), struct.pack("<4I", 1, 2, 3, 70000)
        ),
        record(segment("image", "uint32", [[1, 2], [3, 70000]], {"patch": 8})),
    ),
    "audio": (
        make({"0.audio": entry("U16", [2, 3], 0, 12)}, meta([RATES]), struct.pack("<6H", *range(6))),
        record(segment("audio", "uint16", [[0, 1, 2], [3, 4, 5]], RATES)),
    ),
    "series": (
        make(
            {"0.series": entry("F32", [2, 2], 0, 16)}, meta([TRACE]), struct.pack("<4f", 0.5, -1.0, 2.0, 2.0)
        ),
        record(segment("series", "float32", [[0.5, -1.0], [2.0, 2.0]], TRACE)),
    ),
    "part-of-pixels": (
        make({"0.pixels": entry("U8", [2, 1, 2, 2, 3], 0, 24)}, meta([{}], part=PART), bytes(range(24))),
        record(segment("pixels", "uint8", TILES), part=PART),
    ),
    "wide-items-first": (
        make(MIXED, meta([{}, {}, {"sample_rate": 24000}]), struct.pack("<2f2H3B", 0.5, -1.0, 7, 8, 1, 2, 3)),
        record(PIXEL, PAIR, segment("waveform", "float32", [[0.5, -1.0]], {"sample_rate": 24000})),
    ),
    "eleven-segments": (
        make(
            {f"{i}.text": entry("U16", [1], 2 * i, 2 * i + 2) for i in range(11)},
            meta([{}] * 11),
            struct.pack("<11H", *range(11)),
        ),
        record(*[segment("text", "uint16", [i]) for i in range(11)]),
    ),
}

VALID = {  # name: (bytes, the records in it); not canonical, or not one record
    "other-writer": (
        raw(json.dumps(FOREIGN, indent=1).encode(), b"\1\0"),
        [record(segment("text", "uint16", [1]))],
    ),
    "other-order": (
        make(
            {"0.pixels": entry("U8", [1, 1, 1, 1, 3], 0, 3), "1.text": entry("U16", [2], 3, 7)},
            meta([{}, {}]),
            struct.pack("<3B2H", 1, 2, 3, 7, 8),
        ),
        [record(PIXEL, PAIR)],
    ),
    "two-files": (text(id="a") + text(id="b"), [record(THREE, id="a"), record(THREE, id="b")]),
    "stream": (text(seq=0) + text(seq=1) + end(2), [PLAIN, PLAIN]),
    "stream-of-none": (end(0), []),
    "streams": (
        text(seq=0) + end(1) + end(0) + text(id="plain") + text(seq=0) + end(1),
        [PLAIN, record(THREE, id="plain"), PLAIN],
    ),
}


def wrong(tensors: dict, body: bytes = b"", **changes) -> bytes:
    """A record with one thing wrong in its tensors or metadata."""
    return make(tensors, {**meta([{}] * len(tensors)), **changes}, body)


def four(dtype="U16", shape=(2,), offsets=(0, 4), name="0.text", body: bytes = b"abcd") -> bytes:
    """A record of one four-byte tensor, with something wrong in its entry."""
    return wrong({name: {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, body)


MODEL = {"weight": entry("BF16", [2], 0, 4), "__metadata__": {"format": "pt"}}
HUGE = entry("U8", [1, 1, 16384, 16384, 3], 0, 3 << 28)

INVALID = {  # name: (bytes, a piece of what the error must say)
    "empty": (b"", "empty"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "a PNG picture"),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0\1", "a JPEG picture"),
    "webp": (b"RIFF\x1a\0\0\0WEBPVP8L", "a WebP picture"),
    "wav": (b"RIFF\x24\0\0\0WAVEfmt ", "a WAV sound"),
    "npy": (b"\x93NUMPY\x01\0v\0{'descr'", "an npy array"),
    "gzip": (b"\x1f\x8b\x08\0\0\0\0\0\0\3\3\0\0\0", "gzip"),
    "plain-text": ("ein roter Apfel, 苹果\n".encode(), "this is text"),
    "json-text": (b'{"0.text": [1, 2, 3]}\n', "this is text"),
    "zeros": (bytes(64), "not a token record"),
    "model": (raw(js(MODEL).encode(), b"abcd"), "an ordinary safetensors file"),
    "cut-in-length": (text()[:5], "truncated"),
    "cut-in-header": (text()[:100], "truncated"),
    "cut-in-body": (text()[:-1], "truncated"),
    "trailing-newline": (text() + b"\n", "after record 1"),
    "header-too-long": (struct.pack("<Q", 1 << 30) + b"{" + b" " * 64, "1,073,741,824"),
    "body-too-long": (wrong({"0.pixels": entry("U8", [1 << 16, 1 << 16, 1, 1, 3], 0, 3 << 32)}), "0.pixels"),
    "lying-body": (wrong({"0.pixels": HUGE}, b"abc"), "truncated"),
    "no-json": (raw(b'{"0.text":'), "no JSON"),
    "header-no-object": (raw(b"[1, 2]"), "not a token record"),
    "twice-a-key": (raw(b'{"__metadata__":{"janus":"{}"},"__metadata__":{"janus":"{}"}}'), "twice"),
    "deep-json": (raw(b'{"a":' + b"[" * 3000), "no JSON"),
    "metadata-no-object": (raw(b'{"__metadata__":{"janus":"[]"}}'), "no JSON object"),
    "metadata-nan": (raw(b'{"__metadata__":{"janus":"{\\"format\\":1,\\"id\\":NaN}"}}'), "JSON"),
    "surrogate": (raw(b'{"__metadata__":{"janus":"{\\"format\\":1,\\"id\\":\\"\\\\ud800\\"}"}}'), "JSON"),
    "format-2": (wrong({}, format=2), "format 2"),
    "format-missing": (make({}, {"segments": []}), "format"),
    "unknown-key": (wrong({}, colour="red"), "'colour'"),
    "id-no-text": (wrong({}, id=7), "'id'"),
    "made-by-no-list": (wrong({}, made_by={}), "'made_by'"),
    "made-by-no-objects": (wrong({}, made_by=["generate"]), "made_by"),
    "infos-missing": (wrong(TEXT, TEXT_BODY, segments=[]), "segments"),
    "part-backwards": (wrong(TEXT, TEXT_BODY, part={"index": 0, "last": True, "rows": [4, 2]}), "part"),
    "part-incomplete": (wrong(TEXT, TEXT_BODY, part={"index": 0}), "part"),
    "name-gap": (four(name="1.text"), "1.text"),
    "name-without-modality": (four(name="0"), "modality"),
    "name-not-decimal": (four(name="00.text"), "00.text"),
    "unknown-modality": (four(name="0.video"), "'video'"),
    "modality-upper-case": (four(name="0.Series"), "'Series'"),
    "series-ids": (four(name="0.series", shape=[1, 2]), "series segment: dtype U16"),
    "series-flat": (four("F32", [1], name="0.series"), "series segment: shape [1]"),
    "series-empty": (four("F32", [0, 2], [0, 0], "0.series", b""), "series segment: shape [0, 2]"),
    "series-infinite": (four("F32", [1, 1], name="0.series", body=b"\0\0\x80\x7f"), "series segment"),
    "dtype-i64": (four("I64", [1], [0, 8], body=b"abcdefgh"), "I64"),
    "dtype-of-another": (four("F32", [1]), "F32"),
    "rank": (four(shape=[1, 2]), "[1, 2]"),
    "empty-image": (four(name="0.image", shape=[0, 5], offsets=[0, 0], body=b""), "image"),
    "pixels-not-square": (four("U8", [1, 1, 2, 1, 3], [0, 6], "0.pixels", b"abcdef"), "pixels"),
    "waveform-nan": (four("F32", [1, 1], name="0.waveform", body=b"\0\0\xc0\x7f"), "waveform"),
    "shape-negative": (four(shape=[-2]), "[-2]"),
    "shape-fraction": (four(shape=[2.0]), "[2.0]"),
    "shape-no-list": (four(shape=2), "0.text"),
    "offsets-no-list": (four(offsets=4), "0.text"),
    "offsets-short": (four(shape=[3]), "0.text"),
    "many-axes": (four(shape=[1] * 9), "0.text"),
    "hole": (
        wrong({"0.text": entry("U16", [1], 0, 2), "1.text": entry("U16", [1], 4, 6)}, b"abcdef"),
        "hole",
    ),
    "overlap": (
        wrong({"0.text": entry("U16", [2], 0, 4), "1.text": entry("U16", [2], 2, 6)}, b"abcdef"),
        "overlap",
    ),
    "no-end-record": (text(seq=0) + text(seq=1), "stopped after 2"),
    "no-end-before-next": (text(seq=0) + text(seq=0) + end(1), "stopped after 1"),
    "no-end-before-plain": (text(seq=0) + text(), "stopped after 1"),
    "missing-number": (text(seq=0) + text(seq=2) + end(2), "number 2"),
    "missing-start": (text(seq=1) + end(2), "number 1"),
    "wrong-count": (text(seq=0) + end(3), "1 of its 3"),
    "end-alone": (end(3), "0 of its 3"),
    "end-with-tensor": (make(TEXT, {"end": {"count": 0}, "format": 1}, TEXT_BODY), "1 tensors"),
    "end-without-count": (make({}, {"end": {}, "format": 1}), "end record"),
}


def main() -> None:
    """Write every file and the manifest, and remove files that are no longer described."""
    manifest: dict = {"canonical": {}, "valid": {}, "invalid": {}}
    for name, (data, found) in CANONICAL.items():
        (HERE / f"{name}.safetensors").write_bytes(data)
        manifest["canonical"][name] = [found]
    for name, (data, records) in VALID.items():
        (HERE / f"{name}.safetensors").write_bytes(data)
        manifest["valid"][name] = records
    for name, (data, message) in INVALID.items():
        (HERE / f"bad-{name}.safetensors").write_bytes(data)
        manifest["invalid"][f"bad-{name}"] = message
    for path in HERE.glob("*.safetensors"):
        if not any(path.stem in kind for kind in manifest.values()):
            path.unlink()
    (HERE / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
