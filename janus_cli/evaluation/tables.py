"""An evaluation's report as Markdown, and its place in the model card."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from janus_cli.errors import JanusError
from janus_cli.media.files import atomic_write

START, END = "<!-- eval:start -->", "<!-- eval:end -->"
LANGUAGE_NAMES = {
    "en": "English",
    "de": "German",
    "es": "Spanish",
    "fr": "French",
    "ja": "Japanese",
    "ko": "Korean",
}
KINDS = {
    "couple": "two objects, never trained on together",
    "count": "two, three or four of a kind",
    "position": "one in a corner or the centre",
    "background": "one on a colour",
    "all": "all scenes",
}
# tables of wishes: their rows, the heads and the keys of their columns
WISHES: list[tuple[dict[str, str], list[str], list[str]]] = [
    (
        {
            "colours": "a blue horse",
            "colours_abroad": "ein rosa Elefant",
            "colours_limit": "*limit: as the training data dye them*",
        },
        ["in another colour", "pictures", "thing (top-5)", "colour", "both"],
        ["thing", "colour", "both"],
    ),
    (
        {"frames": "A PHOTO OF A DOG, Butterfly!", "frames_abroad": "犬の写真, ¡Gato!"},
        ["in a frame", "pictures", "the bare name (top-5)", "in the frame", "of the bare name's score"],
        ["bare", "framed", "kept"],
    ),
    (
        {
            "backgrounds": "a rocket on a black background",
            "couples": "a cat and a dog",
            "couples_unseen": "a fox and a rose, never trained on together",
            "corners": "a tiny bee in the top right corner",
        },
        ["in one's own words", "pictures", "concepts (top-5)", "place", "background", "all right"],
        ["concepts", "placed", "background", "all"],
    ),
]
SEEN = [("concept named", "concept"), ("style named", "style"), ("both", "both")]
SEEN_SCENES = [
    ("all concepts named", "concepts"),
    ("number or place", "placed"),
    ("background", "background"),
    ("all of it", "all"),
]
HEARD = [("words right", "words"), ("whole names", "exact")]
SPOKEN = [
    ("words that the model hears itself say", "own"),
    ("*limit: true speech*", "own_limit"),
    ("pocketsphinx picks the name, of {n}", "other"),
    ("*limit: true speech through the codec*", "other_coded"),
    ("*limit: true speech*", "other_limit"),
]
DRAWN = [("judge, top-1", "top1"), ("judge, top-5", "top5")]
SAID = [("concept that the model hears in it", "concept"), ("words of concept and style", "words")]


def format_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Format a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def format_percent(value: float) -> str:
    """Format a share as a percentage."""
    return f"{100 * value:.1f} %"


def tabulate_scores(head: Sequence[str], scores: dict[str, dict[str, Any]], keys: Sequence[str]) -> str:
    """Format a table with a row for each entry of `scores`: its name, how many pictures, shares of `keys`."""
    rows = ([name, s["n"], *(format_percent(s[key]) for key in keys)] for name, s in scores.items())
    return format_table(head, rows)


def tabulate_generator(report: dict[str, Any]) -> str:
    """Format what the judge saw of drawings of one concept."""
    drawn, limits = report["generator"], report["judge"]
    scores = {"trained pairs": drawn["trained"], "held-out pairs": drawn["heldout"]}
    scores |= {f"{LANGUAGE_NAMES[k]} names, no style": s["lexicon"] for k, s in report["names"].items()}
    for key, name in (("trained", "trained pairs"), ("heldout", "held-out pairs")):
        scores[f"*limit: {name}, the drawings themselves*"] = limits[key]["real"]
        scores[f"*limit: {name}, through the image tokenizer*"] = limits[key]["reconstructed"]
    head = ["what the judge saw", "pictures", "top-1", "top-5", "style", "top-5 and style"]
    body = tabulate_scores(head, scores, ("top1", "top5", "style", "both"))
    match = drawn["match"]
    same, inked, whole = (format_percent(match[key]) for key in ("tokens", "drawn", "identical"))
    return (
        f"{body}\n\nDecoded greedily, {same} of the tokens of {match['n']} trained pictures are the "
        f"drawings' own ({inked} of those that are not empty paper); {whole} of the pictures are the same in "
        "every token."
    )


def tabulate_scenes(report: dict[str, Any]) -> str:
    """Format what the judge saw of scenes."""
    part = report["scenes"]
    scores = {name: part["drawn"][key] for key, name in KINDS.items() if key in part["drawn"]}
    scores |= {"*limit: the true pictures*": part["real"]}
    scores |= {"*limit: through the image tokenizer*": part["reconstructed"]}
    head = ["scenes", "pictures", "concepts (top-5)", "count and place", "background", "all right"]
    return tabulate_scores(head, scores, ("concepts", "placed", "background", "all"))


def tabulate_words(report: dict[str, Any]) -> str:
    """Format what the judge saw of names and everyday words, by language, with and without the lexicon."""
    lists = {"names": report["names"], "everyday words": report["everyday"] or {}}
    rows = [
        [f"{LANGUAGE_NAMES[language]} {kind}", ways["lexicon"]["n"]]
        + [format_percent(ways[way][key]) for way in ("literal", "lexicon") for key in ("top1", "top5")]
        for kind, part in lists.items()
        for language, ways in part.items()
    ]
    head = ["words", "pictures", "as they are, top-1", "top-5", "by the lexicon, top-1", "top-5"]
    return format_table(head, rows)


def tabulate_wishes(part: dict[str, Any]) -> str:
    """Format what the judge saw of wishes in words of one's own."""
    tables = []
    for titles, head, keys in WISHES:
        scores = {title: part[key] for key, title in titles.items() if key in part}
        tables.append(tabulate_scores(head, scores, keys))
    return "\n\n".join(tables)


