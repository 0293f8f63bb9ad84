"""`janus info` and `janus models`: tables and JSON of token files, streams, pictures and models."""

import json
from pathlib import Path

import pytest
from PIL import Image


def test_table_of_a_record(janus):
    janus("tokenize", "text", "a red apple", "-o", "a.safetensors")
    lines = janus("info", "a.safetensors").text.splitlines()
    assert lines[0] == "a.safetensors  record 0  id '0'"
    assert lines[1].split() == ["modality", "shape", "dtype", "values", "tokenizer", "fingerprint"]
    assert lines[2].split()[:4] == ["0", "text", "3", "uint16"]
    assert lines[3] == '  tokenize  modality="text" text="a red apple"'


def test_strange_words_do_nothing_to_the_terminal(janus):
    janus("tokenize", "text", "a\x1b[31m\x07b", "-o", "a.safetensors")
    text = janus("info", "a.safetensors").text
    assert "\x1b" not in text and "\x07" not in text and "u001b[31m" in text


def test_records_of_a_folder_and_a_shard_are_named(janus):
    janus("tokenize", "text", "a", "b", "-o", "some/")
    janus("tokenize", "text", "a", "b", "-o", "some.tar")
    for inputs, places in (("some", ["some/0.safetensors", "some/1.safetensors"]),
                           ("some.tar", ["some.tar:0.safetensors", "some.tar:1.safetensors"])):
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


def test_foreign_picture(janus):
    Image.new("RGB", (30, 20)).save("a.jpg")
    assert janus("info", "a.jpg").text == "a.jpg  picture 30x20\n  says nothing of how it was made\n"


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
