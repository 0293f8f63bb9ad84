"""Sampling: known answers of every filter, and guidance."""

import pytest
import torch

from janus_cli.stages.decoding.noise import Noise
from janus_cli.stages.decoding.sampling import guide, make_filters, sample, temperature, top_k, top_p

LOGITS = torch.tensor([[0.1, 0.5, 0.15, 0.25], [0.4, 0.3, 0.2, 0.1]]).log()


def kept(logits: torch.Tensor) -> list[list[int]]:
    return [row.isfinite().nonzero().flatten().tolist() for row in logits]


def test_guidance_goes_from_unconditional_through_conditional() -> None:
    conditional, unconditional = torch.randn(2, 5), torch.randn(2, 5)
    torch.testing.assert_close(guide(conditional, unconditional, 1), conditional)
    torch.testing.assert_close(guide(conditional, unconditional, 0), unconditional)
    beyond = conditional + 0.5 * (conditional - unconditional)
    torch.testing.assert_close(guide(conditional, unconditional, 1.5), beyond)


def test_temperature_divides() -> None:
    torch.testing.assert_close(temperature(0.5)(LOGITS), LOGITS * 2)


@pytest.mark.parametrize(
    ("count", "expected"), [(1, [[1], [0]]), (2, [[1, 3], [0, 1]]), (9, [[0, 1, 2, 3]] * 2)]
)
def test_top_k_keeps_the_largest(count: int, expected: list[list[int]]) -> None:
    assert kept(top_k(count)(LOGITS)) == expected


@pytest.mark.parametrize(
    ("mass", "expected"),
    [(0.01, [[1], [0]]), (0.45, [[1], [0, 1]]), (0.72, [[1, 3], [0, 1, 2]]), (0.999, [[0, 1, 2, 3]] * 2)],
)
def test_top_p_keeps_the_fewest_that_hold_the_mass(mass: float, expected: list[list[int]]) -> None:
    logits = top_p(mass)(LOGITS)
    assert kept(logits) == expected
    torch.testing.assert_close(logits[logits.isfinite()], LOGITS[logits.isfinite()])


def test_filters_come_in_order_and_only_where_they_act() -> None:
    assert make_filters(1.0) == [] and make_filters(0.0, 5, 0.5) == []
    assert len(make_filters(0.5, 3, 0.9)) == 3
    # the temperature acts before top-p: a flat distribution needs more tokens for the same mass
    logits = LOGITS
    for keep in make_filters(100.0, 0, 0.6):
        logits = keep(logits)
    assert [len(row) for row in kept(logits)] == [3, 3]


def test_without_noise_the_choice_is_greedy() -> None:
    assert sample(LOGITS, [], None, [[0]]).tolist() == [1, 0]


def test_the_choice_is_among_what_the_filters_keep() -> None:
    noise, steps = Noise([3, 4]), torch.arange(50)[None]
    logits = LOGITS[:, None].expand(2, 50, 4)
    for count, expected in ((1, [[1], [0]]), (2, [[1, 3], [0, 1]])):
        made = sample(logits, make_filters(1.0, count), noise, steps)
        assert [sorted(set(row)) for row in made.tolist()] == expected
