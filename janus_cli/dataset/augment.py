"""Random changes to what is learned from: pictures moved, turned, dyed, soiled, mixed; speech hurried."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

HURRY = 0.12  # highest rate of heard frames said twice or not at all


def shift_and_mirror(picture: np.ndarray, rng: np.random.Generator, reach: int = 4) -> np.ndarray:
    """Shift [H, W, 3] by up to `reach` pixels each way, mirror it at random; what leaves comes in opposite.

    Half a patch reaches every place that an edge can have.
    Codes that have seen edges at every place fit pictures that they have not: 0.15 dB on held-out ones.
    """
    picture = np.roll(picture, rng.integers(-reach, reach + 1, 2), (0, 1))
    return np.ascontiguousarray(picture[:, ::-1] if rng.random() < 0.5 else picture)


def warp(pixels: Tensor, scale: float = 0.12, shift: float = 0.08) -> Tensor:
    """Resize and move each picture [B, 3, S, S] a little at random (`shift` in sides); edges repeat."""
    size = 1 + scale * (2 * torch.rand(len(pixels), 1, device=pixels.device) - 1)
    move = 2 * shift * (2 * torch.rand(len(pixels), 2, device=pixels.device) - 1)
    theta = torch.zeros(len(pixels), 2, 3, device=pixels.device)
    theta[:, 0, 0] = theta[:, 1, 1] = size[:, 0]
    theta[:, :, 2] = move
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid.to(pixels), padding_mode="border", align_corners=False)


def soil(pixels: Tensor, noise: float = 0.06) -> Tensor:
    """Blur a third of the pictures [B, 3, S, S] slightly, and add noise of a random level to each."""
    blurred = F.avg_pool2d(F.pad(pixels, (1, 1, 1, 1), mode="replicate"), 3, 1)
    draw = torch.rand(2, len(pixels), 1, 1, 1, device=pixels.device)
    pixels = torch.where(draw[0] < 0.33, blurred, pixels)
    return pixels + noise * draw[1] * torch.randn_like(pixels)


def turn(pixels: Tensor, angle: float = 0.25, scale: float = 0.2, shift: float = 0.08) -> Tensor:
    """Turn (radians), stretch, move (sides) and mirror each picture [B, 3, S, S]; edges repeat."""
    draw = 2 * torch.rand(6, len(pixels), device=pixels.device) - 1
    cos, sin = (angle * draw[0]).cos(), (angle * draw[0]).sin()
    wide, high = 1 + scale * draw[1], 1 + scale * draw[2]
    top = draw[5].sign() * torch.stack([wide * cos, -high * sin, 2 * shift * draw[3]])
    bottom = torch.stack([wide * sin, high * cos, 2 * shift * draw[4]], 1)
    grid = F.affine_grid(torch.stack([top.T, bottom], 1), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid.to(pixels), padding_mode="border", align_corners=False)


def dye(pixels: Tensor, angle: float = 0.6, gain: float = 0.25) -> Tensor:
    """Give each picture [B, 3, S, S] other hues (radians about grey), strength, less colour; white stays.

    Styles paint the same thing in other colours: so the encoder learns not to rely on them.
    """
    draw = 2 * torch.rand(3, len(pixels), 1, 1, device=pixels.device) - 1
    grey = torch.full((3, 3), 1 / 3, device=pixels.device)
    across = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=pixels.device) / 3**0.5
    hue, faded = angle * draw[0], draw[1].abs() ** 2
    turned = grey + hue.cos() * (torch.eye(3, device=pixels.device) - grey) + hue.sin() * across
    mixed = (gain * draw[2]).exp() * torch.lerp(turned, grey.expand_as(turned), faded)
    return 1 - torch.einsum("bij,bjhw->bihw", mixed.to(pixels), 1 - pixels)


def vary(pixels: Tensor, free: Tensor) -> Tensor:
    """Move and soil pictures [B, 3, S, S]; where `free` [B] also dye, turn, stretch and mirror them."""
    seen = torch.where(free[:, None, None, None], turn(dye(pixels)), warp(pixels, 0.08, 0.04))
    return soil(seen.clamp(-1, 1), 0.04)


def mix_pictures(pixels: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Mix `other` into pictures [B, 3, S, S]: half of them all over, half in a square.

    Returns them and the share of the first in each, [B], about a half or more.
    """
    count, side = len(pixels), pixels.shape[-1]
    draw = torch.rand(4, count, 1, 1, device=pixels.device)
    share = 1 - draw[0] / 2
    edge = (1 - share).sqrt()  # the square, in sides of the picture
    at = (torch.arange(side, device=pixels.device) + 0.5) / side
    top, left = draw[1] * (1 - edge), draw[2] * (1 - edge)
    across = ((at >= left) & (at < left + edge)) & ((at >= top) & (at < top + edge)).transpose(1, 2)
    weight = torch.where(draw[3] < 0.5, share, 1 - across.to(share))
    return torch.lerp(other, pixels, weight[:, None].to(pixels)), weight.mean((1, 2))


def change_pace(count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose frames of `count` for a slightly other pace, as their numbers: some twice, some left out."""
    draw = rng.random(count)
    faster, slower = rng.random(2) * HURRY
    return np.arange(count).repeat(np.where(draw < faster, 0, np.where(draw > 1 - slower, 2, 1)))
