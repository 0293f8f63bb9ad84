"""Everything a training needs that is made once: pack, sprites, tokenizer, samples and their codes.

Each is built when first asked for and kept in the data folder, beside what it was made from.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from janus_cli import weights
from janus_cli.dataset import heldout, utterances
from janus_cli.dataset.captions import write_caption
from janus_cli.dataset.pack import DEFAULT_STYLE, PACK, Concept, build_pack, read_pack
from janus_cli.dataset.pictures import Renderings, Sprites, Track, compose, list_drawings, list_svgs
from janus_cli.dataset.samples import Corpus, Sample, build_scene, make_training_samples, number_drawings
from janus_cli.dataset.utterances import Utterances
from janus_cli.dataset.vocabulary import train_tokenizer
from janus_cli.errors import JanusError
from janus_cli.media.files import atomic_write, make_folder, write_with
from janus_cli.nets.build import build
from janus_cli.nets.codec import Codec
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.pixels import to_float
from janus_cli.nets.siglip import VisionTower
from janus_cli.training.recipe import Recipe

Say = Callable[[str], None]


def _hash_tensor(tensor: torch.Tensor) -> str:
    """Hash a tensor's numbers: the same on every device, as no sum of them is."""
    return hashlib.sha256(tensor.detach().cpu().contiguous().numpy().tobytes()).hexdigest()


class Workshop:
    """The materials of one recipe: `data` is shared between recipes, `model` is the folder to fill.

    `track` wraps long loops, `say` takes a line about what is no loop and takes long.
    """

    def __init__(
        self, recipe: Recipe, data: Path, model: Path, device: str, track: Track, say: Say = lambda text: None
    ):
        self.recipe, self.data, self.model, self.device = recipe, data, model, device
        self.track, self.say = track, say
        make_folder(data)
        make_folder(model)

    @cached_property
    def concepts(self) -> list[Concept]:
        """Concepts of the data pack, fetched when there is none."""
        path = self.data / PACK
        if path.exists():
            return read_pack(path)
        self.say(f"fetching drawings and their names from npm into {path}")
        return build_pack(path)

    @cached_property
    def sprites(self) -> Sprites:
        """Every drawing, rendered when it is needed first and kept."""
        return Sprites(Renderings(list_svgs(self.concepts), self.data))

    def render(self, drawings: Sequence[int]) -> None:
        """Render those of `drawings` that are not rendered yet, with a bar."""
        full = self.sprites.full
        if isinstance(full, Renderings) and (missing := [i for i in drawings if not full.has(i)]):
            for i in self.track(range(len(missing)), "rendering"):
                full.keep(missing[i])

    @cached_property
    def trained_drawings(self) -> np.ndarray:
        """Numbers of the drawings that are not held out."""
        held = heldout.find_pairs(self.concepts)
        pairs = [(self.concepts[c].name, style) for c, style in list_drawings(self.concepts)]
        return np.array([i for i, pair in enumerate(pairs) if pair not in held])

    @cached_property
    def samples(self) -> list[Sample]:
        """What the generator learns to draw."""
        data = self.recipe.data
        return make_training_samples(
            self.concepts,
            DEFAULT_STYLE,
            data.scenes,
            self.recipe.seed,
            vary_all=not {"background", "hue"}.isdisjoint(data.others),
            with_looks="look" in (data.others or data.weights),
        )

    @cached_property
    def tokenizer(self) -> object:
        """The text tokenizer, trained on captions and names when the model has none."""
        from tokenizers import Tokenizer

        path = self.model / "tokenizer.json"
        if path.exists():
            return Tokenizer.from_file(str(path))
        self.say("training the text tokenizer")
        rng = np.random.default_rng(self.recipe.seed)
        texts = [write_caption(s, self.concepts, rng, foreign=0.3) for s in self.samples for _ in range(2)]
        names = [label for concept in self.concepts for label in concept.labels.values()]
        vocab_size = self.config("decoder").modalities["text"].vocab_size
        return train_tokenizer(texts + 3 * names, vocab_size, path)

    def config(self, component: str) -> Any:
        """The configuration of a component's net. Raises JanusError where the recipe has none."""
        found = getattr(self.recipe.model, component)
        if found is None:
            name = {"codec": "a codec", "vision": "a vision encoder"}.get(component, f"a {component}")
            raise JanusError(f"the recipe trains {name} but has no [model.{component}]")
        return found

    def _load(self, component: str) -> Any:
        """Read a trained net from the model folder. Raises ModelError when it is not there yet."""
        net = build(component, self.config(component))
        return weights.load(net, self.model / f"{component}.safetensors", self.device)

    @cached_property
    def dvae(self) -> DVAE:
        """The trained image tokenizer."""
        net: DVAE = self._load("dvae")
        return net

    @cached_property
    def codec(self) -> Codec:
        """The trained audio tokenizer."""
        net: Codec = self._load("codec")
        return net

    @cached_property
    def vision(self) -> VisionTower:
        """The trained vision encoder."""
        net: VisionTower = self._load("vision")
        return net

    @cached_property
    def corpus(self) -> Corpus:
        """The samples with their codes, drawn as often as the recipe says."""
        return Corpus(self.samples, self.codes, self.recipe.data.weights, self.recipe.data.others)

    def utterances(self, own: bool, count: int) -> Utterances:
        """Speak and encode `count` captions of the corpus, in the model's own voice or in any, if need be."""
        path = self.data / ("said.npz" if own else "heard.npz")
        rng = np.random.default_rng([self.recipe.seed, own])
        chosen = [int(i) for i in self.corpus.draw(rng, count)]
        speak = utterances.say_in_own_voice if own else utterances.say_in_any_voice
        spoken = speak(self.samples, chosen, self.concepts, rng)
        book = _hash_tensor(self.codec.codebooks)
        key = f"phones {hashlib.sha256(f'{spoken}{chosen}'.encode()).hexdigest()} {book}"
        if (found := utterances.read_utterances(path, key)) is not None:
            return found
        made = utterances.synthesise(spoken, chosen, self.codec, self.track, "speaking")
        utterances.write_utterances(made, path, key)
        return made

    @cached_property
    def codes(self) -> np.ndarray:
        """Codes uint16 [N, rows, cols] of every sample."""
        path, key_path = self.data / "codes.npy", self.data / "codes.json"
        codebook = self.dvae.quantize.codebook
        content = f"{self.samples}{[c.name for c in self.concepts]}"
        key = {
            "samples": hashlib.sha256(content.encode()).hexdigest(),
            "grid": list(self.recipe.model.generation.grid),
            "codebook": _hash_tensor(codebook),
        }
        if path.exists() and key_path.exists() and json.loads(key_path.read_text()) == key:
            return np.asarray(np.load(path))
        side = self.recipe.model.generation.grid[0] * self.dvae.cfg.patch
        numbers, chunk = number_drawings(self.concepts), 64
        parts = []
        for start in self.track(range(0, len(self.samples), chunk), "tokenizing"):
            scenes = [build_scene(s, numbers) for s in self.samples[start : start + chunk]]
            pixels = to_float(np.stack([compose(scene, self.sprites, side) for scene in scenes]))
            with torch.no_grad():
                parts.append(self.dvae.encode(pixels.to(self.device)).cpu().numpy().astype(np.uint16))
        codes = np.concatenate(parts)
        key_path.unlink(missing_ok=True)  # it speaks of the codes that stand there, never of others
        write_with(path, lambda file: np.save(file, codes), force=True)
        atomic_write(key_path, json.dumps(key).encode(), force=True)
        return codes
