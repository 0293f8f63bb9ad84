"""Mix-In adapters and relative-position buckets: each switch alone, against its definition."""

import dataclasses

import pytest
import torch
from helpers.decoders import PLAIN, prompts, random_decoder

from janus_cli.config import MixinConfig, ModalityConfig, RelativeConfig
from janus_cli.nets.attention import Places, RelativeBias, bucket_distances
from janus_cli.nets.decoder import Decoder
from janus_cli.nets.mixin import CrossResidual, HeadScale, ModalityLoRA, TypeEmbedding

OFF = MixinConfig(type_embedding=False, lora_rank=0, cross_residual=False, head_scale=False)
TYPES = torch.tensor([[0, 0, 1, 1, 0, -1]])
ONEHOT = (TYPES[..., None] == torch.arange(2)).float()


def test_each_switch_adds_its_own_weights_only() -> None:
    expected = {
        "type_embedding": {"table", "gate"},
        "lora_rank": {"down", "up"},
        "cross_residual": {"gate"},
        "head_scale": {"scale"},
    }
    plain = set(Decoder(PLAIN).state_dict())
    assert set(Decoder(dataclasses.replace(PLAIN, mixin=OFF)).state_dict()) == plain
    for switch, names in expected.items():
        on = dataclasses.replace(OFF, **{switch: 4 if switch == "lora_rank" else True})
        added = set(Decoder(dataclasses.replace(PLAIN, mixin=on)).state_dict()) - plain
        assert {name.rpartition(".")[2] for name in added} == names, switch


@pytest.mark.parametrize("relative", [None, RelativeConfig()])
def test_fresh_adapters_change_nothing(relative: RelativeConfig | None) -> None:
    plain = random_decoder(PLAIN)
    mixed = Decoder(dataclasses.replace(PLAIN, mixin=MixinConfig(), relative=relative))
    missing = mixed.load_state_dict(plain.state_dict(), strict=False)
    assert missing.missing_keys and not missing.unexpected_keys
    batch = prompts([5, 2], left=True)
    real = batch[1] >= 0
    torch.testing.assert_close(mixed(*batch)[real], plain(*batch)[real], rtol=1e-4, atol=1e-5)


def test_type_embedding_is_gated_by_modality() -> None:
    layer = TypeEmbedding(2, 8)
    assert layer(ONEHOT).eq(0).all()
    layer.gate.data = torch.tensor([0.0, 2.0])
    out = layer(ONEHOT)[0]
    assert out[[0, 1, 4, 5]].eq(0).all()
    torch.testing.assert_close(out[2], 2 * layer.table[1])


def test_lora_uses_the_ranks_of_the_tokens_own_modality() -> None:
    layer = ModalityLoRA(8, 6, 2, rank=3)
    x = torch.randn(1, 6, 8)
    ranks = ONEHOT.repeat_interleave(3, dim=-1)
    assert layer(x, ranks).eq(0).all()
    layer.up.data.normal_()
    out = layer(x, ranks)[0]
    for t, kind in enumerate(TYPES[0, :5].tolist()):
        own = slice(3 * kind, 3 * kind + 3)
        torch.testing.assert_close(out[t], layer.up[:, own] @ (layer.down[own] @ x[0, t]))
    assert out[5].eq(0).all()


def test_cross_residual_is_a_second_softmax_over_foreign_keys() -> None:
    layer = CrossResidual(2, 3)
    layer.gate.data.normal_()
    scores = torch.randn(1, 3, 6, 6)
    differs = (TYPES[:, :, None] != TYPES[:, None])[:, None].float()
    visible = torch.ones(6, 6).tril().bool() & (TYPES >= 0)[0]
    visible |= torch.eye(6).bool()
    probs = scores.masked_fill(~visible, -torch.inf).softmax(-1)
    out = layer(probs, ONEHOT, differs)
    for t in range(5):
        kind = int(TYPES[0, t])
        foreign = [s for s in range(t + 1) if TYPES[0, s] != kind]
        for h in range(3):
            expected = probs[0, h, t].clone()
            if foreign:
                expected[foreign] += layer.gate[kind, h].tanh() * scores[0, h, t, foreign].softmax(0)
            torch.testing.assert_close(out[0, h, t], expected)
    torch.testing.assert_close(out[0, :, :2], probs[0, :, :2])  # nothing foreign in sight


