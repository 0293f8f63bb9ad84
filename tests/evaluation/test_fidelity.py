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
from janus_cli.evaluation.codec import (
    measure_mel_distance,
    measure_quality,
    pass_through,
    report_codec,
    say_sentences,
)
from janus_cli.evaluation.listener import Listener, keep_sayable, spell
from janus_cli.evaluation.measures import measure_usage

# ---- known answers


def test_usage_of_a_codebook() -> None:
    assert measure_usage(np.array([2, 0, 0, 0, 0, 2, 0, 0])) == (2, pytest.approx(2))
    assert measure_usage(np.ones(8, int)) == (8, pytest.approx(8))
    assert measure_usage(np.array([0, 0, 0, 9])) == (1, pytest.approx(1))
    assert measure_usage(np.array([3, 1]))[1] == pytest.approx(4 / 3**0.75)


def test_mel_distance_is_in_decibels() -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, RATE).astype(np.float32)
    assert measure_mel_distance(noise, noise) == 0
    assert measure_mel_distance(noise, noise / 2) == pytest.approx(
        20 * np.log10(2), rel=0.15
    )  # the floor takes some
    assert measure_mel_distance(noise, noise / 4) > 1.7 * measure_mel_distance(noise, noise / 2)
    assert measure_mel_distance(noise, noise / 2) == pytest.approx(measure_mel_distance(noise / 2, noise))


def test_a_sound_goes_through_the_codec() -> None:
    codec, sound = tiny_codec(), tone(0.5, RATE)[0][:7777]
    codes, whole = pass_through(sound, codec, 2)
    assert codes.shape == (2, 25) and whole.shape == sound.shape
    again, first = pass_through(sound, codec, 1)
    assert np.array_equal(again, codes) and not np.array_equal(first, whole)


def test_sentences_are_spoken_by_strangers_at_one_loudness(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Utterance] = []
    real = Speaker.say
    monkeypatch.setattr(Speaker, "say", lambda self, u: said.append(u) or real(self, u))
    waveforms = say_sentences(three_concepts(), seed=0, count=5)
    assert len(waveforms) == 5 and {u.variant for u in said} <= set(HELD_VARIANTS)
    assert all(np.abs(w).max() == pytest.approx(0.5) for w in waveforms)
    first, said[:] = [u.text for u in said], []
    say_sentences(three_concepts(), seed=0, count=5)
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
        measure_quality(np.zeros(RATE, np.float32), np.zeros(RATE, np.float32))


def graded() -> tuple[dict[str, float], dict[str, float]]:
    """The quality of a sound beside itself, and of the same in noise."""
    true = Speaker().say(Utterance("a small apple in the top left, and three ducks above a bear"))
    noise = np.random.default_rng(0).normal(0, 0.1, len(true)).astype(np.float32)
    return measure_quality(true, true), measure_quality(true, true + noise)


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
    monkeypatch.setattr(codec, "measure_quality", lambda true, made: measured)
    report = report_codec(tiny_codec(), three_concepts(), 0, 3, lambda *n: told.append(n))
    assert report["n"] == 3 and report["seconds"] > 1 and told == [(1, 3), (2, 3), (3, 3)]
    assert [(r["n_q"], r["bits"]) for r in report["levels"]] == [(1, 200), (2, 400)]  # 4 bits, 50 a second
    assert all({k: r[k] for k in measured} == measured and 0 < r["used"] <= 1 for r in report["levels"])
    assert all(1 <= r["perplexity"] <= CODEC.codebook_size for r in report["levels"])


# ---- the independent listener


def test_a_missing_recogniser_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    listener._read_dictionary.cache_clear()
    for use in (keep_sayable, Listener):
        with pytest.raises(JanusError, match=r'^an independent ear needs pocketsphinx: .*-cli\[eval\]"$'):
            use(["bear"])


def test_phrases_are_spelled_plainly() -> None:
    assert spell("T-Rex") == "t rex"


def test_the_listener_hears_which_phrase_was_said() -> None:
    phrases = ["red apple", "bear", "Jack-O-Lantern", "xqzzy duck"]
    assert keep_sayable(phrases[:2]) == phrases[:2] and "xqzzy duck" not in keep_sayable(phrases)
    chosen = ["red apple", "elephant", "camera", "banana"]
    ear, speaker = Listener(chosen), Speaker()
    waveforms = [speaker.say(Utterance(phrase)) for phrase in chosen]
    assert ear.accuracy(chosen, waveforms) == 1
    assert ear.accuracy(["elephant", "red apple", *chosen[2:]], waveforms) == 0.5
    assert ear.accuracy([], []) == 0
    assert ear.hear(0.01 * waveforms[0]) == "red apple", "however soft"
    assert isinstance(ear.hear(np.zeros(RATE, np.float32)), str)
