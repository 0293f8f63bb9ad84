"""`models verify` of a Janus-Pro checkpoint: it passes what loads, and names what would not."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.runs import no_traceback
from safetensors.torch import load_file, save_file

from bench.make_checkpoint import make

HEAD = {"original": "gen_head.vision_head.bias", "transformers": "model.generation_head.vision_head.bias"}
LAYOUTS = list(HEAD)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """One checkpoint a layout, in one file and in shards."""
    root = tmp_path_factory.mktemp("verify")
    return {
        (layout, shard): make(root / f"{layout}-{shard}", layout=layout, shard=shard)
        for layout in LAYOUTS
        for shard in (0, 4_000_000)
    }


@pytest.fixture(params=LAYOUTS)
def copy(request, whole, environment):
    """A checkpoint to damage, of either layout, and its weight file."""
    folder = Path(shutil.copytree(whole[request.param, 0], environment / request.param))
    return folder, next(p for p in folder.iterdir() if p.suffix in (".bin", ".safetensors"))


def rewrite(file: Path, change) -> None:
    """Change the file's table of tensors."""
    if file.suffix == ".bin":
        tensors = torch.load(file, weights_only=True)
        change(tensors)
        torch.save(tensors, file)
    else:
        tensors = load_file(file)
        change(tensors)
        save_file(tensors, file)


def fault(janus, folder: Path) -> str:
    """The one thing that verify finds wrong."""
    done = janus("models", "verify", str(folder))
    assert done.code == 3 and no_traceback(done)
    said, count = done.err.splitlines()
    assert count.startswith("janus: 1 of 4 items failed")
    return said


def test_a_whole_checkpoint_takes_a_line_a_check(janus, whole):
    for folder in whole.values():
        done = janus("models", "verify", str(folder))
        assert (done.code, done.err) == (0, "")
        checks = [line.split(": ")[0].split()[-1] for line in done.text.splitlines()]
        assert checks == ["files", "tensors", "tokenizer", "digests"]


def test_tensors_that_do_not_fit(janus, copy):
    folder, file = copy
    name = HEAD[folder.name]

    def reshape(tensors):
        tensors[name] = torch.zeros(3)

    rewrite(file, reshape)
    assert f"tensor {name} has shape [3], config.json asks for [64]" in fault(janus, folder)
    rewrite(file, lambda tensors: tensors.pop(name))
    assert f"tensor {name} is missing (1 in all)" in fault(janus, folder)

    def both(tensors):
        tensors[name] = torch.zeros(64)
        tensors["gen_head.extra"] = torch.zeros(3)

    rewrite(file, both)
    assert "unknown tensor gen_head.extra (1 in all)" in fault(janus, folder)


@pytest.mark.parametrize(
    "change", [lambda data: data[:-40], lambda data: data[:5000], lambda data: data + b"\0" * 64]
)
def test_truncated_and_padded_files(janus, copy, change):
    folder, file = copy
    file.write_bytes(change(file.read_bytes()))
    assert file.name in fault(janus, folder)


def test_a_missing_and_a_truncated_shard(janus, whole, environment):
    for layout in LAYOUTS:
        folder = shutil.copytree(whole[layout, 4_000_000], environment / layout)
        shard = next(folder.glob("*-00002-of-*"))
        data = shard.read_bytes()
        shard.write_bytes(data[:-1000])
        assert shard.name in fault(janus, folder)
        shard.unlink()
        assert f"{shard.name}: missing, but" in fault(janus, folder)


def test_a_tokenizer_that_is_not_the_models(janus, copy):
    file = copy[0] / "tokenizer.json"
    good = file.read_text("utf-8")
    file.write_text(good.replace("<|User|>", "<|Anna|>"), "utf-8")
    assert "lacks the special token <|User|>" in fault(janus, copy[0])
    file.write_text("{}")
    assert "tokenizer.json: not a tokenizer.json" in fault(janus, copy[0])
    file.unlink()
    assert "tokenizer.json: No such file" in fault(janus, copy[0])


def test_json_says_what_was_found(janus, copy):
    (copy[0] / "tokenizer.json").unlink()
    lines = janus("models", "verify", str(copy[0]), "--json").text.splitlines()
    facts = {fact["check"]: fact for fact in map(json.loads, lines)}
    assert [fact["ok"] for fact in facts.values()] == [True, True, False, True]
    assert "none to compare" in facts["digests"]["found"]
