"""The words of an audio tokenizer's configuration. `config.py` passes them on; import them from there."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class CodecConfig:
    """Audio tokenizer: EnCodec's networks around a residual quantizer."""

    sample_rate: int = 16000  # Hz
    channels: int = 1
    ratios: tuple[int, int, int, int] = (8, 5, 4, 2)  # strides, from the latents to the waveform
    dim: int = 64  # width of the latents and of every codebook
    n_filter: int = 16  # channels at the waveform's rate; doubled at each stride
    n_lstm: int = 0
    codebook_size: int = 1024
    n_q: int = 4  # codebooks, each for what the ones before left over
    causal: bool = True  # convolutions look back only
    norm: str = "none"  # of the convolutions: none (weight norms are folded) or time_group_norm
    conv_shortcut: bool = True  # residual blocks' shortcuts are convolutions
    normalize: bool = False  # each segment is encoded at loudness 1, and its scale kept
    segment: int = 0  # samples that are encoded on their own; 0 = the whole sound is one
    overlap: float = 0.01  # share of a segment that the next one covers too

    @property
    def segment_stride(self) -> int:
        """Samples from the start of a segment to that of the next."""
        return max(1, int((1 - self.overlap) * self.segment))

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.ratios)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length
