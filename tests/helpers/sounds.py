"""Sounds and codecs that several test files share."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from safetensors.torch import save

from bench.make_checkpoint import publish
from janus_cli.config import CodecConfig
from janus_cli.media.sound_writer import Writer
from janus_cli.media.sounds import Sound
from janus_cli.nets.codec import Codec
from janus_cli.weights import remap
from janus_cli.zoo import encodec

KINDS = {  # every way in which published codecs and ours differ, small
    "pocket": CodecConfig(dim=16, n_filter=4, codebook_size=64),
    "24khz": CodecConfig(sample_rate=24000, dim=16, n_filter=4, n_lstm=2, codebook_size=64),
    "32khz": CodecConfig(
        sample_rate=32000,
        ratios=(8, 5, 4, 4),
        dim=16,
        n_filter=4,
        n_lstm=2,
        causal=False,
        codebook_size=64,
        conv_shortcut=False,
    ),
    "48khz": CodecConfig(
        sample_rate=48000,
        channels=2,
        dim=16,
        n_filter=4,
        n_lstm=2,
        causal=False,
        norm="time_group_norm",
        normalize=True,
        segment=48000,
        codebook_size=64,
    ),
    "two-sided": CodecConfig(dim=16, n_filter=4, causal=False, codebook_size=64),
}


def sound_bytes(sound: Sound, format: str, metadata: Mapping[str, str] | None = None) -> bytes:
    """The sound as a whole file of `format`."""
    file = io.BytesIO()
    with Writer(file, format, sound.sample_rate, sound.channels, sound.num_samples, metadata) as writer:
        for piece in sound.pieces:
            writer.write(piece)
    return file.getvalue()


def tone(seconds: float, rate: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Gliding tones and noise, float32 [channels, samples], different in each channel."""
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * rate)) / rate
    parts = [
        0.3 * np.sin(2 * np.pi * (200 + 100 * c + 300 * time) * time) + rng.normal(0, 0.1, len(time))
        for c in range(channels)
    ]
    return np.stack(parts).astype(np.float32)


def lively(codec: Codec, seed: int = 0) -> Codec:
    """`codec` with weights that let sounds through, and codebooks that lie where its latents are."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in codec.named_parameters():
            if parameter.dim() > 1 and "lstm" not in name:
                parameter.mul_(1.7)
        sound = torch.from_numpy(tone(1, codec.cfg.sample_rate, codec.cfg.channels))[None]
        rest = codec.encoder(sound.to(next(codec.parameters())))[0].T
        for quantizer in codec.quantizers:
            quantizer.codebook.copy_(rest.mean(0) + rest.std() * torch.randn(quantizer.codebook.shape))
            rest = rest - quantizer.lookup(quantizer.encode(rest))
    return codec.eval().requires_grad_(False)


def publish_encodec(folder: Path) -> dict[str, bytes]:
    """The files of a small EnCodec of 32 kHz in transformers' layout; `folder` is only worked in."""
    config = {
        "model_type": "encodec",
        "sampling_rate": 32000,
        "upsampling_ratios": [8, 5, 4, 4],
        "hidden_size": 16,
        "num_filters": 4,
        "codebook_size": 64,
        "target_bandwidths": [1.2],
        "use_causal_conv": False,
        "use_conv_shortcut": False,
        "chunk_length_s": None,
    }
    (folder / "config.json").write_text(json.dumps(config))
    net = lively(Codec(encodec.read(folder).codec))
    (folder / "config.json").unlink()
    state = publish(net.state_dict(), "encodec_transformers", remap.NORMS[0])
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": save({name: tensor.contiguous().clone() for name, tensor in state.items()}),
    }


def file_bytes(waveform: np.ndarray, rate: int, format: str = "WAV", subtype: str | None = None) -> bytes:
    """float32 [channels, samples] as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, waveform.T, rate, format=format, subtype=subtype)
    return file.getvalue()


def cut(waveform: np.ndarray, sizes: Sequence[int]) -> list[np.ndarray]:
    """The waveform in pieces of these sizes, over and over."""
    pieces, start, i = [], 0, 0
    while start < waveform.shape[1]:
        pieces.append(waveform[:, start : start + sizes[i % len(sizes)]])
        start, i = start + sizes[i % len(sizes)], i + 1
    return pieces


def mpeg_frames(count: int, layer: int = 3, version: int = 3, mono: bool = True, rate: int = 0) -> bytes:
    """Silent MPEG frames of 64 kbit/s without anything around them; version 3 is MPEG 1, 2 is MPEG 2."""
    first = version == 3
    kbit = {(True, 1): 2, (True, 2): 4, (True, 3): 5, (False, 1): 4, (False, 2): 8, (False, 3): 8}[
        first, layer
    ]
    head = bytes([0xFF, 0xE1 | version << 3 | (4 - layer) << 1, kbit << 4 | rate << 2, 0xC0 if mono else 0])
    hertz = (44100, 48000, 32000)[rate] // (1 if first else 2)
    samples = {1: 384, 2: 1152, 3: 1152 if first else 576}[layer]
    size = 12 * 64000 // hertz * 4 if layer == 1 else samples // 8 * 64000 // hertz
    return (head + bytes(size - 4)) * count


def close_page(page: bytes) -> bytes:
    """Put the checksum into an Ogg page: CRC-32 by the polynomial 04C11DB7, from the highest bit on."""
    crc = 0
    for byte in page[:22] + bytes(4) + page[26:]:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x104C11DB7 if crc & 1 << 31 else 0)) & 0xFFFFFFFF
    return page[:22] + crc.to_bytes(4, "little") + page[26:]


def leave_open(data: bytes) -> bytes:
    """Take the flag of the last page from an Ogg file."""
    place = data.rfind(b"OggS")
    page = data[place:]
    return data[:place] + close_page(page[:5] + bytes([page[5] & ~4]) + page[6:])
