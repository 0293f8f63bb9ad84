"""Rows of a caption and a picture's codes, as arrays: what the drawing objective learns from.

Knows samples, prompts and numpy. Every array of a batch has one shape for every step, so that what runs on it
can be compiled; the rows of a batch stand on the same places of the grid.
"""

from collections.abc import Sequence

import numpy as np

from janus_cli.dataset import heldout
from janus_cli.dataset.pack import DEFAULT_STYLE, Concept
from janus_cli.dataset.prompts import Prompter
from janus_cli.dataset.samples import Corpus, Sample, restyle
from janus_cli.nets.decoder import DELIMITER, PADDING
from janus_cli.training.recipe import FitRecipe, ShortRecipe

ABROAD = 0.6  # of the share of other languages, for drawings whose style is named
ALWAYS_SWAPPED = 0.2  # of the rows whose noise is what the same thing has in another style
RARE = 0.15  # weight of a place that no picture draws on, against 1 for one that all draw on
PAPER = 0.3  # weight of a code that is the picture's first, mostly empty paper, against 1
# short rows by what stands before their places, ends of shares: codes of the batch, the picture's first code,
# another style's codes, and true ones at a rate from U(0, 1)
INPUTS = (0.5, 0.65, 0.8)

Arrays = dict[str, np.ndarray]


