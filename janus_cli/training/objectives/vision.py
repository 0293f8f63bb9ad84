"""Training objective of the vision encoder: pictures and their captions side by side (CLIP, 2103.00020).

The text side is a bag of the caption's tokens; it and the pooling are thrown away afterwards. Besides the
captions of its batch, every single drawing is told from the names of all concepts, half of them while a
second one is mixed in (mixup, 1710.09412; CutMix, 1905.04899); a part of the patches is not looked at
(FLIP, 2212.00794).
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import VisionConfig
from janus_cli.dataset.augment import mix_pictures, vary
from janus_cli.dataset.captions import write_caption
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.pictures import Sprites, compose
from janus_cli.dataset.samples import Corpus, allows_changes, choose_look, find_other_looks, number_drawings
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.pixels import to_float
from janus_cli.nets.siglip import VisionTower

WIDTH = 256  # of the space in which pictures and captions meet
SLOTS = 16  # tokens of a caption that count
THROUGH = 0.3  # share of pictures seen through the image tokenizer, as those of a pipe are
MIXED = 0.5  # share of single drawings with another mixed in
LOOKED = 0.75  # share of the patches that are looked at
PAD = -1
WARMEST = 4.6  # log of the highest inverse temperature, 100


class Bag(nn.Module):
    """Caption tokens [B, S], PAD where there are none -> unit vectors [B, WIDTH]; order does not count."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, WIDTH)
        self.mix = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, tokens: Tensor) -> Tensor:
        present = (tokens != PAD)[..., None]
        total = (self.embed(tokens.clamp_min(0)) * present).sum(1)
        mean = total / present.sum(1).clamp_min(1)
        return F.normalize((mean + self.mix(mean)).float(), dim=-1)


class VisionObjective(nn.Module):
    """Pictures of the generator's samples, moved, dyed, soiled and partly through the frozen dVAE.

    Those whose caption speaks of a colour or a side keep theirs. Half of the single drawings are by other
    sets' hands: two or three styles are too few to learn what all drawings of a thing share.
    """

    def __init__(
        self,
        cfg: VisionConfig,
        corpus: Corpus,
        concepts: Sequence[Concept],
        sprites: Sprites,
        tokenizer: object,
        dvae: DVAE,
        batch_size: int,
    ):
        super().__init__()
        self.cfg, self.corpus, self.concepts, self.sprites = cfg, corpus, concepts, sprites
        self.tokenizer, self.batch_size = tokenizer, batch_size
        self.dvae = dvae.eval().requires_grad_(False)
        self.numbers, self.looks = number_drawings(concepts), find_other_looks(concepts)
        self.vision = VisionTower(cfg)
        nn.init.normal_(self.vision.pos_embed, std=0.02)
        self.pool = nn.Linear(cfg.dim, WIDTH)
        self.bag = Bag(tokenizer.get_vocab_size())  # type: ignore[attr-defined]
        self.scale = nn.Parameter(torch.tensor(2.5))
        self.register_buffer("names", self._tokenize([c.name for c in concepts]), persistent=False)
        self.names: Tensor

    def _tokenize(self, texts: list[str]) -> Tensor:
        """Tokenize texts to int64 [N, SLOTS]."""
        rows = np.full((len(texts), SLOTS), PAD)
        for row, encoding in zip(rows, self.tokenizer.encode_batch(texts), strict=True):  # type: ignore[attr-defined]
            ids = encoding.ids[:SLOTS]
            row[: len(ids)] = ids
        return torch.from_numpy(rows)

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Make pixels [B, 3, S, S], caption tokens [B, SLOTS], concept [B] (PAD where several), free [B]."""
        samples = [self.corpus.samples[i] for i in self.corpus.draw(rng, self.batch_size)]
        shown = [choose_look(s, self.numbers, self.looks, rng) for s in samples]
        pictures = np.stack([compose(scene, self.sprites, self.cfg.image_size) for _, scene in shown])
        words = [write_caption(s, self.concepts, rng, foreign=0.15) for s, _ in shown]
        concept = [s.concepts[0] if s.kind in ("plain", "background") else PAD for s in samples]
        free = torch.tensor([allows_changes(s, self.concepts) for s in samples])
        return {
            "pixels": to_float(pictures),
            "text": self._tokenize(words),
            "concept": torch.tensor(concept),
            "free": free,
        }

    @torch.no_grad()
    def _show(self, pixels: Tensor, free: Tensor) -> Tensor:
        """Prepare what the encoder is shown: varied, and a part of it through the dVAE."""
        count = int(THROUGH * len(pixels))
        through = self.dvae.decode(self.dvae.encode(pixels[:count])).float().clamp(-1, 1)
        return vary(torch.cat([through, pixels[count:]]), free)

    def embed(self, pixels: Tensor, kept: Tensor | None = None) -> Tensor:
        """Embed normalised pixels [B, 3, S, S], or the patches `kept` [B, K], as unit vectors [B, WIDTH]."""
        return F.normalize(self.pool(self.vision(pixels, kept).mean(1)).float(), dim=-1)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss, and the shares of captions and names found where nothing was mixed in."""
        seen, concept = self._show(batch["pixels"], batch["free"]), batch["concept"]
        single = (concept != PAD).nonzero()[:, 0]
        single = single[torch.randperm(len(single), device=single.device)]  # `_show` chose the first ones
        first, clear = single.tensor_split([int(MIXED * len(single))])
        second = first.roll(1)
        blend, share = mix_pictures(seen[first], seen[second])
        picture = self.embed(seen.index_copy(0, first, blend), self._choose_patches(len(seen)))
        heat = self.scale.clamp(max=WARMEST).exp()
        whole = torch.ones_like(concept, dtype=torch.bool).index_fill(0, first, False)
        together, pairs = self._match(heat * picture[whole] @ self.bag(batch["text"][whole]).T)
        named, miss = heat * picture @ self.bag(self.names).T, partial(F.cross_entropy, reduction="none")
        blended = torch.lerp(miss(named[first], concept[second]), miss(named[first], concept[first]), share)
        told = torch.cat([blended, miss(named[clear], concept[clear])]).mean()
        right = (named[clear].argmax(1) == concept[clear]).float().mean()
        return together + told, {"captions": together, "names": told, "top1": right, "matched": pairs}

    def _choose_patches(self, count: int) -> Tensor:
        """Choose a random part of the patches of each picture, as numbers [count, K]."""
        patches = self.vision.pos_embed.shape[1]
        return torch.rand(count, patches, device=self.scale.device).argsort(1)[:, : int(LOOKED * patches)]

    @staticmethod
    def _match(scores: Tensor) -> tuple[Tensor, Tensor]:
        """Match pictures and captions by scores [B, B]: the loss, and the share that is found."""
        own = torch.arange(len(scores), device=scores.device)
        loss = (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2
        return loss, (scores.argmax(1) == own).float().mean()
