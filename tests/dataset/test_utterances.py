"""Spoken captions as codes: what is said of a picture, how it is encoded, and how it is kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.materials import CODEC, CONCEPTS, Humming, corpus, spoken, tiny_codec
from helpers.packs import NAMES
from helpers.sounds import tone

from janus_cli.dataset import utterances
from janus_cli.dataset.samples import LAYOUTS, RELATIONS, Sample
from janus_cli.dataset.speech import ACCENTS, OWN_VOICE, RATE, VARIANTS, Phone, Utterance
from janus_cli.dataset.utterances import (
    LONGEST,
    Utterances,
    describe_sample,
    encode_waveforms,
    label_frames,
    read_utterances,
    say_in_any_voice,
    say_in_own_voice,
    synthesise,
    word_sample,
    write_utterances,
)
from janus_cli.stages.audio import encode_audio

# ---- words


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (Sample((0,), "fluent"), "apple, fluent"),
        (Sample((3,), "noto"), "red kite, noto"),
        (Sample((1,), "fluent", background="blue"), "bear on a blue background, fluent"),
        (Sample((3,), "fluent", hue="green"), "green kite, fluent"),
        (Sample((2,), "fluent", layout="3"), "three cherries, fluent"),
        (
            Sample((0, 1), "fluent", "pink", layout="above"),
            "an apple above a bear on a pink background, fluent",
        ),
        (Sample((0,), "fluent", layout="top left"), "a small apple in the top left, fluent"),
    ],
)
def test_a_description_names_all_that_is_shown(sample: Sample, words: str) -> None:
    assert describe_sample(sample, CONCEPTS) == words


def test_no_two_samples_have_one_description() -> None:
    samples = set(corpus().samples) - {Sample((3,), "fluent", hue="red")}  # a red kite is red anyhow
    samples |= {Sample((0, 1)[: 1 + (layout in RELATIONS)], "fluent", layout=layout) for layout in LAYOUTS}
    assert len({describe_sample(s, CONCEPTS) for s in samples}) == len(samples)


def test_people_speak_english_and_now_and_then_in_full() -> None:
    rng, sample = np.random.default_rng(0), Sample((0,), "noto")
    texts = [word_sample(sample, CONCEPTS, rng) for _ in range(600)]
    assert not any(":" in text for text in texts), "the pack's foreign names"
    full = np.mean([text == "apple, noto" for text in texts])
    assert 0.3 < full < 0.6  # a fifth by rule, and what captions say of themselves
    assert len(set(texts)) > 4


def test_who_speaks() -> None:
    samples, rng = corpus().samples, np.random.default_rng(0)
    own, others = (
        say_in_own_voice(samples, [0, 5], CONCEPTS, rng),
        say_in_any_voice(samples, range(40), CONCEPTS, rng),
    )
    assert {(u.language, u.variant, u.speed, u.pitch) for u in own} == {OWN_VOICE}
    assert len({u.variant for u in others}) > 10 and {u.variant for u in others} <= set(VARIANTS)
    assert {u.language for u in others} <= set(ACCENTS)
    assert any(name in own[0].text for name in NAMES)


def test_half_of_what_is_said_is_things_alone() -> None:
    samples = [Sample((0,), "noto")] * 400
    texts = [u.text for u in say_in_own_voice(samples, range(400), CONCEPTS, np.random.default_rng(0))]
    assert 0.4 < np.mean([text == "apple" for text in texts]) < 0.6
    assert 0.3 < np.mean(["noto" in text for text in texts]) < 0.6


# ---- codes


@pytest.mark.parametrize("lengths", [(3200, 6400, 4800), (3333, 6000, 1, 4801, 5119)])
def test_codes_in_a_batch_are_those_alone(lengths: tuple[int, ...]) -> None:
    codec, sound = tiny_codec(), tone(1, RATE)[0]
    waveforms = [sound[-n:] for n in lengths]
    for waveform, row in zip(waveforms, encode_waveforms(waveforms, codec), strict=True):
        assert row.dtype == np.uint16 and row.shape == (2, -(-len(waveform) // CODEC.hop_length))
        whole = codec.encode(torch.from_numpy(waveform)[None, None])[0].numpy()
        keep = len(waveform) // CODEC.hop_length  # the last one's missing samples are anyone's guess
        np.testing.assert_array_equal(row[:, :keep], whole[:, :keep])
        if keep > 1:
            segment = encode_audio([waveform[None]], codec, "tiny", "ab" * 32).segments[0]
            np.testing.assert_array_equal(row[:, :keep], segment.data[:, :keep])


def test_utterances_keep_their_texts_and_the_longest_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(utterances, "Speaker", Humming)
    monkeypatch.setattr(utterances, "BATCH", 2)
    monkeypatch.setattr(utterances, "POOL", 3)
    texts = ["bear", "a" * (LONGEST // 3 + 1), "red kite", "a" * (LONGEST // 3), "fig"]
    said, labels = [Utterance(text) for text in texts], []
    codec = tiny_codec()
    track = lambda loop, label: labels.append(label) or loop  # noqa: E731
    made = synthesise(said, [4, 5, 6, 7, 8], codec, track, "speaking")
    spoken_of = dict(zip(texts, [4, 5, 6, 7, 8], strict=True))
    assert sorted(made.texts) == sorted(t for t in texts if t != texts[1])
    assert made.samples.tolist() == [spoken_of[text] for text in made.texts]
    assert labels == ["speaking"] and len(made) == 4
    for i, text in enumerate(made.texts):
        alone = encode_waveforms([Humming().say(Utterance(text))], codec)[0]
        assert made.frames(i).dtype == np.int64 and made.frames(i).shape == (2, 3 * len(text))
        np.testing.assert_array_equal(made.frames(i), alone)
        assert [made.alphabet[k] for k in made.pronounced(i)] == [letter for letter in text for _ in range(3)]
    assert max(made.frames(i).shape[1] for i in range(4)) == LONGEST


def test_a_frame_is_of_the_phone_that_is_said_in_its_middle() -> None:
    alphabet = ["x", "_"]
    phones = [Phone("a", 100), Phone("b", 480), Phone("_", 800), Phone("a", 900)]
    assert label_frames(phones, 4, 320, alphabet).tolist() == [2, 3, 1, 2], "a frame's middle: 160, 480, ..."
    assert alphabet == ["x", "_", "a", "b"]
    assert label_frames([Phone("c", 500)], 3, 320, alphabet).tolist() == [1, 1, 4], "silence before the first"
    assert label_frames([], 2, 320, []).tolist() == [0, 0]


# ---- the file


def equal(a: Utterances, b: Utterances) -> bool:
    names = ("codes", "starts", "samples", "phones")
    arrays = (np.array_equal(getattr(a, name), getattr(b, name)) for name in names)
    return (a.texts, a.alphabet) == (b.texts, b.alphabet) and a.codes.dtype == b.codes.dtype and all(arrays)


def test_utterances_come_back_from_their_file_under_their_key(tmp_path: Path) -> None:
    made, path = spoken(corpus(), own=False), tmp_path / "heard.npz"
    made.texts[0] = "naïve 東京\n"
    assert read_utterances(path, "a") is None
    write_utterances(made, path, "a")
    again = read_utterances(path, "a")
    assert again is not None and equal(made, again)
    assert read_utterances(path, "b") is None
    other = spoken(corpus(), own=True)
    write_utterances(other, path, "b")
    assert read_utterances(path, "a") is None and equal(read_utterances(path, "b") or made, other)
