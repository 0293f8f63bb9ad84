"""Optimisers: Muon for hidden matrices, AdamW for the rest, stepped as one."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, by Newton-Schulz iteration (Muon, Jordan 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: for the matrices inside a network, and kernels flattened to such."""

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalise(p.grad.lerp(buffer, group["momentum"]).flatten(1))
                tall = max(1, update.shape[0] / update.shape[1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update.view_as(p), alpha=-group["lr"] * tall)


class Optimizers:
    """Several optimisers with one schedule: each group's rate is its peak times a factor."""

    def __init__(self, *optimizers: torch.optim.Optimizer):
        self.optimizers = optimizers
        self.peaks = [[group["lr"] for group in o.param_groups] for o in optimizers]

    def step(self, factor: float) -> None:
        """Step all at peak rate x factor, and clear the gradients."""
        for optimizer, peaks in zip(self.optimizers, self.peaks, strict=True):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """States of all, by position."""
        return {str(i): o.state_dict() for i, o in enumerate(self.optimizers)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of state_dict."""
        for i, optimizer in enumerate(self.optimizers):
            optimizer.load_state_dict(state[str(i)])


def _adamw(parameters: list[nn.Parameter], lr: float, weight_decay: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(parameters, lr, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True)


def adamw(module: nn.Module, lr: float, weight_decay: float = 0.01) -> Optimizers:
    """AdamW on every parameter."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    return Optimizers(_adamw(parameters, lr, weight_decay))


def muon(
    module: nn.Module, hidden: nn.Module, lr: float, adam_lr: float, weight_decay: float = 0.0
) -> Optimizers:
    """Muon on the matrices inside `hidden` (with that decay), AdamW on all else of `module`."""
    matrices = [p for p in hidden.parameters() if p.ndim > 1 and min(p.flatten(1).shape) > 16]
    inside = {id(p) for p in matrices}
    others = [p for p in module.parameters() if p.requires_grad and id(p) not in inside]
    inner = Muon(matrices, lr, weight_decay=weight_decay)
    return Optimizers(inner, _adamw(others, adam_lr, weight_decay=0.0))
