"""python costs.py FOLDER COMMAND,... VALUE... [--only PLACE]: what a model costs whose config.json is odd.

Each place of the folder's config.json takes each of the values (JSON), and `janus COMMAND` runs on what comes
of it, in a child of this process, which has loaded torch before: a JSON line says the place, the value, the
exit code, CPU seconds, MB of memory that were added at the peak, and the last line on stderr.
"""

import argparse
import contextlib
import copy
import io
import json
import os
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIELDS = {
    "draw": ["draw", "a", "-q", "--device", "cpu", "-o", "-", "--model"],
    "verify": ["models", "verify"],
}


def list_places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List the paths of all single values in a JSON value."""
    if not isinstance(value, dict | list):
        yield path
        return
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        yield from list_places(inner, (*path, key))


def change(config: Any, path: tuple[Any, ...], value: Any) -> Any:
    """Give a copy of `config` with `value` at `path`."""
    changed = inner = copy.deepcopy(config)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed


def _read_kb(word: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(word))


def _run(args: list[str]) -> tuple[int, list[str]]:
    """Run `janus`: the exit code, and the lines on stderr."""
    from janus_cli.app import main

    kept, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO())
    with contextlib.redirect_stderr(io.StringIO()) as said:
        code = main(args)
    sys.stdout = kept
    return code, said.getvalue().strip().splitlines()


def measure(args: list[str]) -> dict[str, Any]:
    """Run `janus` with `args` in a child; what it cost."""
    reader, writer = os.pipe()
    if not (child := os.fork()):
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
            before, used = _read_kb("VmRSS"), resource.getrusage(resource.RUSAGE_SELF)
            code, said = _run(args)
            now = resource.getrusage(resource.RUSAGE_SELF)
            seconds = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
            facts = {
                "code": code,
                "seconds": round(seconds, 2),
                "mb": round((_read_kb("VmHWM") - before) / 1024, 1),
                "said": said[-1:],
                "lines": len(said),
            }
            os.write(writer, json.dumps(facts).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:  # noqa: PTH123
        told = file.read()
    _, status = os.waitpid(child, 0)
    return (
        json.loads(told) if told else {"code": -status, "seconds": 0, "mb": 0, "said": ["killed"], "lines": 0}
    )


def main() -> None:
    """Measure each place with each value, and first the folder as it is."""
    import torch

    import janus_cli.pipeline.inspection
    import janus_cli.weights.checkpoint  # noqa: F401

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("commands", type=lambda text: text.split(","))
    parser.add_argument("values", type=json.loads, nargs="+")
    parser.add_argument("--only", default="", help="places that begin so")
    given = parser.parse_args()
    folder, commands, values = given.folder, given.commands, given.values
    place = Path(tempfile.mkdtemp()) / folder.name
    shutil.copytree(folder, place)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    for command in commands:
        args = [*FIELDS[command], str(place)]
        _run(args)  # what the first run imports costs the children nothing
        print(json.dumps({"place": "as it is", "command": command} | measure(args)), flush=True)
        places = [p for p in list_places(config) if ".".join(map(str, p)).startswith(given.only)]
        for path in places:
            for value in values:
                (place / "config.json").write_text(json.dumps(change(config, path, value)))
                facts = {"place": ".".join(map(str, path)), "value": value, "command": command}
                print(json.dumps(facts | measure(args)), flush=True)
        (place / "config.json").write_text(json.dumps(config))
    shutil.rmtree(place.parent)


if __name__ == "__main__":
    main()
