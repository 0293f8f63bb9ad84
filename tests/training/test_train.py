"""A model trained end to end in seconds: four shapes in three styles, every component, then drawn with."""

import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.packs import NAMES, concept, four_concepts, write_pack
from helpers.places import MODEL, Place, small_pools
from helpers.runs import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from janus_cli import weights, zoo
from janus_cli.config import DVAEConfig, GenerationConfig
from janus_cli.dataset.captions import write_caption
from janus_cli.dataset.labels import read_labels
from janus_cli.dataset.pictures import Sprites
from janus_cli.dataset.vocabulary import train_tokenizer
from janus_cli.errors import JanusError, ModelError, UsageError
from janus_cli.nets.judge import Judge
from janus_cli.pipeline import PictureOptions, Sampling, load
from janus_cli.training.objectives.image_tokenizer import ImageTokenizerObjective

RECIPE = f"""
seed = 1
[data]
scenes = 6
[dvae]
steps = 3
batch_size = 4
lr = 1e-3
[decoder]
steps = 4
batch_size = 3
lr = 3e-3
muon_lr = 0.02
text_slots = 6
[refiner]
steps = 2
batch_size = 1
lr = 1e-3
crop = 4
[judge]
steps = 2
batch_size = 16
lr = 1e-3
{MODEL}[model.refiner]
dim = 16
n_block = 1
kernel = 3
groups = 2
codebook_size = 48
code_dim = 4
"""
COMPONENTS = ("dvae", "decoder", "refiner", "judge")


@pytest.fixture(scope="module")
def small_pool() -> Iterable[None]:
    """For as long as this module's tests run."""
    with small_pools():
        yield


