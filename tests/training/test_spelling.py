"""Letters heard on the way: which rows are spelled, against torch's own CTC loss, and what learns by it."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.materials import DECODER, tokenizer

from janus_cli.nets.decoder import Decoder
from janus_cli.training.auxiliary import BLANK, LETTERS, Spelling

FRAMES = 12


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Decoder, Spelling]:
    torch.manual_seed(0)
    decoder = Decoder(DECODER)
    return decoder, Spelling(decoder, tokenizer(tmp_path))


def run(decoder: Decoder, count: int) -> torch.Tensor:
    """A pass over `count` rows of FRAMES sounds after their delimiter."""
    ids = torch.randint(16, (count, FRAMES + 1))
    ids[:, 0] = -1
    nothing = torch.zeros_like(ids)
    return decoder(ids, torch.full_like(ids, decoder.type_ids["audio"]), nothing, nothing)


def test_tokens_are_spelled_as_they_are_written(pair: tuple[Decoder, Spelling], tmp_path: Path) -> None:
    words = tokenizer(tmp_path).encode("a red apple").ids
    spelled = [c for token in words for c in pair[1].spelled[token]]
    assert "".join(LETTERS[c - 1] for c in spelled).strip() == "a red apple" and BLANK not in spelled


def test_the_loss_is_that_of_each_row_alone(pair: tuple[Decoder, Spelling], tmp_path: Path) -> None:
    decoder, spelling = pair
    states: list[torch.Tensor] = []
    decoder.layers[0].register_forward_hook(lambda *parts: states.append(parts[2]))  # two thirds of two
    run(decoder, 3)
    token = next(i for i, s in enumerate(spelling.spelled) if 2 <= len(s) <= 4)
    heard = torch.zeros(3, FRAMES + 1, dtype=torch.bool)
    heard[0, 1:], heard[2, 1:8] = True, True
    words = torch.full((3, FRAMES + 1), -1)
    words[0, -1] = words[2, -1] = words[1, -1] = token  # row 1 hears nothing
    losses = spelling(heard, words)
    assert len(losses) == 2
    target = torch.tensor(spelling.spelled[token])
    for loss, row, count in zip(losses, (0, 2), (FRAMES, 7), strict=True):
        scores = spelling.letters(states[0][row, 1 : count + 1]).log_softmax(-1)
        alone = F.ctc_loss(scores[:, None], target[None], [count], [len(target)], reduction="sum")
        torch.testing.assert_close(loss, alone / len(target))


def test_rows_without_a_sound_or_without_words_have_no_loss(pair: tuple[Decoder, Spelling]) -> None:
    decoder, spelling = pair
    run(decoder, 2)
    none = torch.zeros(2, FRAMES + 1, dtype=torch.bool)
    silent = torch.full((2, FRAMES + 1), -1)
    assert spelling(none, silent + 5) == [] == spelling(~none, silent)


def test_layers_below_learn_and_those_above_do_not(pair: tuple[Decoder, Spelling]) -> None:
    decoder, spelling = pair
    run(decoder, 1)
    token = next(i for i, s in enumerate(spelling.spelled) if 2 <= len(s) <= 4)
    words = torch.full((1, FRAMES + 1), -1)
    words[0, 0] = token
    sum(spelling(torch.ones(1, FRAMES + 1, dtype=torch.bool), words)).backward()  # type: ignore[union-attr]
    grads = [any(p.grad is not None and p.grad.any() for p in layer.parameters()) for layer in decoder.layers]
    assert grads == [True, False]
