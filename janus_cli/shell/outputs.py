"""Where decoded pictures, sounds, texts and plugins' files go: names from a template, standard output.

No file is overwritten unless asked. Knows file formats by their suffix; how a picture becomes bytes is
media's business.
"""

import re
import string
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from janus_cli import plugins
from janus_cli.errors import MediaError, OutputError, UsageError
from janus_cli.media.files import atomic_write, check_folder, write_with
from janus_cli.shell.console import output_errors, shown
from janus_cli.shell.inputs import stdout_bytes
from janus_cli.shell.sound_output import StandardOutput, write_sound

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import TypeIs

    from janus_cli.media.png import Rows
    from janus_cli.media.sounds import Sound
    from janus_cli.records import Record

FORMATS = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp"}
SUFFIXES = (*FORMATS, ".wav", ".flac", ".ogg", ".txt")
FIELDS = ("prompt", "seed", "index", "id")
_MAX_NAME = 120  # bytes of a prompt or id that a file name keeps; most file systems stop at 255


@dataclass(frozen=True)
class Foreign:
    """What a plugin can write of a segment: `writers` make a file's bytes, by suffix, the default first."""

    modality: str
    writers: Mapping[str, Callable[[], bytes]]

    @property
    def suffix(self) -> str:
        """That of the default."""
        return next(iter(self.writers))


if TYPE_CHECKING:
    Media = np.ndarray | Rows | str | Sound | Foreign


def suffixes_for(template: str | None) -> tuple[str, ...]:
    """The suffixes that a decoded file may have: plugins' too where `template` has none of ours.

    Only then are plugins imported: they are what is left to know the suffix.
    """
    known = template is None or template == "-" or Path(template).suffix.lower() in ("", *SUFFIXES)
    return SUFFIXES if known else (*SUFFIXES, *plugins.list_suffixes())


class Outputs:
    """Turns decoded media into files named by a template, or into bytes on standard output."""

    def __init__(self, template: str | None, force: bool, suffixes: Iterable[str] = SUFFIXES) -> None:
        """`template`: a name with {prompt} {seed} {index} {id}, a folder, or None or "-" for stdout.

        Raises UsageError for a field that does not exist, or a suffix that is not among `suffixes`;
        MediaError for a name in a folder that does not exist.
        """
        self._template = None if template == "-" else template
        self._force = force
        self._written: set[Path] = set()
        self._stdout = StandardOutput()
        self._held = ""  # what standard output has taken
        self._is_folder = template is not None and (template.endswith("/") or Path(template).is_dir())
        if self._template is not None and not self._is_folder:
            _check_template(self._template, tuple(suffixes))
            if "{" not in str(Path(self._template).parent):
                check_folder(Path(self._template))  # before anything is made

    def check(self, record: "Record") -> None:
        """Raise OutputError where standard output has taken something that `record` cannot follow.

        Only texts follow texts, as lines, and sounds follow sounds, in one WAV.
        """
        more = _kind(record)
        if self._held and (self._held != more or more not in ("text", "sound")):
            other = f"another {more}" if more == self._held else f"a {more}"
            raise OutputError(
                f"standard output holds a {self._held}, which {other} cannot follow: "
                "use -o to write a file each"
            )

    def write(self, record: "Record", media: "Media") -> str:
        """Write what `record` was decoded to; returns the file's name ("-" for standard output)."""
        if self._template is None:
            self.check(record)
            if is_sound(media):
                self._stdout.write(record, media)
            else:
                _to_stdout(record, media.whole() if are_rows(media) else media)
            self._held = _kind(record)
            return "-"
        default = (
            media.suffix
            if isinstance(media, Foreign)
            else ".txt"
            if isinstance(media, str)
            else ".wav"
            if is_sound(media)
            else ".png"
        )
        template = (
            str(Path(self._template) / f"{_folder_name(record)}{default}")
            if self._is_folder
            else self._template
        )
        path = Path(fill(template, record, len(self._written)))
        if is_sound(media):
            written = write_sound(record, media, self._place(path), self._force)
        elif are_rows(media):
            written = self._write_rows(record, media, path)
        else:
            data = encode(record, media, path)
            written = atomic_write(self._place(path), data, force=self._force)
        self._written.add(written)
        return str(written)

    def _write_rows(self, record: "Record", rows: "Rows", path: Path) -> Path:
        """A PNG grows while its rows are made; other formats want the whole."""
        if path.suffix.lower() != ".png":
            return atomic_write(self._place(path), encode(record, rows.whole(), path), force=self._force)
        from janus_cli.media.png import write_png
        from janus_cli.records.provenance import collect_parameters

        told = collect_parameters(record)
        return write_with(self._place(path), lambda file: write_png(file, rows, told), self._force)

    def _place(self, path: Path) -> Path:
        """The first of path, path-1, path-2, ... that is not ours; a `folder/` is made."""
        name, copy = path, 0
        while name in self._written:
            copy += 1
            name = path.with_name(f"{path.stem}-{copy}{path.suffix}")
        if self._is_folder:
            try:
                name.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise MediaError(f"{name.parent}: cannot be made: {error.strerror}") from None
        return name


