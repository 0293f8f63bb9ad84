"""Writes a published checkpoint as a folder of safetensors: tensor by tensor, whole or not at all.

Knows files, names and dtypes; not what a tensor is for. Needs little memory: one shard of the checkpoint is
mapped at a time, and a cast is made of CHUNK bytes at a time.
"""

import contextlib
import errno
import json
import math
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from janus_cli import zoo
from janus_cli.config import Progress, read_object
from janus_cli.errors import ModelError
from janus_cli.media import interrupts
from janus_cli.media.files import name_temporary
from janus_cli.media.tensor_header import entries, frame
from janus_cli.weights.checkpoint import DTYPES, Checkpoint, name_torch_dtype
from janus_cli.zoo import weight_files

SHARD = 5_000_000_000  # bytes of one file; a checkpoint of more is sharded, as the hub's libraries do it
CHUNK = 1 << 26  # bytes cast at a time
_INDEX = "model.safetensors.index.json"
FilePlan = dict[str, tuple[str, tuple[int, ...]]]  # its tensors, in order: safetensors' dtype word, shape


def convert(
    source: Path, target: Path, dtype: torch.dtype | None, progress: Progress, shard: int = SHARD
) -> list[Path]:
    """Write the checkpoint in `source` (a folder, or a weight file in one) to the new folder `target`.

    Floating tensors become `dtype`, or stay as they are for None; configuration and tokenizer files are
    copied beside, config.json with the dtype that it then has. Returns the files written. Raises ModelError:
    `target` exists or cannot be, no config.json, a faulty checkpoint, no room; then nothing is left behind,
    and nothing is kept of it to go on with.
    """
    if os.path.lexists(target):
        raise ModelError(f"{target}: exists already: choose another folder with -o, or remove it")
    folder = source if source.is_dir() else source.parent
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: has no config.json beside the weights: copy the whole model folder")
    checkpoint = Checkpoint.open(source)
    plans = plan(checkpoint, dtype, shard)
    beside = sorted(
        {
            p
            for pattern in weight_files.BESIDE
            for p in folder.glob(pattern)
            if p.is_file() and not p.name.endswith(weight_files.WEIGHTS)
        }
    )
    needed = sum(map(_total_bytes, plans.values())) + sum(p.stat().st_size for p in beside)
    with _new_folder(target, needed) as temporary:
        for file, tensors in plans.items():
            _write_file(temporary / file, checkpoint, tensors, progress)
        if len(plans) > 1:
            _write_index(temporary / _INDEX, plans)
        for path in beside:
            shutil.copyfile(path, temporary / path.name)
        if dtype is not None:
            _note_dtype(temporary / "config.json", str(dtype).removeprefix("torch."))
    return sorted(target.iterdir())


def plan(checkpoint: Checkpoint, dtype: torch.dtype | None, shard: int) -> dict[str, FilePlan]:
    """Plan which file gets which tensors: filled up to `shard` bytes in the checkpoint's order."""
    files: list[FilePlan] = [{}]
    for name, shape in checkpoint.shapes().items():
        kind = checkpoint.dtype(name)
        entry = (name_torch_dtype(dtype if dtype is not None and kind.is_floating_point else kind), shape)
        if files[-1] and _total_bytes(files[-1]) + _count_bytes(*entry) > shard:
            files.append({})
        files[-1][name] = entry
    # The widest first, so that every tensor lies at a multiple of its width.
    files = [dict(sorted(f.items(), key=lambda item: -zoo.WIDTH[item[1][0]])) for f in files]
    if len(files) == 1:
        return {"model.safetensors": files[0]}
    return {f"model-{i:05}-of-{len(files):05}.safetensors": f for i, f in enumerate(files, 1)}


def _count_bytes(word: str, shape: tuple[int, ...]) -> int:
    return math.prod(shape) * zoo.WIDTH[word]


def _total_bytes(tensors: FilePlan) -> int:
    return sum(_count_bytes(*entry) for entry in tensors.values())


@contextlib.contextmanager
def _new_folder(target: Path, needed: int) -> Iterator[Path]:
    """Make a folder to write in; it becomes `target` if the block ends well, and is removed if not."""
    temporary = name_temporary(target)
    new = [folder for folder in target.parents if not os.path.lexists(folder)]  # innermost first
    try:
        with interrupts.unfinished(temporary):
            _make_folder(temporary)
            free = shutil.disk_usage(temporary).free
            if needed > free:
                raise ModelError(
                    f"{target}: the disk is full: {needed / 1e6:,.1f} MB are needed, "
                    f"{free / 1e6:,.1f} MB are free"
                )
            yield temporary
            temporary.rename(target)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise ModelError(f"{target}: cannot be written: {reason}") from None
    finally:
        with contextlib.suppress(OSError):  # one that holds something stays, and those around it
            for folder in new:
                folder.rmdir()


def _make_folder(path: Path) -> None:
    """Make `path` and the folders around it. Raises ModelError naming the one in the way."""
    try:
        path.mkdir(parents=True)
    except OSError as error:
        place = next(folder for folder in path.parents if os.path.lexists(folder))
        reason = error.strerror if place.is_dir() else "it is no folder"
        raise ModelError(
            f"{place}: no folder can be made in it: {reason}: choose another place with -o"
        ) from None


def _note_dtype(path: Path, word: str) -> None:
    """Write `word` where the configuration in `path`, or a part of it, says its dtype."""

    def replace(value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {
            key: word if key in ("torch_dtype", "dtype") else replace(inner) for key, inner in value.items()
        }

    text = json.dumps(replace(read_object(path)), indent=2, ensure_ascii=False)
    path.write_text(text + "\n", "utf-8")


def _write_file(path: Path, checkpoint: Checkpoint, tensors: FilePlan, progress: Progress) -> None:
    """Write one safetensors file: header, then the tensors one after the other."""
    with path.open("xb", buffering=0) as file:
        metadata = {"__metadata__": {"format": "pt"}}  # transformers asks for it
        _write(file, frame(json.dumps({**metadata, **entries(tensors)[0]}, separators=(",", ":"))))
        for name, (word, _) in tensors.items():
            tensor = checkpoint[name]
            for chunk in _chunks(tensor, word):
                _write(file, chunk)
                progress(len(chunk))
            checkpoint.note_copied(tensor.nbytes)
        os.fsync(file.fileno())


def _write(file: BinaryIO, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:  # a raw file may take less than it is given
        view = view[file.write(view) :]


def _chunks(tensor: Tensor, word: str) -> Iterator[memoryview]:
    """Give the bytes of `tensor`, cast to the type `word`, in rows of about CHUNK bytes."""
    dtype = DTYPES[word]
    rows = tensor if tensor.dim() else tensor[None]
    width = max(1, _count_bytes(word, tuple(rows.shape[1:])))
    for chunk in rows.split(max(1, CHUNK // width)) if rows.numel() else ():
        plain = chunk.to(dtype).contiguous().view(-1).view(torch.uint8)
        yield memoryview(plain.numpy())


def _write_index(path: Path, plans: dict[str, FilePlan]) -> None:
    sizes = {"total_size": sum(map(_total_bytes, plans.values()))}
    weight_map = {name: file for file, tensors in plans.items() for name in tensors}
    path.write_text(json.dumps({"metadata": sizes, "weight_map": weight_map}, indent=2) + "\n", "utf-8")
