"""Continuous segments before the decoder: ids that point at features, in one prompt and in batches."""

import numpy as np
import pytest
import torch
from helpers.decoders import PLAIN, random_decoder
from helpers.directions import trace

from janus_cli.config import DecoderConfig, MixinConfig, ModalityConfig
from janus_cli.errors import UsageError
from janus_cli.nets.decoder import DELIMITER, PADDING
from janus_cli.records import Segment
from janus_cli.stages.decoding.features import (
    check_width,
    collect_features,
    join_features,
    number_tokens,
    takes_features,
)

MODALITIES = {"text": ModalityConfig(50), "series": ModalityConfig(feature_dim=4)}


def columns(segment, decoder, first=0):
    """A continuous segment's columns, once its width is checked."""
    check_width(segment, decoder)
    return number_tokens(segment.modality, len(segment.data), decoder, first)


@pytest.fixture(scope="module")
def decoder():
    cfg = DecoderConfig(**{**vars(PLAIN), "modalities": MODALITIES, "mixin": MixinConfig()})
    return random_decoder(cfg)


def words(decoder, *ids: int) -> np.ndarray:
    kind, length = decoder.type_ids["text"], 1 + len(ids)
    return np.array([[DELIMITER, *ids], [kind] * length, [0] * length, [0] * length])


def read(decoder, tokens: np.ndarray, given) -> torch.Tensor:
    """Hidden states [T, D] of one prompt."""
    return decoder(*torch.from_numpy(tokens)[:, None], features=given)[0]


def test_known_columns(decoder):
    assert columns(trace(3), decoder).tolist() == [[-1, 0, 1, 2], [1, 1, 1, 1], [0] * 4, [0] * 4]
    assert columns(trace(2), decoder, first=3)[0].tolist() == [-1, 3, 4]
    assert columns(trace(2), decoder).dtype == np.int64


def test_which_segments_are_continuous(decoder):
    assert takes_features("series", decoder)
    assert not takes_features("text", decoder)
    assert not takes_features("image", decoder)


def test_features_come_in_the_order_of_the_ids(decoder):
    a, b = trace(3), trace(2, seed=1)
    found = collect_features([a, Segment("text", np.zeros(1, np.uint16)), b], decoder)
    assert list(found) == ["series"] and found["series"].dtype == torch.float32
    np.testing.assert_array_equal(found["series"].numpy(), np.concatenate([a.data, b.data]))
    assert collect_features([], decoder) == {}


@pytest.mark.parametrize("segment", [trace(2, width=8), trace(2, width=2)])
def test_tokens_of_another_width_are_refused(decoder, segment):
    with pytest.raises(UsageError, match="the decoder reads float32 tokens of 4 values"):
        columns(segment, decoder)


def test_a_decoder_reads_the_trace_and_nothing_else(decoder):
    a, other = trace(3), trace(3, seed=2)
    tokens = np.concatenate([columns(a, decoder), words(decoder, 5, 6)], axis=1)
    one = read(decoder, tokens, collect_features([a], decoder))
    assert torch.equal(one, read(decoder, tokens, collect_features([a], decoder)))
    changed = read(decoder, tokens, collect_features([other], decoder))
    assert torch.equal(one[0], changed[0]) and not torch.allclose(one[-1], changed[-1])
    twice = np.concatenate([columns(other, decoder), columns(a, decoder, 3), words(decoder, 5)], axis=1)
    hidden = decoder.embed(*torch.from_numpy(twice)[:2, None], collect_features([other, a], decoder))
    alone = decoder.embed(*torch.from_numpy(tokens)[:2, None], collect_features([a], decoder))
    torch.testing.assert_close(hidden[0, 4:8], alone[0, :4])


def test_a_batch_is_what_its_prompts_are_alone(decoder):
    traces = [trace(3), trace(1, seed=1), trace(2, seed=2)]
    prompts = [np.concatenate([columns(s, decoder), words(decoder, i)], axis=1) for i, s in enumerate(traces)]
    prompts.insert(1, words(decoder, 9))  # one without a trace
    own = [collect_features([s], decoder) for s in traces]
    own.insert(1, {})
    before = [p.copy() for p in prompts]
    moved, joined = join_features(prompts, own, decoder)
    assert all(np.array_equal(a, b) for a, b in zip(prompts, before, strict=True))
    assert [p[0].tolist() for p in moved] == [
        [-1, 0, 1, 2, -1, 0],
        [-1, 9],
        [-1, 3, -1, 1],
        [-1, 4, 5, -1, 2],
    ]
    width = max(p.shape[1] for p in moved)
    batch = torch.zeros(4, len(moved), width, dtype=torch.int64)
    batch[1] = PADDING
    for row, prompt in enumerate(moved):
        batch[:, row, width - prompt.shape[1] :] = torch.from_numpy(prompt)
    hidden = decoder(*batch, features=joined)
    for row, (prompt, given) in enumerate(zip(prompts, own, strict=True)):
        torch.testing.assert_close(hidden[row, -prompt.shape[1] :], read(decoder, prompt, given or None))


def test_no_features_at_all(decoder):
    prompts = [words(decoder, 1), words(decoder, 2, 3)]
    moved, joined = join_features(prompts, [{}, {}], decoder)
    assert joined == {} and [p.tolist() for p in moved] == [p.tolist() for p in prompts]
