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
    find_all,
    guard,
    list_misnamed,
    list_names,
    list_suffixes,
    package_of,
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
    "find_all",
    "guard",
    "list_misnamed",
    "list_names",
    "list_suffixes",
    "package_of",
]