class Rows:
    """Makes rows of a corpus's samples."""

    def __init__(
        self,
        corpus: Corpus,
        concepts: Sequence[Concept],
        tokenizer: object,
        fit: FitRecipe,
        types: dict[str, int],
    ) -> None:
        """`types`: the decoder's ids of modalities."""
        self.corpus, self.concepts, self.tokenizer, self.fit = corpus, concepts, tokenizer, fit
        self.text, self.image = types["text"], types["image"]
        self.held = heldout.find_pairs(concepts)
        self.prompter = Prompter(concepts)
        self.codes = corpus.codes.reshape(len(corpus.codes), -1)  # [N, places]
        self.width = corpus.codes.shape[2]
        if fit.short:
            self._prepare_short(fit.short)

    def _prepare_short(self, short: ShortRecipe) -> None:
        plain = [n for (kind, is_default), n in self.corpus.groups.items() if kind == "plain" and is_default]
        codes = self.codes[np.concatenate(plain) if plain else slice(None)]
        drawn_on = (codes != codes[:, :1]).mean(0)[1:]
        self.spots = (drawn_on + RARE) / (drawn_on + RARE).sum()
        own = short.weights or short.others
        self.short_share = self.corpus.share_out(short.weights, short.others) if own else self.corpus.share

    # ---- whole pictures

    def make_whole(self, rng: np.random.Generator) -> Arrays:
        """Make rows of whole pictures: a caption, all codes but the last, at their true places.

        ids, types, positions, rows, cols [B, T], and the clean codes [B, N] and the text [B, slots].
        """
        fit = self.fit
        chosen = self.corpus.draw(rng, fit.batch_size)
        text = self._write_texts(chosen, rng, fit.restyle, fit.foreign, fit.drop)
        clean = self.codes[chosen].astype(np.int64)
        inputs = self._spoil(clean, chosen, rng)[:, :-1]
        arrays = self._lay_out(text, inputs, np.arange(inputs.shape[1]))
        return arrays | {"codes": clean, "text": text}

    def _spoil(self, clean: np.ndarray, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Replace codes [B, N] at a rate that each row draws from U(0, `corrupt`), or from U(0, 1).

        By codes of the batch; in `swap` rows, and in some others, by the same thing's in another style.
        """
        fit, draw = self.fit, rng.random((len(clean), 1))
        highest = np.where(draw < fit.blind + fit.swap, 1.0, fit.corrupt)
        noisy = rng.random(clean.shape) < rng.random((len(clean), 1)) * highest
        other = rng.choice(clean.reshape(-1), clean.shape)
        if fit.swap:
            cousins = self.corpus.find_cousins(chosen, rng)
            swapped = (draw[:, 0] >= fit.blind) & (draw[:, 0] < fit.blind + fit.swap)
            swapped |= rng.random(len(clean)) < ALWAYS_SWAPPED
            swapped &= cousins >= 0
            other[swapped] = self.codes[cousins[swapped]]
        return np.where(noisy, other, clean)

    # ---- a caption and some places

    def make_short(self, short: ShortRecipe, rng: np.random.Generator) -> Arrays:
        """Make rows of a caption and `places` of its picture, mostly without anything true before them.

        ids, types, positions, rows, cols [B, T], the codes to tell [B, places], and the share of each in the
        loss.
        """
        chosen = self.corpus.draw(rng, short.batch_size, self.short_share)
        text = self._write_texts(chosen, rng, short.restyle, short.foreign, short.drop)
        places = 1 + np.sort(rng.choice(len(self.spots), short.places, replace=False, p=self.spots))
        target = self.codes[chosen][:, places].astype(np.int64)
        paper = self.codes[chosen, :1].astype(np.int64)
        inputs = self._guess(target, paper, chosen, places - 1, rng)
        share = np.where(target != paper, 1.0, PAPER).astype(np.float32)
        arrays = self._lay_out(text, inputs, places - 1)
        return arrays | {"codes": target, "share": share / share.sum()}

    def _guess(
        self,
        target: np.ndarray,
        paper: np.ndarray,
        chosen: np.ndarray,
        before: np.ndarray,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Choose what stands `before` the places of short rows, [B, places], as INPUTS has it."""
        inputs, draw = rng.choice(target.reshape(-1), target.shape), rng.random(len(target))
        of_paper, of_another = (
            (draw >= INPUTS[0]) & (draw < INPUTS[1]),
            (draw >= INPUTS[1]) & (draw < INPUTS[2]),
        )
        inputs = np.where(of_paper[:, None], paper, inputs)
        cousins = self.corpus.find_cousins(chosen, rng)
        of_another &= cousins >= 0
        inputs[of_another] = self.codes[cousins[of_another]][:, before]
        true = rng.random(target.shape) < rng.random((len(target), 1))
        return np.where((draw >= INPUTS[2])[:, None] & true, self.codes[chosen][:, before], inputs)

    # ---- both

    def _lay_out(self, text: np.ndarray, inputs: np.ndarray, places: np.ndarray) -> Arrays:
        """Lay captions [B, slots] and codes [B, n] out as the decoder reads them, codes at `places` [n]."""
        count, slots = text.shape
        ids = np.full((count, slots + 2 + inputs.shape[1]), DELIMITER)
        ids[:, 1 : slots + 1], ids[:, slots + 2 :] = text, inputs
        types = np.full(ids.shape, self.image)
        types[:, : slots + 1] = self.text
        types[:, 1 : slots + 1][text == PADDING] = PADDING
        words = (text != PADDING).sum(1, keepdims=True)
        positions = np.minimum(
            np.arange(ids.shape[1])[None], words + 1
        )  # the delimiter of the picture's, at last
        positions[:, slots + 2 :] = words + 2 + places
        grid = np.full((2, *ids.shape), -1)
        grid[:, :, slots + 2 :] = np.stack(np.divmod(places, self.width))[:, None]
        return {"ids": ids, "types": types, "positions": positions, "rows": grid[0], "cols": grid[1]}

    def _write_texts(
        self, chosen: np.ndarray, rng: np.random.Generator, restyled: float, foreign: float, dropped: float
    ) -> np.ndarray:
        """Make up a caption for each chosen sample: tokens [B, slots], PADDING where short or dropped."""
        words = []
        for i in chosen:
            sample = self.corpus.samples[i]
            share = foreign if sample.style == DEFAULT_STYLE else ABROAD * foreign
            words.append(self.prompter.write(self._restyle(sample, restyled, rng), rng, share))
        text = np.full((len(words), self.fit.text_slots), PADDING)
        for row, encoding in zip(text, self.tokenizer.encode_batch(words), strict=True):  # type: ignore[attr-defined]
            ids = [] if rng.random() < dropped else encoding.ids[: len(row)]
            row[: len(ids)] = ids
        return text

    def _restyle(self, sample: Sample, share: float, rng: np.random.Generator) -> Sample:
        """Choose what the caption of `sample` speaks of: mostly the sample itself."""
        if sample.kind != "plain" or share == 0 or rng.random() >= share:
            return sample
        return restyle(sample, self.concepts, self.held, rng)
