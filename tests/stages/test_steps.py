"""The loop by folded steps: token for token the general forward; captured programs are taken again."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.decoders import ANY, MODALITIES, SWITCHES, generate, random_decoder

from bench.gpu import make_janus_pro
from janus_cli.config import ModalityConfig
from janus_cli.errors import ModelError
from janus_cli.records import Record, Segment
from janus_cli.stages.decoding import loop, steps
from janus_cli.stages.decoding.features import Net
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.prompt import Prompt
from janus_cli.stages.decoding.segments import Identity
from janus_cli.stages.decoding.steps import Stepper

IDENTITY = Identity("tiny", "ab" * 32, "cd" * 32)
OPTIONS = GenerateOptions(grid=(3, 4), temperature=1.0, seed=7, n=2, batch_size=6, max_tokens=10, parallel=0)
TEXTS = [[4, 5, 6], [], [9, 8, 7, 6, 5, 4]]
PROMPTS = [Record((Segment("text", np.array(ids, np.uint16), {}),)) for ids in TEXTS]


def draw(net: Net, options: GenerateOptions) -> list[list[int]]:
    """Draw two outputs of each prompt."""
    made = generate(PROMPTS, net, options, IDENTITY)
    return [record.segments[-1].data.ravel().tolist() for record in made]


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch):
    """Draw by the general forward alone."""

    def draw_plainly(net: Net, options: GenerateOptions) -> list[list[int]]:
        with monkeypatch.context() as patched:
            patched.setattr(loop, "can_step", lambda *_: False)
            return draw(net, options)

    return draw_plainly


@pytest.fixture
def captures(monkeypatch: pytest.MonkeyPatch) -> list[Stepper]:
    """Have programs captured as on CUDA, by a stand-in that runs them again; gives those that were."""
    recorded: list[Stepper] = []

    class Graph:
        def __init__(self, own: Stepper) -> None:
            self.replay = own.run

    def capture(own: Stepper) -> None:
        recorded.append(own)
        for _ in range(2):  # as the true one does, into buffers that hold no prompt
            own.run()
        own.graph = Graph(own)

    monkeypatch.setattr(steps, "can_capture", lambda net: True)
    monkeypatch.setattr(Stepper, "capture", capture)
    return recorded


SAMPLING = [
    dict(),
    dict(cfg_scale=1.0, temperature=0.3, top_k=5),
    dict(cfg_scale=3.0, top_p=0.7),
    dict(temperature=0.0),
]


@pytest.mark.parametrize("sampling", SAMPLING, ids=str)
@pytest.mark.parametrize("to", ["image", "text", "audio"])
def test_steps_draw_the_tokens_of_the_general_forward(to: str, sampling: dict, plainly) -> None:
    modalities = MODALITIES | {"audio": ModalityConfig(30, ends=True)}
    net = random_decoder(dataclasses.replace(SWITCHES["full"], modalities=modalities))
    options = dataclasses.replace(OPTIONS, to=to, **sampling)
    made = draw(net, options)
    assert made == plainly(net, options)
    assert len({tuple(each) for each in made}) > 1


@pytest.mark.parametrize("name", SWITCHES)
def test_every_switch_is_in_the_steps(name: str, plainly) -> None:
    net = random_decoder(SWITCHES[name])
    assert draw(net, OPTIONS) == plainly(net, OPTIONS)


def test_what_has_no_steps_is_drawn_without(plainly) -> None:
    net = random_decoder(ANY)
    can = {to: steps.can_step(net, dataclasses.replace(OPTIONS, to=to)) for to in ("image", "text", "audio")}
    assert can == {"image": True, "text": True, "audio": False}, "its sounds have three codes a frame"
    searching = dataclasses.replace(OPTIONS, to="text", beams=3, temperature=0.0)
    assert not steps.can_step(net, searching)
    sounds = dataclasses.replace(OPTIONS, to="audio")
    assert draw(net, sounds) == plainly(net, sounds)


def draw_janus_pro(net: Net, options: GenerateOptions) -> np.ndarray:
    """Draw three pictures as Janus-Pro's template lays prompts out."""
    tokens = np.zeros((4, 6), np.int64)
    tokens[0] = np.arange(6)
    prompt = Prompt(Record(()), tokens, tokens[:, :4])
    return list(loop.Loop([loop.Item(prompt, i, i) for i in range(3)], net, options).run())[-1].codes


def test_janus_pro_by_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    net, options = make_janus_pro("tiny", "cpu", torch.float32), dataclasses.replace(OPTIONS, cfg_scale=5.0)
    made = draw_janus_pro(net, options)
    monkeypatch.setattr(loop, "can_step", lambda *_: False)
    assert np.array_equal(made, draw_janus_pro(net, options))


def test_a_captured_program_is_taken_again(captures: list[Stepper], plainly) -> None:
    net = random_decoder(SWITCHES["full"])
    options = dataclasses.replace(OPTIONS, n=1, batch_size=3)
    for seed in (1, 2):
        other = dataclasses.replace(options, seed=seed)
        assert draw(net, other) == plainly(net, other)
    assert len(captures) == 1, "the same shape, whatever the seed and the prompts"
    assert captures[0].step.slots == 64
    warm = dataclasses.replace(options, temperature=0.5)
    assert draw(net, warm) == plainly(net, warm)
    assert len(captures) == 2, "another way to sample is another program"
    assert net.__dict__["captured"][1] is captures[1], "the last one is kept"


def test_weights_that_change_are_folded_again(captures: list[Stepper], plainly) -> None:
    net = random_decoder(SWITCHES["full"])
    before = draw(net, OPTIONS)
    net.layers[0].attention.q_lora.up.add_(1.0)
    after = draw(net, OPTIONS)
    assert after != before
    assert after == plainly(net, OPTIONS)


def test_numbers_that_are_none_are_refused() -> None:
    net = random_decoder(SWITCHES["mha"])
    net.get_adapter("image").embed.weight[1:] = torch.nan  # which no prompt reads, only what is drawn
    with pytest.raises(ModelError, match="gave NaN or infinity"):
        draw(net, OPTIONS)
