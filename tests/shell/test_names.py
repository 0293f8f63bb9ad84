"""Names of files made of what strangers wrote: sanitised or typed, whole letters, limited in bytes."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janus_cli.errors import UsageError
from janus_cli.records import Record, Segment
from janus_cli.shell.names import FIELDS, MAX_NAME, Existing, FreeNames, Keys, fill, list_fields, slug
from janus_cli.shell.outputs import Outputs
from janus_cli.shell.sinks import name_shard

TEMPLATE = "out/" + "-".join("{" + field + "}" for field in FIELDS) + ".png"


def record(id="", text="", source="", **made):
    import numpy as np

    segment = Segment("text", np.zeros(1, np.uint16), {"source": source})
    return Record((segment,), id, ({"stage": "tokenize", "text": text}, {"stage": "generate", **made}))


HOSTILE = st.one_of(
    st.text(max_size=200),
    st.sampled_from(
        ["..", ".", "", "/etc/passwd", "../../x", "CON", "-rf", "a/../../b", "x. . ", "\x1b[2J", "~"]
    ),
)
ANY = st.one_of(
    HOSTILE, st.integers(), st.none(), st.lists(st.integers(), max_size=2), st.booleans(), st.floats()
)


@given(id=HOSTILE, text=HOSTILE, source=HOSTILE, name=HOSTILE, seed=ANY, index=ANY)
def test_no_record_names_a_file_outside_its_folder(id, text, source, name, seed, index):
    path = fill(TEMPLATE, record(id, text, source, seed=seed, index=index), 3, name)
    assert path.parent == Path("out") and path.suffix == ".png" and path.stem.strip("-._ ")
    assert not path.name.startswith(("-", ".")) and len(os.fsencode(path.name)) <= MAX_NAME
    assert all(unicodedata.category(c)[0] not in "CZ" for c in path.name)
    for field in FIELDS:
        alone = fill("{" + field + "}.png", record(id, text, source, seed=seed, index=index), 3, name)
        assert alone.parent == Path() and alone.stem and alone.stem.upper() not in {"CON", "..", "."}


@given(HOSTILE)
def test_keys_are_names_too(id):
    name = Keys().next(id)
    assert "/" not in name and "." not in name and len(os.fsencode(name + ".safetensors")) <= MAX_NAME


def test_numbers_of_metadata_are_typed():
    given = record("r", seed="../../evil", index={"x": 1})
    assert fill("{seed}-{index}.png", given, 4) == Path("0-4.png")
    assert fill("{seed}-{index:03}.png", record("r", seed=7, index=2), 4) == Path("7-002.png")
    assert fill("{seed}.png", record("r", seed=True), 4) == Path("0.png")


@pytest.mark.parametrize(
    "template",
    [
        "{seed!r}.png",
        "{prompt.__class__}.png",
        "{prompt[0]}.png",
        "{seed:>99999999}.png",
        "{seed:{index}}.png",
        "{prompt:999999}.png",
        "{}.png",
        "{0}.png",
        "a{.png",
        "a}.png",
        "{colour}.png",
        "{seed:x}.png",
    ],
)
def test_what_is_no_template_is_refused_and_says_how_to_write_braces(template):
    with pytest.raises(UsageError, match=r"(\{\{ and \}\})|(not a file name template)"):
        list_fields(template)


def test_braces_can_be_written():
    assert list_fields("a{{b}}.png") == [] and fill("a{{b}}.png", record("r"), 0) == Path("a{b}.png")
    assert list_fields("{prompt:.40}-{seed}.png") == ["prompt", "seed"]
    assert fill("{prompt:.3}.png", record(text="penguin"), 0) == Path("pen.png")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("हिन्दी में बिल्ली", "हिन्दी-में-बिल्ली"),  # marks stay with their letters
        ("แมวน้ำ ที่รัก", "แมวน้ำ-ที่รัก"),
        ("una pin\u0303a", "una-pi\u00f1a"),
        ("می\u200cخواهم", "میخواهم"),  # a joiner parts no word
        ("🍎\ufe0f apple", "apple"),
        ("con", "con_"),
        ("-rf", "rf"),
        ("a. . .", "a"),
        ("a--b", "a-b"),
        ("\u0301a", "a"),
    ],
)
def test_letters_stay_whole(text, name):
    assert slug(text) == unicodedata.normalize("NFC", name)


def test_a_name_is_cut_between_letters():
    assert slug("e\u0323\u0302" * 0 + "q\u0323" * 100, 10) == "q\u0323" * 3
    assert len(os.fsencode(slug("\U00020000" * 62, 200))) == 200


def test_keys_of_long_names_leave_room_for_numbers():
    keys, stem = Keys(), "\U00020000" * 62
    names = [keys.next(stem) for _ in range(12)]
    assert len(set(names)) == 12 and all(len(os.fsencode(f"{n}.safetensors")) < 255 for n in names)


def test_a_name_is_chosen_as_fast_the_thousandth_time(tmp_path):
    """By the paths that are looked at, here and on the disk: time says little where others work too."""
    outputs, looked, count = Outputs(f"{tmp_path}/{{prompt}}.png", Existing.keep), [], 2000
    for name in ("a.png", "a-1.png", "a-3.png"):
        (tmp_path / name).touch()
    is_free = outputs._is_free
    outputs._is_free = lambda path: not looked.append(path) and is_free(path)
    names = [outputs.choose(record(text="a"), ".png").name for _ in range(count)]
    assert names == ["a-2.png", *(f"a-{i}.png" for i in range(4, count + 3))]
    assert len(looked) == count + 3


def test_names_that_meet_numbers_of_others_stay_apart():
    names, paths = FreeNames(), [Path(name) for name in ("a-1.png", "a.png", "a.png", "a-1.png", "a.png")]
    found = [names.take(path).name for path in paths]
    assert found == ["a-1.png", "a.png", "a-2.png", "a-1-1.png", "a-3.png"] and len(names) == 5


def test_sources_become_words():
    assert fill("{source}.png", record("r", source="sub/a b.jpg"), 0) == Path("sub-a-b.png")
    assert fill("{source}.png", record("r", source="../../a.jpg"), 0) == Path("a.png")
    assert fill("{source}.png", record("r"), 0) == Path("r.png")


def test_a_name_goes_before_the_prompt():
    named = record("0", "a red apple")
    assert fill("{name}.png", named, 0, "my/apple") == Path("my-apple.png")
    assert fill("{name}.png", named, 0) == Path("a-red-apple.png")


@pytest.mark.parametrize(
    ("template", "first"),
    [
        ("50% off.tar", "50% off.tar"),
        ("50%25.tar", "50%25.tar"),
        ("100%.tar", "100%.tar"),
        ("a%%d.tar", "a%%d.tar"),
        ("a%d.tar", "a0.tar"),
        ("50% off-%06d.tar", "50% off-000000.tar"),
        ("%s.tar", "%s.tar"),
        ("a%06d.safetensors", "a%06d.safetensors"),
    ],
)
def test_a_shard_is_numbered_where_its_name_says_so(template, first):
    assert name_shard(template, 0) == Path(first)


@pytest.mark.parametrize("template", ["a-%d-%d.tar", "a-%s-%d.tar"])
def test_a_shard_has_one_number(template):
    with pytest.raises(UsageError, match="one number"):
        name_shard(template, 0)


def test_force_and_skip_contradict_each_other():
    assert [Existing.from_flags(f, s) for f, s in ((False, False), (True, False), (False, True))] == list(
        Existing
    )
    with pytest.raises(UsageError, match="give one of them"):
        Existing.from_flags(True, True)


def test_names_are_utf8_in_every_locale():
    code = "from janus_cli.shell.names import slug; import os; print(os.fsencode(slug('pin\\u0303a')))"
    env = {**os.environ, "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == repr("pi\u00f1a".encode())
