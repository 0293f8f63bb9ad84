"""`janus tokenize audio`, `decode` and `info` of sounds: formats, pipes, manners, errors, memory."""

import io
import json
import struct
import subprocess
import sys
import wave

import numpy as np
import pytest
import soundfile
import torch
from helpers.runs import no_traceback
from helpers.sounds import file_bytes, leave_open, tone

from janus_cli.records import Record, Segment, dumps, loads, read_stream, wire

END_OF_ONE = wire.pack({"end": {"count": 1}, "format": 1}, {})  # what closes a numbered stream of one record


@pytest.fixture
def speech(environment):
    """A stereo WAV of 1.5 s at 44.1 kHz."""
    (environment / "speech.wav").write_bytes(file_bytes(tone(1.5, 44100, 2), 44100))
    return environment / "speech.wav"


def record_of(done):
    assert done.code == 0, done.err
    return next(read_stream(io.BytesIO(done.out)))


def test_round_trip_keeps_the_length_and_says_how_it_was_made(janus, speech, environment):
    assert janus("tokenize", "audio", "speech.wav", "-o", "a.safetensors").code == 0
    (segment,) = loads((environment / "a.safetensors").read_bytes()).segments
    assert segment.data.shape == (2, 75) and segment.info["num_samples"] == 24000
    done = janus("decode", "a.safetensors", "-o", "out/")
    assert (done.code, done.err.splitlines()[-1]) == (0, "janus: wrote out/speech.wav")
    about = soundfile.info(environment / "out/speech.wav")
    assert (about.frames, about.samplerate, about.channels) == (24000, 16000, 1)
    facts = json.loads(janus("info", "--json", "out/speech.wav").text)
    assert (facts["kind"], facts["seconds"], facts["num_samples"]) == ("sound", 1.5, 24000)
    assert facts["made_by"][0] == {"stage": "tokenize", "modality": "audio", "source": "speech.wav"}
    assert len(facts["tokens"]) == 64
    assert janus("info", "out/speech.wav").text.startswith(
        "out/speech.wav  sound 1.50 s  16000 Hz  1 channels  WAV PCM_16\n"
    )


@pytest.mark.parametrize(
    ("format", "rate", "channels"),
    [("WAV", 8000, 1), ("FLAC", 48000, 2), ("OGG", 22050, 1), ("MP3", 44100, 2), ("WAV", 48000, 6)],
)
def test_formats_rates_and_channels_from_files_and_stdin(janus, environment, format, rate, channels):
    data = file_bytes(tone(0.5, rate, channels), rate, format)
    (environment / f"a.{format.lower()}").write_bytes(data)
    named = record_of(janus("tokenize", "audio", f"a.{format.lower()}")).segments[0]
    piped = record_of(janus("tokenize", "audio", stdin=data))
    assert piped.id == "stdin" and named.data.tolist() == piped.segments[0].data.tolist()
    assert named.info["num_samples"] == pytest.approx(8000, abs=1500 if format == "MP3" else 1)


def test_the_same_input_gives_the_same_bytes(janus, speech):
    first = janus("tokenize", "audio", "speech.wav").out
    assert first == janus("tokenize", "audio", "speech.wav").out
    assert janus("decode", stdin=first).out == janus("decode", stdin=first).out
    janus("decode", "-o", "a.flac", stdin=first)
    janus("decode", "-o", "b.flac", stdin=first)
    assert (speech.parent / "a.flac").read_bytes() == (speech.parent / "b.flac").read_bytes()


@pytest.mark.parametrize(
    ("format", "subtype"), [("WAV", None), ("FLAC", None), ("OGG", "OPUS"), ("MP3", None)]
)
def test_all_of_a_joined_file_is_tokenized(janus, environment, format, subtype):
    data = file_bytes(tone(1, 16000), 16000, format, subtype)
    for stdin in (data + data, data + data + b"TAG" + bytes(125)):
        record = record_of(janus("tokenize", "audio", "-q", stdin=stdin))
        assert record.segments[0].info["num_samples"] == 32000
    (environment / "joined").write_bytes(data + data)
    assert json.loads(janus("info", "--json", "joined").text)["seconds"] == 2
    done = janus("tokenize", "audio", "-q", "-", stdin=data + b"and something else")
    assert (done.code, done.out, done.err.count("\n")) == (1, b"", 1) and done.err.startswith(
        "janus: stdin: "
    )


def test_folders_and_failures_are_counted(janus, speech, environment):
    sounds = environment / "sounds"
    sounds.mkdir()
    speech.rename(sounds / "b.wav")
    (sounds / "a.flac").write_bytes(b"nothing of the kind")
    (sounds / "c.mp3").write_bytes(b"")
    (sounds / "notes.txt").write_text("not asked for")
    done = janus("tokenize", "audio", "sounds", "-o", "all.safetensors")
    assert done.code == 3 and no_traceback(done)
    assert "janus: sounds/a.flac: not a sound that can be read" in done.err
    assert "janus: sounds/c.mp3: empty" in done.err and "2 of 3 items failed; the rest is done" in done.err
    assert janus("info", "all.safetensors").text.startswith("all.safetensors  record 0  id 'b'")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "stdin: empty"),
        (b"no sound " * 9, "stdin: not a sound that can be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "stdin: not a sound but a picture: use janus tokenize image"),
    ],
)
def test_what_is_no_sound_is_one_line(janus, data, message):
    done = janus("tokenize", "audio", stdin=data)
    assert done.code == 1 and message in done.err and done.out == b"" and no_traceback(done)


