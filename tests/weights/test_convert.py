"""`models import`: the same tensors as safetensors, beside the same configuration; whole or not at all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.runs import no_traceback
from safetensors.torch import load_file, save_file

from janus_cli import zoo
from janus_cli.errors import ModelError
from janus_cli.weights import convert
from janus_cli.weights.checkpoint import Checkpoint

TENSORS = {
    "a": torch.arange(3.0),
    "b": torch.arange(40.0).view(8, 5).T.to(torch.bfloat16),
    "n": torch.tensor(7),
    "empty": torch.zeros(0, 4),
    "w": torch.randn(300, 7),
}


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
    shown = janus("models", "show", "Tiny-safetensors").text
    assert "BF16" in shown and "I64" in shown and "F32" not in shown.replace("BF16", "")
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


def test_our_own_weights_and_single_shards_are_refused(janus, tiny_model, source):
    done = janus("models", "import", str(tiny_model / "dvae.safetensors"))
    assert done.code == 1 and "pocket is no published checkpoint: there is nothing to import" in done.err
    convert.convert(source, source.parent / "shards", None, lambda _: None, shard=100)
    shutil.copyfile(source / "config.json", source.parent / "shards" / "config.json")
    shard = next((source.parent / "shards").glob("model-00002-of-*"))
    done = janus("models", "import", str(shard), "-o", "out")
    assert done.code == 1 and "one shard of model.safetensors.index.json: name the folder" in done.err


def test_the_configuration_says_the_new_dtype(source, tmp_path):
    given = {
        "model_type": "multi_modality",
        "torch_dtype": "float16",
        "n": [1, {"dtype": "x"}],
        "language_config": {"torch_dtype": "float16", "word": "Ä"},
    }
    (source / "config.json").write_text(json.dumps(given))
    convert.convert(source, tmp_path / "out", torch.bfloat16, lambda _: None)
    assert json.loads((tmp_path / "out" / "config.json").read_text("utf-8")) == given | {
        "torch_dtype": "bfloat16",
        "language_config": {"torch_dtype": "bfloat16", "word": "Ä"},
    }
    convert.convert(source, tmp_path / "same", None, lambda _: None)
    assert (tmp_path / "same" / "config.json").read_bytes() == (source / "config.json").read_bytes()


def test_places_that_cannot_be_written(janus, source):
    Path("file").write_text("x")
    for target, message in (
        ("/proc/out", "/proc: no folder can be made in it"),
        ("/proc/1/new/out", "no folder can be made in it"),
        ("file/out", "file: no folder can be made in it: it is no folder"),
        ("file/deep/out", "file: no folder can be made in it: it is no folder"),
    ):
        done = janus("models", "import", str(source), "-o", target)
        assert done.code == 1 and message in done.err and "disk" not in done.err and no_traceback(done)


def test_folders_made_on_the_way_go_again(source, tmp_path, monkeypatch):
    before = left(tmp_path)
    (tmp_path / "mine").mkdir()
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: Full())
    for target in (tmp_path / "a" / "b" / "out", tmp_path / "mine" / "c" / "out"):
        with pytest.raises(ModelError, match="the disk is full"):
            convert.convert(source, target, None, lambda _: None)
    assert left(tmp_path) == sorted([*before, "mine"]) and left(tmp_path / "mine") == []


@pytest.mark.slow
def test_a_terminated_import_leaves_nothing(source, environment):
    slow = (
        "import time, janus_cli.weights.convert as c, janus_cli.app as a; write = c._write_file\n"
        "def stop(*args): write(*args); print('writing', flush=True); time.sleep(60)\n"
        "c._write_file = stop; raise SystemExit(a.main())"
    )
    before = left(environment)
    command = [sys.executable, "-c", slow, "models", "import", str(source), "-o", "new/out"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        assert list(Path("new").glob(".janus-*.part/model.safetensors"))
        process.terminate()
        assert process.wait(30) == 143
    assert left(environment) == before


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_types_that_are_not_stored_are_named(janus, source, kind):
    tensors = {"a": torch.ones(3).to(torch.float8_e4m3fn)}
    (source / "pytorch_model.bin").unlink()
    if kind == "bin":
        torch.save(tensors, source / "pytorch_model.bin")
    else:
        save_file(tensors, source / "model.safetensors")
    done = janus("models", "import", str(source), "-o", "out")
    assert done.code == 1 and no_traceback(done) and not Path("out").exists()
    assert "float8_e4m3fn" in done.err or "a is stored as F8_E4M3; this janus reads F64, F32" in done.err


def left(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_full_disk_leaves_nothing(source, tmp_path, monkeypatch):
    before = left(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ModelError, match="out: cannot be written: the disk is full"):
        convert.convert(source, tmp_path / "out", None, lambda _: None)
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda _: Full())
    with pytest.raises(ModelError, match="the disk is full: 0.0 MB are needed, 0.0 MB are free"):
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
