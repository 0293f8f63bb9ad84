"""Plugins: found by name alone, loaded when used, and no bad one takes others along."""

import io
import subprocess
import sys

import numpy as np
import pytest
from helpers.runs import no_traceback

from janus_cli import plugins
from janus_cli.errors import PluginError, RecordError
from janus_cli.records import MODALITIES, Record, Segment, dumps, loads, read_stream
from janus_cli.stages.plugin import make_writers, tokenize

GOOD = """
import numpy as np
from janus_cli.errors import MediaError
from janus_cli.plugins import Modality, Option

def encode(data, name, options):
    if data == b"bad":
        raise MediaError(f"{name}: is bad")
    if data == b"bug":
        raise KeyError("one\\ntwo")
    if data == b"nothing":
        return None
    if data == b"floats":
        return np.zeros(3), {}
    if data == b"numpy":
        return np.zeros(3, np.uint16), {"step": np.int64(1)}
    step = options["step"]
    return np.frombuffer(data, np.uint8)[::step].astype(np.uint16), {"step": step}

def write(data, info):
    if info["step"] == 3:
        raise ZeroDivisionError
    return None if info["step"] == 4 else bytes(data.tolist())

BYTES = Modality("bytes", "Bytes to ids.", ("T",), ("U16",), encode, {".raw": write, ".bin": write},
                 lambda info: {"vocab_size": 256}, (".raw",),
                 (Option("step", "Take each.", int, 1, (1, 2, 3, 4)),
                  Option("long-word", "Nothing.", float), Option("flag", "Nothing.", bool, False)))
"""


@pytest.fixture
def good(plug):
    plug("foreign-bytes", GOOD, {"bytes": "BYTES"})


def modality(**changes: str) -> str:
    """A module with a plugin of which some arguments are other ones."""
    given = {
        "name": "'odd'",
        "help": "''",
        "axes": "('T',)",
        "dtypes": "('U8',)",
        "encode": "None",
        "writers": "{'.x': None}",
        "adapter": "None",
        **changes,
    }
    words = ", ".join(f"{word}={value}" for word, value in given.items())
    return f"from janus_cli.plugins import Modality, Option\nODD = Modality({words})\n"


def test_built_in_modalities_are_those_of_records():
    assert plugins.BUILT_IN == MODALITIES


def test_our_own_plugin_is_found_as_others_are(good):
    assert plugins.list_names() == ["bytes", "series"]
    assert plugins.find("series").dtypes == ("F32",)


def test_a_foreign_command(janus, good, environment):
    (environment / "in").mkdir()
    (environment / "in" / "a.raw").write_bytes(b"abcdef")
    (environment / "in" / "b.other").write_bytes(b"x")
    made = janus("tokenize", "bytes", "--step", "2", "--long-word", "0.5", "--flag", "in")
    assert made.code == 0, made.err
    [record] = read_stream(io.BytesIO(made.out))
    [segment] = record.segments
    assert (record.id, segment.modality, segment.data.tolist()) == ("a", "bytes", list(b"ace"))
    assert dict(segment.info) == {"tokenizer": "bytes", "step": 2, "source": "a.raw"}
    assert record.made_by == (
        {"stage": "tokenize", "modality": "bytes", "step": 2, "long-word": 0.5, "flag": True},
    )
    assert janus("decode", stdin=made.out).out == b"ace"
    assert janus("decode", "-o", "{id}.bin", stdin=made.out).code == 0
    assert (environment / "a.bin").read_bytes() == b"ace"
    assert janus("decode", "-o", "folder/", stdin=made.out).code == 0
    assert (environment / "folder" / "a.raw").read_bytes() == b"ace"
    assert "step=2" in janus("info", stdin=made.out).text


def test_standard_input_and_defaults(janus, good):
    made = janus("tokenize", "bytes", stdin=b"xyz")
    assert janus("decode", stdin=made.out).out == b"xyz"
    assert janus("tokenize", "bytes", "--help").text.count("--step") == 1


def test_wrong_suffixes(janus, good):
    made = janus("tokenize", "bytes", stdin=b"xyz").out
    done = janus("decode", "-o", "a.png", stdin=made)
    assert (done.code, done.err.count("\n")) == (1, 1) and "use a name in .raw, .bin" in done.err
    done = janus("decode", "-o", "a.unknown", stdin=made)
    assert done.code == 2 and ".png" in done.err and ".raw" in done.err and ".csv" in done.err
    text = janus("tokenize", "text", "a").out
    assert "the record holds text" in janus("decode", "-o", "a.raw", stdin=text).err


