"""Plugins at work: files of their kind become records, segments become files again.

Foreign code runs here; whatever it raises or returns, the caller meets a JanusError of one line.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from janus_cli import plugins
from janus_cli.errors import PluginError
from janus_cli.plugins import Modality
from janus_cli.records import Record, Segment


def tokenize(
    plugin: Modality,
    data: bytes,
    name: str,
    options: Mapping[str, Any] | None = None,
    id: str = "",
    source: str = "",
) -> Record:
    """Make a record of one segment of a file's bytes; `name` is what errors call the file.

    An option that is not given has its default. Raises PluginError for a plugin that fails, RecordError for
    an array that its modality may not hold, and what the plugin has to say of the file.
    """
    given = {option.name: option.default for option in plugin.options} | dict(options or {})
    with plugins.guard(plugin.name, name):
        made = plugin.encode(data, name, given)
        if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], np.ndarray):
            raise PluginError(f"{name}: plugin {plugin.name} failed: it gave no array with its info")
        info = {"tokenizer": plugin.name, **made[1], **({"source": source} if source else {})}
        json.dumps(info, sort_keys=True, allow_nan=False)  # what JSON cannot hold is the plugin's failure
    segment = Segment(plugin.name, made[0], info)
    chosen = {word: value for word, value in given.items() if value is not None}
    return Record((segment,), id).with_step("tokenize", modality=plugin.name, **chosen)


def make_writers(segment: Segment) -> dict[str, Callable[[], bytes]]:
    """Make a writer for each file that a segment can be written to: suffix -> writer. Raises PluginError.

    A writer gives bytes. It raises PluginError for a plugin that fails, and what the plugin has to say of the
    segment.
    """
    plugin = plugins.find(segment.modality)

    def make_writer(write: plugins.Write) -> Callable[[], bytes]:
        def make() -> bytes:
            with plugins.guard(plugin.name, f"{segment.modality} segment"):
                data = write(segment.data, segment.info)
                if not isinstance(data, bytes):
                    raise PluginError(f"plugin {plugin.name} failed: it wrote no bytes")
            return data

        return make

    return {suffix: make_writer(write) for suffix, write in plugin.writers.items()}
