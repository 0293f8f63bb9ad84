"""Finds a model by name, path or in the hub's cache; reads configurations and headers: no torch."""

from janus_cli.media.tensor_header import WIDTH, Tensor
from janus_cli.zoo.models import (
    CODEBOOK,
    COMPONENTS,
    DEFAULT,
    SENSES,
    Model,
    Place,
    codebook_fingerprint,
    find,
    fingerprint,
    list_folders,
    list_places,
    locate,
    read_header,
)

__all__ = [
    "CODEBOOK",
    "COMPONENTS",
    "DEFAULT",
    "SENSES",
    "WIDTH",
    "Model",
    "Place",
    "Tensor",
    "codebook_fingerprint",
    "find",
    "fingerprint",
    "list_folders",
    "list_places",
    "locate",
    "read_header",
]
