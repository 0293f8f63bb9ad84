"""Facts as lines for people: what `info` and `models` show where JSON is not asked for."""

import json
from typing import Any

from janus_cli import plugins
from janus_cli.shell.console import escape, put
from janus_cli.shell.facts import MEASURED, SEVERAL, as_number


def put_table(facts: dict[str, Any]) -> None:
    """Write `facts` to stdout for a person; control characters in them are escaped."""
    put("\n".join(map(escape, format_facts(facts))))


def format_facts(facts: dict[str, Any]) -> list[str]:
    """Format the facts of a record, picture, sound or model as lines."""
    return {"record": _format_record, "model": _format_model}.get(facts["kind"], _format_media)(facts)


def align_columns(rows: list[list[str]]) -> list[str]:
    """Format rows of cells as aligned lines, each two spaces in."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _format_record(facts: dict[str, Any]) -> list[str]:
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
    sounds = [[str(i), *_sound_cells(s)] for i, s in enumerate(facts["segments"]) if "seconds" in s]
    elsewhere = MEASURED | {"tokenizer", "fingerprint"}
    others = [
        "  ".join(["", str(i), *_list_pairs(s, elsewhere)])
        for i, s in enumerate(facts["segments"])
        if s["modality"] not in plugins.BUILT_IN
    ]
    return [
        f"{place}  record {facts['number']}  id {facts['id']!r}{part}",
        *align_columns(rows),
        *align_columns(sounds),
        *others,
        *_format_history(facts["made_by"]),
    ]


def _sound_cells(segment: dict[str, Any]) -> list[str]:
    """Format how long an audio or waveform segment lasts, and what there is of it a second."""
    cells = [f"{segment['seconds']:.2f} s", f"{segment['sample_rate']:g} Hz"]
    frames = as_number(segment.get("frame_rate"))
    if segment["modality"] == "audio" and frames is not None:
        return [*cells, f"{segment['shape'][0]} codebooks", f"{frames:g} frames/s"]
    return cells + [f"{segment['shape'][0]} channels"] * (segment["modality"] == "waveform")


def _format_history(made_by: list[dict[str, Any]]) -> list[str]:
    rows = [[str(step.get("stage", "?")), " ".join(_list_pairs(step, {"stage"}))] for step in made_by]
    return align_columns(rows)


def _list_pairs(known: dict[str, Any], elsewhere: set[str]) -> list[str]:
    """Write word=value, in JSON, for what is known besides the words that stand elsewhere."""
    return [f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in known.items() if k not in elsewhere]


def _format_media(facts: dict[str, Any]) -> list[str]:
    if facts["kind"] == "picture":
        what = f"picture {facts['width']}x{facts['height']}"
        what += "".join(f", {facts[word]} {word}" for word in SEVERAL if word in facts)
    else:
        rate = f"{facts['sample_rate']} Hz  {facts['channels']} channels  {facts['format']}"
        what = f"sound {facts['seconds']:.2f} s  {rate}"
    lines = [f"{facts['file']}  {what}"]
    words = ("prompt", "model", "seed", "index", "tokens", "version")
    rows = [[word, str(facts[word])] for word in words if word in facts]
    lines += align_columns(rows) if rows else ["  says nothing of how it was made"]
    return lines + _format_history(facts.get("made_by", []))


def _format_model(facts: dict[str, Any]) -> list[str]:
    rows = [["component", "parameters", "bytes", "dtype"]]
    for name, part in facts["components"].items():
        rows.append(
            [name, f"{part['parameters']:,}", f"{part['bytes']:,}", part["dtype"]]
            if "parameters" in part
            else [name, f"missing: {part['missing']}", "", ""]
        )
    rows.append(["together", f"{facts['parameters']:,}", f"{facts['bytes']:,}", ""])
    lines = [f"{facts['name']}  model at {facts['path']}", *align_columns(rows)]
    if "problem" in facts:
        lines = [lines[0], f"  {facts['problem']}"]
    if "files" in facts:
        lines += align_columns([["file", "bytes", "digest"], *list_file_rows(facts)])
    return lines + align_columns(_token_rows(facts))


def _token_rows(facts: dict[str, Any]) -> list[list[str]]:
    """Format what a model's tokens stand for, and the fingerprints of its tokenizers."""
    rows = [["picture tokens", "x".join(map(str, facts["grid"]))]] if "grid" in facts else []
    if sound := facts.get("sound"):
        books = f"{sound['codebooks']} codebooks of {sound['codebook_size']}"
        rate = f"{sound['frame_rate']:g} frames/s, {sound['sample_rate']} Hz, {sound['channels']} channels"
        rows.append(["sound tokens", f"{books}, {rate}"])
    words = ("text_fingerprint", "codebook_fingerprint", "codec_fingerprint")
    return rows + [[word.replace("_", " "), facts[word]] for word in words if word in facts]


def list_file_rows(facts: dict[str, Any]) -> list[list[str]]:
    """Format the files of a model as rows of cells, those that are missing last."""
    rows = [[f["file"], f"{f['bytes']:,}", f.get("digest", "")] for f in facts.get("files", [])]
    return rows + [[name, "missing", ""] for name in facts.get("missing", [])]
