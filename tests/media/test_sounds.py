"""Sounds in and out: every format, rate and channel count, damaged files, and what is written."""

import errno
import io
import json
import os
import struct
import subprocess
import threading
import wave

import numpy as np
import pytest
import soundfile
from helpers.sounds import cut, file_bytes, sound_bytes, tone

from janus_cli.errors import MediaError
from janus_cli.media import sounds
from janus_cli.media.sound_writer import Writer, wav_header
from janus_cli.media.sounds import Sound, fit, open_sound, read_comment

LOSSLESS = [
    ("WAV", "PCM_16"),
    ("WAV", "PCM_24"),
    ("WAV", "FLOAT"),
    ("WAV", "PCM_U8"),
    ("FLAC", "PCM_16"),
    ("AIFF", "PCM_16"),
    ("RF64", "PCM_16"),
    ("W64", "PCM_16"),
    ("CAF", "PCM_16"),
    ("AU", "PCM_16"),
]


def read(data, name="x", **to):
    with open_sound(io.BytesIO(data), name) as sound:
        return (fit(sound, **to) if to else sound).whole()


@pytest.mark.parametrize(("format", "subtype"), LOSSLESS)
def test_lossless_formats(format, subtype):
    sound = tone(0.3, 8000, 2)
    found = read(file_bytes(sound, 8000, format, subtype))
    assert found.dtype == np.float32 and found.shape == sound.shape
    np.testing.assert_allclose(found, sound, atol=1 / 100 if subtype == "PCM_U8" else 1e-4)


@pytest.mark.parametrize(
    ("format", "subtype"), [("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]
)
def test_lossy_formats(format, subtype):
    sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(24000) / 24000, dtype=np.float32)[None]
    found = read(file_bytes(sound, 24000, format, subtype))
    assert abs(found.shape[1] - 24000) < 2500
    assert found[0, 4000:20000].std() == pytest.approx(sound.std(), rel=0.1)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 32000, 44100, 48000, 96000])
