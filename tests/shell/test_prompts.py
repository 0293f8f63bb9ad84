"""Lines of prompts: whatever stands in them, a wish or one clear error."""

import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janus_cli.errors import JanusError
from janus_cli.pipeline import Size
from janus_cli.shell import inputs
from janus_cli.shell.failures import Failures
from janus_cli.shell.prompts import Wish, parse_line, read_wishes
from janus_cli.stages.wording import clean_prompt

KEYS = ("name", "seed", "size", "n")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
OBJECT = st.dictionaries(st.sampled_from(["prompt", *KEYS, "x"]), JSON, max_size=5).map(json.dumps)


@given(
    st.text(max_size=60) | OBJECT | st.tuples(OBJECT, st.integers(0, 40)).map(lambda cut: cut[0][: cut[1]])
)
def test_a_line_is_a_wish_or_an_error_of_one_line(line):
    try:
        wish = parse_line(line, KEYS)
        clean_prompt(wish.text)
    except JanusError as error:
        assert str(error) and "\n" not in str(error)
        return
    assert isinstance(wish.name, str) and (wish.seed is None or wish.seed >= 0)


def test_what_a_line_says():
    assert parse_line("a red apple", KEYS) == Wish("a red apple")
    assert parse_line(" apple \ta red\tapple", KEYS) == Wish("a red\tapple", "apple")
    assert parse_line("\ta red apple", KEYS) == Wish("a red apple")
    line = '{"prompt": "a", "size": "64x32", "n": 2, "seed": 0, "name": "b"}'
    assert parse_line(line, KEYS) == Wish("a", "b", 0, 2, Size(64, 32))


class Trickle(io.BytesIO):
    """What comes a few bytes at a time."""

    def read1(self, size=-1):
        return super().read1(3)


@given(st.binary(max_size=60))
def test_lines_do_not_depend_on_how_they_come(data):
    whole, slow = (list(inputs._split_lines(kind(data))) for kind in (io.BytesIO, Trickle))
    assert whole == slow == data.split(b"\n")[: -1 if data.endswith(b"\n") or not data else None]


def test_a_pipe_without_a_line_says_so(monkeypatch):
    ours, theirs = os.pipe()
    with os.fdopen(ours) as reader, os.fdopen(theirs, "wb", buffering=0) as writer:
        monkeypatch.setattr("sys.stdin", reader)
        wishes = read_wishes(["zero"], True, KEYS, Failures())
        writer.write(b"one\n# no\ntwo\nthr")
        found = [next(wishes) for _ in range(4)]
        writer.write(b"ee\n")
        found.append(next(wishes))
    assert [wish and wish.text for wish in found] == ["zero", "one", "two", None, "three"]


@pytest.mark.parametrize("text", ["a" * 10, "\ud83c" * 3])
def test_what_a_prompt_says_is_kept(text):
    assert parse_line(text, KEYS).text == text
