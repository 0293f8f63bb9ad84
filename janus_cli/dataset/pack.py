"""The data pack: emoji drawings and their names in several languages, in one small file.

Knows the npm packages that the pictures come from and how their names fit together. The pack
(about 8 MB) is all that a training machine needs; it is built once and never committed.
"""

import json
import lzma
import os
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from janus_cli.dataset.words import WORDNET, WordNet, read_shortcodes, weigh_words
from janus_cli.errors import JanusError
from janus_cli.media.files import atomic_write, make_folder
from janus_cli.stages.lexicon import fold

# style word -> npm package (licences: MIT, Apache-2.0, CC-BY-4.0)
STYLES = {
    "fluent": "@iconify-json/fluent-emoji-flat@1.2.6",
    "noto": "@iconify-json/noto@1.2.9",
    "twemoji": "@iconify-json/twemoji@1.2.5",
}
DEFAULT_STYLE = "fluent"  # of a caption that names none
# sets that the eyes are shown -> npm package, the style by the same hands (licences: Apache-2.0,
# MIT, CC-BY-4.0, Apache-2.0, CC-BY-4.0, MIT, CC-BY-4.0)
LOOKS = {
    "noto-v1": ("@iconify-json/noto-v1@1.2.5", "noto"),
    "fluent-emoji": ("@iconify-json/fluent-emoji@1.2.7", "fluent"),
    "emojione": ("@iconify-json/emojione@1.2.3", ""),
    "fxemoji": ("@iconify-json/fxemoji@1.2.2", ""),
    "streamline": ("@iconify-json/streamline-emojis@1.2.4", ""),
    "fluent-black": ("@iconify-json/fluent-emoji-high-contrast@1.2.6", "fluent"),
    "emojione-black": ("@iconify-json/emojione-monotone@1.2.1", ""),
}
BLACK = ("fluent-black", "emojione-black")
# those of them that can also be drawn, and what a caption calls them
LOOK_WORDS = {
    "noto-v1": "noto v1",
    "fluent-emoji": "fluent gradient",
    "emojione": "emojione",
    "fxemoji": "fxemoji",
    "streamline": "streamline",
}
NAMES = "emojibase-data@17.0.0"  # MIT
LANGUAGES = ("en", "de", "es", "fr", "ja", "ko")
# emojibase's groups that are no things to draw: components, symbols (arrows, buttons, signs), flags
LEFT_OUT = (2, 8, 9)
CLOCK_FACES = ("o’clock", "-thirty")  # 24 of them
# gendered variants of a person whose neutral form is a concept already: (wo)man + ZWJ, or a gender sign
GENDERED = ("1f468-200d", "1f469-200d", "2640", "2642")
PACK = "pack.json.xz"  # its name in the data folder
VARIATION = "fe0f"  # the "show as a picture" selector, present in some sets' keys only


@dataclass(frozen=True)
class Concept:
    """One thing to draw: its English name, names and keywords by language, a drawing by style.

    `looks` are drawings of it in sets that only the eyes are shown.
    """

    name: str
    group: int
    labels: dict[str, str]
    tags: dict[str, list[str]]
    drawings: dict[str, str]  # style -> SVG
    looks: dict[str, str] = field(default_factory=dict)  # set -> SVG
    words: dict[str, dict[str, float]] = field(default_factory=dict)  # language -> other words, their weights


def find_data_folder() -> Path:
    """Find the folder of what trainings and examinations share: pack, renderings, codes, speech.

    JANUS_DATA, else a folder .data here that has a pack (earlier versions made it), else the user's cache.
    """
    if given := os.environ.get("JANUS_DATA"):
        return Path(given).expanduser()
    here = Path(".data")
    return here if (here / PACK).is_file() else platformdirs.user_cache_path("janus")


def _normalise_code(hexcode: str) -> str:
    return "-".join(part for part in hexcode.lower().split("-") if part != VARIATION)


def _read_icons(folder: Path) -> dict[str, str]:
    """Read one iconify set: name -> SVG."""
    icons = json.loads((folder / "icons.json").read_text("utf-8"))
    whole = {"left": 0, "top": 0, "width": icons.get("width", 16), "height": icons.get("height", 16)}
    drawings: dict[str, str] = {}
    for name, icon in icons["icons"].items():
        box = " ".join(str(icon.get(edge, default)) for edge, default in whole.items())
        head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        drawings[name] = f'{head} viewBox="{box}">{icon["body"]}</svg>'
    return drawings