@pytest.mark.parametrize(
    "data, message",
    [
        (b"bad", "stdin: is bad"),
        (b"bug", "stdin: plugin bytes failed: KeyError: 'one\\ntwo'"),
        (b"nothing", "gave no array"),
        (b"numpy", "stdin: plugin bytes failed: TypeError: Object of type int64 is not JSON"),
        (b"floats", "bytes segment: dtype float64, expected U16"),
    ],
)
def test_a_file_that_fails_is_one_line(janus, good, data, message):
    done = janus("tokenize", "bytes", stdin=data)
    assert done.code == 1 and no_traceback(done) and done.err.count("\n") == 1
    assert message in done.err, done.err


def test_a_failing_file_leaves_the_others(janus, good, environment):
    for name in ("bad", "bug", "fine"):
        (environment / f"{name}.raw").write_bytes(name.encode())
    done = janus("tokenize", "bytes", "bad.raw", "bug.raw", "fine.raw", "-o", "out.safetensors")
    assert done.code == 3 and no_traceback(done)
    assert loads((environment / "out.safetensors").read_bytes()).id == "fine"


@pytest.mark.parametrize("step, message", [(3, "failed: ZeroDivisionError"), (4, "it wrote no bytes")])
def test_a_writer_that_fails_is_one_line(janus, good, step, message):
    made = janus("tokenize", "bytes", "--step", str(step), stdin=b"xyz").out
    done = janus("decode", stdin=made)
    assert done.code == 1 and no_traceback(done) and message in done.err


@pytest.mark.parametrize("args", [("--step", "5"), ("--step", "x"), ("--nothing",)])
def test_wrong_options(janus, good, args):
    done = janus("tokenize", "bytes", *args, stdin=b"x")
    assert done.code == 2 and no_traceback(done)


def test_a_record_without_its_plugin_names_it(janus, good, monkeypatch):
    made = janus("tokenize", "bytes", stdin=b"xyz").out
    monkeypatch.setattr(plugins.registry, "find_all", dict)
    for command in ("info", "decode"):
        done = janus(command, stdin=made)
        assert done.code == 1 and no_traceback(done)
        assert "stdin: unknown modality 'bytes'" in done.err and "install the plugin" in done.err
    assert "No such command 'bytes'" in janus("tokenize", "bytes", stdin=b"x").err


@pytest.mark.parametrize(
    "code, message",
    [
        (
            "import nowhere_at_all",
            "cannot be imported: ModuleNotFoundError: No module named 'nowhere_at_all'",
        ),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("1 +", "cannot be imported: SyntaxError"),
        ("", "cannot be imported: AttributeError"),
        ("ODD = 7", "names a int, no janus_cli.plugins.Modality"),
        (modality(name="'even'"), "calls itself 'even'"),
        (modality(axes="()"), "0 axes"),
        (modality(dtypes="('F64',)"), "dtype F64"),
        (modality(writers="{}"), "a writer for at least one suffix"),
        (modality(suffixes="('csv',)"), "suffixes such as .csv"),
        (modality(options="(Option('force', ''),)"), "an option --force"),
        (modality(options="(Option('x', '', list),)"), "an option of kind <class 'list'>"),
        (modality(axes="7"), "broken: TypeError"),
    ],
)
def test_a_broken_plugin_is_one_line(janus, plug, good, code, message):
    plug("odd-one", code, {"odd": "ODD"})
    done = janus("tokenize", "odd", stdin=b"x")
    assert done.code == 1 and no_traceback(done) and done.err.count("\n") == 1
    assert message in done.err and "odd-one" in done.err, done.err
    assert janus("tokenize", "bytes", stdin=b"x").code == 0
    listed = janus("tokenize", "--help")
    assert listed.code == 0 and "odd-one" in listed.text
    assert janus("decode", "-o", "a.raw", stdin=janus("tokenize", "bytes", stdin=b"x").out).code == 0


