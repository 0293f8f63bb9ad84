"""What a file is, by its first bytes: pictures, sounds, and what else is taken for a token record."""

from dataclasses import dataclass

HEAD = 12  # bytes that tell


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str  # with its article: "a PNG picture"
    media: str  # picture, sound or other
    advice: str  # what to do with it where a token record is wanted


def _pictures(name: str) -> Kind:
    return Kind(f"{name} picture", "picture", 'use "janus tokenize image"')


def _sounds(name: str) -> Kind:
    return Kind(f"{name} sound", "sound", 'use "janus tokenize audio"')


# what the file starts with, what stands at byte 8, the kind
_MAGIC: tuple[tuple[bytes | tuple[bytes, ...], bytes, Kind], ...] = (
    (b"\x89PNG", b"", _pictures("a PNG")),
    (b"\xff\xd8\xff", b"", _pictures("a JPEG")),
    (b"GIF8", b"", _pictures("a GIF")),
    (b"RIFF", b"WEBP", _pictures("a WebP")),
    (b"RIFF", b"WAVE", _sounds("a WAV")),
    (b"RF64", b"", _sounds("a WAV")),
    (b"riff", b"", _sounds("a W64")),
    (b"fLaC", b"", _sounds("a FLAC")),
    (b"OggS", b"", _sounds("an Ogg")),
    ((b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"), b"", _sounds("an MP3")),
    (b"FORM", b"AIF", _sounds("an AIFF")),
    (b".snd", b"", _sounds("an AU")),
    (b"caff", b"", _sounds("a CAF")),
    (b"\x93NUMPY", b"", Kind("an npy array", "other", 'use "janus tokenize series" for a trace')),
    (b"\x1f\x8b", b"", Kind("gzip data", "other", "unpack it first (gzip -dc)")),
    (b"PK\x03\x04", b"", Kind("a ZIP archive", "other", "unpack it first")),
    (b"%PDF", b"", Kind("a PDF document", "other", "only token records can be read here")),
)


def sniff(head: bytes) -> Kind | None:
    """Tell what a file is from its first HEAD bytes; None for what is not known, and for safetensors."""
    return next(
        (kind for start, form, kind in _MAGIC if head.startswith(start) and head[8:].startswith(form)), None
    )


def is_safetensors(head: bytes) -> bool:
    """Whether a file that starts with `head` looks like safetensors, as token records and weights do."""
    return head[8:9] == b"{"
