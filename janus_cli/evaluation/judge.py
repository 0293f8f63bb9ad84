"""The two parties of an evaluation: the model that draws, and the judge that says what it sees.

Knows model folders and the stages. What is asked, and how it is scored, is decided elsewhere.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from janus_cli import weights, zoo
from janus_cli.dataset.pictures import shrink
from janus_cli.errors import JanusError, ModelError
from janus_cli.media.pictures import pixels_to_image
from janus_cli.nets.decoder import Decoder
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.judge import Judge
from janus_cli.nets.pixels import to_float, to_uint8
from janus_cli.nets.refiner import Refiner
from janus_cli.records import Record
from janus_cli.stages.decoding.segments import Identity
from janus_cli.stages.denoise import DenoiseOptions, denoise
from janus_cli.stages.generate import GenerateOptions, generate
from janus_cli.stages.image import decode_image
from janus_cli.stages.text import TextTokenizer
from janus_cli.stages.upsample import UpsampleOptions, upsample
from janus_cli.training.objectives.judge import SIZE, Labels, read_labels

Tell = Callable[[int, int], None]  # done, of how many
BATCH = 32  # pictures generated, decoded or judged at a time


@dataclass(frozen=True)
class Artist:
    """A model with all its nets loaded."""

    model: zoo.Model
    dvae: DVAE
    decoder: Decoder
    refiner: Refiner | None
    text: TextTokenizer
    device: str

    @classmethod
    def load(cls, model: zoo.Model, device: str) -> "Artist":
        """Raises ModelError for a component that is missing; only the refiner may be."""
        cfg = model.config
        dvae_file, decoder_file = model.file("dvae"), model.file("decoder")
        assert cfg.dvae is not None and cfg.decoder is not None, "Model.file has said so"
        refiner = None
        if cfg.refiner is not None:
            refiner = weights.load(Refiner(cfg.refiner), model.file("refiner"), device)
        return cls(
            model,
            weights.load(DVAE(cfg.dvae), dvae_file, device),
            weights.load(Decoder(cfg.decoder), decoder_file, device),
            refiner,
            TextTokenizer(model.tokenizer_file, model.name),
            device,
        )

    @property
    def side(self) -> int:
        """Pixels per side of a picture before it is enlarged."""
        return self.model.config.generation.grid[0] * self.dvae.cfg.patch

    def generate(self, prompts: Sequence[str], seed: int = 0, greedy: bool = False) -> Iterator[Record]:
        """Image tokens for every prompt, in order, with the model's own sampling options."""
        ours, who = self.model.config.generation, self.model
        options = GenerateOptions(
            seed=seed,
            cfg_scale=ours.cfg_scale,
            temperature=0 if greedy else ours.temperature,
            top_k=ours.top_k,
            top_p=ours.top_p,
            grid=ours.grid,
            batch_size=BATCH,
        )
        identity = Identity(who.name, who.text_fingerprint, who.codebook_fingerprint)
        records = (self.text.encode(prompt, str(i)) for i, prompt in enumerate(prompts))
        return generate(records, self.decoder, options, identity)

    def finish(self, record: Record) -> np.ndarray:
        """The final picture of image tokens, uint8 [S, S, 3]: refined and enlarged if the model can."""
        segment = record.find("image")
        assert segment is not None, "generate gives image tokens"
        if self.refiner is None:
            return decode_image(segment, self.dvae)
        steps, scale = self.refiner.cfg.steps, self.model.config.generation.upsample
        sharp = denoise([record], self.dvae, self.refiner, DenoiseOptions(steps=steps))
        if scale > 1:
            larger = UpsampleOptions(scale, steps=self.refiner.cfg.up_steps)
            sharp = upsample(sharp, self.dvae, self.refiner, larger)
        return pixels_to_image(next(iter(sharp)).segments[-1].data)

    def draw(self, prompts: Sequence[str], seed: int, tell: Tell) -> np.ndarray:
        """Final pictures uint8 [N, S, S, 3] of all prompts."""
        pictures = []
        for record in self.generate(prompts, seed):
            pictures.append(self.finish(record))
            tell(len(pictures), len(prompts))
        return np.stack(pictures)

    @torch.inference_mode()
    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Codes int64 [N, rows, cols] of pictures uint8 [N, H, W, 3]."""
        parts = [self.dvae.encode(to_float(part).to(self.device)) for part in _batches(pictures)]
        return torch.cat(parts).cpu().numpy()

    @torch.inference_mode()
    def decode(self, codes: np.ndarray) -> np.ndarray:
        """The dVAE's pictures uint8 [N, H, W, 3] of codes [N, rows, cols]."""
        parts = [self.dvae.decode(torch.from_numpy(part).to(self.device)) for part in _batches(codes)]
        return to_uint8(torch.cat(parts))

    def reconstruct(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures uint8 [N, H, W, 3] through the image tokenizer and back."""
        return self.decode(self.encode(pictures))


def _batches(array: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(array), BATCH):
        yield array[start : start + BATCH]


def at_size(pictures: np.ndarray, side: int) -> np.ndarray:
    """Square pictures uint8 [N, S, S, 3] at `side` pixels: averaged down, or enlarged without steps."""
    size = pictures.shape[1]
    if size == side:
        return pictures
    if size % side == 0:
        return shrink(pictures, side)
    return to_uint8(F.interpolate(to_float(pictures), (side, side), mode="bilinear", antialias=True))


@dataclass(frozen=True)
class Ruler:
    """The judge, loaded, with the names of its answers."""

    judge: Judge
    labels: Labels
    device: str

    @classmethod
    def load(cls, beside: zoo.Model, device: str) -> "Ruler":
        """The judge in the folder `judge` beside a model, else the zoo's. ModelError if there is none."""
        folder = beside.path.parent / "judge"
        model = zoo.find(str(folder) if (folder / "config.json").is_file() else "judge")
        file = model.file("judge")
        assert model.config.judge is not None, "Model.file has said so"
        labels = read_labels(model.path)
        if (len(labels.concepts), len(labels.styles)) != (
            model.config.judge.n_concept,
            model.config.judge.n_style,
        ):
            raise ModelError(f"{model.path / 'labels.json'} and config.json differ: train the judge again")
        return cls(weights.load(Judge(model.config.judge), file, device), labels, device)

    @torch.inference_mode()
    def look(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits of concepts [N, n_concept] and styles [N, n_style] for pictures uint8 [N, S, S, 3]."""
        small = at_size(pictures, SIZE)
        parts = [self.judge(to_float(part).to(self.device)) for part in _batches(small)]
        concept, style = (torch.cat(p).float().cpu().numpy() for p in zip(*parts, strict=True))
        return concept, style

    def ranks(self, logits: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """How many concepts the judge prefers to the right one, [N]: 0 is a top-1 answer."""
        number = {name: i for i, name in enumerate(self.labels.concepts)}
        if unknown := [name for name in names if name not in number]:
            raise JanusError(f"the judge does not know {unknown[0]!r}: train it on this data pack")
        right = np.array([number[name] for name in names], np.int64)
        return (logits > np.take_along_axis(logits, right[:, None], 1)).sum(1)

    def score(self, pictures: np.ndarray, pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
        """Shares of pictures of `pairs` with the concept guessed first, among five, and with the style right.

        `both`: concept among five guesses and style right.
        """
        concept, style = self.look(pictures)
        ranks = self.ranks(concept, [name for name, _ in pairs])
        styles = style.argmax(1) == np.array([self.labels.styles.index(s) for _, s in pairs])
        return {
            "n": len(pairs),
            "top1": share(ranks < 1),
            "top5": share(ranks < 5),
            "style": share(styles),
            "both": share((ranks < 5) & styles),
        }


def share(right: np.ndarray) -> float:
    """Mean of booleans, to four digits."""
    return round(float(np.mean(right)), 4)
