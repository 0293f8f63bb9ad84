"""What the files of decoded media are called: names from a template, a folder, or standard output.

No file is overwritten unless asked.
"""

import re
import string
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from janus_cli import plugins
from janus_cli.errors import MediaError, UsageError
from janus_cli.media.files import check_folder, make_folder, number_paths
from janus_cli.shell.media_output import PICTURE_FORMATS, SOUND_FORMATS, Output, StandardOutput

if TYPE_CHECKING:
    from janus_cli.records import Record

SUFFIXES = (*PICTURE_FORMATS, *SOUND_FORMATS, ".txt")
FIELDS = ("prompt", "seed", "index", "id")
_MAX_NAME = 120  # bytes of a prompt or id that a file name keeps; most file systems stop at 255
_KINDS = {"image": "picture", "pixels": "picture", "audio": "sound", "waveform": "sound"}


def list_suffixes(template: str | None) -> tuple[str, ...]:
    """List the suffixes that a decoded file may have: plugins' too where `template` has none of ours.

    Only then are plugins imported: they are what is left to know the suffix.
    """
    known = template is None or template == "-" or Path(template).suffix.lower() in ("", *SUFFIXES)
    return SUFFIXES if known else (*SUFFIXES, *plugins.list_suffixes())


class Outputs:
    """Writes decoded media into files named by a template, or to standard output."""

    def __init__(self, template: str | None, force: bool, suffixes: Iterable[str] = SUFFIXES) -> None:
        """`template`: a name with {prompt} {seed} {index} {id}, a folder, or None or "-" for stdout.

        Raises UsageError for a field that does not exist, or a suffix that is not among `suffixes`;
        MediaError for a name in a folder that does not exist.
        """
        self._template = None if template == "-" else template
        self._force = force
        self._written: set[Path] = set()
        self._stdout = StandardOutput()
        self._is_folder = template is not None and (template.endswith("/") or Path(template).is_dir())
        if self._template is not None and not self._is_folder:
            _check_template(self._template, tuple(suffixes))
            if "{" not in str(Path(self._template).parent):
                check_folder(Path(self._template))  # before anything is made

    def check(self, record: "Record") -> None:
        """Raise OutputError where standard output has taken something that `record` cannot follow.

        Only texts follow texts, as lines, and sounds follow sounds, in one WAV.
        """
        modality = record.segments[-1].modality if record.segments else ""
        self._stdout.check(_KINDS.get(modality, modality))

    def write(self, record: "Record", output: Output) -> str:
        """Write what `record` was decoded to; returns the file's name ("-" for standard output)."""
        if self._template is None:
            self._stdout.check(output.kind)
            output.put(record, self._stdout)
            self._stdout.held = output.kind
            return "-"
        template = self._template
        if self._is_folder:
            template = str(Path(template) / ("{prompt}" if record.prompt else "{id}")) + output.suffixes[0]
        path = Path(fill(template, record, len(self._written)))
        _check_suffix(output, path)
        written = output.write(record, self._choose_name(path), self._force)
        self._written.add(written)
        return str(written)

    def _choose_name(self, path: Path) -> Path:
        """Choose the first of path, path-1, path-2, ... that is not ours; a `folder/` is made."""
        name = next(name for name in number_paths(path) if name not in self._written)
        if self._is_folder:
            make_folder(name.parent)
        return name


def _check_suffix(output: Output, path: Path) -> None:
    """Raise MediaError where `output` cannot be written in the format of `path`'s suffix."""
    suffix = path.suffix.lower()
    if suffix in output.suffixes:
        return
    holds = f"a {output.kind}" if output.kind in ("picture", "sound") else output.kind
    if output.kind == "text":
        holds += f", not a {'picture' if suffix in PICTURE_FORMATS else 'sound'}"
    raise MediaError(f"{path}: the record holds {holds}: use a name in {', '.join(output.suffixes)}")


def fill(template: str, record: "Record", count: int) -> str:
    """Fill in the fields of `template`; {index} is the picture's among its prompt's, else `count`."""
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
    """Make `text` a part of a file name: letters and digits of any script, words joined by hyphens."""
    words = re.sub(r"[^\w]+", "-", text).strip("-_")
    return words.encode("utf-8")[:_MAX_NAME].decode("utf-8", "ignore").rstrip("-_")


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