@pytest.fixture(scope="module")
def trained(small_pool: None, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Everything in the recipe, trained for a few steps."""
    place = Place(tmp_path_factory.mktemp("train"), RECIPE)
    assert place.train() == place.model
    return place


@pytest.mark.slow
def test_every_component_is_trained_in_order(trained: Place) -> None:
    assert [name for name, _ in itertools.groupby(trained.reports, lambda r: r[0])] == list(COMPONENTS)
    for component in COMPONENTS:
        lines = (trained.runs / "tiny" / f"{component}.jsonl").read_text().splitlines()
        assert all(np.isfinite(list(json.loads(line).values())).all() for line in lines)
        assert (trained.runs / "tiny" / f"{component}.pt").is_file()


@pytest.mark.slow
def test_the_model_folder_can_be_drawn_with(trained: Place) -> None:
    model = zoo.find(str(trained.model))
    assert model.name == "tiny" and model.codebook_fingerprint and model.text_fingerprint
    stored = load_file(model.file("decoder"))
    assert {t.dtype for t in stored.values()} == {torch.float16}
    assert load_file(model.file("dvae"))["quantize.codebook"].dtype == torch.float32
    pipeline = load(str(trained.model))
    records = list(pipeline.draw(["a red kite", "two apples"], Sampling(seed=3), PictureOptions(scale=2)))
    pictures = [pipeline.decode(record) for record in records]
    assert [p.shape for p in pictures] == [(128, 128, 3)] * 2
    again = pipeline.decode(next(pipeline.draw(["a red kite"], Sampling(seed=3), PictureOptions(scale=2))))
    assert np.array_equal(again, pictures[0])


@pytest.mark.slow
def test_the_judge_stands_apart_with_its_labels(trained: Place) -> None:
    folder = trained.model.parent / "judge"
    labels, model = read_labels(folder), zoo.find(str(folder))
    assert labels.concepts == NAMES and labels.styles == ("fluent", "noto", "twemoji")
    assert model.config.judge is not None and model.config.decoder is None
    judge = weights.load(Judge(model.config.judge), model.file("judge"))
    concepts, styles = judge(torch.zeros(2, 3, 64, 64))
    assert concepts.shape == (2, 4) and styles.shape == (2, 3)


@pytest.mark.slow
def test_resuming_what_is_finished_changes_nothing(trained: Place) -> None:
    files = [trained.model / f"{name}.safetensors" for name in COMPONENTS[:3]]
    before, trained.reports = [file.read_bytes() for file in files], []
    trained.train(resume=True)
    assert trained.reports == [] and [file.read_bytes() for file in files] == before


@pytest.mark.slow
def test_codes_are_kept_and_made_again_when_their_makers_change(trained: Place) -> None:
    path = trained.data / "codes.npy"
    shop = trained.shop()
    codes, age = shop.codes, path.stat().st_mtime_ns
    assert codes.shape == (len(shop.samples), 8, 8) and codes.dtype == np.uint16 and codes.max() < 48
    assert np.array_equal(trained.shop().codes, codes) and path.stat().st_mtime_ns == age
    larger = trained.shop()
    model = dataclasses.replace(larger.recipe.model, generation=GenerationConfig(grid=(16, 16)))
    larger.recipe = dataclasses.replace(larger.recipe, model=model)
    assert larger.codes.shape == (len(shop.samples), 16, 16)
    assert np.array_equal(trained.shop().codes, codes)


def test_one_component_alone_makes_a_model_of_itself(small_pool: None, tmp_path: Path) -> None:
    place = Place(tmp_path, RECIPE)
    with pytest.raises(ModelError, match=r"dvae\.safetensors: no such file"):
        place.train(only="decoder")
    place.train(only="dvae")
    config = zoo.find(str(place.model)).config
    assert config.dvae is not None and config.decoder is None and config.refiner is None
    with pytest.raises(ModelError, match="model tiny has no decoder"):
        zoo.find(str(place.model)).file("decoder")


def test_a_warm_start_keeps_the_codes_and_moves_the_rest(small_pool: None, tmp_path: Path) -> None:
    place = Place(tmp_path, RECIPE)
    place.train(only="dvae")
    file = place.model / "dvae.safetensors"
    before = load_file(file)
    place.recipe.write_text(RECIPE.replace("seed = 1", "seed = 2"), "utf-8")  # would fit other codes
    place.train(only="dvae", warm=True)
    after = load_file(file)
    kept = [name for name in before if torch.equal(before[name], after[name])]
    assert sorted(kept) == ["project.bias", "project.weight", "quantize.codebook"]
    assert all((before[name] - after[name]).abs().max() < 0.05 for name in before)
    place.model.joinpath("dvae.safetensors").unlink()
    with pytest.raises(ModelError, match=r"dvae\.safetensors: no such file"):
        place.train(only="dvae", warm=True)


LITTLE = """
import sys
from helpers.places import small_pools
from janus_cli.app import main

with small_pools():
    code = main()
sys.exit(code)
"""


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    (tmp_path / "little.py").write_text(LITTLE)
    place = Place(tmp_path, RECIPE)
    place.recipe.write_text(RECIPE.replace("codebook_size = 48", "codebook_size = 16"), "utf-8")
    processes = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]  # on a free port
    job = [str(place.recipe), "--data", str(place.data), "--runs", str(place.runs), "--only", "dvae"]
    done = subprocess.run(
        [sys.executable, *processes, str(tmp_path / "little.py"), "train", *job, "--device", "cpu"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ["PYTHONPATH"]])},
    )
    assert done.returncode == 0, done.stderr
    assert len((place.runs / "tiny" / "dvae.jsonl").read_text().splitlines()) == 2  # one process logs
    assert load_file(place.model / "dvae.safetensors")["quantize.codebook"].shape == (16, 8)


def test_a_foreign_checkpoint_is_refused(small_pool: None, tmp_path: Path) -> None:
    place = Place(tmp_path, RECIPE)
    checkpoint = place.runs / "tiny" / "dvae.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"objective": {}, "optimizers": {}, "step": 1}, checkpoint)
    with pytest.raises(JanusError, match=r"dvae\.pt: not a checkpoint of this training"):
        place.train(resume=True)
    assert not (place.model / "dvae.safetensors").exists()


def test_muon_is_refused_where_it_has_no_matrices(small_pool: None, tmp_path: Path) -> None:
    place = Place(tmp_path, RECIPE.replace("[dvae]", "[dvae]\nmuon_lr = 0.02"))
    with pytest.raises(UsageError, match=r"^\[dvae\] muon_lr: no part of this net"):
        place.train(only="dvae")


def test_too_few_patches_for_a_codebook_are_an_error() -> None:
    sprites = Sprites(np.full((1, 256, 256, 4), 255, np.uint8))
    objective = ImageTokenizerObjective(DVAEConfig(dim=16, n_block=1), sprites, np.array([0]), 2)
    with pytest.raises(JanusError, match="different patches, too few for a codebook of 8192"):
        objective.initialise(np.random.default_rng(0), pool=2)


def test_sprites_are_rendered_anew_for_another_pack(tmp_path: Path) -> None:
    place = Place(tmp_path, RECIPE)
    assert len(place.shop().sprites) == 12
    dog = dataclasses.replace(concept("dog"), looks={"fxemoji": concept("dog").drawings["noto"]})
    write_pack(place.data / "pack.json.xz", [*four_concepts(), dog])
    assert len(place.shop().sprites) == 16, "what is only looked at comes last"
    place.shop().render([3, 5])
    full = place.shop().sprites.full
    assert [i for i in range(16) if full.has(i)] == [3, 5], "no more than was asked for"


# ---- the text tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A BPE of 400 entries, trained on captions of four concepts in every language."""
    from janus_cli.dataset.samples import make_training_samples

    concepts, rng = four_concepts(), np.random.default_rng(0)
    texts = [write_caption(s, concepts, rng, 0.5) for s in make_training_samples(concepts, "fluent", 50)]
    return train_tokenizer(texts, 400, tmp_path_factory.mktemp("words") / "tokenizer.json")


@settings(max_examples=80, deadline=None)
@given(text=st.text(max_size=40))
def test_any_text_comes_back(tokenizer, text: str) -> None:  # type: ignore[no-untyped-def]
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text
    assert all(0 <= i < 400 for i in ids)


@pytest.mark.parametrize("text", ["", " ", "  two  spaces ", "naïve 東京 🍎\n\t", "<|end|>", "\0", "e\u0301"])
def test_unusual_texts_come_back(tokenizer, text: str) -> None:  # type: ignore[no-untyped-def]
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_the_end_is_0_and_known_words_are_short(tokenizer) -> None:  # type: ignore[no-untyped-def]
    assert tokenizer.token_to_id("<|end|>") == 0 and tokenizer.get_vocab_size() <= 400
    assert len(tokenizer.encode("apple").ids) < 5 < len(tokenizer.encode("xylophone").ids)


def test_the_same_texts_give_the_same_tokenizer(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in paths:
        train_tokenizer([f"a {name}" for name in NAMES] * 3, 280, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