def tabulate_tokenizer(report: dict[str, Any]) -> str:
    """Format how true the image tokenizer is, and its codes."""
    part = report["tokenizer"]
    rows = [
        [f"{size} x {size} px", f"{part[size]['psnr']:.2f} dB", part[size]["ssim"]] for size in ("64", "128")
    ]
    codes = part["codes"]
    used = [
        f"{codes[key]['used']} of {codes['size']} codes ({format_percent(codes[key]['share'])}, perplexity "
        f"{codes[key]['perplexity']:.0f}) occur in {name}"
        for key, name in (
            ("heldout", "the held-out drawings"),
            ("all", f"{codes['pictures']} pictures of all drawings"),
        )
    ]
    body = format_table([f"image tokenizer, {part['n']} held-out drawings", "PSNR", "SSIM"], rows)
    return f"{body}\n\n{'; '.join(used)}."


def tabulate_refiner(report: dict[str, Any]) -> str:
    """Format how true the refiner is."""
    refiner, rows = report["refiner"], []
    for small in ("64", "128"):
        part, large = refiner[small], 4 * int(small)
        rows += [
            [f"{small} px, as the tokenizer decodes it", f"{part['psnr_decoded']:.2f} dB", ""],
            [f"{small} px, denoised", f"{part['psnr_denoised']:.2f} dB", ""],
            [f"{large} px, enlarged bicubically", f"{part['psnr_bicubic']:.2f} dB", part["ssim_bicubic"]],
            [f"{large} px, denoised and upsampled", f"{part['psnr_x4']:.2f} dB", part["ssim_x4"]],
        ]
    head = [f"refiner, {refiner['n']} held-out drawings from their true tokens", "PSNR", "SSIM"]
    return format_table(head, rows)


def tabulate_codec(part: dict[str, Any]) -> str:
    """Format quality and use of the codebooks."""
    rows = [
        [
            level["n_q"],
            f"{level['bits'] / 1000:.1f} kbit/s",
            f"{level['mel']:.2f} dB",
            f"{level['stoi']:.3f}",
            f"{level['pesq']:.2f}",
            format_percent(level["used"]),
            f"{level['perplexity']:.0f}",
        ]
        for level in part["levels"]
    ]
    head = ["codebooks", "rate", "mel distance", "STOI", "PESQ-WB", "last one's codes used", "perplexity"]
    note = (
        f"{part['n']} sentences ({part['seconds']:.0f} s, half of them English, the others in five "
        "languages) in voices that were never trained on."
    )
    return f"{format_table(head, rows)}\n\n{note}"


def tabulate_directions(part: dict[str, Any]) -> str:
    """Format the directions, one row a direction and measure."""
    names = f"{part['hear']['names']['n']} names, unseen voices"
    scenes = f"{part['hear']['scenes']['n']} held-out scenes, unseen voices"
    blocks = [
        ("image to text", f"{part['see']['n']} held-out pairs", part["see"], SEEN),
        ("", f"{part['see_scenes']['n']} held-out scenes", part["see_scenes"], SEEN_SCENES),
        ("audio to text", names, part["hear"]["names"], HEARD),
        ("", scenes, part["hear"]["scenes"], HEARD[:1]),
        ("", "", part["hear"], [("words right, both lists", "words")]),
        ("text to audio", f"{part['speak']['n']} names", part["speak"], SPOKEN),
        ("audio to image", names, part["hear_draw"]["audio"], DRAWN),
        ("*text to image*", "the same names", part["hear_draw"]["text"], DRAWN),
        ("image to audio", f"{part['see_speak']['n']} held-out pairs", part["see_speak"], SAID),
    ]
    rows = [
        [*(heads if i == 0 else ("", "")), name.format(**scores), format_percent(scores[key])]
        for *heads, scores, measures in blocks
        for i, (name, key) in enumerate(measures)
    ]
    return format_table(["direction", "on", "measure", "score"], rows)


def render_table(report: dict[str, Any]) -> str:
    """Format the report of `evaluate` as Markdown tables."""
    parts = [tabulate_generator(report), tabulate_words(report), tabulate_scenes(report)]
    parts += [tabulate_wishes(report["wishes"])] if report["wishes"] else []
    parts += [tabulate_tokenizer(report)]
    parts += [tabulate_refiner(report)] if report["refiner"] else []
    parts += [tabulate_codec(report["codec"])] if report["codec"] else []
    parts += [tabulate_directions(report["directions"])] if report["directions"] else []
    note = f"`janus eval {report['model']} --seed {report['seed']}{' --all' if report['directions'] else ''}`"
    if report["limit"] is not None:
        note += f" (only {report['limit']} questions of each kind)"
    return "\n\n".join([*parts, note])


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
