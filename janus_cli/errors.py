"""The errors a user can meet. Each is one clear line; `app.main` turns it into an exit code.

Raise these, and only these, for anything a user can cause or mend. A bug stays an ordinary exception.
"""

from typing import Any


def quote(value: Any) -> str:
    """Write `value` for a one-line message, cut short: it may come from a hostile file."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__} in which much is nested"
    return text if len(text) <= 80 else text[:77] + "..."


class JanusError(Exception):
    """Base of every error shown to the user as one line on stderr."""

    exit_code = 1


class UsageError(JanusError):
    """The command line asks for something that cannot be: wrong flag value, missing input."""

    exit_code = 2


class RecordError(JanusError):
    """A token record or stream is malformed, truncated, too large or out of range."""


class NothingHeardError(RecordError):
    """A recording holds no words: it is silent, or noise."""


class PluginError(RecordError):
    """The plugin that a modality needs is missing, broken, or there twice."""


class MediaError(JanusError):
    """A picture, sound or text file cannot be read or written."""


class OutputError(MediaError):
    """Standard output is closed or full, or cannot take what comes next: nothing more can be written."""


class ModelError(JanusError):
    """A model is unknown, incomplete, mis-shaped, or does not match the record's fingerprint."""


class PartialError(JanusError):
    """Some items failed; the rest are done."""

    exit_code = 3
