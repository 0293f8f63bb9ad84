"""Modalities that packages bring along: what such a plugin states, and how an installed one is found.

A plugin is a `Modality` that a package names in its entry points, in the group `janus.modalities`, under the
word that stands in token records. Its code is imported when its command is used or a record names it, and
not before. Knows nothing of records, files or nets, and imports no numpy: docs/modality-plugin.md is the
guide, docs/token-format.md has the rules for names, dtypes and shapes.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from janus_cli.errors import JanusError, PluginError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    import numpy as np

GROUP = "janus.modalities"
BUILT_IN = ("text", "image", "audio", "pixels", "waveform")
_TAKEN = """
    sight
    add_module apply bfloat16 buffers call_super_init children clear compile cpu cuda double dump_patches eval
    extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half ipu items keys
    load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters pop
    register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
    register_full_backward_hook register_full_backward_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule
    share_memory state_dict to to_empty train training type update values xpu zero_grad
"""
# The decoder's word for seen pictures, and attributes of torch's ModuleDict, which takes none as a key.
RESERVED = frozenset(_TAKEN.split())
DTYPES = ("U8", "U16", "U32", "F32")  # that a segment may have
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")  # of a modality
_OPTION = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_OWN_OPTIONS = {
    "output",
    "force",
    "skip-existing",
    "quiet",
    "help",
    "inputs",
}  # of `janus tokenize NAME` itself
_SUFFIX = re.compile(r"\.[a-z0-9]+")

Info = Mapping[str, Any]  # what a record says of a segment: JSON values
Encode = Callable[[bytes, str, Mapping[str, Any]], "tuple[np.ndarray, dict[str, Any]]"]
Write = Callable[["np.ndarray", Info], bytes]


@dataclass(frozen=True)
class Option:
    """One --option of `janus tokenize NAME`; `kind` is str, int, float or bool, a default None = left out."""

    name: str  # without the dashes
    help: str
    kind: type = str
    default: Any = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Modality:
    """A tokenizer, the look of its segments and what an adapter for them needs.

    encode(data, name, options): a file's bytes to the array of a segment and its info. `name` is what an
    error should call the file; `options` has a value for every one of `options`, by name.
    writers: for each suffix that `janus decode` may write, (array, info) to the file's bytes; standard output
    gets the first. adapter(info): the fields of the decoder's ModalityConfig for segments with that info:
    vocab_size for ids, feature_dim for continuous tokens. What a user can mend, all of them raise as a
    JanusError of one line.
    """

    name: str  # the modality's word in records, and the entry point's
    help: str  # one line
    axes: tuple[str, ...]  # a word for each axis of the array; none may be empty
    dtypes: tuple[str, ...]  # among DTYPES
    encode: Encode
    writers: Mapping[str, Write]
    adapter: Callable[[Info], dict[str, Any]]
    suffixes: tuple[str, ...] = ()  # of files that a folder is searched for
    options: tuple[Option, ...] = ()


@functools.cache
def find_all() -> "dict[str, tuple[EntryPoint, ...]]":
    """Find the entry points of every installed package, by modality, unloaded; built-in names count too."""
    from importlib.metadata import entry_points

    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, []).append(point)
    return {name: tuple(found[name]) for name in sorted(found)}


def list_names() -> list[str]:
    """List the modalities that plugins bring, in alphabetical order, where they may have their names."""
    return [name for name in find_all() if not _explain_name(name)]


def package_of(point: "EntryPoint") -> str:
    """Name the package that an entry point belongs to, for messages."""
    return point.dist.name if point.dist else point.value


def list_misnamed() -> list[str]:
    """Write a line for each plugin that cannot be used because of its name."""
    lines, clashes = list[str](), list[str]()
    for name, points in find_all().items():
        if why := _explain_name(name):
            lines += [f"{package_of(p)}: its plugin {name!r} is not used: {why}" for p in points]
        elif len(points) > 1:
            clashes.append(_explain_clash(name, points))
    return lines + clashes


def _explain_name(name: str) -> str:
    if name in BUILT_IN:
        return "a modality of that name is built in"
    if name in RESERVED:
        return "the decoder keeps that word for itself"
    return "" if NAME.fullmatch(name) else "a modality has a name of a-z, 0-9 and _"


def _explain_clash(name: str, points: "tuple[EntryPoint, ...]") -> str:
    return (
        f"{len(points)} packages bring the modality {name!r} ({', '.join(map(package_of, points))}): "
        "uninstall all but one"
    )


def find(name: str) -> Modality:
    """Find the plugin of a modality. Raises PluginError: there is none, there are several, it is broken."""
    points = find_all().get(name, ())
    if not points or name not in list_names():
        known = ", ".join((*BUILT_IN, *list_names()))
        raise PluginError(
            f"unknown modality {_quote(name)} (known: {known}): install the plugin that brings "
            f"it, a package with that entry point in {GROUP}"
        )
    if len(points) > 1:
        raise PluginError(_explain_clash(name, points))
    return _load(points[0])


@functools.cache
def _load(point: "EntryPoint") -> Modality:
    """Import what an entry point names. Raises PluginError for whatever goes wrong in foreign code."""
    who = f"plugin {point.name} ({package_of(point)})"
    try:
        plugin = point.load()
    except (Exception, SystemExit) as error:
        raise PluginError(f"{who} cannot be imported: {_to_line(error)}") from error
    try:
        wrong = _explain_fault(plugin, point.name)
    except Exception as error:  # a statement of another type than it should have
        wrong = _to_line(error)
    if wrong:
        raise PluginError(f"{who} is broken: {wrong}")
    return plugin


def _explain_fault(plugin: object, name: str) -> str:
    """Say what in a plugin's statements cannot be; "" if all can."""
    if not isinstance(plugin, Modality):
        return f"its entry point names a {type(plugin).__name__}, no janus_cli.plugins.Modality"
    if plugin.name != name:
        return f"it calls itself {plugin.name!r}, its entry point {name!r}"
    if not 1 <= len(plugin.axes) <= 8:
        return f"its segments have {len(plugin.axes)} axes, not 1 to 8"
    if not plugin.dtypes or set(plugin.dtypes) - set(DTYPES):
        return f"its segments have dtype {' or '.join(plugin.dtypes) or 'none'}, not {', '.join(DTYPES)}"
    if not plugin.writers or not all(map(_SUFFIX.fullmatch, (*plugin.writers, *plugin.suffixes))):
        return "it needs a writer for at least one suffix, and suffixes such as .csv"
    words = [option.name for option in plugin.options]
    bad = [w for w in words if not _OPTION.fullmatch(w) or w in _OWN_OPTIONS or words.count(w) > 1]
    if bad:
        return f"it cannot have an option --{bad[0]}"
    kinds = {option.kind for option in plugin.options} - {str, int, float, bool}
    return f"it has an option of kind {kinds.pop()}, not str, int, float or bool" if kinds else ""


@contextlib.contextmanager
def guard(name: str, what: str) -> Iterator[None]:
    """Turn an exception of foreign code in the block into a PluginError of one line; a JanusError passes."""
    try:
        yield
    except (JanusError, MemoryError):
        raise
    except Exception as error:
        raise PluginError(f"{what}: plugin {name} failed: {_to_line(error)}") from error


def list_suffixes() -> list[str]:
    """List the suffixes that plugins write. Imports them all; one that is broken has none."""
    found: list[str] = []
    for name in list_names():
        with contextlib.suppress(PluginError):
            found.extend(suffix for suffix in find(name).writers if suffix not in found)
    return found


def _to_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return _cut(f"{type(error).__name__}: {text}" if text else type(error).__name__, 200)


def _quote(name: str) -> str:
    return _cut(repr(name), 80)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
