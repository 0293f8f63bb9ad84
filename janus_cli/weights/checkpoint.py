"""The tensors of a published checkpoint, wherever they lie: one file or shards, safetensors or torch's .bin.

Knows files and tensor names, no module: what a name means is remap's business. Nothing is read before it
is asked for, and a pickle never gets to run code (`torch.load(weights_only=True, mmap=True)`).
"""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from janus_cli import zoo
from janus_cli.errors import ModelError, quote
from janus_cli.media.sniff import is_safetensors
from janus_cli.media.tensor_header import WIDTH
from janus_cli.zoo import weight_files

_TORCH = "float64 float32 float16 bfloat16 int64 int32 uint32 int16 uint16 int8 uint8 bool"
DTYPES: dict[str, torch.dtype] = {  # by safetensors' words
    word: getattr(torch, name) for word, name in zip(WIDTH, _TORCH.split(), strict=True)
}
REMAP = 1 << 30  # bytes copied out of a file before it is unmapped: about what a mapping adds to a process
CHUNK = 1 << 22  # numbers looked at together
Fact = tuple[tuple[int, ...], torch.dtype]  # a tensor's shape and type
_ZIP_END = 22  # bytes of the record that ends a zip file


class Checkpoint(Mapping[str, Tensor]):
    """The tensors of a model folder or file, wherever they lie: read when asked for, memory-mapped.

    Iteration goes shard by shard, and only the shard asked last is kept open: who takes the tensors in
    this order and keeps none never has more than one shard mapped. A tensor stays mapped, and is not to
    be written to, as long as somebody holds it. Asking for an unknown name is a KeyError.
    """

    def __init__(self, path: Path, tensors: Mapping[str, tuple[Path, Fact]]) -> None:
        """`tensors`: the file of each, its shape and type; `Checkpoint.open` reads them."""
        self.path, self._tensors = path, tensors
        self._shard: _Safetensors | _Pickle | None = None
        self._copied = 0

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Open the checkpoint at `path`: a model folder, a weight file, or an index.json of shards.

        Reads headers only. Raises ModelError naming the file that is missing, truncated or no weight file,
        that holds code, or whose tensors are not what the index says.
        """
        return cls(path, weight_files.read_tensors(path, lambda file: _open(file).facts))

    def __getitem__(self, name: str) -> Tensor:
        file = self._tensors[name][0]
        if self._shard is None or self._shard.path != file:
            self._shard = None  # unmapped before the next one is mapped
            self._shard = _open(file)
        return self._shard.tensor(name)

    def note_copied(self, size: int) -> None:
        """Note that `size` bytes of tensors were copied out and let go.

        Pages that were read count as this process's memory while the file is mapped; so it is unmapped
        after REMAP of them, and mapped again for the next tensor.
        """
        self._copied += size
        if self._copied > REMAP:
            self._copied, self._shard = 0, None

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __contains__(self, name: object) -> bool:
        return name in self._tensors

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return each tensor's shape, in the order of iteration; reads no data."""
        return {name: shape for name, (_, (shape, _)) in self._tensors.items()}

    def dtype(self, name: str) -> torch.dtype:
        """Return the type that the tensor is stored in; reads no data."""
        return self._tensors[name][1][1]

    def file(self, name: str) -> Path:
        """Return the file that holds the tensor."""
        return self._tensors[name][0]


def check_numbers(checkpoint: Checkpoint, names: Iterable[str]) -> None:
    """Read these tensors. Raises ModelError naming the file and the first that holds NaN or infinity."""
    for name in names:
        tensor = checkpoint[name]
        parts = tensor.flatten().split(CHUNK) if tensor.is_floating_point() else ()
        if bad := sum(int((~part.isfinite()).sum()) for part in parts):
            raise ModelError(
                f"{checkpoint.file(name)}: tensor {name} holds NaN or infinity ({bad:,} of "
                f"{tensor.numel():,} numbers): it is damaged: get the file again"
            )
        checkpoint.note_copied(tensor.nbytes)


def name_torch_dtype(dtype: torch.dtype) -> str:
    """Name `dtype` as safetensors does: F32, BF16, ... Raises ModelError for a type that we do not store."""
    word = next((word for word, kind in DTYPES.items() if kind == dtype), None)
    if word is None:
        raise ModelError(f"tensors of {dtype} are not supported (only {', '.join(DTYPES)})")
    return word


