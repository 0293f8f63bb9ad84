"""Noise by a counter: published words, equal numbers on every way to them, and draws from the softmax."""

import math

import numpy as np
import pytest
import torch

from janus_cli.stages.decoding.noise import REACH, Noise, make_uniform, philox, schedule_keys

# counter, key and words of the three lines "philox4x32 10" in Random123's tests/kat_vectors
PUBLISHED = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]


def words(line: str) -> np.ndarray:
    return np.array([int(word, 16) for word in line.split()], np.int64)


@pytest.mark.parametrize(("counter", "key", "expected"), PUBLISHED)
def test_philox_gives_the_published_words(counter: str, key: str, expected: str) -> None:
    keys = schedule_keys(words(key))
    made = philox([words(counter)[i : i + 1] for i in range(4)], keys)
    assert np.concatenate(made).tolist() == words(expected).tolist()
    made = philox(list(torch.from_numpy(words(counter))), torch.from_numpy(keys))
    assert torch.stack(made).tolist() == words(expected).tolist()


def test_uniform_numbers_are_inside_0_and_1_and_exact() -> None:
    ends = make_uniform(np.array([0, 2**32 - 1]))
    assert ends.tolist() == [2.0**-33, 1 - 2.0**-33]
    assert torch.equal(make_uniform(torch.tensor([0, 2**32 - 1]).double()), torch.from_numpy(ends))
    largest, least = (-math.log(-math.log(end)) for end in (ends[1], ends[0]))
    assert largest - least < REACH


def test_a_choice_draws_from_the_softmax() -> None:
    logits = torch.tensor([0.1, 0.5, 0.15, 0.25]).log()
    made = Noise(range(50)).choose(logits.expand(50, 200, 4), torch.arange(200)[None])
    counts = torch.bincount(made.flatten(), minlength=4)
    # 10,000 draws: three standard deviations are below 0.015
    torch.testing.assert_close(counts / counts.sum(), logits.exp(), rtol=0, atol=0.015)


def test_the_noise_is_gumbel() -> None:
    drawn = Noise([3]).draw([range(100)], 1000).double()
    assert drawn.mean().item() == pytest.approx(np.euler_gamma, abs=0.015)
    assert drawn.var().item() == pytest.approx(math.pi**2 / 6, abs=0.05)


def test_noise_depends_on_seed_step_level_and_class_only() -> None:
    together = Noise([5, 6, 7]).draw([range(40)], 7)
    assert torch.equal(Noise([7, 5]).draw([range(40)], 7), together[[2, 0]])
    assert torch.equal(Noise([5, 6, 7]).take([2]).draw([range(40)], 7), together[2:])
    assert torch.equal(Noise([6]).draw([[39, 3]], 5), together[1:2, [39, 3], :5])
    own_steps = Noise([5, 6, 7]).draw([[1], [2], [3]], 7)
    assert torch.equal(own_steps[:, 0], together[torch.arange(3), torch.arange(1, 4)])
    others = [Noise([2**70]).draw([range(40)], 7), Noise([5]).draw([range(40)], 7, level=1)]
    everything = torch.cat([together.flatten(), *(other.flatten() for other in others)])
    assert len(set(everything.tolist())) > 0.999 * len(everything)


@pytest.mark.parametrize("spread", [0.0, 1.0, 30.0, 1e4])
def test_a_choice_among_the_near_is_the_choice_among_all(spread: float) -> None:
    torch.manual_seed(0)
    logits = spread * torch.randn(3, 5, 999)
    logits[1, 2, 1:] = -torch.inf
    logits[2, 2] = -torch.inf
    noise, steps = Noise([1, 2, 3]), [[7, 8, 9, 10, 11]]
    for level in (0, 2):
        assert torch.equal(
            noise.choose(logits, steps, level), (logits + noise.draw(steps, 999, level)).argmax(-1)
        )


def test_logits_that_are_no_numbers_give_some_class() -> None:
    logits = torch.full((1, 2, 9), torch.nan)
    logits[0, 1] = torch.tensor([0.0, -100, torch.inf, -100, -100, -100, -100, -100, -100])
    made = Noise([1]).choose(logits, [[0, 1]])
    assert ((made >= 0) & (made < 9)).all()


def test_noise_is_the_same_on_every_machine() -> None:
    first = Noise([7]).draw([[0]], 4)[0, 0]
    torch.testing.assert_close(first, torch.tensor(KNOWN), rtol=1e-6, atol=1e-6)


KNOWN = [0.33386713, -0.37721884, -0.09235996, -0.50577086]