def _kind(record: "Record") -> str:
    """What the record's last segment is decoded to."""
    kinds = {"image": "picture", "pixels": "picture", "audio": "sound", "waveform": "sound"}
    modality = record.segments[-1].modality if record.segments else ""
    return kinds.get(modality, modality)


def is_sound(media: "Media") -> "TypeIs[Sound]":
    """Whether `media` is a sound, told without importing what knows sounds."""
    return hasattr(media, "sample_rate")


def are_rows(media: "Media") -> "TypeIs[Rows]":
    """Whether `media` is a picture that is made while it is written."""
    return hasattr(media, "bands")


def encode(record: "Record", media: "np.ndarray | str | Foreign", path: Path) -> bytes:
    """The bytes of `media` in the format of `path`'s suffix. Raises MediaError where they do not fit."""
    suffix = path.suffix.lower()
    if isinstance(media, Foreign):
        if suffix not in media.writers:
            raise MediaError(
                f"{path}: the record holds {media.modality}: use a name in {', '.join(media.writers)}"
            )
        return media.writers[suffix]()
    if isinstance(media, str):
        if suffix != ".txt":
            what = "a picture" if suffix in FORMATS else "a sound"
            raise MediaError(f"{path}: the record holds text, not {what}: use a name in .txt")
        return (media + "\n").encode("utf-8")
    if suffix not in FORMATS:
        raise MediaError(f"{path}: the record holds a picture: use a name in {', '.join(FORMATS)}")
    from janus_cli.media.pictures import image_bytes
    from janus_cli.records.provenance import collect_parameters

    return image_bytes(media, FORMATS[suffix], collect_parameters(record))


def picture_to_stdout() -> BinaryIO:
    """Standard output for a picture. Raises UsageError where it is a terminal."""
    return stdout_bytes("a picture is", "use -o picture.png, or redirect it")


def _to_stdout(record: "Record", media: "np.ndarray | str | Foreign") -> None:
    """A text as a line, a picture as PNG, a plugin's default."""
    data = media.writers[media.suffix]() if isinstance(media, Foreign) else b""
    if isinstance(media, str) or _is_text(data):
        sys.stdout.flush()
        file = sys.stdout.buffer
        data = (shown(media) + "\n").encode("utf-8") if isinstance(media, str) else data
    elif isinstance(media, Foreign):
        file = stdout_bytes(f"a {media.suffix} file is", f"use -o name{media.suffix}, or redirect it")
    else:
        file = picture_to_stdout()
        data = encode(record, media, Path("stdout.png"))
    with output_errors():
        file.write(data)
        file.flush()


def _is_text(data: bytes) -> bool:
    """Whether a plugin's file is text that a terminal shows and does not obey."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return bool(text) and all(line.isprintable() for line in text.replace("\t", " ").split("\n"))


def fill(template: str, record: "Record", count: int) -> str:
    """`template` with its fields filled; {index} is the picture's among its prompt's, else `count`."""
    made = record.step("generate")
    id = slug(record.id) or str(count)
    values = {
        "prompt": slug(record.prompt) or id,
        "id": id,
        "seed": made.get("seed", 0),
        "index": made.get("index", count),
    }
    return template.format_map(values)


def slug(text: str) -> str:
    """`text` as a part of a file name: letters and digits of any script, words joined by hyphens."""
    words = re.sub(r"[^\w]+", "-", text).strip("-_")
    return words.encode("utf-8")[:_MAX_NAME].decode("utf-8", "ignore").rstrip("-_")


def _folder_name(record: "Record") -> str:
    return "{prompt}" if record.prompt else "{id}"


def _check_template(template: str, suffixes: tuple[str, ...]) -> None:
    try:
        fields = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise UsageError(f"{template}: {error}") from None
    if unknown := [name for name in fields if name not in FIELDS]:
        known = ", ".join("{" + name + "}" for name in FIELDS)
        raise UsageError(f"{template}: unknown field {{{unknown[0]}}} (known: {known})")
    try:
        template.format(prompt="", seed=0, index=0, id="")
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise UsageError(f"{template}: not a file name template ({error})") from None
    if Path(template).suffix.lower() not in suffixes:
        raise UsageError(f"{template}: no known format: use a name in {', '.join(suffixes)}")
