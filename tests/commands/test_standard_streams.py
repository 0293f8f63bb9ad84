"""Standard streams of the commands: foreign words on a terminal, a closed or full output, mixed outputs."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import no_traceback
from helpers.sounds import file_bytes, tone
from PIL import Image

from janus_cli import plugins
from janus_cli.records import Record, Segment, dumps, read_stream
from janus_cli.shell.console import Talk
from janus_cli.shell.progress import byte_bar, sound_bar, tile_bar
from janus_cli.stages.plugin import tokenize

NASTY = "a\x1b[31;7m\njanus: wrote b.png\r\x9b2J\u202e"


def tame(err: str) -> bool:
    """Whether a terminal shows the lines of `err` and does not obey them, and all are meant to be lines."""
    lines = err.removesuffix("\n").split("\n")
    return (
        all(line.isprintable() and line.startswith("janus: ") for line in lines)
        and "janus: wrote b.png" not in lines
    )


# ---- foreign words


@pytest.mark.parametrize(
    "args",
    [
        ["tokenize", "image", NASTY],
        ["tokenize", "audio", NASTY],
        ["decode", NASTY],
        ["info", NASTY],
        ["draw", "a", "-m", NASTY],
        ["draw", "a", "-o", NASTY],
        ["draw", "a", "--device", NASTY],
        [NASTY],
    ],
)
def test_foreign_names_do_nothing_to_the_terminal(janus, args):
    done = janus(*args)
    assert done.code in (1, 2) and tame(done.err) and "u001b[31;7m" in done.err.replace("x1b", "u001b")


def test_a_foreign_record_does_nothing_to_the_terminal(janus):
    tokens = Segment("text", np.zeros(2, np.uint16), {"tokenizer": "pocket", "fingerprint": NASTY})
    image = Segment("image", np.full((4, 4), 99, np.uint16), {})
    for record in (Record((tokens,), NASTY), Record((image,), NASTY)):
        for command in ("decode", "generate"):
            done = janus(command, stdin=dumps(record))
            assert done.code == 1 and tame(done.err), done.err


def test_talk_does_nothing_to_the_terminal(capsys):
    Talk()(f"wrote {NASTY}")
    assert tame(capsys.readouterr().err)


@pytest.mark.parametrize(("bar", "given"), [(sound_bar, (1, 8000)), (tile_bar, (9,)), (byte_bar, ())])
def test_a_bar_shows_any_name(capsys, monkeypatch, bar, given):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    with bar(f"{{x}} [b]{NASTY}", *given, quiet=False) as advance:
        advance(8)
    shown = capsys.readouterr().err
    assert "janus: {x} [b]" in shown and "\x1b[31;7m" not in shown and "\\u001b[31;7m" in shown


# ---- outputs that take nothing


@pytest.mark.parametrize("output", ["closed", "full"])
@pytest.mark.parametrize(
    "args",
    [
        ["describe", "a.png"],
        ["transcribe", "a.wav"],
        ["transcribe", "a.wav", "--json"],
        ["info", "a.png"],
        ["info", "pocket", "--json"],
        ["models", "list"],
        ["models", "show"],
        ["models", "verify"],
        ["info", "a.png", "pocket"],
        ["speak", "a", "--seconds", "0.1", "--json"],
        ["decode", "a.safetensors"],
        ["tokenize", "text", "a"],
        ["tokenize", "audio", "a.wav"],
        ["--version"],
        ["--help"],
    ],
)
def test_a_closed_or_full_output_is_one_line(janus, senses, monkeypatch, args, output):
    Image.new("RGB", (32, 32)).save("a.png")
    Path("a.wav").write_bytes(file_bytes(tone(0.1, 16000), 16000))
    janus("tokenize", "text", "a", "-o", "a.safetensors")
    with Path("/dev/full").open("w") as file:
        monkeypatch.setattr(sys, "stdout", None if output == "closed" else file)
        done = janus(*args)
    assert done.code == 1 and no_traceback(done), done.err
    (line,) = (line for line in done.err.splitlines() if "janus: device" not in line)
    assert any(
        words in line
        for words in {"closed": ("standard output is closed",), "full": ("No space left", "disk is full")}[
            output
        ]
    )


def test_a_command_that_says_nothing_needs_no_output(janus, senses, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert janus("tokenize", "text", "a", "-o", "a.safetensors").code == 0


# ---- outputs of several kinds

KINDS = {
    "text": Segment("text", np.array([97], np.uint16), {}),
    "picture": Segment("pixels", np.zeros((1, 1, 8, 8, 3), np.uint8), {}),
    "sound": Segment("waveform", np.zeros((1, 8), np.float32), {"sample_rate": 8000}),
    "series": tokenize(plugins.find("series"), b"1\n2\n", "x").segments[0],
}


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        (["text", "text"], ""),
        (["sound", "sound"], ""),
        (["picture", "picture"], "holds a picture, which another picture cannot follow: use -o"),
        (["series", "series"], "holds a series, which another series cannot follow: use -o"),
        (["text", "text", "picture"], "holds a text, which a picture cannot follow: use -o"),
        (["sound", "text"], "holds a sound, which a text cannot follow"),
        (["picture", "sound"], "holds a picture, which a sound cannot follow"),
    ],
)
def test_standard_output_holds_one_thing(janus, kinds, says):
    records = [dumps(Record((KINDS[kind],), str(i))) for i, kind in enumerate(kinds)]
    done = janus("decode", stdin=b"".join(records))
    assert (done.code, says in done.err) == (bool(says), True) and done.err.count("\n") == bool(says)
    fit = records[:-1] if says else records
    assert done.out == janus("decode", stdin=b"".join(fit)).out != b""
    assert janus("decode", "-o", "all/", stdin=b"".join(records)).code == 0


def test_draw_puts_one_picture_on_standard_output(janus):
    done = janus("draw", "a", "-n", "3", "-o", "-")
    assert done.code == 1 and done.out.count(b"\x89PNG") == 1
    assert done.err.count("cannot follow: use -o") == 1


@pytest.mark.parametrize("output", ["closed", "full"])
def test_nobody_has_to_listen_to_what_is_said(janus, monkeypatch, output):
    data = janus("tokenize", "text", "a").out
    with Path("/dev/full").open("w") as file:
        monkeypatch.setattr(sys, "stderr", None if output == "closed" else file)
        drawn, failed = janus("draw", "a", "-o", "-"), janus("decode", stdin=data[:-9])
    assert (drawn.code, drawn.out[:4], failed.code, failed.out) == (0, b"\x89PNG", 1, b"")


def test_a_file_name_that_is_no_text_comes_out_as_it_is(janus):
    name = b"a\xff.png".decode("utf-8", "surrogateescape")
    Image.new("RGB", (32, 32)).save(name)
    assert b"a\\udcff.png" in janus("info", name).out
    assert json.loads(janus("info", "--json", name).out)["file"] == name


def test_a_file_name_that_is_no_text_becomes_an_id_that_is(janus):
    name = b"a\xff.png".decode("utf-8", "surrogateescape")
    Image.new("RGB", (32, 32)).save(name)
    [record] = read_stream(io.BytesIO(janus("tokenize", "image", name).out))
    assert record.id == "a\ufffd" and record.made_by[0]["source"] == "a\ufffd.png"
