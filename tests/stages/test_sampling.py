"""Sampling: known answers of every filter, guidance, and noise keyed by (seed, step)."""

import pytest
import torch

from janus_cli.stages.decoding.sampling import Noise, guide, make_filters, sample, temperature, top_k, top_p

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
    assert sample(LOGITS, [], None).tolist() == [1, 0]


def test_gumbel_max_draws_from_the_softmax() -> None:
    noise, counts = Noise(range(50), 4, "cpu"), torch.zeros(4)
    rows = LOGITS[:1].expand(50, 4)
    for _ in range(200):
        counts += torch.bincount(sample(rows, [], noise.draw()), minlength=4)
    # 10,000 draws: three standard deviations are below 0.015
    torch.testing.assert_close(counts / counts.sum(), LOGITS[0].exp(), rtol=0, atol=0.015)


def test_noise_depends_on_seed_and_step_only() -> None:
    def steps(seeds: list[int], count: int = 40) -> torch.Tensor:
        noise = Noise(seeds, 7, "cpu")
        return torch.stack([noise.draw() for _ in range(count)], dim=1)

    together = steps([5, 6, 7])
    for row, seed in enumerate([5, 6, 7]):
        assert torch.equal(steps([seed])[0], together[row])
    assert torch.equal(steps([7, 5]), together[[2, 0]])
    assert torch.equal(steps([5], 3)[0], together[0, :3])
    everything = torch.cat([together.flatten(), steps([2**70]).flatten()])
    assert len(set(everything.tolist())) > 0.999 * len(everything)


def test_noise_is_the_same_on_every_machine() -> None:
    first = Noise([7], 4, "cpu").draw()[0]
    torch.testing.assert_close(first, torch.tensor(KNOWN), rtol=1e-5, atol=1e-5)


KNOWN = [-1.443958, 3.362752, 1.322566, 0.444128]
