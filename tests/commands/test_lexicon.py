"""Everyday words in the commands: what is drawn, and what is said of it."""

import json
from pathlib import Path

import pytest
from helpers.runs import records

from janus_cli.records import dumps

LEXICON = {
    "en": {"names": ["automobile", "dog"], "words": {"car": {"0": 4.0}, "puppy": {"1": 2.0}}},
    "de": {"names": ["Auto", "Hund"], "words": {"wagen": {"0": 2.0}}},
}


@pytest.fixture
def worded(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny model with a lexicon, as the one called `worded`."""
    folder = tmp_path / "models" / "worded"
    folder.mkdir(parents=True)
    for file in tiny_model.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "lexicon.json").write_text(json.dumps(LEXICON))
    monkeypatch.chdir(tmp_path)
    return folder


def learn(folder: Path, length: int) -> None:
    """Let the model say how long the captions were that it learned."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").unlink()
    config["generation"]["caption"] = length
    (folder / "config.json").write_text(json.dumps(config))


def test_a_word_is_drawn_by_its_name_and_said(janus, worded):
    done = janus("draw", "a car", "-m", str(worded), "-o", "a.png")
    assert done.code == 0 and "janus: 'car' → 'automobile'\n" in done.err
    assert janus("draw", "an automobile", "-m", str(worded), "-o", "b.png").code == 0
    tokens = [json.loads(janus("info", f"{name}.png", "--json").out) for name in "ab"]
    assert tokens[0]["tokens"] == tokens[1]["tokens"]
    step = next(step for step in tokens[0]["made_by"] if step["stage"] == "interpret")
    assert step["changes"] == [["car", "automobile"]] and step["text"] == "an automobile"
    assert json.loads(janus("info", "a.png", "--json").out)["prompt"] == "a car"  # what the user said


def test_literal_takes_the_words_as_they_are(janus, worded):
    done = janus("draw", "a car", "--literal", "-m", str(worded), "-o", "a.png")
    assert done.code == 0 and "automobile" not in done.err
    made = json.loads(janus("info", "a.png", "--json").out)["made_by"]
    assert not any(step["stage"] == "interpret" for step in made)


def test_the_pipe_reads_as_draw_does_and_tokens_come_back_word_by_word(janus, worded):
    tokens = janus("tokenize", "text", "ein Wagen", "-m", str(worded)).out
    assert janus("decode", "-m", str(worded), stdin=tokens).text == "ein Wagen\n"
    done = janus("generate", "-m", str(worded), stdin=tokens)
    assert done.code == 0 and "'Wagen' → 'Auto'" in done.err
    [record] = records(done.out)
    assert record.prompt == "ein Wagen" and record.step("interpret")["text"] == "ein Auto"
    assert "Auto" not in janus("generate", "--literal", "-m", str(worded), stdin=tokens).err
    assert "→" not in janus("generate", "-q", "-m", str(worded), stdin=tokens).err


def test_nothing_known_is_said_with_the_nearest(janus, worded):
    done = janus("draw", "a pupy", "qwer", "-m", str(worded), "-o", "{prompt}.png")
    assert done.code == 0
    assert "nothing in 'a pupy' is known to pocket, so anything may come out: the nearest: dog; " in done.err
    assert (
        "nothing in 'qwer' is known to pocket, so anything may come out: janus models show pocket --words"
        in done.err
    )


def test_what_is_longer_than_a_learned_caption_is_said(janus, worded):
    learn(worded, 3)
    done = janus("draw", "a dog and a dog and a dog", "-m", str(worded), "-o", "a.png")
    assert done.code == 0 and "pocket learned shorter prompts than 'a dog and a dog and a dog'" in done.err


def test_the_words_of_a_model_are_listed(janus, worded):
    listed = janus("models", "show", str(worded), "--words").text.splitlines()
    assert "en  car  →  automobile" in listed and "en  dog" in listed and "de  hund" in listed
    found = janus("models", "show", str(worded), "upp", "--words", "--json").text.splitlines()
    assert [json.loads(line) for line in found] == [{"language": "en", "word": "puppy", "name": "dog"}]


@pytest.mark.parametrize(
    ("args", "code", "fault"),
    [
        (["zebra", "--words"], 1, "knows no word with 'zebra'"),
        (["dog"], 2, "a pattern goes with --words"),
    ],
)
def test_what_cannot_be_listed_is_a_line(janus, worded, args, code, fault):
    done = janus("models", "show", str(worded), *args)
    assert done.code == code and fault in done.err and done.err.count("\n") == 1


def test_a_model_without_a_lexicon_and_one_that_is_damaged(janus, worded):
    (worded / "lexicon.json").write_text("[]")
    for args in (["draw", "a car", "-m", str(worded)], ["models", "show", str(worded), "--words"]):
        done = janus(*args)
        assert done.code == 1 and "lexicon.json: not a lexicon" in done.err
    (worded / "lexicon.json").unlink()
    assert janus("draw", "a car", "-m", str(worded)).code == 0
    assert "has no lexicon.json" in janus("models", "show", str(worded), "--words").err


def test_what_is_said_is_of_this_reading_alone(janus, worded):
    tokens = janus("tokenize", "text", "a car", "-m", str(worded)).out
    made = janus("generate", "-m", str(worded), stdin=tokens).out
    assert "→" not in janus("generate", "-m", str(worded), stdin=made).err
    [record] = records(tokens)
    for odd in ({"changes": 5}, {"near": 5}, {"beyond": 5}, {"changes": [[1]]}):
        strange = dumps(record.with_step("interpret", **odd))
        done = janus("generate", "--literal", "-m", str(worded), stdin=strange)
        assert done.code == 0 and "→" not in done.err
