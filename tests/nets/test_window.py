"""Passes over several tokens at once: the logits of the general forward, wherever a row's window stands."""

import pytest
import torch
from helpers.decoders import ANY, SWITCHES, prompts, random_decoder

from bench.gpu import make_janus_pro
from janus_cli.nets.decoder import Decoder
from janus_cli.nets.janus_pro import JanusPro
from janus_cli.nets.step import fold
from janus_cli.nets.window import Window

LENGTH, COLUMNS = 13, 4
CLOSE = dict(rtol=1e-5, atol=1e-5)


def check(net: Decoder | JanusPro, alone: bool = False) -> None:
    """Compare windows of three rows that go on at different speeds with the general forward over all."""
    batch = prompts([5, 0, 2], left=True)
    if isinstance(net, JanusPro):  # which has no delimiters
        batch[0].clamp_(0, 63)
    else:
        batch[0][:, -1], batch[1][:, -1] = -1, net.type_ids["image"]
        if alone:  # nothing of another modality to look at
            batch[1][:, :-1] = -1
    count, kind = LENGTH - 1, net.type_ids["image"]
    ids = torch.randint(net.cfg.modalities["image"].vocab_size, (3, count))
    cache, used = net.make_cache(3, batch[0].shape[1] + count), batch[0].shape[1]
    net(*batch, cache=cache)
    at = torch.arange(count).expand(3, -1)
    hidden = net(ids, torch.full_like(ids, kind), at // COLUMNS, at % COLUMNS, cache=cache)
    expected = net.compute_logits(hidden, "image")
    cache.length = used
    window = Window(fold(net, "image", fuse=False), cache, LENGTH, COLUMNS)
    rows = torch.arange(3)
    for starts in ([0, 0, 0], [2, 4, 1], [5, 8, 5], [8, 8, 7]):
        start = torch.tensor(starts)[rows]
        mine = start[:, None] + torch.arange(4)
        guesses = ids[rows[:, None], mine]
        window.advance(guesses.flip(1), start)  # a wrong guess leaves nothing behind
        made = window.advance(guesses, start)
        torch.testing.assert_close(made, expected[rows[:, None], mine], **CLOSE)
        if starts[0] == 5:  # one row leaves
            rows = torch.tensor([0, 2])
            window.take(rows)


@pytest.mark.parametrize("name", SWITCHES)
def test_windows_equal_the_general_forward_with_every_switch(name: str) -> None:
    check(random_decoder(SWITCHES[name]))


def test_windows_equal_the_general_forward_of_the_other_nets() -> None:
    check(random_decoder(ANY))
    check(make_janus_pro("tiny", "cpu", torch.float32))


def test_a_prompt_without_another_modality_has_nothing_to_add() -> None:
    check(random_decoder(SWITCHES["full"]), alone=True)
