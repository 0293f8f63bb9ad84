"""The report on codec and directions as Markdown; evaluate_tables.py has the rest."""

from typing import Any

from janus_cli.evaluation.tables import (
    generator_table,
    percent,
    refiner_table,
    scenes_table,
    table,
    tokenizer_table,
)


def codec_table(part: dict[str, Any]) -> str:
    """Quality and use of the codebooks."""
    rows = [
        [
            level["n_q"],
            f"{level['bits'] / 1000:.1f} kbit/s",
            f"{level['mel']:.2f} dB",
            f"{level['stoi']:.3f}",
            f"{level['pesq']:.2f}",
            percent(level["used"]),
            f"{level['perplexity']:.0f}",
        ]
        for level in part["levels"]
    ]
    head = ["codebooks", "rate", "mel distance", "STOI", "PESQ-WB", "last one's codes used", "perplexity"]
    note = (
        f"{part['n']} sentences ({part['seconds']:.0f} s, half of them English, the others in five "
        "languages) in voices that were never trained on."
    )
    return f"{table(head, rows)}\n\n{note}"


def directions_table(part: dict[str, Any]) -> str:
    """One row a direction and measure."""
    see, scenes, hear, speak = part["see"], part["see_scenes"], part["hear"], part["speak"]
    drawn, told = part["hear_draw"], part["see_speak"]
    names = f"{hear['names']['n']} names, unseen voices"
    blocks: list[tuple[str, str, list[tuple[str, float]]]] = [
        (
            "image to text",
            f"{see['n']} held-out pairs",
            [("concept named", see["concept"]), ("style named", see["style"]), ("both", see["both"])],
        ),
        (
            "",
            f"{scenes['n']} held-out scenes",
            [
                ("all concepts named", scenes["concepts"]),
                ("number or place", scenes["placed"]),
                ("background", scenes["background"]),
                ("all of it", scenes["all"]),
            ],
        ),
        (
            "audio to text",
            names,
            [("words right", hear["names"]["words"]), ("whole names", hear["names"]["exact"])],
        ),
        (
            "",
            f"{hear['scenes']['n']} held-out scenes, unseen voices",
            [("words right", hear["scenes"]["words"]), ("words right, both lists", hear["words"])],
        ),
        (
            "text to audio",
            f"{speak['n']} names",
            [
                ("words that the model hears itself say", speak["own"]),
                ("*limit: true speech*", speak["own_limit"]),
                (f"pocketsphinx picks the name, of {speak['n']}", speak["other"]),
                ("*limit: true speech through the codec*", speak["other_coded"]),
                ("*limit: true speech*", speak["other_limit"]),
            ],
        ),
        (
            "audio to image",
            names,
            [("judge, top-1", drawn["audio"]["top1"]), ("judge, top-5", drawn["audio"]["top5"])],
        ),
        (
            "*text to image*",
            "the same names",
            [("judge, top-1", drawn["text"]["top1"]), ("judge, top-5", drawn["text"]["top5"])],
        ),
        (
            "image to audio",
            f"{told['n']} held-out pairs",
            [
                ("concept that the model hears in it", told["concept"]),
                ("words of concept and style", told["words"]),
            ],
        ),
    ]
    rows = [
        [direction if first else "", material if first else "", measure, percent(value)]
        for direction, material, measures in blocks
        for first, (measure, value) in zip([True] + [False] * len(measures), measures, strict=False)
    ]
    return table(["direction", "on", "measure", "score"], rows)


def render_table(report: dict[str, Any]) -> str:
    """The report of `evaluate` as Markdown tables."""
    parts = [generator_table(report), scenes_table(report), tokenizer_table(report)]
    parts += [refiner_table(report)] if report["refiner"] else []
    parts += [codec_table(report["codec"])] if report["codec"] else []
    parts += [directions_table(report["directions"])] if report["directions"] else []
    note = f"`janus eval {report['model']} --seed {report['seed']}{' --all' if report['directions'] else ''}`"
    if report["limit"] is not None:
        note += f" (only {report['limit']} questions of each kind)"
    return "\n\n".join([*parts, note])
