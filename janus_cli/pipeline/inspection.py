"""What is known of a model of any kind, and what can be checked of it before it is used.

Reads headers where the layout allows it: safetensors need no torch, `.bin` files do.
"""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from janus_cli import weights, zoo
from janus_cli.config import COMPONENTS, CodecConfig, ModelConfig, PublishedConfig, read_object
from janus_cli.errors import ModelError
from janus_cli.pipeline.tokenizers import Sounds, open_text
from janus_cli.weights.published import PublishedNet
from janus_cli.zoo import encodec, hub, janus_pro, weight_files

Check = tuple[str, Callable[[], str]]  # what is checked, and how: a line that says what was found


def describe_model(place: zoo.Place) -> dict[str, Any]:
    """List a model's components, sizes and dtypes, and what its tokens are, as plain JSON values."""
    if place.is_published:
        return _describe_published(place)
    if place.is_codec:
        return _describe_codec(place)
    model = zoo.find(str(place.path))
    parts: dict[str, Any] = {}
    for component in COMPONENTS:
        if getattr(model.config, component) is None:
            continue
        file = model.path / f"{component}.safetensors"
        if not file.is_file():
            parts[component] = {"missing": file.name}
            continue
        tensors = zoo.read_header(file).values()
        parts[component] = {
            "parameters": sum(t.size for t in tensors),
            "bytes": file.stat().st_size,
            "dtype": "+".join(sorted({t.dtype for t in tensors})),
        }
    facts = _facts(place, model.config.model_type, parts)
    facts["grid"] = list(model.config.generation.grid)
    if (model.path / "tokenizer.json").is_file():
        facts["text_fingerprint"] = model.text_fingerprint
    if "parameters" in parts.get("dvae", {}):
        facts["codebook_fingerprint"] = model.codebook_fingerprint
    if "parameters" in parts.get("codec", {}):
        facts["codec_fingerprint"] = model.codec_fingerprint
    return facts | _describe_sounds(model.config.codec)


def list_checks(place: zoo.Place) -> Iterator[Check]:
    """List what can be checked of a model, cheapest first; each raises ModelError for what is wrong."""
    if place.is_published:
        yield "files", partial(_check_files, place)
        yield "tensors", partial(_check_tensors, place)
        yield "tokenizer", partial(_check_prompts, place)
        yield "digests", partial(_check_digests, place)
        return
    model = zoo.find(str(place.path))
    parts = [c for c in COMPONENTS if getattr(model.config, c) is not None]
    if "decoder" in parts:
        yield "tokenizer", partial(_check_tokenizer, model)
    for component in parts:
        yield component, partial(_check_component, model, component)


def locate_importable(model: str) -> zoo.Place:
    """Find the published checkpoint, a folder or file, that `models import` turns into safetensors.

    Raises ModelError for another kind of model, or one of ours.
    """
    path = Path(model)
    folder = path.parent if path.is_file() else path
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: has no config.json beside the weights: copy the whole model folder")
    place = zoo.Place(folder.resolve().name, folder) if path.is_file() else zoo.locate(model)
    if not place.is_published:
        if place.path.is_dir():
            janus_pro.read(place.path, place.name)  # says what it holds instead, where it is not ours
        raise ModelError(f"{place.name} is no published checkpoint: there is nothing to import")
    if not path.is_file():
        return place
    if whole := weight_files.find_index(path):
        raise ModelError(f"{path}: one shard of {whole.name}: name the folder, to import all of them")
    return zoo.Place(place.name, path)


# ---- facts


def _facts(place: zoo.Place, kind: Any, parts: dict[str, Any]) -> dict[str, Any]:
    """List what every model has: its name and components, and their sizes together."""
    here: Iterable[dict[str, Any]] = [part for part in parts.values() if "parameters" in part]
    return {
        "kind": "model",
        "name": place.name,
        "path": str(place.path),
        "type": kind,
        "parameters": sum(part["parameters"] for part in here),
        "bytes": sum(part["bytes"] for part in here),
        "components": parts,
    }


def _describe_published(place: zoo.Place) -> dict[str, Any]:
    """List the parts of a published Janus checkpoint, its files with the hub's digests, what is missing."""
    kind = read_object(place.path / "config.json").get("model_type")
    try:
        facts = _facts(place, kind, _read_parts(place.path))
    except ModelError as error:
        facts = _facts(place, kind, {}) | {"problem": str(error)}
    known = hub.read_digests(place.path)
    facts["files"] = [
        {"file": file.name, "bytes": file.stat().st_size}
        | ({"digest": known[file.name].hex} if file.name in known else {})
        for file in _list_files(place.path)
    ]
    facts["missing"] = hub.find_missing(place.path)
    return facts


def _describe_codec(place: zoo.Place) -> dict[str, Any]:
    """List the parts of a published EnCodec checkpoint, and what its tokens are."""
    try:
        config, parts = zoo.find(str(place.path)).config.codec, _read_parts(place.path)
    except ModelError as error:
        return _facts(place, "encodec", {}) | {"problem": str(error)}
    return _facts(place, "encodec", parts) | _describe_sounds(config)


def _describe_sounds(codec: CodecConfig | None) -> dict[str, Any]:
    """List what the tokens of a model with a codec stand for; nothing without one."""
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


