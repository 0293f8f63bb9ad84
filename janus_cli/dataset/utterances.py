"""Spoken captions as audio codes, with their phones: what the decoder learns to hear and to say.

Synthesised and encoded once; kept as codes, which travel in a few megabytes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from janus_cli.dataset.captions import add_background, add_style, describe_layout, write_caption
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.pictures import Track
from janus_cli.dataset.samples import Sample, change_colour
from janus_cli.dataset.speech import PAUSE, Phone, Speaker, Utterance, choose_voice
from janus_cli.media.files import write_with
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


def describe_sample(sample: Sample, concepts: Sequence[Concept]) -> str:
    """Describe a picture, always in the same words: things, number and places, background, style if any."""
    names = [concepts[c].name for c in sample.concepts]
    phrase = describe_layout(sample, names) if sample.layout else names[0]
    phrase = change_colour(phrase, sample.hue) if sample.hue else phrase
    phrase = add_background(phrase, sample.background) if sample.background else phrase
    return add_style(phrase, sample.style, 0) if sample.style else phrase


def word_sample(sample: Sample, concepts: Sequence[Concept], rng: np.random.Generator) -> str:
    """Make up a caption as people say it: English, and a fifth of them the full description."""
    full = rng.random() < 0.2
    return describe_sample(sample, concepts) if full else write_caption(sample, concepts, rng, foreign=0)


@torch.no_grad()
def encode_waveforms(waveforms: Sequence[np.ndarray], codec: Codec) -> list[np.ndarray]:
    """Encode each waveform [T] to uint16 [Q, F], the codes that it gets alone: the codec only looks back."""
    longest = max(map(len, waveforms))
    padded = np.stack([np.pad(w, (0, longest - len(w))) for w in waveforms])
    device = next(codec.parameters()).device
    codes = codec.encode(torch.from_numpy(padded)[:, None].to(device)).cpu().numpy().astype(np.uint16)
    hop = codec.cfg.hop_length
    return [row[:, : -(-len(w) // hop)] for row, w in zip(codes, waveforms, strict=True)]


def label_frames(phones: Sequence[Phone], frames: int, hop: int, alphabet: list[str]) -> np.ndarray:
    """Label each frame, uint8 [frames], with the phone in its middle, a number in the growing `alphabet`."""
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
            codes += encode_waveforms([waveforms[i] for i in part], codec)
            texts += [utterances[start + i].text for i in part]
            kept += [samples[start + i] for i in part]
            phones += [label_frames(spoken[i][1], -(-len(waveforms[i]) // hop), hop, alphabet) for i in part]
    starts = np.cumsum([0, *(row.shape[1] for row in codes)])
    return Utterances(
        np.concatenate(codes, 1), starts, texts, np.array(kept), np.concatenate(phones), alphabet
    )


def say_in_any_voice(
    samples: Sequence[Sample], chosen: Sequence[int], concepts: Sequence[Concept], rng: np.random.Generator
) -> list[Utterance]:
    """Let any voices say captions of the chosen samples."""
    return [choose_voice(word_sample(samples[i], concepts, rng), rng) for i in chosen]


def say_in_own_voice(
    samples: Sequence[Sample], chosen: Sequence[int], concepts: Sequence[Concept], rng: np.random.Generator
) -> list[Utterance]:
    """Let the model's own voice say captions of the chosen samples; half without a style, in few words."""
    return [
        Utterance(describe_sample(replace(samples[i], style=""), concepts))
        if rng.random() < 0.5
        else Utterance(word_sample(samples[i], concepts, rng))
        for i in chosen
    ]


def write_utterances(utterances: Utterances, path: Path, key: str) -> None:
    """Write utterances to `path` (.npz) under `key`, which says what they were made of."""
    words = {"key": key, "texts": utterances.texts, "alphabet": utterances.alphabet}
    note = json.dumps(words, ensure_ascii=False)
    arrays = {
        "codes": utterances.codes,
        "starts": utterances.starts,
        "samples": utterances.samples,
        "phones": utterances.phones,
        "note": np.array(note),
    }
    write_with(path, lambda file: np.savez_compressed(file, **arrays), force=True)  # type: ignore[arg-type]


def read_utterances(path: Path, key: str) -> Utterances | None:
    """Read the utterances in `path`; None if there are none of that key."""
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as data:
        note = json.loads(str(data["note"]))
        if note["key"] != key:
            return None
        return Utterances(
            data["codes"], data["starts"], note["texts"], data["samples"], data["phones"], note["alphabet"]
        )
