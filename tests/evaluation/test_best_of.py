"""`bench.best_of` runs on a tiny model, and counts what its judge says of what eyes have chosen."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.packs import three_concepts

from bench import best_of
from janus_cli import weights
from janus_cli.dataset.labels import make_judge_config, write_labels
from janus_cli.evaluation.lists import make_lists
from janus_cli.nets.judge import Judge


@pytest.fixture
def model(tiny_any: Path, tmp_path: Path) -> Path:
    """A tiny model that sees, beside a random judge, with pairs and everyday words to ask for."""
    folder = shutil.copytree(tiny_any, tmp_path / "pocket")
    lists = make_lists(three_concepts())
    asked = {"trained": lists.trained, "plain": lists.plain, "languages": lists.languages, "scenes": []}
    (folder / "heldout.json").write_text(json.dumps({"pairs": lists.pairs, **asked}))
    (folder / "everyday.json").write_text(json.dumps({"words": [["a fruit", ["apple"]]], "languages": {}}))
    judge = tmp_path / "judge"
    judge.mkdir()
    write_labels(judge, three_concepts())
    torch.manual_seed(0)
    weights.save(Judge(make_judge_config(three_concepts())), judge / "judge.safetensors", torch.float16)
    return folder


def test_it_measures_and_keeps_what_it_drew(model, tmp_path, capsys, monkeypatch):
    keep = tmp_path / "kept.npz"
    command = [str(model), "--number", "4", "--keep", str(keep), "--limit", "3"]
    best_of.main(command)
    first = capsys.readouterr().out
    assert "held-out pairs: best of 4 | 1 |" in first and "everyday words: *any of 4* | 1 |" in first
    monkeypatch.setattr(best_of, "draw", lambda *_: 1 / 0)  # what is kept is not drawn again
    best_of.main(command)
    assert capsys.readouterr().out.splitlines()[:-1] == first.splitlines()[:-1]
    with pytest.raises(ZeroDivisionError):
        best_of.main([*command, "--seed", "1"])


def test_the_chosen_one_counts():
    right = np.zeros((2, 8, 4), bool)
    right[0, 5] = right[1, 0] = True
    scores = np.zeros((2, 8))
    scores[0, 5], scores[1, 2] = 1.0, 1.0
    rows = best_of.tabulate("x", right, scores)
    shares = {row.split("|")[1].strip(): row.split("|")[3].strip() for row in rows}
    assert shares == {
        "x: one": "50.0 %",
        "x: one of 8 at random": "12.5 %",
        "x: best of 4": "0.0 %",
        "x: *any of 4*": "50.0 %",
        "x: best of 8": "50.0 %",
        "x: *any of 8*": "100.0 %",
    }
