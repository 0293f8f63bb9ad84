"""What the judge's answers stand for: the concepts and styles of a data pack, kept beside its weights."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from janus_cli.config import JudgeConfig, ModelConfig, format_config
from janus_cli.dataset.pack import STYLES, Concept
from janus_cli.errors import ModelError
from janus_cli.media.files import atomic_write

SIZE = 64  # pixels per side of what the judge sees


@dataclass(frozen=True)
class Labels:
    """What the judge's outputs stand for, in order."""

    concepts: tuple[str, ...]
    styles: tuple[str, ...]


def make_judge_config(concepts: Sequence[Concept]) -> JudgeConfig:
    """Configure the judge that these concepts need."""
    return JudgeConfig(n_concept=len(concepts), n_style=len(STYLES), size=SIZE)


def write_labels(folder: Path, concepts: Sequence[Concept]) -> Labels:
    """Write labels.json and config.json of a judge of these concepts into its model folder."""
    labels = Labels(tuple(c.name for c in concepts), tuple(STYLES))
    data = {"concepts": labels.concepts, "styles": labels.styles}
    text = json.dumps(data, ensure_ascii=False, indent=0) + "\n"
    atomic_write(folder / "labels.json", text.encode(), force=True)
    config = ModelConfig(name=folder.name, judge=make_judge_config(concepts))
    atomic_write(folder / "config.json", format_config(config).encode(), force=True)
    return labels


def read_labels(folder: Path) -> Labels:
    """Read the labels of the judge in `folder`. Raises ModelError when there are none."""
    path = folder / "labels.json"
    try:
        data = json.loads(path.read_text("utf-8"))
        return Labels(tuple(data["concepts"]), tuple(data["styles"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: no readable judge labels ({error}): train the judge again") from None
