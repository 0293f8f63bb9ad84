"""Sounds of speech on the way: which state answers for which phone, and what learns by it."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from helpers.materials import DECODER

from janus_cli.nets.decoder import Decoder
from janus_cli.training.auxiliary import LATE, SOON, Phones, shift_columns
from janus_cli.training.sequences import NONE

FRAMES = 12


@pytest.fixture
def pair() -> tuple[Decoder, Phones]:
    torch.manual_seed(0)
    decoder = Decoder(dataclasses.replace(DECODER, n_layer=6))
    return decoder, Phones(decoder, (["_", "b", "a"], ["a", "_", "p"]))


def run(decoder: Decoder, count: int) -> list[torch.Tensor]:
    """A pass over `count` rows of FRAMES sounds after their delimiter; the states after each layer."""
    states: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda *parts: states.append(parts[2])) for layer in decoder.layers]
    ids = torch.randint(16, (count, FRAMES + 1))
    ids[:, 0] = -1
    nothing = torch.zeros_like(ids)
    decoder(ids, torch.full_like(ids, decoder.type_ids["audio"]), nothing, nothing)
    for hook in hooks:
        hook.remove()
    return states


def test_alphabets_are_made_one(pair: tuple[Decoder, Phones]) -> None:
    phones = pair[1]
    assert phones.alphabet == ["_", "a", "b", "p"]
    assert [numbers.tolist() for numbers in phones.numbers] == [[0, 2, 1], [1, 0, 3]]


def test_columns_move_and_lose_what_leaves() -> None:
    row = torch.tensor([[1, 2, 3, 4]])
    assert shift_columns(row, 1).tolist() == [[2, 3, 4, NONE]]
    assert shift_columns(row, -2).tolist() == [[NONE, NONE, 1, 2]]
    assert shift_columns(row, 0).tolist() == row.tolist()
    assert shift_columns(row, 9).tolist() == shift_columns(row, -9).tolist() == [[NONE] * 4]


def test_each_state_answers_for_its_phone(pair: tuple[Decoder, Phones]) -> None:
    """Row 0 is heard, row 1 said, against a loop over the places."""
    decoder, phones = pair
    states = run(decoder, 2)
    labels = torch.randint(4, (2, FRAMES + 1))
    labels[:, 0] = NONE
    said = torch.tensor([[False], [True]]).expand_as(labels)
    losses = phones(labels, said)

    def expected(head: str, layer: int, row: int, shift: int) -> torch.Tensor:
        places = [t for t in range(FRAMES + 1) if 1 <= t + shift <= FRAMES]
        scores = phones.heads[head](states[layer][row, places])
        return F.cross_entropy(scores, labels[row, [t + shift for t in places]], reduction="none")

    torch.testing.assert_close(losses["heard"], expected("heard", 2, 0, -LATE))
    torch.testing.assert_close(losses["now"], expected("now", 3, 1, 1))
    torch.testing.assert_close(losses["soon"], expected("soon", 3, 1, 1 + SOON))
    assert [len(losses[k]) for k in ("heard", "now", "soon")] == [FRAMES - LATE, FRAMES, FRAMES - SOON]


def test_words_before_do_not_say_when(pair: tuple[Decoder, Phones]) -> None:
    """Only places where speech is said answer for what will be."""
    decoder, phones = pair
    run(decoder, 1)
    labels = torch.full((1, FRAMES + 1), NONE)
    labels[0, 6:] = 1
    said = torch.zeros_like(labels, dtype=torch.bool)
    said[0, 5:] = True  # from the delimiter on
    losses = phones(labels, said)
    assert len(losses["now"]) == FRAMES - 5 and len(losses["soon"]) == FRAMES - 5 - SOON


def test_words_after_a_sound_do_not_answer_for_it(pair: tuple[Decoder, Phones]) -> None:
    decoder, phones = pair
    run(decoder, 1)
    labels = torch.full((1, FRAMES + 1), NONE)
    labels[0, 1:8] = 1
    assert len(phones(labels, labels > 9)["heard"]) == 7 - LATE


def test_rows_without_speech_have_no_loss(pair: tuple[Decoder, Phones]) -> None:
    decoder, phones = pair
    run(decoder, 2)
    none = torch.full((2, FRAMES + 1), NONE)
    assert all(len(loss) == 0 for loss in phones(none, none > 0).values())


def test_layers_below_learn_and_those_above_do_not(pair: tuple[Decoder, Phones]) -> None:
    decoder, phones = pair
    run(decoder, 1)
    labels = torch.zeros(1, FRAMES + 1, dtype=torch.int64)
    phones(labels, labels == 0)["soon"].sum().backward()
    grads = [any(p.grad is not None and p.grad.any() for p in layer.parameters()) for layer in decoder.layers]
    assert grads == [True] * 4 + [False] * 2
