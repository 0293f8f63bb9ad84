"""A stage behind a pipe loads its nets before there is anything to read, and only then."""

import io
import os
import sys

import pytest

from janus_cli.errors import ModelError
from janus_cli.shell.console import Talk
from janus_cli.shell.devices import Device
from janus_cli.shell.inputs import is_awaited
from janus_cli.shell.loader import Loader
from janus_cli.shell.sinks import Destination


@pytest.fixture
def pipe(monkeypatch):
    """What writes into standard input, a pipe."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", buffering=0) as other:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        yield other


def test_a_pipe_is_awaited_until_something_or_its_end_comes(pipe):
    assert is_awaited(None) and is_awaited([]) and is_awaited(["-", "a.safetensors"])
    assert not is_awaited(["a.safetensors", "-"])  # there is something to do first
    pipe.write(b"x")
    assert not is_awaited(None)
    sys.stdin.buffer.read(1)
    assert is_awaited(None)
    pipe.close()
    assert not is_awaited(None)


def test_nothing_is_awaited_of_a_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert not is_awaited(None)


def test_nets_are_loaded_while_the_pipe_is_empty(pipe):
    loaded = []
    loader = Loader(None, Device.cpu, Talk(quiet=True))
    loader.load_meanwhile([], Destination(None), lambda pipeline: loaded.append(pipeline.model.name))
    assert loaded == ["pocket"]
    pipe.write(b"x")
    loader.load_meanwhile([], Destination(None), lambda pipeline: loaded.append("again"))
    assert loaded == ["pocket"]


def test_what_cannot_be_loaded_is_told_when_it_is_needed(pipe):
    loader = Loader("nowhere", Device.cpu, Talk(quiet=True))
    loader.load_meanwhile([], Destination(None), lambda pipeline: None)
    with pytest.raises(ModelError):
        loader.open()
