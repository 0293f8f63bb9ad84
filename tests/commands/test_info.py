"""`janus info` and `janus models`: tables and JSON of token files, streams, pictures and models."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import no_traceback
from helpers.sounds import file_bytes, sound_bytes, tone
from helpers.strategies import JSON, TEXT, array
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from janus_cli.media.picture_formats import FORMATS
from janus_cli.media.sounds import Sound
from janus_cli.records import Record, Segment, dumps, loads
from janus_cli.shell.facts import describe_record
from janus_cli.shell.tables import format_facts


def test_table_of_a_record(janus):
    janus("tokenize", "text", "a red apple", "-o", "a.safetensors")
    lines = janus("info", "a.safetensors").text.splitlines()
    assert lines[0] == "a.safetensors  record 0  id '0'"
    assert lines[1].split() == ["modality", "shape", "dtype", "values", "tokenizer", "fingerprint"]
    assert lines[2].split()[:4] == ["0", "text", "3", "uint16"]
    assert lines[3] == '  tokenize  modality="text" text="a red apple"'


def test_strange_words_do_nothing_to_the_terminal(janus):
    janus("tokenize", "text", "-o", "a.safetensors", stdin=b"a\x1b[31m\x07b")
    text = janus("info", "a.safetensors").text
    assert "\x1b" not in text and "\x07" not in text and "u001b[31m" in text


HOSTILE = {
    "words for numbers": {"shape": 3, "range": "far", "modality": None, "dtype": [], "seconds": "1"},
    "too large for a float": {"sample_rate": 10**400, "num_samples": 10**401, "frame_rate": 10**400},
    "no numbers": {"sample_rate": "x", "num_samples": {}, "frame_rate": [None], "tokenizer": {}},
    "a length past all floats": {"sample_rate": 5e-324, "num_samples": 10**300},
    "below nothing": {"sample_rate": 8000, "num_samples": -1, "frame_rate": -0.0},
}


@pytest.mark.parametrize("info", HOSTILE.values(), ids=HOSTILE)
def test_hostile_metadata_are_shown(janus, info):
    segments = (
        Segment("waveform", np.zeros((1, 4), np.float32), info),
        Segment("audio", np.zeros((2, 4), np.uint16), info),
    )
    data = dumps(Record(segments))
    done = janus("info", stdin=data)
    assert done.code == 0 and not done.err and "waveform  1x4    float32" in done.text
    (sound, codes) = json.loads(janus("info", "--json", stdin=data).text)["segments"]
    assert (sound["shape"], codes["shape"], codes["range"]) == ([1, 4], [2, 4], [0, 0])
    assert "seconds" not in sound | codes


@given(st.data())
def test_whatever_the_reader_takes_is_shown(data):
    words = st.sampled_from(
        [
            "shape",
            "range",
            "seconds",
            "sample_rate",
            "num_samples",
            "frame_rate",
            "size",
            "tokenizer",
            "fingerprint",
            "stage",
            "modality",
            "dtype",
        ]
    )
    numbers = st.sampled_from([0, -1, 10**400, 5e-324, 1.7e308, True])
    info = st.dictionaries(words | TEXT, numbers | JSON, max_size=6)
    modality = st.sampled_from(["text", "image", "audio", "pixels", "waveform", "series"])
    segment = modality.flatmap(lambda m: st.builds(Segment, st.just(m), array(m), info))
    made = st.builds(Record, st.lists(segment, max_size=3).map(tuple), TEXT, st.lists(info).map(tuple))
    record = loads(dumps(data.draw(made)), typed=False)
    facts = {"kind": "record", "file": "-", "number": 0, **describe_record(record)}
    assert len(format_facts(facts)) > len(record.segments)
    assert json.loads(json.dumps(facts, allow_nan=False))["id"] == record.id


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ({"janus": 5}, "says nothing"),
        ({"prompt": ["a"]}, "says nothing"),
        ({"janus": "[" * 1500}, "damaged"),
        ({"janus": '{"seed": 1e999}'}, "damaged"),
        ({"janus": r'{"model": "\ud800"}'}, "damaged"),
        ({"janus": '{"made_by": 3}'}, "damaged"),
        ({"janus": '{"sample_rate": "x"}'}, "1.00 s  4 Hz"),
    ],
)
def test_hostile_comments_of_sounds(janus, texts, says):
    Path("a.wav").write_bytes(sound_bytes(Sound(4, 1, 4, [np.zeros((1, 4), np.float32)]), "wav", texts))
    done = janus("info", "a.wav")
    assert says in done.text + done.err and no_traceback(done) and done.code == ("damaged" in says)


def test_records_of_a_folder_and_a_shard_are_named(janus):
    janus("tokenize", "text", "a", "b", "-o", "some/")
    janus("tokenize", "text", "a", "b", "-o", "some.tar")
    for inputs, places in (
        ("some", ["some/0.safetensors", "some/1.safetensors"]),
        ("some.tar", ["some.tar:0.safetensors", "some.tar:1.safetensors"]),
    ):
        lines = janus("info", "--json", inputs).text.splitlines()
        assert [json.loads(line)["file"] for line in lines] == places


def test_stream_as_json(janus):
    tokens = janus("tokenize", "text", "a red apple", "b").out
    facts = [json.loads(line) for line in janus("info", "--json", stdin=tokens).text.splitlines()]
    assert [f["number"] for f in facts] == [0, 1]
    assert facts[0]["segments"][0]["shape"] == [3] and len(facts[0]["segments"][0]["fingerprint"]) == 64
    assert facts[0]["segments"][0]["range"][1] < 300


def test_model(janus, tiny_model):
    text = janus("info", "pocket").text
    assert text.startswith(f"pocket  model at {tiny_model}")
    facts = json.loads(janus("info", "--json", str(tiny_model)).text)
    assert facts["parameters"] == sum(p["parameters"] for p in facts["components"].values()) > 10_000
    assert facts["grid"] == [4, 4] and len(facts["codebook_fingerprint"]) == 64


def test_model_in_the_making(janus):
    Path("half").mkdir()
    Path("half/config.json").write_text('{"name": "half", "dvae": {}}')
    assert "missing: dvae.safetensors" in janus("info", "./half").text
    done = janus("models", "verify", "half")
    assert done.code == 1 and "half lacks half/dvae.safetensors" in done.err
    assert "half has no decoder" in janus("draw", "a", "-m", "half").err


@pytest.mark.parametrize("word", sorted({format.several for format in FORMATS} - {""}))
def test_how_many_pictures_a_file_holds_is_told_in_its_formats_word(word):
    facts = {"kind": "picture", "file": "a", "width": 2, "height": 1, word: 3}
    assert format_facts(facts)[0] == f"a  picture 2x1, 3 {word}"


def test_foreign_picture(janus):
    Image.new("RGB", (30, 20)).save("a.jpg")
    assert janus("info", "a.jpg").text == "a.jpg  picture 30x20\n  says nothing of how it was made\n"


@pytest.mark.parametrize(
    ("format", "suffix"),
    [("AU", "au"), ("CAF", "caf"), ("W64", "w64"), ("RF64", "rf64"), ("AIFF", "aif"), ("OGG", "oga")],
)
def test_foreign_sounds(janus, format, suffix):
    Path(f"a.{suffix}").write_bytes(file_bytes(tone(0.5, 8000, 2), 8000, format))
    done = janus("info", f"a.{suffix}")
    assert done.code == 0 and f"a.{suffix}  sound 0.5" in done.text, done.err
    assert f"8000 Hz  2 channels  {format}" in done.text


def test_damaged_parameters(janus):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("janus", "{")
    Image.new("RGB", (8, 8)).save("a.png", pnginfo=info)
    done = janus("info", "a.png")
    assert done.code == 1 and "parameters are damaged" in done.err


def test_the_rest_is_shown_when_one_fails(janus):
    janus("tokenize", "text", "a", "-o", "a.safetensors")
    done = janus("info", "missing.png", "a.safetensors", "pocket")
    assert done.code == 3 and "missing.png: no such file" in done.err
    assert "record 0" in done.text and "model at" in done.text


@pytest.mark.parametrize("command", [["models", "list"], ["models", "show"], ["models", "verify", "pocket"]])
def test_models(janus, command):
    done = janus(*command)
    assert done.code == 0 and "pocket" in done.text and "refiner" in done.text


def test_models_as_json(janus):
    listed = [json.loads(line) for line in janus("models", "list", "--json").text.splitlines()]
    assert listed[0] == json.loads(janus("models", "show", "pocket", "--json").text)


def test_verify_names_what_does_not_fit(janus, tiny_model):
    Path("bad").mkdir()
    for file in tiny_model.iterdir():
        Path("bad", file.name).write_bytes(file.read_bytes())
    data = Path("bad/refiner.safetensors").read_bytes()
    Path("bad/refiner.safetensors").write_bytes(data[:-40])
    done = janus("models", "verify", "bad")
    assert done.code == 3 and "bad/refiner.safetensors" in done.err and "decoder: ok" in done.text
