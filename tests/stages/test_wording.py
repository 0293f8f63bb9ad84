"""The one door for prompts: the same words are the same characters, whoever hands them in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from janus_cli.errors import MediaError
from janus_cli.stages.wording import clean_prompt, decode_text, drop_newline


@pytest.mark.parametrize(
    "text",
    ["a red apple\r", "\ufeffa red apple", " a red apple \n", "a red apple\r\n", "\n\ufeff a red apple\t"],
)
def test_what_stands_around_a_prompt_is_not_of_it(text):
    assert clean_prompt(text) == "a red apple"


def test_prompts_are_nfc_and_their_lines_end_alike():
    assert clean_prompt("una pin\u0303a") == clean_prompt("una pi\u00f1a") == "una pi\u00f1a"
    assert clean_prompt("two\r\nlines\tand a tab") == "two\nlines\tand a tab"
    assert clean_prompt("👩\u200d🚀 # {x}") == "👩\u200d🚀 # {x}"
    assert clean_prompt(" \ufeff\r\n") == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a\0b", "a NUL at character 1: if it is UTF-16, convert it with iconv"),
        ("a\x1b[2J", "control character U\\+001B at character 1"),
        ("a\rb", "carriage return at character 1.* tr "),
        ("a\x85b", "U\\+0085"),
        ("a\ud800", "not valid UTF-8 at character 1"),
        ("a\udcff", "not valid UTF-8 at character 1"),
    ],
)
def test_what_no_prompt_holds(text, says):
    with pytest.raises(MediaError, match=says):
        clean_prompt(text)


def test_an_argument_of_a_locale_without_utf8_is_understood():
    assert clean_prompt("pi\u00f1a".encode().decode("ascii", "surrogateescape")) == "pi\u00f1a"


@given(st.text())
def test_a_prompt_that_has_passed_passes_unchanged(text):
    try:
        once = clean_prompt(text)
    except MediaError:
        return
    assert clean_prompt(once) == once


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_named(encoding):
    with pytest.raises(MediaError, match="iconv -f UTF-16"):
        decode_text("a red apple".encode(encoding))


def test_a_whole_text_is_content():
    assert decode_text(b"\xef\xbb\xbfe\xcc\x81\r\n") == "e\u0301\r\n"
    assert [drop_newline(t) for t in ("a\n", "a\r\n", "a\n\n", "a\r", "a")] == ["a", "a", "a\n", "a\r", "a"]
    with pytest.raises(MediaError, match="byte 1 is not UTF-8 text$"):
        decode_text(b"a\xff")
