"""What `janus info` and `janus models` say of a published checkpoint, and how they check it.

Reads headers where the layout allows it: safetensors need no torch, `.bin` files do.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from janus_cli import zoo
from janus_cli.config import CodecConfig, PublishedConfig, read_object
from janus_cli.errors import ModelError
from janus_cli.weights.published import PublishedNet
from janus_cli.zoo import hub, janus_pro, weight_files

Check = tuple[str, Callable[[], str]]  # what is checked, and how: a line that says what was found


def describe_checkpoint(place: zoo.Place) -> dict[str, Any]:
    """Parts, sizes, dtypes, files with the hub's digests, and what is missing, as plain JSON values."""
    facts: dict[str, Any] = {
        "kind": "model",
        "name": place.name,
        "path": str(place.path),
        "parameters": 0,
        "bytes": 0,
        "type": read_object(place.path / "config.json").get("model_type"),
        "components": {},
    }
    try:
        parts = _parts(place.path)
    except ModelError as error:
        facts["problem"] = str(error)
    else:
        facts |= {
            "components": parts,
            "parameters": sum(p["parameters"] for p in parts.values()),
            "bytes": sum(p["bytes"] for p in parts.values()),
        }
    known = hub.read_digests(place.path)
    facts["files"] = [
        {"file": file.name, "bytes": file.stat().st_size}
        | ({"digest": known[file.name].hex} if file.name in known else {})
        for file in _files(place.path)
    ]
    facts["missing"] = hub.find_missing(place.path)
    return facts


def describe_codec(place: zoo.Place) -> dict[str, Any]:
    """Parts, sizes and dtypes of a published EnCodec checkpoint, and what its tokens are."""
    facts: dict[str, Any] = {
        "kind": "model",
        "name": place.name,
        "path": str(place.path),
        "parameters": 0,
        "bytes": 0,
        "type": "encodec",
        "components": {},
    }
    try:
        config, parts = zoo.find(str(place.path)).config.codec, _parts(place.path)
    except ModelError as error:
        return facts | {"problem": str(error)}
    return (
        facts
        | {
            "components": parts,
            "parameters": sum(p["parameters"] for p in parts.values()),
            "bytes": sum(p["bytes"] for p in parts.values()),
        }
        | sound_facts(config)
    )


def sound_facts(codec: CodecConfig | None) -> dict[str, Any]:
    """What the tokens of a model with a codec stand for; nothing without one."""
    if codec is None:
        return {}
    return {
        "sound": {
            "sample_rate": codec.sample_rate,
            "channels": codec.channels,
            "codebooks": codec.n_q,
            "frame_rate": codec.frame_rate,
            "codebook_size": codec.codebook_size,
        }
    }


def _parts(path: Path) -> dict[str, dict[str, Any]]:
    """Parameters, bytes and dtypes of each part of the net, by the name that the checkpoint gives it."""
    parts: dict[str, dict[str, Any]] = {}
    for name, (dtype, size) in _tensors(path).items():
        part = parts.setdefault(
            name.removeprefix("model.").split(".")[0], {"parameters": 0, "bytes": 0, "dtype": set()}
        )
        part["parameters"] += size
        part["bytes"] += size * zoo.WIDTH[dtype]
        part["dtype"].add(dtype)
    return {name: part | {"dtype": "+".join(sorted(part["dtype"]))} for name, part in parts.items()}


def _tensors(path: Path) -> dict[str, tuple[str, int]]:
    """Each tensor's dtype, as safetensors calls it, and number of elements. Raises ModelError."""
    if not weight_files.weights_file(path).name.removesuffix(".index.json").endswith((".bin", ".th")):
        headers = weight_files.read_tensors(path, zoo.read_header)
        return {name: (tensor.dtype, tensor.size) for name, (_, tensor) in headers.items()}
    from janus_cli.weights.checkpoint import Checkpoint, dtype_word

    checkpoint = Checkpoint.open(path)
    return {
        name: (dtype_word(checkpoint.dtype(name)), math.prod(shape))
        for name, shape in checkpoint.shapes().items()
    }


def _files(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))


def checks(place: zoo.Place) -> Iterator[Check]:
    """What loading needs of a published checkpoint, cheapest first; each raises ModelError."""
    yield "files", partial(_check_files, place)
    yield "tensors", partial(_check_tensors, place)
    yield "tokenizer", partial(_check_tokenizer, place)
    yield "digests", partial(_check_digests, place)


def _check_files(place: zoo.Place) -> str:
    if lacking := hub.find_missing(place.path):
        raise ModelError(f"{place.path} lacks {', '.join(lacking)}: janus models pull {place.name}")
    files = _files(place.path)
    return f"ok, {len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:,.1f} MB"


def _check_tensors(place: zoo.Place) -> str:
    """Exactly the tensors that the configuration asks for are there, in their shapes."""
    config = janus_pro.read(place.path)
    assert isinstance(config, PublishedConfig)  # or it would be one of ours
    names = len(PublishedNet(place.path, config.janus_pro).plan)
    parts = _parts(place.path)
    dtypes = sorted({word for part in parts.values() for word in part["dtype"].split("+")})
    return (
        f"ok, {names} as config.json asks, {sum(p['parameters'] for p in parts.values()):,} parameters, "
        f"{'+'.join(dtypes)}"
    )


def _check_tokenizer(place: zoo.Place) -> str:
    """The tokenizer can be read and has the tokens that prompts need."""
    from janus_cli.stages.decoding.templates import Prompts
    from janus_cli.stages.text import TextTokenizer

    tokenizer = TextTokenizer(place.path / "tokenizer.json", place.name)
    Prompts(tokenizer)
    return f"ok, {tokenizer.vocab_size:,} tokens, {tokenizer.fingerprint[:12]}"


def _check_digests(place: zoo.Place) -> str:
    """Every file holds what the hub says, where the hub says anything."""
    known = hub.read_digests(place.path)
    files = [file for file in _files(place.path) if file.name in known]
    if wrong := [fault for file in files if (fault := _digest_fault(file, known[file.name]))]:
        raise ModelError("; ".join(wrong))
    return f"ok, {len(files)} files are the hub's" if files else "none to compare the files with"


def _digest_fault(path: Path, known: hub.Digest) -> str:
    """What is wrong with the file, empty if it is the hub's."""
    try:
        found = known.of(path)
    except OSError as error:
        return f"{path}: {error.strerror}"
    if found == known.hex:
        return ""
    return (
        f"{path}: its {known.kind} is {found[:12]}, the hub's {known.hex[:12]}: "
        f"delete {path.resolve()} and pull the model again"
    )


def file_lines(facts: dict[str, Any]) -> list[list[str]]:
    """Rows of cells that show the files of `facts` to a person, what is missing last."""
    rows = [[f["file"], f"{f['bytes']:,}", f.get("digest", "")] for f in facts.get("files", [])]
    return rows + [[name, "missing", ""] for name in facts.get("missing", [])]