def test_head_scale_multiplies_by_modality_and_head() -> None:
    layer = HeadScale(2, 3)
    heads = torch.randn(1, 3, 6, 4)
    torch.testing.assert_close(layer(heads, ONEHOT)[:, :, :5], heads[:, :, :5])
    layer.scale.data.normal_()
    out = layer(heads, ONEHOT)
    torch.testing.assert_close(out[0, 1, 2], heads[0, 1, 2] * layer.scale[1, 1])
    torch.testing.assert_close(out[0, 2, 4], heads[0, 2, 4] * layer.scale[0, 2])


def test_log_buckets_are_exact_near_and_logarithmic_far() -> None:
    bucket = bucket_distances(16, 64)
    assert bucket[:8].tolist() == list(range(8))
    assert bucket[-1] == 15 and len(bucket) == 65
    assert (bucket.diff() >= 0).all() and set(bucket.tolist()) == set(range(16))
    # T5's formula at a few far distances: 8 + floor(ln(d / 8) / ln(64 / 8) * 8)
    assert [int(bucket[d]) for d in (8, 11, 16, 32, 63)] == [8, 9, 10, 13, 15]


def bias_places() -> Places:
    """Three words, a delimiter, then a 2 x 3 picture."""
    types = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1, 1]])
    rows = torch.tensor([[-1, -1, -1, -1, 0, 0, 0, 1, 1, 1]])
    cols = torch.tensor([[-1, -1, -1, -1, 0, 1, 2, 0, 1, 2]])
    return Places(types, torch.arange(10)[None], rows, cols)


def test_relative_tables_are_never_shared_between_pairs() -> None:
    layer = RelativeBias(RelativeConfig(8, 16, 4), 2, [ModalityConfig(5), ModalityConfig(5, two_d=True)])
    places = bias_places()
    index = layer.find_rows(places, places)[0]
    parts = {
        "text to text": index[:3, :3],
        "image to text": index[3:, :3],
        "delimiter": index[4:, 3:4],
        "grid": index[4:, 4:],
    }
    seen = [set(part.flatten().tolist()) for part in parts.values()]
    for i, a in enumerate(seen):
        for b in seen[i + 1 :]:
            assert not a & b
    assert int(index.max()) < layer.table.num_embeddings
    assert layer.table.num_embeddings == 4 * 8 + 7 * 7


def test_grid_buckets_are_signed_offsets() -> None:
    layer = RelativeBias(RelativeConfig(8, 16, 4), 2, [ModalityConfig(5), ModalityConfig(5, two_d=True)])
    places = bias_places()
    index = layer.find_rows(places, places)[0]
    assert index[7, 4] == index[8, 5] == index[9, 6]  # one row up
    assert index[5, 4] == index[6, 5] == index[9, 8]  # one column left
    assert len({int(index[8, s]) for s in range(4, 9)}) == 5
    assert index[7, 5] != index[7, 4] != index[8, 4]  # up and right, up, up and left
    layer.table.weight.data.normal_()
    bias = layer(places, places)
    assert bias.shape == (1, 2, 10, 10)
    torch.testing.assert_close(bias[0, 1, 7, 4], layer.table.weight[index[7, 4], 1])


def test_distances_beyond_the_reach_share_the_last_bucket() -> None:
    layer = RelativeBias(RelativeConfig(8, 16, 4), 2, [ModalityConfig(5)])
    row = torch.zeros(1, 40, dtype=torch.int64)
    places = Places(row, torch.arange(40)[None], row - 1, row - 1)
    index = layer.find_rows(places, places)[0]
    assert index[39, 0] == index[39, 23] == 7 and index[39, 39] == 0
