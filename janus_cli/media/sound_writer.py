"""Sounds out, a piece at a time: WAV, FLAC and OGG with the parameters that made them.

Knows formats; where the bytes go is the caller's business.
"""

import contextlib
import json
import struct
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np

from janus_cli.errors import MediaError
from janus_cli.media.files import KeptErrors
from janus_cli.media.sounds import plain

_KINDS = {"flac": ("FLAC", "PCM_16"), "ogg": ("OGG", "VORBIS")}
UNKNOWN = 0xFFFFFFFF  # a length in a WAV header that is written before the length is known


class Writer:
    """Writes pieces into an open file as wav (16 bit), flac or ogg; louder than ±1 is cut.

    A wav needs no seeking: into a pipe it can go while it is made. ogg gets a random serial number, so its
    bytes differ from run to run; those of wav and flac do not. Raises MediaError for what a format cannot
    hold; OSError passes.
    """

    def __init__(
        self,
        file: BinaryIO,
        format: str,
        sample_rate: int,
        channels: int,
        num_samples: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        """num_samples: per channel, None where that is not known yet (wav alone).

        metadata goes as JSON into the comment (of a wav, LIST INFO ICMT).
        """
        self.format, self.sample_rate, self.channels = format, sample_rate, channels
        self._file, self._kept = file, KeptErrors(file)
        self._sound: Any = None
        comment = json.dumps(dict(metadata)) if metadata else ""
        if format == "wav":
            file.write(wav_header(sample_rate, channels, num_samples, comment.encode("ascii")))
            return
        if format not in _KINDS:
            raise MediaError(f"unknown sound format {format!r} (known: wav, {', '.join(_KINDS)})")
        import soundfile

        kind, subtype = _KINDS[format]
        with self._errors():
            self._sound = soundfile.SoundFile(self._kept, "w", sample_rate, channels, subtype, format=kind)
            if comment:
                self._sound.comment = comment

    def write(self, piece: np.ndarray) -> None:
        """Append float32 [channels, any number]."""
        samples = np.clip(piece, -1, 1).T
        if self._sound is None:
            self._file.write(np.ascontiguousarray(np.round(samples * 32767).astype("<i2")).tobytes())
            return
        with self._errors():
            self._sound.write(np.ascontiguousarray(samples))

    def close(self) -> None:
        """Complete the file; it stays open itself."""
        if self._sound is not None:
            with self._errors():
                self._sound.close()
            self._sound = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Tell why libsndfile failed: what the file raised, or what it says itself."""
        try:
            with self._kept.calls():
                yield
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            what = f"{self.channels} channels at {self.sample_rate} Hz"
            raise MediaError(f"{what} cannot be written as {self.format} ({plain(str(error))})") from None


def wav_header(sample_rate: int, channels: int, num_samples: int | None, comment: bytes = b"") -> bytes:
    """Write what stands before the samples in a 16-bit RIFF WAVE file; UNKNOWN lengths for None.

    Raises MediaError for a sound that is too long for the format's 32 bits.
    """
    form = struct.pack("<HHIIHH", 1, channels, sample_rate, sample_rate * channels * 2, channels * 2, 16)
    head = b"WAVE" + _pack_chunk(b"fmt ", form)
    if comment:
        head += _pack_chunk(b"LIST", b"INFO" + _pack_chunk(b"ICMT", comment + b"\0"))
    size = UNKNOWN if num_samples is None else num_samples * channels * 2
    whole = UNKNOWN if num_samples is None else len(head) + 8 + size
    if whole > UNKNOWN:
        raise MediaError("more than 4 GB do not fit into a WAV file; use flac")
    return b"RIFF" + struct.pack("<I", whole) + head + b"data" + struct.pack("<I", size)


def _pack_chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
