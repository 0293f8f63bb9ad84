"""A decoder that begins with the weights of a smaller one: the same net before it knew all its modalities.

Known modalities come first, in the same order; what is new starts as a new net does.
"""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from janus_cli import weights
from janus_cli.config import DecoderConfig, read_config
from janus_cli.errors import JanusError
from janus_cli.nets.decoder import Decoder


def find_bias_rows(small: DecoderConfig, large: DecoderConfig) -> Tensor:
    """Find where each row of the small net's relative-bias table stands in the large one's, int64 [rows]."""
    assert small.relative is not None and small.relative == large.relative
    n, m, bucket = len(small.modalities), len(large.modalities), small.relative.n_bucket
    pairs = torch.arange(n)[:, None] * m + torch.arange(n)
    flat = pairs.reshape(-1, 1) * bucket + torch.arange(bucket)
    cells = (2 * small.relative.grid_bucket - 1) ** 2
    grids = torch.arange(sum(c.two_d for c in small.modalities.values()) * cells)
    return torch.cat([flat.flatten(), m * m * bucket + grids])


@torch.no_grad()
def grow(decoder: Decoder, folder: Path) -> bool:
    """Give `decoder` the weights of the model in `folder`, which has the first of its modalities or all.

    Returns whether it grew. Raises JanusError where the two differ in more than that.
    """
    small = read_config(folder / "config.json").decoder
    large = decoder.cfg
    known = list(large.modalities.items())
    if small is None or list(small.modalities.items()) != known[: len(small.modalities)]:
        raise JanusError(f"{folder}: its decoder's modalities are not the first of {', '.join(dict(known))}")
    given, wanted = ({**asdict(cfg), "modalities": 0, "max_seq_len": 0} for cfg in (small, large))
    if differing := [name for name in given if given[name] != wanted[name]]:
        raise JanusError(f"{folder}: its decoder has another {differing[0]}: it cannot be grown")
    state = decoder.state_dict()
    for name, tensor in weights.load(Decoder(small), folder / "decoder.safetensors").state_dict().items():
        if name == "relative.table.weight":
            state[name][find_bias_rows(small, large)] = tensor
        elif name.endswith("_lora.up"):  # ranks of all modalities side by side
            state[name][:, : tensor.shape[1]] = tensor
        else:
            state[name][: len(tensor)] = tensor
    return len(small.modalities) < len(large.modalities)
