"""The examples are a contract: each runs from start to end in an empty folder, and leaves what it says."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from helpers.runs import ROOT, Done, pixels

from janus_cli.records import loads


def check_draw(out: Path, done: Done) -> None:
    """One picture that knows how it was made; two of each of two prompts; two from a pipe."""
    assert pixels(out / "apple.png").shape == (512, 512, 3)
    assert "a red apple" in done.text and "seed" in done.text
    for prompt in ("a-penguin-noto", "a-sunflower-twemoji"):
        assert len(list(out.glob(f"{prompt}-*.png"))) == 2
    jpegs = {"two-cats.jpg", "a-small-dog-in-the-center.jpg"}
    assert {file.name for file in out.glob("*.jpg")} == jpegs and len(list(out.iterdir())) == 7


def check_pipeline(out: Path, done: Done) -> None:
    """A file at every joint, and the same picture from one process."""
    assert loads((out / "prompt.safetensors").read_bytes()).prompt == "a red apple"
    assert loads((out / "tokens.safetensors").read_bytes()).find("image").data.shape == (16, 16)
    assert pixels(out / "raw.png").shape == (128, 128, 3)
    assert (pixels(out / "apple.png") == pixels(out / "again.png")).all()
    assert done.err.endswith("the pipe and janus draw agree\n")


def check_batch(out: Path, done: Done) -> None:
    """Three pictures in one shard, counted as a stream, and three pictures back, nearly the same."""
    with tarfile.open(out / "shard-000000.tar") as shard:
        members = shard.getnames()
    counted = [json.loads(line) for line in done.text.splitlines() if line.startswith("{")]
    assert len(members) == len(counted) == len(list((out / "pictures").iterdir())) == 3
    back = sorted((out / "back").iterdir())
    assert [file.name for file in back] == sorted(file.name for file in (out / "pictures").iterdir())
    for file in back:
        assert abs(pixels(file).astype(int) - pixels(out / "pictures" / file.name)).mean() < 8


def check_senses(out: Path, done: Done) -> None:
    """A word said and heard, a picture in words and as a sound, a sound as a picture; tokens and back."""
    heard, seen = done.text.splitlines()[:2]
    assert heard == "penguin" and "red apple" in seen
    assert soundfile.info(out / "told.wav").frames > 8000
    assert pixels(out / "heard.png").shape == (256, 256, 3)
    sounds = [soundfile.info(out / name) for name in ("penguin.wav", "again.flac")]
    assert len({(sound.frames, sound.samplerate) for sound in sounds}) == 1
    assert loads((out / "penguin.safetensors").read_bytes()).find("audio") is not None


CHECKS: dict[str, Callable[[Path, Done], None]] = {
    "batch": check_batch,
    "draw": check_draw,
    "pipeline": check_pipeline,
    "senses": check_senses,
}


def test_each_example_can_be_run_again():
    for script in sorted((ROOT / "examples").iterdir()):
        text = script.read_text("utf-8").replace("|\n", "|")
        writing = [line for line in text.splitlines() if " -o " in line]
        assert writing and all("--force" in line for line in writing), script.name


def test_each_example_has_its_check():
    assert {path.name for path in (ROOT / "examples").iterdir()} == {f"{name}.sh" for name in CHECKS}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_example_runs(name, warm_shell, tmp_path, monkeypatch):
    monkeypatch.delenv("JANUS_MODELS", raising=False)  # the shipped models
    done = warm_shell(f'bash "{ROOT}/examples/{name}.sh" out', tmp_path)
    assert done.code == 0, done.err
    if name == "pipeline":
        written = sorted((tmp_path / "out").iterdir())
        done = warm_shell(f'bash "{ROOT}/examples/{name}.sh" out', tmp_path)
        assert sorted((tmp_path / "out").iterdir()) == written
    CHECKS[name](tmp_path / "out", done)