def test_a_truncated_sound_leaves_nothing(janus, speech, environment):
    for format in ("WAV", "FLAC"):
        data = file_bytes(tone(1, 16000), 16000, format)
        (environment / "cut").write_bytes(data[: len(data) // 2])
        done = janus("tokenize", "audio", "cut", "-o", "a.safetensors")
        assert done.code == 1 and "janus: cut: " in done.err and not (environment / "a.safetensors").exists()


def test_errors_of_the_command_line(janus, speech, environment):
    for args, code, message in (
        (["tokenize", "audio", "no.wav"], 1, "no.wav: No such file or directory"),
        (["tokenize", "audio", "speech.wav", "--bandwidth", "3"], 2, "this codec makes multiples of 0.25"),
        (["tokenize", "audio", "speech.wav", "-m", "encodec_24khz"], 1, "is not here: fetch https"),
        (["tokenize", "audio", "speech.wav", "-m", "facebook/encodec_32khz"], 1, "janus models pull"),
        (["tokenize", "audio", "speech.wav", "-m", "nothing"], 1, "no model 'nothing'"),
        (["tokenize", "image", "speech.wav"], 1, "not a picture"),
        (["decode", "a.safetensors", "-o", "a.png"], 1, "holds a sound: use a name in .wav, .flac"),
        (["decode", "a.safetensors", "-o", "a.mp3"], 2, "no known format"),
    ):
        if args[0] == "decode":
            janus("tokenize", "audio", "speech.wav", "-o", "a.safetensors")
        done = janus(*args)
        assert (done.code, no_traceback(done)) == (code, True), done.err
        assert message in done.err
    janus("tokenize", "text", "a", "-o", "text.safetensors")
    assert "holds text, not a sound" in janus("decode", "text.safetensors", "-o", "a.wav").err


def test_a_model_without_codec(janus, speech, tiny_model, environment):
    folder = environment / "deaf"
    folder.mkdir()
    config = json.loads((tiny_model / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"codec": None, "name": "deaf"}))
    tokens = janus("tokenize", "audio", "speech.wav").out
    for done in (
        janus("tokenize", "audio", "speech.wav", "-m", "deaf"),
        janus("decode", "-m", "deaf", stdin=tokens),
    ):
        assert done.code == 1 and "model deaf has no codec: choose another with --model" in done.err


def test_another_codecs_tokens_are_refused(janus, speech, tiny_model, environment):
    from safetensors.torch import load_file, save_file

    folder = environment / "other"
    folder.mkdir()
    (folder / "config.json").write_bytes((tiny_model / "config.json").read_bytes())
    state = load_file(tiny_model / "codec.safetensors")
    save_file(state | {"quantizers.0.codebook": torch.ones(32, 8)}, folder / "codec.safetensors")
    tokens = janus("tokenize", "audio", "speech.wav").out
    done = janus("decode", "-m", "other", stdin=tokens)
    assert done.code == 1 and "the audio tokens are of pocket (" in done.err


def test_nothing_is_overwritten(janus, speech, environment):
    janus("tokenize", "audio", "speech.wav", "-o", "a.safetensors")
    assert (
        "exists: use another name, --force"
        in janus("tokenize", "audio", "speech.wav", "-o", "a.safetensors").err
    )
    before = speech.read_bytes()
    assert janus("decode", "a.safetensors", "-o", "{id}.wav").err.endswith("wrote speech-1.wav\n")
    assert speech.read_bytes() == before
    assert janus("decode", "a.safetensors", "-o", "{id}.wav", "--force").code == 0
    assert soundfile.info(speech).samplerate == 16000
    janus("decode", "a.safetensors", "a.safetensors", "-o", "new/")
    assert sorted(p.name for p in (environment / "new").iterdir()) == ["speech-1.wav", "speech.wav"]


def write_sounds(place, count):
    """Records of samples, a second and a half each: `decode` needs no codec for them."""
    sound = Segment("waveform", tone(1.5, 16000), {"sample_rate": 16000})
    place.write_bytes(b"".join(dumps(Record((sound,), f"{i}")) for i in range(count)))


@pytest.mark.slow
def test_stdout_is_one_wav_of_all_sounds(shell, environment):
    write_sounds(environment / "a.safetensors", 2)
    piped = shell("janus decode a.safetensors | cat").out
    assert struct.unpack("<I", piped[4:8])[0] == 0xFFFFFFFF  # a pipe: the length was not known yet
    assert soundfile.info(io.BytesIO(piped)).frames == 48000
    shell(
        "janus decode a.safetensors > a.wav; (printf 12; janus decode a.safetensors) > b.wav; "
        "janus decode a.safetensors >> c.wav"
    )
    with wave.open(str(environment / "a.wav")) as file:
        assert file.getnframes() == 48000
    assert (environment / "b.wav").read_bytes() == b"12" + (environment / "a.wav").read_bytes()
    assert (environment / "c.wav").read_bytes() == piped


def test_flac_and_wav_go_into_a_fifo(shell, environment):
    write_sounds(environment / "a.safetensors", 1)
    for suffix in ("wav", "flac"):
        done = shell(
            f"mkfifo x.{suffix}; janus decode a.safetensors -o x.{suffix} & cat x.{suffix} > y.{suffix}; wait"
        )
        assert done.code == 0, done.err
        assert soundfile.info(environment / f"y.{suffix}").frames == 24000


def test_waveform_segments_need_no_codec(janus, environment):
    sound = tone(0.1, 8000, 2)
    for info, message in (
        ({"sample_rate": 8000}, ""),
        ({}, "its sample_rate is None"),
        ({"sample_rate": 8000, "num_samples": 801}, "num_samples 801 does not fit"),
        ({"sample_rate": 8000, "num_samples": 500}, ""),
    ):
        data = dumps(Record((Segment("waveform", sound, info),), "w"))
        done = janus("decode", "-o", "w.flac", "--force", stdin=data)
        assert message in done.err and done.code == bool(message)
        if not message:
            found, rate = soundfile.read(environment / "w.flac", dtype="float32")
            assert rate == 8000 and len(found) == info.get("num_samples", 800)
            np.testing.assert_allclose(found.T, np.clip(sound, -1, 1)[:, : len(found)], atol=1e-4)


def test_info_says_how_long_a_record_lasts(janus, speech):
    lines = janus("info", stdin=janus("tokenize", "audio", "speech.wav").out).text.splitlines()
    assert lines[2].split()[:4] == ["0", "audio", "2x75", "uint16"]
    assert lines[3].split() == ["0", "1.50", "s", "16000", "Hz", "2", "codebooks", "50", "frames/s"]
    facts = janus("info", "pocket").text
    assert "sound tokens" in facts and "2 codebooks of 32, 50 frames/s, 16000 Hz, 1 channels" in facts


@pytest.mark.slow
def test_decode_starts_before_its_input_ends(janus, environment, speech):
    """With the pipe held open after one record, that record's sound is already out."""
    tokens = janus("tokenize", "audio", "speech.wav").out
    with subprocess.Popen(
        [sys.executable, "-m", "janus_cli", "decode", "-q"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        first = b"".join(dumps(record, 0) for record in read_stream(io.BytesIO(tokens)))
        process.stdin.write(first)
        process.stdin.flush()
        head = process.stdout.read(40000)  # the header and most of the 48,000 bytes of samples
        assert head[:4] == b"RIFF" and process.poll() is None
        process.stdin.write(END_OF_ONE)
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait() == 0
    assert soundfile.info(io.BytesIO(head + rest)).frames == 24000


def test_a_bar_on_a_terminal_alone(monkeypatch):
    """Drawn on stderr where that is a terminal; no character of it anywhere else."""
    from janus_cli.shell.progress import sound_bar

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, quiet, drawn in (
        (Terminal(), False, True),
        (Terminal(), True, False),
        (io.StringIO(), False, False),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        with sound_bar("[a].wav", 10, 8000, quiet) as advance:
            advance(8000)
        assert ("janus: [a].wav" in stream.getvalue()) == drawn


PEAK = """
import re, sys
from pathlib import Path
from janus_cli.app import main
code = main(sys.argv[1:])
# of this program alone: getrusage counts what forked it, too
kilobytes = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print("peak", int(kilobytes) // 1024, file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_sound(shell, environment):
    peaks = {}
    for minutes in (1, 20):
        with wave.open(str(environment / "long.wav"), "wb") as file:
            file.setparams((2, 2, 44100, 0, "NONE", ""))
            block = (np.clip(tone(1, 44100, 2), -1, 1).T * 32767).astype("<i2").tobytes()
            for _ in range(minutes * 60):
                file.writeframes(block)
        (environment / "peak.py").write_text(PEAK)
        for line in ("tokenize audio long.wav -o a.safetensors -f", "decode a.safetensors -o b.wav -f"):
            done = shell(f'"$PYTHON" peak.py {line}', env={"PYTHON": sys.executable})
            assert done.code == 0, done.err
            peaks[minutes, line.split()[0]] = int(done.err.split()[-1])
        assert soundfile.info(environment / "b.wav").frames == minutes * 60 * 16000
    for command in ("tokenize", "decode"):
        assert peaks[20, command] < peaks[1, command] + 30, peaks  # MB
        assert peaks[20, command] < 500, peaks


def test_an_ogg_without_its_end_mark_is_tokenized_with_a_word(janus, environment):
    data = file_bytes(tone(0.5, 16000), 16000, "OGG")
    (environment / "a.ogg").write_bytes(leave_open(data))
    done = janus("tokenize", "audio", "a.ogg")
    assert "a.ogg: its end mark is missing: it may be cut off" in done.err
    assert (
        record_of(done).segments[0].data.tolist()
        == record_of(janus("tokenize", "audio", stdin=data)).segments[0].data.tolist()
    )
