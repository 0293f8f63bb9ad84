"""`--best-of` in the commands: which seeds are drawn, what is kept and said of them, what goes with it."""

import json
from pathlib import Path

import pytest
from helpers.runs import no_traceback, pixels, records
from helpers.sounds import file_bytes, tone
from PIL import Image


def facts(done) -> list[dict]:
    """The lines of JSON that a command wrote."""
    return [json.loads(line) for line in done.text.splitlines()]


def test_each_picture_is_the_best_of_seeds_of_its_own(janus, senses):
    done = janus("draw", "a red apple", "-n", "2", "--best-of", "3", "--seed", "5", "--json", "-o", "best/")
    assert done.code == 0, done.err
    pictures = facts(done)
    assert [[c["seed"] for c in p["candidates"]] for p in pictures] == [[5, 6, 7], [8, 9, 10]]
    assert [p["index"] for p in pictures] == [0, 1]
    for picture in pictures:
        best = max(picture["candidates"], key=lambda c: c["score"])
        assert (picture["seed"], picture["score"]) == (best["seed"], best["score"])
        assert picture["chosen_by"] == "pocket" and all(c["score"] < 0 for c in picture["candidates"])
    assert len({c["score"] for p in pictures for c in p["candidates"]}) > 3


def test_the_one_that_is_kept_is_what_its_seed_draws(janus, senses):
    [kept] = facts(janus("draw", "a red apple", "--best-of", "4", "--json", "-o", "best.png"))
    janus("draw", "a red apple", "--seed", str(kept["seed"]), "-o", "alone.png")
    assert (pixels("best.png") == pixels("alone.png")).all()
    known = json.loads(janus("info", "best.png", "--json").text)
    assert (known["seed"], known["tokens"]) == (kept["seed"], kept["tokens"])
    step = next(step for step in known["made_by"] if step["stage"] == "choose")
    assert step["candidates"] == [[c["seed"], c["score"]] for c in kept["candidates"]]
    assert (step["model"], step["score"]) == ("pocket", kept["score"])


def test_neither_batches_nor_other_prompts_change_the_choice(janus, senses):
    janus("draw", "a", "a red apple", "-n", "2", "--best-of", "3", "--batch-size", "4", "-o", "together/")
    janus("draw", "a red apple", "-n", "2", "--best-of", "3", "--batch-size", "1", "-o", "alone/")
    made = sorted(Path("alone").iterdir())
    assert [path.name for path in made] == ["a-red-apple-1.png", "a-red-apple.png"]
    for path in made:
        assert path.read_bytes() == Path("together", path.name).read_bytes()


def test_it_says_what_was_chosen(janus, senses):
    done = janus("draw", "a red apple", "-n", "2", "--best-of", "3", "-o", "{prompt}-{seed}.png")
    assert sorted(p.name for p in Path().glob("*.png")) == ["a-red-apple-0.png", "a-red-apple-3.png"]
    lines = [
        line for line in done.err.splitlines() if "is the best of 3: pocket sees 'a red apple' in" in line
    ]
    assert len(lines) == 2 and all(" %, in the others " in line for line in lines)
    assert "janus: 2 pictures, the best of seeds 0 to 5, 96 tokens in" in done.err
    alike = janus("draw", "a red apple", "--best-of", "3", "--temperature", "1e-6", "-o", "alike.png")
    assert "janus: 3 seeds drew one picture, pocket sees 'a red apple' in it at" in alike.err
    quiet = janus("draw", "a red apple", "--best-of", "3", "-q", "-o", "quiet.png")
    assert (quiet.code, quiet.err) == (0, "")


def test_lines_of_standard_input_say_their_own_seeds(janus, senses):
    lines = b'a red apple\n{"prompt": "a", "seed": 7, "n": 2}\n'
    made = facts(janus("draw", "--stdin", "--best-of", "2", "--json", stdin=lines))
    assert [[c["seed"] for c in picture["candidates"]] for picture in made] == [[0, 1], [7, 8], [9, 10]]
    assert [(p["path"], p["index"]) for p in made] == [
        ("a-red-apple.png", 0),
        ("a.png", 0),
        ("a-1.png", 1),
    ]


def test_what_exists_is_passed_over_and_moves_no_seed(janus, senses):
    command = ("draw", "a red apple", "-n", "3", "--best-of", "2", "-o", "out/{prompt}-{index}.png", "--json")
    Path("out").mkdir()
    whole = facts(janus(*command))
    Path("out/a-red-apple-1.png").unlink()
    [again] = facts(done := janus(*command, "--skip-existing"))
    assert "2 pictures passed over" in done.err
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in whole[1].items() if k != "seconds"
    }


@pytest.mark.parametrize("size", ["128", "160x128"])
def test_watching_shows_the_one_that_is_kept(janus, senses, size):
    command = ("draw", "a red apple", "--best-of", "3", "--frames", "frames", "--animation", "a.apng")
    done = janus(*command, "--size", size, "-o", "a.png")
    assert done.code == 0, done.err
    states = sorted(Path("frames").iterdir())
    assert len(states) > 1 and Image.open("a.apng").n_frames > 1
    assert (pixels(states[-1]) == pixels("a.png")).all()


