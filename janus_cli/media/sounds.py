"""Sounds in, a piece at a time: files and pipes on one side, numpy arrays on the other.

Knows sound formats (libsndfile's, by soundfile), sample rates and channels; no tokens and no nets. Pieces are
float32 [channels, samples] at full scale ±1, so that hours of sound need no more memory than a second.
"""

import contextlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from janus_cli.errors import MediaError
from janus_cli.media.c_messages import keep_messages
from janus_cli.media.files import KeptErrors
from janus_cli.media.notes import Note, warn
from janus_cli.media.sniff import HEAD, is_safetensors, sniff
from janus_cli.media.sound_formats import WIDTHS, advise, check_format
from janus_cli.media.sound_parts import Part, find_parts

PIECE = 1 << 16  # samples read at a time
MAX_CHANNELS = 64  # of samples in memory; more, and longer than wide, are taken for [samples, channels]
_UNKNOWN = 1 << 62  # libsndfile says at least so many frames where a file does not say how many
_MPEG_SLACK = 8192  # samples before and after an MPEG sound that its encoder may have added, to be cut off
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
def open_sound(source: Path | BinaryIO, name: str, note: Note = warn) -> Iterator[Sound]:
    """Open the sound in a file, or in an open one; a pipe is copied to a temporary file first.

    What was put together of several sounds, one behind another, is one sound. Its length is what the file
    says, else what there is: one that says nothing, as a streamed FLAC, is read twice. `note` is told of an
    end mark that is missing. Raises MediaError, on opening or while pieces are taken: missing, empty, no
    sound, truncated, damaged, followed by something else, of a kind that is not read, samples that are no
    numbers.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(_seekable(source, name))
        parts = find_parts(file, name)
        if not parts:
            raise _explain_fault(file, name, "no header that is known")
        if not all(part.is_ended for part in parts):
            note(f"{name}: its end mark is missing: it may be cut off")
        shapes = [_measure(file, part, name) for part in parts]
        _check_alike(parts, shapes, name)
        pieces = (piece for part in parts for piece in _read_part(file, part, name))
        rate, channels, _ = shapes[0]
        yield Sound(rate, channels, sum(length for *_, length in shapes), pieces)


def _measure(file: BinaryIO, part: Part, name: str) -> tuple[int, int, int]:
    """Measure the sound in `part`: Hz, channels, samples per channel."""
    with _open(file, part, name) as opened:
        length = opened.frames
        if part.payload != 0 and (not 0 < length < _UNKNOWN or not part.is_counted):
            length = sum(piece.shape[1] for piece in _read(opened, name))
        return opened.samplerate, opened.channels, min(length, _count_payload(opened, part, name))


def _count_payload(opened: Any, part: Part, name: str) -> int:
    """Count the samples per channel in a part of plain numbers; _UNKNOWN for others.

    Raises MediaError where their bytes are no whole number of samples, or
    libsndfile sees fewer.
    """
    width = WIDTHS.get(opened.subtype)
    if part.payload is None or width is None:
        return _UNKNOWN
    count, rest = divmod(part.payload, width * opened.channels)
    if rest or opened.frames < count:
        raise MediaError(
            f"{name}: {part.payload:,} bytes of samples, but {width * opened.channels} make one of "
            f"{opened.channels} channels, and {opened.frames:,} can be read: truncated, or damaged"
        )
    return count


def _check_alike(parts: Sequence[Part], shapes: Sequence[tuple[int, int, int]], name: str) -> None:
    """Raise MediaError where the parts of a file differ in rate or channels."""
    rate, channels, _ = shapes[0]
    for part, (other, others, _) in zip(parts, shapes, strict=True):
        if (other, others) != (rate, channels):
            raise MediaError(
                f"{name}: several sounds in one file, of {rate} Hz in {channels} channels and, from byte "
                f"{part.start:,} on, of {other} Hz in {others}: cut it into its parts"
            )


@contextlib.contextmanager
def _open(file: BinaryIO, part: Part, name: str) -> Iterator[Any]:
    """Open the sound in `part` of `file` as a soundfile.SoundFile, named by its KeptErrors.

    Raises MediaError.
    """
    import soundfile

    try:
        kept = KeptErrors(_Window(file, part))
        with kept.calls(), keep_messages():
            opened = soundfile.SoundFile(kept)
    except (RuntimeError, TypeError, ValueError) as error:
        raise _explain_fault(file, name, str(error), part.start) from None
    with opened:
        check_format(opened.format, opened.subtype, opened.samplerate, opened.channels, name)
        if opened.frames >= _UNKNOWN:
            opened.seekable = lambda: (
                False
            )  # after each read soundfile would seek, which fails in such a file
        yield opened


def _read_part(file: BinaryIO, part: Part, name: str) -> Iterator[np.ndarray]:
    """Read `part` in pieces. Raises MediaError where the decoder makes less of it than its frames hold."""
    count = 0
    with _open(file, part, name) as opened:
        most = _count_payload(opened, part, name)  # libsndfile takes what pads a W64 for samples
        for piece in _read(opened, name):
            count += piece.shape[1]
            yield piece[:, : max(0, piece.shape[1] - max(0, count - most))]
    if count + _MPEG_SLACK < part.samples:
        raise MediaError(f"{name}: damaged: {count:,} of {part.samples:,} samples can be decoded")


class _Window(io.RawIOBase):
    """One part of a file as a file of its own, with the sizes in its header filled in."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        self._file, self._part, self._place = file, part, part.start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._part.start, io.SEEK_CUR: self._place, io.SEEK_END: self._part.end}[whence]
        self._place = max(self._part.start, base + offset)
        return self.tell()

    def tell(self) -> int:
        return self._place - self._part.start

    def readinto(self, buffer: Any) -> int:
        start = self._place
        self._file.seek(start)
        data = bytearray(self._file.read(max(0, min(len(buffer), self._part.end - start))))
        for where, patch in self._part.patches:
            for i, byte in enumerate(patch):
                if 0 <= where + i - start < len(data):
                    data[where + i - start] = byte
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


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