def _read_parts(path: Path) -> dict[str, dict[str, Any]]:
    """Count parameters, bytes and dtypes of each part of a net, by the name that the checkpoint gives it."""
    parts: dict[str, dict[str, Any]] = {}
    for name, (dtype, size) in _read_tensors(path).items():
        part = parts.setdefault(
            name.removeprefix("model.").split(".")[0], {"parameters": 0, "bytes": 0, "dtype": set()}
        )
        part["parameters"] += size
        part["bytes"] += size * zoo.WIDTH[dtype]
        part["dtype"].add(dtype)
    return {name: part | {"dtype": "+".join(sorted(part["dtype"]))} for name, part in parts.items()}


def _read_tensors(path: Path) -> dict[str, tuple[str, int]]:
    """Read each tensor's dtype, as safetensors calls it, and number of elements. Raises ModelError."""
    if not weight_files.find_weights_file(path).name.removesuffix(".index.json").endswith((".bin", ".th")):
        headers = weight_files.read_tensors(path, zoo.read_header)
        return {name: (tensor.dtype, tensor.size) for name, (_, tensor) in headers.items()}
    from janus_cli.weights.checkpoint import Checkpoint, name_torch_dtype

    checkpoint = Checkpoint.open(path)
    return {
        name: (name_torch_dtype(checkpoint.dtype(name)), math.prod(shape))
        for name, shape in checkpoint.shapes().items()
    }


def _list_files(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))


# ---- checks


def _check_tokenizer(model: zoo.Model) -> str:
    """Read the text tokenizer of a model of ours."""
    text = open_text(model.tokenizer_file, model.name, model.config)
    return f"ok, {text.vocab_size} tokens, {text.fingerprint[:12]}"


def _check_component(model: zoo.Model, component: str) -> str:
    """Load one component of a model that is no published Janus, strictly; its weights must be numbers."""
    from janus_cli.weights.checkpoint import Checkpoint, check_numbers

    sounds = component == "codec"
    module = (
        Sounds(model, lambda: "cpu").codec
        if sounds
        else weights.load_component(model, component, lambda: "cpu")
    )
    if component == "decoder":
        _check_grid(model)
    checkpoint = Checkpoint.open(
        model.path if model.config.model_type == encodec.MODEL_TYPE else model.file(component)
    )
    check_numbers(checkpoint, checkpoint)
    mark = f", {model.codebook_fingerprint[:12]}" if component == "dvae" else ""
    return f"ok, {sum(t.numel() for t in module.state_dict().values()):,} parameters{mark}"


def _check_grid(model: zoo.Model) -> None:
    """Raise ModelError where the decoder has no room for the picture that the generation settings ask for."""
    decoder, (rows, cols) = model.config.decoder, model.config.generation.grid
    if decoder is not None and "image" in decoder.modalities and rows * cols + 2 > decoder.max_seq_len:
        raise ModelError(
            f"{model.path / 'config.json'}: generation.grid: {rows} x {cols} tokens are too long for "
            f"decoder.max_seq_len {decoder.max_seq_len}"
        )


def _check_files(place: zoo.Place) -> str:
    """Check that no file of a published checkpoint is missing."""
    if lacking := hub.find_missing(place.path):
        raise ModelError(f"{place.path} lacks {', '.join(lacking)}: janus models pull {place.name}")
    files = _list_files(place.path)
    return f"ok, {len(files)} files, {sum(f.stat().st_size for f in files) / 1e6:,.1f} MB"


def _check_tensors(place: zoo.Place) -> str:
    """Check that exactly the tensors of config.json are there, in their shapes, and that they are numbers."""
    from janus_cli.weights.checkpoint import check_numbers

    config = janus_pro.read(place.path)
    assert isinstance(config, PublishedConfig)  # or it would be one of ours
    net = PublishedNet(place.path, config.janus_pro)
    check_numbers(
        net.checkpoint, dict.fromkeys(name for source in net.plan.values() for name in source.names)
    )
    parts = _read_parts(place.path)
    dtypes = sorted({word for part in parts.values() for word in part["dtype"].split("+")})
    count = sum(part["parameters"] for part in parts.values())
    return f"ok, {len(net.plan)} as config.json asks, {count:,} parameters, {'+'.join(dtypes)}"


def _check_prompts(place: zoo.Place) -> str:
    """Check that a published checkpoint's tokenizer can be read and has the tokens that prompts need."""
    from janus_cli.stages.decoding.templates import Templates

    file, config = place.path / "tokenizer.json", ModelConfig(place.name)
    with contextlib.suppress(ModelError):  # what is wrong with config.json is said of the tensors
        config = janus_pro.read(place.path)
    tokenizer = open_text(file, place.name, config)
    Templates(tokenizer)
    return f"ok, {tokenizer.vocab_size:,} tokens, {tokenizer.fingerprint[:12]}"


def _check_digests(place: zoo.Place) -> str:
    """Check that every file holds what the hub says, where the hub says anything."""
    known = hub.read_digests(place.path)
    files = [file for file in _list_files(place.path) if file.name in known]
    if wrong := [fault for file in files if (fault := _find_fault(file, known[file.name]))]:
        raise ModelError("; ".join(wrong))
    return f"ok, {len(files)} files are the hub's" if files else "none to compare the files with"


def _find_fault(path: Path, known: hub.Digest) -> str:
    """Say what is wrong with a file; nothing if it is the hub's."""
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
