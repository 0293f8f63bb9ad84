"""Pictures as arrays of bytes, and as the tensors that nets take and give; any number of axes in front.

How a picture is cut into patches is `media.pictures`' business.
"""

import numpy as np
import torch
from torch import Tensor


def to_float(pictures: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Convert uint8 [.., H, W, 3] to float32 [.., 3, H, W] in [-1, 1]."""
    pixels = torch.from_numpy(np.array(pictures)).to(device)  # a copy: records' arrays may be read-only
    return pixels.movedim(-1, -3).float().div_(127.5).sub_(1)


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Convert float [.., 3, H, W] to uint8 [.., H, W, 3], clamped to [-1, 1] and rounded."""
    scaled = pixels.detach().float().clamp(-1, 1).add(1).mul(127.5).round()
    return scaled.to(torch.uint8).movedim(-3, -1).cpu().numpy()


def to_unit(picture: np.ndarray) -> Tensor:
    """Convert uint8 [H, W, 3] to float32 [1, 3, H, W] in [0, 1], as super-resolution nets want it."""
    return torch.from_numpy(np.array(picture)).movedim(-1, 0)[None].float().div_(255)


def unit_to_uint8(band: Tensor) -> np.ndarray:
    """Convert float [H, W, 3] in [0, 1] to uint8, rounded; the memory of `band` is used up."""
    return band.mul_(255).round_().clamp_(0, 255).to(torch.uint8).numpy()
