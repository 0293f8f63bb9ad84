"""Super-resolution checkpoints in small: spandrel's own networks, random weights loud enough to matter."""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from janus_cli.nets.super_resolution import import_spandrel


def build(kind: str, **options) -> torch.nn.Module:
    """A tiny network: compact (RealESRGAN's), span, esrgan or swinir."""
    import_spandrel()
    from spandrel.architectures import ESRGAN, SPAN, Compact, SwinIR

    torch.manual_seed(3)
    if kind == "compact":
        return Compact.Compact(**{"num_feat": 6, "num_conv": 1, "upscale": 4, **options})
    if kind == "span":
        return SPAN.SPAN(**{"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 4, "upscale": 2, **options})
    if kind == "esrgan":
        return ESRGAN.ESRGAN(**{"num_filters": 4, "num_blocks": 1, "scale": 2, **options})
    net = SwinIR.SwinIR(
        **{
            "img_size": 64,
            "embed_dim": 8,
            "depths": [2, 2],
            "num_heads": [2, 2],
            "window_size": 8,
            "mlp_ratio": 2,
            "upscale": 2,
            "upsampler": "pixelshuffledirect",
            **options,
        }
    )
    with torch.no_grad():  # as initialised, attention hardly tells one pixel from another
        for name, weight in net.named_parameters():
            if "qkv" in name or "relative_position_bias_table" in name:
                weight.mul_(20)
    return net


def tensors(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.contiguous() for name, value in net.state_dict().items()}


def save(net: torch.nn.Module, path: Path, key: str = "", **options) -> Path:
    """The weights in `path`, as published: safetensors, or torch.save's, there perhaps in a table `key`."""
    if path.suffix == ".safetensors":
        save_file(tensors(net), path)
    else:
        torch.save({key: tensors(net)} if key else tensors(net), path, **options)
    return path


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Soft blobs under a little noise, uint8 [height, width, 3]."""
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), np.uint8))
    soft = np.asarray(blobs.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return np.clip(soft + rng.integers(-8, 9, soft.shape), 0, 255).astype(np.uint8)


class Evil:
    """Unpickled, it would leave a file behind."""

    def __reduce__(self):
        return os.system, ("touch pwned",)
