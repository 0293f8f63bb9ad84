"""A codec over sounds of any length in bounded memory, with the tokens and samples of a run over the whole.

Convolutions run on overlapping windows: a window begins and ends with as much context as the net's
receptive field has, and what the missing rest would change is thrown away. LSTMs carry their state. A codec
that cuts sounds into segments by itself (EnCodec at 48 kHz) is run segment by segment.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import CodecConfig
from janus_cli.nets.codec import Codec
from janus_cli.nets.finite import check_finite

ACTIVATIONS = 1 << 20  # numbers in a window's widest activation: 4 MB of fp32; a dozen or more live at once
LANES = 16  # channels that the convolutions compute at least, whatever the net has


@dataclass(frozen=True)
class Windows:
    """How a net is cut into windows. All but `unit` and `gain` count steps of `unit` inputs."""

    unit: int  # inputs that make a step
    gain: int  # outputs that a step makes
    left: int  # steps before an output's own that it depends on
    right: int  # and behind
    block: int  # steps computed anew in each window


def plan_windows(net: nn.Module, hop: int, causal: bool, block: int) -> Windows:
    """Plan the windows of an encoder, a decoder, or a part of one between its LSTM and its end.

    Its receptive field is read off the convolutions: each reaches (kernel - 1) * dilation of its inputs
    back, and forward too where it is not causal.
    """
    rate = reach = 0.0  # input steps per sample at this depth; steps looked back
    down = up = 1
    convs = [m for m in net.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
    total = math.prod(m.stride[0] for m in convs if isinstance(m, nn.Conv1d))
    for conv in convs:
        rate = down / (total * up)
        if isinstance(conv, nn.ConvTranspose1d):  # its kernel is two strides long
            reach += rate
            up *= conv.stride[0]
        else:
            reach += rate * (conv.kernel_size[0] - 1) * conv.dilation[0]
            down *= conv.stride[0]
    assert (down, up) in ((hop, 1), (1, hop), (1, 1))
    steps = math.ceil(reach) + 1
    block = max(block, 4 * steps)  # or most of the work would be for the context
    return Windows(down, up, steps, 0 if causal else steps, block)


def run_windows(net: nn.Module, pieces: Iterable[Tensor], windows: Windows) -> Iterator[Tensor]:
    """Run `net` over the signal that `pieces` [B, C, any length] make up; gives pieces [B, C', ..]."""
    held: Tensor | None = None  # the inputs from step `begin` on
    begin = done = 0
    for piece in _split(pieces, windows.block * windows.unit):
        held = piece if held is None else torch.cat([held, piece], dim=2)
        while held.shape[2] >= (done + windows.block + windows.right - begin) * windows.unit:
            end = done + windows.block
            window = held[..., : (end + windows.right - begin) * windows.unit]
            yield net(window)[..., (done - begin) * windows.gain : (end - begin) * windows.gain]
            done = end
            keep = max(done - windows.left, 0)
            held = held[..., (keep - begin) * windows.unit :].clone()
            begin = keep
    if held is not None and held.shape[2] > (done - begin) * windows.unit:
        yield net(held)[..., (done - begin) * windows.gain :]


def _split(pieces: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Cut pieces to at most `size`, so that a long one is not copied time and again."""
    return (part for piece in pieces for part in piece.split(size, dim=2))


def run_recurrent(recurrent: nn.Module, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """Run an LSTM of the `encodec` package over pieces [B, C, T], its state carried from one to the next."""
    state = None
    for piece in pieces:
        steps = piece.permute(2, 0, 1)
        found, state = recurrent.lstm(steps, state)  # type: ignore[operator]
        yield (found + steps if recurrent.skip else found).permute(1, 2, 0)


def run(net: nn.Module, pieces: Iterable[Tensor], hop: int, causal: bool, block: int) -> Iterator[Tensor]:
    """Run an encoder or a decoder of the `encodec` package over the signal that `pieces` make up."""
    stages: list[nn.Module] = []
    convs: list[nn.Module] = []
    for layer in net.model:  # type: ignore[union-attr]
        if hasattr(layer, "lstm"):
            stages += [nn.Sequential(*convs), layer]
            convs = []
        else:
            convs.append(layer)
    out = iter(pieces)
    for stage in [*stages, nn.Sequential(*convs)]:
        out = (
            run_recurrent(stage, out)
            if hasattr(stage, "lstm")
            else run_windows(stage, out, plan_windows(stage, hop, causal, block))
        )
    return out


def _choose_block(codec: Codec) -> int:
    """Choose how many frames to compute at a time."""
    return max(1, ACTIVATIONS // (max(codec.cfg.n_filter, LANES) * codec.cfg.hop_length))


@torch.inference_mode()
def encode_stream(
    codec: Codec, pieces: Iterable[Tensor], n_q: int | None = None
) -> Iterator[tuple[Tensor, float | None]]:
    """Encode the sound that `pieces` [B, C, any length] make up to codes [B, Q, F], some frames at a time.

    Beside them the segment's scale, where the codec normalises; then each item is one whole segment.
    """
    if codec.cfg.segment:
        for segment in _cut_segments(pieces, codec.cfg.segment, codec.cfg.segment_stride):
            scaled, scale = codec.normalise(segment)
            yield codec.quantize(codec.encoder(scaled), n_q), scale
        return
    latents = run(codec.encoder, pieces, codec.cfg.hop_length, codec.cfg.causal, _choose_block(codec))
    for found in latents:
        yield codec.quantize(found, n_q), None


def _cut_segments(pieces: Iterable[Tensor], length: int, stride: int) -> Iterator[Tensor]:
    """Cut segments of `length` samples, one each `stride`; the last are as long as what is left."""
    held: Tensor | None = None
    for piece in _split(pieces, length):
        held = piece if held is None else torch.cat([held, piece], dim=2)
        while held.shape[2] >= length:
            yield held[..., :length]
            held = held[..., stride:].clone()
    while held is not None and held.shape[2]:
        yield held
        held = held[..., stride:]


def count_frames(cfg: CodecConfig, num_samples: int) -> list[int]:
    """Count the frames of each segment of a sound of `num_samples`; a codec without segments makes one."""
    if not num_samples:
        return []
    length, stride = (cfg.segment, cfg.segment_stride) if cfg.segment else (num_samples, num_samples)
    samples = [min(length, num_samples - start) for start in range(0, num_samples, stride)]
    return [-(-n // cfg.hop_length) for n in samples]


@torch.inference_mode()
def decode_stream(
    codec: Codec, codes: Tensor, frames: Sequence[int], scales: Sequence[float] | None = None
) -> Iterator[Tensor]:
    """Decode codes [B, Q, F] to the sound [B, C, F * hop], piece by piece.

    frames: how many of F belong to each segment, as `count_frames` says; scales: each segment's.
    """
    if codec.cfg.segment:
        parts = (codec.decode(part) for part in codes.split(list(frames), dim=2))
        scaled = parts if scales is None else (part * s for part, s in zip(parts, scales, strict=True))
        yield from _overlap(scaled, codec.cfg.segment_stride)
        return
    block = _choose_block(codec)
    latents = (codec.dequantize(part) for part in codes.split(block, dim=2))
    for piece in run(codec.decoder, latents, codec.cfg.hop_length, codec.cfg.causal, block):
        yield check_finite(piece, codec)


def _overlap(parts: Iterable[Tensor], stride: int) -> Iterator[Tensor]:
    """Lay segments over one another every `stride` samples, faded into each other by triangular weights."""
    total = weights = ramp = torch.empty(0)  # weighted sum and sum of weights, from the segment's start on
    for part in parts:
        if not len(ramp):  # the first segment's length shapes the weights of all
            line = torch.linspace(0, 1, part.shape[2] + 2, device=part.device, dtype=part.dtype)[1:-1]
            ramp = 0.5 - (line - 0.5).abs()
            total, weights = part[..., :0], ramp[:0]
        size = part.shape[2]
        grow = max(size - total.shape[2], 0)
        total, weights = F.pad(total, (0, grow)), F.pad(weights, (0, grow))
        total[..., :size] += ramp[:size] * part
        weights[:size] += ramp[:size]
        yield total[..., :stride] / weights[:stride]
        total, weights = total[..., stride:], weights[stride:]
    if total.shape[-1]:
        yield total / weights
