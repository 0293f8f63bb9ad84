"""`janus speak`: words into sounds, on a tiny model."""

import io
import json

import numpy as np
import soundfile
from helpers.runs import no_traceback


def test_speak_writes_a_wav_that_says_how_it_was_made(janus, senses):
    done = janus("speak", "a red apple", "--seconds", "0.4", "--seed", "7")
    assert (done.code, done.out) == (0, b""), done.err
    assert "janus: wrote a-red-apple.wav" in done.err and "1 sound, seed 7" in done.err
    about = soundfile.info("a-red-apple.wav")
    assert about.samplerate == 16000 and 0 < about.frames <= 6400 and about.frames % 320 == 0
    facts = json.loads(janus("info", "--json", "a-red-apple.wav").text)
    assert (facts["prompt"], facts["seed"], facts["model"]) == ("a red apple", 7, "pocket-any")
    assert [s["stage"] for s in facts["made_by"]] == ["tokenize", "generate"]
    again = janus("speak", "a red apple", "--seconds", "0.4", "--seed", "7", "-o", "-")
    assert again.out[:4] == b"RIFF" and soundfile.info(io.BytesIO(again.out)).frames == about.frames


def test_speak_equals_the_piped_stages(janus, senses):
    janus("speak", "a", "--seconds", "0.3", "-o", "a.wav")
    text = janus("tokenize", "text", "a").out
    tokens = janus("generate", "--to", "audio", "--seconds", "0.3", stdin=text).out
    janus("decode", "-o", "b.wav", stdin=tokens)
    assert np.array_equal(soundfile.read("a.wav")[0], soundfile.read("b.wav")[0])


def test_speak_follows_the_manners_of_draw(janus, senses):
    flags = ["--seconds", "0.1"]
    janus("speak", "a", "-n", "2", *flags, "-o", "{prompt}.wav")
    janus("speak", "a", *flags, "-o", "{prompt}.wav")
    assert janus("speak", "a", *flags, "-o", "a.wav").code == 1
    assert sorted(p.name for p in senses.glob("*.wav")) == ["a-1.wav", "a-2.wav", "a.wav"]
    done = janus("speak", "--stdin", "--json", *flags, "-o", "out/", stdin=b"one\n\ntwo\n")
    assert [json.loads(line)["path"] for line in done.text.splitlines()] == ["out/one.wav", "out/two.wav"]
    for args, message in (
        ([], "no text: janus speak"),
        ([""], "an empty text"),
        (["a", "-o", "a.png"], "use a name in .wav"),
        (["a", "--seconds", "0"], "--seconds 0: give more than 0"),
        (["a", "--json", "-o", "-"], "both want"),
        (["--stdin"], "nothing but empty lines"),
    ):
        done = janus("speak", *args, stdin=b"\n")
        assert done.code == 2 and message in done.err and no_traceback(done), done.err


def test_a_sound_that_was_cut_off_is_told(janus, senses):
    short, whole = (janus("speak", "a", "--seconds", s, "-o", "-").err for s in ("0.02", "5"))
    assert "cut off before its end: give more --seconds" in short and "cut off" not in whole


def test_no_sound_goes_to_a_terminal(janus, senses, monkeypatch):
    import sys

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    done = janus("speak", "a", "-o", "-")
    assert done.code == 2 and "a sound is not written to the terminal: use -o sound.wav" in done.err
