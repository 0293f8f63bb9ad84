"""Errors and manners: exit codes, terminals, full disks, gone readers, interrupts, items that fail."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from helpers.runs import TIMEOUT, no_traceback
from PIL import Image
from typer.core import TyperGroup

from janus_cli.app import VERBS, app
from janus_cli.shell.help import VerbGroup

JANUS = [sys.executable, "-m", "janus_cli"]


def apple(janus) -> bytes:
    return janus("generate", stdin=janus("tokenize", "text", "a red apple").out).out


def on_terminal(args: list[str], stream: str) -> subprocess.CompletedProcess[bytes]:
    """Run `janus` with one of its standard streams on a terminal."""
    ours, theirs = pty.openpty()
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, stream: theirs}
    try:
        return subprocess.run(
            [*JANUS, *args],
            **streams,
            stderr=subprocess.PIPE,
            timeout=TIMEOUT,
            check=False,
        )
    finally:
        os.close(ours)
        os.close(theirs)


# ---- usage


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["drw"], "No such command 'drw'"),
        (["draw"], 'janus draw "a red apple"'),
        (["draw", "a", "--seed", "x"], "--seed"),
        (["draw", "a", "--seed", "-1"], "--seed"),
        (["draw", "a", "--wings"], "--wings"),
        (
            ["draw", "a", "-o", "{colour}.png"],
            "unknown field {colour} (known: {prompt}, {seed}, {index}, {id}, {source}, {name})",
        ),
        (["draw", "a", "-o", "{prompt.__class__}.png"], "unknown field"),
        (["draw", "a", "-o", "{prompt"], "{prompt"),
        (["draw", "a", "-o", "{seed:q}.png"], "{seed:q}.png"),
        (["draw", "a", "-o", "a.tiff"], "use a name in .png"),
        (["draw", "a", "--size", "100"], "--size 100: choose multiples of 8, such as 96 or 104"),
        (["draw", "a", "--size", "64", "--scale", "2"], "not both"),
        (["draw", "a", "--scale", "3"], "scale 3"),
        (["draw", "a", "--json", "-o", "-"], "standard output"),
        (["draw", "a", "--top-p", "0"], "top_p"),
        (["draw", "a", "--device", "abacus"], "abacus"),
        (["draw", "a", "--device", "mps"], "no mps device"),
        (["draw", "word " * 100], "too long: model pocket takes 64 in all"),
        (["generate", "--to", "smell"], "smell"),
        (["tokenize", "text", "a", "-o", "shard-%s-%d.tar"], "one number"),
        (["tokenize", "image", "."], "holds no file ending in"),
    ],
)
def test_wrong_usage(janus, args, says):
    done = janus(*args)
    assert done.code == 2 and says in done.err and no_traceback(done)
    assert not [p for p in Path().iterdir() if p.suffix != ".stdin"]


def test_no_arguments_show_the_help(janus):
    done = janus()
    assert done.code == 2 and done.err.startswith("Usage: janus")
    assert janus("--help").text == done.err


def _every_command(command, path=()):
    yield path
    if isinstance(command, TyperGroup):
        context = command.make_context("janus", [], resilient_parsing=True)
        for name in command.list_commands(context):
            yield from _every_command(_get(command, context, name), (*path, name))


def _get(group, context, name):
    return group.import_command(name) if isinstance(group, VerbGroup) else group.get_command(context, name)


@pytest.mark.parametrize("path", list(_every_command(typer.main.get_command(app))), ids=" ".join)
def test_no_line_of_any_help_is_long_or_cut_short(janus, monkeypatch, path):
    monkeypatch.setenv("COLUMNS", "80")
    usage, _, rest = janus(*path, "--help").text.partition("\n\n")
    assert usage.startswith(f"Usage: {' '.join(('janus', *path))} [OPTIONS]")
    lines = [*usage.splitlines(), *rest.splitlines()]
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in rest.splitlines() if line.rstrip().endswith(("...", "…"))] == []


def test_every_command_stands_in_one_section(janus):
    verbs = {name: verb for verbs in VERBS.values() for name, verb in verbs.items()}
    group = typer.main.get_command(app)
    context = group.make_context("janus", [], resilient_parsing=True)
    assert group.list_commands(context) == list(verbs)
    for name, (_, line) in verbs.items():
        command = group.import_command(name)
        assert line == command.get_short_help_str(10_000) == group.get_command(context, name).short_help
    text = janus("--help").text
    places = [text.index(f"\n{title}:\n") for title in VERBS]
    assert places == sorted(places) and "Commands:" not in text


def test_help_of_what_makes_anything_speaks_of_anything(janus):
    for command in ("generate", "speak", "draw"):
        text = " ".join(janus(command, "--help").text.split())
        assert "How many for each prompt" in text and "gives the same result" in text
        assert "Pictures for" not in text and "no picture" not in text


# ---- input that is wrong


@pytest.mark.parametrize(
    ("args", "data", "says"),
    [
        (["info"], b"", "stdin: empty"),
        (["generate"], b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "stdin: this is a PNG picture"),
        (["decode"], b"hello, world, this is text", "stdin: "),
        (["tokenize", "image"], b"no picture", "stdin: not a picture"),
        (["tokenize", "text"], b"\xff\xfe", "stdin: byte 0 is not UTF-8"),
        (["info", "missing.safetensors"], b"", "missing.safetensors: no such file"),
        (["info", "nomodel"], b"", "no model 'nomodel' (have: judge, pocket, pocket-any)"),
        (["decode", "missing.safetensors"], b"", "missing.safetensors: No such file"),
        (["draw", "a", "-m", "nomodel"], b"", "no model 'nomodel' (have: judge, pocket, pocket-any)"),
        (["train", "missing.toml"], b"", "missing.toml: no such recipe"),
        (["tokenize", "text", "a", "--tokenizer", "nofile.json"], b"", "nofile.json: No such file"),
    ],
)
def test_wrong_input(janus, args, data, says):
    done = janus(*args, stdin=data)
    assert done.code == 1 and says in done.err and no_traceback(done)


def test_a_truncated_stream(janus):
    tokens = janus("tokenize", "text", "a", "b").out
    done = janus("generate", stdin=tokens[:-60])
    assert done.code == 1 and "stdin: after record 1: truncated" in done.err


def test_foreign_tokens_are_named(janus):
    tokens = apple(janus).replace(b"fingerprint", b"fingerprint", 1)
    start = tokens.index(b"fingerprint") + len(b'fingerprint\\":\\"')
    foreign = tokens[:start] + b"beef" + tokens[start + 4 :]
    for command in ("denoise", "upsample", "decode"):
        done = janus(command, stdin=foreign)
        assert done.code == 1 and "tokens are of pocket (beef" in done.err, command


def test_tokens_of_a_model_that_is_not_here(janus):
    done = janus("decode", stdin=apple(janus).replace(b'tokenizer\\":\\"pocket', b'tokenizer\\":\\"rocket'))
    assert done.code == 1 and "made by model 'rocket', which is not here" in done.err


def test_one_bad_picture_among_many(janus):
    for name in ("a.png", "c.png"):
        Image.new("RGB", (8, 8)).save(name)
    Path("b.png").write_text("no picture")
    done = janus("tokenize", "image", "a.png", "b.png", "c.png", "missing.png", "-o", "out/")
    assert done.code == 3
    assert "b.png: not a picture" in done.err and "missing.png: No such file" in done.err
    assert "2 of 4 items failed; the rest is done" in done.err
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.safetensors", "c.safetensors"]


def test_one_bad_token_file_among_many(janus):
    janus("tokenize", "text", "a", "-o", "a.safetensors")
    Path("b.safetensors").write_bytes(Path("a.safetensors").read_bytes()[:50])
    done = janus("decode", "b.safetensors", "a.safetensors")
    assert done.code == 3 and done.text == "a\n" and "b.safetensors: " in done.err


def test_one_bad_prompt_among_many(janus):
    done = janus("draw", "a", "word " * 100, "b", "-o", "{prompt}.png")
    assert done.code == 3 and "too long" in done.err and "1 of 3 items failed" in done.err
    assert sorted(p.name for p in Path().glob("*.png")) == ["a.png", "b.png"]


def test_all_bad(janus):
    Path("b.png").write_text("no picture")
    done = janus("tokenize", "image", "b.png", "missing.png", "-o", "out.safetensors")
    assert done.code == 1 and "all 2 items failed" in done.err and not Path("out.safetensors").exists()


def test_all_bad_for_how_it_was_asked(janus):
    done = janus("draw", "word " * 100, "words " * 100)
    assert done.code == 2 and "all 2 items failed" in done.err
    Path("b.safetensors").write_bytes(apple(janus)[:-9])
    janus("tokenize", "text", "word " * 100, "-o", "a.safetensors")
    assert janus("generate", "a.safetensors").code == 2
    assert janus("generate", "a.safetensors", "b.safetensors").code == 1


# ---- output that cannot be


def test_tokens_do_not_go_to_a_terminal(environment):
    done = on_terminal(["tokenize", "text", "a"], "stdout")
    assert done.returncode == 2 and b"-o FILE.safetensors" in done.stderr


def test_pictures_do_not_go_to_a_terminal(environment):
    done = on_terminal(["draw", "a", "-o", "-"], "stdout")
    assert done.returncode == 2 and b"a picture is not written to the terminal" in done.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["generate"], b"pipe records in"),
        (["tokenize", "text"], b"give the text as an argument"),
        (["tokenize", "image"], b"name a picture"),
    ],
)
def test_nothing_waits_for_a_terminal(environment, args, says):
    done = on_terminal(args, "stdin")
    assert done.returncode in (1, 2) and says in done.stderr


def test_closed_standard_streams(shell):
    assert "no input" in shell("janus info <&-").err
    assert "standard output is closed" in shell("janus tokenize text a >&-").err


@pytest.mark.parametrize(
    "line",
    [
        "janus tokenize text a > /dev/full",
        "janus tokenize text a -o /dev/full",
        "janus info pocket > /dev/full",
        "janus tokenize text a | janus decode > /dev/full",
    ],
)
def test_a_full_disk(shell, line):
    done = shell(line)
    assert done.code == 1 and no_traceback(done)
    assert "No space left" in done.err or "disk is full" in done.err


def test_a_folder_that_cannot_be_written(janus):
    Path("file").write_text("")
    text = ["tokenize", "text", "a", "-o"]
    for args in (
        [*text, "file/a.safetensors"],
        [*text, "no/folder.safetensors"],
        ["draw", "a", "-o", "file/a.png"],
        ["draw", "a", "-o", "no/folder/a.png"],
        ["draw", "a", "-o", "{seed}/a.png"],
        [*text, "no/folder.tar"],
    ):
        done = janus(*args)
        assert done.code == 1 and no_traceback(done), done
        folder = args[-1].rpartition("/")[0].format(seed=0)
        assert f"there is no folder {folder}: make it first" in done.err and not Path("no").exists()
    for args in (["draw", "a"], text[:-1]):
        assert janus(*args, "-o", "new/folder/").code == 0


def test_a_missing_folder_is_said_before_anything_is_made(janus, monkeypatch):
    tokens = apple(janus)
    monkeypatch.setattr("janus_cli.nets.build.build", lambda *_: 1 / 0)
    for args in (["draw", "a"], ["decode"]):
        assert "there is no folder no" in janus(*args, "-o", "no/a.png", stdin=tokens).err


def test_token_files_are_not_overwritten(janus):
    for name in ("a.safetensors", "a.tar"):
        assert janus("tokenize", "text", "a", "-o", name).code == 0
        done = janus("tokenize", "text", "b", "-o", name)
        assert done.code == 1 and "exists: use another name, --force" in done.err
        assert janus("tokenize", "text", "b", "-o", name, "--skip-existing").code == 0
        assert janus("decode", name).text == "a\n"
        assert janus("tokenize", "text", "b", "-o", name, "--force").code == 0
        assert janus("decode", name).text == "b\n"


def test_files_in_a_folder_get_names_that_are_free(janus):
    for text, flags in (("a", []), ("b", []), ("c", ["--skip-existing"]), ("d", ["--force"])):
        assert janus("tokenize", "text", text, "-o", "out/", *flags).code == 0
    assert janus("decode", "out/0.safetensors").text == "d\n"
    assert janus("decode", "out/0-1.safetensors").text == "b\n"
    assert len(list(Path("out").iterdir())) == 2


def test_a_file_can_be_replaced_by_what_is_made_of_it(janus):
    janus("tokenize", "text", "a", "-o", "a.safetensors")
    assert janus("generate", "a.safetensors", "-o", "a.safetensors", "--force").code == 0
    assert janus("decode", "a.safetensors").out.startswith(b"\x89PNG")


def test_nothing_half_written_is_left(janus):
    tokens = janus("tokenize", "text", "a", "b").out[:-60]
    for name in ("out.safetensors", "out.tar"):
        assert janus("generate", "-o", name, stdin=tokens).code == 1
    assert list(Path().iterdir()) == []


# ---- other processes


def test_a_reader_that_goes_is_no_trouble(shell):
    done = shell(
        "set +o pipefail; yes apple | head -2000 | janus tokenize text --lines | head -c 100 > /dev/null"
    )
    assert done.code == 0 and done.err == ""
    assert shell("janus --help | true").err == ""


@pytest.mark.slow
def test_a_killed_upstream_is_no_short_success(shell):
    done = shell(
        "{ janus tokenize text a b | head -c 500; } | janus generate | janus info > /dev/null; "
        "echo ${PIPESTATUS[@]}"
    )
    assert done.text.split()[1:] == ["1", "1"]
    assert "stdin: after record 1: truncated" in done.err and "without an end record" in done.err


def test_interrupt(environment):
    command = [*JANUS, "tokenize", "text", "--lines", "-o", "out.safetensors"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        process.stdin.write(b"a\n" * 50_000)  # more than a pipe holds: it is reading when this returns
        process.stdin.flush()
        assert list(Path().glob(".*.part"))
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130
        assert process.stderr.read() == b""
    assert list(Path().iterdir()) == []


# ---- debugging


def test_a_traceback_only_on_demand(janus, monkeypatch):
    monkeypatch.setenv("JANUS_DEBUG", "1")
    done = janus("decode", "missing.safetensors")
    assert done.code == 1 and "Traceback" in done.err and "RecordError" in done.err


def test_a_bug_says_so(janus, monkeypatch):
    from janus_cli import zoo

    def broken(name: str) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(zoo, "find", broken)
    done = janus("models", "show", "pocket")
    assert done.code == 1 and "Traceback" in done.err and "this is a bug" in done.err