def test_every_rate_becomes_the_codecs_and_keeps_its_length(rate):
    time = np.arange(rate) / rate
    found = read(file_bytes(0.5 * np.sin(2 * np.pi * 440 * time)[None], rate), sample_rate=16000, channels=1)
    assert found.shape == (1, 16000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(found[0, 500:-500], expected[500:-500], atol=2e-3)


def test_resampling_does_not_depend_on_the_pieces():
    sound = tone(1, 44100, 2)
    whole, parts = (
        fit(Sound(44100, 2, 44100, pieces), 16000, 1).whole()
        for pieces in ([sound], cut(sound, (1, 10, 997, 5000)))
    )
    np.testing.assert_array_equal(whole, parts)


def test_channels_are_mixed():
    left, right = np.full((1, 10), 0.5, np.float32), np.full((1, 10), -0.25, np.float32)

    def mixed(pieces, channels):
        sound = Sound(8000, len(pieces), 10, [np.concatenate(pieces)])
        return fit(sound, 8000, channels).whole()[:, 0].tolist()

    assert mixed([left, right], 1) == [0.125]
    assert mixed([left], 2) == [0.5, 0.5]
    assert mixed([left, right], 2) == [0.5, -0.25]
    assert mixed([left] * 6, 1) == [0.5]
    nothing = np.zeros((1, 10), np.float32)
    left_only = mixed([left, nothing, nothing, left, nothing, nothing], 2)  # the low channel is left out
    assert left_only == pytest.approx([0.5 / 2.4142, 0], abs=1e-6)
    assert mixed([left] * 6, 2) == pytest.approx([0.5, 0.5], abs=1e-4)  # and full scale stays full scale
    assert mixed([left, right, left, right], 2) == [0.125, 0.125]


def test_long_files_come_in_pieces():
    with open_sound(io.BytesIO(file_bytes(np.zeros((1, 200000)), 8000)), "x") as sound:
        assert [piece.shape for piece in sound.pieces] == [(1, 65536)] * 3 + [(1, 3392)]
        assert sound.seconds == 25


def test_a_pipe_is_read_although_libsndfile_seeks():
    for format in ("WAV", "FLAC", "OGG", "MP3"):
        reader, writer = os.pipe()
        data = file_bytes(tone(0.5, 16000), 16000, format)
        thread = threading.Thread(target=lambda w=writer, d=data: (os.write(w, d), os.close(w)))
        thread.start()
        with os.fdopen(reader, "rb") as pipe, open_sound(pipe, "stdin") as sound:
            assert abs(sound.whole().shape[1] - 8000) < 2000
        thread.join()


def test_a_streamed_wav_without_a_length_is_whole():
    samples = np.arange(100, dtype="<i2").tobytes()
    for length in (0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF - 36):
        header = bytearray(wav_header(8000, 1, None))
        header[4:8], header[-4:] = struct.pack("<I", length), struct.pack("<I", length)
        assert read(bytes(header) + samples).shape == (1, 100)


@pytest.mark.parametrize("seconds", [0.1, 10])
def test_a_streamed_flac_without_a_length_is_whole(tmp_path, seconds):
    sound = tone(seconds, 16000, 2)
    data = bytearray(file_bytes(sound, 16000, "FLAC"))
    data[21:26] = bytes([data[21] & 0xF0, 0, 0, 0, 0])  # RFC 9639, 8.2: 36 bits, 0 = not known
    found = read(bytes(data))
    np.testing.assert_allclose(found, np.clip(sound, -1, 1), atol=1e-4)
    (tmp_path / "a.flac").write_bytes(data)
    with (tmp_path / "a.flac").open("rb") as file, open_sound(file, "a") as opened:
        assert opened.num_samples == sound.shape[1] and opened.seconds == seconds
    assert read_comment(tmp_path / "a.flac", "a")[0].seconds == seconds
    with pytest.raises(MediaError, match="damaged after"):
        read(bytes(data[:-20]))


def test_a_streamed_au_without_a_length_is_whole():
    data = bytearray(file_bytes(tone(0.1, 8000), 8000, "AU"))
    data[8:12] = b"\xff" * 4
    assert read(bytes(data)).shape == (1, 800)


def test_no_samples_are_a_sound_of_no_length():
    assert read(file_bytes(np.zeros((2, 0)), 8000)).shape == (2, 0)
    assert read(file_bytes(np.zeros((2, 0)), 44100), sample_rate=16000, channels=1).shape == (1, 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x: empty"),
        (b"hello, this is no sound at all", "x: not a sound that can be read; known are WAV, FLAC"),
        (struct.pack("<Q", 8) + b'{"a":1} ', "x: not a sound but a token record: use janus decode"),
        (b"\x89PNG\r\n\x1a\n" + b"0" * 50, "x: not a sound but a picture: use janus tokenize image"),
        (b"RIFF\0\0\0\0WEBPVP8 " + b"0" * 50, "x: not a sound but a picture: use janus tokenize image"),
        (b"RIFF\0\0\0\0WAVE" + b"0" * 50, "x: a damaged or unknown sound"),
        (b"fLaC" + b"0" * 50, "x: a damaged or unknown sound"),
    ],
)
def test_what_is_no_sound_is_said(data, message):
    with pytest.raises(MediaError, match=message.replace("(", r"\(")):
        read(data)


@pytest.mark.parametrize(
    ("format", "message"),
    [
        ("WAV", r"truncated: 10,\d+ of 16,000 bytes of samples"),
        ("AIFF", r"truncated: 10,\d+ of 16,\d+ bytes of samples"),
        ("AU", r"truncated: 10,\d+ of 16,000 bytes of samples"),
        ("W64", r"truncated: 10,\d+ of 16,000 bytes of samples"),
        ("RF64", r"truncated: 10,\d+ of 16,000 bytes of samples"),
        ("CAF", r"truncated: \d+,\d+ of 16,000 bytes of samples"),
        ("FLAC", "damaged after|truncated"),
        ("OGG", "truncated: its last page is missing"),
        ("MP3", r"truncated: 43,776 of 65,664 samples"),
    ],
)
def test_truncated_files_are_refused(format, message):
    data = file_bytes(tone(4 if format in ("OGG", "MP3") else 0.5, 16000), 16000, format)
    with pytest.raises(MediaError, match=f"^x: ({message})"):
        read(data[: len(data) * 2 // 3])


def test_samples_must_be_numbers():
    sound = np.zeros((1, 70000), np.float32)
    sound[0, 69000] = np.nan
    with pytest.raises(MediaError, match="x: holds samples that are no finite numbers, near 65,536"):
        read(file_bytes(sound, 8000, "WAV", "FLOAT"))


@pytest.mark.filterwarnings("error")
def test_a_disk_that_fails_is_said(monkeypatch, capfd):
    """While libsndfile reads, which takes no exception from the file."""
    data, calls = file_bytes(tone(9, 44100), 44100, "FLAC"), []

    def readinto(self, buffer, real=sounds._Window.readinto):
        calls.append(self)
        if len(calls) > 20:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, buffer)

    monkeypatch.setattr(sounds._Window, "readinto", readinto)
    with pytest.raises(MediaError, match="^x: Input/output error$"):
        read(data)
    assert capfd.readouterr() == ("", "")


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "no.wav", tmp_path):
        with pytest.raises(MediaError, match=f"^{path}: "), open_sound(path, str(path)):
            pass


