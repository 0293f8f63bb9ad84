"""What is known of a record, a picture or a sound, as plain JSON values."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from janus_cli.errors import RecordError
from janus_cli.media.picture_formats import FORMATS
from janus_cli.media.sniff import HEAD, sniff
from janus_cli.shell.console import complain

if TYPE_CHECKING:
    from janus_cli.records import Record, Segment

SEVERAL = tuple(dict.fromkeys(f.several for f in FORMATS if f.several))  # what a picture's file may hold
MEASURED = {"modality", "shape", "dtype", "range", "seconds"}  # what no metadata of a segment can gainsay


def describe_record(record: "Record") -> dict[str, Any]:
    """List a record's name, segments and history."""
    facts: dict[str, Any] = {
        "id": record.id,
        "segments": [describe_segment(s) for s in record.segments],
        "made_by": list(record.made_by),
    }
    if record.part:
        facts["part"] = {"index": record.part.index, "last": record.part.last, "rows": list(record.part.rows)}
    return facts


def describe_segment(segment: "Segment") -> dict[str, Any]:
    """List a segment's modality, shape, dtype, range of values and metadata, whatever those hold."""
    facts: dict[str, Any] = {
        "modality": segment.modality,
        "shape": list(segment.data.shape),
        "dtype": str(segment.data.dtype),
    }
    if segment.data.size:
        facts["range"] = [segment.data.min().item(), segment.data.max().item()]
    facts |= {word: value for word, value in segment.info.items() if word not in MEASURED}
    counted = segment.data.shape[1] if segment.modality == "waveform" else None
    rate, length = as_number(facts.get("sample_rate")), as_number(facts.get("num_samples", counted))
    if rate and length is not None and math.isfinite(length / rate):
        facts["seconds"] = length / rate
    return facts


def as_number(value: Any) -> float | None:
    """Read a number that is not negative and no larger than a float can be; None for anything else."""
    try:
        return float(value) if type(value) in (int, float) and value >= 0 else None
    except OverflowError:
        return None


def describe_picture(path: Path) -> dict[str, Any]:
    """List a picture's size and what its file says of how it was made."""
    from janus_cli.media.pictures import read_frames, read_image_metadata

    first = next(read_frames(path, str(path), complain))
    height, width = first.pixels.shape[:2]
    return {
        **_read_parameters(path, read_image_metadata(path)),
        "kind": "picture",
        "file": str(path),
        "width": width,
        "height": height,
        **({first.what: first.count} if first.count > 1 else {}),
    }


def describe_sound(path: Path) -> dict[str, Any]:
    """List a sound's length, rate and channels, and what its file says of how it was made."""
    from janus_cli.media.sounds import read_comment

    sound, kind, texts = read_comment(path, str(path), complain)
    return {
        **_read_parameters(path, texts),
        "kind": "sound",
        "file": str(path),
        "format": kind,
        "seconds": sound.seconds,
        "sample_rate": sound.sample_rate,
        "channels": sound.channels,
        "num_samples": sound.num_samples,
    }


def _read_parameters(path: Path, texts: dict[str, str]) -> dict[str, Any]:
    """Read what the texts in a picture or sound say of how it was made. RecordError for damaged ones."""
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


def find_describer(path: Path) -> Callable[[Path], dict[str, Any]] | None:
    """Find what describes the picture or sound in `path`, by its first bytes; None for anything else."""
    try:
        with path.open("rb") as file:
            found = sniff(file.read(HEAD))
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    if found is None and path.suffix.lower() == ".tga":  # which has no mark of its own
        return describe_picture
    return {"picture": describe_picture, "sound": describe_sound}.get(found.media) if found else None
