"""Model folders: finding them, fingerprints, weight file headers."""

import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from janus_cli import zoo
from janus_cli.errors import ModelError


def test_find_by_name_and_by_path(environment, tiny_model):
    assert zoo.find("pocket").path == tiny_model
    assert zoo.find(str(tiny_model)).name == "pocket"
    assert "pocket" in [m.name for m in zoo.list_places()]


def test_the_checkouts_own_models_come_last(monkeypatch, zoo_folder):
    monkeypatch.setenv("JANUS_MODELS", str(zoo_folder))
    own, checkout = zoo.list_folders()
    assert own == zoo_folder and checkout.name in ("models", "_models")


def test_an_unknown_model(environment):
    with pytest.raises(ModelError, match=r"no model 'rocket' \(have: .*pocket"):
        zoo.find("rocket")


def test_a_missing_component(environment, tmp_path):
    (tmp_path / "config.json").write_text('{"name": "half", "dvae": {}}')
    model = zoo.find(str(tmp_path))
    with pytest.raises(ModelError, match="lacks .*dvae.safetensors: train it"):
        model.file("dvae")
    with pytest.raises(ModelError, match="has no decoder"):
        model.file("decoder")
    with pytest.raises(ModelError, match=r"lacks .*tokenizer.json"):
        _ = model.tokenizer_file


def test_the_codebook_fingerprint_is_that_of_the_normalised_rows(tmp_path):
    book = np.random.default_rng(0).normal(size=(16, 8))
    book /= np.linalg.norm(book, axis=1, keepdims=True)
    save_file({zoo.CODEBOOK: book.astype(np.float32)}, tmp_path / "a.safetensors")
    save_file({zoo.CODEBOOK: (4 * book.astype(np.float32))}, tmp_path / "b.safetensors")
    assert zoo.codebook_fingerprint(tmp_path / "a.safetensors") == zoo.codebook_fingerprint(
        tmp_path / "b.safetensors"
    )


def test_the_codebook_fingerprint_of_a_known_codebook(tmp_path):
    book = np.array([[3, 4], [0, 2], [0, 0]], np.float32)
    save_file({zoo.CODEBOOK: book}, tmp_path / "a.safetensors")
    expected = np.array([[0.6, 0.8], [0, 1], [0, 0]], "<f4").tobytes()
    assert zoo.codebook_fingerprint(tmp_path / "a.safetensors") == hashlib.sha256(expected).hexdigest()


def test_codebooks_of_three_axes_are_none(tmp_path):
    """Found by fuzzing: numpy said that they do not broadcast."""
    save_file({"quantizers.0.codebook": np.zeros((2, 2, 2), np.float32)}, tmp_path / "codec.safetensors")
    with pytest.raises(ModelError, match=r"has no tensors quantizers\.N\.codebook \[codes, dim\]"):
        zoo.models.compute_codec_fingerprint(tmp_path / "codec.safetensors")


@pytest.mark.filterwarnings("error")
def test_a_codebook_that_is_no_numbers_is_named_in_silence(tmp_path):
    save_file({zoo.CODEBOOK: np.array([[np.inf, 1e300], [np.nan, 0]])}, tmp_path / "a.safetensors")
    assert len(zoo.codebook_fingerprint(tmp_path / "a.safetensors")) == 64


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_codebook_may_have_any_float_type(tmp_path, dtype):
    book = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    for name, kind in (("a", torch.float32), ("b", dtype)):
        save_torch({zoo.CODEBOOK: book.to(kind), "w": torch.ones(3)}, tmp_path / f"{name}.safetensors")
    assert zoo.codebook_fingerprint(tmp_path / "a.safetensors") == zoo.codebook_fingerprint(
        tmp_path / "b.safetensors"
    )


def test_header_of_a_weight_file(tmp_path):
    save_torch(
        {"a": torch.ones(2, 3), "b": torch.ones(4, dtype=torch.float16)},
        tmp_path / "w.safetensors",
        metadata={"k": "v"},
    )
    tensors = zoo.read_header(tmp_path / "w.safetensors")
    assert {n: (t.dtype, t.shape, t.size) for n, t in tensors.items()} == {
        "a": ("F32", (2, 3), 6),
        "b": ("F16", (4,), 4),
    }


def header(data: object) -> bytes:
    text = json.dumps(data).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        b"\xff" * 16,
        header([]),
        header({"a": 1}),
        header({"a": {"dtype": "F32"}}),
        header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}),
        header({"a": {"dtype": "Q9", "shape": [0], "data_offsets": [0, 0]}}),
    ],
)
def test_what_is_no_weight_file(tmp_path, data):
    Path(tmp_path / "w.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"w.safetensors: not a safetensors weight file"):
        zoo.read_header(tmp_path / "w.safetensors")


@pytest.mark.parametrize("neighbour", ["foo", None, [1], 5, {"vocab_size": 3}])
def test_a_fault_is_found_whatever_stands_beside_it(tmp_path, neighbour):
    """The checker names no key of a dictionary; its neighbours are looked through, and may be anything."""
    modalities = {"image": {"vocab_size": "x"}, "text": neighbour}
    (tmp_path / "config.json").write_text(json.dumps({"name": "a", "decoder": {"modalities": modalities}}))
    with pytest.raises(ModelError, match=r"config\.json\.decoder\.modalities\.(image|text)"):
        zoo.find(str(tmp_path))
