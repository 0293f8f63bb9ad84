"""The examples are a contract: each runs from start to end in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.runs import ROOT

EXAMPLES = sorted((ROOT / "examples").glob("*.sh"))


@pytest.mark.slow
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(script: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    janus = tmp_path / "bin" / "janus"
    janus.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m janus_cli "$@"\n')
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for tool in (janus, python):
        tool.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    command, found = ["bash", str(script), "out"], []
    for _ in range(2):  # and it can be run again
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        found.append(sorted((tmp_path / "out").rglob("*")))
    assert found[0] == found[1]
    assert any((tmp_path / "out").rglob("*.png")) or any((tmp_path / "out").rglob("*.tar"))


def test_there_are_examples() -> None:
    assert {path.stem for path in EXAMPLES} >= {"draw", "pipeline", "batch", "senses"}
