"""The training loop: a cut-off run that is resumed ends where an unbroken one does, bit for bit."""

import json
import pickle
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.trainings import CODES, STEPS, CutError, Training
from torch import Tensor

from janus_cli.dataset.samples import Corpus, Sample
from janus_cli.errors import JanusError, MediaError
from janus_cli.nets.decoder import PADDING
from janus_cli.training import loop
from janus_cli.training.objectives.drawing import END


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Six steps at once."""
    return Training(tmp_path_factory.mktemp("unbroken")).run()


def same(a: Any, b: Any) -> bool:
    """Whether two nests of tensors are equal to the bit."""
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def test_metrics_are_json_lines(unbroken: Training) -> None:
    rows = unbroken.rows()
    assert [row["step"] for row in rows] == list(range(STEPS))
    assert all(row.keys() == {"step", "loss", "image", "text"} for row in rows)
    assert all(row["loss"] == pytest.approx(row["image"] + 0.2 * row["text"], abs=1e-4) for row in rows)
    assert unbroken.reports == [(r["step"], {k: v for k, v in r.items() if k != "step"}) for r in rows]
    assert abs(rows[0]["image"] - np.log(CODES)) < 0.5


@pytest.mark.parametrize("cut_at", [1, 3])
def test_a_resumed_run_equals_an_unbroken_one(unbroken: Training, tmp_path: Path, cut_at: int) -> None:
    with pytest.raises(CutError):
        Training(tmp_path).run(cut_at=cut_at)
    # the metrics of a step after the last checkpoint, and one that was not finished writing
    with (tmp_path / "decoder.jsonl").open("a") as log:
        log.write(json.dumps({"step": cut_at, "seconds": 9.0, "loss": 9.0}) + '\n{"step": ')
    resumed = Training(tmp_path).run(resume=True)
    assert resumed.reports[0][0] == cut_at
    assert same(resumed.objective.state_dict(), unbroken.objective.state_dict())
    assert resumed.rows() == unbroken.rows()
    states = [torch.load(run.checkpoint, weights_only=True) for run in (resumed, unbroken)]
    assert all(state.pop("seconds") > 0 for state in states)
    assert same(*states)


def test_a_finished_run_is_resumed_without_a_step(unbroken: Training) -> None:
    again = Training(unbroken.folder).run(resume=True)
    assert again.reports == [] and again.rows() == unbroken.rows()
    assert same(again.objective.state_dict(), unbroken.objective.state_dict())


def test_without_resume_a_run_starts_anew(unbroken: Training, tmp_path: Path) -> None:
    with pytest.raises(CutError):
        Training(tmp_path).run(cut_at=4)
    anew = Training(tmp_path).run()
    assert anew.rows() == unbroken.rows()


class Bomb:
    """Its pickle calls a function."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (self.mark,)


def spoil_truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def spoil_noise(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 8)


def spoil_emptied(path: Path) -> None:
    path.write_bytes(b"")


def spoil_keys(path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, path)


def spoil_type(path: Path) -> None:
    torch.save([1, 2, 3], path)


def spoil_net(path: Path) -> None:
    """A checkpoint of another width."""
    Training(path.parent / "other", dim=48).run().checkpoint.replace(path)


def spoil_optimizers(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    del state["optimizers"]["0"]["param_groups"][0]["params"][0]
    torch.save(state, path)


def spoil_object(path: Path) -> None:
    torch.save({"step": Bomb(path.with_name("exploded"))}, path)


def spoil_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.with_name("exploded")), protocol=2))


SPOILERS = [
    spoil_truncated,
    spoil_noise,
    spoil_emptied,
    spoil_keys,
    spoil_type,
    spoil_net,
    spoil_optimizers,
    spoil_object,
    spoil_pickle,
]


