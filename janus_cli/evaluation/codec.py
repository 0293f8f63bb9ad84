"""The audio tokenizer on voices and sentences that it was never trained on.

Intelligibility and quality by measures that nobody here made: STOI (Taal et al. 2011, `pystoi`) and PESQ
wide band (ITU-T P.862.2, `pesq`); the distance of log mel spectra; and how much of the codebooks is used.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from janus_cli.dataset.captions import draw_sentence
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.speech import RATE, Speaker, choose_voice
from janus_cli.errors import JanusError
from janus_cli.evaluation.candidate import Tell
from janus_cli.evaluation.measures import measure_usage
from janus_cli.nets.codec import Codec
from janus_cli.training.losses import log_mel

COUNT = 100  # sentences
MEL_WINDOW, MEL_BANDS = 1024, 80


def say_sentences(concepts: Sequence[Concept], seed: int, count: int = COUNT) -> list[np.ndarray]:
    """Say random sentences as waveforms float32 [T] in the exam's voices, half of them English."""
    rng, speaker = np.random.default_rng([seed, COUNT]), Speaker()
    waveforms = []
    for _ in range(count):
        text, language = draw_sentence(concepts, rng)
        waveform = speaker.say(choose_voice(text, rng, language, held=True))
        waveforms.append(waveform * (0.5 / np.abs(waveform).max()))
    return waveforms


@torch.inference_mode()
def pass_through(waveform: np.ndarray, codec: Codec, n_q: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes [Q, F] of a waveform [T], and what `n_q` codebooks make of it, [T]."""
    device = next(codec.parameters()).device
    codes = codec.encode(torch.from_numpy(waveform)[None, None].to(device))
    back = codec.decode(codes[:, :n_q])[0, 0, : len(waveform)].cpu().numpy()
    return codes[0].cpu().numpy(), back


def measure_mel_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Mean absolute difference of log mel spectra of waveforms [T], in dB of amplitude."""
    spectra = [log_mel(torch.from_numpy(w)[None], MEL_WINDOW, RATE, MEL_BANDS) for w in (first, second)]
    return float((spectra[0] - spectra[1]).abs().mean()) * 20 / np.log(10)


def measure_quality(true: np.ndarray, made: np.ndarray) -> dict[str, float]:
    """Mel distance, STOI and PESQ-WB of a waveform [T] against the true one.

    Raises JanusError where the packages that measure are not installed.
    """
    try:
        from pesq import pesq
        from pystoi import stoi
    except ImportError as error:
        raise JanusError(f'sounds are measured with {error.name}: pip install "janus-cli[eval]"') from None
    return {
        "mel": measure_mel_distance(true, made),
        "stoi": float(stoi(true, made, RATE)),
        "pesq": float(pesq(RATE, true, made, "wb", on_error=1)),
    }


def report_codec(
    codec: Codec, concepts: Sequence[Concept], seed: int, limit: int | None, tell: Tell
) -> dict[str, Any]:
    """Report quality with one, two, ... all codebooks, and each codebook's use."""
    waveforms = say_sentences(concepts, seed, min(COUNT, limit or COUNT))
    size, levels = codec.cfg.codebook_size, range(1, codec.cfg.n_q + 1)
    measured: dict[int, list[dict[str, float]]] = {n: [] for n in levels}
    counts = np.zeros((len(levels), size), np.int64)
    for done, waveform in enumerate(waveforms, 1):
        for n_q in levels:
            codes, back = pass_through(waveform, codec, n_q)
            measured[n_q].append(measure_quality(waveform, back))
            counts[n_q - 1] += np.bincount(codes[n_q - 1], minlength=size)
        tell(done, len(waveforms))
    bits = np.log2(size) * codec.cfg.frame_rate
    rows = []
    for n, qualities in measured.items():
        used, perplexity = measure_usage(counts[n - 1])
        means = {k: float(np.mean([q[k] for q in qualities])) for k in qualities[0]}
        rows.append({"n_q": n, "bits": n * bits, **means, "used": used / size, "perplexity": perplexity})
    return {"n": len(waveforms), "seconds": sum(map(len, waveforms)) / RATE, "levels": rows}
