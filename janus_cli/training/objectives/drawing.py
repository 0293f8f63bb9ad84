"""Training objective of the shared decoder: captions to image codes in one sequence."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import DecoderConfig
from janus_cli.dataset import heldout
from janus_cli.dataset.captions import write_caption
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.samples import Corpus, Sample, restyle
from janus_cli.nets.decoder import DELIMITER, PADDING, Decoder
from janus_cli.nets.modality import ModalityAdapter
from janus_cli.training.losses import head_loss
from janus_cli.training.recipe import FitRecipe

END = 0  # id of <|end|>, the target after the last text token


@torch.no_grad()
def begin_at_codebook(adapter: ModalityAdapter, codebook: Tensor, codes: np.ndarray, level: int = 0) -> None:
    """Start the embeddings of a codebook [K, D] at a random projection of it, so that like codes start alike.

    The head's biases come from how often each of the `codes` occurs.
    """
    generator = torch.Generator().manual_seed(level)
    rows = slice(adapter.find_rows(level).start, adapter.find_rows(level).start + len(codebook))
    projection = torch.randn(codebook.shape[1], adapter.embed.weight.shape[1], generator=generator)
    centred = codebook - codebook.mean(0)
    centred = centred / centred.norm(dim=1).mean()
    jitter = torch.randn(len(codebook), projection.shape[1], generator=generator)
    adapter.embed.weight[rows] = 0.02 * centred @ projection + 0.005 * jitter
    counts = np.bincount(codes.reshape(-1), minlength=len(codebook))
    adapter.head_bias[rows] = torch.from_numpy(np.log((counts + 0.1) / (counts + 0.1).sum())).float()


class DrawingObjective(nn.Module):
    """One cross-entropy over <txt> caption <img> codes.

    A caption is dropped at `drop` for classifier-free guidance; image inputs are replaced at random
    at a rate drawn per picture from U(0, `corrupt`), so that the model learns to go on after its own
    mistakes. `text_weight` is the text's share against the image's 1 (each a mean over its tokens).
    For the share `blind` of the pictures that rate goes up to 1: with no prefix to lean on, every token
    teaches what the caption means, not only the first ones. For the share `restyle` of the single drawings
    the caption names another style (never a held-out pair), so that a drawing which is missing in the style
    asked for is made in one that is known. With `negatives`, the partition function is
    estimated from the batch's own codes and that many others.
    """

    def __init__(
        self,
        cfg: DecoderConfig,
        corpus: Corpus,
        concepts: Sequence[Concept],
        tokenizer: object,
        fit: FitRecipe,
    ):
        super().__init__()
        self.held = heldout.find_pairs(concepts)
        self.decoder = Decoder(cfg)
        self.corpus, self.concepts, self.tokenizer, self.fit = corpus, concepts, tokenizer, fit
        self.types = {name: i for i, name in enumerate(cfg.modalities)}

    def initialise(self, codebook: Tensor) -> None:
        """Start image embeddings at the codebook [K, D], biases at the counts."""
        begin_at_codebook(self.decoder.get_adapter("image"), codebook, self.corpus.codes)

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Make ids, types, rows, cols [B, T] and the clean image codes [B, N]."""
        chosen = self.corpus.draw(rng, self.fit.batch_size)
        text = self._make_texts(chosen, rng)
        codes = self.corpus.codes[chosen].astype(np.int64)
        count, height, width = codes.shape
        clean = codes.reshape(count, -1)
        highest = np.where(rng.random((count, 1)) < self.fit.blind, 1.0, self.fit.corrupt)
        noisy = rng.random(clean.shape) < rng.random((count, 1)) * highest
        inputs = np.where(noisy, rng.choice(clean.reshape(-1), clean.shape), clean)[:, :-1]
        opening, slots = np.full((count, 1), DELIMITER), text.shape[1]
        ids = np.concatenate([opening, text, opening, inputs], 1)
        types = np.full(ids.shape, self.types["image"])
        types[:, : slots + 1] = self.types["text"]
        types[:, 1 : slots + 1][text == PADDING] = PADDING
        grid = np.zeros((2, *ids.shape), np.int64)
        grid[:, :, slots + 2 :] = np.indices((height, width)).reshape(2, 1, -1)[..., :-1]
        arrays = {"ids": ids, "types": types, "rows": grid[0], "cols": grid[1], "codes": clean, "text": text}
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}

    def _make_texts(self, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Make up a caption for each chosen sample: tokens [B, slots], PADDING where short or dropped."""
        samples = self.corpus.samples
        words = [write_caption(self._restyle(samples[i], rng), self.concepts, rng) for i in chosen]
        text = np.full((len(words), self.fit.text_slots), PADDING)  # one shape for every step
        for row, encoding in zip(text, self.tokenizer.encode_batch(words), strict=True):  # type: ignore[attr-defined]
            ids = [] if rng.random() < self.fit.drop else encoding.ids[: len(row)]
            row[: len(ids)] = ids
        return text

    def _restyle(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Choose what the caption of `sample` speaks of: mostly the sample itself."""
        if sample.kind != "plain" or self.fit.restyle == 0 or rng.random() >= self.fit.restyle:
            return sample
        return restyle(sample, self.concepts, self.held, rng)

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss, and its parts in nats per token."""
        hidden = self.decoder(batch["ids"], batch["types"], batch["rows"], batch["cols"])
        codes, text = batch["codes"], batch["text"]
        first = hidden.shape[1] - codes.shape[1]
        image = self._mean_loss("image", hidden[:, first:].flatten(0, 1), codes.flatten())
        present = F.pad(text != PADDING, (1, 0), value=False)
        spoken = present.any(1)  # a dropped caption teaches no text
        target = F.pad(text.clamp_min(END) * (text != PADDING), (0, 1), value=END)
        present[:, 0] = spoken
        told = self._mean_loss("text", hidden[:, :first][present], target[present])
        return image + self.fit.text_weight * told, {"image": image, "text": told}

    def _mean_loss(self, modality: str, hidden: Tensor, targets: Tensor) -> Tensor:
        share = torch.full_like(targets, 1 / max(1, len(targets)), dtype=torch.float32)
        return head_loss(self.decoder.get_head(modality), hidden, targets, share, self.fit.negatives)
