"""Modalities beyond text, pictures and sounds: how plugins are found, and `series`, one of them."""

from janus_cli.plugins.registry import (
    BUILT_IN,
    GROUP,
    NAME,
    RESERVED,
    Info,
    Modality,
    Option,
    Write,
    find,
    installed,
    misnamed,
    names,
    package,
    running,
    written,
)

__all__ = [
    "BUILT_IN",
    "GROUP",
    "NAME",
    "RESERVED",
    "Info",
    "Modality",
    "Option",
    "Write",
    "find",
    "installed",
    "misnamed",
    "names",
    "package",
    "running",
    "written",
]
