"""What a file is, by its first bytes: pictures, sounds, and what else is taken for a token record."""

import re
from dataclasses import dataclass

HEAD = 12  # bytes that tell


@dataclass(frozen=True)
class Kind:
    """One kind of file."""

    name: str  # with its article: "a PNG picture"
    media: str  # picture, sound, foreign (a sound that is not read) or other
    advice: str  # what to do with it where a token record is wanted
    format: str = ""  # Pillow's name of a picture's


def _pictures(name: str, format: str = "") -> Kind:
    format = format or name.split()[1].upper()
    return Kind(f"{name} picture", "picture", 'use "janus tokenize image"', format)


def _sounds(name: str) -> Kind:
    return Kind(f"{name} sound", "sound", 'use "janus tokenize audio"')


def _foreign(name: str) -> Kind:
    return Kind(name, "foreign", "convert it first (ffmpeg -i FILE out.wav)")


_MPEG = _sounds("an MP3")
# an MPEG frame of any version and layer; FF FE is left out, as text in UTF-16 begins with it
MPEG_FRAME = re.compile(rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xfd\xff][\x10-\xef]")

# what the file starts with, what stands at byte 8, the kind
_MAGIC: tuple[tuple[bytes | tuple[bytes, ...], bytes, Kind], ...] = (
    (b"\x89PNG", b"", _pictures("a PNG")),
    (b"\xff\xd8\xff", b"", _pictures("a JPEG")),
    (b"GIF8", b"", _pictures("a GIF")),
    (b"RIFF", b"WEBP", _pictures("a WebP")),
    ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), b"", _pictures("a TIFF")),
    ((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), b"", _pictures("a Netpbm", "PPM")),
    (b"qoif", b"", _pictures("a QOI")),
    (b"BM", b"", _pictures("a BMP")),
    (b"\0\0\1\0", b"", _pictures("an ICO")),
    ((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), b"", _pictures("a JPEG 2000", "JPEG2000")),
    (b"RIFF", b"WAVE", _sounds("a WAV")),
    ((b"RIFX", b"RF64", b"BW64"), b"", _sounds("a WAV")),
    (b"riff", b"", _sounds("a W64")),
    (b"fLaC", b"", _sounds("a FLAC")),
    (b"OggS", b"", _sounds("an Ogg")),
    ((b"ID3", b"APETAGEX"), b"", _MPEG),
    (b"FORM", b"AIF", _sounds("an AIFF")),
    (b".snd", b"", _sounds("an AU")),
    (b"caff", b"", _sounds("a CAF")),
    ((b"\xff\xf0", b"\xff\xf1", b"\xff\xf8", b"\xff\xf9", b"ADIF"), b"", _foreign("an AAC sound")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"", _foreign("a WMA (ASF) file")),
    (b"\x1a\x45\xdf\xa3", b"", _foreign("a WebM or Matroska file")),
    (b"wvpk", b"", _foreign("a WavPack sound")),
    (b"MAC ", b"", _foreign("a Monkey's Audio sound")),
    (b"TTA1", b"", _foreign("a True Audio sound")),
    ((b"MPCK", b"MP+"), b"", _foreign("a Musepack sound")),
    ((b"DSD ", b"FRM8"), b"", _foreign("a DSD sound")),
    (b"#!AMR", b"", _foreign("an AMR sound")),
    (b"\x0b\x77", b"", _foreign("an AC-3 sound")),
    (b"\x7f\xfe\x80\x01", b"", _foreign("a DTS sound")),
    ((b".RMF", b".ra\xfd"), b"", _foreign("a RealAudio file")),
    (b"FLV\1", b"", _foreign("a Flash video")),
    (b"FORM", b"8SVX", _foreign("an 8SVX sound")),
    (b"Creative Voi", b"", _foreign("a VOC sound")),
    (b"NIST_1A", b"", _foreign("a NIST SPHERE sound")),
    (b"MThd", b"", Kind("a MIDI file", "other", "it holds notes and no sound: play it into a WAV first")),
    (b"\x93NUMPY", b"", Kind("an npy array", "other", 'use "janus tokenize series" for a trace')),
    (b"\x1f\x8b", b"", Kind("gzip data", "other", "unpack it first (gzip -dc)")),
    (b"PK\x03\x04", b"", Kind("a ZIP archive", "other", "unpack it first")),
    (b"%PDF", b"", Kind("a PDF document", "other", "only token records can be read here")),
)


# what ISO media files of pictures say they are, at byte 8
_HEIF = {b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"miaf"}
_AVIF = {b"avif", b"avis"}
# the brands of MPEG-4 files (ISO 14496-12) that hold sounds, or videos with sound
_BRANDS = {
    **dict.fromkeys((b"M4A ", b"M4B ", b"M4P "), _foreign("an M4A (AAC or ALAC) sound")),
    **dict.fromkeys(
        (b"mp41", b"mp42", b"isom", b"iso2", b"iso5", b"avc1", b"dash", b"M4V "), _foreign("an MP4 file")
    ),
    **dict.fromkeys((b"3gp4", b"3gp5", b"3gp6", b"3g2a"), _foreign("a 3GPP file")),
    b"qt  ": _foreign("a QuickTime file"),
}


def sniff(head: bytes) -> Kind | None:
    """Tell what a file is from its first HEAD bytes; None for what is not known, and for safetensors."""
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if brand in _HEIF | _AVIF:
        return _pictures("an AVIF") if brand in _AVIF else _pictures("a HEIF")
    if brand in _BRANDS:
        return _BRANDS[brand]
    if MPEG_FRAME.match(head) and not is_safetensors(head):
        return _MPEG
    found = next(
        (kind for start, form, kind in _MAGIC if head.startswith(start) and head[8:].startswith(form)), None
    )
    return None if found is not None and not _is_sure(found, head) else found


def _is_sure(found: Kind, head: bytes) -> bool:
    """Tell whether a short mark is no chance: a text, or a record's length, may begin with it."""
    if found.format == "PPM":
        return head[2:3].isspace() or head[2:3] == b"#"
    if found.format == "BMP":
        return head[6:10] == bytes(4) and not is_safetensors(head)
    return found.format != "ICO" or not is_safetensors(head)


def is_safetensors(head: bytes) -> bool:
    """Whether a file that starts with `head` looks like safetensors, as token records and weights do."""
    return head[8:9] == b"{"
