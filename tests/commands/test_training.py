"""`janus train` and `janus eval`: flags reach the functions, reports reach the user."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.places import MODEL, Place

from janus_cli import evaluation, training
from janus_cli.errors import ModelError
from janus_cli.shell import progress
from janus_cli.shell.progress import exam_bars, track
from janus_cli.training import TrainOptions

RECIPE = f"""
seed = 1
[data]
scenes = 6
[dvae]
steps = 3
batch_size = 4
lr = 1e-3
[decoder]
steps = 4
batch_size = 3
lr = 3e-3
text_slots = 6
{MODEL}"""


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[TrainOptions]:
    """The options that `janus train` was called with."""
    seen: list[TrainOptions] = []

    def train(recipe: Path, options: TrainOptions, report: Any, track: Any, say: Any) -> Path:
        seen.append(options)
        say("fitting a codebook")
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
        "--save-every",
        "5",
        "--device",
        "cpu",
    )
    assert done.code == 0
    expected = TrainOptions("refiner", True, True, Path("o"), Path("d"), Path("u"), "cpu", True, False, 5.0)
    assert trained == [expected]


def test_train_reports(janus, trained):
    done = janus("train", "r/recipe.toml")
    assert trained[0].only is None and not trained[0].resume
    assert (
        done.err.startswith("janus: device ") and "checkpoints in runs\njanus: fitting a codebook" in done.err
    )
    assert "dvae step 50 of 100: loss 1.25, psnr 24, 0 min left" in done.err
    assert "trained r" in done.err and done.out == b""
    assert janus("train", "r/recipe.toml", "-q").err == ""


def test_where_the_data_go_is_said_first(janus, trained, examined, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(Path("cache").absolute()))
    for args in (("train", "r/recipe.toml"), ("eval",)):
        monkeypatch.delenv("JANUS_DATA", raising=False)
        assert f"data in {Path('cache/janus').absolute()}" in janus(*args).err.splitlines()[0]
        monkeypatch.setenv("JANUS_DATA", "elsewhere")
        assert "data in elsewhere" in janus(*args).err.splitlines()[0]
        assert "data in here" in janus(*args, "--data", "here").err.splitlines()[0]
    assert (
        [str(o.data) for o in trained[1:]] == [str(o["data"]) for o in examined[1:]] == ["elsewhere", "here"]
    )
    assert not Path("cache").exists() and not Path("elsewhere").exists()


def test_a_dry_run_says_what_would_be_done_and_does_nothing(janus, environment):
    place = Place(environment / "place", RECIPE)
    flags = ("--data", str(place.data), "--runs", str(place.runs), "--device", "cpu", "--dry-run")
    before = sorted(environment.rglob("*"))
    done = janus("train", str(place.recipe), *flags)
    assert done.code == 0 and done.err == "" and sorted(environment.rglob("*")) == before
    lines = done.text.splitlines()
    assert lines[0].endswith("model tiny, seed 1, device cpu")
    assert lines[1] == f"data in {place.data}: a pack of 12 drawings, 6 scenes of them"
    assert lines[2] == f"dvae: 3 steps of 4, from the start; weights to {place.model / 'dvae.safetensors'}"
    assert lines[3].startswith("decoder: 4 steps of 3") and len(lines) == 5
    assert lines[4] == f"checkpoints and metrics in {place.runs / 'tiny'}"
    (place.data / "pack.json.xz").unlink()
    done = janus("train", str(place.recipe), *flags, "--only", "decoder", "--warm-start")
    assert (
        "the pack will be fetched from npm" in done.text and "decoder needs dvae: train it first" in done.text
    )
    assert janus("train", str(place.recipe), *flags, "--only", "refiner").code == 2


def test_a_dry_run_knows_what_is_there(janus, environment):
    place = Place(environment / "place", RECIPE)
    flags = ("--data", str(place.data), "--runs", str(place.runs), "--device", "cpu", "--dry-run")
    (place.runs / "tiny").mkdir(parents=True)
    torch.save({"step": 2}, place.runs / "tiny" / "dvae.pt")
    (place.model / "dvae.safetensors").write_bytes(b"")
    (place.data / "codes.npy").write_bytes(b"")
    text = janus("train", str(place.recipe), *flags, "--resume").text
    assert "on from step 2" in text and "dvae.safetensors (replaced)" in text and "before: codes.npy" in text
    (place.runs / "tiny" / "dvae.pt").write_bytes(b"damaged")
    done = janus("train", str(place.recipe), *flags, "--resume")
    assert done.code == 1 and "dvae.pt: not a checkpoint, start without --resume" in done.err


@pytest.mark.parametrize("on_terminal", [False, True])
def test_a_long_loop_says_how_far_it_is(capsys, monkeypatch, on_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: on_terminal)
    assert list(track(range(5), "rendering", quiet=False)) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == "", "a short one says nothing"
    monkeypatch.setattr(progress, "PATIENCE", 0)
    assert list(track(range(5), "rendering", quiet=True)) == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""
    assert list(track(range(5), "rendering", quiet=False)) == [0, 1, 2, 3, 4]
    shown = capsys.readouterr().err
    assert "rendering" in shown and (on_terminal or shown == "janus: rendering: 0 done\n")
    monkeypatch.setattr(progress, "LINES", 0)
    list(track(range(4), "rendering", quiet=False))
    assert on_terminal or "janus: rendering: 3 of 4, 0.0 min left" in capsys.readouterr().err


def test_each_part_of_an_examination_is_said_once(capsys):
    with exam_bars(quiet=False) as report:
        for label, done in (("tokenizer", 1), ("tokenizer", 2), ("de", 1)):
            report(label, done, 7)
    assert capsys.readouterr().err == "janus: examining tokenizer: 7\njanus: examining de: 7\n"
    with exam_bars(quiet=True) as report:
        assert report is None


def test_train_refuses_an_unknown_component(janus):
    done = janus("train", "recipe.toml", "--only", "wings")
    assert done.code == 2 and "wings" in done.err


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The arguments that `janus eval` passed on."""
    seen: list[dict[str, Any]] = []

    def examine(model: str, *, progress: Callable[..., None] | None, **options: Any) -> dict[str, Any]:
        assert callable(options.pop("say"))
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
