"""Published checkpoints: every layout gives the same tensors; every fault is a line naming the file."""

import json
import zipfile
from pathlib import Path

import pytest
import torch
from helpers.pickles import Code
from safetensors.torch import save_file
from torch import Tensor

from janus_cli.errors import ModelError
from janus_cli.weights.checkpoint import Checkpoint, read_state

TENSORS = {
    "a.weight": torch.arange(12.0).view(3, 4),
    "b.weight": torch.ones(2, 5, dtype=torch.bfloat16),
    "c.count": torch.tensor(7),
}


def write_shards(folder: Path, tensors: dict[str, Tensor], kind: str) -> Path:
    """One shard a tensor, and the index, as transformers writes them; `kind` is safetensors or bin."""
    stem, save = ("model", save_file) if kind == "safetensors" else ("pytorch_model", torch.save)
    folder.mkdir(parents=True, exist_ok=True)
    weight_map = {}
    for i, (name, tensor) in enumerate(tensors.items(), 1):
        weight_map[name] = f"{stem}-{i:05}-of-{len(tensors):05}.{kind}"
        save({name: tensor}, folder / weight_map[name])
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": weight_map}
    (folder / f"{stem}.{kind}.index.json").write_text(json.dumps(index))
    return folder


def write(folder: Path, layout: str) -> Path:
    if "shards" in layout:
        return write_shards(folder, TENSORS, layout.split()[0])
    if layout == "safetensors":
        save_file(TENSORS, folder / "model.safetensors")
    else:
        torch.save(TENSORS, folder / "pytorch_model.bin")
    return folder


LAYOUTS = ["safetensors", "bin", "safetensors shards", "bin shards"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_tensors(tmp_path, layout):
    checkpoint = Checkpoint.open(write(tmp_path, layout))
    assert checkpoint.shapes() == {"a.weight": (3, 4), "b.weight": (2, 5), "c.count": ()}
    assert set(checkpoint) == set(TENSORS) and len(checkpoint) == 3 and "a" not in checkpoint
    for name, tensor in TENSORS.items():
        assert checkpoint.dtype(name) == tensor.dtype == checkpoint[name].dtype
        assert torch.equal(checkpoint[name], tensor) and checkpoint.file(name).parent == tmp_path
    with pytest.raises(KeyError):
        checkpoint["d"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_of_it_opens_too(tmp_path, layout):
    folder = write(tmp_path, layout)
    begin = next(f for f in sorted(folder.iterdir()) if "index" in f.name or "shards" not in layout)
    assert Checkpoint.open(begin).shapes() == Checkpoint.open(folder).shapes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_one_shard_is_mapped_at_a_time(tmp_path, layout):
    checkpoint = Checkpoint.open(write(tmp_path, layout))
    for name in checkpoint:
        assert checkpoint[name].numel()
        maps = Path("/proc/self/maps")
        if not maps.exists():
            pytest.skip("no /proc")
        mapped = {line.split()[-1] for line in maps.read_text().splitlines() if str(tmp_path) in line}
        assert mapped <= {str(checkpoint.file(name))}


def test_what_the_index_does_not_list_is_not_lost(tmp_path):
    write(tmp_path, "safetensors shards")
    index = tmp_path / "model.safetensors.index.json"
    data = json.loads(index.read_text())
    del data["weight_map"]["a.weight"]
    save_file(
        {"a.weight": torch.zeros(1), "b.weight": TENSORS["b.weight"]},
        tmp_path / data["weight_map"]["b.weight"],
    )
    index.write_text(json.dumps(data))
    assert Checkpoint.open(tmp_path).shapes()["a.weight"] == (1,)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    torch.save({"a": torch.ones(1), "b": Code(tmp_path / "hacked")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"model.bin: refused: it holds .*\(\w+.mkdir\), not") as caught:
        Checkpoint.open(tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"state_dict": {"a": torch.ones(1)}}, "'state_dict' is no tensor"),
        (torch.ones(1), "no table of tensors"),
        ({}, "no table of tensors"),
        ({"a": torch.ones(2).to_sparse()}, "'a' is no tensor"),
    ],
)
def test_a_bin_of_something_else(tmp_path, value, message):
    torch.save(value, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=f"pytorch_model.bin: .*{message}"):
        Checkpoint.open(tmp_path)


