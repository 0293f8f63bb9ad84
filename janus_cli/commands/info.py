"""`janus info`: what is in a token file or stream, a picture or sound made here, or a model."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from janus_cli import plugins, zoo
from janus_cli.errors import JanusError, ModelError, OutputError, RecordError
from janus_cli.media.sniff import HEAD, sniff
from janus_cli.pipeline.inspection import describe_checkpoint, describe_codec, file_lines, sound_facts
from janus_cli.shell import options as opt
from janus_cli.shell.console import Failures, put, put_json, visible
from janus_cli.shell.inputs import named_records

if TYPE_CHECKING:
    from janus_cli.records import Record, Segment

_SEEN = {"modality", "shape", "dtype", "range", "seconds"}  # facts that no metadata can gainsay


def info(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|DIR|MODEL|-",
            show_default=False,
            help="Token files, folders or shards, pictures, sounds, models; standard input if none.",
        ),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Look inside.

    janus info apple.safetensors, janus info apple.png, janus info pocket
    """
    failures = Failures()
    done = 0
    names = inputs or ["-"]
    for name in names:
        try:
            for facts in describe(name, failures):
                if as_json:
                    put_json(facts)
                else:
                    put_table(facts)
                done += 1
        except OutputError:
            raise
        except JanusError as error:
            if len(names) == 1:
                raise
            failures.add(error, name)
    failures.finish(done)


def describe(name: str, failures: Failures) -> Iterator[dict[str, Any]]:
    """One dict of plain JSON values for each record, picture or model that `name` stands for."""
    path = Path(name)
    if name != "-" and ((path / "config.json").is_file() or not path.exists()):
        yield describe_model(locate(name))
    elif name != "-" and path.is_file() and (kind := _begins_as(path)):
        yield kind(path)
    else:
        for i, (place, record) in enumerate(named_records([name], failures, "info")):
            yield {"kind": "record", "file": place, "number": i, **describe_record(record)}


def locate(name: str) -> zoo.Place:
    """The model called `name`. Raises ModelError that says it is no file either."""
    try:
        return zoo.locate(name)
    except ModelError as error:
        if Path(name).suffix or "/" in name:
            raise ModelError(f"{name}: no such file") from None
        raise ModelError(f"{name}: no such file, and {error}") from None


def _begins_as(path: Path) -> Callable[[Path], dict[str, Any]] | None:
    """What describes the picture or sound in `path`, by its first bytes; None for anything else."""
    try:
        with path.open("rb") as file:
            found = sniff(file.read(HEAD))
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    return {"picture": describe_picture, "sound": describe_sound}.get(found.media) if found else None


def describe_record(record: "Record") -> dict[str, Any]:
    """A record's name, segments and history."""
    facts: dict[str, Any] = {
        "id": record.id,
        "segments": [describe_segment(s) for s in record.segments],
        "made_by": list(record.made_by),
    }
    if record.part:
        facts["part"] = {"index": record.part.index, "last": record.part.last, "rows": list(record.part.rows)}
    return facts


def describe_segment(segment: "Segment") -> dict[str, Any]:
    """A segment's modality, shape, dtype, range of values and metadata, whatever those hold."""
    facts: dict[str, Any] = {
        "modality": segment.modality,
        "shape": list(segment.data.shape),
        "dtype": str(segment.data.dtype),
    }
    if segment.data.size:
        facts["range"] = [segment.data.min().item(), segment.data.max().item()]
    facts |= {word: value for word, value in segment.info.items() if word not in _SEEN}
    counted = segment.data.shape[1] if segment.modality == "waveform" else None
    rate, length = _number(facts.get("sample_rate")), _number(facts.get("num_samples", counted))
    if rate and length is not None and math.isfinite(length / rate):
        facts["seconds"] = length / rate
    return facts


def _number(value: Any) -> float | None:
    """A number that is not negative and no larger than a float can be; None for anything else."""
    try:
        return float(value) if type(value) in (int, float) and value >= 0 else None
    except OverflowError:
        return None


