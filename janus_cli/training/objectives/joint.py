"""Training objective of the any-to-any decoder: one cross-entropy over sequences of mixed segments.

    draw   <txt> caption <img> codes          see   <sight> features <txt> words
    hear   <aud> frames <txt> words           speak <txt> words <aud> frames
    hear, draw   <aud> frames <txt> words <img> codes
    see, speak   <sight> features <txt> words <aud> frames

The two chains go through words: what was heard or seen is said first, then made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from janus_cli.config import DecoderConfig
from janus_cli.dataset import heldout
from janus_cli.dataset.captions import caption
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.pictures import Scene, Sprites, compose
from janus_cli.dataset.samples import Sample, drawing_numbers, looked_at, other_looks, restyled, scene_of
from janus_cli.dataset.utterances import Utterances, description
from janus_cli.nets.codec import Codec
from janus_cli.nets.decoder import DELIMITER, Decoder
from janus_cli.nets.pixels import to_float
from janus_cli.nets.quantize import Quantizer
from janus_cli.nets.siglip import VisionTower
from janus_cli.training.losses import chunked_cross_entropy, sampled_head
from janus_cli.training.objectives.drawing import END, Corpus, begin_at_codebook
from janus_cli.training.objectives.phones import Phones
from janus_cli.training.objectives.sequences import COLUMNS, DIRECTIONS, NONE, Part, chunks, pad, row_of
from janus_cli.training.objectives.spelling import Spelling
from janus_cli.training.objectives.vision import carefree, varied

READ, WRITTEN = 0, 1  # roles: a prompt, of which a little is learned too, and an output
CHUNKS = 5  # groups of like lengths that a batch is cut into
LISTEN = 0.25  # share of a heard utterance's frames that are targets too
DEAF = 0.15  # highest rate of heard frames replaced by others
HURRY = 0.12  # highest rate of heard frames said twice or not at all
KEPT_PLACES = 2.0  # highest rate of a single drawing's places that are read, so half the time all of them
SPELLING = 0.5  # weight of the letters that are heard on the way
PHONES = 0.3  # and of the sounds that are heard, said, and to be said
WEIGHTS = {  # of each modality's mean loss: as a prompt, as an output
    "text": (0.15, 1.5),
    "image": (0.0, 1.0),
    "audio": (0.05, 0.5),
}


def hurried(count: int, rng: np.random.Generator) -> np.ndarray:
    """Numbers of `count` frames at a slightly other pace: some twice, some left out."""
    draw = rng.random(count)
    faster, slower = rng.random(2) * HURRY
    return np.arange(count).repeat(np.where(draw < faster, 0, np.where(draw > 1 - slower, 2, 1)))


@dataclass(frozen=True)
class Materials:
    """What the sequences are made of."""

    corpus: Corpus
    concepts: Sequence[Concept]
    sprites: Sprites
    tokenizer: object
    vision: VisionTower  # trained
    heard: Utterances  # captions of the corpus's samples in many voices
    said: Utterances  # and in the model's own


class JointObjective(nn.Module):
    """A batch has `mix[direction]` sequences of each direction.

    Captions are dropped for guidance (`drop`), image inputs replaced as in GeneratorObjective (`corrupt`,
    `blind`, `restyle`); inputs of speech that is to be said at a rate from U(0, `corrupt`), too. Half of the
    single drawings that are seen are other sets', and whether a style is said after their name is not learned
    from these. Of half of the single drawings some places, or all, are left out where the mean of them
    follows: what a thing is must be read there, as single places are what drawings are known by heart from.
    The vision encoder stays as it is. In the middle of the decoder, what is heard is also spelled and the
    sounds of speech are told; that is thrown away afterwards (spelling.py, phones.py).
    """

    def __init__(
        self,
        cfg: DecoderConfig,
        materials: Materials,
        mix: Mapping[str, int],
        *,
        text_slots: int = 12,
        drop: float = 0.1,
        corrupt: float = 0.25,
        negatives: int = 0,
        blind: float = 0.0,
        restyle: float = 0.0,
    ):
        super().__init__()
        self.decoder = Decoder(cfg)
        self.vision = materials.vision.eval().requires_grad_(False)
        self.m, self.mix, self.text_slots = materials, dict(mix), text_slots
        self.drop, self.corrupt, self.blind, self.restyle = drop, corrupt, blind, restyle
        self.negatives = negatives
        self.held = heldout.pairs(list(materials.concepts))
        self.numbers, self.looks = drawing_numbers(materials.concepts), other_looks(materials.concepts)
        self.audio = self.decoder.adapter("audio")
        self.spelling = Spelling(self.decoder, materials.tokenizer)
        self.phones = Phones(self.decoder, (materials.heard.alphabet, materials.said.alphabet))
        self.heard_phones, self.said_phones = self.phones.numbers
        self._pictures: list[Scene] = []  # what the batch being made looks at
        self._free: list[bool] = []  # and whether in any colours, and mirrored

    def initialise(self, codec: Codec, image_codebook: Tensor | None) -> None:
        """Embeddings of codes from their codebooks; the image's stay as they are where none is given."""
        if image_codebook is not None:
            begin_at_codebook(self.decoder.adapter("image"), image_codebook, self.m.corpus.codes)
        codes = np.concatenate([self.m.heard.codes, self.m.said.codes], 1)
        for level in range(self.audio.n_q):
            codebook = cast(Quantizer, codec.quantizers[level]).codebook.cpu()
            begin_at_codebook(self.audio, codebook, codes[level], level)

    # ---- parts of a sequence

    def _words(self, text: str, role: int, whole: bool = True) -> Part:
        """What is said; unless it is `whole`, more might follow."""
        ids = np.array(self.m.tokenizer.encode(text).ids, np.int64)  # type: ignore[attr-defined]
        kept = ids[: self.text_slots]
        return Part("text", kept, kept, END if whole and len(kept) == len(ids) else None, role)

    def _image(self, sample: int, rng: np.random.Generator) -> Part:
        codes = self.m.corpus.codes[sample].astype(np.int64)
        clean = codes.reshape(-1)
        highest = 1.0 if rng.random() < self.blind else self.corrupt
        noisy = rng.random(clean.shape) < rng.random() * highest
        pool = self.m.corpus.codes.reshape(-1)
        others = pool[rng.integers(len(pool), size=len(clean))]
        ids = np.where(noisy, others, clean)
        return Part("image", ids, clean, None, WRITTEN, (codes.shape[0], codes.shape[1]))

    def _frames(self, codes: np.ndarray) -> np.ndarray:
        """Composite ids [F] of codes [Q, F]."""
        levels = [torch.from_numpy(row) for row in codes[: self.audio.n_q]]
        return self.audio.ids(levels).numpy()

    def _sound(self, source: Utterances, number: int, role: int, rng: np.random.Generator) -> Part:
        clean = self._frames(source.frames(number))
        numbers = self.heard_phones if source is self.m.heard else self.said_phones
        phones = numbers[source.pronounced(number)]
        if role == READ:
            pace = hurried(len(clean), rng)
            clean, phones = clean[pace], phones[pace]
        highest = self.corrupt if role == WRITTEN else DEAF
        noisy = rng.random(clean.shape) < rng.random() * highest
        ids = np.where(noisy, rng.permutation(clean), clean)
        if role == WRITTEN:
            return Part("audio", ids, clean, self.audio.vocab_size**self.audio.n_q, role, phones=phones)
        targets = np.where(rng.random(clean.shape) < LISTEN, clean, NONE)
        return Part("audio", ids, targets, None, role, phones=phones)

    def _sight(self, sample: Sample, scene: Scene, rng: np.random.Generator) -> Part:
        count = self.vision.cfg.n_token
        start = count * len(self._pictures)
        self._pictures.append(scene)
        self._free.append(carefree(sample, self.m.concepts))
        kept = np.ones(count, bool)
        if sample.kind == "plain" and self.vision.cfg.summary:
            kept[:-1] = rng.random(count - 1) < KEPT_PLACES * rng.random()  # the mean, last, is there always
        return Part("sight", start + kept.nonzero()[0])

    # ---- sequences

    def _draw(self, rng: np.random.Generator) -> list[Part]:
        number = int(self.m.corpus.draw(rng, 1)[0])
        sample = self.m.corpus.samples[number]
        told = sample
        if sample.kind == "plain" and rng.random() < self.restyle:
            told = restyled(sample, self.m.concepts, self.held, rng)
        words = self._words(caption(told, self.m.concepts, rng), READ)
        if rng.random() < self.drop:
            words = Part("text", words.ids[:0])
        return [words, self._image(number, rng)]

    def _see(self, rng: np.random.Generator) -> list[Part]:
        sample = self.m.corpus.samples[int(self.m.corpus.draw(rng, 1)[0])]
        shown, scene = looked_at(sample, self.numbers, self.looks, rng)
        words = self._words(description(shown, self.m.concepts), WRITTEN, whole=bool(shown.style))
        return [self._sight(shown, scene, rng), words]

    def _hear(self, rng: np.random.Generator) -> list[Part]:
        number = int(rng.integers(len(self.m.heard)))
        words = self._words(self.m.heard.texts[number], WRITTEN)
        return [self._sound(self.m.heard, number, READ, rng), words]

    def _speak(self, rng: np.random.Generator) -> list[Part]:
        number = int(rng.integers(len(self.m.said)))
        return [self._words(self.m.said.texts[number], READ), self._sound(self.m.said, number, WRITTEN, rng)]

    def _hear_draw(self, rng: np.random.Generator) -> list[Part]:
        number = int(rng.integers(len(self.m.heard)))
        words = self._words(self.m.heard.texts[number], WRITTEN)
        return [
            self._sound(self.m.heard, number, READ, rng),
            words,
            self._image(int(self.m.heard.samples[number]), rng),
        ]

    def _see_speak(self, rng: np.random.Generator) -> list[Part]:
        number = int(rng.integers(len(self.m.said)))
        words = self._words(self.m.said.texts[number], WRITTEN)
        sample = self.m.corpus.samples[int(self.m.said.samples[number])]
        return [
            self._sight(sample, scene_of(sample, self.numbers), rng),
            words,
            self._sound(self.m.said, number, WRITTEN, rng),
        ]

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Columns of each group of rows as `<group>.ids` ..., [B, T]; pictures looked at, and which are free.

        pixels: [N, 3, S, S]; free: bool [N], those that may be dyed and mirrored.
        """
        self._pictures, self._free = [], []
        makers = (self._draw, self._see, self._hear, self._speak, self._hear_draw, self._see_speak)
        make = dict(zip(DIRECTIONS, makers, strict=True))
        rows = [
            row_of(make[direction](rng), self.decoder.type_ids)
            for direction, count in self.mix.items()
            for _ in range(count)
        ]
        groups = enumerate(map(pad, chunks(rows, CHUNKS)))
        batch = {f"{i}.{name}": column for i, group in groups for name, column in group.items()}
        side = self.vision.cfg.image_size
        if self._pictures:
            seen = np.stack([compose(scene, self.m.sprites, side) for scene in self._pictures])
            batch["pixels"], batch["free"] = to_float(seen), torch.tensor(self._free)
        return batch

    # ---- loss

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss, and its parts in nats per token."""
        features = {}
        if "pixels" in batch:
            with torch.no_grad():
                features["sight"] = self.vision(varied(batch["pixels"], batch["free"])).flatten(0, 1)
        hidden, targets, roles, kinds, spelled, told = [], [], [], [], [], []
        for i in range(sum(name.endswith(".ids") for name in batch)):
            ids, types, rows, cols, target, role, phones = (batch[f"{i}.{name}"] for name in COLUMNS)
            out = self.decoder(ids, types, rows, cols, features=features)
            speech = types == self.decoder.type_ids["audio"]
            heard = speech & (role == READ) & (ids != DELIMITER)
            words = (types == self.decoder.type_ids["text"]) & (role == WRITTEN) & (target > END)
            spelled += self.spelling(heard, torch.where(words, target, NONE))
            told.append(self.phones(phones, speech & (role == WRITTEN)))
            learned = target != NONE
            hidden.append(out[learned])
            targets.append(target[learned])
            roles.append(role[learned])
            kinds.append(types[learned])
        loss, metrics = self._loss(*(torch.cat(column) for column in (hidden, targets, roles, kinds)))
        if spelled:
            metrics["spelling"] = torch.stack(spelled).mean()
            loss = loss + SPELLING * metrics["spelling"]
        for name in told[0]:
            losses = torch.cat([each[name] for each in told])
            if len(losses):
                metrics[name] = losses.mean()
                loss = loss + PHONES * metrics[name]
        return loss, metrics

    def _loss(
        self, hidden: Tensor, targets: Tensor, roles: Tensor, kinds: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum over modalities and roles of mean losses, and each modality's."""
        total, metrics = torch.zeros((), device=hidden.device), {}
        for modality, weights in WEIGHTS.items():
            mine = kinds == self.decoder.type_ids[modality]
            share = torch.zeros(int(mine.sum()), device=hidden.device)
            for role, weight in enumerate(weights):
                of_role = roles[mine] == role
                share = torch.where(of_role, weight / of_role.sum().clamp_min(1), share)
            loss = self._modality_loss(modality, hidden[mine], targets[mine], share)
            metrics[modality] = loss / share.sum().clamp_min(1e-6)
            total = total + loss
        return total, metrics

    def _modality_loss(self, modality: str, hidden: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        """Sum of all codebooks' cross-entropies, each token's times its `share`; an END has one code."""
        adapter = self.decoder.adapter(modality)
        if adapter.n_q == 1:
            return self._head_loss(modality, 0, hidden, targets, share)
        closed = targets == adapter.vocab_size**adapter.n_q
        codes = adapter.codes(targets)
        first = torch.where(closed, adapter.vocab_size, codes[0])
        total = self._head_loss(modality, 0, hidden, first, share)
        hidden, share, codes = hidden[~closed], share[~closed], [c[~closed] for c in codes]
        for level in range(1, adapter.n_q):
            deeper = adapter.deepen(hidden, codes[:level])
            total = total + self._head_loss(modality, level, deeper, codes[level], share)
        return total

    def _head_loss(self, modality: str, level: int, hidden: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        weight, bias = self.decoder.head(modality, level)
        if 0 < self.negatives < len(weight) // 2:
            weight, bias, targets = sampled_head(weight, bias, targets, self.negatives)
        return chunked_cross_entropy(hidden, weight, bias, targets, share)

    def after_step(self, step: int) -> None:
        """Nothing follows a step."""
