"""The audio tokenizer on voices and sentences that it was never trained on.

Intelligibility and quality by measures that nobody here made: STOI (Taal et al. 2011, `pystoi`) and PESQ
wide band (ITU-T P.862.2, `pesq`); the distance of log mel spectra; and how much of the codebooks is used.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from janus_cli.dataset.pack import Concept
from janus_cli.dataset.speech import RATE, Speaker, any_voice
from janus_cli.errors import JanusError
from janus_cli.evaluation.judge import Tell
from janus_cli.nets.codec import Codec
from janus_cli.training.objectives.codec import log_mel, sentence

COUNT = 100  # sentences
MEL_WINDOW, MEL_BANDS = 1024, 80


def sentences(concepts: Sequence[Concept], seed: int, count: int = COUNT) -> list[np.ndarray]:
    """Waveforms float32 [T] of random sentences in the exam's voices, half of them English."""
    rng, speaker = np.random.default_rng([seed, COUNT]), Speaker()
    waveforms = []
    for _ in range(count):
        text, language = sentence(concepts, rng)
        waveform = speaker.say(any_voice(text, rng, language, held=True))
        waveforms.append(waveform * (0.5 / np.abs(waveform).max()))
    return waveforms


@torch.inference_mode()
def through(waveform: np.ndarray, codec: Codec, n_q: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes [Q, F] of a waveform [T], and what `n_q` codebooks make of it, [T]."""
    device = next(codec.parameters()).device
    codes = codec.encode(torch.from_numpy(waveform)[None, None].to(device))
    back = codec.decode(codes[:, :n_q])[0, 0, : len(waveform)].cpu().numpy()
    return codes[0].cpu().numpy(), back


def mel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of log mel spectra of waveforms [T], in dB of amplitude."""
    spectra = [log_mel(torch.from_numpy(w)[None], MEL_WINDOW, RATE, MEL_BANDS) for w in (first, second)]
    return float((spectra[0] - spectra[1]).abs().mean()) * 20 / np.log(10)


def quality(true: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Mel distance, STOI and PESQ-WB of a waveform [T] against the true one.

    Raises JanusError where the packages that measure are not installed.
    """
    try:
        from pesq import pesq
        from pystoi import stoi
    except ImportError as error:
        raise JanusError(f'sounds are measured with {error.name}: pip install "janus-cli[eval]"') from None
    return {
        "mel": mel_distance(true, made),
        "stoi": float(stoi(true, made, RATE)),
        "pesq": float(pesq(RATE, true, made, "wb", on_error=1)),
    }


def usage(codes: np.ndarray, size: int) -> dict[str, float]:
    """Share of a codebook's `size` entries that occur in codes [N], and the perplexity of their use."""
    counts = np.bincount(codes, minlength=size)
    chances = counts[counts > 0] / counts.sum()
    entropy = -(chances * np.log(chances)).sum()
    return {"used": float((counts > 0).mean()), "perplexity": float(np.exp(entropy))}


def codec_report(
    codec: Codec, concepts: Sequence[Concept], seed: int, limit: int | None, tell: Tell
) -> dict[str, Any]:
    """The report: quality with one, two, ... all codebooks, and each codebook's use."""
    waveforms = sentences(concepts, seed, min(COUNT, limit or COUNT))
    levels = range(1, codec.cfg.n_q + 1)
    measured: dict[int, list[dict[str, float]]] = {n: [] for n in levels}
    codes = []
    for done, waveform in enumerate(waveforms, 1):
        for n_q in levels:
            made, back = through(waveform, codec, n_q)
            measured[n_q].append(quality(waveform, back))
        codes.append(made)
        tell(done, len(waveforms))
    every = np.concatenate(codes, 1)
    bits = np.log2(codec.cfg.codebook_size) * codec.cfg.frame_rate
    return {
        "n": len(waveforms),
        "seconds": sum(map(len, waveforms)) / RATE,
        "levels": [
            {
                "n_q": n,
                "bits": n * bits,
                **{k: float(np.mean([m[k] for m in rows])) for k in rows[0]},
                **usage(every[n - 1], codec.cfg.codebook_size),
            }
            for n, rows in measured.items()
        ],
    }