def _explain_fault(file: BinaryIO, name: str, reason: str, start: int = 0) -> MediaError:
    """Say what a file is whose part at byte `start` libsndfile does not open."""
    file.seek(0)
    head = file.read(HEAD)
    kind = sniff(head)
    if is_safetensors(head):
        return MediaError(f"{name}: not a sound but a token record: use janus decode")
    if kind and kind.media == "picture":
        return MediaError(f"{name}: not a sound but a picture: use janus tokenize image")
    if "unsupported" in reason or "unimplemented" in reason:
        return MediaError(f"{name}: a kind of sound that is not read ({plain(reason)}): {advise(name)}")
    if (kind and kind.media == "sound") or start or head.startswith((b"RIFF", b"FORM")):
        return MediaError(f"{name}: a damaged or unknown sound ({plain(reason)})")
    if kind and kind.media == "foreign":
        return MediaError(f"{name}: {kind.name}, which is not read: {advise(name)}")
    return MediaError(f"{name}: not a sound that can be read; known are WAV, FLAC, OGG, MP3, AIFF")


def plain(reason: str) -> str:
    """Shorten libsndfile's reason to a few words, without the object's address."""
    return re.sub(r"^Error( opening .*?)? ?:", "", " ".join(reason.split())).strip(" .") or "no reason given"


def _read(opened: Any, name: str) -> Iterator[np.ndarray]:
    """Read an open SoundFile in pieces. Raises MediaError for damage and for a FLAC file's missing end."""
    count = 0
    while True:
        try:
            with opened.name.calls(), keep_messages() as said:
                piece = opened.read(PIECE, dtype="float32", always_2d=True)
        except RuntimeError as error:
            raise MediaError(f"{name}: damaged after {count:,} samples ({plain(str(error))})") from None
        if fault := next((line for line in said if "error:" in line), ""):  # libmpg123 goes on after it
            raise MediaError(
                f"{name}: damaged near sample {count:,} ({fault.split('error:')[1].strip(' !')})"
            )
        if not len(piece):
            break
        if not np.isfinite(piece).all():
            raise MediaError(f"{name}: holds samples that are no finite numbers, near {count:,}")
        count += len(piece)
        yield np.ascontiguousarray(piece.T)
    if opened.format != "MP3" and count < opened.frames < _UNKNOWN:
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


def read_comment(path: Path, name: str, note: Note = warn) -> tuple[Sound, str, dict[str, str]]:
    """Read what a sound file says of itself: a Sound without pieces, its format, the texts of its Writer.

    Raises MediaError for what is no sound.
    """
    with open_sound(path, name, note) as sound:
        pass
    with path.open("rb") as file, _open(file, find_parts(file, name)[0], name) as opened:
        kind, comment = f"{opened.format} {opened.subtype}", opened.comment
    try:
        found = json.loads(comment)
    except (ValueError, RecursionError):
        found = {}
    texts = found.items() if isinstance(found, dict) else ()
    return replace(sound, pieces=()), kind, {word: text for word, text in texts if isinstance(text, str)}