# ---- out


def test_wav_is_read_by_the_standard_library():
    waveform = np.array([[0, 0.5, -2.0], [1.0, -1.0, 0.25]], np.float32)
    data = sound_bytes(Sound(24000, 2, 3, [waveform]), "wav", {"janus": "ä"})
    assert data == sound_bytes(Sound(24000, 2, 3, cut(waveform, [1])), "wav", {"janus": "ä"})
    assert struct.unpack("<I", data[4:8])[0] == len(data) - 8
    with wave.open(io.BytesIO(data)) as sound:
        assert sound.getparams()[:4] == (2, 2, 24000, 3)  # channels, bytes a sample, Hz, samples
        found = np.frombuffer(sound.readframes(3), "<i2").reshape(3, 2)
    assert found.T.tolist() == [[0, 16384, -32767], [32767, -32767, 8192]]
    assert b'ICMT\x14\0\0\0{"janus": "\\u00e4"}' in data


@pytest.mark.parametrize("format", ["wav", "flac", "ogg"])
def test_what_is_written_is_read_again_with_its_parameters(tmp_path, format):
    sound, path = tone(1, 16000, 2), tmp_path / f"a.{format}"
    path.write_bytes(sound_bytes(Sound(16000, 2, 16000, cut(sound, [999])), format, {"janus": '{"a": "ü"}'}))
    with open_sound(path, "a") as found:
        assert (found.sample_rate, found.channels, found.num_samples) == (16000, 2, 16000)
        if format != "ogg":
            np.testing.assert_allclose(found.whole(), np.clip(sound, -1, 1), atol=1e-4)
    about, kind, texts = read_comment(path, "a")
    assert about.seconds == 1 and kind.startswith(format.upper()) and texts == {"janus": '{"a": "ü"}'}


def test_the_same_sound_gives_the_same_bytes():
    sound = tone(0.5, 16000)
    for format in ("wav", "flac"):
        a, b = (
            sound_bytes(Sound(16000, 1, 8000, cut(sound, sizes)), format, {"a": "b"})
            for sizes in ([8000], [7, 500])
        )
        assert a == b


def test_a_strangers_comment_is_no_parameter(tmp_path):
    for comment in ("made by a stranger", "[1, 2]", "7"):
        with soundfile.SoundFile(tmp_path / "a.wav", "w", 8000, 1) as file:
            file.comment = comment
        assert read_comment(tmp_path / "a.wav", "a")[2] == {}


def test_what_cannot_be_written_is_said():
    with pytest.raises(MediaError, match="unknown sound format 'mp3'"):
        Writer(io.BytesIO(), "mp3", 16000, 1)
    with pytest.raises(MediaError, match="12 channels at 16000 Hz cannot be written as flac"):
        Writer(io.BytesIO(), "flac", 16000, 12)
    with pytest.raises(MediaError, match="more than 4 GB do not fit into a WAV file"):
        wav_header(48000, 2, 1 << 31)


@pytest.mark.parametrize("format", ["wav", "flac", "ogg"])
def test_a_full_disk_is_an_os_error(format):
    class Full(io.BytesIO):
        def write(self, data):
            if self.tell() + len(data) > 10000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    noise = np.random.default_rng(0).normal(0, 0.3, (1, 400000)).astype(np.float32)
    file = Full()
    with pytest.raises(OSError, match="No space left"), Writer(file, format, 16000, 1, 400000) as writer:
        writer.write(noise)


def test_ffmpeg_reads_a_streamed_wav_if_it_is_here(tmp_path):
    import shutil

    if shutil.which("ffmpeg") is None:
        pytest.skip("no ffmpeg here")
    data = wav_header(16000, 1, None, json.dumps({"a": "b"}).encode()) + bytes(3200)
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", "-", "-f", "s16le", "-"], input=data, capture_output=True, check=False
    )
    assert len(done.stdout) == 3200
