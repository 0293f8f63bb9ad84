"""An evaluation's report as Markdown, and its place in the model card."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from janus_cli.errors import JanusError
from janus_cli.media.files import atomic_write

START, END = "<!-- eval:start -->", "<!-- eval:end -->"
LANGUAGE_NAMES = {"de": "German", "es": "Spanish", "fr": "French", "ja": "Japanese", "ko": "Korean"}
KINDS = {
    "couple": "two objects, never trained on together",
    "count": "two, three or four of a kind",
    "position": "one in a corner or the centre",
    "background": "one on a colour",
    "all": "all scenes",
}


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %"


def _answers(name: str, score: dict[str, Any]) -> list[object]:
    return [name, score["n"], *(percent(score[key]) for key in ("top1", "top5", "style", "both"))]


def generator_table(report: dict[str, Any]) -> str:
    drawn, limits = report["generator"], report["judge"]
    rows = [_answers("trained pairs", drawn["trained"]), _answers("held-out pairs", drawn["heldout"])]
    rows += [_answers("English names, no style", drawn["plain"])]
    rows += [
        _answers(f"{LANGUAGE_NAMES[k]} names, no style", score) for k, score in drawn["languages"].items()
    ]
    for key, name in (("trained", "trained pairs"), ("heldout", "held-out pairs")):
        rows.append(_answers(f"*limit: {name}, the drawings themselves*", limits[key]["real"]))
        rows.append(_answers(f"*limit: {name}, through the image tokenizer*", limits[key]["reconstructed"]))
    match = drawn["match"]
    body = table(["what the judge saw", "pictures", "top-1", "top-5", "style", "top-5 and style"], rows)
    return (
        f"{body}\n\nDecoded greedily, {percent(match['tokens'])} of the tokens of {match['n']} trained "
        f"pictures are the drawings' own ({percent(match['drawn'])} of those that are not empty paper); "
        f"{percent(match['identical'])} of the pictures are the same in every token."
    )


def scenes_table(report: dict[str, Any]) -> str:
    scenes = report["scenes"]
    rows = [(name, scenes["drawn"][key]) for key, name in KINDS.items() if key in scenes["drawn"]]
    rows += [("*limit: the true pictures*", scenes["real"])]
    rows += [("*limit: through the image tokenizer*", scenes["reconstructed"])]
    keys = ("concepts", "placed", "background", "all")
    head = ["scenes", "pictures", "concepts (top-5)", "count and place", "background", "all right"]
    return table(head, ([name, score["n"], *(percent(score[key]) for key in keys)] for name, score in rows))


def tokenizer_table(report: dict[str, Any]) -> str:
    part = report["tokenizer"]
    rows = [
        [f"{size} x {size} px", f"{part[size]['psnr']:.2f} dB", part[size]["ssim"]] for size in ("64", "128")
    ]
    codes = part["codes"]
    used = [
        f"{codes[key]['used']} of {codes['size']} codes ({percent(codes[key]['share'])}, perplexity "
        f"{codes[key]['perplexity']:.0f}) occur in {name}"
        for key, name in (
            ("heldout", "the held-out drawings"),
            ("all", f"{codes['pictures']} pictures of all drawings"),
        )
    ]
    body = table([f"image tokenizer, {part['n']} held-out drawings", "PSNR", "SSIM"], rows)
    return f"{body}\n\n{'; '.join(used)}."


def refiner_table(report: dict[str, Any]) -> str:
    part = report["refiner"]
    rows = [
        ["64 px, as the tokenizer decodes it", f"{part['psnr_decoded']:.2f} dB", ""],
        ["64 px, denoised", f"{part['psnr_denoised']:.2f} dB", ""],
        ["256 px, decoded and enlarged bicubically", f"{part['psnr_bicubic']:.2f} dB", part["ssim_bicubic"]],
        ["256 px, denoised and upsampled", f"{part['psnr_x4']:.2f} dB", part["ssim_x4"]],
    ]
    return table([f"refiner, {part['n']} held-out drawings from their true tokens", "PSNR", "SSIM"], rows)


def update_card(card: Path, table: str) -> None:
    """Put `table` between the evaluation's markers of a model card, or at its end when it has none.

    Raises JanusError for a card with only one of the markers, or one that cannot be read.
    """
    try:
        text = card.read_text("utf-8") if card.exists() else f"# {card.parent.name}\n"
    except (OSError, UnicodeDecodeError) as error:
        raise JanusError(f"{card}: cannot be read ({error})") from None
    if (START in text) != (END in text) or text.find(END) < text.find(START):
        raise JanusError(f"{card}: has not both {START} and {END}, in this order")
    if START not in text:
        text = f"{text.rstrip()}\n\n{START}\n{END}\n"
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    atomic_write(card, f"{before}{START}\n{table}\n{END}{after}".encode(), force=True)
