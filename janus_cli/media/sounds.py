"""Sounds in, a piece at a time: files and pipes on one side, numpy arrays on the other.

Knows sound formats (libsndfile's, by soundfile), sample rates and channels; no tokens and no nets. Pieces are
float32 [channels, samples] at full scale ±1, so that hours of sound need no more memory than a second.
"""

import contextlib
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from janus_cli.errors import MediaError
from janus_cli.media.sniff import HEAD, is_safetensors, sniff

PIECE = 1 << 16  # samples read at a time
MAX_CHANNELS = 64  # of samples in memory; more, and longer than wide, are taken for [samples, channels]
_UNKNOWN = 1 << 62  # libsndfile says at least so many frames where a file does not say how many
_STREAMED = 0x7FFF0000  # a WAV header that was written before the length was known says at least this
_FIVE_ONE = np.array(
    [[1, 0], [0, 1], [0.7071, 0.7071], [0, 0], [0.7071, 0], [0, 0.7071]], np.float32
) / np.float32(2.4142)  # left, right, centre, low, two behind -> left, right


@dataclass(frozen=True)
class Sound:
    """A sound that is made, or read, while its pieces are taken, which can be done once."""

    sample_rate: int  # Hz
    channels: int
    num_samples: int  # per channel
    pieces: Iterable[np.ndarray] = field(repr=False)  # float32 [channels, any number]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.num_samples / self.sample_rate

    def whole(self) -> np.ndarray:
        """Take all pieces: float32 [channels, num_samples]."""
        return np.concatenate([np.zeros((self.channels, 0), np.float32), *self.pieces], axis=1)


def make_sound(waveform: np.ndarray, sample_rate: int) -> Sound:
    """Make a sound of samples [channels, samples] or [samples], floats at full scale ±1.

    Its pieces may be taken again and again. Raises MediaError for other numbers, which would be far too loud
    or no sound at all, and for a rate that is none.
    """
    samples = waveform[None] if waveform.ndim == 1 else waveform
    if samples.ndim != 2 or not len(samples) or samples.dtype.kind != "f":
        what = f"{waveform.dtype} {list(waveform.shape)}"
        raise MediaError(f"sound: expected floats at full scale 1, [channels, samples], found {what}")
    if len(samples) > max(samples.shape[1], MAX_CHANNELS):
        raise MediaError(f"sound: {len(samples)} channels: turn it round, to [channels, samples]")
    if not np.isfinite(samples).all():
        raise MediaError("sound: holds samples that are no finite numbers")
    if not 0 < sample_rate < 1 << 24:
        raise MediaError(f"sound: a sample rate of {sample_rate} Hz")
    channels, length = samples.shape
    return Sound(int(sample_rate), channels, length, [np.ascontiguousarray(samples, np.float32)])


