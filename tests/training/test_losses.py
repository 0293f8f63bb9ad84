"""The losses of training, against torch's own and against values worked out by hand."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from janus_cli.training.losses import (
    chunked_cross_entropy,
    gradient_loss,
    reconstruction_loss,
    sample_head,
    structure_loss,
)


def head(rows: int = 23, classes: int = 11, dim: int = 6) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """hidden [rows, dim], weight [classes, dim], bias [classes], targets [rows]."""
    torch.manual_seed(0)
    leaves = (torch.randn(shape).requires_grad_() for shape in ((rows, dim), (classes, dim), (classes,)))
    hidden, weight, bias = leaves
    return hidden, weight, bias, torch.randint(classes, (rows,))


@pytest.mark.parametrize("chunk", [1, 5, 23, 512])
def test_chunked_cross_entropy_is_torchs(chunk: int) -> None:
    hidden, weight, bias, targets = head()
    row_weight = torch.rand(len(hidden))
    loss = chunked_cross_entropy(hidden, weight, bias, targets, row_weight, chunk)
    each = F.cross_entropy(F.linear(hidden, weight, bias), targets, reduction="none")
    expected = (each * row_weight).sum()
    torch.testing.assert_close(loss, expected)
    leaves = [hidden, weight, bias]
    for mine, theirs in zip(
        torch.autograd.grad(3 * loss, leaves), torch.autograd.grad(3 * expected, leaves), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_chunked_cross_entropy_of_nothing_is_zero() -> None:
    hidden, weight, bias, targets = head()
    loss = chunked_cross_entropy(hidden[:0], weight, bias, targets[:0], torch.ones(0))
    loss.backward()
    assert loss.item() == 0 and not weight.grad.any()


def test_chunked_cross_entropy_under_autocast() -> None:
    hidden, weight, bias, targets = head()
    mean = torch.full((len(hidden),), 1 / len(hidden))
    with torch.autocast("cpu", torch.bfloat16):
        loss = chunked_cross_entropy(hidden, weight, bias, targets, mean)
    loss.backward()
    expected = F.cross_entropy(F.linear(hidden, weight, bias), targets)
    torch.testing.assert_close(loss.float(), expected, rtol=0.02, atol=0.02)
    assert weight.grad.dtype == torch.float32 and weight.grad.isfinite().all()


def test_a_head_sampled_whole_is_the_full_softmax() -> None:
    hidden, weight, bias, targets = head()
    few, few_bias, renumbered = sample_head(weight, bias, targets, negatives=len(weight))
    assert few.shape == weight.shape
    expected = F.cross_entropy(F.linear(hidden, weight, bias), targets)
    torch.testing.assert_close(F.cross_entropy(F.linear(hidden, few, few_bias), renumbered), expected)


def test_a_sampled_head_has_every_target_and_no_class_twice() -> None:
    _, weight, bias, _ = head(classes=50)
    targets = torch.tensor([7, 3, 7, 49])
    few, few_bias, renumbered = sample_head(weight, bias, targets, negatives=10)
    assert len(few) == len(few_bias) == 3 + 10 and len(few.unique(dim=0)) == 13
    assert torch.equal(few[renumbered], weight[targets]) and torch.equal(few_bias[renumbered], bias[targets])


def test_a_sampled_head_estimates_the_partition_function_without_bias() -> None:
    hidden, weight, bias, _ = head(rows=4, classes=60)
    targets = torch.tensor([1, 2, 3, 4])
    exact = F.linear(hidden, weight, bias).exp().sum(1)
    draws = []
    for _ in range(3000):
        few, few_bias, _ = sample_head(weight.detach(), bias.detach(), targets, negatives=20)
        draws.append(F.linear(hidden.detach(), few, few_bias).exp().sum(1))
    estimates = torch.stack(draws)
    error = estimates.std(0) / len(draws) ** 0.5
    assert ((estimates.mean(0) - exact).abs() < 4 * error).all()
    assert (error < 0.02 * exact).all()  # tight enough that a missing correction would show


def test_gradient_loss_sees_edges_only() -> None:
    flat = torch.zeros(2, 3, 4, 8)
    step = flat.clone()
    step[..., 4:] = 1.0  # one of seven differences along a row
    assert gradient_loss(flat + 0.5, flat).item() == 0
    assert gradient_loss(step, flat).item() == pytest.approx(1 / 7)
    assert gradient_loss(step.mT, flat.mT).item() == pytest.approx(1 / 7)
    assert gradient_loss(step, step).item() == 0


def test_reconstruction_loss_of_an_offset() -> None:
    target = torch.rand(1, 3, 8, 8)
    assert reconstruction_loss(target, target).item() == pytest.approx(math.log(1e-3))
    assert reconstruction_loss(target + 0.2, target).item() == pytest.approx(math.log(0.041), rel=1e-4)


def test_reconstruction_loss_counts_every_picture_alike() -> None:
    target = torch.zeros(2, 3, 8, 8)
    output = torch.stack([target[0] + 0.1, target[1] + 0.8])
    apart = [reconstruction_loss(output[i : i + 1], target[i : i + 1]).item() for i in range(2)]
    assert reconstruction_loss(output, target).item() == pytest.approx(sum(apart) / 2)


def test_structure_loss_is_scikit_images_ssim() -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (24, 24)).astype(np.float32)
    y = np.clip(x + 0.4 * rng.standard_normal((24, 24)), -1, 1).astype(np.float32)

    def half(v: np.ndarray) -> np.ndarray:
        return v.reshape(12, 2, 12, 2).mean((1, 3))

    expected = 0.0
    for a, b in ((x, y), (half(x), half(y))):
        full = structural_similarity(a, b, data_range=2, full=True, use_sample_covariance=False)[1]
        expected += float(full[3:-3, 3:-3].mean()) / 2
    got = structure_loss(torch.from_numpy(x)[None, None], torch.from_numpy(y)[None, None])
    assert got.item() == pytest.approx(1 - expected, abs=1e-4)
    assert structure_loss(torch.from_numpy(x)[None, None], torch.from_numpy(x)[None, None]).item() < 1e-6
