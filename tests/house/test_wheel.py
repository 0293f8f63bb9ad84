"""The wheel, unpacked far from the checkout, draws a picture with the models inside it."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from helpers.models import build_tiny_model
from helpers.runs import ROOT, TIMEOUT
from PIL import Image

pytestmark = pytest.mark.slow
LARGEST = 95_000_000  # bytes; package registries take no file over 100 MB
IN_WHEEL = {".json", ".md", ".toml", ".safetensors"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this tree, with a second, tiny model and a file that is no part of a model."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("janus_cli", "models"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    build_tiny_model(tree / "models" / "tiny")
    (tree / "models" / "tiny" / "notes.txt").write_text("not for the wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", "dist"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((tree / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def run(installed: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "JANUS_MODELS"}
    command = [sys.executable, "-P", "-m", "janus_cli", *args]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        env={**environment, "PYTHONPATH": str(installed)},
    )


def test_the_wheel_holds_the_models_and_nothing_else_of_them(wheel):
    names = [Path(n) for n in zipfile.ZipFile(wheel).namelist()]
    assert {n.parts[0] for n in names if not n.parts[0].endswith(".dist-info")} == {"janus_cli"}
    models = [n for n in names if n.parts[:2] == ("janus_cli", "_models")]
    assert {n.suffix for n in models} <= IN_WHEEL
    assert {n.parts[2] for n in models} >= {"pocket", "tiny"}
    assert all(len(n.parts) == 4 for n in models)  # models/TRAINING.md stays in the checkout


def test_the_wheel_can_be_published(wheel):
    assert wheel.stat().st_size < LARGEST


def test_the_wheel_draws(installed, tmp_path):
    done = run(installed, tmp_path, "draw", "a red apple", "--model", "tiny", "-o", "apple.png")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "apple.png").size == (128, 128)


def test_the_wheels_models_are_its_own(installed, tmp_path):
    done = run(installed, tmp_path, "models", "list")
    assert done.returncode == 0, done.stderr
    assert str(installed / "janus_cli" / "_models" / "tiny") in done.stdout
    assert str(ROOT) not in done.stdout


def test_the_wheels_command(wheel):
    points = next(n for n in zipfile.ZipFile(wheel).namelist() if n.endswith("entry_points.txt"))
    assert "janus = janus_cli.__main__:run" in zipfile.ZipFile(wheel).read(points).decode()


def test_the_wheels_own_plugin(installed, tmp_path):
    (tmp_path / "trace.csv").write_text("1,2\n3,4\n")
    done = run(installed, tmp_path, "tokenize", "series", "trace.csv", "-o", "trace.safetensors")
    assert done.returncode == 0, done.stderr
    assert run(installed, tmp_path, "decode", "trace.safetensors").stdout == "1.0,2.0\n3.0,4.0\n"
