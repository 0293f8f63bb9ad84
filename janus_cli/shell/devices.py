"""Where the nets compute, and in what: the words of --device and --dtype."""

from enum import StrEnum

from janus_cli.errors import UsageError


class Device(StrEnum):
    """What --device may ask for; `pick_device` decides what `auto` is."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Dtype(StrEnum):
    """What the nets of a published model compute in; `auto` is bf16 on a GPU, fp32 elsewhere."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


def pick_device(wanted: Device) -> str:
    """Choose the torch device for `wanted`. Raises UsageError for one that this machine lacks."""
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted is Device.auto:
        return next(name for name, here in present.items() if here)
    if not present[wanted.value]:
        have = ", ".join(name for name, here in present.items() if here)
        raise UsageError(f"torch {torch.__version__} finds no {wanted.value} device here (it has {have})")
    return wanted.value
