"""Sounds measured: known answers, and one line where a package that measures is missing."""

import sys

import numpy as np
import pytest
from helpers.materials import CODEC, tiny_codec
from helpers.packs import three_concepts
from helpers.sounds import tone

from janus_cli.dataset.speech import HELD_VARIANTS, RATE, Speaker, Utterance
from janus_cli.errors import JanusError
from janus_cli.evaluation import codec, listener
from janus_cli.evaluation.codec import codec_report, mel_distance, quality, sentences, through, usage
from janus_cli.evaluation.listener import Listener, plain, sayable

# ---- known answers


def test_usage_of_a_codebook() -> None:
    assert usage(np.array([5, 0, 5, 0]), 8) == {"used": 0.25, "perplexity": pytest.approx(2)}
    assert usage(np.arange(8), 8) == {"used": 1, "perplexity": pytest.approx(8)}
    assert usage(np.full(9, 3), 4) == {"used": 0.25, "perplexity": pytest.approx(1)}
    assert usage(np.array([0] * 3 + [1]), 2)["perplexity"] == pytest.approx(4 / 3**0.75)


def test_mel_distance_is_in_decibels() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, RATE).astype(np.float32)
    assert mel_distance(noise, noise) == 0
    assert mel_distance(noise, noise / 2) == pytest.approx(20 * np.log10(2), rel=0.15)  # the floor takes some
    assert mel_distance(noise, noise / 4) > 1.7 * mel_distance(noise, noise / 2)
    assert mel_distance(noise, noise / 2) == pytest.approx(mel_distance(noise / 2, noise))


def test_a_sound_goes_through_the_codec() -> None:
    codec, sound = tiny_codec(), tone(0.5, RATE)[0][:7777]
    codes, whole = through(sound, codec, 2)
    assert codes.shape == (2, 25) and whole.shape == sound.shape
    again, first = through(sound, codec, 1)
    assert np.array_equal(again, codes) and not np.array_equal(first, whole)


def test_sentences_are_spoken_by_strangers_at_one_loudness(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Utterance] = []
    real = Speaker.say
    monkeypatch.setattr(Speaker, "say", lambda self, u: said.append(u) or real(self, u))
    waveforms = sentences(three_concepts(), seed=0, count=5)
    assert len(waveforms) == 5 and {u.variant for u in said} <= set(HELD_VARIANTS)
    assert all(np.abs(w).max() == pytest.approx(0.5) for w in waveforms)
    first, said[:] = [u.text for u in said], []
    sentences(three_concepts(), seed=0, count=5)
    assert [u.text for u in said] == first


# ---- quality


@pytest.mark.parametrize("package", ["pesq", "pystoi"])
def test_a_missing_measure_is_one_line(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    for name in ("pesq", "pystoi"):
        monkeypatch.setitem(sys.modules, name, None if name == package else type(sys)(name))
    for name, function in (("pesq", "pesq"), ("pystoi", "stoi")):
        if name != package:
            setattr(sys.modules[name], function, None)
    with pytest.raises(JanusError, match=rf'^sounds are measured with {package}: .*"janus-cli\[eval\]"$'):
        quality(np.zeros(RATE, np.float32), np.zeros(RATE, np.float32))


def graded() -> tuple[dict[str, float], dict[str, float]]:
    """The quality of a sound beside itself, and of the same in noise."""
    true = Speaker().say(Utterance("a small apple in the top left, and three ducks above a bear"))
    noise = np.random.default_rng(0).normal(0, 0.1, len(true)).astype(np.float32)
    return quality(true, true), quality(true, true + noise)


def test_a_sound_is_as_near_to_itself_and_nearer_than_its_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    other = type(sys)("pesq")  # has no wheels: it is asked for by itself below
    other.pesq = lambda *sounds, **options: 1.0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pesq", other)
    same, worse = graded()
    assert same["mel"] == 0 and same["stoi"] == pytest.approx(1, abs=1e-3)
    assert worse["mel"] > 1 and worse["stoi"] < 0.98


def test_a_sound_is_as_good_as_itself_and_better_than_its_noise() -> None:
    pytest.importorskip("pesq", reason="no wheels of pesq: it needs a compiler")
    same, worse = graded()
    assert same["pesq"] > 4.5 and worse["pesq"] < 3


def test_a_report_of_every_number_of_codebooks(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    measured = {"mel": 2.0, "stoi": 0.5, "pesq": 1.5}
    monkeypatch.setattr(codec, "quality", lambda true, made: measured)
    report = codec_report(tiny_codec(), three_concepts(), 0, 3, lambda *n: told.append(n))
    assert report["n"] == 3 and report["seconds"] > 1 and told == [(1, 3), (2, 3), (3, 3)]
    assert [(r["n_q"], r["bits"]) for r in report["levels"]] == [(1, 200), (2, 400)]  # 4 bits, 50 a second
    assert all({k: r[k] for k in measured} == measured and 0 < r["used"] <= 1 for r in report["levels"])
    assert all(1 <= r["perplexity"] <= CODEC.codebook_size for r in report["levels"])


# ---- the independent listener


def test_a_missing_recogniser_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    listener._known.cache_clear()
    for use in (sayable, Listener):
        with pytest.raises(JanusError, match=r'^an independent ear needs pocketsphinx: .*-cli\[eval\]"$'):
            use(["bear"])


def test_phrases_are_spelled_plainly() -> None:
    assert plain("T-Rex") == "t rex"


def test_the_listener_hears_which_phrase_was_said() -> None:
    phrases = ["red apple", "bear", "Jack-O-Lantern", "xqzzy duck"]
    assert sayable(phrases[:2]) == phrases[:2] and "xqzzy duck" not in sayable(phrases)
    chosen = ["red apple", "elephant", "camera", "banana"]
    ear, speaker = Listener(chosen), Speaker()
    waveforms = [speaker.say(Utterance(phrase)) for phrase in chosen]
    assert ear.accuracy(chosen, waveforms) == 1
    assert ear.accuracy(["elephant", "red apple", *chosen[2:]], waveforms) == 0.5
    assert ear.accuracy([], []) == 0
    assert ear.hear(0.01 * waveforms[0]) == "red apple", "however soft"
    assert isinstance(ear.hear(np.zeros(RATE, np.float32)), str)
