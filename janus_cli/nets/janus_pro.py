"""Janus-Pro (2501.17811) as published: a Llama decoder with two eyes and an image vocabulary of its own.

The decoder is the shared one with every switch off; text and image ids stay apart, as they do there. What
pictures mean for understanding (SigLIP) and for generation (VQ-16) are two unrelated sets of numbers. Part
names are DeepSeek's.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import JanusProConfig
from janus_cli.nets.attention import KVCache, Places
from janus_cli.nets.decoder import Decoder, find_positions
from janus_cli.nets.finite import check_finite
from janus_cli.nets.siglip import SigLIP
from janus_cli.nets.vq16 import VQ16

TEXT, IMAGE = 0, 1  # type ids


class LanguageModel(Decoder):
    """The decoder without adapters, and the text's embedding and untied head."""

    def __init__(self, cfg: JanusProConfig) -> None:
        super().__init__(dataclasses.replace(cfg.decoder, modalities={}))
        vocab_size = cfg.decoder.modalities["text"].vocab_size
        self.embed_tokens = nn.Embedding(vocab_size, cfg.decoder.dim)
        self.lm_head = nn.Linear(cfg.decoder.dim, vocab_size, bias=False)


class Projector(nn.Module):
    """linear, GELU, linear: [.., I] -> [.., D]. The published numbering of its layers is 0 and 2."""

    def __init__(self, dim_in: int, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim_in, dim), nn.GELU(), nn.Linear(dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class GenHead(nn.Module):
    """Hidden states [.., D] -> scores of the next image token [.., K]."""

    def __init__(self, dim: int, head_dim: int, codebook_size: int) -> None:
        super().__init__()
        self.output_mlp_projector = nn.Linear(dim, head_dim)
        self.vision_head = nn.Linear(head_dim, codebook_size)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.vision_head(F.gelu(self.output_mlp_projector(x)))
        return out


class JanusPro(nn.Module):
    """All parts of the model, used by the generate stage as the shared decoder is: local ids with types."""

    def __init__(self, cfg: JanusProConfig) -> None:
        super().__init__()
        dim = cfg.decoder.dim
        self.janus_pro, self.cfg = cfg, cfg.decoder
        self.type_ids = {name: i for i, name in enumerate(cfg.decoder.modalities)}
        self.language_model = LanguageModel(cfg)
        self.gen_embed = nn.Embedding(cfg.vq.codebook_size, cfg.vq.codebook_dim)
        self.gen_aligner = Projector(cfg.vq.codebook_dim, dim)
        self.gen_head = GenHead(dim, cfg.head_dim, cfg.vq.codebook_size)
        self.gen_vision_model = VQ16(cfg.vq)
        self.vision_model = SigLIP(cfg.vision)
        self.aligner = Projector(cfg.vision.dim, dim)

    @property
    def device(self) -> torch.device:
        """The device of the language model."""
        return self.language_model.norm.weight.device

    def make_cache(self, batch: int, max_len: int) -> KVCache:
        """Make an empty cache on the weights' device and in their dtype."""
        return self.language_model.make_cache(batch, max_len)

    def embed(self, ids: Tensor, types: Tensor) -> Tensor:
        """Embed text and image tokens, [B, T] -> [B, T, D]; padding as anything finite."""
        text = self.language_model.embed_tokens(torch.where(types == TEXT, ids, 0))
        image = self.gen_aligner(self.gen_embed(torch.where(types == IMAGE, ids, 0)))
        return torch.where((types == IMAGE)[..., None], image, text)

    def see(self, pixels: Tensor) -> Tensor:
        """Embed pictures for a prompt: normalised pixels [B, 3, S, S] -> [B, N, D]."""
        return check_finite(self.aligner(self.vision_model(pixels)), self)

    def run(self, x: Tensor, types: Tensor, cache: KVCache | None = None) -> Tensor:
        """Compute hidden states of embedded tokens, both [B, T, D]; types [B, T] is negative at padding."""
        nowhere = torch.full_like(types, -1)
        places = Places(types, find_positions(types, cache, self.cfg.max_seq_len), nowhere, nowhere)
        return self.language_model.run(x, places, cache)

    def forward(
        self, ids: Tensor, types: Tensor, rows: Tensor, cols: Tensor, *, cache: KVCache | None = None
    ) -> Tensor:
        """Compute hidden states [B, T, D], as `Decoder.forward` does; rows and cols mean nothing here."""
        return self.run(self.embed(ids, types), types, cache)

    def compute_logits(self, hidden: Tensor, modality: str) -> Tensor:
        """Compute the logits of the next token if it is of `modality`: hidden [.., D] -> [.., V]."""
        head = self.gen_head if modality == "image" else self.language_model.lm_head
        out: Tensor = head(hidden)
        return out
