"""`--parallel`: the same pictures and records in fewer passes, and what it cannot be."""

import json
from pathlib import Path

import pytest


def test_windows_draw_the_same_files_and_tell_of_their_passes(janus):
    passes = {}
    for way in ("off", "auto", "5"):
        flags = ("--temperature", "0", "--json", "--parallel", way, "-o", f"{way}-{{index}}.png")
        done = janus("draw", "a red apple", "-n", "2", *flags)
        facts = [json.loads(line) for line in done.text.splitlines()]
        passes[way] = facts[-1]["passes"]
        assert f"{passes[way]} passes" in done.err
    assert passes["auto"] < passes["off"] and passes["5"] <= passes["off"]
    for index in range(2):
        assert len({Path(f"{way}-{index}.png").read_bytes() for way in passes}) == 1


def test_windows_change_no_record_and_no_part_of_a_stream(janus):
    prompt = janus("tokenize", "text", "a red apple").out
    for flags in ((), ("--stream",), ("--cfg-scale", "3", "--temperature", "0.4")):
        made = {
            janus("generate", *flags, "--parallel", way, stdin=prompt).out for way in ("off", "auto", "3")
        }
        assert len(made) == 1 and all(made)


@pytest.mark.parametrize("given", ["0", "-3", "many", "1.5", ""])
def test_a_wrong_number_is_a_usage_error(janus, given):
    done = janus("draw", "a red apple", f"--parallel={given}")
    assert done.code == 2 and f"--parallel {given}: give off, auto or a number of tokens" in done.err


def test_windows_are_for_pictures(janus):
    done = janus("generate", "--to", "text", "--parallel", "8", stdin=b"")
    assert done.code == 2 and "--parallel is for pictures: text is drawn token by token" in done.err
