"""Losses and measures shared by the training objectives: of classes, of pictures, of sounds."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

WINDOWS = (128, 256, 512, 1024, 2048)  # samples of the spectra that are compared
N_MEL = 64
FLOOR = 2e-3  # amplitude in a band under which nobody hears a difference, -54 dB
CHUNK = {"cpu": 512, "cuda": 16384}  # rows of logits at a time: what a cache holds, what keeps a GPU busy
LIGHT, CONTRAST = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # SSIM's constants for a range of 2


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Cross-entropy of a linear head whose logits never exist all at once.

    The gradient is taken in the forward pass while a chunk's logits are in cache (the idea of
    Liger-Kernel's fused linear cross-entropy).
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        row_weight: Tensor,
        chunk: int,
    ) -> Tensor:
        loss = hidden.new_zeros((), dtype=torch.float32)  # in bf16 a long sum would stand still
        grad_hidden, grad_weight = torch.empty_like(hidden), torch.zeros_like(weight)
        grad_bias = torch.zeros_like(bias)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = torch.addmm(bias, hidden[part], weight.T).float()
            log_z = logits.logsumexp(-1, keepdim=True)
            picked = logits.gather(1, targets[part, None])
            loss += ((log_z - picked).squeeze(1) * row_weight[part]).sum()
            probs = logits.sub_(log_z).exp_()
            probs.scatter_add_(1, targets[part, None], -torch.ones_like(picked))
            probs = probs.mul_(row_weight[part, None]).to(hidden.dtype)
            torch.mm(probs, weight, out=grad_hidden[part])
            grad_weight.addmm_(probs.T, hidden[part])
            grad_bias += probs.sum(0)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias = ctx.saved_tensors
        return hidden * grads[0], weight * grads[0], bias * grads[0], None, None, None


def chunked_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, row_weight: Tensor, chunk: int = 512
) -> Tensor:
    """Weighted sum of cross-entropies of `hidden @ weight.T + bias`.

    Shapes: hidden [N, D], weight [V, D], bias [V], targets [N] int64, row_weight [N]; returns a scalar
    (the caller's weights decide whether it is a mean). Equal to F.cross_entropy up to rounding.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight, bias = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
    result: Tensor = _ChunkedCrossEntropy.apply(hidden, weight, bias, targets, row_weight, chunk)
    return result


def sample_head(
    weight: Tensor, bias: Tensor, targets: Tensor, negatives: int
) -> tuple[Tensor, Tensor, Tensor]:
    """A smaller output layer: the classes among `targets` and `negatives` random others.

    weight [V, D], bias [V], targets [N] -> the chosen rows, their biases, targets renumbered. The random
    ones' biases are raised by the log of how many classes each stands for, which keeps the estimate of
    the partition function unbiased (importance sampling, Bengio & Senecal 2003).
    """
    present, renumbered = targets.unique(return_inverse=True)
    absent = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
    absent[present] = False
    others = absent.nonzero().flatten()
    chosen = others[torch.randperm(len(others), device=others.device)[:negatives]]
    raised = bias[chosen] + math.log(max(1, len(others)) / max(1, len(chosen)))
    return weight[torch.cat([present, chosen])], torch.cat([bias[present], raised]), renumbered


def head_loss(
    head: tuple[Tensor, Tensor], hidden: Tensor, targets: Tensor, share: Tensor, negatives: int
) -> Tensor:
    """Sum the cross-entropies of a head (weight, bias), each times its `share`.

    With `negatives`, over the classes among `targets` and so many others, if that is less than half of all.
    """
    weight, bias = head
    if 0 < negatives < len(weight) // 2:
        weight, bias, targets = sample_head(weight, bias, targets, negatives)
    chunk = CHUNK["cuda" if hidden.is_cuda else "cpu"]
    return chunked_cross_entropy(hidden, weight, bias, targets, share, chunk)


def gradient_loss(output: Tensor, target: Tensor) -> Tensor:
    """L1 between the finite differences of two pictures [B, C, H, W]: edges in place, and as steep."""
    difference = output - target
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def reconstruction_loss(output: Tensor, target: Tensor, floor: float = 1e-3) -> Tensor:
    """Mean log of each picture's squared error, [B, C, H, W] in [-1, 1]: the mean PSNR, turned round.

    Unlike the squared error itself it counts a simple picture as much as a busy one. Errors under
    `floor` (36 dB) hardly count: nobody sees them.
    """
    error = (output - target).square().flatten(1).mean(1)
    return (error + floor).log().mean()


def structure_loss(output: Tensor, target: Tensor, window: int = 7) -> Tensor:
    """1 - SSIM (Wang et al. 2004) of pictures [B, C, H, W] in [-1, 1], the mean of full and half resolution.

    Square windows, as scikit-image's default; H and W are at least twice the window.
    """
    terms = []
    for _ in range(2):
        mean_x, mean_y = (F.avg_pool2d(v, window, 1) for v in (output, target))
        var_x = F.avg_pool2d(output.square(), window, 1) - mean_x.square()
        var_y = F.avg_pool2d(target.square(), window, 1) - mean_y.square()
        both = F.avg_pool2d(output * target, window, 1) - mean_x * mean_y
        light = (2 * mean_x * mean_y + LIGHT) / (mean_x.square() + mean_y.square() + LIGHT)
        terms.append((light * (2 * both + CONTRAST) / (var_x + var_y + CONTRAST)).mean())
        output, target = F.avg_pool2d(output, 2), F.avg_pool2d(target, 2)
    return 1 - torch.stack(terms).mean()


def psnr(output: Tensor, target: Tensor) -> Tensor:
    """Mean over the batch of each picture's PSNR in dB; [B, 3, H, W] in [-1, 1]."""
    error = (output.detach().float().clamp(-1, 1) - target).square().mean((1, 2, 3)).clamp_min(1e-8)
    return (10 * torch.log10(4 / error)).mean()


def mel_filters(n_mel: int, window: int, rate: int) -> Tensor:
    """Make triangles [window / 2 + 1, n_mel] from 0 Hz to half the rate, even in mel (O'Shaughnessy)."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, n_mel + 2) / 2595) - 1)
    bins = np.linspace(0, rate / 2, window // 2 + 1)[:, None]
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.from_numpy(np.maximum(0, np.minimum(rise, fall))).float()


def log_mel(waveform: Tensor, window: int, rate: int, n_mel: int = N_MEL) -> Tensor:
    """Compute log mel magnitudes [B, window frames, n_mel] of waveforms [B, T]."""
    shape = torch.hann_window(window, device=waveform.device)
    spectrum = torch.stft(waveform, window, window // 4, window=shape / shape.sum(), return_complex=True)
    magnitude = (spectrum.real.square() + spectrum.imag.square() + 1e-10).sqrt()
    filters = mel_filters(n_mel, window, rate).to(waveform.device)
    return (magnitude.transpose(1, 2) @ filters + FLOOR).log()


def spectral_loss(output: Tensor, target: Tensor, rate: int) -> Tensor:
    """Mean over WINDOWS of L1 + L2 between log mel spectra of waveforms [B, T]."""
    total = output.new_zeros(())
    for window in WINDOWS:
        n_mel = min(N_MEL, window // 8)  # narrow windows cannot tell more bands apart
        difference = log_mel(output, window, rate, n_mel) - log_mel(target, window, rate, n_mel)
        total = total + difference.abs().mean() + 0.5 * difference.square().mean()
    return total / len(WINDOWS)
