"""What a modality brings to the decoder: frames of several codes, and continuous tokens."""

import pytest
import torch

from janus_cli.config import DecoderConfig, ModalityConfig
from janus_cli.nets.decoder import DELIMITER, Decoder
from janus_cli.nets.modality import FeatureAdapter, ModalityAdapter


@pytest.fixture
def frames() -> ModalityAdapter:
    torch.manual_seed(0)
    return ModalityAdapter(ModalityConfig(10, n_q=3, ends=True), 8, tied=True)


def test_a_frame_is_its_codes_as_digits(frames: ModalityAdapter):
    ids = torch.tensor([321, 7, 0, 999])
    codes = frames.split_ids(ids)
    assert [c.tolist() for c in codes] == [[1, 7, 0, 9], [2, 0, 0, 9], [3, 0, 0, 9]]
    assert torch.equal(frames.join_codes(codes), ids)


def test_a_frames_embedding_is_the_sum_of_its_codes(frames: ModalityAdapter):
    table = frames.embed.weight  # first codebook, END, the others
    assert torch.equal(frames(torch.tensor([321]))[0], table[1] + table[11 + 2] + table[21 + 3])


def test_heads_cover_the_table_once_with_the_end_in_the_first(frames: ModalityAdapter):
    rows = [range(31)[frames.find_rows(level)] for level in range(3)]
    assert [len(r) for r in rows] == [11, 10, 10]
    assert [i for r in rows for i in r] == list(range(31))


def test_deeper_heads_start_as_the_first_and_learn_the_codes_before(frames: ModalityAdapter):
    hidden, before = torch.randn(2, 8), [torch.tensor([1, 2])]
    assert torch.equal(frames.deepen(hidden, []), hidden)
    assert torch.equal(frames.deepen(hidden, before), hidden)
    torch.nn.init.normal_(frames.deeper[0].mlp.down_proj.weight)  # type: ignore[union-attr, arg-type]
    other = [torch.tensor([1, 5])]
    assert torch.equal(frames.deepen(hidden, before)[0], frames.deepen(hidden, other)[0])
    assert not torch.equal(frames.deepen(hidden, before)[1], frames.deepen(hidden, other)[1])


def test_one_codebook_is_a_plain_table():
    adapter = ModalityAdapter(ModalityConfig(10), 8, tied=False)
    ids = torch.tensor([3, 9])
    assert adapter.split_ids(ids) == [ids] and len(adapter.embed.weight) == 10 and len(adapter.deeper) == 0
    assert torch.equal(adapter(ids), adapter.embed.weight[ids])


def test_continuous_tokens_are_normalised_and_projected():
    adapter = FeatureAdapter(ModalityConfig(feature_dim=4), 8, tied=True)
    features = torch.randn(5, 4)
    ids = torch.tensor([[4, 0]])
    wanted = adapter.project(features / features.square().mean(-1, keepdim=True).add(1e-6).sqrt())[ids]
    assert torch.allclose(adapter(ids, features), wanted, atol=1e-6)
    assert torch.allclose(adapter(ids, 3 * features), wanted, atol=1e-5)  # loudness does not count


def test_the_decoder_reads_features_by_their_number():
    torch.manual_seed(0)
    cfg = DecoderConfig(
        dim=16,
        n_layer=1,
        n_head=2,
        n_kv_head=1,
        head_dim=8,
        ff_dim=16,
        max_seq_len=16,
        modalities={"text": ModalityConfig(5), "sight": ModalityConfig(feature_dim=4)},
    )
    decoder = Decoder(cfg)
    features = {"sight": torch.randn(3, 4)}
    ids = torch.tensor([[DELIMITER, 2, 0, DELIMITER, 1]])
    types = torch.tensor([[1, 1, 1, 0, 0]])
    x = decoder.embed(ids, types, features)
    assert torch.equal(x[0, 1], decoder.modalities["sight"](torch.tensor([2]), features["sight"])[0])
    assert torch.equal(x[0, 3], decoder.get_adapter("text").delimiter)
    assert decoder.get_adapter("sight").delimiter.shape == (16,)
