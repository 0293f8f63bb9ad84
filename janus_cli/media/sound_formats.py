"""Which sounds are read: a table as data, with no reader in it. docs/formats.md has it, and a test keeps it.

Names of formats and subtypes are libsndfile's. What is not in the table is refused, with a word what to do.
"""

from dataclasses import dataclass

from janus_cli.errors import MediaError

_FLOATS = ("FLOAT", "DOUBLE")
_LAWS = ("ULAW", "ALAW")  # ITU-T G.711
_RIFF = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", *_FLOATS, *_LAWS)
WIDTHS = {  # bytes of a sample
    **dict.fromkeys(("PCM_S8", "PCM_U8", "ULAW", "ALAW"), 1),
    "PCM_16": 2,
    "PCM_24": 3,
    "PCM_32": 4,
    "FLOAT": 4,
    "DOUBLE": 8,
}
RATES = (1, 768_000)  # Hz, at least and at most
CHANNELS = 32  # at most


@dataclass(frozen=True)
class SoundFormat:
    """One row of the table."""

    name: str  # as people call it
    suffixes: tuple[str, ...]  # of files in a folder that are taken for it
    subtypes: tuple[str, ...]


SOUND_FORMATS = {
    "WAV": SoundFormat("WAV", (".wav", ".wave", ".bwf"), (*_RIFF, "IMA_ADPCM", "MS_ADPCM")),
    "WAVEX": SoundFormat("WAV (extensible)", (), _RIFF),
    "RF64": SoundFormat("RF64, BW64", (".rf64",), _RIFF),
    "W64": SoundFormat("Wave64", (".w64",), (*_RIFF, "IMA_ADPCM", "MS_ADPCM")),
    "AIFF": SoundFormat(
        "AIFF, AIFC",
        (".aif", ".aiff", ".aifc"),
        ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", *_FLOATS, *_LAWS),
    ),
    "AU": SoundFormat("AU", (".au", ".snd"), ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", *_FLOATS, *_LAWS)),
    "CAF": SoundFormat(
        "CAF",
        (".caf",),
        (
            *("PCM_S8", "PCM_16", "PCM_24", "PCM_32", *_FLOATS, *_LAWS),
            *("ALAC_16", "ALAC_24", "ALAC_32"),
        ),
    ),
    "FLAC": SoundFormat("FLAC", (".flac",), ("PCM_S8", "PCM_16", "PCM_24")),
    "OGG": SoundFormat("Ogg", (".ogg", ".oga", ".opus"), ("VORBIS", "OPUS")),
    "MP3": SoundFormat(
        "MPEG audio",
        (".mp3", ".mp2", ".mpga"),
        ("MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III"),
    ),
}
SUFFIXES = tuple(suffix for row in SOUND_FORMATS.values() for suffix in row.suffixes)


def advise(name: str) -> str:
    """Say what to do with a sound that is not read."""
    file = "FILE" if name in ("-", "stdin") else f"'{name}'" if " " in name else name
    return f"convert it first: ffmpeg -i {file} out.wav"


def check_format(format: str, subtype: str, sample_rate: int, channels: int, name: str) -> None:
    """Raise MediaError for a sound that the table does not have."""
    row = SOUND_FORMATS.get(format)
    if row is None or subtype not in row.subtypes:
        raise MediaError(f"{name}: {format} {subtype} is not read: {advise(name)}")
    if not RATES[0] <= sample_rate <= RATES[1]:
        raise MediaError(
            f"{name}: {sample_rate:,} Hz is not read, only {RATES[0]:,} to {RATES[1]:,}: {advise(name)} "
            "with -ar 16000 before out.wav"
        )
    if not 1 <= channels <= CHANNELS:
        raise MediaError(
            f"{name}: {channels} channels are not read, only 1 to {CHANNELS}: {advise(name)} "
            "with -ac 1 before out.wav"
        )
