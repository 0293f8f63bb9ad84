"""A real `janus train`, killed while it trains and resumed, gives what an unbroken one gives."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.places import MODEL, Place, small_pools
from helpers.runs import TIMEOUT

STEPS = 60
RECIPE = f"""
seed = 1
[data]
scenes = 6
[dvae]
steps = 2
batch_size = 4
lr = 1e-3
[decoder]
steps = {STEPS}
batch_size = 2
lr = 3e-3
muon_lr = 0.02
text_slots = 6
{MODEL}"""


def begin(place: Path, *flags: str) -> subprocess.Popen[str]:
    """Train the decoder in the folder `place`, saving at every step."""
    command = [
        sys.executable,
        "-m",
        "janus_cli",
        "train",
        str(place / "tiny" / "recipe.toml"),
        "--only",
        "decoder",
    ]
    folders = ["--data", str(place / "data"), "--runs", str(place / "runs")]
    return subprocess.Popen(
        [*command, *folders, "--save-every", "0", "--device", "cpu", *flags],
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    return err


def read_metrics(place: Path) -> list[dict[str, float]]:
    """The metrics of all steps, without the time they took."""
    rows = [json.loads(line) for line in (place / "runs" / "tiny" / "decoder.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.slow
def test_a_killed_training_resumed_equals_an_unbroken_one(tmp_path: Path) -> None:
    with small_pools():
        Place(tmp_path / "whole", RECIPE).train("dvae")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    unbroken, killed = begin(tmp_path / "whole"), begin(tmp_path / "cut")
    checkpoint = tmp_path / "cut" / "runs" / "tiny" / "decoder.pt"
    while not checkpoint.exists():
        assert killed.poll() is None, killed.stderr.read()
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=TIMEOUT)
    done = torch.load(checkpoint, weights_only=True)["step"]
    assert killed.returncode == -signal.SIGKILL and 0 < done < STEPS
    assert not (tmp_path / "cut" / "tiny" / "decoder.safetensors").exists()
    said = finish(begin(tmp_path / "cut", "--resume"))
    assert "decoder step 0 of" not in said and f"decoder step {STEPS - 1} of" in said
    finish(unbroken)
    for name in ("tiny/decoder.safetensors", "tiny/config.json", "tiny/tokenizer.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert read_metrics(tmp_path / "cut") == read_metrics(tmp_path / "whole")
