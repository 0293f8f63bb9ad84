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
    write_config,
)
from janus_cli.errors import JanusError
from janus_cli.nets.decoder import Decoder
from janus_cli.training.grow import bias_rows, grow

SMALL = DecoderConfig(
    dim=16, n_layer=2, n_head=2, n_kv_head=1, head_dim=8, ff_dim=16, max_seq_len=32,
    modalities={"text": ModalityConfig(12), "image": ModalityConfig(9, two_d=True)},
    mixin=MixinConfig(), relative=RelativeConfig(n_bucket=4, max_distance=8, grid_bucket=2),
)
LARGE = dataclasses.replace(SMALL, modalities={
    **SMALL.modalities, "audio": ModalityConfig(6, n_q=2, ends=True), "sight": ModalityConfig(feature_dim=4),
})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    decoder = Decoder(SMALL)
    for parameter in decoder.parameters():  # adapters that start without effect must be seen, too
        torch.nn.init.normal_(parameter, std=0.3)
    weights.save(decoder, tmp_path / "decoder.safetensors")
    write_config(ModelConfig("small", decoder=SMALL), tmp_path / "config.json")
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
    rows = bias_rows(SMALL, LARGE)
    assert len(rows) == len(set(rows.tolist())) == len(Decoder(SMALL).relative.table.weight)  # type: ignore[union-attr]
    assert int(rows.max()) < len(Decoder(LARGE).relative.table.weight)  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [
    {"modalities": {"image": ModalityConfig(9, two_d=True), "text": ModalityConfig(12)}},
    {"modalities": {"text": ModalityConfig(13), "image": ModalityConfig(9, two_d=True)}},
    {"relative": RelativeConfig(n_bucket=8, max_distance=8, grid_bucket=2)},
])
def test_another_net_is_refused(folder: Path, change: dict):  # type: ignore[type-arg]
    with pytest.raises(JanusError, match=r"first of|cannot be grown"):
        grow(Decoder(dataclasses.replace(LARGE, **change)), folder)
