"""Text to tokens and back."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from janus_cli.errors import MediaError, ModelError, RecordError
from janus_cli.records import Segment
from janus_cli.stages.text import TextTokenizer


@pytest.fixture(scope="module")
def text(tiny_model):
    return TextTokenizer(tiny_model / "tokenizer.json", "pocket")


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back(text, words):
    assert text.decode(text.encode(words).segments[0]) == words


def test_known_answer(text):
    [segment] = text.encode("a red apple", "x").segments
    assert [text.decode(Segment("text", segment.data[i : i + 1])) for i in range(3)] == [
        "a",
        " red",
        " apple",
    ]
    assert segment.data.dtype == np.uint16 and segment.info["fingerprint"] == text.fingerprint


def test_special_tokens_are_kept(text):
    assert text.decode(Segment("text", np.array([0], np.uint16))) == "<|end|>"


def test_lone_surrogates_are_no_text(text):
    with pytest.raises(MediaError, match="not valid UTF-8 at character 1"):
        text.encode("a\ud800")


def test_foreign_tokens(text):
    with pytest.raises(ModelError, match="tokenized by other .abab.*this is pocket"):
        text.decode(Segment("text", np.zeros(1, np.uint16), {"tokenizer": "other", "fingerprint": "ab" * 32}))
    with pytest.raises(RecordError, match="out of range"):
        text.decode(Segment("text", np.array([9999], np.uint16)))
    with pytest.raises(RecordError, match="expected a text segment"):
        text.decode(Segment("image", np.zeros((1, 1), np.uint16)))


def test_what_is_no_tokenizer(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        TextTokenizer(tmp_path / "t.json", "t")
    (tmp_path / "t.json").write_text('{"model": 3}')
    with pytest.raises(ModelError, match=r"t.json: not a tokenizer.json"):
        TextTokenizer(tmp_path / "t.json", "t")


def test_letters_that_are_added_tokens_come_back(tmp_path, tiny_model):
    """Those of DeepSeek's tokenizers: the library's decoder takes them for the symbols of bytes."""
    library = Tokenizer.from_file(str(tiny_model / "tokenizer.json"))
    library.add_tokens([AddedToken(letter, normalized=True, special=False) for letter in "öü"])
    library.save(str(tmp_path / "tokenizer.json"))
    text = TextTokenizer(tmp_path / "tokenizer.json", "x")
    words = "Käse für Jörg üü一"
    [segment] = text.encode(words).segments
    assert text.decode(segment) == words == text.spell([*segment.data.tolist(), text.find_id("<|end|>")])
    assert "\ufffd" in library.decode(segment.data.tolist())  # or the detour is not needed any more


def test_a_panic_is_one_line(tmp_path, tiny_model, capfd):
    """Of the library, whose language writes a trace of it past Python."""
    library = json.loads((tiny_model / "tokenizer.json").read_text("utf-8"))
    library["truncation"] = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 5}
    (tmp_path / "tokenizer.json").write_text(json.dumps(library))
    text = TextTokenizer(tmp_path / "tokenizer.json", "x")
    with pytest.raises(ModelError, match=r"^x: its tokenizer.json cannot encode this text .*stride"):
        text.encode("a red apple")
    assert capfd.readouterr() == ("", "")
