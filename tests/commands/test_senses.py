"""`janus describe`, `speak`, `transcribe`, and pipes from any modality to any, on a tiny model."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.runs import no_traceback
from helpers.sounds import file_bytes, tone
from PIL import Image

from janus_cli import pipeline
from janus_cli.records import Record, dumps, read_stream
from janus_cli.shell.console import escape


@pytest.fixture
def media(senses):
    """A picture, another, and a sound of half a second."""
    pixels = np.random.default_rng(3).integers(0, 255, (2, 30, 50, 3), np.uint8)
    for name, picture in zip(("cat.png", "dog.png"), pixels, strict=True):
        Image.fromarray(picture).save(senses / name)
    (senses / "say.wav").write_bytes(file_bytes(tone(0.5, 16000), 16000))
    return senses


def one(data: bytes) -> Record:
    return next(read_stream(io.BytesIO(data)))


# ---- pictures and sounds into words


@pytest.mark.parametrize(
    ("command", "names"), [("describe", ["cat.png", "dog.png"]), ("transcribe", ["say.wav", "say.wav"])]
)
def test_a_line_for_each_file_as_grep_names_them(janus, media, command, names):
    alone = janus(command, names[0])
    assert alone.code == 0, alone.err
    assert alone.text.endswith("\n") and alone.text.count("\n") == 1 and not alone.text.startswith(names[0])
    lines = janus(command, *names).text.splitlines()
    assert [line.split(": ")[0] for line in lines] == names
    assert lines[0] == f"{names[0]}: {alone.text}".removesuffix("\n")
    facts = [json.loads(line) for line in janus(command, "--json", *names).text.splitlines()]
    assert [f["file"] for f in facts] == names
    assert facts[0] == {"file": names[0], "text": alone.text.removesuffix("\n"), "model": "pocket-any"}
    piped = janus(command, "-", stdin=(media / names[0]).read_bytes())
    assert (piped.code, piped.out) == (0, alone.out)


@pytest.mark.parametrize("command", ["describe", "transcribe"])
def test_what_cannot_be_read_is_counted(janus, media, command):
    good = "cat.png" if command == "describe" else "say.wav"
    Path("bad").write_bytes(b"nothing of the kind")
    done = janus(command, "bad", good)
    assert done.code == 3 and done.text.startswith(f"{good}: ") and no_traceback(done)
    assert "janus: bad: not a " in done.err and "1 of 2 items failed" in done.err
    assert janus(command, "bad").code == 1 and janus(command, "nowhere").code == 1


def test_describe_is_generate_from_what_is_seen(janus, media):
    """Pixels give the same words through `generate`, and image tokens those of what they show."""
    load = pipeline.load("pocket")
    plan = load.plan_text()
    (record,) = plan.run([load.show(np.asarray(Image.open("cat.png").convert("RGB")), "a")])
    assert janus("describe", "cat.png").text == " ".join(load.decode(record).split("\n")) + "\n"
    tokens = janus("tokenize", "image", "cat.png").out
    janus("decode", "-o", "again.png", stdin=tokens)
    said = one(janus("generate", "--to", "text", stdin=tokens).out).segments
    (seen,) = plan.run([load.show(np.asarray(Image.open("again.png").convert("RGB")))])
    assert [s.modality for s in said] == ["text"] and said[0].data.tolist() == seen.segments[0].data.tolist()


@pytest.mark.parametrize(("command", "file"), [("describe", "cat.png"), ("transcribe", "say.wav")])
def test_strange_answers_do_nothing_to_the_terminal(janus, media, monkeypatch, command, file):
    import sys

    strange = "a\x1b[31m\x9b2J\u202eb"
    monkeypatch.setattr(pipeline.Pipeline, "decode", lambda *_: strange)
    assert janus(command, file).text == f"{strange}\n"  # a file gets what was said
    tokens = janus("tokenize", "text", "a").out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    tame = "a\\u001b[31m\\u009b2J\\u202eb\n"
    assert janus(command, file).text == tame
    assert janus("decode", stdin=tokens).text == tame
    done = janus(command, "--json", file).text
    assert "\x9b" not in done and json.loads(done)["text"] == strange


def test_what_only_looks_strange_is_shown():
    family = "\U0001f468\u200d\U0001f469"
    assert escape(f"Größe\u3000\u00a0猫 {family}\n\t", "\n\t") == f"Größe\u3000\u00a0猫 {family}\n\t"
    assert escape("\n\x7f\U000e0041\ud800") == r"\u000a\u007f\udb40\udc41\ud800"


def test_questions_are_for_models_that_were_asked_some(janus, media):
    done = janus("describe", "cat.png", "--prompt", "what is it?")
    assert done.code == 2 and no_traceback(done)
    assert "model pocket-any answers no questions: it was trained to describe, never on questions" in done.err
    assert janus("describe", "cat.png", "--prompt", " ").code == 2


def test_a_model_without_senses_says_so(janus, environment):
    Image.new("RGB", (32, 32)).save("cat.png")
    Path("say.wav").write_bytes(file_bytes(tone(0.2, 16000), 16000))
    text = janus("tokenize", "text", "a").out
    for args, message in (
        (
            ["describe", "cat.png", "-m", "pocket"],
            "model pocket writes no text: its decoder neither",
        ),
        (["transcribe", "say.wav", "-m", "pocket"], "model pocket neither speaks nor hears"),
        (["speak", "a", "-m", "pocket"], "model pocket neither speaks nor hears"),
        (["generate", "--to", "text"], "model pocket writes no text"),
        (["generate", "--to", "audio"], "model pocket neither speaks nor hears"),
    ):
        done = janus(*args, stdin=text)
        assert done.code == 2 and message in done.err and no_traceback(done) and not done.out, done.err
    assert "does not take audio" in janus("generate", stdin=janus("tokenize", "audio", "say.wav").out).err


def test_a_sound_that_is_too_long_is_one_line_with_the_limit(janus, media):
    Path("long.wav").write_bytes(file_bytes(tone(30, 16000), 16000))
    done = janus("transcribe", "long.wav", "say.wav")
    assert done.code == 3 and done.text.startswith("say.wav: ")
    assert "janus: long.wav: a sound of 30.0 s is too long: model pocket-any hears at most 19.2 s" in done.err
    tokens = janus("tokenize", "audio", "long.wav").out
    done = janus("generate", "--to", "text", stdin=tokens)
    assert done.code == 2 and "a sound of 30.0 s is too long: model pocket takes at most 19.2 s" in done.err


def test_nothing_is_answered_with_a_line(janus, media):
    Path("empty.wav").write_bytes(file_bytes(np.zeros((1, 0)), 16000))
    done = janus("transcribe", "empty.wav")
    assert (done.code, done.out) == (1, b"") and "janus: empty.wav: a sound of no length" in done.err
    silence, blank = janus("tokenize", "audio", "empty.wav").out, janus("tokenize", "text", "").out
    for data in (silence, blank, dumps(Record(()))):
        for to in ("text", "image", "audio"):
            done = janus("generate", "--to", to, stdin=data)
            assert (done.code, done.out) == (2, b"") and no_traceback(done)
            assert "an empty prompt: it holds no words, no picture and no sound" in done.err
    joined = janus("generate", "--join", stdin=janus("tokenize", "text", "a").out + silence)
    assert joined.code == 1 and "a sound of no length" in joined.err


def test_silence_is_answered_with_nothing_heard(janus, media):
    for level in (0.0, 0.0009):
        Path("quiet.wav").write_bytes(file_bytes(np.full((1, 16000), level), 16000, "WAV", "FLOAT"))
        done = janus("transcribe", "quiet.wav")
        assert (done.code, done.out) == (1, b"")
        assert done.err.endswith("janus: quiet.wav: nothing heard: it is silent\n")
        several = janus("transcribe", "quiet.wav", "say.wav")
        assert several.code == 3 and several.text.startswith("say.wav: ")
        tokens = janus("tokenize", "audio", "quiet.wav").out
        assert janus("decode", "-f", "-o", "again.wav", stdin=tokens).code == 0
        assert soundfile.info("again.wav").frames == 16000
        for to in ("text", "image", "audio"):
            done = janus("generate", "--to", to, stdin=tokens)
            assert (done.code, done.out) == (1, b"") and "quiet: nothing heard: it is silent" in done.err


def test_noise_is_answered_with_nothing_heard_where_the_model_says_what_speech_is(janus, media, tiny_any):
    folder = shutil.copytree(tiny_any, media / "strict" / "strict")
    config = json.loads((folder / "config.json").read_text())
    config["generation"] |= {"least_speech": -0.001, "least_words": -99.0}
    (folder / "config.json").write_text(json.dumps(config))
    done = janus("transcribe", "say.wav", "-m", str(folder))
    assert (done.code, done.out) == (1, b"")
    assert "janus: say.wav: nothing heard: there is sound, but no words that are understood\n" in done.err
    tokens = janus("tokenize", "audio", "say.wav").out
    done = janus("generate", "-m", str(folder), stdin=tokens)
    assert (done.code, done.out) == (1, b"") and "janus: say: nothing heard: there is sound" in done.err
    spoken = janus(
        "generate", "--to", "audio", "-m", str(folder), stdin=janus("tokenize", "text", "a").out
    ).out
    assert janus("generate", "--to", "text", "-m", str(folder), stdin=spoken).code == 0  # its own voice


@pytest.mark.slow
def test_a_voice_is_heard_with_silence_around_it_and_noise_is_not(janus, environment):
    from janus_cli.dataset.speech import RATE, Speaker, Utterance

    said = Speaker().say(Utterance("rocket", "en-us", "m5", 202))[None]
    around = np.concatenate([np.zeros((1, 3000)), said, np.zeros((1, 6000))], axis=1)
    Path("rocket.wav").write_bytes(file_bytes(around, RATE))
    rng, time = np.random.default_rng(0), np.arange(2 * RATE) / RATE
    noises = {
        "white": rng.normal(0, 0.1, len(time)),
        "hum": sum(0.2 / k * np.sin(2 * np.pi * 50 * k * time) for k in range(1, 9)),
        "clicks": 0.5 * (rng.random(len(time)) < 2e-4),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * time),
    }
    for name, noise in noises.items():
        Path(f"{name}.wav").write_bytes(file_bytes(noise[None], RATE))
    model = str(Path(__file__).parents[2] / "models" / "pocket-any")
    done = janus("transcribe", "-m", model, "rocket.wav", *(f"{name}.wav" for name in noises))
    assert done.code == 3 and done.text == "rocket.wav: rocket\n", done.err
    assert done.err.count("nothing heard: there is sound, but no words") == len(noises)


def test_more_than_the_model_has_room_for_is_said_before_it_is_loaded(janus, media, monkeypatch):
    monkeypatch.setattr("janus_cli.nets.build.build", lambda *_: 1 / 0)
    text = janus("tokenize", "text", "a").out
    for args in (["transcribe", "say.wav"], ["describe", "cat.png"], ["generate", "--to", "text"]):
        done = janus(*args, "--max-tokens", "1023", stdin=text)
        assert done.code == 2 and no_traceback(done) and not done.out
        assert "janus: 1023 tokens are too long: model pocket" in done.err and "1022 at most" in done.err
    for args in (["speak", "a", "--seconds", "30"], ["generate", "--to", "audio", "--seconds", "30"]):
        done = janus(*args, stdin=text)
        assert done.code == 2 and "30 s are too long: model pocket" in done.err
        assert "20.4 s at most" in done.err


# ---- any to any


def test_a_spoken_wish_becomes_a_picture_and_a_picture_is_told(janus, media):
    heard = janus("tokenize", "audio", "say.wav").out
    drawn = janus("generate", "--to", "image", stdin=heard)
    assert drawn.code == 0, drawn.err
    text, image = one(drawn.out).segments
    assert (text.modality, image.data.shape) == ("text", (4, 4))
    Path("drawn.safetensors").write_bytes(drawn.out)
    assert janus("decode", "-o", "apple.png", stdin=drawn.out).code == 0
    sharp = janus("upsample", "--scale", "2", stdin=janus("denoise", stdin=drawn.out).out).out
    assert janus("decode", "-o", "big.png", stdin=sharp).code == 0
    assert (Image.open("apple.png").size, Image.open("big.png").size) == ((32, 32), (64, 64))
    words = janus("transcribe", "say.wav").text.removesuffix("\n")
    facts = json.loads(janus("info", "--json", "big.png").text)
    assert facts["made_by"][1]["words"].replace("\n", " ") == words
    seen = janus("tokenize", "image", "cat.png").out
    told = janus("generate", "--to", "audio", "--seconds", "0.3", stdin=seen)
    assert [s.modality for s in one(told.out).segments] == ["text", "audio"]
    assert janus("decode", "-o", "cat.wav", stdin=told.out).code == 0
    assert 0 < soundfile.info("cat.wav").frames <= 4800


def test_direct_generation_has_no_words(janus, media):
    heard = janus("tokenize", "audio", "say.wav").out
    record = one(janus("generate", "--direct", stdin=heard).out)
    assert [s.modality for s in record.segments] == ["image"] and "words" not in record.made_by[-1]


def test_join_makes_one_prompt_of_any_segments(janus, media):
    parts = (
        janus("tokenize", "audio", "say.wav").out
        + janus("tokenize", "text", "a red").out
        + janus("tokenize", "image", "cat.png").out
    )
    for to in ("image", "text", "audio"):
        limit = ["--seconds", "0.2"] if to == "audio" else ["--max-tokens", "4"] if to == "text" else []
        done = janus("generate", "--to", to, "--join", *limit, stdin=parts)
        assert done.code == 0, done.err
        assert [s.modality for s in one(done.out).segments] == [to]


def test_generate_refuses_options_of_other_targets(janus, senses):
    text = janus("tokenize", "text", "a").out
    for args, message in (
        (["--to", "audio", "--max-tokens", "3"], "--max-tokens is for --to text"),
        (["--to", "image", "--seconds", "3"], "--seconds is for --to audio"),
        (["--to", "audio", "--cfg-scale", "3"], "--cfg-scale is for pictures: audio is generated without"),
        (["--to", "audio", "--seconds", "60"], "too long"),
    ):
        done = janus("generate", *args, stdin=text)
        assert done.code in (1, 2) and message in done.err and no_traceback(done), done.err


def test_the_model_says_that_it_has_eyes(janus, senses):
    facts = json.loads(janus("info", "--json", "pocket").text)
    assert facts["components"]["vision"]["parameters"] > 0
    assert "vision" in janus("models", "list").text


def test_eyes_that_do_not_fit_are_one_line(janus, media, tiny_any):
    shutil.copytree(tiny_any, "odd")
    facts = json.loads(Path("odd/config.json").read_text())
    facts["vision"]["dim"] = 8
    Path("odd/config.json").write_text(json.dumps(facts))
    done = janus("describe", "cat.png", "-m", "./odd")
    assert done.code == 1 and no_traceback(done)
    assert "its vision encoder gives features of 8 numbers, its decoder takes 16" in done.err


@pytest.mark.slow
def test_the_pipe_of_the_manual(shell, media):
    done = shell("janus tokenize audio say.wav | janus generate --to image | janus decode -o apple.png")
    assert done.code == 0, done.err
    assert Image.open(media / "apple.png").size == (32, 32)


# ---- how hard it looks for words


def test_tries_can_be_fewer_and_drawn_words_have_none(janus, media):
    for command, file in (("describe", "cat.png"), ("transcribe", "say.wav")):
        usual, four, drawn = (
            janus(command, file, *flags).text for flags in ([], ["--beams", "4"], ["--temperature", "2"])
        )
        assert usual == four and drawn not in ("", four)
        done = janus(command, file, "--beams", "2", "--temperature", "2")
        assert (done.code, done.out) == (2, b"") and no_traceback(done)
        assert "janus: 2 beams find the likeliest words: no temperature then" in done.err
    tokens = janus("tokenize", "audio", "say.wav").out
    for flags, beams in (([], 4), (["--beams", "1"], 1), (["--beams", "2"], 2), (["--temperature", "1"], 1)):
        record = one(janus("generate", "--to", "text", *flags, stdin=tokens).out)
        assert record.made_by[-1]["beams"] == beams
    for beams in ("0", "65"):
        assert janus("transcribe", "say.wav", "--beams", beams).code == 2
