"""Which drawings and scenes are never trained on."""

import hashlib
from collections.abc import Collection, Sequence

from janus_cli.dataset.pack import LOOKS, STYLES, Concept


def _hash_to_unit(*words: str) -> float:
    """Hash words to a number in [0, 1)."""
    return int.from_bytes(hashlib.sha256("|".join(words).encode()).digest()[:6]) / 2**48


def find_pairs(concepts: Sequence[Concept], share: float = 0.16) -> set[tuple[str, str]]:
    """Find the held-out (concept name, style): one style of `share` of the concepts that all styles draw."""
    out = set()
    for concept in concepts:
        if len(concept.drawings) == len(STYLES) and _hash_to_unit("pair", concept.name) < share:
            out.add((concept.name, list(STYLES)[int(_hash_to_unit("style", concept.name) * len(STYLES))]))
    return out


def list_allowed_looks(concept: Concept, held: Collection[tuple[str, str]]) -> list[str]:
    """List the sets whose drawing of `concept` may be looked at: none by the hands of a held-out style."""
    return [
        look
        for look, (_, style) in LOOKS.items()
        if look in concept.looks and (concept.name, style) not in held
    ]


def is_couple(first: str, second: str, share: float = 0.1) -> bool:
    """Whether the two concepts are never trained on in one scene, in either order."""
    return _hash_to_unit("scene", *sorted((first, second))) < share