def test_the_pipe_chooses_as_draw_does(janus, senses):
    [kept] = facts(janus("draw", "a red apple", "--best-of", "3", "--json", "-o", "a.png"))
    prompt = janus("tokenize", "text", "a red apple").out
    done = janus("generate", "--best-of", "3", "-n", "2", stdin=prompt)
    assert done.code == 0, done.err
    assert done.err.count("is the best of 3: pocket sees") == 2 and "the best of seeds 0 to 5" in done.err
    first, second = records(done.out)
    assert (first.step("generate")["seed"], first.step("generate")["index"]) == (kept["seed"], 0)
    assert second.step("generate")["index"] == 1 and 3 <= second.step("generate")["seed"] < 6
    assert first.step("choose")["candidates"] == [[c["seed"], c["score"]] for c in kept["candidates"]]
    piped = janus("denoise", stdin=done.out)
    assert piped.code == 0 and len(records(piped.out)) == 2


def test_a_choice_of_long_ago_is_not_told_again(janus, senses):
    chosen = janus("generate", "--best-of", "2", stdin=janus("tokenize", "text", "a red apple").out).out
    done = janus("generate", "--to", "text", "--max-tokens", "3", stdin=chosen)
    assert done.code == 0 and "the best of" not in done.err
    [again] = records(janus("generate", "--best-of", "3", "--seed", "4", stdin=chosen).out)
    numbers = [step["index"] for step in again.made_by if step["stage"] == "generate"]
    assert numbers == [0, 0] and len(again.step("choose")["candidates"]) == 3


def test_a_folder_of_records_is_filled_and_gone_on_with(janus, senses):
    janus("tokenize", "text", "a red apple", "-o", "t.safetensors")
    command = ("generate", "t.safetensors", "-n", "2", "--best-of", "2", "-o", "out/")
    assert janus(*command).code == 0
    files = sorted(Path("out").iterdir())
    before = {file.name: file.read_bytes() for file in files}
    files[1].unlink()
    assert janus(*command, "--skip-existing").code == 0
    assert {file.name: file.read_bytes() for file in Path("out").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["draw", "a", "--best-of", "4", "--temperature", "0"], "all seeds give one picture"),
        (["draw", "a", "--best-of", "0"], "greater than or equal to 1"),
        (["draw", "a", "-n", "50000", "--best-of", "4", "-o", "x/"], "200000 outputs of one prompt"),
        (["generate", "--best-of", "4", "--stream"], "which picture is best is known at the end"),
        (["generate", "--best-of", "4", "--to", "text"], "--best-of is for pictures: no text"),
        (["generate", "--best-of", "4", "--to", "audio"], "--best-of is for pictures: no audio"),
    ],
)
def test_what_cannot_be_chosen_is_said_before_drawing(janus, senses, arguments, complaint):
    done = janus(*arguments)
    assert done.code == 2 and complaint in done.err and no_traceback(done) and done.out == b""
    assert list(Path().iterdir()) == []


def test_a_model_without_eyes_borrows_them_or_says_so(janus, tiny_model, tiny_any, tmp_path, monkeypatch):
    zoo = tmp_path / "zoo"
    zoo.mkdir()
    (zoo / "pocket").symlink_to(tiny_model)
    monkeypatch.setenv("JANUS_MODELS", str(zoo))
    monkeypatch.setattr("janus_cli.zoo.SENSES", "nobody")
    done = janus("draw", "a", "--best-of", "2")
    assert done.code == 2 and no_traceback(done)
    assert "model pocket does not see, and nobody, whose eyes it would choose with, is not here" in done.err
    monkeypatch.setattr("janus_cli.zoo.SENSES", "pocket")
    done = janus("draw", "a", "--best-of", "2")
    assert done.code == 2 and "neither pocket nor pocket sees" in done.err
    (zoo / "eyes").symlink_to(tiny_any)
    monkeypatch.setattr("janus_cli.zoo.SENSES", "eyes")
    [kept] = facts(janus("draw", "a", "--best-of", "2", "--json"))
    assert kept["model"] == "pocket" and kept["chosen_by"] == "eyes"


def test_a_prompt_without_words_is_refused_and_one_that_is_heard_has_some(janus, senses):
    picture = janus("draw", "a red apple", "--scale", "1", "-o", "-").out
    prompt = janus("tokenize", "image", "-", stdin=picture).out
    done = janus("generate", "--best-of", "2", "--direct", stdin=prompt)
    assert done.code == 2 and "the record says no words" in done.err and no_traceback(done)
    sound = janus("tokenize", "audio", "-", stdin=file_bytes(tone(0.5, 16000), 16000)).out
    done = janus("generate", "--best-of", "2", stdin=sound)
    assert done.code == 0, done.err
    [record] = records(done.out)
    assert record.step("choose")["wording"] == record.step("generate")["words"].strip(" ,.!?").casefold()
