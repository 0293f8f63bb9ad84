"""Sounds as tokens: any length of sound to a codec's codes, and back, a piece at a time.

Also where in a sound there is something to hear: a record keeps all of it, with a mark, and a prompt takes
what is marked. Knows a codec and numpy pieces. Opens no file and picks no device: the net's own is used.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from janus_cli.config import CodecConfig, Progress
from janus_cli.errors import MediaError, NothingHeardError, RecordError, UsageError
from janus_cli.media.sounds import Sound
from janus_cli.nets.codec import Codec
from janus_cli.nets.streaming import count_frames, decode_stream, encode_stream
from janus_cli.records import Record, Segment, check_ids, to_ids

EDGE = 0.02  # of the loudest: what is quieter at both ends is silence
SILENT = 0.001  # of full scale (-60 dB): what is never louder is silence


def find_sound(levels: np.ndarray, margin: int) -> tuple[int, int]:
    """Find where in a sound there is something to hear: before it, and behind it, `margin` levels stay.

    levels [T]: how loud each sample is, or each frame at its loudest; 0 to 1. All of it where all is silent.
    This is what training, the exam and the commands cut sounds by.
    """
    heard = np.flatnonzero(levels > EDGE * levels.max(initial=0))
    if not len(heard):
        return 0, len(levels)
    return max(0, int(heard[0]) - margin), min(len(levels), int(heard[-1]) + 1 + margin)


class _Meter:
    """Measures the loudest sample of each frame of a sound that comes in pieces."""

    def __init__(self, hop: int) -> None:
        self._hop, self._rest, self._levels = hop, np.zeros(0, np.float32), list[np.ndarray]()

    def add(self, piece: np.ndarray) -> None:
        """Take float32 [channels, any number of samples]."""
        line = np.concatenate([self._rest, np.abs(piece).max(axis=0, initial=0)])
        whole = len(line) // self._hop * self._hop
        self._levels.append(line[:whole].reshape(-1, self._hop).max(axis=1, initial=0))
        self._rest = line[whole:]

    def find_heard(self) -> list[int]:
        """Find the first frame in which there is something to hear, and the one after the last."""
        last = [self._rest.max(keepdims=True)] if len(self._rest) else []
        levels = np.concatenate([np.zeros(0, np.float32), *self._levels, *last])
        if levels.max(initial=0) <= SILENT:
            return [0, 0]
        return list(find_sound(levels, 1))


def keep_heard(segment: Segment, name: str = "") -> Segment:
    """Keep of an audio segment what is to be heard, the frames that its `heard` names; all of any other.

    Raises RecordError, with the record's `name`, where those are no frames of it, NothingHeardError where
    they are none at all.
    """
    if segment.modality != "audio" or "heard" not in segment.info:
        return segment
    heard, frames, who = segment.info["heard"], segment.data.shape[1], f"{name}: " if name else ""
    if not 0 <= heard[0] <= heard[1] <= frames:
        raise RecordError(f"{who}audio segment: heard must be two of its {frames} frames")
    if frames and heard[0] == heard[1]:
        raise NothingHeardError(f"{who}nothing heard: it is silent")
    return replace(segment, data=segment.data[:, heard[0] : heard[1]])


def count_books(cfg: CodecConfig, bandwidth: float | None) -> int:
    """Count the codebooks that make `bandwidth` kbit/s; all for None. Raises UsageError if no number does."""
    if bandwidth is None:
        return cfg.n_q
    each = cfg.frame_rate * math.log2(cfg.codebook_size) / 1000
    count = round(bandwidth / each) if math.isfinite(bandwidth) else 0
    if not 1 <= count <= cfg.n_q or not math.isclose(count * each, bandwidth, rel_tol=1e-6):
        raise UsageError(
            f"--bandwidth {bandwidth:g}: this codec makes multiples of {each:g} kbit/s "
            f"up to {each * cfg.n_q:g}"
        )
    return count


def describe_sound(cfg: CodecConfig, num_samples: int) -> dict[str, Any]:
    """Describe a sound of `num_samples` samples, as the info of an audio segment says it."""
    rate = cfg.frame_rate
    return {
        "sample_rate": cfg.sample_rate,
        "frame_rate": int(rate) if rate.is_integer() else rate,
        "num_samples": num_samples,
    }


def encode_audio(
    pieces: Iterable[np.ndarray],
    codec: Codec,
    name: str,
    fingerprint: str,
    *,
    n_q: int | None = None,
    id: str = "",
    source: str = "",
    progress: Progress | None = None,
) -> Record:
    """Encode float32 pieces [channels, samples] to a record of one audio segment [Q, ceil(samples / hop)].

    The pieces are at the codec's rate and of its channels. Only the codes of what was read stay in memory,
    and they are those of the whole sound, however it is cut. `num_samples` is the exact length, `heard` the
    frames in which there is something to hear (not of a codec that works in segments), `scales` each
    segment's loudness where the codec normalises; n_q: use only so many codebooks. Raises MediaError for
    pieces of another shape.
    """
    cfg, device = codec.cfg, next(codec.parameters()).device
    count, meter = 0, _Meter(cfg.hop_length)

    def load_pieces() -> Iterator[torch.Tensor]:
        nonlocal count
        for piece in pieces:
            if piece.ndim != 2 or len(piece) != cfg.channels:
                raise MediaError(
                    f"{source or 'sound'}: expected [{cfg.channels}, samples], found {list(piece.shape)}"
                )
            count += piece.shape[1]
            meter.add(piece)
            if piece.shape[1]:
                yield torch.from_numpy(np.ascontiguousarray(piece, np.float32))[None].to(device)
            if progress is not None:
                progress(piece.shape[1])

    runs, scales = [np.zeros((n_q or cfg.n_q, 0), np.int64)], []
    for codes, scale in encode_stream(codec, load_pieces(), n_q):
        runs.append(to_ids(codes[0].cpu().numpy(), cfg.codebook_size))
        scales.append(scale)
    info = {"tokenizer": name, "fingerprint": fingerprint, **describe_sound(cfg, count)}
    if not cfg.segment:
        info["heard"] = meter.find_heard()
    if cfg.normalize:
        info["scales"] = [float(str(np.float32(scale))) for scale in scales]  # the shortest that reads back
    segment = Segment("audio", to_ids(np.concatenate(runs, axis=1), cfg.codebook_size), info)
    note: dict[str, Any] = {"source": source} if source else {}
    return Record((segment,), id).with_step("tokenize", modality="audio", **note)


def check_audio(segment: Segment, cfg: CodecConfig) -> None:
    """Raise RecordError unless an audio segment can come from a codec of `cfg`."""
    check_ids(segment, cfg.codebook_size)
    books, frames = segment.data.shape
    if books > cfg.n_q:
        raise RecordError(f"audio segment: {books} codebooks, the codec has {cfg.n_q}")
    for key, ours in (("sample_rate", cfg.sample_rate), ("frame_rate", cfg.frame_rate)):
        if segment.info.get(key, ours) != ours:
            raise RecordError(f"audio segment: its {key} is {segment.info[key]!r}, the codec's {ours:g}")
    length = segment.info.get("num_samples")
    if length is None and not cfg.segment:
        length = frames * cfg.hop_length
    most = frames * cfg.hop_length
    if type(length) is not int or not 0 <= length <= most or sum(count_frames(cfg, length)) != frames:
        raise RecordError(
            f"audio segment: num_samples {length!r} does not fit {frames} frames of {cfg.hop_length} samples"
        )
    if not cfg.normalize:
        return
    scales = segment.info.get("scales")
    if (
        not isinstance(scales, list)
        or len(scales) != len(count_frames(cfg, length))
        or not all(type(s) in (int, float) and math.isfinite(s) for s in scales)
    ):
        raise RecordError("audio segment: scales must hold one number for each of the codec's segments")


def decode_audio(segment: Segment, codec: Codec) -> Sound:
    """Decode an audio segment to its sound, cut to its exact length; computed while its pieces are taken.

    Raises RecordError for another modality, ids beyond the codebook, or metadata that do not fit the codec.
    """
    if segment.modality != "audio":
        raise RecordError(f"expected an audio segment, found {segment.modality}")
    cfg = codec.cfg
    check_audio(segment, cfg)
    length = segment.info.get("num_samples", segment.data.shape[1] * cfg.hop_length)
    return Sound(cfg.sample_rate, cfg.channels, length, _decode_pieces(segment, codec, length))


def _decode_pieces(segment: Segment, codec: Codec, length: int) -> Iterator[np.ndarray]:
    """Decode to pieces float32 [channels, n], `length` samples in all."""
    if not length:
        return
    device = next(codec.parameters()).device
    codes = torch.from_numpy(segment.data.astype(np.int64))[None].to(device)
    scales = segment.info["scales"] if codec.cfg.normalize else None
    left = length
    for piece in decode_stream(codec, codes, count_frames(codec.cfg, length), scales):
        ready = piece[0, :, :left].float().cpu().numpy()
        left -= ready.shape[1]
        if ready.shape[1]:
            yield ready
