"""Speech for training: espeak-ng's voices, and one clear line for each thing that can be wrong."""

import sys

import numpy as np
import pytest

from janus_cli.dataset.speech import (
    ACCENTS,
    HELD_VARIANTS,
    LANGUAGES,
    OWN_VOICE,
    PAUSE,
    RATE,
    VARIANTS,
    Speaker,
    Utterance,
    choose_voice,
)
from janus_cli.errors import JanusError


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker()


def test_a_waveform_is_float32_in_range_and_begins_at_once(speaker: Speaker) -> None:
    waveform = speaker.say(Utterance("a red apple"))
    assert waveform.dtype == np.float32 and waveform.ndim == 1
    peak = np.abs(waveform).max()
    assert 0.1 < peak <= 1 and 0.4 < len(waveform) / RATE < 1.2  # three words
    loud = np.flatnonzero(np.abs(waveform) > 0.02 * peak)
    assert loud[0] <= 0.02 * RATE and loud[-1] >= len(waveform) - 0.02 * RATE - 1


def test_longer_words_take_longer_and_faster_ones_less(speaker: Speaker) -> None:
    short, long = speaker.say(Utterance("bear")), speaker.say(Utterance("a bear above a very large duck"))
    assert len(long) > 2 * len(short)
    hasty = speaker.say(Utterance("a bear above a very large duck", speed=260))
    assert len(hasty) < 0.85 * len(long)


def spectrum(waveform: np.ndarray) -> np.ndarray:
    """Log of the mean magnitudes in 40 bands, whatever the loudness."""
    frames = np.lib.stride_tricks.sliding_window_view(waveform / np.abs(waveform).max(), 512)[::256]
    magnitudes = np.abs(np.fft.rfft(frames * np.hanning(512))).mean(0)[:240]
    return np.log(magnitudes.reshape(40, 6).mean(1) + 1e-3)


def test_words_and_voices_sound_different(speaker: Speaker) -> None:
    same, again, words, voice = (
        spectrum(speaker.say(u))
        for u in (
            Utterance("a red apple"),
            Utterance("a red apple"),
            Utterance("sushi"),
            Utterance("a red apple", variant="f2"),
        )
    )
    near = np.abs(same - again).mean()
    assert np.abs(same - words).mean() > 2 * near and np.abs(same - voice).mean() > 2 * near


def test_every_voice_is_there(speaker: Speaker) -> None:
    voices = [Utterance("sol", variant=v) for v in (*VARIANTS, *HELD_VARIANTS)]
    voices += [Utterance("sol", language) for language in (*ACCENTS, *LANGUAGES.values())]
    assert all(np.abs(speaker.say(u)).max() > 0.05 for u in voices)


def test_the_exams_voices_are_never_trained_on() -> None:
    assert not set(HELD_VARIANTS) & {*VARIANTS, OWN_VOICE[1]}
    assert len(set(VARIANTS)) == len(VARIANTS) and len(set(HELD_VARIANTS)) == len(HELD_VARIANTS)
    rng = np.random.default_rng(0)
    for held, known in ((False, VARIANTS), (True, HELD_VARIANTS)):
        drawn = [choose_voice("x", rng, held=held) for _ in range(600)]
        assert {u.variant for u in drawn} == set(known) and {u.language for u in drawn} == set(ACCENTS)
        assert {150 <= u.speed < 215 and 30 <= u.pitch < 70 for u in drawn} == {True}
    assert {choose_voice("x", rng, language).language for language in LANGUAGES if language != "en"} == {
        "de",
        "es",
        "fr",
        "ja",
        "ko",
    }


def test_two_speakers_do_not_take_each_others_words() -> None:
    first, second = Speaker(), Speaker()
    for speaker in (first, second, first):
        assert len(speaker.say(Utterance("bear"))) > 0.1 * RATE


@pytest.mark.parametrize(
    ("utterance", "complaint"),
    [
        (Utterance("bear", language="xx"), r"^espeak-ng has no voice xx\+m3$"),
        (Utterance("bear", variant="nobody"), r"^espeak-ng has no voice en-us\+nobody$"),
        (Utterance(""), "^espeak-ng says nothing for ''$"),
        (Utterance("  "), "says nothing for '  '$"),
    ],
)
def test_what_cannot_be_said_is_one_line(speaker: Speaker, utterance: Utterance, complaint: str) -> None:
    with pytest.raises(JanusError, match=complaint):
        speaker.say(utterance)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(JanusError, match=r'^speech for training needs espeak-ng: .*"janus-cli\[train\]"$'):
        Speaker().say(Utterance("bear"))


def test_phones_are_told_where_they_are_said(speaker: Speaker) -> None:
    waveform, phones = speaker.pronounce(Utterance("sushi"))
    names, starts = [phone.name for phone in phones], [phone.start for phone in phones]
    assert names[:4] == ["s", "u:", "S", "i"] and set(names[4:]) <= {PAUSE}
    assert starts == sorted(starts) and -400 <= starts[0] <= 400 and starts[4] > 0.9 * len(waveform)
    hiss = lambda part: np.abs(np.diff(part)).mean() / np.abs(part).mean()  # noqa: E731
    vowel, consonant = (waveform[starts[i] : starts[i + 1]] for i in (1, 2))
    assert hiss(consonant) > 2 * hiss(vowel), "sh is a hiss, u is none"


def test_phones_are_those_of_the_last_words(speaker: Speaker) -> None:
    first = [p.name for p in speaker.pronounce(Utterance("bear"))[1]]
    speaker.pronounce(Utterance("a very large duck"))
    assert [p.name for p in speaker.pronounce(Utterance("bear"))[1]] == first and first[0] == "b"
    slow, quick = (speaker.pronounce(Utterance("bear", speed=s))[1] for s in (120, 240))
    assert quick[1].start < slow[1].start
