"""Spoken captions as audio codes: what the decoder learns to hear and to say.

Synthesised and encoded once; kept as codes, which travel in a few megabytes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from janus_cli.nets.codec import Codec
from janus_cli.training.captions import caption, on_background, recoloured, scene_phrase, styled
from janus_cli.training.pack import Concept
from janus_cli.training.pictures import Track
from janus_cli.training.samples import Sample
from janus_cli.training.speech import Speaker, Utterance, any_voice

LONGEST = 120  # frames; longer ones are left out
POOL, BATCH = 256, 16  # utterances spoken, and of these encoded, together


@dataclass(frozen=True)
class Utterances:
    """Spoken captions: the codes uint16 [Q, F] of number i are `codes[:, starts[i] : starts[i + 1]]`."""

    codes: np.ndarray
    starts: np.ndarray
    texts: list[str]
    samples: np.ndarray  # number of the sample that each one speaks of

    def __len__(self) -> int:
        return len(self.texts)

    def frames(self, number: int) -> np.ndarray:
        """Codes int64 [Q, F] of one utterance."""
        return self.codes[:, self.starts[number] : self.starts[number + 1]].astype(np.int64)


def description(sample: Sample, concepts: Sequence[Concept]) -> str:
    """What a picture shows, always in the same words: things, number and places, background, style."""
    names = [concepts[c].name for c in sample.concepts]
    phrase = scene_phrase(sample, names) if sample.layout else names[0]
    phrase = recoloured(phrase, sample.hue) if sample.hue else phrase
    phrase = on_background(phrase, sample.background) if sample.background else phrase
    return styled(phrase, sample.style, 0) if sample.style else phrase


def wording(sample: Sample, concepts: Sequence[Concept], rng: np.random.Generator) -> str:
    """A caption as people say it: English, and a fifth of them the full description."""
    return description(sample, concepts) if rng.random() < 0.2 else caption(sample, concepts, rng, foreign=0)


@torch.no_grad()
def encode(waveforms: Sequence[np.ndarray], codec: Codec) -> list[np.ndarray]:
    """Codes uint16 [Q, F] of each waveform [T]: those that it gets alone, as the codec looks back only."""
    longest = max(map(len, waveforms))
    padded = np.stack([np.pad(w, (0, longest - len(w))) for w in waveforms])
    device = next(codec.parameters()).device
    codes = codec.encode(torch.from_numpy(padded)[:, None].to(device)).cpu().numpy().astype(np.uint16)
    hop = codec.cfg.hop_length
    return [row[:, : -(-len(w) // hop)] for row, w in zip(codes, waveforms, strict=True)]


def synthesise(
    utterances: Sequence[Utterance], samples: Sequence[int], codec: Codec, track: Track, label: str
) -> Utterances:
    """Say and encode all; those over LONGEST frames are left out."""
    speaker = Speaker()
    codes, texts, kept = [], [], []
    for start in track(range(0, len(utterances), POOL), label):
        waveforms = [speaker.say(u) for u in utterances[start : start + POOL]]
        order = sorted(range(len(waveforms)), key=lambda i: len(waveforms[i]))  # like lengths: little padding
        order = [i for i in order if len(waveforms[i]) <= LONGEST * codec.cfg.hop_length]
        for first in range(0, len(order), BATCH):
            part = order[first : first + BATCH]
            codes += encode([waveforms[i] for i in part], codec)
            texts += [utterances[start + i].text for i in part]
            kept += [samples[start + i] for i in part]
    starts = np.cumsum([0, *(row.shape[1] for row in codes)])
    return Utterances(np.concatenate(codes, 1), starts, texts, np.array(kept))


def heard(samples: Sequence[Sample], chosen: Sequence[int], concepts: Sequence[Concept],
          rng: np.random.Generator) -> list[Utterance]:
    """Captions of the chosen samples in any voice."""
    return [any_voice(wording(samples[i], concepts, rng), rng) for i in chosen]


def said(samples: Sequence[Sample], chosen: Sequence[int], concepts: Sequence[Concept],
         rng: np.random.Generator) -> list[Utterance]:
    """Captions of the chosen samples in the model's own voice."""
    return [Utterance(wording(samples[i], concepts, rng)) for i in chosen]


def save(utterances: Utterances, path: Path, key: str) -> None:
    """Write to `path` (.npz) under `key`, which says what they were made of."""
    note = json.dumps({"key": key, "texts": utterances.texts}, ensure_ascii=False)
    np.savez_compressed(path, codes=utterances.codes, starts=utterances.starts, samples=utterances.samples,
                        note=np.array(note))


def load(path: Path, key: str) -> Utterances | None:
    """The utterances in `path`, or None if there are none of that key."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as data:
        note = json.loads(str(data["note"]))
        if note["key"] != key:
            return None
        return Utterances(data["codes"], data["starts"], note["texts"], data["samples"])
