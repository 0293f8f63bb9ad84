"""Memory that runs out is one line, whoever says it: Python, numpy, torch or the loader."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from janus_cli import app


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        np._core._exceptions._ArrayMemoryError((1 << 40,), np.dtype("u1")),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: ..."
        ),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_in_everybodys_words(error, capsys):
    assert app._explain(error) == 1
    said = capsys.readouterr().err
    assert said.startswith("janus: ") and said.count("\n") == 1 and "emory" in said and "bug" not in said


def test_other_errors_stay_bugs(capsys):
    assert app._explain(RuntimeError("size mismatch")) == 1
    assert "this is a bug" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", [300, 540, 620])
def test_little_memory(environment, megabytes):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    done = subprocess.run(
        [sys.executable, "-m", "janus_cli", "draw", "cat", "-q", "-o", "a.png"],
        preexec_fn=limit,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 1 and done.stderr.startswith("janus: not enough memory")
    assert done.stderr.count("\n") == 1 and not list(environment.glob("*.png"))
