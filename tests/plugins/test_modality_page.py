"""docs/modality-plugin.md does what it says: its files written, its commands run, its outputs compared."""

import re
import resource
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.runs import ROOT

from janus_cli import plugins

PAGE = ROOT / "docs" / "modality-plugin.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# installs what the page installs into a folder of its own, from what is here already
PIP = 'pip() { "$PYTHON" -m pip "$1" -q --no-deps --no-build-isolation --no-index --target site "$2"; }; '
PYTHON = 'python() { "$PYTHON" "$@"; }; set -e; '
MOST_SECONDS = 60  # of one core, for the training and the questions


def blocks() -> list[tuple[str, str, str]]:
    """Language, file name and text of every block of the page."""
    return BLOCK.findall(PAGE.read_text("utf-8"))


def test_the_page_has_nothing_that_is_not_run():
    found = [(language, bool(name)) for language, name, _ in blocks()]
    assert set(found) == {("toml", True), ("python", True), ("sh", False), ("text", False)}
    assert PAGE.read_text("utf-8").count("\n```") == 2 * len(found)


@pytest.mark.slow
def test_the_page_as_written(shell, environment):
    site = environment / "site"
    environ = {"PYTHON": sys.executable}
    out, spent = "", 0.0
    for language, name, text in blocks():
        if name:
            Path(name).parent.mkdir(exist_ok=True)
            Path(name).write_text(text, "utf-8")
        elif language == "text":
            assert out == text
        else:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = shell(f'export PYTHONPATH="{site}:$PYTHONPATH"; {PIP}{PYTHON}{text}', env=environ)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            assert done.code == 0, f"{text}\n{done.err}"
            out, spent = done.text, max(spent, after.ru_utime - before.ru_utime)
    assert (environment / "trace-again.npy").is_file()
    right, asked = map(int, re.findall(r"\d+", Path("result.txt").read_text()))
    assert asked == 180 and right / asked >= 0.9
    assert spent < MOST_SECONDS  # the longest block is the training
    [(said, of)] = re.findall(r"written on: (\d+) of (\d+)\.", PAGE.read_text("utf-8"))
    assert int(of) == asked and abs(int(said) - right) <= 9  # other processors round otherwise


def test_our_own_plugin_is_registered_as_the_page_says():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"][plugins.GROUP] == {"series": "janus_cli.plugins.series:SERIES"}
