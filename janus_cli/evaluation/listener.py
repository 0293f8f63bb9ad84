"""A recogniser that nobody here trained: pocketsphinx with its own English model, choosing among phrases."""

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from janus_cli.dataset.speech import RATE
from janus_cli.errors import JanusError

LOUD = 12000  # peak of what it is given, of 32767
SILENCE = RATE // 5  # samples before and after


def _import_pocketsphinx() -> Any:
    """Import pocketsphinx. Raises JanusError where it is not installed."""
    try:
        import pocketsphinx
    except ImportError:
        raise JanusError('an independent ear needs pocketsphinx: pip install "janus-cli[eval]"') from None
    return pocketsphinx


@cache
def _read_dictionary() -> frozenset[str]:
    """Read the words of its pronunciation dictionary."""
    path = Path(_import_pocketsphinx().get_model_path()) / "en-us" / "cmudict-en-us.dict"
    return frozenset(line.split(maxsplit=1)[0] for line in path.read_text("utf-8").splitlines() if line)


def spell(phrase: str) -> str:
    """Spell a phrase as the recogniser does."""
    return phrase.lower().replace("-", " ")


def keep_sayable(phrases: Sequence[str]) -> list[str]:
    """Keep the phrases whose words the recogniser knows."""
    return [p for p in phrases if all(word in _read_dictionary() for word in spell(p).split())]


class Listener:
    """Hears which of some phrases was said."""

    def __init__(self, phrases: Sequence[str]) -> None:
        """Take phrases whose words the recogniser knows."""
        choices = " | ".join(map(spell, phrases))
        with tempfile.NamedTemporaryFile("w", suffix=".jsgf", encoding="utf-8") as file:
            file.write(f"#JSGF V1.0;\ngrammar names;\npublic <name> = {choices};\n")
            file.flush()
            # wide beams: with the usual ones a third of true speech ends half-way through a phrase
            self._decoder = _import_pocketsphinx().Decoder(
                samprate=RATE,
                jsgf=file.name,
                loglevel="FATAL",
                beam=1e-100,
                wbeam=1e-80,
                pbeam=1e-100,
                lw=1.0,
                wip=1.0,
                pip=1.0,
                bestpath=False,
                fwdflat=False,
            )

    def hear(self, waveform: np.ndarray) -> str:
        """Hear a phrase in float32 [T] at 16 kHz, spelled as `spell` does; "" where there is none."""
        quiet = np.pad(waveform, SILENCE)
        samples = (quiet * (LOUD / max(1e-6, float(np.abs(quiet).max())))).astype(np.int16)
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found else ""

    def accuracy(self, phrases: Sequence[str], waveforms: Sequence[np.ndarray]) -> float:
        """Share of the waveforms in which it hears the phrase that was meant."""
        right = [self.hear(w) == spell(p) for p, w in zip(phrases, waveforms, strict=True)]
        return sum(right) / max(1, len(right))
