"""`janus train` and `janus eval`: flags reach the functions, reports reach the user."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from janus_cli import evaluation, training
from janus_cli.errors import ModelError
from janus_cli.training import TrainOptions


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainOptions]:
    """The options that `janus train` was called with."""
    seen: list[TrainOptions] = []

    def train(recipe: Path, options: TrainOptions, report: Any, track: Any) -> Path:
        seen.append(options)
        assert list(track(range(3), "rendering")) == [0, 1, 2]
        report("dvae", 0, 100, {"loss": 2.5})
        report("dvae", 50, 100, {"loss": 1.25, "psnr": 24.0})
        return options.out or recipe.parent

    monkeypatch.setattr(training, "train", train)
    return seen


def test_train_flags(janus, trained):
    done = janus(
        "train",
        "r/recipe.toml",
        "--only",
        "refiner",
        "--resume",
        "--warm-start",
        "--out",
        "o",
        "--data",
        "d",
        "--runs",
        "u",
        "--bf16",
        "--device",
        "cpu",
    )
    assert done.code == 0
    expected = TrainOptions("refiner", True, True, Path("o"), Path("d"), Path("u"), "cpu", True, False)
    assert trained == [expected]


def test_train_reports(janus, trained):
    done = janus("train", "r/recipe.toml")
    assert trained[0].only is None and not trained[0].resume
    assert "dvae step 50 of 100: loss 1.25, psnr 24, 0 min left" in done.err
    assert "trained r" in done.err and done.out == b""
    assert janus("train", "r/recipe.toml", "-q").err == ""


def test_train_refuses_an_unknown_component(janus):
    done = janus("train", "recipe.toml", "--only", "wings")
    assert done.code == 2 and "wings" in done.err


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments that `janus eval` passed on."""
    seen: list[dict[str, Any]] = []

    def examine(model: str, *, progress: Callable[..., None] | None, **options: Any) -> dict[str, Any]:
        seen.append({"model": model, **options})
        return {"model": model, "seconds": 1.0}

    monkeypatch.setattr(evaluation, "evaluate", examine)
    monkeypatch.setattr(evaluation, "render_table", lambda report: f"| {report['model']} |")
    return seen


def test_eval_prints_a_table_or_json(janus, examined):
    assert janus("eval").text == "| pocket |\n"
    assert json.loads(janus("eval", "mine", "--json").text) == {"model": "mine", "seconds": 1.0}


def test_eval_flags(janus, examined):
    done = janus("eval", "--gallery", "g.png", "--limit", "3", "--seed", "5", "--data", "d", "-d", "cpu")
    assert examined == [
        {
            "model": "pocket",
            "data": Path("d"),
            "limit": 3,
            "seed": 5,
            "device": "cpu",
            "gallery": Path("g.png"),
            "write_card": False,
            "everything": False,
            "album": None,
        }
    ]
    assert "wrote g.png" in done.err


def test_eval_errors_are_one_line(janus, monkeypatch):
    def examine(*_: Any, **__: Any) -> None:
        raise ModelError("model pocket lacks a judge: train it")

    monkeypatch.setattr(evaluation, "evaluate", examine)
    done = janus("eval")
    assert done.code == 1 and "janus: model pocket lacks a judge" in done.err and "Traceback" not in done.err
