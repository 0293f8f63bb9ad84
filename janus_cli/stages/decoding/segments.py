"""New ids as segments of a record, marked as the model's own tokens."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from janus_cli.config import CodecConfig
from janus_cli.records import Segment, to_ids
from janus_cli.stages.audio import describe_sound
from janus_cli.stages.decoding.beams import END
from janus_cli.stages.decoding.features import Net
from janus_cli.stages.decoding.options import GenerateOptions


@dataclass(frozen=True)
class Identity:
    """Whose tokens the decoder speaks: the model's name and its tokenizers' sha256 fingerprints."""

    name: str
    text_fingerprint: str
    codebook_fingerprint: str | None  # None where it has no image tokenizer
    codec_fingerprint: str | None = None
    codec: CodecConfig | None = None  # whose frames the audio tokens are

    def find_fingerprint(self, modality: str) -> str | None:
        """Find the fingerprint that segments of `modality` must carry, None where the model has none."""
        return {
            "text": self.text_fingerprint,
            "image": self.codebook_fingerprint,
            "audio": self.codec_fingerprint,
        }.get(modality)


def cut_at_end(ids: np.ndarray) -> np.ndarray:
    """Cut text ids [T] off before their END."""
    return ids[: int((ids == END).argmax())] if (ids == END).any() else ids


def make_segment(codes: np.ndarray, options: GenerateOptions, vocab_size: int, identity: Identity) -> Segment:
    """Make a segment of the generated codes [Q, T]; a text or a sound ends before its END."""
    ours = identity.find_fingerprint(options.to)
    info: dict[str, Any] = {"tokenizer": identity.name} | ({"fingerprint": ours} if ours else {})
    if options.to == "image":
        return Segment("image", to_ids(codes.reshape(-1, options.grid[1]), vocab_size), info)
    if options.to == "text":
        return Segment("text", to_ids(cut_at_end(codes[0]), vocab_size), info)
    ended = codes[0] == vocab_size
    codes = codes[:, : int(ended.argmax())] if ended.any() else codes
    if (codec := identity.codec) is not None:
        info |= describe_sound(codec, codes.shape[1] * codec.hop_length)
    return Segment("audio", to_ids(codes, vocab_size), info)


def make_text_segment(ids: np.ndarray, decoder: Net, identity: Identity) -> Segment:
    """Make a segment of text ids [T]."""
    info = {"tokenizer": identity.name, "fingerprint": identity.text_fingerprint}
    return Segment("text", to_ids(ids, decoder.cfg.modalities["text"].vocab_size), info)
