"""Prompts of every kind, and a tiny any-to-any decoder that answers them."""

import dataclasses

import numpy as np
import torch
from helpers.decoders import ANY, generate, random_decoder

from janus_cli.config import CodecConfig
from janus_cli.nets.decoder import Decoder
from janus_cli.records import Record, Segment
from janus_cli.stages.decoding.beams import END
from janus_cli.stages.decoding.layout import SIGHT, Eyes
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.segments import Identity

CODEC = CodecConfig(codebook_size=30, n_q=4)
IDENTITY = Identity("tiny", "ab" * 32, "cd" * 32, "ef" * 32, CODEC)
OPTIONS = GenerateOptions(grid=(2, 3), temperature=0.0, cfg_scale=1.0, max_tokens=9, max_words=7)


def features_of(segment: Segment) -> torch.Tensor:
    """What the eyes of these tests make of a picture: random numbers of its own."""
    seed = int(segment.data.astype(np.int64).sum())
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(seed))


def trace(patches: int, seed: int = 0, width: int = 4) -> Segment:
    """A series of random numbers."""
    values = np.random.default_rng(seed).normal(size=(patches, width)).astype(np.float32)
    return Segment("series", values, {"stride": width, "channels": 1, "num_samples": patches * width})


EYES = Eyes(4, features_of)
WORDS = Segment("text", np.array([4, 5, 6], np.uint16))
SOUND = Segment("audio", np.array([[1, 2], [3, 4], [5, 6], [7, 8]], np.uint16))
LONGER = Segment("audio", (np.arange(20).reshape(4, 5) % 30).astype(np.uint16))
PICTURE = Segment("image", np.array([[1, 2], [3, 4]], np.uint16))
PIXELS = Segment("pixels", np.full((1, 2, 8, 8, 3), 9, np.uint8))
PROMPTS = {
    "text": [WORDS],
    "sound": [SOUND],
    "longer": [LONGER],
    "picture": [PICTURE],
    "nothing": [],
    "sound and text": [SOUND, WORDS],
    "picture and sound": [PICTURE, SOUND],
    "pixels": [PIXELS],
}


def lively(seed: int = 0) -> Decoder:
    """A decoder whose texts and sounds end after a few tokens, each of another length."""
    decoder = random_decoder(ANY, seed)
    decoder.get_adapter("text").head_bias[END] += 1.5
    decoder.get_adapter("audio").head_bias[30] += 1.5
    return decoder


def made(decoder: Decoder, segments: list[Segment], **options: object) -> Record:
    """The one record that a prompt gives."""
    chosen = dataclasses.replace(OPTIONS, **options)
    (record,) = generate([Record(tuple(segments))], decoder, chosen, IDENTITY, eyes=EYES)
    return record


def logits_after(
    decoder: Decoder, prompt: np.ndarray, segments: list[Segment], modality: str, before: list[int]
) -> torch.Tensor:
    """Scores after the whole sequence `prompt`, computed at once."""
    pictures = [s for s in segments if s.modality in ("image", "pixels")]
    features = {SIGHT: torch.cat([features_of(s) for s in pictures])} if pictures else None
    hidden = decoder(*torch.from_numpy(prompt)[:, None], features=features)[0, -1]
    return decoder.compute_logits(hidden, modality, [torch.tensor(code) for code in before])
