"""Training objective of the audio tokenizer: waveforms through EnCodec's networks and back.

First without codes, on noisy latents; then every codebook is fitted to what the ones before it leave of
them, and the decoder alone goes on. (With an encoder that went on too, codebooks that follow it as moving
averages lagged behind, and the spectra got worse again.)

Losses: log mel spectra at several resolutions (2210.13438, without the adversarial part) and a little of
the waveform itself.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import CodecConfig
from janus_cli.dataset.captions import draw_sentence
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.speech import Speaker, choose_voice
from janus_cli.nets.codec import Codec
from janus_cli.nets.quantize import Quantizer
from janus_cli.training.losses import spectral_loss

WAVEFORM_WEIGHT = 0.3
NOISE = 0.3  # on the latents before there are codes, in shares of their deviation: what codes can hold
FIT_LATENTS, FIT_STEPS = 40_000, 12
CROP = 0.64  # seconds of a training sample


@torch.no_grad()
def rescale_layers(net: nn.Module, example: Tensor, last: float = 1.0) -> Tensor:
    """Rescale the convolutions of `net`, in the order in which they run, until each one's output has mean 0
    and deviation 1 (the last one's: `last`) on `example`; returns the net's output.

    Layer-sequential unit variance (Mishkin and Matas, 1511.06422). With the usual start a waveform is lost
    in the bias of thirty layers, and the first thousands of steps go into finding it again.
    """
    kinds = (nn.Conv1d, nn.ConvTranspose1d)
    layers = [m for m in net.modules() if isinstance(m, kinds)]

    def rescale(layer: nn.Module, _: object, output: Tensor) -> Tensor:
        assert isinstance(layer, kinds) and layer.bias is not None
        scale = (last if layer is layers[-1] else 1.0) / output.std().clamp_min(1e-6)
        layer.weight.mul_(scale)
        layer.bias.sub_(output.mean()).mul_(scale)
        return (output - output.mean()) * scale

    hooks = [layer.register_forward_hook(rescale) for layer in layers]
    result: Tensor = net(example)
    for hook in hooks:
        hook.remove()
    return result


class CodecObjective(nn.Module):
    """Speech in many voices and languages, synthesised as it is needed; crops of CROP seconds.

    `plain` steps run without codes. Of the others a third use fewer codebooks, so that the first ones
    alone carry the words.
    """

    def __init__(self, cfg: CodecConfig, concepts: Sequence[Concept], batch_size: int, plain: int):
        super().__init__()
        self.codec = Codec(cfg)
        self.concepts, self.batch_size, self.plain = concepts, batch_size, plain
        self.speaker = Speaker()
        self.length = int(CROP * cfg.sample_rate) // cfg.hop_length * cfg.hop_length

    def initialise(self, rng: np.random.Generator) -> None:
        """Scale the layers so that a waveform reaches the other end, at a voice's loudness."""
        waveform = torch.from_numpy(np.stack([self.crop(rng) for _ in range(self.batch_size)]))
        rescale_layers(self.codec.decoder, rescale_layers(self.codec.encoder, waveform[:, None]), 0.05)

    def crop(self, rng: np.random.Generator) -> np.ndarray:
        """Cut a random stretch of a random sentence at a random loudness, float32 [length]."""
        text, language = draw_sentence(self.concepts, rng)
        waveform = self.speaker.say(choose_voice(text, rng, language))
        start = int(rng.integers(max(1, len(waveform) - self.length)))
        piece = waveform[start : start + self.length] * (rng.uniform(0.3, 0.95) / np.abs(waveform).max())
        return np.pad(piece, (0, self.length - len(piece)))

    changes_itself = True  # its batch fits the codebooks, once: in another process that would be lost

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Make waveform [B, length] and `used`, the number of codebooks in use: 0 before there are any."""
        used = self.codec.cfg.n_q if rng.random() < 0.67 else int(rng.integers(1, self.codec.cfg.n_q + 1))
        if step == self.plain:
            self._fit_codebooks(rng)
        used = 0 if step < self.plain else used
        waveform = np.stack([self.crop(rng) for _ in range(self.batch_size)])
        return {"waveform": torch.from_numpy(waveform), "used": torch.tensor(used)}

    @torch.no_grad()
    def _fit_codebooks(self, rng: np.random.Generator) -> None:
        """Fit every codebook to what the ones before leave of fresh latents."""
        device = next(self.codec.parameters()).device
        frames: list[Tensor] = []
        while sum(len(f) for f in frames) < FIT_LATENTS:
            waveform = np.stack([self.crop(rng) for _ in range(self.batch_size)])
            latents = self.codec.encoder(torch.from_numpy(waveform)[:, None].to(device))
            frames.append(latents.transpose(1, 2).flatten(0, 1))
        rest = torch.cat(frames)
        for quantizer in self.quantizers:
            quantizer.fit(rest, FIT_STEPS)
            rest = rest - quantizer.lookup(quantizer.encode(rest))

    @property
    def quantizers(self) -> list[Quantizer]:
        """The codec's codebooks."""
        return list(self.codec.quantizers)  # type: ignore[arg-type]

    def _encode(self, waveform: Tensor, used: int) -> Tensor:
        """Encode [B, T] to latents [B, D, F]: noisy ones, or as the first `used` codebooks write them."""
        if used:
            with torch.no_grad():
                codes = self.codec.quantize(self.codec.encoder(waveform[:, None]).float())
                return self.codec.dequantize(codes[:, :used])
        latents: Tensor = self.codec.encoder(waveform[:, None])
        return latents + NOISE * latents.detach().std() * torch.randn_like(latents)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss, and its parts."""
        waveform, used = batch["waveform"], int(batch["used"])
        output = self.codec.decoder(self._encode(waveform, used))[:, 0].float()
        with torch.autocast(output.device.type, enabled=False):
            mel = spectral_loss(output, waveform, self.codec.cfg.sample_rate)
        shape = F.l1_loss(output, waveform) / waveform.abs().mean()
        return mel + WAVEFORM_WEIGHT * shape, {"mel": mel, "waveform": shape}