def _read_names(folder: Path) -> dict[str, str]:
    """Read the names of one iconify set's icons, aliases followed: hexcode key -> name."""
    aliases = json.loads((folder / "icons.json").read_text("utf-8")).get("aliases", {})
    names: dict[str, str] = {}
    for code, name in json.loads((folder / "chars.json").read_text("utf-8")).items():
        names.setdefault(_normalise_code(code), aliases.get(name, {}).get("parent", name))
    return names


def _find_looks(sets: dict[str, dict[str, str]], names: set[str]) -> dict[str, str]:
    """Find drawings under one of `names`: set -> SVG. Some sets leave out hyphens or count drawings.

    Aliases are not followed: some are mirrored, and some are another thing (a cricket is a bat).
    """
    spellings = sorted(names) + sorted(name.replace("-", "") for name in names)
    spellings += sorted(f"{name}-1" for name in names)
    found = {look: next((drawn[n] for n in spellings if n in drawn), None) for look, drawn in sets.items()}
    return {look: svg for look, svg in found.items() if svg is not None}


def _name_genders(table: dict[str, Any], key: str) -> list[str]:
    """Name the gendered variants of a person: a merperson may be a mermaid."""
    keys = [f"{key}-200d-{sign}" for sign in GENDERED[2:]]
    keys += [key.replace("1f9d1", person, 1) for person in ("1f468", "1f469") if key.startswith("1f9d1")]
    return [fold(table[k]["label"]) for k in keys if k in table and k != key]


def read_packages(modules: Path) -> list[Concept]:
    """Read the concepts that at least two sets draw, in emojibase's order, from a node_modules folder."""
    folders = {s: modules / package.rpartition("@")[0] for s, package in STYLES.items()}
    icons, names = ({s: read(folder) for s, folder in folders.items()} for read in (_read_icons, _read_names))
    looks = {look: _read_icons(modules / package.rpartition("@")[0]) for look, (package, _) in LOOKS.items()}
    tables = {}
    shortcodes = read_shortcodes(modules / "emojibase-data" / "en" / "shortcodes")
    wordnet = WordNet.read(modules / WORDNET.rpartition("@")[0] / "dict")
    for language in LANGUAGES:
        rows = json.loads((modules / "emojibase-data" / language / "data.json").read_text("utf-8"))
        tables[language] = {_normalise_code(row["hexcode"]): row for row in rows}
    concepts = []
    for key, row in tables["en"].items():
        named = {s: names[s][key] for s in STYLES if names[s].get(key) in icons[s]}
        gendered = key.startswith(GENDERED[:2]) or key.endswith(GENDERED[2:])
        no_thing = row.get("group", 2) in LEFT_OUT or row["label"].endswith(CLOCK_FACES)
        if no_thing or gendered or len(named) < 2:
            continue
        drawings = {s: icons[s][name] for s, name in named.items()}
        rows = {language: table[key] for language, table in tables.items() if key in table}
        labels = {language: r["label"] for language, r in rows.items()}
        tags = {language: r.get("tags", []) for language, r in rows.items()}
        seen = _find_looks(looks, set(named.values()))
        others = [*shortcodes.get(row["hexcode"], []), *_name_genders(tables["en"], key)]
        words = {language: weigh_words(language, r, others, wordnet) for language, r in rows.items()}
        concepts.append(Concept(row["label"], row["group"], labels, tags, drawings, seen, words))
    return concepts


def fetch_packages(into: Path) -> Path:
    """Install the npm packages below `into`; returns its node_modules. Raises JanusError without npm."""
    npm = shutil.which("npm")
    if npm is None:
        raise JanusError("the pictures come from npm packages: install Node.js, or pass a ready pack.json.xz")
    packages = [*STYLES.values(), *(package for package, _ in LOOKS.values()), NAMES, WORDNET]
    command = [npm, "install", "--no-audit", "--no-fund", "--prefix", str(into), *packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise JanusError(f"npm could not fetch the pictures: {reason}")
    return into / "node_modules"


def build_pack(path: Path) -> list[Concept]:
    """Fetch the packages and write the pack to `path` (xz-compressed JSON)."""
    with tempfile.TemporaryDirectory() as folder:
        concepts = read_packages(fetch_packages(Path(folder)))
    make_folder(path.parent)
    data = json.dumps([asdict(c) for c in concepts], ensure_ascii=False).encode()
    atomic_write(path, lzma.compress(data, preset=6), force=True)
    return concepts


def read_pack(path: Path) -> list[Concept]:
    """Read the concepts of a pack written by build_pack. Raises JanusError when it is none."""
    try:
        return [Concept(**row) for row in json.loads(lzma.decompress(path.read_bytes()))]
    except (OSError, lzma.LZMAError, ValueError, TypeError) as error:
        raise JanusError(f"{path}: not a data pack ({error})") from None
