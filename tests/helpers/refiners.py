"""Tiny refiners and image tokenizers with random weights."""

import torch

from janus_cli.config import DVAEConfig, RefinerConfig
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.refiner import Refiner

CONFIG = RefinerConfig(dim=16, n_block=2, kernel=3, groups=2, codebook_size=32, code_dim=4)


def make_refiner(trained: bool = True) -> Refiner:
    """A tiny refiner; `trained` moves the heads off their zero start."""
    torch.manual_seed(0)
    net = Refiner(CONFIG).eval()
    if trained:
        for head in (net.denoise_head, net.up_head):
            torch.nn.init.normal_(head.weight, std=0.3)
    return net


def make_dvae() -> DVAE:
    torch.manual_seed(1)
    return DVAE(DVAEConfig(codebook_size=32, codebook_dim=6, dim=16, n_block=2)).eval()
