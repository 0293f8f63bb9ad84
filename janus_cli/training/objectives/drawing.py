"""Training objective of the shared decoder: captions to image codes in one sequence."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import DecoderConfig
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.samples import Corpus
from janus_cli.nets.attention import Places
from janus_cli.nets.decoder import PADDING, Decoder
from janus_cli.nets.modality import ModalityAdapter
from janus_cli.training.losses import head_loss
from janus_cli.training.objectives.rows import Arrays, Rows
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
    teaches what the caption means, not only the first ones; for the share `swap`, too, but by what the same
    thing has there in another style. For the share `restyle` of the single drawings the caption names another
    style (never a held-out pair), so that a drawing which is missing in the style asked for is made in one
    that is known. With `negatives`, the partition function is estimated from the batch's own codes and that
    many others.

    With `short`, a batch has rows of a caption and a few places as well, each a fraction of a picture's cost,
    in which the caption alone must tell the codes: names are learned there.
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
        self.decoder = Decoder(cfg)
        self.corpus, self.fit = corpus, fit
        types = {name: i for i, name in enumerate(cfg.modalities)}
        self.rows = Rows(corpus, concepts, tokenizer, fit, types)

    def initialise(self, codebook: Tensor) -> None:
        """Start image embeddings at the codebook [K, D], biases at the counts."""
        begin_at_codebook(self.decoder.get_adapter("image"), codebook, self.corpus.codes)

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """Make what `Rows.make_whole` makes, and as `short.<name>` what `Rows.make_short` does."""
        arrays: Arrays = self.rows.make_whole(rng)
        if self.fit.short:
            more = self.rows.make_short(self.fit.short, rng)
            arrays |= {f"short.{name}": array for name, array in more.items()}
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss, and its parts in nats per token. Nothing waits for the device."""
        hidden = self._run(batch)
        codes, text = batch["codes"], batch["text"]
        first = hidden.shape[1] - codes.shape[1]
        share = torch.full(codes.shape, 1 / codes.numel(), device=hidden.device)
        image = self._head_loss("image", hidden[:, first:], codes, share)
        told = self._text_loss(hidden[:, :first], text)
        loss, metrics = image + self.fit.text_weight * told, {"image": image, "text": told}
        if self.fit.short:
            short = {k.removeprefix("short."): v for k, v in batch.items() if k.startswith("short.")}
            codes = short["codes"]
            hidden = self._run(short)[:, -codes.shape[1] :]
            metrics["short"] = self._head_loss("image", hidden, codes, short["share"])
            loss = loss + self.fit.short.weight * metrics["short"]
        return loss, metrics

    def _run(self, batch: dict[str, Tensor]) -> Tensor:
        """Compute the hidden states [B, T, D] of rows that stand on the same places of the grid."""
        places = Places(*(batch[name] for name in ("types", "positions", "rows", "cols")))
        first = self.fit.text_slots + 2
        return self.decoder.run(self.decoder.embed(batch["ids"], batch["types"]), places, shared_from=first)

    def _text_loss(self, hidden: Tensor, text: Tensor) -> Tensor:
        """Compute the mean loss of captions [B, slots] and their ends; one that was dropped teaches none.

        hidden [B, slots + 1, D]: after the delimiter and each token. Absent tokens weigh nothing: to leave
        them out would wait for the device.
        """
        present = F.pad(text != PADDING, (1, 0), value=False)
        present[:, 0] = present.any(1)
        target = F.pad(text.clamp_min(END) * (text != PADDING), (0, 1), value=END)
        share = present / present.sum().clamp_min(1)
        return self._head_loss("text", hidden, target, share)

    def _head_loss(self, modality: str, hidden: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        head = self.decoder.get_head(modality)
        rows, negatives = hidden.flatten(0, 1), self.fit.negatives
        return head_loss(head, rows, targets.flatten(), share.flatten(), negatives)
