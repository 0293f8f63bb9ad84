"""Pictures as the nets see them: uint8 [H, W, 3] <-> float [1, 3, H, W] on [-1, 1]."""

import numpy as np
import torch
from torch import Tensor


def to_float(image: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """uint8 [H, W, 3] -> float32 [1, 3, H, W] in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image)).to(device)  # a copy: records' arrays may be read-only
    return pixels.movedim(-1, 0)[None].float().div_(127.5).sub_(1)


def to_uint8(pixels: Tensor) -> np.ndarray:
    """float [1, 3, H, W] -> uint8 [H, W, 3], clamped and rounded."""
    scaled = pixels[0].detach().float().clamp(-1, 1).add(1).mul(127.5).round()
    return scaled.to(torch.uint8).movedim(0, -1).cpu().numpy()


def cut(image: np.ndarray, size: int) -> np.ndarray:
    """[rows * size, cols * size, 3] -> patches [rows, cols, size, size, 3]."""
    rows, cols = image.shape[0] // size, image.shape[1] // size
    return image.reshape(rows, size, cols, size, 3).swapaxes(1, 2)


def join(patches: np.ndarray) -> np.ndarray:
    """Patches [rows, cols, P, P, 3] -> [rows * P, cols * P, 3]."""
    rows, cols, size = patches.shape[:3]
    return patches.swapaxes(1, 2).reshape(rows * size, cols * size, 3)


def to_tensor(pictures: np.ndarray) -> Tensor:
    """uint8 [..., H, W, 3] -> float [..., 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).movedim(-1, -3).float().div_(127.5).sub_(1)


def from_tensor(pixels: Tensor) -> np.ndarray:
    """Float [N, 3, H, W] in [-1, 1] -> uint8 [N, H, W, 3]."""
    scaled = pixels.float().clamp(-1, 1).add(1).mul(127.5).round()
    return scaled.to(torch.uint8).movedim(1, -1).cpu().numpy()
