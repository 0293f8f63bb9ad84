"""Measures of pictures, codebooks and words: arrays and texts in, numbers out."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch.nn.functional as F

from janus_cli.dataset.pictures import shrink
from janus_cli.errors import JanusError
from janus_cli.nets.pixels import to_float, to_uint8


def compute_share(right: np.ndarray | Sequence[bool]) -> float:
    """Mean of booleans, to four digits."""
    return round(float(np.mean(right)), 4)


def resize(pictures: np.ndarray, side: int) -> np.ndarray:
    """Bring square pictures uint8 [N, S, S, 3] to `side` pixels: averaged down, or enlarged without steps."""
    size = pictures.shape[1]
    if size == side:
        return pictures
    if size % side == 0:
        return shrink(pictures, side)
    return to_uint8(F.interpolate(to_float(pictures), (side, side), mode="bilinear", antialias=True))


def measure_psnr(output: np.ndarray, target: np.ndarray) -> float:
    """Mean over pictures uint8 [N, H, W, 3] of the PSNR in dB."""
    error = np.square(output.astype(np.float32) - target).mean((1, 2, 3))
    return round(float(np.mean(10 * np.log10(255**2 / np.maximum(error, 1e-2)))), 3)


def measure_ssim(output: np.ndarray, target: np.ndarray) -> float:
    """Mean over pictures uint8 [N, H, W, 3] of the structural similarity (Wang et al., 2004)."""
    try:
        from skimage.metrics import structural_similarity
    except ImportError:
        raise JanusError("SSIM needs scikit-image: pip install 'janus-cli[train]'") from None
    pairs = zip(output, target, strict=True)
    values = [structural_similarity(a, b, channel_axis=-1, data_range=255) for a, b in pairs]
    return round(float(np.mean(values)), 4)


def measure_usage(counts: np.ndarray) -> tuple[int, float]:
    """How many codes of a codebook occur, by their counts [K], and the perplexity of their use."""
    chances = counts[counts > 0] / counts.sum()
    entropy = -(chances * np.log(chances)).sum()
    return len(chances), float(np.exp(entropy))


def split_words(text: str) -> list[str]:
    """The words of `text`, without case and punctuation."""
    return re.findall(r"[^\W_]+", text.lower())


def count_word_errors(true: Sequence[str], said: Sequence[str]) -> int:
    """Words to insert, delete or change to get from one to the other (Levenshtein)."""
    before = list(range(len(said) + 1))
    for i, word in enumerate(true, 1):
        row = [i]
        for j, other in enumerate(said, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
        before = row
    return before[-1]


def measure_word_accuracy(true: Iterable[str], said: Iterable[str]) -> float:
    """1 - word error rate over all texts together, at least 0."""
    pairs = [(split_words(a), split_words(b)) for a, b in zip(true, said, strict=True)]
    errors = sum(count_word_errors(a, b) for a, b in pairs)
    return max(0.0, 1 - errors / max(1, sum(len(a) for a, _ in pairs)))
