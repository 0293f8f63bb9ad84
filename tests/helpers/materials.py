"""What the nets that hear, see and speak are trained on, tiny: shapes, their codes, tones for speech."""

from pathlib import Path

import numpy as np
import torch
from helpers.packs import four_concepts
from helpers.sounds import lively
from torch import Tensor

from janus_cli.config import (
    CodecConfig,
    DecoderConfig,
    MixinConfig,
    ModalityConfig,
    RelativeConfig,
    VisionConfig,
)
from janus_cli.dataset.pictures import Sprites, list_drawings, render
from janus_cli.dataset.samples import Corpus, make_training_samples
from janus_cli.dataset.speech import RATE, Phone, Utterance
from janus_cli.dataset.utterances import Utterances, say_in_any_voice, say_in_own_voice
from janus_cli.dataset.vocabulary import train_tokenizer
from janus_cli.nets.codec import Codec
from janus_cli.nets.siglip import VisionTower
from janus_cli.training.objectives.joint import JointObjective, Materials
from janus_cli.training.recipe import FitRecipe

CONCEPTS = four_concepts()
WEIGHTS = {"plain": 0.4, "background": 0.2, "hue": 0.2, "scene": 0.2}
CODEC = CodecConfig(dim=8, n_filter=2, codebook_size=16, n_q=2)
VISION = VisionConfig(dim=32, n_layer=1, n_head=2, ff_dim=48, patch=16, image_size=64)
CODES, VOCABULARY = 40, 300
CLOSED = 16**2  # the END of a sound, as an id
TYPES = ("text", "image", "audio", "sight")
DECODER = DecoderConfig(
    dim=32,
    n_layer=2,
    n_head=2,
    n_kv_head=1,
    head_dim=16,
    ff_dim=48,
    max_seq_len=128,
    modalities={
        "text": ModalityConfig(VOCABULARY),
        "image": ModalityConfig(CODES, two_d=True),
        "audio": ModalityConfig(16, n_q=2, ends=True),
        "sight": ModalityConfig(feature_dim=32),
    },
    mixin=MixinConfig(),
    relative=RelativeConfig(),
)


class Humming:
    """A speaker without espeak-ng: a hum of three frames for every letter, always the same one."""

    def say(self, utterance: Utterance) -> np.ndarray:
        return self.pronounce(utterance)[0]

    def pronounce(self, utterance: Utterance) -> tuple[np.ndarray, list[Phone]]:
        time = np.arange(960 * len(utterance.text)) / RATE
        pitch = 100 + 5 * utterance.pitch + 10 * len(utterance.variant)
        phones = [Phone(letter, 960 * i) for i, letter in enumerate(utterance.text)]
        return (0.4 * np.sin(2 * np.pi * pitch * (1 + time) * time)).astype(np.float32), phones


def tiny_codec() -> Codec:
    """A codec with random weights whose codes differ from sound to sound."""
    return lively(Codec(CODEC))


def sprites() -> Sprites:
    """The drawings of CONCEPTS."""
    return Sprites(np.stack([render(CONCEPTS[c].drawings[style]) for c, style in list_drawings(CONCEPTS)]))


def tokenizer(folder: Path):  # type: ignore[no-untyped-def]
    """A text tokenizer of VOCABULARY entries at most."""
    names = [label for concept in CONCEPTS for label in concept.labels.values()]
    return train_tokenizer(names, VOCABULARY, folder / "tokenizer.json")


def corpus(cells: tuple[int, int] = (2, 3)) -> Corpus:
    """Samples of every kind with random codes."""
    samples = make_training_samples(CONCEPTS, "fluent", scenes=12)
    codes = np.random.default_rng(0).integers(CODES, size=(len(samples), *cells)).astype(np.uint16)
    return Corpus(samples, codes, WEIGHTS)


def spoken(of: Corpus, own: bool, count: int = 6) -> Utterances:
    """Captions of the corpus with random codes and phones of 3 to 8 frames."""
    rng = np.random.default_rng([7, own])
    chosen = [int(i) for i in of.draw(rng, count)]
    say = say_in_own_voice if own else say_in_any_voice
    texts = [u.text for u in say(of.samples, chosen, CONCEPTS, rng)]
    starts = np.cumsum([0, *rng.integers(3, 9, count)])
    codes = rng.integers(CODEC.codebook_size, size=(CODEC.n_q, starts[-1])).astype(np.uint16)
    alphabet = ["_", "a", "p", "l"] if own else ["_", "b", "a"]
    phones = rng.integers(len(alphabet), size=starts[-1]).astype(np.uint8)
    return Utterances(codes, starts, texts, np.array(chosen), phones, alphabet)


def materials(folder: Path) -> Materials:
    """All of it."""
    torch.manual_seed(0)
    vision = VisionTower(VISION)
    torch.nn.init.normal_(vision.pos_embed, std=0.1)
    of = corpus()
    return Materials(of, CONCEPTS, sprites(), tokenizer(folder), vision, spoken(of, False), spoken(of, True))


def make_objective(of: Materials, mix: dict[str, int], **options: float) -> JointObjective:
    """An objective of these directions: nothing dropped or corrupted, unless said otherwise."""
    torch.manual_seed(0)
    chosen = {"drop": 0.0, "corrupt": 0.0, **options}
    return JointObjective(DECODER, of, FitRecipe(1, 1, 0.0, mix=mix, **chosen))  # type: ignore[arg-type]


def batch_of(objective: JointObjective, seed: int = 0) -> dict[str, Tensor]:
    """The batch that this seed gives."""
    return objective.batch(np.random.default_rng(seed), 0)
