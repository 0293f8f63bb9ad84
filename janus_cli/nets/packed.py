"""Folded weights laid out for the CPU's matrix products once, instead of anew for every product.

For the few rows of a window that is a third less time; it takes the weights' memory a second time, so only
small nets are packed. The operators are those that torch's own compiler uses; without them nothing is packed.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor

from janus_cli.nets.decoder import Decoder
from janus_cli.nets.step import Folded, Layer

MOST = 256 * 2**20  # bytes of weights that are packed


def multiply(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply x [.., I] by weight [O, I], packed or not: [.., O]."""
    if not weight.is_mkldnn:
        return F.linear(x, weight, bias)
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def can_pack(folded: Folded) -> bool:
    """Tell whether packing pays, and this torch can: float32 on a CPU, and not too much of it."""
    weights = [folded.layers[0].out, *folded.layers[0].qkv, *folded.layers[0].gate_up, folded.layers[0].down]
    size = len(folded.layers) * sum(weight.nbytes for weight in weights)
    fits = folded.norm.device.type == "cpu" and folded.norm.dtype == torch.float32 and size <= MOST
    operators = ("_linear_pointwise", "_reorder_linear_weight")
    return (
        fits
        and torch.backends.mkldnn.is_available()
        and all(hasattr(torch.ops.mkldnn, operator) for operator in operators)
    )


def pack(folded: Folded, net: Decoder, modality: str) -> Folded:
    """Pack the weights that `folded` has of `net` for `modality`."""
    weight, bias = net.get_head(modality)
    packed = _reorder(weight)
    return dataclasses.replace(
        folded,
        layers=tuple(_pack_layer(layer) for layer in folded.layers),
        head=lambda hidden: multiply(hidden, packed, bias),
    )


def _pack_layer(layer: Layer) -> Layer:
    return layer._replace(
        qkv=(_reorder(torch.cat(layer.qkv)),),
        out=_reorder(layer.out),
        gate_up=(_reorder(torch.cat(layer.gate_up)),),
        down=_reorder(layer.down),
    )


def _reorder(weight: Tensor) -> Tensor:
    out: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach())
    return out
