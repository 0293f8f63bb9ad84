"""How published model folders are laid out: what weight files are called, which shards belong together.

Knows names and indexes only; what a weight file holds is read by whoever asks (zoo without torch,
checkpoint with it).
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from janus_cli.config import read_object
from janus_cli.errors import ModelError, quote

H = TypeVar("H")

# What a model folder's weights are called, best first: the names that the hub's libraries write.
NAMES = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
WEIGHTS = (".safetensors", ".bin", ".index.json")  # how such names end
# What else a model needs: configuration, tokenizer, chat template, card and licence.
BESIDE = ("*.json", "*.txt", "*.model", "*.jinja", "README.md", "LICENSE*")
MAX_NAME = 255  # bytes of a file's name
_POINTER = b"version https://git-lfs"


def is_published(folder: Path) -> bool:
    """Whether `folder` holds a published Janus checkpoint's config.json, DeepSeek's or transformers'.

    Raises ModelError where a config.json is not readable.
    """
    config = read_object(folder / "config.json")
    kind = config.get("model_type")
    return kind == "multi_modality" or (kind == "janus" and "text_config" in config)


def find_weights_file(path: Path) -> Path:
    """Find the file to begin with: `path` itself, or the first of NAMES in the folder `path`.

    Raises ModelError if there is none.
    """
    if path.is_dir():
        found = next((path / name for name in NAMES if (path / name).is_file()), None)
        if found is None:
            raise ModelError(f"{path}: holds no weights (none of {', '.join(NAMES)})")
        return found
    if not path.is_file():
        raise ModelError(f"{path}: no such file or folder")
    return path


def read_index(path: Path) -> dict[str, Path]:
    """Read from an `*.index.json` which shard holds which tensor. Raises ModelError if it is none."""
    names = read_object(path).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(n, str) for n in names.values()):
        raise ModelError(f"{path}: not an index of shards (it has no weight_map)")
    if foreign := [n for n in names.values() if not _is_file_name(n)]:
        raise ModelError(f"{path}: not an index of shards ({quote(foreign[0])} does not lie beside it)")
    return {name: path.parent / shard for name, shard in names.items()}


def _is_file_name(name: str) -> bool:
    """Whether `name` can be that of a file in a folder, with no way out of it."""
    try:
        return Path(name).name == name and "\0" not in name and len(os.fsencode(name)) <= MAX_NAME
    except UnicodeEncodeError:
        return False


def find_index(shard: Path) -> Path | None:
    """Find the index beside `shard` that names it, None where it is a whole by itself. Raises ModelError."""
    indexes = (path for name in NAMES if name.endswith(".json") and (path := shard.with_name(name)).is_file())
    return next((path for path in indexes if shard in read_index(path).values()), None)


def read_tensors(path: Path, read: Callable[[Path], Mapping[str, H]]) -> dict[str, tuple[Path, H]]:
    """Find every tensor of the folder, file or index `path`: its file, and what `read` says of it.

    Where two shards hold a tensor the index decides; one that it does not list counts too. Raises
    ModelError naming the shard that is missing or lacks a tensor, beside what `read` raises.
    """
    file = find_weights_file(path)
    index = read_index(file) if file.name.endswith(".json") else {}
    tensors: dict[str, tuple[Path, H]] = {}
    for shard in sorted(set(index.values())) or [file]:
        if not shard.is_file():
            raise ModelError(f"{shard}: missing, but {file.name} names it: pull the model again")
        refuse_pointer(shard)
        held = read(shard)
        if absent := [name for name, place in index.items() if place == shard and name not in held]:
            raise ModelError(f"{shard}: lacks tensor {absent[0]}, which {file.name} says is in it")
        tensors |= {name: (shard, fact) for name, fact in held.items() if index.get(name, shard) == shard}
    return tensors


def refuse_pointer(path: Path) -> None:
    """Raise ModelError where git-lfs left a pointer in place of the weight file, or it cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    if start == _POINTER:
        raise ModelError(f"{path}: a pointer of git-lfs, not the weights: run git lfs pull")
