"""Training recipes: a TOML file as frozen dataclasses, unknown keys refused."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from janus_cli.config import ModelConfig, from_dict
from janus_cli.dataset.samples import KINDS
from janus_cli.errors import JanusError
from janus_cli.training.sequences import DIRECTIONS


@dataclass(frozen=True)
class DataRecipe:
    """What the pictures and captions are made of."""

    scenes: int = 12000  # composed scenes with precomputed codes
    weights: dict[str, float] = field(  # shares of the kinds of samples
        default_factory=lambda: {"plain": 0.74, "background": 0.08, "hue": 0.05, "scene": 0.13}
    )
    others: dict[str, float] = field(default_factory=dict)  # then `weights` are of the default style alone


@dataclass(frozen=True)
class ShortRecipe:
    """Rows beside each batch: a caption and some places of its picture, which the caption alone must tell."""

    batch_size: int
    weight: float = 0.3  # of their loss
    places: int = 38  # of a picture, the same for the whole batch
    foreign: float = 0.7  # as the decoder's own
    drop: float = 0.02
    restyle: float = 0.03
    weights: dict[str, float] = field(default_factory=dict)  # as the data's own, where there are any
    others: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FitRecipe:
    """One component's optimisation."""

    steps: int
    batch_size: int
    lr: float  # AdamW's peak
    muon_lr: float = 0.0  # peak of Muon on hidden matrices; 0 = AdamW on all
    muon_decay: float = 0.0  # weight decay of Muon, in shares of its rate
    warmup: int = 20  # steps of learning-rate warm-up
    constant: float = 0.4  # share of the steps before the linear decay to zero
    text_slots: int = 12  # decoder: caption tokens kept
    corrupt: float = 0.25  # decoder: highest rate of replaced image inputs
    blind: float = 0.0  # decoder: share of pictures whose inputs may be replaced altogether
    swap: float = 0.0  # decoder: as blind, but what is put in is the same thing in another style
    foreign: float = 0.25  # decoder: captions in other languages; in styles that are named 0.6 of it
    short: ShortRecipe | None = None  # decoder
    restyle: float = 0.0  # decoder: single drawings whose caption names another style
    drop: float = 0.1  # decoder: captions dropped for guidance
    text_weight: float = 0.2  # decoder: text loss against the image's 1
    negatives: int = 0  # decoder: random classes beside the batch's own in each head's loss; 0 = all
    crop: int = 6  # refiner: tokens per side of a training crop
    plain: int = 0  # codec: steps before there are codes
    mix: dict[str, int] = field(default_factory=dict)  # decoder: rows of each direction a step
    heard: int = 30000  # decoder: spoken captions in many voices
    said: int = 8000  # and in the model's own voice


@dataclass(frozen=True)
class Recipe:
    """Everything `janus train` needs besides the data pack."""

    model: ModelConfig
    seed: int = 0
    data: DataRecipe = field(default_factory=DataRecipe)
    dvae: FitRecipe | None = None
    codec: FitRecipe | None = None
    vision: FitRecipe | None = None
    decoder: FitRecipe | None = None
    refiner: FitRecipe | None = None
    judge: FitRecipe | None = None


def read_recipe(path: Path) -> Recipe:
    """Read the recipe in `path`. Raises JanusError naming the file, and the key that is wrong."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise JanusError(f"{path}: no such recipe") from None
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise JanusError(f"{path}: not a readable recipe ({error})") from None
    recipe = from_dict(Recipe, data, str(path))
    short = recipe.decoder.short if recipe.decoder else None
    tables = {"data.weights": recipe.data.weights, "data.others": recipe.data.others}
    tables |= {"decoder.short.weights": short.weights, "decoder.short.others": short.others} if short else {}
    for key, shares in tables.items():
        if unknown := sorted(set(shares) - set(KINDS)):
            raise JanusError(f"{path}: {key}: unknown kind {unknown[0]!r} (known: {', '.join(KINDS)})")
        if any(not 0 <= share < float("inf") for share in shares.values()):
            raise JanusError(f"{path}: {key}: a share is a number from 0 on")
    mix = recipe.decoder.mix if recipe.decoder else {}
    if unknown := sorted(set(mix) - set(DIRECTIONS)):
        known = ", ".join(DIRECTIONS)
        raise JanusError(f"{path}: decoder.mix: unknown direction {unknown[0]!r} (known: {known})")
    _check_numbers(recipe, path)
    if recipe.model.dvae is None or recipe.model.decoder is None:
        raise JanusError(f"{path}: a recipe needs [model.dvae] and [model.decoder]")
    return recipe


def _check_numbers(recipe: Recipe, path: Path) -> None:
    """Raise JanusError for counts that no training can have."""
    counts: dict[str, int] = {}
    for name in ("dvae", "codec", "vision", "decoder", "refiner", "judge"):
        fit: FitRecipe | None = getattr(recipe, name)
        if fit is not None:
            counts |= {f"{name}.steps": fit.steps, f"{name}.batch_size": fit.batch_size}
    rows, cols = recipe.model.generation.grid
    if recipe.decoder and (short := recipe.decoder.short):
        counts |= {"decoder.short.batch_size": short.batch_size, "decoder.short.places": short.places}
        if short.places >= rows * cols:
            raise JanusError(
                f"{path}: decoder.short.places: at most {rows * cols - 1} of {rows} x {cols} tokens"
            )
    for key, count in counts.items():
        if count < 1:
            raise JanusError(f"{path}: {key}: at least 1")
