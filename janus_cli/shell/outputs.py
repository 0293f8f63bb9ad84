"""What the files of decoded media are called: names from a template, a folder, or standard output.

No file is overwritten unless asked: a template's names are numbered, and a literal name is a promise.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from janus_cli import plugins
from janus_cli.errors import MediaError, UsageError
from janus_cli.media.files import check_folder, is_special, make_folder
from janus_cli.shell.media_output import PICTURE_FORMATS, SOUND_SUFFIXES, Output, StandardOutput
from janus_cli.shell.names import Existing, FreeNames, check_given, check_promise, fill, list_fields, suggest

if TYPE_CHECKING:
    from janus_cli.records import Record

SUFFIXES = (*PICTURE_FORMATS, *SOUND_SUFFIXES, ".txt")
_STDOUT = Path("-")
_KINDS = {"image": "picture", "pixels": "picture", "audio": "sound", "waveform": "sound"}


def list_suffixes(template: str | None) -> tuple[str, ...]:
    """List the suffixes that a decoded file may have: plugins' too where `template` has none of ours.

    Only then are plugins imported: they are what is left to know the suffix.
    """
    known = template is None or template == "-" or Path(template).suffix.lower() in ("", *SUFFIXES)
    return SUFFIXES if known else (*SUFFIXES, *plugins.list_suffixes())


def name_suffix(record: "Record") -> str:
    """Name the suffix of the file that a record is decoded to in a folder."""
    modality = record.segments[-1].modality if record.segments else "text"
    if modality in _KINDS:
        return next(iter(PICTURE_FORMATS if _KINDS[modality] == "picture" else SOUND_SUFFIXES))
    return ".txt" if modality == "text" else next(iter(plugins.find(modality).writers))


class Outputs:
    """Writes decoded media into files named by a template, or to standard output."""

    def __init__(
        self,
        template: str | None,
        existing: Existing = Existing.keep,
        suffixes: Iterable[str] = SUFFIXES,
    ) -> None:
        """`template`: a name with placeholders or without, a folder, or None or "-" for stdout.

        Raises UsageError for a placeholder that there is not, or a suffix that is not among `suffixes`;
        MediaError for a name in a folder that does not exist, and for a literal name that does.
        """
        check_given(template)
        self._template = None if template == "-" else template
        self._existing = existing
        self._taken = FreeNames()  # what results of this run are called, written or passed over
        self._stdout = StandardOutput()
        self._is_folder = template is not None and (template.endswith("/") or Path(template).is_dir())
        self.is_literal = False
        if self._template is None:
            return
        if self._is_folder and Path(self._template).is_dir():
            self._template = self._template.replace("{", "{{").replace("}", "}}")  # its own name
        self.is_literal = not list_fields(self._template) and not self._is_folder
        if not self._is_folder:
            _check_suffix_known(self._template, tuple(suffixes))
            if "{" not in str(Path(self._template).parent):
                check_folder(Path(self._template))  # before anything is made
        if self.is_literal:
            path = Path(self._template.format())
            self.is_literal = not is_special(path)
            check_promise(path, existing)

    def check_count(self, count: int) -> None:
        """Raise UsageError where so many results would go into one file."""
        if self.is_literal and count > 1:
            raise UsageError(
                f"{self._template} is the name of one file, and there are {count} results: "
                f"use a template such as {suggest(str(self._template))}, or a folder/"
            )

    def check(self, record: "Record") -> None:
        """Raise OutputError where standard output has taken something that `record` cannot follow.

        Only texts follow texts, as lines, and sounds follow sounds, in one WAV.
        """
        modality = record.segments[-1].modality if record.segments else ""
        self._stdout.check(_KINDS.get(modality, modality))

    def choose(self, record: "Record", suffix: str, name: str = "") -> Path | None:
        """Choose the file of a result, before it is made; None where there is one that is to be passed over.

        `record`: all that names it; `suffix`: of a file in a folder; `name`: what the user calls it. Raises
        UsageError for the second result of a literal name.
        """
        if self._template is None:
            return _STDOUT
        self.check_count(len(self._taken) + 1)
        template = self._template
        if self._is_folder:
            field = "{name}" if name or record.prompt else "{id}"
            template = str(Path(template) / field) + suffix
        path = fill(template, record, len(self._taken), name)
        if is_special(path):
            return path
        path = self._taken.take(path, self._is_free)
        return None if self._existing is Existing.skip and os.path.lexists(path) else path

    def _is_free(self, path: Path) -> bool:
        """Tell whether a result may have that name: there is no file of it that is to be kept."""
        return self._existing is not Existing.keep or self.is_literal or not os.path.lexists(path)

    def write(self, record: "Record", output: Output, path: Path) -> str:
        """Write what `record` was decoded to where `choose` said; returns the file's name ("-": stdout)."""
        if path is _STDOUT:
            self._stdout.check(output.kind)
            output.put(record, self._stdout)
            self._stdout.held = output.kind
            return "-"
        _check_suffix(output, path)
        if self._is_folder:
            make_folder(path.parent)
        if self.is_literal:
            check_promise(path, self._existing)  # somebody may have been faster
        written = output.write(record, path, self._existing is Existing.replace)
        self._taken.add(written)
        return str(written)


def _check_suffix(output: Output, path: Path) -> None:
    """Raise MediaError where `output` cannot be written in the format of `path`'s suffix."""
    suffix = path.suffix.lower()
    if suffix in output.suffixes:
        return
    holds = f"a {output.kind}" if output.kind in ("picture", "sound") else output.kind
    if output.kind == "text":
        holds += f", not a {'picture' if suffix in PICTURE_FORMATS else 'sound'}"
    raise MediaError(f"{path}: the record holds {holds}: use a name in {', '.join(output.suffixes)}")


def _check_suffix_known(template: str, suffixes: tuple[str, ...]) -> None:
    """Raise UsageError where the suffix of `template` is none of `suffixes`."""
    if Path(template).suffix.lower() not in suffixes:
        raise UsageError(f"{template}: no known format: use a name in {', '.join(suffixes)}")
