"""A decoder that learns more modalities keeps what it could."""

import dataclasses
from pathlib import Path

import pytest
import torch

from janus_cli import weights
from janus_cli.config import (
    DecoderConfig,
    MixinConfig,
    ModalityConfig,
    ModelConfig,
    RelativeConfig,
    format_config,
)
from janus_cli.errors import JanusError, ModelError
from janus_cli.nets.decoder import Decoder
from janus_cli.training.grow import find_bias_rows, grow

SMALL = DecoderConfig(
    dim=16,
    n_layer=2,
    n_head=2,
    n_kv_head=1,
    head_dim=8,
    ff_dim=16,
    max_seq_len=32,
    modalities={"text": ModalityConfig(12), "image": ModalityConfig(9, two_d=True)},
    mixin=MixinConfig(),
    relative=RelativeConfig(n_bucket=4, max_distance=8, grid_bucket=2),
)
LARGE = dataclasses.replace(
    SMALL,
    modalities={
        **SMALL.modalities,
        "audio": ModalityConfig(6, n_q=2, ends=True),
        "sight": ModalityConfig(feature_dim=4),
    },
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    decoder = Decoder(SMALL)
    for parameter in decoder.parameters():  # adapters that start without effect must be seen, too
        torch.nn.init.normal_(parameter, std=0.3)
    weights.save(decoder, tmp_path / "decoder.safetensors")
    (tmp_path / "config.json").write_text(format_config(ModelConfig("small", decoder=SMALL)))
    return tmp_path


def test_the_grown_decoder_says_the_same_of_what_it_knew(folder: Path):
    small = weights.load(Decoder(SMALL), folder / "decoder.safetensors")
    large = Decoder(LARGE).eval()
    assert grow(large, folder)
    ids = torch.tensor([[-1, 3, 4, 5, -1, 7, 8, 2]])
    types = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]])
    rows, cols = torch.tensor([[0, 0, 0, 0, 0, 0, 0, 1]]), torch.tensor([[0, 0, 0, 0, 0, 0, 1, 0]])
    torch.testing.assert_close(large(ids, types, rows, cols), small(ids, types, rows, cols))


def test_the_same_modalities_are_a_warm_start(folder: Path):
    again = Decoder(SMALL)
    assert not grow(again, folder)
    for name, tensor in weights.load(Decoder(SMALL), folder / "decoder.safetensors").state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


def test_every_row_of_the_bias_table_has_a_place_of_its_own():
    assert SMALL.relative is not None
    rows = find_bias_rows(SMALL, LARGE)
    assert len(rows) == len(set(rows.tolist())) == len(Decoder(SMALL).relative.table.weight)  # type: ignore[union-attr]
    assert int(rows.max()) < len(Decoder(LARGE).relative.table.weight)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        {"modalities": {"image": ModalityConfig(9, two_d=True), "text": ModalityConfig(12)}},
        {"modalities": {"text": ModalityConfig(13), "image": ModalityConfig(9, two_d=True)}},
        {"relative": RelativeConfig(n_bucket=8, max_distance=8, grid_bucket=2)},
        {"n_layer": 3},
        {"ff_dim": 24},
        {"dim": 32},
        {"mixin": MixinConfig(lora_rank=2)},
        {"tie_embedding": False},
    ],
)
def test_another_net_is_refused(folder: Path, change: dict):  # type: ignore[type-arg]
    with pytest.raises(JanusError, match=r"first of|cannot be grown"):
        grow(Decoder(dataclasses.replace(LARGE, **change)), folder)


def test_what_is_new_starts_as_in_a_new_net(folder: Path):
    torch.manual_seed(1)
    large = Decoder(LARGE)
    fresh = {name: tensor.clone() for name, tensor in large.state_dict().items()}
    grow(large, folder)
    small = weights.load(Decoder(SMALL), folder / "decoder.safetensors").state_dict()
    for name, tensor in large.state_dict().items():
        if name not in small:
            assert torch.equal(tensor, fresh[name])
            assert name.startswith(("modalities.audio.", "modalities.sight."))
        elif tensor.shape == small[name].shape:
            assert torch.equal(tensor, small[name]), name
        elif name == "relative.table.weight":
            rows = find_bias_rows(SMALL, LARGE)
            others = torch.ones(len(tensor), dtype=torch.bool)
            others[rows] = False
            assert torch.equal(tensor[rows], small[name]) and torch.equal(tensor[others], fresh[name][others])
        else:  # ranks side by side, or rows of a modality each
            axis = int(name.endswith("_lora.up"))
            known = small[name].shape[axis]
            kept, new = tensor.split([known, tensor.shape[axis] - known], axis)
            assert torch.equal(kept, small[name]), name
            assert torch.equal(new, fresh[name].narrow(axis, known, new.shape[axis])), name


def test_a_longer_row_is_no_other_net(folder: Path):
    assert grow(Decoder(dataclasses.replace(LARGE, max_seq_len=64)), folder)


def test_a_folder_without_a_decoder_is_one_line(folder: Path):
    (folder / "decoder.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match="not a readable safetensors file"):
        grow(Decoder(LARGE), folder)
    (folder / "decoder.safetensors").unlink()
    with pytest.raises(ModelError, match=r"decoder\.safetensors: no such file"):
        grow(Decoder(LARGE), folder)
    (folder / "config.json").write_text(format_config(ModelConfig("small")))
    with pytest.raises(JanusError, match="not the first of text, image, audio, sight"):
        grow(Decoder(LARGE), folder)