@pytest.mark.parametrize("spoil", SPOILERS, ids=lambda f: f.__name__)
def test_a_foreign_checkpoint_is_one_line_and_runs_nothing(
    unbroken: Training, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    training = Training(tmp_path)
    training.checkpoint.write_bytes(unbroken.checkpoint.read_bytes())
    spoil(training.checkpoint)
    with pytest.raises(JanusError) as caught:
        training.run(resume=True)
    message = str(caught.value)
    assert message.startswith(f"{training.checkpoint}: not a checkpoint of this training")
    assert "\n" not in message and len(message) < 400 + len(str(tmp_path))
    assert not (tmp_path / "exploded").exists()


# ---- the objective that was trained above


def test_a_batch_is_one_sequence_of_caption_and_codes(tmp_path: Path) -> None:
    objective = Training(tmp_path).objective
    objective.rows.fit = objective.fit = replace(objective.fit, drop=0.0, corrupt=0.0)
    batch = objective.batch(np.random.default_rng(5), 0)
    text, image = objective.rows.text, objective.rows.image
    for row in range(3):
        words = batch["text"][row][batch["text"][row] != PADDING]
        types = [text] + [text] * len(words) + [PADDING] * (6 - len(words)) + [image] * 12
        assert batch["types"][row].tolist() == types
        assert batch["ids"][row, [0, 7]].tolist() == [-1, -1]  # <txt> and <img>
        assert torch.equal(batch["ids"][row, 8:], batch["codes"][row, :-1])
        assert batch["rows"][row, 8:].tolist() == [i // 4 for i in range(11)]
        assert batch["cols"][row, 8:].tolist() == [i % 4 for i in range(11)]


def test_captions_are_dropped_and_codes_replaced_as_often_as_asked(tmp_path: Path) -> None:
    objective = Training(tmp_path).objective
    objective.rows.fit = objective.fit = replace(objective.fit, batch_size=400, drop=0.3, corrupt=0.5)
    batch = objective.batch(np.random.default_rng(1), 0)
    dropped = (batch["text"] == PADDING).all(1).float().mean()
    wrong = (batch["ids"][:, 8:] != batch["codes"][:, :-1]).float().mean()
    assert 0.2 < dropped < 0.4 and 0.2 < wrong < 0.3  # half of 0.5, some replaced by themselves
    objective.rows.fit = objective.fit = replace(objective.fit, drop=1.0)
    loss, metrics = objective(objective.batch(np.random.default_rng(1), 0))
    assert metrics["text"] == 0 and loss == metrics["image"]


def test_the_text_loss_is_that_of_words_and_end(tmp_path: Path) -> None:
    """Against a loss worked out token by token."""
    objective = Training(tmp_path).objective
    objective.rows.fit = objective.fit = replace(objective.fit, drop=0.0)
    batch = objective.batch(np.random.default_rng(2), 0)
    with torch.no_grad():
        _, metrics = objective(batch)
        hidden = objective.decoder(batch["ids"], batch["types"], batch["rows"], batch["cols"])
        log_probs = objective.decoder.compute_logits(hidden[:, :7], "text").log_softmax(-1)
    losses = []
    for row, text in enumerate(batch["text"].tolist()):
        words = [i for i in text if i != PADDING]
        losses += [-log_probs[row, i, word] for i, word in enumerate([*words, END])]
    torch.testing.assert_close(metrics["text"], torch.stack(losses).mean())


def test_negatives_leave_the_loss_near_the_full_one(tmp_path: Path) -> None:
    full, few = Training(tmp_path).objective, Training(tmp_path, negatives=5).objective
    batch = full.batch(np.random.default_rng(2), 0)
    with torch.no_grad():
        exact, estimate = full(batch)[1], few(batch)[1]
    torch.testing.assert_close(estimate["image"], exact["image"], rtol=0.1, atol=0)
    assert estimate["image"] != exact["image"]


def test_the_corpus_draws_kinds_by_their_weights() -> None:
    samples = [Sample((0,), "fluent"), Sample((1,), "fluent", "blue"), Sample((2,), "fluent", hue="red")]
    corpus = Corpus(samples, np.zeros((3, 2, 2), np.uint16), {"plain": 3.0, "background": 1.0, "scene": 5.0})
    drawn = np.bincount(corpus.draw(np.random.default_rng(0), 2000), minlength=3) / 2000
    np.testing.assert_allclose(drawn, [0.75, 0.25, 0], atol=0.04)


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    loop._save(path, {"step": 1, "weights": torch.zeros(1000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(MediaError, match=r"net\.pt: cannot be written: File too large"):
            loop._save(path, {"step": 2, "weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"] and loop.read_step(path) == 1