def test_the_old_format_of_torch_is_refused(tmp_path):
    torch.save(TENSORS, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match=r"neither safetensors nor a file of torch.save \(1.6 or newer\)"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize("size", [0, 2, 60, -2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_truncated_file_is_named(tmp_path, layout, size):
    write(tmp_path, layout)
    file = max(f for f in tmp_path.iterdir() if f.suffix in (".bin", ".safetensors"))
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ModelError, match=rf"{file.name}: (not a|neither)") as caught:
        Checkpoint.open(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_missing_shard_and_an_absent_tensor_are_named(tmp_path, kind):
    write_shards(tmp_path, TENSORS, kind)
    shard = next(tmp_path.glob(f"*-00002-of-*.{kind}"))
    data = shard.read_bytes()
    shard.unlink()
    with pytest.raises(ModelError, match=f"{shard.name}: missing, but .*index.json names it"):
        Checkpoint.open(tmp_path)
    shard.write_bytes(data)
    index = next(tmp_path.glob("*.json"))
    names = json.loads(index.read_text())
    names["weight_map"]["d.weight"] = shard.name
    index.write_text(json.dumps(names))
    with pytest.raises(ModelError, match=f"{shard.name}: lacks tensor d.weight, which .*index.json says"):
        Checkpoint.open(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"weight_map": {}}',
        '{"weight_map": {"a": 3}}',
        '{"weight_map": {"a": "../b.safetensors"}}',
    ],
)
def test_a_bad_index(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ModelError, match=r"index.json: (not an index of sh|not readable JS|expected a JS)"):
        Checkpoint.open(tmp_path)


def test_no_weights_no_file_and_a_pointer(tmp_path):
    with pytest.raises(ModelError, match=r"holds no weights \(none of model.safetensors.index.json"):
        Checkpoint.open(tmp_path)
    with pytest.raises(ModelError, match="none.bin: no such file or folder"):
        Checkpoint.open(tmp_path / "none.bin")
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ModelError, match="model.safetensors: a pointer of git-lfs"):
        Checkpoint.open(tmp_path)


def test_tensors_of_more_than_their_file(tmp_path):
    """Views of one number may have any shape, and a copy of one takes what it says."""
    one = torch.ones(1).as_strided((1 << 20, 1 << 20), (0, 0))
    for state in ({"a": one}, {"params": {"a": [one]}}):
        torch.save(state, tmp_path / "w.bin")
        for read in (Checkpoint.open, read_state):
            with pytest.raises(
                ModelError, match=r"tensors of 4,398,046,511,104 bytes in a file of [\d,]+: refused"
            ):
                read(tmp_path / "w.bin")
    tied = torch.ones(100, 100)
    torch.save({"a": tied, "b": tied}, tmp_path / "w.bin")
    assert set(Checkpoint.open(tmp_path / "w.bin")) == {"a", "b"}


def test_a_packed_file_is_not_unpacked(tmp_path):
    torch.save({"a": torch.zeros(1 << 20)}, tmp_path / "w.bin")
    with zipfile.ZipFile(tmp_path / "w.bin") as plain, zipfile.ZipFile(tmp_path / "p.bin", "w") as packed:
        for name in plain.namelist():
            packed.writestr(name, plain.read(name), zipfile.ZIP_DEFLATED)
    for read in (Checkpoint.open, read_state):
        with pytest.raises(ModelError, match="in it is compressed"):
            read(tmp_path / "p.bin")


@pytest.mark.parametrize(
    "data", [b"\x80\x02.", b"\x80\x02}q\x00u.", b"\x80\x02X\x00", b"\x80\x02ccollections\nOrderedDict\n)R."]
)
def test_pickles_that_are_none(tmp_path, data):
    """What fuzzing found that torch's reader raises of them: IndexError, struct.error, AssertionError, ..."""
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(ModelError, match=r"w\.pth: "):
        read_state(tmp_path / "w.pth")
