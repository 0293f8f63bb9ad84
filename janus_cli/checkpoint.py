"""The tensors of a published checkpoint, wherever they lie: one file or shards, safetensors or torch's .bin.

Knows files and tensor names, no module: what a name means is remap's business. Nothing is read before it
is asked for, and a pickle never gets to run code (`torch.load(weights_only=True, mmap=True)`).
"""

import json
import pickle
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from janus_cli import zoo
from janus_cli.errors import ModelError

# What a model folder's weights are called, best first: the names that the hub's libraries write.
NAMES = ("model.safetensors.index.json", "model.safetensors",
         "pytorch_model.bin.index.json", "pytorch_model.bin")
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
           "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "U16": torch.uint16,
           "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}
_POINTER = b"version https://git-lfs"


class Checkpoint(Mapping[str, Tensor]):
    """The tensors of a model folder or file, wherever they lie: read when asked for, memory-mapped.

    Iteration goes shard by shard, and only the shard asked last is kept open: who takes the tensors in
    this order and keeps none never has more than one shard mapped. A tensor stays mapped, and read-only
    in intent, as long as somebody holds it; asking for an unknown name is a KeyError.
    """

    def __init__(self, path: Path, shards: Mapping[Path, Mapping[str, tuple[tuple[int, ...], torch.dtype]]],
                 index: Mapping[str, Path]) -> None:
        """`shards`: per file its tensors' shapes and dtypes; `index`: which file counts where two hold one.

        `Checkpoint.open` reads both from files.
        """
        self.path = path
        self._facts = {name: (file, *facts) for file, held in shards.items() for name, facts in held.items()
                       if index.get(name, file) == file}
        self.files = tuple(shards)
        self._shard: _Safetensors | _Pickle | None = None

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """The checkpoint at `path`: a model folder, a weight file, or an index.json of shards.

        Reads headers only. Raises ModelError naming the file that is missing, truncated or no weight file,
        that holds code, or whose tensors are not what the index says.
        """
        file = weights_file(path)
        if not file.name.endswith(".json"):
            return cls(path, {file: _open(file).facts}, {})
        index = read_index(file)
        shards = {}
        for shard in sorted(set(index.values())):
            if not shard.is_file():
                raise ModelError(f"{shard}: missing, but {file.name} names it: pull the model again")
            shards[shard] = _open(shard).facts
        for name, shard in index.items():
            if name not in shards[shard]:
                raise ModelError(f"{shard}: lacks tensor {name}, which {file.name} says is in it")
        return cls(path, shards, index)

    def __getitem__(self, name: str) -> Tensor:
        file = self._facts[name][0]
        if self._shard is None or self._shard.path != file:
            self._shard = None  # unmapped before the next one is mapped
            self._shard = _open(file)
        return self._shard.tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._facts)

    def __len__(self) -> int:
        return len(self._facts)

    def __contains__(self, name: object) -> bool:
        return name in self._facts

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Each tensor's shape, in the order of iteration; reads no data."""
        return {name: shape for name, (_, shape, _) in self._facts.items()}

    def dtype(self, name: str) -> torch.dtype:
        """The type that the tensor is stored in; reads no data."""
        return self._facts[name][2]

    def file(self, name: str) -> Path:
        """The file that holds the tensor."""
        return self._facts[name][0]


def weights_file(path: Path) -> Path:
    """The file to begin with: `path` itself, or the first of NAMES in the folder `path`.

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
    """Which shard holds which tensor, from a `*.index.json`. Raises ModelError for a file that is none."""
    try:
        names = json.loads(path.read_text("utf-8"))["weight_map"]
        shards = {name: path.parent / shard for name, shard in names.items()}
        if not shards or any(shard.parent != path.parent for shard in shards.values()):
            raise ValueError("its shards must lie beside it")
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not an index of shards ({error})") from None
    return shards


def _open(path: Path) -> "_Safetensors | _Pickle":
    try:
        with path.open("rb") as file:
            start = file.read(len(_POINTER))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from None
    if start == _POINTER:
        raise ModelError(f"{path}: a pointer of git-lfs, not the weights: run git lfs pull")
    return _Safetensors(path) if path.suffix == ".safetensors" else _Pickle(path)


class _Safetensors:
    """One safetensors file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts = {name: (t.shape, _DTYPES[t.dtype]) for name, t in zoo.read_header(path).items()}

    @cached_property
    def _file(self) -> Any:
        try:
            return safe_open(self.path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{self.path}: not a readable safetensors file ({error})") from None

    def tensor(self, name: str) -> Tensor:
        return self._file.get_tensor(name)


class _Pickle:
    """One file of torch.save in its zip format, a table of tensors and nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = _unpickle(path)
        self.facts = {name: (tuple(t.shape), t.dtype) for name, t in self._state.items()}

    def tensor(self, name: str) -> Tensor:
        return self._state[name].detach()


def _unpickle(path: Path) -> dict[str, Tensor]:
    """The tensors in `path`, mapped. Raises ModelError, before any code in the file could run."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # the old formats are bare pickles, which cannot be mapped
            raise ModelError(f"{path}: neither safetensors nor a file of torch.save (1.6 or newer)")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise ModelError(f"{path}: refused: it holds code or objects{what}, not only tensors") from None
    except (RuntimeError, OSError, ValueError, EOFError, KeyError, TypeError) as error:
        reason = str(error).split(". ")[0].splitlines()[0]
        raise ModelError(f"{path}: not a readable weight file; it may be truncated ({reason})") from None
    if not isinstance(state, dict) or not state:
        raise ModelError(f"{path}: holds no table of tensors")
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout is not torch.strided:
            raise ModelError(f"{path}: {name!r} is no tensor: expected a table of named tensors")
    return state
