"""A folder in which tests train a tiny model: its recipe, a pack made by hand, the runs, and who reported."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from helpers.packs import four_concepts, write_pack
from safetensors.torch import load_file
from torch import Tensor

from janus_cli.training.jobs import TrainOptions, train
from janus_cli.training.objectives.image_tokenizer import ImageTokenizerObjective
from janus_cli.training.recipe import read_recipe
from janus_cli.training.workshop import Workshop

MODEL = """
[model]
name = "tiny"
[model.dvae]
codebook_size = 48
codebook_dim = 8
dim = 16
n_block = 1
[model.decoder]
dim = 32
n_layer = 2
n_head = 2
n_kv_head = 1
head_dim = 16
ff_dim = 48
max_seq_len = 128
[model.decoder.modalities.text]
vocab_size = 300
[model.decoder.modalities.image]
vocab_size = 48
two_d = true
[model.decoder.mixin]
[model.decoder.relative]
"""


def track(loop: Iterable[int], label: str) -> Iterable[int]:
    """No bar."""
    return loop


class Place:
    """The model folder `tiny` with a recipe, beside it data and runs."""

    def __init__(self, folder: Path, recipe: str):
        self.model, self.data, self.runs = folder / "tiny", folder / "data", folder / "runs"
        self.recipe = self.model / "recipe.toml"
        self.model.mkdir(parents=True)
        self.recipe.write_text(recipe, "utf-8")
        write_pack(self.data / "pack.json.xz", four_concepts())
        self.reports: list[tuple[str, int]] = []

    def train(self, only: str | None = None, resume: bool = False, warm: bool = False) -> Path:
        """Train with a checkpoint at each step, and keep who reported at which; the model's folder."""
        options = TrainOptions(only, resume, warm, data=self.data, runs=self.runs, save_every=0)
        return train(self.recipe, options, lambda name, step, *_: self.reports.append((name, step)), track)

    def shop(self) -> Workshop:
        """What a training is given to work with."""
        return Workshop(read_recipe(self.recipe), self.data, self.model, "cpu", track)

    def weights(self, component: str) -> dict[str, Tensor]:
        """The trained tensors of a component."""
        return load_file(self.model / f"{component}.safetensors")


@contextlib.contextmanager
def small_pools() -> Iterator[pytest.MonkeyPatch]:
    """Codebooks fitted to 40 pictures instead of thousands; what is given patches more for as long."""
    whole = ImageTokenizerObjective.initialise
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            ImageTokenizerObjective, "initialise", lambda self, rng, pool=40: whole(self, rng, pool)
        )
        yield patch
