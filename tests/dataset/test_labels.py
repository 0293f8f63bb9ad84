"""A judge's labels and configuration: written whole, read back, and kept where a disk is full."""

import errno

import pytest
from helpers.disks import fill

from janus_cli.config import ModelConfig, read_config
from janus_cli.dataset.labels import make_judge_config, read_labels, write_labels
from janus_cli.dataset.pack import Concept
from janus_cli.errors import MediaError

CONCEPTS = [Concept(name, "fruit", {}, {}, (), (), ()) for name in ("apple", "pear", "plum")]


def test_labels_and_configuration_come_back(tmp_path):
    labels = write_labels(tmp_path, CONCEPTS)
    assert read_labels(tmp_path) == labels
    expected = ModelConfig(tmp_path.name, judge=make_judge_config(CONCEPTS))
    assert read_config(tmp_path / "config.json") == expected


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    write_labels(tmp_path, CONCEPTS)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    room = len(before["labels.json"]) + 10  # so that the configuration is what fails
    assert len(before["config.json"]) > room
    fill(monkeypatch, room, errno.ENOSPC)
    with pytest.raises(MediaError, match=r"config\.json: cannot be written: No space left"):
        write_labels(tmp_path, CONCEPTS)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
