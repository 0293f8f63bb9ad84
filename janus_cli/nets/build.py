"""The one table of a model's components and the nets that they are."""

import importlib
from typing import Any

NETS = {  # component -> module in this room, class
    "dvae": ("dvae", "DVAE"),
    "codec": ("codec", "Codec"),
    "vision": ("siglip", "VisionTower"),
    "decoder": ("decoder", "Decoder"),
    "refiner": ("refiner", "Refiner"),
    "judge": ("judge", "Judge"),
}


def build(component: str, config: Any) -> Any:
    """Make the net of `component` from its part of a ModelConfig, with new weights; imports no other net."""
    module, name = NETS[component]
    return getattr(importlib.import_module(f"janus_cli.nets.{module}"), name)(config)
