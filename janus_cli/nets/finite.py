"""Whether what a net computed is numbers: NaN and infinity would go on as some picture, word or sound."""

from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from janus_cli.errors import ModelError


def note_origin(net: nn.Module, part: str, model: str) -> None:
    """Note of which `part` of which `model` these are the weights, for messages."""
    net.__dict__["origin"] = (part, model)


def are_finite(made: Tensor) -> Tensor:
    """Whether all of `made` is finite: a bool on its device, which is not waited for.

    NaN and infinity come through a sum, which takes a tenth of the time that looking at each number does.
    """
    return made.sum(dtype=torch.float32).isfinite()


def check_finite(made: Tensor, net: nn.Module) -> Tensor:
    """Give back `made`, what `net` computed. Raises ModelError, which names the net, for NaN and infinity.

    A net in training passes: there the loss tells.
    """
    if not net.training and not are_finite(made):
        refuse_numbers(net)
    return made


def refuse_numbers(net: Any) -> NoReturn:
    """Raise the ModelError of a net whose numbers are none; whoever loaded it has noted its `origin`."""
    part, model = getattr(net, "origin", (type(net).__name__, "")) or ("net", "")
    of = f" of model {model}" if model else ""
    raise ModelError(
        f"the {part}{of} gave NaN or infinity where numbers are due: its weights are damaged, or too large "
        "for its dtype: janus models verify says which, --dtype fp32 computes without overflow"
    )