def _open(path: Path) -> "_Safetensors | _Pickle":
    return _Safetensors(path) if path.suffix == ".safetensors" else _Pickle(path)


class _Safetensors:
    """One safetensors file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.facts = {name: (t.shape, DTYPES[t.dtype]) for name, t in zoo.read_header(path).items()}

    @cached_property
    def _file(self) -> Any:
        try:
            return safe_open(self.path, framework="pt", device="cpu")
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{self.path}: not a readable safetensors file ({error})") from None

    def tensor(self, name: str) -> Tensor:
        return self._file.get_tensor(name)


class _Pickle:
    """One file of torch.save in its zip format: a table of tensors and nothing else."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state = _unpickle(path)
        self.facts = {name: (tuple(t.shape), t.dtype) for name, t in self._state.items()}

    def tensor(self, name: str) -> Tensor:
        return self._state[name].detach()


def _unpickle(path: Path) -> dict[str, Tensor]:
    """Map the tensors in `path`. Raises ModelError, before any code in the file could run."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":  # the old formats are bare pickles, which cannot be mapped
            raise ModelError(f"{path}: neither safetensors nor a file of torch.save (1.6 or newer)")
        file.seek(max(0, path.stat().st_size - _ZIP_END))
        if file.read(4) != b"PK\5\6":
            raise ModelError(
                f"{path}: not a readable weight file; it may be truncated or padded "
                "(its directory does not stand at its end)"
            )
    state = _load(path, mmap=True)
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor) or value.layout is not torch.strided:
            raise ModelError(f"{path}: {name!r} is no tensor: expected a table of named tensors")
    return state


def _check_sizes(path: Path, state: dict[str, Any]) -> None:
    """Raise ModelError where tensors have more numbers than their file, as views of a few can have any."""
    size = path.stat().st_size
    held = sum(t.numel() * t.element_size() for t in _list_tensors(state))
    if held > 2 * size:  # two may share their numbers: tied embeddings
        raise ModelError(f"{path}: tensors of {held:,} bytes in a file of {size:,}: refused")


def _list_tensors(value: Any) -> Iterator[Tensor]:
    """List the tensors in a table, and in tables and lists in it."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _list_tensors(inner)


def _check_members(path: Path) -> None:
    """Raise ModelError for a zip file whose members unpack to more than they are: torch packs none."""
    try:
        with zipfile.ZipFile(path) as packed:
            names = [m.filename for m in packed.infolist() if m.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not a readable weight file; it may be truncated ({error})") from None
    if names:
        raise ModelError(f"{path}: not a file of torch.save ({quote(names[0])} in it is compressed)")


def _load(path: Path, mmap: bool) -> dict[str, Any]:
    """Read the table that torch.save wrote into `path`. Raises ModelError before any code in it could run."""
    if zipfile.is_zipfile(path):
        _check_members(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles that are newer than torch's
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f" ({named[1]})" if named else ""
        raise ModelError(f"{path}: refused: it holds code or objects{what}, not only tensors") from None
    except MemoryError:
        raise
    except Exception as error:  # of a damaged pickle torch's reader raises nearly anything
        reason = str(error).split(". ")[0].split("\n")[0]
        raise ModelError(f"{path}: not a readable weight file; it may be truncated ({reason})") from None
    if not isinstance(state, dict) or not state:
        raise ModelError(f"{path}: holds no table of tensors")
    _check_sizes(path, state)
    return state


def read_state(path: Path) -> dict[str, Any]:
    """Read a weight file of any usual format: tensors by name, in a .pth perhaps in a table inside.

    By its first bytes, whatever it is called: safetensors, or torch.save's zip or older format. Raises
    ModelError for anything else, before any code in it could run.
    """
    weight_files.refuse_pointer(path)
    with path.open("rb") as file:
        head = file.read(64)
    if is_safetensors(head):
        stored = _Safetensors(path)
        return {name: stored.tensor(name) for name in stored.facts}
    if head[:1] == b"\x80" or head[:2] == b"PK":
        return _load(path, mmap=False)  # the older format is a bare pickle, which cannot be mapped
    if head.lstrip()[:1] == b"<":
        raise ModelError(f"{path}: a web page, not a checkpoint: download the file itself")
    raise ModelError(f"{path}: {'neither safetensors nor a file of torch.save' if head else 'empty'}")