def describe_picture(path: Path) -> dict[str, Any]:
    """A picture's size and what its file says of how it was made."""
    from janus_cli.media.pictures import read_image, read_image_metadata

    height, width = read_image(path, str(path)).shape[:2]
    return {
        **_made(path, read_image_metadata(path)),
        "kind": "picture",
        "file": str(path),
        "width": width,
        "height": height,
    }


def describe_sound(path: Path) -> dict[str, Any]:
    """A sound's length, rate and channels, and what its file says of how it was made."""
    from janus_cli.media.sounds import read_comment

    sound, kind, texts = read_comment(path, str(path))
    return {
        **_made(path, texts),
        "kind": "sound",
        "file": str(path),
        "format": kind,
        "seconds": sound.seconds,
        "sample_rate": sound.sample_rate,
        "channels": sound.channels,
        "num_samples": sound.num_samples,
    }


def _made(path: Path, texts: dict[str, str]) -> dict[str, Any]:
    """What the texts in a picture or sound say of how it was made. Raises RecordError for damaged ones."""
    from janus_cli.records.wire import dump_json

    made: Any = {}
    if "janus" in texts:
        try:
            made = json.loads(texts["janus"])
            dump_json(made)  # refuses what json.loads lets through: NaN, 1e999, lone surrogates
        except (ValueError, RecursionError, RecordError):
            made = None
        steps = made.get("made_by", []) if isinstance(made, dict) else None
        if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
            raise RecordError(f"{path}: its janus parameters are damaged")
    return {**made, **({"prompt": texts["prompt"]} if "prompt" in texts else {})}


def describe_model(place: zoo.Place) -> dict[str, Any]:
    """A model's components with their parameters and sizes, read from the weight files' headers."""
    if place.is_published:
        return describe_checkpoint(place)
    if place.is_codec:
        return describe_codec(place)
    model = zoo.find(str(place.path))
    parts: dict[str, Any] = {}
    for component in zoo.COMPONENTS:
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
    have = [p for p in parts.values() if "parameters" in p]
    facts: dict[str, Any] = {
        "kind": "model",
        "name": place.name,
        "path": str(model.path),
        "type": model.config.model_type,
        "parameters": sum(p["parameters"] for p in have),
        "bytes": sum(p["bytes"] for p in have),
        "components": parts,
        "grid": list(model.config.generation.grid),
    }
    if (model.path / "tokenizer.json").is_file():
        facts["text_fingerprint"] = model.text_fingerprint
    if "parameters" in parts.get("dvae", {}):
        facts["codebook_fingerprint"] = model.codebook_fingerprint
    if "parameters" in parts.get("codec", {}):
        facts["codec_fingerprint"] = model.codec_fingerprint
    return facts | sound_facts(model.config.codec)


# ---- for people


def put_table(facts: dict[str, Any]) -> None:
    """Show `facts` to a person; nothing in them makes a line of its own."""
    put("\n".join(map(visible, table(facts))))


def table(facts: dict[str, Any]) -> list[str]:
    """The lines that show `facts` to a person."""
    return {"record": _record_lines, "picture": _media_lines, "sound": _media_lines, "model": _model_lines}[
        facts["kind"]
    ](facts)


