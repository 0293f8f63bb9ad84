"""Recipes: what they hold, and one clear line for each thing that can be wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.runs import ROOT, Done, no_traceback

from janus_cli.config import read_config
from janus_cli.dataset.utterances import LONGEST
from janus_cli.errors import JanusError, UsageError
from janus_cli.training.jobs import plan_components
from janus_cli.training.recipe import DataRecipe, read_recipe

SMALL = """
seed = 3
[data]
scenes = 5
[dvae]
steps = 2
batch_size = 4
lr = 1e-3
[model]
name = "small"
[model.dvae]
codebook_size = 16
[model.decoder.modalities.text]
vocab_size = 300
[model.decoder.modalities.image]
vocab_size = 16
two_d = true
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text, "utf-8")
    return path


def test_a_recipe_reads_with_defaults(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, SMALL))
    assert recipe.seed == 3 and recipe.data == DataRecipe(scenes=5) and recipe.refiner is None
    assert recipe.dvae is not None and (recipe.dvae.steps, recipe.dvae.muon_lr) == (2, 0.0)
    assert recipe.model.decoder is not None and recipe.model.decoder.modalities["image"].two_d
    assert sum(recipe.data.weights.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("scenes = 5", "scens = 5", r"recipe\.toml\.data: unknown key 'scens' \(known: scenes, "),
        ("seed = 3", "sed = 3", r"recipe\.toml: unknown key 'sed'"),
        ("steps = 2", 'steps = "2"', r"recipe\.toml\.dvae\.steps: expected int, found '2'"),
        ("steps = 2", "steps = 2.5", r"recipe\.toml\.dvae\.steps: expected int, found 2\.5"),
        ("steps = 2\n", "", r"recipe\.toml\.dvae: .*'steps'"),
        ("two_d = true", "two_d = 1", r"image\.two_d: expected bool, found 1"),
        ("scenes = 5", "weights = {plane = 1}", r"data\.weights: unknown kind 'plane' \(known: plain, "),
        ("scenes = 5", "weights = 5", r"data\.weights: expected an object, found 5"),
        ("[model]\n", "[model]\nwidth = 3\n", r"recipe\.toml\.model: unknown key 'width'"),
        ("[model.dvae]\ncodebook_size = 16\n", "", r"needs \[model\.dvae\] and \[model\.decoder\]"),
        (
            "[model]\n",
            "[decoder]\nsteps = 1\nbatch_size = 1\nlr = 1e-3\nmix = {draw = 1, fly = 2}\n[model]\n",
            r"decoder\.mix: unknown direction 'fly' \(known: draw, see, hear, speak, hear-draw, see-speak\)",
        ),
        (
            "[model]\n",
            "[decoder]\nsteps = 1\nbatch_size = 1\nlr = 1e-3\nmix = {draw = 0.5}\n[model]\n",
            r"decoder\.mix\.draw: expected int, found 0\.5",
        ),
        (
            "[model]\n",
            "[decoder]\nsteps = 1\nbatch_size = 1\nlr = 1e-3\n"
            "short = {batch_size = 1, others = {fly = 2}}\n[model]\n",
            r"decoder\.short\.others: unknown kind 'fly' \(known: plain, background, hue, scene, look\)",
        ),
        (
            "[model]\n",
            "[decoder]\nsteps = 1\nbatch_size = 1\nlr = 1e-3\n"
            "short = {batch_size = 1, places = 64}\n[model]\n",
            r"decoder\.short\.places: at most 63 of 8 x 8 tokens",
        ),
        (
            "[model]\n",
            "[decoder]\nsteps = 0\nbatch_size = 1\nlr = 1e-3\n[model]\n",
            r"decoder\.steps: at least 1",
        ),
        (
            "[data]\n",
            "[data]\nothers = {plain = -1.0}\n",
            r"data\.others: a share is a number from 0 on",
        ),
        ("[dvae]", "[ears]\nsteps = 1\n[dvae]", r"recipe\.toml: unknown key 'ears'"),
        ("seed = 3", "seed = ", r"recipe\.toml: not a readable recipe \(Invalid value"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in SMALL
    with pytest.raises(JanusError, match=complaint) as caught:
        read_recipe(written(tmp_path, SMALL.replace(old, new)))
    assert str(caught.value).startswith(str(tmp_path)) and "\n" not in str(caught.value)


def test_files_that_are_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(JanusError, match=r"none\.toml: no such recipe"):
        read_recipe(tmp_path / "none.toml")
    with pytest.raises(JanusError, match="not a readable recipe"):
        read_recipe(tmp_path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(JanusError, match=r"binary\.toml: not a readable recipe"):
        read_recipe(tmp_path / "binary.toml")


def test_components_are_planned_in_order(tmp_path: Path) -> None:
    recipe = read_recipe(ROOT / "models" / "pocket" / "recipe.toml")
    assert plan_components(recipe, None)[:3] == ["dvae", "decoder", "refiner"]
    assert plan_components(recipe, "refiner") == ["refiner"]
    for file in ("pocket/recipe-gpu.toml", "pocket-any/recipe-drawing.toml", "pocket-any/recipe-gpu.toml"):
        assert plan_components(read_recipe(ROOT / "models" / file), None) == ["decoder"]
    every = read_recipe(ROOT / "models" / "pocket-any" / "recipe.toml")
    assert plan_components(every, None) == ["codec", "vision", "decoder"]
    small = read_recipe(written(tmp_path, SMALL))
    with pytest.raises(UsageError, match="^--only judge: the recipe trains dvae$"):
        plan_components(small, "judge")


def test_the_command_says_it_in_one_line(environment: Path, janus: Callable[..., Done]) -> None:
    missing = janus("train", "none.toml", "-q")
    assert missing.code == 1 and missing.err.count("\n") == 1 and no_traceback(missing)
    assert "none.toml: no such recipe" in missing.err
    written(environment, SMALL)
    lacking = janus("train", "recipe.toml", "--only", "judge", "-q")
    assert lacking.code == 2 and "--only judge: the recipe trains dvae" in lacking.err
    assert no_traceback(lacking)


@pytest.mark.parametrize("path", sorted((ROOT / "models").glob("*/recipe*.toml")), ids=lambda p: p.stem)
def test_the_recipes_of_the_zoo_fit_together(path: Path) -> None:
    recipe = read_recipe(path)
    model = recipe.model
    assert model.dvae is not None and model.decoder is not None and recipe.decoder is not None
    rows, cols = model.generation.grid
    assert model.decoder.max_seq_len >= 2 + recipe.decoder.text_slots + rows * cols
    assert model.decoder.modalities["image"].vocab_size == model.dvae.codebook_size
    assert model.decoder.modalities["image"].two_d
    assert rows * model.dvae.patch % 64 == 0  # what scenes can be painted at
    if recipe.decoder.mix:
        assert sum(recipe.decoder.mix.values()) == recipe.decoder.batch_size
        sounds = model.decoder.modalities["audio"]
        assert model.codec is not None and model.vision is not None and sounds.ends
        assert sounds.vocab_size == model.codec.codebook_size and sounds.n_q <= model.codec.n_q
        assert model.decoder.modalities["sight"].feature_dim == model.vision.dim
        longest = model.vision.n_token + recipe.decoder.text_slots + max(LONGEST, rows * cols)
        assert model.decoder.max_seq_len >= 3 + longest
    if path.stem != "recipe-drawing":  # of a decoder that was to grow
        shipped = read_config(path.with_name("config.json"))
        assert (model.name, model.dvae, model.decoder) == (shipped.name, shipped.dvae, shipped.decoder)
        assert (model.refiner, model.generation) == (shipped.refiner, shipped.generation)
    if model.refiner is not None:
        assert model.refiner.codebook_size == model.dvae.codebook_size
        assert model.refiner.patch == model.dvae.patch
    assert set(recipe.data.weights) == {"plain", "background", "hue", "scene"}
    short = recipe.decoder.short
    for weights in (recipe.data, short) if short else ():
        assert sum(weights.weights.values()) + sum(weights.others.values()) == pytest.approx(1)
