"""The members of a tar file, every byte of it accounted for.

Python's tarfile stops without a word at a header that it cannot read, and at the end of a file that was cut
between two members. Here both are errors. Tars joined by `cat` are read on. Knows no records.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, BinaryIO, Self

from janus_cli.errors import RecordError

MAX_NAME = 4096  # characters, folders included
MAX_NAMES = 1 << 20  # bytes of one block of long names or pax keywords
_NAMING = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
_LONG_NAMES = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
# What tarfile raises for headers made to mislead it, beside its own errors.
_FAULTS = (tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError, OSError)
_EOF = tarfile.EOFHeaderError  # type: ignore[attr-defined]
_EMPTY = tarfile.EmptyHeaderError  # type: ignore[attr-defined]


class _HeaderError(Exception):
    """A header that tarfile would take for the end."""


class _Header(tarfile.TarInfo):
    """A header that is read strictly; it leaves word in its file when an end block comes."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header's 512 bytes. Raises _HeaderError for what is neither a header nor an end."""
        try:
            found = super().frombuf(buf, encoding, errors)
        except (_EOF, _EMPTY):
            raise
        except tarfile.HeaderError as error:
            raise _HeaderError(f"no header of a member ({error})") from None
        if found.size < 0 or (found.type in _NAMING + _LONG_NAMES and found.size > MAX_NAMES):
            raise _HeaderError(f"a header that cannot be: {found.size:,} bytes of a member's name")
        return found

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> Self:
        """Read the next header of `tarfile`; notes there whether the last block was one of its end."""
        ended, tarfile.ended = tarfile.ended, False
        try:
            return super().fromtarfile(tarfile)
        except _EOF:
            tarfile.ended = True
            raise
        except _EMPTY:
            tarfile.ended = ended
            raise


class _Tar(tarfile.TarFile):
    """A tar file that knows whether its last block was one of its end."""

    ended = False


@dataclass(frozen=True)
class Member:
    """One member of a tar: its name in there, and its bytes."""

    name: str
    _file: IO[bytes] | None

    @property
    def is_file(self) -> bool:
        """Whether it holds bytes, as links and devices don't."""
        return self._file is not None

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes. Raises RecordError where the tar ends before."""
        try:
            return self._file.read(size) if self._file is not None else b""
        except _FAULTS:
            raise RecordError("the tar file ends inside this member") from None


def read_members(file: BinaryIO, name: str) -> Iterator[Member]:
    """Read the members of the tar in `file` one after another; folders are passed over.

    A member must be read before the next one is asked for. Raises RecordError, with `name` and the place in
    front, for what is no tar, or is damaged or cut short.
    """
    last = ""
    try:
        # zero blocks do not end it, for tars may be joined; what is no header is an error all the same
        tar = _Tar.open(fileobj=file, mode="r|", tarinfo=_Header, ignore_zeros=True)
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # tarfile keeps them all
            if len(member.name) > MAX_NAME or min(member.name, default=" ") < " ":
                raise _HeaderError("a member's name is too long or holds control characters")
            last = member.name
            if not member.isdir():
                yield Member(member.name, tar.extractfile(member) if member.isreg() else None)
        if not tar.ended:
            raise _HeaderError("the file ends, but no tar does: cut short?")
    except (_HeaderError, *_FAULTS) as error:
        where = f"after member {last}" if last else "at its start"
        raise RecordError(f"{name}: not a whole tar file: {where}: {error}") from None
