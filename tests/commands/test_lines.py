"""Many prompts: lines of standard input, names and seeds of their own, what is there already."""

import json
import os
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.runs import TIMEOUT, no_traceback, records

from janus_cli.records import Record, dumps
from janus_cli.shell.inputs import MAX_LINE

JANUS = [sys.executable, "-m", "janus_cli"]


def made(folder: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.parametrize(
    "lines",
    [
        b"a red apple\r\nuna pi\xc3\xb1a\r\n",
        b"\xef\xbb\xbfa red apple\nuna pi\xc3\xb1a\n",
        unicodedata.normalize("NFD", "# fruit\n\n a red apple \n\t\nuna pi\u00f1a").encode(),
        b"apple-0\ta red apple\nx\tuna pi\xc3\xb1a\n",
        b'{"prompt": "a red apple\\r\\n"}\n  {"prompt": "una pin\\u0303a", "n": 1}\n',
    ],
    ids=["crlf", "bom", "nfd", "named", "json"],
)
def test_lines_of_other_systems_give_the_same_pictures(janus, lines):
    janus("draw", "a red apple", "una pi\u00f1a", "-o", "plain/")
    assert janus("draw", "--stdin", "-o", "lines/", stdin=lines).code == 0
    assert sorted(made("plain").values()) == sorted(made("lines").values())


def test_lines_of_tokenize_pass_the_same_door_and_whole_texts_do_not(janus):
    def said(*args: str, stdin: bytes = b"") -> list[str]:
        tokens = janus("tokenize", "text", *args, stdin=stdin).out
        return janus("decode", stdin=tokens).out.decode().split("\n")[:-1]

    lines = "\ufeffa red apple\r\n\n# no text\nuna pin\u0303a\n".encode()
    assert (
        said("--lines", stdin=lines)
        == ["a red apple", "una pi\u00f1a"]
        == said("a red apple", "una pin\u0303a ")
    )
    assert said(stdin=b"# a\r\n b \r\n") == ["# a\r", " b "]


def test_a_line_may_name_its_picture_and_say_its_seed_size_and_number(janus):
    lines = [
        {"prompt": "a cat", "name": "../../my cat", "seed": 3, "size": 64, "n": 2},
        {"prompt": "a cat", "name": "wide", "size": "160x128"},
        {"prompt": "# a dog"},
    ]
    stdin = "\n".join(map(json.dumps, lines)).encode() + b"\nshort\ta long prompt"
    done = janus("draw", "--stdin", "--seed", "7", "-o", "out/", "--json", stdin=stdin)
    assert done.code == 0, done.err
    assert [json.loads(line)["seed"] for line in done.text.splitlines()] == [3, 4, 7, 7, 7]
    assert sorted(made("out")) == ["a-dog.png", "my-cat-1.png", "my-cat.png", "short.png", "wide.png"]
    for name, args in {
        "my-cat.png": ["a cat", "--seed", "3", "--size", "64"],
        "my-cat-1.png": ["a cat", "--seed", "4", "--size", "64"],
        "wide.png": ["a cat", "--seed", "7", "--size", "160x128"],
        "a-dog.png": ["# a dog", "--seed", "7"],
        "short.png": ["a long prompt", "--seed", "7"],
    }.items():
        assert janus("draw", *args, "-o", "alone.png", "--force").code == 0
        assert Path("alone.png").read_bytes() == Path("out", name).read_bytes(), name


BAD = [
    (b'{"prompt": "a", "colour": 1}', 'unknown key "colour" (known: prompt, name, seed, size, n)'),
    (b'{"name": "a"}', 'no "prompt"'),
    (b'{"prompt": " "}', 'no "prompt"'),
    (b'{"prompt": ["a"]}', 'no "prompt"'),
    (b'{"prompt": "a", "name": 1}', '"name" is no text'),
    (b'{"prompt": "a", "seed": -1}', '"seed" is no whole number from 0 up'),
    (b'{"prompt": "a", "seed": true}', '"seed" is no whole number'),
    (b'{"prompt": "a", "seed": 1.0}', '"seed" is no whole number'),
    (b'{"prompt": "a", "seed": NaN}', '"seed" is no whole number'),
    (b'{"prompt": "a", "n": 0}', '"n" is no whole number from 1 up'),
    (b'{"prompt": "a", "n": 999999999999}', "give at most 100,000"),
    (b'{"prompt": "a", "seed": 1' + b"0" * 3000 + b"}", '"seed" is no whole number'),
    (b'{"prompt": "a", "size": 1.5}', '"size" is no number of pixels'),
    (b'{"prompt": "a", "size": "big"}', "--size big: give pixels"),
    (b'{"prompt": "a", "size": 100}', "choose multiples of 8"),
    (b'{"prompt": "a", "prompt": "b"}', "a key stands twice"),
    (b'{"prompt": "a"', "begins with { and is no JSON"),
    (b'{"prompt": ' + b"[" * 100_000, "begins with { and is no JSON"),
    (b'{"prompt": "a\\u0000"}', "a NUL at character 1"),
    (b'{"prompt": "a\\ud800"}', "not valid UTF-8"),
    (b"{red} apple", "begins with { and is no JSON"),
    (b"name\t", "a name before a tab, and no prompt behind it"),
    (b"a\0b", "a NUL at character 1"),
    (b"a\rb", "a carriage return"),
    (b"\xff", "byte 0 is not UTF-8 text"),
    (b"a" * (MAX_LINE + 5), "longer than 1,048,576 bytes"),
]


def test_a_line_that_cannot_be_fails_alone_by_its_number(janus):
    stdin = b"\n".join([b"one", *(line for line, _ in BAD), b"two"])
    done = janus("draw", "--stdin", "-o", "out/", stdin=stdin)
    assert done.code == 3 and no_traceback(done)
    assert sorted(made("out")) == ["one.png", "two.png"]
    said = [line for line in done.err.splitlines() if "stdin: line" in line]
    assert len(said) == len(BAD)
    for number, ((_, says), line) in enumerate(zip(BAD, said, strict=True), 2):
        assert f"stdin: line {number}" in line and says in line and len(line) < 400, line


def test_utf16_is_said_once(janus):
    for command in (["draw", "--stdin"], ["tokenize", "text", "--lines"], ["tokenize", "text"]):
        done = janus(*command, stdin="a red apple\na dog\n".encode("utf-16"))
        assert done.code == 1 and "iconv -f UTF-16 -t UTF-8" in done.err and done.err.count("\n") == 1


def test_speak_takes_the_same_lines(janus, senses):
    lines = b'one\tsay this\n{"prompt": "say this", "name": "two", "seed": 4}\n{"prompt": "a", "size": 64}\n'
    done = janus("speak", "--stdin", "--seconds", "0.1", "-o", "out/", stdin=lines)
    assert done.code == 3 and 'line 3: unknown key "size" (known: prompt, name, seed, n)' in done.err
    assert sorted(made("out")) == ["one.wav", "two.wav"]
    janus("speak", "say this", "--seed", "4", "--seconds", "0.1", "-o", "alone.wav")
    assert Path("alone.wav").read_bytes() == made("out")["two.wav"]


def test_a_picture_is_the_same_wherever_it_stands(janus):
    prompts = [f"prompt {i}" for i in range(11)]
    seed = ["--seed", "5", "-n", "2"]
    janus("draw", *prompts[:2], "a green car", *prompts[2:], *seed, "-o", "third/")
    janus("draw", "--stdin", *seed, "-o", "last/", stdin="\n".join([*prompts, "a green car"]).encode())
    janus("draw", "a green car", "--seed", "6", "-o", "alone.png")
    text = janus("tokenize", "text", *prompts[:3], "a green car").out
    tokens = janus("generate", "--seed", "6", stdin=text).out
    fine = janus("upsample", stdin=janus("denoise", stdin=tokens).out).out
    janus("decode", "-o", "piped/", stdin=fine)
    found = {Path(f, "a-green-car-1.png").read_bytes() for f in ("third", "last")}
    assert found == {Path("alone.png").read_bytes()} == {Path("piped/a-green-car.png").read_bytes()}


def test_pictures_that_came_out_the_same_are_told(janus):
    done = janus("draw", "a", "b", "-n", "3", "--temperature", "0", "-o", "out/")
    assert "4 pictures came out the same as another of the same prompt" in done.err
    text = janus("tokenize", "text", "a").out
    assert "1 result came out the same" in janus("generate", "-n", "2", "--temperature", "0", stdin=text).err
    assert "the same as" not in janus("draw", "a", "a", "-n", "2", "-o", "more/").err
    assert "seeds 0 to 1" in janus("draw", "a", "-n", "2").err


def test_skip_existing_goes_on_where_a_run_was_cut_off(janus, monkeypatch):
    lines = b'a cat!\na cat\n{"prompt": "a dog", "n": 2}\n'
    flags = ["--stdin", "-o", "out/", "--skip-existing"]
    janus("draw", *flags, stdin=lines)
    whole = made("out")
    assert sorted(whole) == ["a-cat-1.png", "a-cat.png", "a-dog-1.png", "a-dog.png"]
    for lost in ("a-cat-1.png", "a-dog.png"):
        Path("out", lost).unlink()
    done = janus("draw", *flags, stdin=lines)
    assert done.code == 0 and "2 pictures passed over: already there" in done.err and made("out") == whole
    monkeypatch.setattr("janus_cli.nets.build.build", lambda *_: 1 / 0)
    done = janus("draw", *flags, stdin=lines)
    assert done.code == 0 and "4 pictures passed over" in done.err and made("out") == whole


@pytest.mark.parametrize(
    ("command", "suffix"),
    [
        (["generate", "-n", "2"], "safetensors"),
        (["denoise"], "safetensors"),
        (["upsample"], "safetensors"),
        (["decode"], "png"),
    ],
    ids=lambda value: value[0],
)
def test_filters_pass_over_what_is_there(janus, command, suffix):
    tokens = janus("tokenize", "text", "a", "b").out
    if command[0] != "generate":
        tokens = janus("denoise", stdin=janus("generate", stdin=tokens).out).out
    run = [*command, "-o", "out/", "--skip-existing"]
    assert janus(*run, stdin=tokens).code == 0
    before = made("out")
    lost = sorted(before)[0]
    Path("out", lost).unlink()
    done = janus(*run, stdin=tokens)
    assert done.code == 0 and f"{len(before) - 1} of the records passed over" in done.err, done.err
    assert made("out") == before
    if suffix == "safetensors":
        one = [*command[:1], "-o", "one.safetensors"]
        assert janus(*one, stdin=tokens).code == 0
        assert janus(*one, "--skip-existing", stdin=b"").code == 0
        assert janus(*one, stdin=tokens).code == 1


def test_a_file_that_is_there_leaves_who_writes_to_it_in_peace(shell):
    """A pipe ends well; what is no input is left to others."""
    assert shell("janus tokenize text a -o a.safetensors").code == 0
    again = "-o a.safetensors --skip-existing"
    done = shell(f"head -c 3000000 /dev/zero | janus tokenize text {again}")
    assert done.code == 0 and "passed over: already there" in done.err
    assert shell(f"janus tokenize text a {again}; cat", stdin=b"mine").out == b"mine"


@pytest.mark.parametrize(
    ("command", "reads"),
    [
        (["tokenize", "text", "--lines"], True),
        (["tokenize", "text", "a", "-"], True),
        (["tokenize", "image"], True),
        (["tokenize", "image", "a.png"], False),
        (["tokenize", "audio"], True),
        (["generate"], True),
        (["generate", "a.safetensors"], False),
        (["denoise"], True),
        (["upsample", "-"], True),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_standard_input_is_read_to_its_end_only_where_it_is_an_input(janus, monkeypatch, command, reads):
    drained = []
    monkeypatch.setattr("janus_cli.shell.sinks.drain_stdin", lambda: drained.append(True))
    for name in ("a.png", "a.safetensors"):
        Path(name).touch()
    assert janus(*command, "-o", "a.safetensors", "--skip-existing").code == 0
    assert drained == [True] * reads


def test_what_is_passed_over_is_not_prepared(janus, monkeypatch):
    from janus_cli.pipeline import Plan

    tokens, prepared, prepare = janus("tokenize", "text", "a", "b", "c").out, [], Plan.prepare
    monkeypatch.setattr(
        Plan, "prepare", lambda plan, record, seeds: prepared.append(seeds) or prepare(plan, record, seeds)
    )
    run = ["generate", "-n", "2", "-o", "out/", "--skip-existing"]
    assert janus(*run, stdin=tokens).code == 0 and prepared == [{0: 0, 1: 1}] * 3
    prepared.clear()
    Path("out/1-1.safetensors").unlink()
    assert janus(*run, stdin=tokens).code == 0 and prepared == [{1: 1}]


@pytest.mark.parametrize("command", ["generate", "denoise"])
@pytest.mark.parametrize("id", ["a", ""])
def test_a_record_that_fails_takes_no_other_ones_file(janus, command, id):
    """Also where it fails only the first time, or nothing was to be passed over then."""
    text = records(janus("tokenize", "text", "a", "b").out)
    good = text if command == "generate" else records(janus("generate", stdin=b"".join(map(dumps, text))).out)
    good = [replace(record, id=id) for record in good]
    stream = b"".join(map(dumps, [good[0], Record((), id), good[1]]))
    for flags in ([], ["--skip-existing"], ["--skip-existing"]):
        done = janus(command, "-o", "out/", *flags, stdin=stream)
        assert done.code == 3 and len(made("out")) == 2, done.err
    stream = b"".join(map(dumps, [good[0], good[0], good[1]]))
    before = made("out")
    assert janus(command, "-o", "out/", "--skip-existing", stdin=stream).code == 0
    assert len(made("out")) == 3 and before.items() < made("out").items()


def test_pictures_are_tokenized_once(janus):
    janus("draw", "a", "b", "-o", "photos/")
    Path("photos/sub").mkdir()
    Path("photos/sub/a.png").write_bytes(Path("photos/b.png").read_bytes())
    run = ["tokenize", "image", "photos", "-o", "toks/", "--skip-existing"]
    assert janus(*run).code == 0
    before = made("toks")
    assert len(before) == 3
    Path("toks/b.safetensors").unlink()
    done = janus(*run)
    assert done.code == 0 and "2 of the records passed over" in done.err and made("toks") == before
    assert janus(*run[:-1]).code == 0 and len(made("toks")) == 6, "a folder's files get names that are free"
    assert janus("tokenize", "image", "photos", "-o", "s-%d.tar", "--skip-existing").code == 2


def test_several_records_do_not_go_into_one_picture(janus):
    tokens = janus("generate", stdin=janus("tokenize", "text", "a", "b").out).out
    done = janus("decode", "-o", "one.png", stdin=tokens)
    assert done.code == 3 and "one.png is the name of one file" in done.err
    assert janus("decode", "-o", "one.png", stdin=tokens).code == 1
    assert janus("draw", "--stdin", "-o", "two.png", stdin=b"a\nb\n").code == 3
    assert sorted(p.name for p in Path().glob("*.png")) == ["one.png", "two.png"]


def test_metadata_names_no_other_folder(janus):
    from dataclasses import replace

    from helpers.runs import records

    from janus_cli.records import dumps

    [record] = records(janus("generate", stdin=janus("tokenize", "text", "a").out).out)
    Path("out").mkdir()
    Path("evil.png").write_text("precious")
    for word in ("seed", "index"):
        steps = (*record.made_by[:-1], record.made_by[-1] | {word: "../evil"})
        done = janus("decode", "-f", "-o", f"out/{{{word}}}.png", stdin=dumps(replace(record, made_by=steps)))
        assert done.code == 1 and f"made_by[1].{word}: expected int" in done.err and not made("out")
    assert Path("evil.png").read_text() == "precious"


def test_long_names_of_files_stop_nothing(janus):
    Path("in").mkdir()
    stem = "\U00020000" * 62
    for name in (stem, "short"):
        Path("in", f"{name}.png").write_bytes(janus("draw", "a", "-o", "-").out)
    for _ in range(3):
        assert janus("tokenize", "image", "in", "-o", "toks/").code == 0
    assert len(made("toks")) == 6
    assert janus("decode", "toks", "-o", "back/").code == 0 and len(made("back")) == 6
    done = janus("draw", "a", "-o", f"{stem}{stem}.png")
    assert done.code == 1 and no_traceback(done) and "File name too long" in done.err


def test_sheets_of_the_exam_are_promises_too(janus, monkeypatch):
    monkeypatch.setattr("janus_cli.evaluation.evaluate", lambda *_, **__: 1 / 0)
    Path("sheet.png").write_text("precious")
    for flag in ("--gallery", "--album"):
        done = janus("eval", flag, "sheet.png")
        assert done.code == 1 and "sheet.png exists: use another name" in done.err
    assert "there is no folder no" in janus("eval", "--gallery", "no/sheet.png").err


def test_make_sees_that_a_picture_was_not_replaced(janus):
    assert janus("draw", "a penguin", "-q", "-o", "apple.png").code == 0
    done = janus("draw", "an apple", "-q", "-o", "apple.png")
    assert (
        done.code == 1 and done.err.startswith("janus: apple.png exists") and len(list(Path().iterdir())) == 1
    )


@pytest.mark.slow
def test_a_line_is_drawn_when_no_other_is_waiting(environment):
    with subprocess.Popen(
        [*JANUS, "draw", "--stdin", "--json", "-q"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        for data, names in ((b"a cat\ntwo c", ["a-cat"]), (b"ats\nx\ny\n", ["two-cats", "x", "y"])):
            process.stdin.write(data)
            process.stdin.flush()
            for name in names:  # while the pipe is still open
                assert json.loads(process.stdout.readline())["path"] == f"{name}.png"
        process.stdin.close()
        assert process.wait(TIMEOUT) == 0


@pytest.mark.slow
def test_generate_takes_up_what_is_there(janus):
    from janus_cli.records import read_stream

    records = [janus("tokenize", "text", text, "-o", "-").out for text in ("a", "b")]
    command = [*JANUS, "generate", "-q"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        found = read_stream(process.stdout)
        for data, prompt in zip(records, "ab", strict=True):
            process.stdin.write(data)
            process.stdin.flush()
            assert next(found).prompt == prompt  # while the pipe is still open
        process.stdin.close()
        assert next(found, None) is None and process.wait(TIMEOUT) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "locale", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_locale_without_utf8(environment, locale):
    env = {**os.environ, "LC_ALL": "POSIX", **locale}

    def run(*args: str) -> subprocess.CompletedProcess[bytes]:
        command = [*JANUS, *args]
        return subprocess.run(command, env=env, capture_output=True, timeout=TIMEOUT, check=False)

    done = run("draw", "una pi\u00f1a 🍎", "-o", "pi\u00f1a-{prompt}.png", "--json")
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr
    assert [p.name for p in Path().glob("*.png")] == ["pi\u00f1a-una-pi\u00f1a.png"]
    assert json.loads(done.stdout)["prompt"] == "una pi\u00f1a 🍎"
    done = run("info", "pi\u00f1a-una-pi\u00f1a.png")
    assert done.returncode == 0 and b"una pi\\u00f1a \\ud83c\\udf4e" in done.stdout and done.stderr == b""
    assert run("info", "\u00e9.png").returncode == 1


@pytest.mark.parametrize("command", [("draw", "a"), ("tokenize", "text", "a"), ("decode",)])
def test_an_output_without_a_name_is_wrong_usage(janus, command):
    done = janus(*command, "-o", "", stdin=b"")
    assert done.code == 2 and "-o is empty" in done.err and not list(Path().iterdir())


def test_a_seed_has_an_end(janus):
    assert "--seed" in (done := janus("draw", "a", "--seed", str(1 << 70))).err and done.code == 2
    done = janus("draw", "--stdin", stdin=b'{"prompt": "a", "seed": 9999999999999999999999}')
    assert done.code == 2 and '"seed" is no whole number' in done.err
