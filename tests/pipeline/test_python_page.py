"""docs/python.md does what it says: its blocks run one after another in a folder, their outputs compared."""

import contextlib
import io
import itertools

import numpy as np
import pytest
from helpers.pages import find_fences
from helpers.runs import ROOT

from bench.make_checkpoint import make
from janus_cli.errors import MediaError, UsageError
from janus_cli.pipeline import Sampling, load

PAGE = ROOT / "docs" / "python.md"


def test_the_page_has_nothing_that_is_not_run():
    fences = find_fences(PAGE)
    assert {language for language, _, _ in fences} == {"python", "text"}
    assert PAGE.read_text("utf-8").count("\n```") == 2 * len(fences)
    for (before, _, _), (language, _, _) in itertools.pairwise(fences):
        assert language == "python" or before == "python", "an output follows the block that gives it"


@pytest.mark.slow
def test_the_page_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JANUS_MODELS", raising=False)  # the shipped models
    make(tmp_path / "janus-pro-1b")
    names, said = {}, ""
    for number, (language, _, text) in enumerate(find_fences(PAGE)):
        if language == "text":
            assert said == text
            continue
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(text, f"{PAGE.name}, block {number}", "exec"), names)
        said = out.getvalue()


@pytest.fixture(scope="module")
def pipeline(tiny_any):
    return load(str(tiny_any))


def test_one_text_is_one_prompt_and_records_are_prompts(pipeline):
    [drawn] = pipeline.draw("a red apple", Sampling(seed=3))
    [again] = pipeline.draw([pipeline.tokenize("a red apple", "0")], Sampling(seed=3))
    assert drawn.made_by == again.made_by and drawn.prompt == "a red apple"
    picture = pipeline.draw_picture("a red apple", Sampling(seed=3, n=2))
    assert (picture == pipeline.decode(drawn)).all()
    [heard] = pipeline.draw([pipeline.play(np.sin(np.arange(8000) / 9), 16000)])
    assert [segment.modality for segment in heard.segments] == ["text", "image", "pixels"]


def test_what_is_said_can_be_taken_again_and_heard(pipeline):
    sound = pipeline.speak("a red apple", Sampling(seed=1), seconds=1)
    assert sound.num_samples and (sound.whole() == sound.whole()).all()
    assert sound.whole().shape == (1, sound.num_samples)
    assert isinstance(pipeline.transcribe(sound.whole()[0], sound.sample_rate), str)


def test_a_sound_keeps_its_length_at_any_rate_and_number_of_channels(pipeline):
    stereo = np.stack([np.sin(np.arange(44100) / 9), np.zeros(44100)])
    segment = pipeline.play(stereo, 44100).find("audio")
    assert segment.info["num_samples"] == pipeline.sounds.codec.cfg.sample_rate


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros(800, np.int16), 16000, r"sound: expected floats .*, found int16 \[800\]"),
        (np.zeros((800, 2)), 16000, r"800 channels: turn it round, to \[channels, samples\]"),
        (np.zeros((1, 1, 800)), 16000, r"found float64 \[1, 1, 800\]"),
        (np.float64(0), 16000, r"found float64 \[\]"),
        (np.zeros((0, 800)), 16000, r"found float64 \[0, 800\]"),
        (np.full(800, np.nan), 16000, "no finite numbers"),
        (np.zeros(800), 0, "a sample rate of 0 Hz"),
    ],
)
def test_arrays_that_are_no_sounds_are_refused(pipeline, waveform, rate, message):
    for take in (pipeline.play, pipeline.transcribe):
        with pytest.raises(MediaError, match=message):
            take(waveform, rate)


@pytest.mark.parametrize("picture", [np.zeros((8, 8)), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8)])
def test_arrays_that_are_no_pictures_are_refused(pipeline, picture):
    for take in (pipeline.show, pipeline.describe, pipeline.pictures.encode):
        with pytest.raises(MediaError, match=r"expected uint8 \[H, W, 3\]"):
            take(picture)


def test_a_model_that_cannot_says_so(pipeline, tiny_model):
    picture = np.zeros((8, 8, 3), np.uint8)
    deaf = load(str(tiny_model))
    with pytest.raises(UsageError, match="answers no questions"):
        pipeline.ask([picture], "What is it?")
    with pytest.raises(UsageError, match="writes no text"):
        deaf.describe(picture)
    with pytest.raises(UsageError, match="neither speaks nor hears"):
        deaf.transcribe(np.zeros(800), 16000)
    with pytest.raises(UsageError, match="neither speaks nor hears"):
        deaf.speak("a")
    with pytest.raises(UsageError, match="is too long"):
        pipeline.transcribe(np.zeros(16000 * 60), 16000)
    with pytest.raises(MediaError, match="a sound of no length"):
        pipeline.transcribe(np.zeros(0), 16000)


def test_a_published_model_answers(tmp_path):
    published = load(str(make(tmp_path / "tiny-pro")), dtype="fp32")
    picture = published.draw_picture("a red apple", Sampling(seed=1))
    pieces = list(published.ask([picture], "What is it?", max_tokens=8))
    assert "".join(pieces) == published.describe(picture, "What is it?", max_tokens=8)
    assert published.describe(picture, max_tokens=8) == published.describe(
        picture, "Describe this picture.", max_tokens=8
    )
    with pytest.raises(UsageError, match="speaks nor hears"):
        published.speak("a")
