"""Which drawings and scenes are never trained on."""

import hashlib
from collections.abc import Collection

from janus_cli.dataset.pack import LOOKS, STYLES, Concept


def _unit(*words: str) -> float:
    """A number in [0, 1) that depends on the words only."""
    return int.from_bytes(hashlib.sha256("|".join(words).encode()).digest()[:6]) / 2**48


def pairs(concepts: list[Concept], share: float = 0.16) -> set[tuple[str, str]]:
    """(concept name, style) held out: one style of `share` of the concepts that all styles draw."""
    out = set()
    for concept in concepts:
        if len(concept.drawings) == len(STYLES) and _unit("pair", concept.name) < share:
            out.add((concept.name, list(STYLES)[int(_unit("style", concept.name) * len(STYLES))]))
    return out


def looks(concept: Concept, held: Collection[tuple[str, str]]) -> list[str]:
    """Sets whose drawing of `concept` may be looked at: none by the hands of a style that is held out."""
    return [
        look
        for look, (_, style) in LOOKS.items()
        if look in concept.looks and (concept.name, style) not in held
    ]


def together(first: str, second: str, share: float = 0.1) -> bool:
    """Whether the two concepts are never trained on in one scene, in either order."""
    return _unit("scene", *sorted((first, second))) < share
