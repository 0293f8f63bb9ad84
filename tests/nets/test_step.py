"""Folded steps of fixed shape: the logits of the general forward, and a program that can be traced."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from helpers.decoders import ANY, SWITCHES, prompts, random_decoder
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from bench.gpu import make_janus_pro
from janus_cli.nets.decoder import PADDING, Decoder
from janus_cli.nets.janus_pro import JanusPro
from janus_cli.nets.step import Folded, Step, can_fold, fold

LENGTH, COLUMNS = 7, 3
CLOSE = dict(rtol=1e-5, atol=1e-5)


def janus_pro() -> JanusPro:
    return make_janus_pro("tiny", "cpu", torch.float32)


def read_prompts(net: Decoder | JanusPro, modality: str) -> tuple[Tensor, ...]:
    """Three prompts of uneven length, with all that the net knows in them; the output's delimiter is last."""
    batch = prompts([5, 0, 2], left=True)
    if isinstance(net, JanusPro):  # which has no delimiters
        batch[0].clamp_(0, 63)
    else:
        batch[0][:, -1], batch[1][:, -1] = -1, net.type_ids[modality]
    return batch


def compare(net: Decoder | JanusPro, modality: str, folded: Folded, slots: int, filled: bool) -> None:
    """Check that steps give the logits of the general forward for the same tokens."""
    batch = read_prompts(net, modality)
    used = batch[0].shape[1]
    cache = net.make_cache(3, used + LENGTH)
    net(*batch, cache=cache)
    step = Step(folded, 3, used + LENGTH + slots, LENGTH)
    for _ in range(2):  # the second time over what the first one left behind
        step.begin(cache, COLUMNS)
        if not filled:
            step.filled = None
        cache.length = used
        for place in range(LENGTH):
            ids = torch.randint(net.cfg.modalities[modality].vocab_size, (3,))
            grid = [torch.full((3, 1), each) for each in divmod(place, COLUMNS)]
            types = torch.full((3, 1), net.type_ids[modality])
            expected = net.compute_logits(net(ids[:, None], types, *grid, cache=cache)[:, -1], modality)
            torch.testing.assert_close(step.advance(ids), expected, **CLOSE)
        cache.length = used


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("name", SWITCHES)
def test_steps_equal_the_general_forward_with_every_switch(name: str, fuse: bool) -> None:
    for modality in SWITCHES[name].modalities:
        net = random_decoder(SWITCHES[name])
        compare(net, modality, fold(net, modality, fuse), slots=0, filled=not fuse)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_steps_of_a_decoder_that_sees_and_speaks(modality: str) -> None:
    net = random_decoder(ANY)
    compare(net, modality, fold(net, modality), slots=5, filled=False)


@pytest.mark.parametrize("modality", ["text", "image"])
def test_steps_of_janus_pro(modality: str) -> None:
    net = janus_pro()
    plain = fold(net, modality, fuse=False)
    compare(net, modality, plain, slots=0, filled=True)
    before = net(*read_prompts(net, modality))
    size = sum(p.numel() for p in net.language_model.parameters())
    fused = fold(net, modality, fuse=True)
    compare(net, modality, fused, slots=5, filled=False)
    torch.testing.assert_close(net(*read_prompts(net, modality)), before, **CLOSE)
    assert sum(p.numel() for p in net.language_model.parameters()) == size
    q_proj = net.language_model.layers[0].attention.q_proj
    assert q_proj.weight.data_ptr() == fused.layers[0].qkv[0].data_ptr(), "no weight is there twice"


def test_only_what_is_plain_and_settled_is_folded() -> None:
    net = random_decoder(ANY)
    can = {name: can_fold(net, name) for name in net.type_ids}
    assert can == {"text": True, "image": True, "audio": False, "sight": False}
    assert not can_fold(net.requires_grad_(True), "image"), "weights that training may change"


def test_a_step_without_room_says_so() -> None:
    net = random_decoder(SWITCHES["full"])
    batch = read_prompts(net, "image")
    cache = net.make_cache(3, batch[0].shape[1])
    net(*batch, cache=cache)
    step = Step(fold(net, "image"), 3, batch[0].shape[1] + LENGTH - 1, LENGTH)
    with pytest.raises(ValueError, match=r"has 25 slots, 26 needed"):
        step.begin(cache)


def open_full() -> tuple[Decoder, str]:
    return random_decoder(SWITCHES["full"]), "image"


def open_janus_pro() -> tuple[JanusPro, str]:
    return janus_pro(), "image"


@pytest.mark.parametrize("open_net", [open_full, open_janus_pro])
def test_a_step_is_one_traced_program_whatever_its_place(open_net: Callable) -> None:
    """As a CUDA graph needs it: every shape known, nothing read back, all that changes in place."""
    net, modality = open_net()
    batch = read_prompts(net, modality)
    cache = net.make_cache(3, batch[0].shape[1])
    net(*batch, cache=cache)
    folded = fold(net, modality)
    step, reference = (Step(folded, 3, batch[0].shape[1] + LENGTH + 5, LENGTH) for _ in range(2))
    ids = torch.tensor([3, 5, 1])
    with torch.no_grad():  # traced at the wrong place, on purpose: nothing of it may be in the program
        program = make_fx(lambda ids: step.advance(ids), tracing_mode="real")(ids)
    calls = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    waiting = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero")
    assert not [call for call in calls if any(word in call for word in waiting)]
    for each in (step, reference):
        each.begin(cache, COLUMNS)
        each.filled = None
    lying = [where.data_ptr() for where in (*step.keys, *step.values, step.slot, step.place, step.lookup)]
    for _ in range(LENGTH):
        torch.testing.assert_close(program(ids), reference.advance(ids), rtol=0, atol=0)
    for ours, theirs in zip(step.keys, reference.keys, strict=True):
        assert torch.equal(ours, theirs)
    assert lying == [
        where.data_ptr() for where in (*step.keys, *step.values, step.slot, step.place, step.lookup)
    ]


def test_rows_that_have_ended_may_count_past_the_last_position() -> None:
    cfg = dataclasses.replace(SWITCHES["full"], max_seq_len=22)
    net = random_decoder(cfg)
    batch = read_prompts(net, "text")
    assert batch[1][1, 0] == PADDING
    cache = net.make_cache(3, batch[0].shape[1])
    net(*batch, cache=cache)
    step = Step(fold(net, "text"), 3, batch[0].shape[1] + LENGTH, LENGTH)
    step.begin(cache)
    for _ in range(LENGTH):
        assert step.advance(torch.tensor([3, 5, 1])).isfinite().all()
