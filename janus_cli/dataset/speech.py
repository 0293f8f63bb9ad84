"""Speech for training: espeak-ng (through the `espeakng-loader` package) in many voices.

Knows one library in this process; texts and what they mean are others' business.
"""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from janus_cli.errors import JanusError
from janus_cli.stages.audio import find_sound

RATE = 16000  # samples per second of everything here
LANGUAGES = {"en": "en-us", "de": "de", "es": "es", "fr": "fr", "ja": "ja", "ko": "ko"}
ACCENTS = ("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbcwmd")
_TRAINED = (
    "m1 m2 m3 m4 m6 m7 m8 f1 f2 f4 f5 adam Alex Alicia Andrea anika announcer antonio aunty belinda "
    "benjamin boris caleb david Denis ed edward Gene grandma grandpa gustave Henrique Hugo ian iven Jacky "
    "john Lee marcelo Marco Mario max Michael michel miguel Mike norbert pablo pedro quincy Reed robert "
    "sandro shelby steph travis victor zac"
)
VARIANTS = tuple(_TRAINED.split())  # voices of training
HELD_VARIANTS = ("m5", "f3", "Andy", "Annie", "Diogo", "linda", "paul", "rob")  # voices of the exam alone
OWN_VOICE = ("en-us", "m3", 165, 50)  # the voice that the model learns to speak with
_SYNCHRONOUS, _UTF8, _RATE, _PITCH = 2, 1, 1, 3  # espeak-ng's speak_lib.h
_TELL_PHONES, _LAST, _PHONE = 1, 0, 7  # and its events
PAUSE = "_"
_MARGIN = RATE // 50  # samples of silence that stay


@dataclass(frozen=True)
class Utterance:
    """Words and who says them."""

    text: str
    language: str = OWN_VOICE[0]  # espeak-ng's voice, an accent
    variant: str = OWN_VOICE[1]
    speed: int = OWN_VOICE[2]  # words per minute
    pitch: int = OWN_VOICE[3]  # 0 to 99


@dataclass(frozen=True)
class Phone:
    """A sound of speech: espeak-ng's mnemonic without stress, PAUSE for none, and the sample it begins at."""

    name: str
    start: int


class _Name(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    """espeak-ng's espeak_EVENT."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Name),
    ]


class Speaker:
    """espeak-ng. Raises JanusError where the package is not there."""

    @cached_property
    def _library(self) -> ctypes.CDLL:
        try:
            import espeakng_loader
        except ImportError:
            raise JanusError('speech for training needs espeak-ng: pip install "janus-cli[train]"') from None
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._data = Path(espeakng_loader.get_data_path())
        self._rate = library.espeak_Initialize(_SYNCHRONOUS, 0, str(self._data).encode(), _TELL_PHONES)
        if self._rate <= 0:
            raise JanusError("espeak-ng does not start: install espeakng-loader again")
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
        )
        self._callback: Callable[..., int] = kind(self._take)
        return library

    def _take(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]"
    ) -> int:
        """Keep a stretch of samples and the phones that it tells of; 0 tells espeak-ng to go on."""
        if count:
            self._stretches.append(np.ctypeslib.as_array(samples, (count,)).copy())
        i = 0
        while events and events[i].type != _LAST:
            if events[i].type == _PHONE:
                self._phones.append((events[i].id.string.decode("ascii", "replace"), events[i].sample))
            i += 1
        return 0

    def say(self, utterance: Utterance) -> np.ndarray:
        """Say an utterance: the waveform, float32 [T] in [-1, 1] at RATE, silence at the ends cut off."""
        return self.pronounce(utterance)[0]

    def pronounce(self, utterance: Utterance) -> tuple[np.ndarray, list[Phone]]:
        """Say an utterance: the waveform as `say` gives it, and the phones in it.

        espeak-ng goes on from where it was: the same words twice are not the same samples.
        Raises JanusError for a voice that espeak-ng lacks, or words that it cannot say.
        """
        import soxr

        library = self._library
        self._stretches: list[np.ndarray] = []
        self._phones: list[tuple[str, int]] = []
        library.espeak_SetSynthCallback(self._callback)  # the process has one, maybe another speaker's
        voice = f"{utterance.language}+{utterance.variant}"
        known = (self._data / "voices" / "!v" / utterance.variant).is_file()  # others it passes over
        if not known or library.espeak_SetVoiceByName(voice.encode()):
            raise JanusError(f"espeak-ng has no voice {voice}")
        library.espeak_SetParameter(_RATE, utterance.speed, 0)
        library.espeak_SetParameter(_PITCH, utterance.pitch, 0)
        text = utterance.text.encode()
        library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        if not any(stretch.any() for stretch in self._stretches):
            raise JanusError(f"espeak-ng says nothing for {utterance.text!r}")
        waveform = np.concatenate(self._stretches).astype(np.float32) / 32768
        waveform = soxr.resample(waveform, self._rate, RATE, "MQ")
        start, stop = find_sound(np.abs(waveform), _MARGIN)
        phones = [
            Phone(_strip_stress(name), sample * RATE // self._rate - start) for name, sample in self._phones
        ]
        return waveform[start:stop], phones


def _strip_stress(mnemonic: str) -> str:
    """Strip the stress from a phone's mnemonic."""
    return PAUSE if mnemonic.startswith(PAUSE) else mnemonic.lstrip("',%=") or PAUSE


def choose_voice(text: str, rng: np.random.Generator, language: str = "en", held: bool = False) -> Utterance:
    """Choose a random voice for `text`: one that is trained on, or one of the exam's if `held`."""
    accent = str(rng.choice(ACCENTS)) if language == "en" else LANGUAGES[language]
    variant = str(rng.choice(HELD_VARIANTS if held else VARIANTS))
    return Utterance(text, accent, variant, int(rng.integers(150, 215)), int(rng.integers(30, 70)))
