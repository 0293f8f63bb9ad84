"""The audio tokenizer: EnCodec's networks (Defossez et al., 2210.13438) from the `encodec` package.

A convolutional encoder turns `hop_length` samples into one latent, a residual quantizer writes each
latent as one code per codebook, and the decoder is the encoder's mirror image.
"""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from janus_cli.config import CodecConfig
from janus_cli.nets.finite import check_finite
from janus_cli.nets.quantize import Quantizer
from janus_cli.nets.standins import stand_in


def import_encodec(name: str = "encodec.modules") -> Any:
    """Import the module `name`. encodec imports torchaudio, which only its file functions use."""
    with stand_in({"torchaudio": ()}):
        return importlib.import_module(name)


class Codec(nn.Module):
    """Waveform [B, C, T] in [-1, 1] <-> codes [B, Q, F], one frame for every `cfg.hop_length` samples."""

    def __init__(self, cfg: CodecConfig) -> None:
        super().__init__()
        self.cfg = cfg
        shape = dict(
            channels=cfg.channels,
            dimension=cfg.dim,
            n_filters=cfg.n_filter,
            ratios=list(cfg.ratios),
            lstm=cfg.n_lstm,
            causal=cfg.causal,
            norm=cfg.norm,
            true_skip=not cfg.conv_shortcut,
        )
        seanet = import_encodec()
        self.encoder = seanet.SEANetEncoder(**shape)
        self.decoder = seanet.SEANetDecoder(**shape)
        self.quantizers = nn.ModuleList(Quantizer(cfg.codebook_size, cfg.dim) for _ in range(cfg.n_q))

    @property
    def codebooks(self) -> Tensor:
        """All codebooks, one below the other: [Q * K, D]."""
        return torch.cat([quantizer.codebook for quantizer in self.quantizers])  # type: ignore[misc]

    def quantize(self, latents: Tensor, n_q: int | None = None) -> Tensor:
        """Quantize latents [B, D, F] to codes [B, Q, F]: each codebook takes what the ones before left over.

        n_q: use only so many codebooks, from the first on.
        """
        rest, codes = check_finite(latents, self).transpose(1, 2), []
        for quantizer in self.quantizers[:n_q]:
            codes.append(quantizer.encode(rest))  # type: ignore[operator]
            rest = rest - quantizer.lookup(codes[-1])  # type: ignore[operator]
        return torch.stack(codes, dim=1)

    def dequantize(self, codes: Tensor) -> Tensor:
        """Look up latents [B, D, F] of codes [B, Q, F]; Q may be only the first few codebooks."""
        vectors = [q.lookup(c) for q, c in zip(self.quantizers, codes.unbind(1), strict=False)]  # type: ignore[operator]
        return torch.stack(vectors).sum(0).transpose(1, 2)

    def normalise(self, waveform: Tensor) -> tuple[Tensor, float | None]:
        """Divide a waveform [1, C, T] by its loudness, the root mean square of the mix; return both.

        Unchanged, without a number, where the codec does not normalise.
        """
        if not self.cfg.normalize:
            return waveform, None
        scale = waveform.mean(1).square().mean().sqrt() + 1e-8
        return waveform / scale, float(scale)

    def encode(self, waveform: Tensor) -> Tensor:
        """Encode a waveform at once to codes [B, Q, ceil(T / hop_length)].

        `streaming` knows segments and loudness.
        """
        return self.quantize(self.encoder(waveform))

    def decode(self, codes: Tensor) -> Tensor:
        """Decode codes [B, Q, F] at once to a waveform [B, C, F * hop_length]."""
        return check_finite(self.decoder(self.dequantize(codes)), self)