@contextlib.contextmanager
def open_sound(source: Path | BinaryIO, name: str) -> Iterator[Sound]:
    """Open the sound in a file, or in an open one; a pipe is copied to a temporary file first.

    Its length is what the file says, else what there is: one that says nothing, as a streamed FLAC, is read
    twice. Raises MediaError, on opening or while pieces are taken: missing, empty, no sound, truncated,
    damaged, samples that are no numbers.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_seekable(source, name))
        _refuse_cut_ogg(file, name)
        opened = stack.enter_context(_open(file, name))
        _refuse_cut(opened.extra_info, name)
        length = opened.frames
        if not 0 < length < _UNKNOWN:
            length = sum(piece.shape[1] for piece in _read(opened, name))
            file.seek(0)
            opened = stack.enter_context(_open(file, name))
        yield Sound(opened.samplerate, opened.channels, length, _read(opened, name))


def _open(file: BinaryIO, name: str) -> Any:
    """Open `file` as a soundfile.SoundFile. Raises MediaError."""
    import soundfile

    try:
        opened = soundfile.SoundFile(file)
    except (RuntimeError, TypeError, ValueError) as error:
        raise _explain_fault(file, name, str(error)) from None
    if opened.frames >= _UNKNOWN:
        opened.seekable = lambda: False  # after each read soundfile would seek, which fails in such a file
    return opened


@contextlib.contextmanager
def _seekable(source: Path | BinaryIO, name: str) -> Iterator[BinaryIO]:
    """Open `source` as a file that libsndfile can move about in. Raises MediaError."""
    import shutil
    import tempfile

    try:
        with contextlib.ExitStack() as stack:
            file: Any = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
            if not file.seekable():
                copy = stack.enter_context(tempfile.TemporaryFile())
                shutil.copyfileobj(file, copy, 1 << 20)
                copy.seek(0)
                file = copy
            if not file.read(1):
                raise MediaError(f"{name}: empty")
            file.seek(0)
            yield file
    except OSError as error:
        raise MediaError(f"{name}: {error.strerror}") from None


def _explain_fault(file: BinaryIO, name: str, reason: str) -> MediaError:
    """Say what a file is that libsndfile does not open."""
    file.seek(0)
    start = file.read(HEAD)
    kind = sniff(start)
    if is_safetensors(start):
        return MediaError(f"{name}: not a sound but a token record: use janus decode")
    if kind and kind.media == "picture":
        return MediaError(f"{name}: not a sound but a picture: use janus tokenize image")
    if (kind and kind.media == "sound") or start.startswith((b"RIFF", b"FORM")):
        return MediaError(f"{name}: a damaged or unknown sound ({plain(reason)})")
    return MediaError(f"{name}: not a sound that can be read; known are WAV, FLAC, OGG, MP3, AIFF")


def plain(reason: str) -> str:
    """Shorten libsndfile's reason to a few words, without the object's address."""
    return re.sub(r"^Error( opening .*?)? ?:", "", " ".join(reason.split())).strip(" .") or "no reason given"


def _refuse_cut(log: str, name: str) -> None:
    """Raise MediaError where a WAV, AIFF or AU file says that it holds more samples than are there.

    And where a W64 or RF64 file says that it is longer than it is, by more than what pads its last chunk.
    libsndfile reads what there is, and says so in its log alone.
    """
    found = re.search(r"^\s*(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    if found and int(found[2]) < int(found[1]) < _STREAMED:
        raise MediaError(f"{name}: truncated: {int(found[2]):,} of {int(found[1]):,} bytes of samples")
    found = re.search(r"^\s*(?:riff|Riff size) : (\d+) \(should be (\d+)\)", log, re.MULTILINE)
    if found and int(found[2]) + 8 <= int(found[1]) < _UNKNOWN:
        raise MediaError(f"{name}: truncated: {int(found[2]):,} of {int(found[1]):,} bytes")


def _refuse_cut_ogg(file: BinaryIO, name: str) -> None:
    """Raise MediaError where the last page of an OGG file is not whole, or not marked as the last.

    libsndfile reads what there is and says nothing. A page's header: RFC 3533, section 6.
    """
    is_ogg = file.read(4) == b"OggS"
    if is_ogg:
        file.seek(max(0, file.seek(0, io.SEEK_END) - (1 << 17)))  # a page has at most 65,307 bytes
        end = file.read()
        head = end[end.rfind(b"OggS") :]
        sizes = head[27 : 27 + head[26]] if len(head) > 26 else b""
        if not sizes or not head[5] & 4 or len(head) < 27 + len(sizes) + sum(sizes):
            raise MediaError(f"{name}: truncated: its last page is missing")
    file.seek(0)


def _read(opened: Any, name: str) -> Iterator[np.ndarray]:
    """Read an open SoundFile in pieces. Raises MediaError for damage and for a FLAC file's missing end."""
    count = 0
    while True:
        try:
            piece = opened.read(PIECE, dtype="float32", always_2d=True)
        except RuntimeError as error:
            raise MediaError(f"{name}: damaged after {count:,} samples ({plain(str(error))})") from None
        if not len(piece):
            break
        if not np.isfinite(piece).all():
            raise MediaError(f"{name}: holds samples that are no finite numbers, near {count:,}")
        count += len(piece)
        yield np.ascontiguousarray(piece.T)
    slack = {"FLAC": 0, "MP3": opened.frames // 100}.get(opened.format)  # an MP3 may say it by its bitrate
    if slack is not None and count + slack < opened.frames < _UNKNOWN:
        raise MediaError(f"{name}: truncated: {count:,} of {opened.frames:,} samples")


def fit(sound: Sound, sample_rate: int, channels: int) -> Sound:
    """Mix and resample `sound` while it is taken. To one channel goes the mean; one channel is copied.

    5.1 becomes stereo by ITU-R BS.775's weights, scaled so that nothing is louder than full scale.
    """
    pieces: Iterable[np.ndarray] = (_mix(piece, channels) for piece in sound.pieces)
    if sound.sample_rate != sample_rate:
        pieces = _resample(pieces, sound.sample_rate, sample_rate, channels)
    length = (2 * sound.num_samples * sample_rate + sound.sample_rate) // (2 * sound.sample_rate)
    return Sound(sample_rate, channels, length, pieces)


def _mix(piece: np.ndarray, channels: int) -> np.ndarray:
    if len(piece) == channels:
        return piece
    if channels == 2 and len(piece) == len(_FIVE_ONE):
        return np.ascontiguousarray(_FIVE_ONE.T @ piece)
    mono = piece.mean(axis=0, keepdims=True, dtype=np.float32)
    return np.repeat(mono, channels, axis=0)


def _resample(pieces: Iterable[np.ndarray], before: int, after: int, channels: int) -> Iterator[np.ndarray]:
    """Resample pieces; what comes out does not depend on how they are cut. Raises MediaError."""
    import soxr

    try:
        stream = soxr.ResampleStream(before, after, channels, dtype="float32")
    except (RuntimeError, ValueError) as error:
        raise MediaError(f"a sound of {before} Hz cannot be resampled to {after} Hz ({error})") from None
    for piece in pieces:
        yield np.ascontiguousarray(stream.resample_chunk(np.ascontiguousarray(piece.T)).T)
    yield np.ascontiguousarray(stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T)


def read_comment(path: Path, name: str) -> tuple[Sound, str, dict[str, str]]:
    """Read what a sound file says of itself: a Sound without pieces, its format, the texts of its Writer.

    Raises MediaError for what is no sound.
    """
    import soundfile

    with open_sound(path, name) as sound:
        pass
    with soundfile.SoundFile(path) as opened:
        kind, comment = f"{opened.format} {opened.subtype}", opened.comment
    try:
        found = json.loads(comment)
    except (ValueError, RecursionError):
        found = {}
    texts = found.items() if isinstance(found, dict) else ()
    return replace(sound, pieces=()), kind, {word: text for word, text in texts if isinstance(text, str)}
