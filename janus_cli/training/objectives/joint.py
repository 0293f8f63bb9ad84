"""Training objective of the any-to-any decoder: one cross-entropy over sequences of mixed segments.

    draw   <txt> caption <img> codes          see   <sight> features <txt> words
    hear   <aud> frames <txt> words           speak <txt> words <aud> frames
    hear, draw   <aud> frames <txt> words <img> codes
    see, speak   <sight> features <txt> words <aud> frames

The two chains go through words: what was heard or seen is said first, then made.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from janus_cli.config import DecoderConfig
from janus_cli.dataset import heldout
from janus_cli.dataset.augment import change_pace, vary
from janus_cli.dataset.captions import write_caption
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.pictures import Scene, Sprites, compose
from janus_cli.dataset.samples import (
    Corpus,
    Sample,
    allows_changes,
    build_scene,
    choose_look,
    find_other_looks,
    number_drawings,
    restyle,
)
from janus_cli.dataset.utterances import Utterances, describe_sample
from janus_cli.nets.codec import Codec
from janus_cli.nets.decoder import DELIMITER, Decoder
from janus_cli.nets.pixels import to_float
from janus_cli.nets.quantize import Quantizer
from janus_cli.nets.siglip import VisionTower
from janus_cli.training.auxiliary import Phones, Spelling
from janus_cli.training.losses import head_loss
from janus_cli.training.objectives.drawing import END, begin_at_codebook
from janus_cli.training.recipe import FitRecipe
from janus_cli.training.sequences import COLUMNS, DIRECTIONS, NONE, Span, group_by_length, join_spans, pad

READ, WRITTEN = 0, 1  # roles: a prompt, of which a little is learned too, and an output
GROUPS = 5  # groups of like lengths that a batch is cut into
LISTEN = 0.25  # share of a heard utterance's frames that are targets too
DEAF = 0.15  # highest rate of heard frames replaced by others
KEPT_PLACES = 2.0  # highest rate of a single drawing's places that are read, so half the time all of them
SPELLING = 0.5  # weight of the letters that are heard on the way
PHONES = 0.3  # and of the sounds that are heard, said, and to be said
WEIGHTS = {  # of each modality's mean loss: as a prompt, as an output
    "text": (0.15, 1.5),
    "image": (0.0, 1.0),
    "audio": (0.05, 0.5),
}


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

    Captions are dropped for guidance (`drop`), image inputs replaced as in DrawingObjective (`corrupt`,
    `blind`, `restyle`); inputs of speech that is to be said at a rate from U(0, `corrupt`), too. Half of the
    single drawings that are seen are other sets', and whether a style is said after their name is not learned
    from these. Of half of the single drawings some places, or all, are left out where the mean of them
    follows: what a thing is must be read there, as single places are what drawings are known by heart from.
    The vision encoder stays as it is. In the middle of the decoder, what is heard is also spelled and the
    sounds of speech are told; that is thrown away afterwards (auxiliary.py).
    """

    def __init__(self, cfg: DecoderConfig, materials: Materials, fit: FitRecipe):
        super().__init__()
        self.decoder = Decoder(cfg)
        self.vision = materials.vision.eval().requires_grad_(False)
        self.m, self.fit = materials, fit
        self.held = heldout.find_pairs(materials.concepts)
        self.numbers, self.looks = number_drawings(materials.concepts), find_other_looks(materials.concepts)
        self.audio = self.decoder.get_adapter("audio")
        self.spelling = Spelling(self.decoder, materials.tokenizer)
        self.phones = Phones(self.decoder, (materials.heard.alphabet, materials.said.alphabet))
        self.heard_phones, self.said_phones = self.phones.numbers
        self._pictures: list[Scene] = []  # what the batch being made looks at
        self._free: list[bool] = []  # and whether in any colours, and mirrored

    def initialise(self, codec: Codec, image_codebook: Tensor | None) -> None:
        """Start the embeddings of codes at their codebooks; the image's stay where none is given."""
        if image_codebook is not None:
            begin_at_codebook(self.decoder.get_adapter("image"), image_codebook, self.m.corpus.codes)
        codes = np.concatenate([self.m.heard.codes, self.m.said.codes], 1)
        for level in range(self.audio.n_q):
            codebook = cast(Quantizer, codec.quantizers[level]).codebook.cpu()
            begin_at_codebook(self.audio, codebook, codes[level], level)

    # ---- spans of a sequence

    def _make_words(self, text: str, role: int, whole: bool = True) -> Span:
        """Tokenize what is said; unless it is `whole`, more might follow."""
        ids = self.m.tokenizer.encode(text).ids  # type: ignore[attr-defined]
        kept = np.array(ids[: self.fit.text_slots], np.int64)
        return Span("text", kept, kept, END if whole and len(kept) == len(ids) else None, role)

    def _make_image(self, sample: int, rng: np.random.Generator) -> Span:
        codes = self.m.corpus.codes[sample].astype(np.int64)
        clean = codes.reshape(-1)
        highest = 1.0 if rng.random() < self.fit.blind else self.fit.corrupt
        noisy = rng.random(clean.shape) < rng.random() * highest
        pool = self.m.corpus.codes.reshape(-1)
        others = pool[rng.integers(len(pool), size=len(clean))]
        ids = np.where(noisy, others, clean)
        return Span("image", ids, clean, None, WRITTEN, (codes.shape[0], codes.shape[1]))

    def _make_sound(self, source: Utterances, number: int, role: int, rng: np.random.Generator) -> Span:
        levels = [torch.from_numpy(row) for row in source.frames(number)[: self.audio.n_q]]
        clean = self.audio.join_codes(levels).numpy()
        numbers = self.heard_phones if source is self.m.heard else self.said_phones
        phones = numbers[source.pronounced(number)]
        if role == READ:
            pace = change_pace(len(clean), rng)
            clean, phones = clean[pace], phones[pace]
        highest = self.fit.corrupt if role == WRITTEN else DEAF
        noisy = rng.random(clean.shape) < rng.random() * highest
        ids = np.where(noisy, rng.permutation(clean), clean)
        if role == WRITTEN:
            return Span("audio", ids, clean, self.audio.vocab_size**self.audio.n_q, role, phones=phones)
        targets = np.where(rng.random(clean.shape) < LISTEN, clean, NONE)
        return Span("audio", ids, targets, None, role, phones=phones)

    def _make_sight(self, sample: Sample, scene: Scene, rng: np.random.Generator) -> Span:
        count = self.vision.cfg.n_token
        start = count * len(self._pictures)
        self._pictures.append(scene)
        self._free.append(allows_changes(sample, self.m.concepts))
        kept = np.ones(count, bool)
        if sample.kind == "plain" and self.vision.cfg.summary:
            kept[:-1] = rng.random(count - 1) < KEPT_PLACES * rng.random()  # the mean, last, is there always
        return Span("sight", start + kept.nonzero()[0])

    # ---- sequences

    def _draw(self, rng: np.random.Generator) -> list[Span]:
        number = int(self.m.corpus.draw(rng, 1)[0])
        sample = self.m.corpus.samples[number]
        if sample.kind == "plain" and rng.random() < self.fit.restyle:
            sample = restyle(sample, self.m.concepts, self.held, rng)
        words = self._make_words(write_caption(sample, self.m.concepts, rng), READ)
        if rng.random() < self.fit.drop:
            words = Span("text", words.ids[:0])
        return [words, self._make_image(number, rng)]

    def _see(self, rng: np.random.Generator) -> list[Span]:
        sample = self.m.corpus.samples[int(self.m.corpus.draw(rng, 1)[0])]
        shown, scene = choose_look(sample, self.numbers, self.looks, rng)
        words = self._make_words(describe_sample(shown, self.m.concepts), WRITTEN, whole=bool(shown.style))
        return [self._make_sight(shown, scene, rng), words]

    def _hear(self, rng: np.random.Generator, draw: bool = False) -> list[Span]:
        heard = self.m.heard
        number = int(rng.integers(len(heard)))
        sound = self._make_sound(heard, number, READ, rng)
        image = [self._make_image(int(heard.samples[number]), rng)] if draw else []
        return [sound, self._make_words(heard.texts[number], WRITTEN), *image]

    def _speak(self, rng: np.random.Generator, see: bool = False) -> list[Span]:
        said = self.m.said
        number = int(rng.integers(len(said)))
        sample = self.m.corpus.samples[int(said.samples[number])]
        sight = [self._make_sight(sample, build_scene(sample, self.numbers), rng)] if see else []
        words = self._make_words(said.texts[number], WRITTEN if see else READ)
        return [*sight, words, self._make_sound(said, number, WRITTEN, rng)]

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Make columns of each group of sequences as `<group>.ids` ..., [B, T]; and what is looked at.

        pixels: [N, 3, S, S]; free: bool [N], those that may be dyed and mirrored.
        """
        self._pictures, self._free = [], []
        makers: list[Callable[..., list[Span]]] = [self._draw, self._see, self._hear, self._speak]
        makers += [partial(self._hear, draw=True), partial(self._speak, see=True)]
        make = dict(zip(DIRECTIONS, makers, strict=True))
        directions = (direction for direction, count in self.fit.mix.items() for _ in range(count))
        sequences = [join_spans(make[direction](rng), self.decoder.type_ids) for direction in directions]
        groups = enumerate(map(pad, group_by_length(sequences, GROUPS)))
        batch = {f"{i}.{name}": column for i, group in groups for name, column in group.items()}
        side = self.vision.cfg.image_size
        if self._pictures:
            seen = np.stack([compose(scene, self.m.sprites, side) for scene in self._pictures])
            batch["pixels"], batch["free"] = to_float(seen), torch.tensor(self._free)
        return batch

    # ---- loss

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss, and its parts in nats per token."""
        features = {}
        if "pixels" in batch:
            with torch.no_grad():
                features["sight"] = self.vision(vary(batch["pixels"], batch["free"])).flatten(0, 1)
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
        loss, metrics = self._weigh_losses(*(torch.cat(column) for column in (hidden, targets, roles, kinds)))
        if spelled:
            metrics["spelling"] = torch.stack(spelled).mean()
            loss = loss + SPELLING * metrics["spelling"]
        for name in told[0]:
            losses = torch.cat([each[name] for each in told])
            if len(losses):
                metrics[name] = losses.mean()
                loss = loss + PHONES * metrics[name]
        return loss, metrics

    def _weigh_losses(
        self, hidden: Tensor, targets: Tensor, roles: Tensor, kinds: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum the mean losses over modalities and roles by their weights; returns it and each modality's."""
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
        """Sum all codebooks' cross-entropies, each token's times its `share`; an END has one code."""
        adapter = self.decoder.get_adapter(modality)
        if adapter.n_q == 1:
            return self._head_loss(modality, 0, hidden, targets, share)
        closed = targets == adapter.vocab_size**adapter.n_q
        codes = adapter.split_ids(targets)
        first = torch.where(closed, adapter.vocab_size, codes[0])
        total = self._head_loss(modality, 0, hidden, first, share)
        hidden, share, codes = hidden[~closed], share[~closed], [c[~closed] for c in codes]
        for level in range(1, adapter.n_q):
            deeper = adapter.deepen(hidden, codes[:level])
            total = total + self._head_loss(modality, level, deeper, codes[level], share)
        return total

    def _head_loss(self, modality: str, level: int, hidden: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        return head_loss(self.decoder.get_head(modality, level), hidden, targets, share, self.fit.negatives)
