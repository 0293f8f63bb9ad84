"""Optimisers: Muon for hidden matrices, AdamW for the rest, stepped as one."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix, roughly, by Newton-Schulz iteration (Muon, Jordan 2024).

    A matrix [R, C], or several [N, R, C] of them.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: for the matrices inside a network, and kernels flattened to such.

    Matrices of one shape are orthogonalised at once, on a GPU in bf16.
    """

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
            alike: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault(p.shape, []).append(p)
            for parameters in alike.values():
                self._step_alike(parameters, group["lr"], group["momentum"], group["weight_decay"])

    def _step_alike(self, parameters: list[Tensor], lr: float, momentum: float, decay: float) -> None:
        """Update parameters of one shape."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        for p in parameters:
            if "momentum" not in self.state[p]:
                self.state[p]["momentum"] = torch.zeros_like(p)
        buffers = [self.state[p]["momentum"] for p in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        ahead = torch.stack(list(torch._foreach_lerp(gradients, buffers, momentum))).flatten(2)
        if ahead.is_cuda:  # in bf16 as in Jordan's own: five products of a matrix need no more digits
            ahead = (ahead / (ahead.norm(dim=(1, 2), keepdim=True) + 1e-7)).bfloat16()
        update = orthogonalise(ahead).to(parameters[0].dtype)
        tall = max(1, update.shape[1] / update.shape[2]) ** 0.5
        torch._foreach_mul_(parameters, 1 - lr * decay)
        updates = list(update.view(len(parameters), *parameters[0].shape).unbind(0))
        torch._foreach_add_(parameters, updates, alpha=-lr * tall)


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
