"""Optimisers and the learning-rate schedule."""

import copy

import pytest
import torch
from helpers.decoders import FULL, random_decoder
from torch import nn

from janus_cli.training.loop import Schedule
from janus_cli.training.optim import Muon, Optimizers, adamw, muon, orthogonalise


@pytest.mark.parametrize("shape", [(24, 24), (64, 20), (20, 64)])
def test_orthogonalise_gives_near_orthonormal_rows_or_columns(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) * 7
    result = orthogonalise(matrix, steps=8)
    values = torch.linalg.svdvals(result)
    assert result.shape == shape and values.min() > 0.6 and values.max() < 1.25
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    exact = u @ v  # the nearest semi-orthogonal matrix keeps the singular vectors
    assert ((result * exact).sum() / (result.norm() * exact.norm())).item() > 0.97


def test_orthogonalise_does_not_depend_on_scale_and_bears_zero() -> None:
    matrix = torch.randn(8, 12)
    torch.testing.assert_close(orthogonalise(matrix), orthogonalise(matrix * 1000), rtol=1e-4, atol=1e-4)
    assert not orthogonalise(torch.zeros(4, 4)).any()


def test_muon_steps_orthogonally() -> None:
    weight = nn.Parameter(torch.zeros(40, 10))
    weight.grad = torch.randn(40, 10)
    unused = nn.Parameter(torch.zeros(4, 4))
    Muon([weight, unused], lr=0.1).step()
    values = torch.linalg.svdvals(weight.detach())
    assert values.min() > 0.6 * 0.2 and values.max() < 1.3 * 0.2  # a tall matrix steps sqrt(40 / 10) as far
    assert (weight.detach() * weight.grad).sum() < 0 and not unused.any()


def test_muon_takes_a_kernel_for_a_matrix() -> None:
    torch.manual_seed(0)
    kernel, matrix = nn.Parameter(torch.ones(20, 6, 5)), nn.Parameter(torch.ones(20, 30))
    kernel.grad = torch.randn(20, 6, 5)
    matrix.grad = kernel.grad.flatten(1).clone()
    optimizer = Muon([kernel, matrix], lr=0.1)
    for _ in range(2):
        optimizer.step()
    assert torch.equal(kernel.detach().flatten(1), matrix.detach())
    values = torch.linalg.svdvals(kernel.detach().flatten(1) - 1)
    assert values.min() > 0.6 * 0.2 and values.max() < 1.3 * 0.2  # two steps, the same way


def test_matrices_of_one_shape_step_as_each_would_alone() -> None:
    torch.manual_seed(1)
    starts, gradients = torch.randn(5, 20, 12), torch.randn(2, 5, 20, 12)
    together = [nn.Parameter(start.clone()) for start in starts]
    alone = [nn.Parameter(start.clone()) for start in starts]
    optimizers = [
        Muon([*together, nn.Parameter(torch.zeros(3, 3))], lr=0.1),
        *(Muon([p], lr=0.1) for p in alone),
    ]
    for gradient in gradients:
        for i, row in enumerate(gradient):
            together[i].grad, alone[i].grad = row.clone(), row.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(list(together), list(alone))