def test_two_plugins_of_a_name(janus, plug, good):
    plug("other-bytes", GOOD, {"bytes": "BYTES"})
    done = janus("tokenize", "bytes", stdin=b"x")
    assert done.code == 1 and "foreign-bytes" in done.err and "other-bytes" in done.err
    assert "uninstall all but one" in janus("tokenize", "--help").text.replace("\n", " ").replace("  ", " ")
    assert janus("tokenize", "series", stdin=b"1\n").code == 0


def test_a_second_series_is_no_silent_replacement(janus, plug):
    plug("rival", modality(name="'series'"), {"series": "ODD"})
    done = janus("tokenize", "series", stdin=b"1\n")
    assert done.code == 1 and "janus-cli" in done.err and "rival" in done.err


@pytest.mark.parametrize("name", ["text", "pixels"])
def test_a_plugin_named_like_a_built_in_one(janus, plug, name):
    plug("usurper", "raise RuntimeError", {name: "ODD"})
    assert janus("tokenize", "text", "a").code == 0
    Segment("text", np.zeros(1, np.uint16))
    text = " ".join(janus("tokenize", "--help").text.split())
    assert f"usurper: its plugin '{name}' is not used: a modality of that name is built in" in text
    with pytest.raises(PluginError, match="unknown modality"):
        plugins.find(name)


@pytest.mark.parametrize("name", ["sight", "keys", "type"])
def test_a_plugin_named_as_the_decoder_names_its_own(janus, plug, name):
    plug("usurper", "raise RuntimeError", {name: "ODD"})
    text = " ".join(janus("tokenize", "--help").text.split())
    assert f"its plugin '{name}' is not used: the decoder keeps that word for itself" in text
    assert janus("tokenize", name, stdin=b"x").code == 2
    with pytest.raises(PluginError, match="unknown modality"):
        plugins.find(name)


@pytest.mark.slow
def test_every_other_name_can_be_a_modality_of_a_decoder():
    from torch import nn

    clean = "from torch import nn; print(*dir(nn.ModuleDict()))"  # other libraries add more
    listed = subprocess.run([sys.executable, "-c", clean], capture_output=True, text=True, check=True).stdout
    taken = {name for name in listed.split() if plugins.NAME.fullmatch(name)}
    assert taken <= plugins.RESERVED, "this torch has more attributes: add them"
    for name in sorted(plugins.RESERVED & taken):
        with pytest.raises(KeyError):
            nn.ModuleDict({name: nn.Identity()})


@pytest.mark.parametrize("name", ["Upper", "a.b", "0x", "a" * 33])
def test_names_that_no_modality_may_have(janus, plug, name):
    plug("misnomer", GOOD, {name: "BYTES"})
    assert name not in plugins.list_names()
    assert "a modality has a name of a-z, 0-9 and _" in " ".join(janus("tokenize", "--help").text.split())


def test_a_reader_checks_what_the_plugin_says(good):
    for array in (np.zeros((2, 2), np.uint16), np.zeros(2, np.uint32), np.zeros(0, np.uint16)):
        with pytest.raises(RecordError, match="bytes segment"):
            Segment("bytes", array)
    record = Record((Segment("bytes", np.ones(2, np.uint16), {"step": 1}),))
    assert dumps(loads(dumps(record))) == dumps(record)


def test_from_python(good):
    record = tokenize(plugins.find("bytes"), b"hello", "greeting", {"step": 2}, id="x")
    assert make_writers(record.segments[0])[".bin"]() == b"hlo"
    assert plugins.find("bytes").adapter(record.segments[0].info) == {"vocab_size": 256}


def test_listing_imports_no_plugin(plug, shell):
    plug("loud", "raise RuntimeError('imported')", {"loud": "X"})
    for args in ("--help", "tokenize --help", "tokenize text --help"):
        done = shell(f"janus {args}")
        assert done.code == 0 and "imported" not in done.err
    assert "imported" in shell("janus tokenize loud < /dev/null").err


def test_nothing_is_imported_for_files_of_our_own(plug, shell):
    plug("loud", "import sys; sys.stderr.write('imported')", {"loud": "X"})
    done = shell(
        "janus tokenize text a -o a.safetensors && janus info a.safetensors > /dev/null "
        "&& janus decode a.safetensors -o a.txt"
    )
    assert done.code == 0 and "imported" not in done.err
