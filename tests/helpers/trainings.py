"""A tiny drawing decoder in training."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers.packs import four_concepts
from torch import Tensor

from janus_cli.config import DecoderConfig, MixinConfig, ModalityConfig, RelativeConfig
from janus_cli.dataset.samples import Corpus, make_training_samples
from janus_cli.dataset.vocabulary import train_tokenizer
from janus_cli.training.loop import Run, Schedule, fit
from janus_cli.training.objectives.drawing import DrawingObjective
from janus_cli.training.optim import Optimizers, muon
from janus_cli.training.recipe import FitRecipe

CODES, STEPS = 40, 6
WEIGHTS = {"plain": 0.6, "background": 0.2, "scene": 0.2}


class CutError(Exception):
    """The machine went away."""


class Training:
    """A tiny generator in training: dim 32, 2 layers, 3 x 4 codes a picture."""

    def __init__(self, folder: Path, dim: int = 32, negatives: int = 0):
        self.folder, self.reports = folder, []
        concepts = four_concepts()
        samples = make_training_samples(concepts, "fluent", scenes=8)
        codes = np.random.default_rng(0).integers(CODES, size=(len(samples), 3, 4)).astype(np.uint16)
        names = [label for c in concepts for label in c.labels.values()]
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer = train_tokenizer(names, 300, folder / "tokenizer.json")
        config = DecoderConfig(
            dim=dim,
            n_layer=2,
            n_head=2,
            n_kv_head=1,
            head_dim=16,
            ff_dim=48,
            max_seq_len=64,
            modalities={"text": ModalityConfig(300), "image": ModalityConfig(CODES, two_d=True)},
            mixin=MixinConfig(),
            relative=RelativeConfig(),
        )
        torch.manual_seed(0)
        self.objective = DrawingObjective(
            config,
            Corpus(samples, codes, WEIGHTS),
            concepts,
            tokenizer,
            FitRecipe(STEPS, 3, 0.0, text_slots=6, negatives=negatives),
        )
        self.objective.initialise(torch.randn(CODES, 5))
        self.optimizers: Optimizers = muon(self.objective, self.objective.decoder.layers, 0.02, 3e-3)

    @property
    def checkpoint(self) -> Path:
        return self.folder / "decoder.pt"

    def rows(self) -> list[dict[str, Any]]:
        """The metrics file, without the clock."""
        lines = (self.folder / "decoder.jsonl").read_text("utf-8").splitlines()
        return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]

    def run(self, resume: bool = False, cut_at: int | None = None) -> "Training":
        """Train to the last step, or until step `cut_at` asks for its batch."""
        batch = self.objective.batch

        def cut(rng: np.random.Generator, step: int) -> dict[str, Tensor]:
            if step == cut_at:
                raise CutError
            return batch(rng, step)

        self.objective.batch = cut  # type: ignore[method-assign]
        run = Run(self.folder, save_every=0, log_every=1)
        say = lambda step, steps, values: self.reports.append((step, values))  # noqa: E731
        fit("decoder", self.objective, self.optimizers, Schedule(STEPS, warmup=2), run, resume, say)
        return self
