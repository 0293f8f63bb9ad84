"""Spoken captions as audio codes, with their phones: what the decoder learns to hear and to say.

Synthesised and encoded once; kept as codes, which travel in a few megabytes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from janus_cli.dataset.captions import caption, on_background, recoloured, scene_phrase, styled
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.pictures import Track
from janus_cli.dataset.samples import Sample
from janus_cli.dataset.speech import PAUSE, Phone, Speaker, Utterance, any_voice
from janus_cli.nets.codec import Codec

LONGEST = 120  # frames; longer ones are left out
POOL, BATCH = 256, 16  # utterances spoken, and of these encoded, together


@dataclass(frozen=True)
class Utterances:
    """Spoken captions: the codes uint16 [Q, F] of number i are `codes[:, starts[i] : starts[i + 1]]`."""

    codes: np.ndarray
    starts: np.ndarray
    texts: list[str]
    samples: np.ndarray  # number of the sample that each one speaks of
    phones: np.ndarray  # uint8 [F], for each frame the number in `alphabet` of the phone that it is of
    alphabet: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def frames(self, number: int) -> np.ndarray:
        """Codes int64 [Q, F] of one utterance."""
        return self.codes[:, self.starts[number] : self.starts[number + 1]].astype(np.int64)

    def pronounced(self, number: int) -> np.ndarray:
        """Phones uint8 [F] of one utterance."""
        return self.phones[self.starts[number] : self.starts[number + 1]]


def description(sample: Sample, concepts: Sequence[Concept]) -> str:
    """What a picture shows, always in the same words: things, number and places, background, style if any."""
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


def framed(phones: Sequence[Phone], frames: int, hop: int, alphabet: list[str]) -> np.ndarray:
    """uint8 [frames]: what is said in the middle of each, as numbers in `alphabet`, which grows with it."""
    for name in dict.fromkeys([PAUSE, *(phone.name for phone in phones)]):
        if name not in alphabet:
            alphabet.append(name)
    middles = hop * np.arange(frames) + hop // 2
    said = np.searchsorted([phone.start for phone in phones], middles, "right")
    numbers = [alphabet.index(name) for name in (PAUSE, *(phone.name for phone in phones))]
    return np.array(numbers, np.uint8)[said]


def synthesise(
    utterances: Sequence[Utterance], samples: Sequence[int], codec: Codec, track: Track, label: str
) -> Utterances:
    """Say and encode all; those over LONGEST frames are left out."""
    speaker, hop = Speaker(), codec.cfg.hop_length
    codes, texts, kept, phones = [], [], [], []
    alphabet: list[str] = []
    for start in track(range(0, len(utterances), POOL), label):
        spoken = [speaker.pronounce(u) for u in utterances[start : start + POOL]]
        waveforms = [waveform for waveform, _ in spoken]
        order = sorted(range(len(waveforms)), key=lambda i: len(waveforms[i]))  # like lengths: little padding
        order = [i for i in order if len(waveforms[i]) <= LONGEST * hop]
        for first in range(0, len(order), BATCH):
            part = order[first : first + BATCH]
            codes += encode([waveforms[i] for i in part], codec)
            texts += [utterances[start + i].text for i in part]
            kept += [samples[start + i] for i in part]
            phones += [framed(spoken[i][1], -(-len(waveforms[i]) // hop), hop, alphabet) for i in part]
    starts = np.cumsum([0, *(row.shape[1] for row in codes)])
    return Utterances(
        np.concatenate(codes, 1), starts, texts, np.array(kept), np.concatenate(phones), alphabet
    )


def heard(
    samples: Sequence[Sample], chosen: Sequence[int], concepts: Sequence[Concept], rng: np.random.Generator
) -> list[Utterance]:
    """Captions of the chosen samples in any voice."""
    return [any_voice(wording(samples[i], concepts, rng), rng) for i in chosen]


def said(
    samples: Sequence[Sample], chosen: Sequence[int], concepts: Sequence[Concept], rng: np.random.Generator
) -> list[Utterance]:
    """Captions of the chosen samples in the model's own voice; half without a style, in the fewest words."""
    return [
        Utterance(description(replace(samples[i], style=""), concepts))
        if rng.random() < 0.5
        else Utterance(wording(samples[i], concepts, rng))
        for i in chosen
    ]


def save(utterances: Utterances, path: Path, key: str) -> None:
    """Write to `path` (.npz) under `key`, which says what they were made of."""
    words = {"key": key, "texts": utterances.texts, "alphabet": utterances.alphabet}
    note = json.dumps(words, ensure_ascii=False)
    np.savez_compressed(
        path,
        codes=utterances.codes,
        starts=utterances.starts,
        samples=utterances.samples,
        phones=utterances.phones,
        note=np.array(note),
    )


def load(path: Path, key: str) -> Utterances | None:
    """The utterances in `path`, or None if there are none of that key."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as data:
        note = json.loads(str(data["note"]))
        if note["key"] != key:
            return None
        return Utterances(
            data["codes"], data["starts"], note["texts"], data["samples"], data["phones"], note["alphabet"]
        )
