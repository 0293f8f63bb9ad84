"""Loading and importing hold the weights once: most memory that a process of its own ever had."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import make_checkpoint
from janus_cli.weights import checkpoint

MB = 1 << 20
# 40 million parameters in layers of which no tensor is over 2 MB
SHAPE = replace(make_checkpoint.SHAPES["tiny"], dim=512, n_layer=12, n_head=8, ff_dim=1408)
REMAP = 16 * MB
MEASURE = """
import json, sys, torch
from pathlib import Path
import janus_cli.nets.janus_pro
from janus_cli.weights import checkpoint
from janus_cli.weights import convert
from janus_cli.weights import published as parts
from janus_cli.zoo import janus_pro

def peak():
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))

what, folder, remap = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
checkpoint.REMAP = remap
held = parts.PublishedNet(folder, janus_pro.read(folder).janus_pro)
held.net
before = peak()
if what == "import":
    convert.convert(folder, folder.parent / "imported", torch.float32, lambda _: None)
else:
    every = parts.GENERATE + parts.UNDERSTAND + parts.TOKENIZE
    net = held.fill(every, "cpu", getattr(torch, what))
    for weight in net.parameters():
        weight.data.view(-1).view(torch.uint8)[::4096].sum()  # a mapped page counts once it was read
print(json.dumps([before, peak()]))
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc"),
]


def build(tmp_path_factory, layout):
    """A checkpoint of some 80 MB in bf16, and the bytes of its weights."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(make_checkpoint.SHAPES, "layers", SHAPE)
        place = tmp_path_factory.mktemp("memory") / "pro"
        folder = make_checkpoint.make(place, "layers", layout, "bf16")
    size = max(file.stat().st_size for file in folder.iterdir())
    assert size > 70 * MB
    return folder, size


@pytest.fixture(scope="module", params=["original", "transformers"])
def stored(request, tmp_path_factory):
    """The same, of either layout."""
    return build(tmp_path_factory, request.param)


def grown(what: str, folder: Path, remap: int) -> int:
    """Bytes by which the process grew at its largest."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, what, str(folder), str(remap)],
        check=True,
        capture_output=True,
        text=True,
    )
    before, after = json.loads(done.stdout)
    return after - before


def test_weights_stored_as_wanted_are_not_copied(stored):
    folder, size = stored
    assert size - 8 * MB < grown("bfloat16", folder, REMAP) < size + 30 * MB


def test_weights_in_another_dtype_are_held_once(stored):
    folder, size = stored
    assert 2 * size - 8 * MB < grown("float32", folder, REMAP) < 2 * size + REMAP + 30 * MB


def test_an_import_needs_far_less_than_the_checkpoint(stored):
    """The least of some runs: how many of the file's cached pages are mapped beside them is chance."""
    folder, size = stored

    def needed() -> int:
        shutil.rmtree(folder.parent / "imported", ignore_errors=True)
        return grown("import", folder, REMAP)

    bound = REMAP + 45 * MB
    assert any(needed() < bound for _ in range(3)) and bound < size


def test_the_bounds_would_find_a_second_copy(tmp_path_factory):
    folder, size = build(tmp_path_factory, "original")
    assert grown("float32", folder, 1 << 40) > 2 * size + REMAP + 40 * MB
    assert checkpoint.REMAP <= 1 << 30  # so that an import stays below the largest shard and 1 GB
