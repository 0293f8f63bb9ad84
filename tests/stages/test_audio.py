"""Sounds as tokens: records, their metadata, checks of strangers' records, exact lengths."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.sounds import KINDS, cut, lively, tone

from janus_cli.errors import MediaError, RecordError, UsageError
from janus_cli.nets.codec import Codec
from janus_cli.records import Segment, dumps, loads
from janus_cli.stages.audio import count_books, decode_audio, encode_audio, find_sound, keep_heard


@pytest.fixture(scope="module")
def codecs():
    return {name: lively(Codec(cfg)) for name, cfg in KINDS.items()}


def encode(codec, sound, **options):
    return encode_audio([sound], codec, "tiny", "f" * 64, id="a", source="a.wav", **options)


def test_record_says_what_its_tokens_are(codecs):
    done = []
    record = encode(codecs["pocket"], tone(1.01, 16000), progress=done.append)
    (segment,) = record.segments
    assert segment.data.dtype == np.uint16 and segment.data.shape == (4, 51) and sum(done) == 16160
    assert dict(segment.info) == {
        "tokenizer": "tiny",
        "fingerprint": "f" * 64,
        "sample_rate": 16000,
        "frame_rate": 50,
        "num_samples": 16160,
        "heard": [0, 51],
    }
    assert record.made_by == ({"stage": "tokenize", "modality": "audio", "source": "a.wav"},)
    assert dumps(loads(dumps(record))) == dumps(record)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [0, 1, 320, 16001, 50000])
def test_sounds_keep_their_exact_length(codecs, kind, samples):
    codec = codecs[kind]
    record = encode(codec, tone(2, 48000, codec.cfg.channels)[:, :samples])
    assert record.segments[0].info["num_samples"] == samples
    sound = decode_audio(loads(dumps(record)).segments[0], codec)
    assert (sound.num_samples, sound.sample_rate) == (samples, codec.cfg.sample_rate)
    assert sound.whole().shape == (codec.cfg.channels, samples)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_however_the_sound_is_cut(codecs, kind):
    codec = codecs[kind]
    sound = tone(1.5, codec.cfg.sample_rate, codec.cfg.channels)
    first, second = (
        dumps(encode_audio(cut(sound, sizes), codec, "t", "f"))
        for sizes in ([sound.shape[1]], [1, 777, 20000])
    )
    assert first == second


def test_the_sound_is_that_of_the_whole_net(codecs):
    codec = codecs["24khz"]
    sound = tone(2, 24000)
    record = encode(codec, sound)
    with torch.inference_mode():
        codes = codec.encode(torch.from_numpy(sound)[None])
        expected = codec.decode(codes)[0, :, :48000].numpy()
    assert record.segments[0].data.tolist() == codes[0].tolist()
    np.testing.assert_allclose(decode_audio(record.segments[0], codec).whole(), expected, atol=1e-5)


def test_scales_are_kept_where_the_codec_normalises(codecs):
    codec = codecs["48khz"]
    quiet, loud = (encode(codec, tone(1.4, 48000, 2) * gain) for gain in (0.01, 1))
    assert quiet.segments[0].data.tolist() == loud.segments[0].data.tolist()
    scales = [np.array(r.segments[0].info["scales"]) for r in (quiet, loud)]
    assert scales[0].shape == (2,) and scales[0] * 100 == pytest.approx(scales[1], rel=1e-3)
    sounds = [decode_audio(r.segments[0], codec).whole() for r in (quiet, loud)]
    np.testing.assert_allclose(sounds[0] * 100, sounds[1], rtol=2e-3, atol=1e-5)


def test_bandwidth_is_a_number_of_codebooks(codecs):
    cfg = dataclasses.replace(KINDS["24khz"], codebook_size=1024, n_q=32)
    assert [count_books(cfg, b) for b in (None, 0.75, 1.5, 3, 6, 12, 24)] == [32, 1, 2, 4, 8, 16, 32]
    for bandwidth in (0, 1, 25, 0.1, float("inf"), float("nan")):
        with pytest.raises(UsageError, match=r"multiples of 0.75 kbit/s up to 24"):
            count_books(cfg, bandwidth)
    record = encode(codecs["pocket"], tone(0.5, 16000), n_q=1)
    assert record.segments[0].data.shape == (1, 25)
    assert decode_audio(record.segments[0], codecs["pocket"]).whole().shape == (1, 8000)


def test_pieces_have_the_codecs_channels(codecs):
    with pytest.raises(MediaError, match=r"a.wav: expected \[1, samples\], found \[2, 1600\]"):
        encode(codecs["pocket"], tone(0.1, 16000, 2))


def segment(shape=(4, 10), top=5, **info):
    data = np.zeros(shape, np.uint16)
    data[-1, -1] = top
    return Segment("audio", data, info)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (segment(top=64), "id 64 is out of range: the codebook has 64 entries"),
        (segment((5, 10)), "5 codebooks, the codec has 4"),
        (segment(num_samples=3201), "num_samples 3201 does not fit 10 frames of 320 samples"),
        (segment(num_samples=2880), "num_samples 2880 does not fit"),
        (segment(num_samples=-1), "num_samples -1 does not fit"),
        (segment(num_samples="many"), "num_samples 'many' does not fit"),
        (segment(num_samples=True), "num_samples True does not fit"),
        (segment(sample_rate=24000), "its sample_rate is 24000, the codec's 16000"),
        (segment(frame_rate=75), "its frame_rate is 75, the codec's 50"),
        (Segment("text", np.zeros(3, np.uint16)), "expected an audio segment, found text"),
    ],
)
def test_records_that_do_not_fit_the_codec(codecs, bad, message):
    with pytest.raises(RecordError, match=message):
        decode_audio(bad, codecs["pocket"])


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({}, "num_samples None does not fit"),
        ({"num_samples": 3200}, "scales must hold one number"),
        ({"num_samples": 3200, "scales": []}, "scales must hold one number"),
        ({"num_samples": 3200, "scales": ["loud"]}, "scales must hold one number"),
        ({"num_samples": 3200, "scales": 1}, "scales must hold one number"),
    ],
)
def test_records_that_lack_what_segments_need(codecs, info, message):
    with pytest.raises(RecordError, match=message):
        decode_audio(segment(**info), codecs["48khz"])


def test_a_record_without_a_length_is_whole_frames(codecs):
    assert decode_audio(segment(), codecs["pocket"]).whole().shape == (1, 3200)


# ---- where there is something to hear


def test_silence_at_the_ends_is_found():
    sound = np.abs(np.sin(np.arange(4000, dtype=np.float32)))
    whole = np.concatenate([np.zeros(5000, np.float32), sound, np.full(7000, 0.001, np.float32)])
    start, stop = find_sound(whole, 320)
    assert abs(start - (5000 - 320)) <= 2 and abs(stop - (9000 + 320)) <= 2
    start, stop = find_sound(sound, 320)
    assert stop - start >= 3998  # nothing to cut
    assert find_sound(np.zeros(10, np.float32), 1) == (0, 10) and find_sound(np.zeros(0, np.float32), 1) == (
        0,
        0,
    )


@pytest.mark.parametrize("kind", ["pocket", "24khz", "32khz"])
def test_a_recording_keeps_its_silence_and_a_prompt_does_not_take_it(codecs, kind):
    codec = codecs[kind]
    hop, channels = codec.cfg.hop_length, codec.cfg.channels
    sound = np.concatenate(
        [
            np.zeros((channels, 10 * hop + 5)),
            tone(1, 16000, channels)[:, : 20 * hop],
            np.zeros((channels, 7 * hop)),
        ],
        1,
    ).astype(np.float32)
    records = [encode_audio(pieces, codec, "a", "") for pieces in ([sound], cut(sound, (1, 997, 5000)))]
    assert dumps(records[0]) == dumps(records[1])  # however it comes
    (segment,) = records[0].segments
    assert segment.info["heard"] == [9, 32]  # a frame of silence stays on either side
    np.testing.assert_array_equal(keep_heard(segment).data, segment.data[:, 9:32])
    assert decode_audio(segment, codec).whole().shape == sound.shape


def test_what_begins_and_ends_at_once_is_kept_whole(codecs):
    segment = encode(codecs["pocket"], tone(1, 16000)).segments[0]
    assert keep_heard(segment).data.shape == segment.data.shape
    generated = Segment("audio", segment.data, {})  # what a decoder makes has no mark, and loses nothing
    assert keep_heard(generated) is generated


@pytest.mark.parametrize("level", [0.0, 0.0009])
def test_in_silence_nothing_is_heard(codecs, level):
    segment = encode(codecs["pocket"], level * np.sign(tone(1, 16000))).segments[0]
    assert segment.info["heard"] == [0, 0]
    with pytest.raises(RecordError, match="^b: nothing heard: it is silent$"):
        keep_heard(segment, "b")


@pytest.mark.parametrize("heard", [[0, 51], [5, 4], [-1, 3], [0, 10**30]])
def test_a_strangers_mark_of_frames_that_are_not_there_is_refused(codecs, heard):
    segment = encode(codecs["pocket"], tone(1, 16000)).segments[0]
    with pytest.raises(RecordError, match="audio segment: heard must be two of its 50 frames"):
        keep_heard(Segment("audio", segment.data, {**segment.info, "heard": heard}))


def test_a_codec_that_works_in_segments_marks_nothing(codecs):
    assert "heard" not in encode(codecs["48khz"], tone(1, 48000, 2)).segments[0].info
