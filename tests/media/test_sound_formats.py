"""The table of sounds that are read: each row with a file and its right samples; the rest is refused."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers.sounds import file_bytes, mpeg_frames

from janus_cli.errors import MediaError
from janus_cli.media.sniff import HEAD, sniff
from janus_cli.media.sound_formats import CHANNELS, RATES, SOUND_FORMATS, SUFFIXES, WIDTHS
from janus_cli.media.sounds import open_sound

# what a sample may be off: half a step of the plain ones, more of those that are coarser at full scale
EXACT = {"PCM_S8": 1 / 127, "PCM_U8": 1 / 127, "PCM_16": 1e-4, "ALAC_16": 1e-4, "ULAW": 0.02, "ALAW": 0.02}
LOSSY = {"VORBIS", "OPUS", "MPEG_LAYER_III", "IMA_ADPCM", "MS_ADPCM"}
BLOCK = 2048  # samples of ADPCM that come together; the last block is filled up
ROWS = [(f, s) for f, row in SOUND_FORMATS.items() for s in row.subtypes]
FOREIGN = [
    (b"\0\0\0\x1cftypM4A \0\0\0\0", "an M4A (AAC or ALAC) sound"),
    (b"\0\0\0\x1cftypisom\0\0\0\0", "an MP4 file"),
    (b"\xff\xf1\x60\x40\x02\x3f\xfc", "an AAC sound"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9", "a WMA (ASF) file"),
    (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81", "a WebM or Matroska file"),
    (b"wvpk" + bytes(8), "a WavPack sound"),
    (b"#!AMR\n", "an AMR sound"),
    (b"MAC \x96\x0f", "a Monkey's Audio sound"),
    (b"Creative Voice File\x1a", "a VOC sound"),
]


def read(data, name="x"):
    with open_sound(io.BytesIO(data), name) as sound:
        return sound.whole()


def wave(seconds, rate, channels):
    """A slow and a quick sine at half of full scale, the second channel the other way up."""
    time = np.arange(round(seconds * rate)) / rate
    line = 0.35 * np.sin(2 * np.pi * 220 * time) + 0.15 * np.sin(2 * np.pi * 550 * time)
    return np.stack([line, -line][:channels]).astype(np.float32)


@pytest.mark.parametrize(("format", "subtype"), [r for r in ROWS if not r[1].startswith("MPEG_LAYER_I")])
@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (8000, 1)])
def test_each_row_gives_the_right_samples(format, subtype, rate, channels):
    sound = wave(0.25, rate, channels)
    found = read(file_bytes(sound, rate, format, subtype))
    if subtype.endswith("ADPCM"):
        assert 0 <= found.shape[1] - sound.shape[1] < BLOCK
        found = found[:, : sound.shape[1]]
    assert found.shape == sound.shape
    if subtype not in LOSSY:
        assert np.abs(found - sound).max() <= EXACT.get(subtype, 1e-6)
        return
    inner = slice(rate // 20, -rate // 20)
    assert np.sqrt(np.mean((found - sound)[:, inner] ** 2)) < 0.02


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
def test_mpeg_of_every_version(rate):
    sound = wave(0.5, rate, 1)
    data = file_bytes(sound, rate, "MP3")
    assert sniff(data[:HEAD]).name == "an MP3 sound"
    found = read(data)
    assert found.shape == sound.shape
    inner = slice(rate // 20, -rate // 20)
    assert np.sqrt(np.mean((found - sound)[:, inner] ** 2)) < 0.02


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize(("version", "rate"), [(3, 44100), (2, 22050)])
def test_mpeg_of_the_older_layers(layer, version, rate):
    data = mpeg_frames(5, layer, version)
    assert sniff(data[:HEAD]).name == "an MP3 sound"
    with open_sound(io.BytesIO(data), "x") as sound:
        assert (sound.sample_rate, sound.num_samples) == (rate, 5 * (384 if layer == 1 else 1152))
        assert not sound.whole().any()


@pytest.mark.parametrize(
    ("format", "subtype", "rate", "channels", "message"),
    [
        ("WAV", "GSM610", 8000, 1, "WAV GSM610 is not read: convert it first: ffmpeg -i x out.wav"),
        ("WAV", "G721_32", 8000, 1, "WAV G721_32 is not read"),
        ("AIFF", "DWVW_16", 8000, 1, "AIFF DWVW_16 is not read"),
        ("AIFF", "IMA_ADPCM", 8000, 1, "AIFF IMA_ADPCM is not read"),
        ("CAF", "ALAC_20", 8000, 1, "CAF ALAC_20 is not read"),
        ("NIST", "PCM_16", 8000, 1, "a NIST SPHERE sound, which is not read: convert it first"),
        ("WAV", "PCM_16", RATES[1] + 1, 1, "768,001 Hz is not read, only 1 to 768,000"),
        ("WAV", "PCM_16", 8000, CHANNELS + 1, "33 channels are not read, only 1 to 32"),
    ],
)
def test_what_the_table_lacks_is_refused(format, subtype, rate, channels, message):
    data = file_bytes(np.zeros((channels, 320)), rate, format, subtype)
    with pytest.raises(MediaError, match=f"^x: {message}"):
        read(data)


def test_the_ends_of_the_table_are_read():
    for rate, channels in [(RATES[0], 1), (RATES[1], 1), (8000, CHANNELS)]:
        assert read(file_bytes(np.full((channels, 100), 0.5), rate)).max() == 0.5


@pytest.mark.parametrize(("head", "name"), FOREIGN)
def test_other_sounds_are_named(head, name):
    assert sniff(head[:HEAD]).name == name
    with pytest.raises(
        MediaError, match="which is not read: convert it first: ffmpeg -i 'a b.x' out.wav$"
    ) as e:
        read(head + bytes(100), "a b.x")
    assert str(e.value).startswith(f"a b.x: {name}")


def test_text_is_no_mpeg():
    text = "\ufeffa red apple, and more of it".encode("utf-16-le")
    assert sniff(text[:HEAD]) is None
    with pytest.raises(MediaError, match="not a sound that can be read"):
        read(text)


def test_folders_take_what_the_table_has():
    assert len(SUFFIXES) == len(set(SUFFIXES))
    assert set(WIDTHS) >= {s for _, s in ROWS if s.startswith("PCM")}


def test_the_page_has_the_table():
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    for row in SOUND_FORMATS.values():
        assert f"| {row.name} | {' '.join(row.suffixes)} | {', '.join(row.subtypes)} |" in page
    assert f"{RATES[0]:,} to {RATES[1]:,} Hz" in page and f"1 to {CHANNELS} channels" in page


def test_a_rate_of_nothing_is_one_line():
    data = bytearray(file_bytes(np.zeros((1, 100)), 8000))
    data[24:28] = struct.pack("<I", 0)
    with pytest.raises(MediaError, match="^x: "):
        read(bytes(data))
