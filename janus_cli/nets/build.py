"""Which class a component of a model is: the one table of them."""

from importlib import import_module
from typing import Any

from torch import nn

# component -> module of this room and class; a module is imported when its net is built
CLASSES = {
    "dvae": ("dvae", "DVAE"),
    "codec": ("codec", "Codec"),
    "vision": ("siglip", "VisionTower"),
    "decoder": ("decoder", "Decoder"),
    "refiner": ("refiner", "Refiner"),
    "judge": ("judge", "Judge"),
}


def build(component: str, config: Any) -> nn.Module:
    """Build the net of `component` (a key of CLASSES) with the initial weights of its `config`."""
    module, name = CLASSES[component]
    net: nn.Module = getattr(import_module(f"janus_cli.nets.{module}"), name)(config)
    return net