def test_muons_weight_decay_is_a_share_of_its_rate() -> None:
    torch.manual_seed(0)
    gradient, start = torch.randn(12, 8), torch.randn(12, 8)
    plain, decayed, unused = (nn.Parameter(start.clone()) for _ in range(3))
    plain.grad, decayed.grad = gradient.clone(), gradient.clone()
    Muon([plain], lr=0.1).step()
    Muon([decayed, unused], lr=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(decayed.detach() - plain.detach(), -0.1 * 0.5 * start)
    assert torch.equal(unused.detach(), start), "what has no gradient stays as it is"


def test_muon_gets_the_wide_kernels_of_a_net_and_the_decay() -> None:
    net = nn.Sequential(nn.Conv1d(8, 32, 3), nn.Conv1d(32, 16, 7), nn.Conv1d(32, 24, 5))
    inner, outer = muon(net, net, 0.02, 1e-3, weight_decay=0.3).optimizers
    assert [p is net[2].weight or p is net[0].weight for p in inner.param_groups[0]["params"]] == [True, True]
    assert inner.param_groups[0]["weight_decay"] == 0.3 and outer.param_groups[0]["weight_decay"] == 0
    assert any(p is net[1].weight for p in outer.param_groups[0]["params"]), "16 rows are too few"


def test_muon_and_adamw_share_out_every_trainable_parameter_once() -> None:
    decoder = random_decoder(FULL).requires_grad_(True)
    decoder.norm.requires_grad_(False)
    optimizers = muon(decoder, decoder.layers, lr=0.02, adam_lr=1e-3)
    first, second = ([p for g in o.param_groups for p in g["params"]] for o in optimizers.optimizers)
    given = [id(p) for p in [*first, *second]]
    assert len(set(given)) == len(given)
    assert set(given) == {id(p) for p in decoder.parameters() if p.requires_grad}
    inside = {id(p) for p in decoder.layers.parameters()}
    assert first and all(p.ndim == 2 and id(p) in inside for p in first)
    kinds = [type(o) for o in optimizers.optimizers]
    assert kinds == [Muon, torch.optim.AdamW]


def test_adamw_leaves_frozen_parameters_alone() -> None:
    net = nn.Linear(3, 2)
    net.bias.requires_grad_(False)
    groups = adamw(net, 1e-3).optimizers[0].param_groups
    assert [id(p) for g in groups for p in g["params"]] == [id(net.weight)]


def test_one_factor_moves_every_rate_and_clears_the_gradients() -> None:
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizers = Optimizers(torch.optim.SGD([a], 0.5), torch.optim.SGD([b], 0.1))
    for factor in (0.5, 1.0):  # the second is no part of the first
        a.grad, b.grad = torch.ones(2), torch.ones(2)
        optimizers.step(factor)
        assert a.grad is None and b.grad is None
    torch.testing.assert_close(a.detach(), torch.full((2,), 1 - 0.25 - 0.5))
    torch.testing.assert_close(b.detach(), torch.full((2,), 1 - 0.05 - 0.1))


def test_states_of_several_optimisers_come_back() -> None:
    def made() -> tuple[nn.Linear, Optimizers]:
        torch.manual_seed(0)
        net = nn.Linear(20, 20)
        return net, muon(net, net, 0.02, 1e-2)

    def step(net: nn.Linear, optimizers: Optimizers) -> None:
        net(torch.ones(1, 20)).square().sum().backward()
        optimizers.step(1.0)

    (net, optimizers), (other, again) = made(), made()
    step(net, optimizers)
    other.load_state_dict(net.state_dict())
    again.load_state_dict(copy.deepcopy(optimizers.state_dict()))
    step(net, optimizers)
    step(other, again)
    assert torch.equal(net.weight, other.weight) and torch.equal(net.bias, other.bias)


def test_schedule_warms_up_stays_and_falls_to_zero() -> None:
    schedule = Schedule(steps=100, warmup=10, constant=0.4)
    known = {0: 0.1, 4: 0.5, 9: 1.0, 39: 1.0, 40: 1.0, 70: 0.5, 99: 1 / 60, 100: 0.0}
    assert {step: pytest.approx(schedule.factor(step)) for step in known} == known


def test_schedules_at_their_edges() -> None:
    assert [Schedule(4, warmup=0, constant=1.0).factor(i) for i in range(4)] == [1.0] * 4
    assert [Schedule(4, warmup=1, constant=0.0).factor(i) for i in range(4)] == [1.0, 0.75, 0.5, 0.25]
    assert Schedule(10, warmup=20).factor(0) == pytest.approx(0.05)
