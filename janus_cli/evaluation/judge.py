"""The judge of the exam: a classifier that says what a picture shows, with the names of its answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from janus_cli import weights, zoo
from janus_cli.dataset.labels import SIZE, Labels, read_labels
from janus_cli.errors import JanusError, ModelError
from janus_cli.evaluation.measures import compute_share, resize
from janus_cli.nets.judge import Judge
from janus_cli.nets.pixels import to_float

BATCH = 32  # pictures judged at a time


@dataclass(frozen=True)
class Examiner:
    """The judge, loaded, with the names of its answers."""

    judge: Judge
    labels: Labels
    device: str

    @classmethod
    def load(cls, beside: zoo.Model, device: str) -> "Examiner":
        """Load the judge in `judge` beside a model, else the zoo's. Raises ModelError if there is none."""
        folder = beside.path.parent / "judge"
        model = zoo.find(str(folder) if (folder / "config.json").is_file() else "judge")
        file, cfg = model.file("judge"), model.config.judge
        assert cfg is not None, "Model.file has said so"
        labels = read_labels(model.path)
        if (len(labels.concepts), len(labels.styles)) != (cfg.n_concept, cfg.n_style):
            raise ModelError(f"{model.path / 'labels.json'} and config.json differ: train the judge again")
        return cls(weights.load(Judge(cfg), file, device), labels, device)

    @torch.inference_mode()
    def classify(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits of concepts [N, n_concept] and styles [N, n_style] for pictures uint8 [N, S, S, 3]."""
        small = resize(pictures, SIZE)
        batches = (small[start : start + BATCH] for start in range(0, len(small), BATCH))
        parts = [self.judge(to_float(batch).to(self.device)) for batch in batches]
        concept, style = (torch.cat(p).float().cpu().numpy() for p in zip(*parts, strict=True))
        return concept, style

    def rank(self, logits: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """How many concepts the judge prefers to the right one, [N]: 0 is a top-1 answer."""
        number = {name: i for i, name in enumerate(self.labels.concepts)}
        if unknown := [name for name in names if name not in number]:
            raise JanusError(f"the judge does not know {unknown[0]!r}: train it on this data pack")
        right = np.array([number[name] for name in names], np.int64)
        return (logits > np.take_along_axis(logits, right[:, None], 1)).sum(1)

    def rank_meant(self, pictures: np.ndarray, meant: Sequence[Sequence[str]]) -> np.ndarray:
        """How many concepts the judge prefers to each of those meant, [N]; any of them is right."""
        concept, _ = self.classify(pictures)
        longest = max(map(len, meant))
        padded = [[*names] + [names[0]] * (longest - len(names)) for names in meant]
        return np.min([self.rank(concept, names) for names in zip(*padded, strict=True)], axis=0)

    def count_found(self, pictures: np.ndarray, meant: Sequence[Sequence[str]]) -> dict[str, float]:
        """Shares of pictures in which one of the concepts meant is guessed first, and among five."""
        ranks = self.rank_meant(pictures, meant)
        return {"n": len(meant), "top1": compute_share(ranks < 1), "top5": compute_share(ranks < 5)}

    def score(self, pictures: np.ndarray, pairs: Sequence[tuple[str, str]]) -> dict[str, float]:
        """Shares of pictures of `pairs` with the concept guessed first, among five, and with the style right.

        `both`: concept among five guesses and style right.
        """
        concept, style = self.classify(pictures)
        ranks = self.rank(concept, [name for name, _ in pairs])
        styles = style.argmax(1) == np.array([self.labels.styles.index(s) for _, s in pairs])
        return {
            "n": len(pairs),
            "top1": compute_share(ranks < 1),
            "top5": compute_share(ranks < 5),
            "style": compute_share(styles),
            "both": compute_share((ranks < 5) & styles),
        }
