"""`models import`: the same tensors as safetensors, beside the same configuration; whole or not at all."""

import json
import os
from pathlib import Path

import pytest
import torch
from conftest import no_traceback
from safetensors.torch import load_file

from janus_cli import convert, zoo
from janus_cli.checkpoint import Checkpoint
from janus_cli.errors import ModelError

TENSORS = {"a": torch.arange(3.0), "b": torch.arange(40.0).view(8, 5).T.to(torch.bfloat16),
           "n": torch.tensor(7), "empty": torch.zeros(0, 4), "w": torch.randn(300, 7)}


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "Tiny"
    folder.mkdir()
    torch.save(TENSORS, folder / "pytorch_model.bin")
    (folder / "config.json").write_text('{"model_type": "multi_modality"}')
    (folder / "tokenizer.json").write_text("{}")
    (folder / "teaser.png").write_text("x")
    return folder


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shard", [convert.SHARD, 100])
def test_the_same_tensors(source, tmp_path, dtype, shard, monkeypatch):
    monkeypatch.setattr(convert, "CHUNK", 64)  # so that a tensor takes several
    written = []
    files = convert.convert(source, tmp_path / "out", dtype, written.append, shard)
    made = Checkpoint.open(tmp_path / "out")
    assert set(made) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert torch.equal(made[name], tensor.to(dtype) if dtype and tensor.is_floating_point() else tensor)
    beside = {"config.json", "tokenizer.json"}
    weights = [f for f in files if f.suffix == ".safetensors"]
    assert {f.name for f in files} - beside - {f.name for f in weights} <= {"model.safetensors.index.json"}
    assert (len(weights) > 1) == (shard == 100) and beside <= {f.name for f in files}
    stored = [t for f in weights for t in zoo.read_header(f).values()]
    assert sum(written) == sum(t.size * zoo.WIDTH[t.dtype] for t in stored)
    for file in weights:  # transformers' own loader reads them, and every tensor is aligned
        assert load_file(file)
        assert all(t.start % zoo.WIDTH[t.dtype] == 0 for t in zoo.read_header(file).values())


def test_import_and_what_it_prints(janus, source):
    done = janus("models", "import", str(source), "--dtype", "bf16")
    assert done.code == 0 and done.text == "Tiny-safetensors\n" and "use them with --model" in done.err
    assert "BF16+I64" in janus("models", "verify", "Tiny-safetensors").text
    again = janus("models", "import", str(source))
    assert again.code == 1 and "exists already" in again.err and no_traceback(again)
    file = str(source / "pytorch_model.bin")
    assert janus("models", "import", file, "-o", "deep/er").code == 0
    assert Path("deep/er/config.json").is_file()


def test_what_cannot_be_imported(janus, source, tiny_model):
    assert "nothing to import" in janus("models", "import", "pocket").err
    assert "no model 'rocket'" in janus("models", "import", "rocket").err
    (source / "config.json").unlink()
    for place in (source, source / "pytorch_model.bin"):
        done = janus("models", "import", str(place), "-o", "out")
        assert done.code == 1 and "no config.json beside" in done.err and not Path("out").exists()


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_full_disk_leaves_nothing(source, tmp_path, monkeypatch):
    before = left(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ModelError, match="out: cannot be written: the disk is full"):
        convert.convert(source, tmp_path / "out", None, lambda _: None)
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: Full())
    with pytest.raises(ModelError, match="the disk is full: 0.0 GB are needed"):
        convert.convert(source, tmp_path / "out", None, lambda _: None)
    assert left(tmp_path) == before


class Full:
    """A disk without room."""

    free = 10


def test_an_interrupted_or_faulty_import_leaves_nothing(source, tmp_path):
    before = left(tmp_path)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert.convert(source, tmp_path / "out", None, stop)
    (source / "pytorch_model.bin").write_bytes((source / "pytorch_model.bin").read_bytes()[:500])
    with pytest.raises(ModelError, match="may be truncated"):
        convert.convert(source, tmp_path / "out", None, lambda _: None)
    assert left(tmp_path) == before


def test_the_index_sums_the_sizes(source, tmp_path):
    convert.convert(source, tmp_path / "out", torch.float32, lambda _: None, shard=100)
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * (3 + 40 + 2100) + 8
    assert set(index["weight_map"]) == set(TENSORS)
