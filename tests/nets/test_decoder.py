"""The shared decoder: against a plain reference, cached against uncached, padding, sizes."""

import math

import pytest
import torch
from helpers.decoders import FULL, PLAIN, SWITCHES, one_prompt, prompts, random_decoder
from torch import Tensor

from janus_cli.config import article_7b
from janus_cli.nets.decoder import DELIMITER, PADDING, Decoder


def reference(net: Decoder, ids: list[int], types: list[int]) -> Tensor:
    """A plain Llama stack written from its definition, one query at a time. -> [T, D]"""
    cfg, names = net.cfg, list(net.cfg.modalities)

    def norm(x: Tensor, weight: Tensor) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + cfg.norm_eps).sqrt() * weight

    def turn(x: Tensor, position: int) -> Tensor:
        half = cfg.head_dim // 2
        out = x.clone()
        for i in range(half):
            angle = position * cfg.rope_base ** (-2 * i / cfg.head_dim)
            out[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
            out[i + half] = x[i + half] * math.cos(angle) + x[i] * math.sin(angle)
        return out

    adapters = [net.get_adapter(names[kind]) for kind in types]
    pairs = zip(adapters, ids, strict=True)
    x = torch.stack([a.delimiter if i == DELIMITER else a.embed.weight[i] for a, i in pairs])
    for layer in net.layers:
        attention, y = layer.attention, norm(x, layer.input_layernorm.weight)
        heads = torch.zeros(len(ids), cfg.n_head, cfg.head_dim)
        for h in range(cfg.n_head):
            kv = h // (cfg.n_head // cfg.n_kv_head)
            q = y @ attention.q_proj.weight[h * cfg.head_dim : (h + 1) * cfg.head_dim].T
            k = y @ attention.k_proj.weight[kv * cfg.head_dim : (kv + 1) * cfg.head_dim].T
            v = y @ attention.v_proj.weight[kv * cfg.head_dim : (kv + 1) * cfg.head_dim].T
            if cfg.qk_norm:
                q, k = norm(q, attention.q_norm.weight), norm(k, attention.k_norm.weight)
            q = torch.stack([turn(row, t) for t, row in enumerate(q)])
            k = torch.stack([turn(row, t) for t, row in enumerate(k)])
            for t in range(len(ids)):
                probs = (k[: t + 1] @ q[t] / math.sqrt(cfg.head_dim)).softmax(0)
                heads[t, h] = probs @ v[: t + 1]
        x = x + heads.flatten(1) @ attention.o_proj.weight.T
        y, mlp = norm(x, layer.post_attention_layernorm.weight), layer.mlp
        gate = y @ mlp.gate_proj.weight.T
        x = x + (gate * gate.sigmoid() * (y @ mlp.up_proj.weight.T)) @ mlp.down_proj.weight.T
    return norm(x, net.norm.weight)


@pytest.mark.parametrize("name", ["plain", "mha"])
def test_without_switches_it_is_a_plain_llama_stack(name: str) -> None:
    net = random_decoder(SWITCHES[name])
    ids, types, rows, cols = prompts([5], left=True)
    expected = reference(net, ids[0].tolist(), types[0].tolist())
    torch.testing.assert_close(net(ids, types, rows, cols)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SWITCHES)
def test_cached_decoding_equals_the_uncached_forward(name: str) -> None:
    net = random_decoder(SWITCHES[name])
    batch = prompts([5, 0, 2], left=True)
    whole = net(*batch)
    cache = net.make_cache(3, batch[0].shape[1])
    pieces = [net(*(x[:, :8] for x in batch), cache=cache)]
    pieces += [net(*(x[:, t : t + 1] for x in batch), cache=cache) for t in range(8, batch[0].shape[1])]
    assert cache.length == cache.max_len
    real = batch[1] != PADDING
    torch.testing.assert_close(torch.cat(pieces, 1)[real], whole[real], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["plain", "full"])
def test_padding_on_either_side_changes_nothing(name: str) -> None:
    net, lengths = random_decoder(SWITCHES[name]), [5, 0, 2]
    alone = torch.cat([net(*one_prompt(lengths, i))[0] for i in range(3)])
    for left in (True, False):
        batch = prompts(lengths, left)
        hidden = net(*batch)
        assert hidden.isfinite().all()
        torch.testing.assert_close(hidden[batch[1] != PADDING], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["plain", "full"])
def test_no_token_sees_a_later_one(name: str) -> None:
    net = random_decoder(SWITCHES[name])
    batch = prompts([4], left=True)
    before = net(*batch)
    batch[0][0, 10:] = (batch[0][0, 10:] + 1) % 50
    after = net(*batch)
    torch.testing.assert_close(after[:, :10], before[:, :10])
    assert not torch.allclose(after[:, 10:], before[:, 10:])


def test_modalities_have_their_own_ids_heads_and_delimiters() -> None:
    net = random_decoder(PLAIN)
    token = torch.tensor([[3, 3, 3, -1, -1, -1]])
    x = net.embed(token, torch.tensor([[0, 1, 2, 0, 1, 2]]))[0]
    assert len({tuple(row.tolist()) for row in x}) == 6
    assert net.embed(token, torch.full((1, 6), PADDING)).eq(0).all()
    hidden = torch.randn(2, 32)
    for name, size in (("text", 50), ("image", 70), ("audio", 30)):
        weight, bias = net.get_head(name)
        assert weight is net.get_adapter(name).embed.weight, "the head is tied to the table"
        torch.testing.assert_close(net.compute_logits(hidden, name), hidden @ weight.T + bias)
        assert net.compute_logits(hidden, name).shape == (2, size)
    untied = random_decoder(SWITCHES["mha"])
    assert untied.get_head("text")[0] is not untied.get_adapter("text").embed.weight


def test_new_blocks_are_the_identity() -> None:
    net = Decoder(FULL)
    batch = prompts([3], left=True)
    torch.testing.assert_close(net(*batch), net.norm(net.embed(batch[0], batch[1])))


def test_every_weight_gets_a_gradient() -> None:
    net = random_decoder(FULL).requires_grad_(True)
    hidden = net(*prompts([5, 3], left=False))
    sum(net.compute_logits(hidden, name).pow(2).sum() for name in net.type_ids).backward()
    # no audio in the batch: only its own rows and its delimiter stay without one
    without = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == ["modalities.audio.delimiter"]


def test_a_full_cache_says_so() -> None:
    net = random_decoder(PLAIN)
    batch = prompts([4], left=True)
    with pytest.raises(ValueError, match="holds 5 tokens, 18 needed"):
        net(*batch, cache=net.make_cache(1, 5))


def test_a_cache_can_be_used_again() -> None:
    net = random_decoder(FULL)
    cache = net.make_cache(1, 20)
    net(*prompts([6], left=True), cache=cache)
    cache.length = 0
    batch = prompts([2], left=True)
    torch.testing.assert_close(net(*batch, cache=cache), net(*batch))


def test_half_precision_runs_and_stays_close() -> None:
    net = random_decoder(FULL)
    batch = prompts([5, 2], left=True)
    exact = net(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        assert (net(*batch) - exact).abs().mean() < 0.1
    net.to(torch.bfloat16)
    assert (net(*batch).float() - exact).abs().mean() < 0.1
    cache = net.make_cache(2, batch[0].shape[1])
    assert (net(*batch, cache=cache).float() - exact).abs().mean() < 0.1


def test_the_article_preset_has_80_layers_and_7_billion_parameters() -> None:
    cfg = article_7b()
    with torch.device("meta"):
        net = Decoder(cfg)
    count = sum(p.numel() for p in net.parameters())
    assert (len(net.layers), cfg.modalities["image"].vocab_size) == (80, 8192)
    assert cfg.max_seq_len >= 32 * 32
    assert abs(count / 7e9 - 1) < 0.03, f"{count / 1e9:.3f} B parameters"