def columns(rows: list[list[str]]) -> list[str]:
    """Rows of cells as aligned lines, each two spaces in."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _record_lines(facts: dict[str, Any]) -> list[str]:
    place = "stdin" if facts["file"] == "-" else facts["file"]
    part = f"  part {facts['part']['index']}{' (last)' * facts['part']['last']}" if "part" in facts else ""
    rows = [["", "modality", "shape", "dtype", "values", "tokenizer", "fingerprint"]]
    for i, s in enumerate(facts["segments"]):
        values = "..".join(f"{v:g}" if isinstance(v, float) else str(v) for v in s.get("range", []))
        rows.append(
            [
                str(i),
                s["modality"],
                "x".join(map(str, s["shape"])),
                s["dtype"],
                values,
                str(s.get("tokenizer", "")),
                str(s.get("fingerprint", ""))[:12],
            ]
        )
    heard = [[str(i), *_heard(s)] for i, s in enumerate(facts["segments"]) if "seconds" in s]
    told = [
        [str(i), *_told(s)] for i, s in enumerate(facts["segments"]) if s["modality"] not in plugins.BUILT_IN
    ]
    return [
        f"{place}  record {facts['number']}  id {facts['id']!r}{part}",
        *columns(rows),
        *(columns(heard) if heard else []),
        *(f"  {'  '.join(cells)}" for cells in told),
        *_history(facts["made_by"]),
    ]


def _told(segment: dict[str, Any]) -> list[str]:
    """What a plugin says of its segment."""
    elsewhere = _SEEN | {"tokenizer", "fingerprint"}
    return [
        f"{word}={json.dumps(value, ensure_ascii=False)}"
        for word, value in segment.items()
        if word not in elsewhere
    ]


def _heard(segment: dict[str, Any]) -> list[str]:
    """How long an audio or waveform segment lasts, and what there is of it a second."""
    cells = [f"{segment['seconds']:.2f} s", f"{segment['sample_rate']:g} Hz"]
    frames = _number(segment.get("frame_rate"))
    if segment["modality"] == "audio" and frames is not None:
        return [*cells, f"{segment['shape'][0]} codebooks", f"{frames:g} frames/s"]
    return cells + [f"{segment['shape'][0]} channels"] * (segment["modality"] == "waveform")


def _history(made_by: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            str(step.get("stage", "?")),
            " ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in step.items() if k != "stage"),
        ]
        for step in made_by
    ]
    return columns(rows) if rows else []


def _media_lines(facts: dict[str, Any]) -> list[str]:
    what = (
        f"picture {facts['width']}x{facts['height']}"
        if facts["kind"] == "picture"
        else (
            f"sound {facts['seconds']:.2f} s  {facts['sample_rate']} Hz  {facts['channels']} channels  "
            f"{facts['format']}"
        )
    )
    lines = [f"{facts['file']}  {what}"]
    words = ("prompt", "model", "seed", "index", "tokens", "version")
    rows = [[word, str(facts[word])] for word in words if word in facts]
    lines += columns(rows) if rows else ["  says nothing of how it was made"]
    return lines + _history(facts.get("made_by", []))


def _model_lines(facts: dict[str, Any]) -> list[str]:
    rows = [["component", "parameters", "bytes", "dtype"]]
    for name, part in facts["components"].items():
        rows.append(
            [name, f"{part['parameters']:,}", f"{part['bytes']:,}", part["dtype"]]
            if "parameters" in part
            else [name, f"missing: {part['missing']}", "", ""]
        )
    rows.append(["together", f"{facts['parameters']:,}", f"{facts['bytes']:,}", ""])
    lines = [f"{facts['name']}  model at {facts['path']}", *columns(rows)]
    if "problem" in facts:
        lines = [lines[0], f"  {facts['problem']}"]
    if "files" in facts:
        lines += columns([["file", "bytes", "digest"], *file_lines(facts)])
    prints = [
        [word.replace("_", " "), facts[word]]
        for word in ("text_fingerprint", "codebook_fingerprint", "codec_fingerprint")
        if word in facts
    ]
    grid = [["picture tokens", "x".join(map(str, facts["grid"]))]] if "grid" in facts else []
    if sound := facts.get("sound"):
        grid.append(
            [
                "sound tokens",
                f"{sound['codebooks']} codebooks of {sound['codebook_size']}, "
                f"{sound['frame_rate']:g} frames/s, {sound['sample_rate']} Hz, "
                f"{sound['channels']} channels",
            ]
        )
    return lines + (columns(grid + prints) if grid + prints else [])
