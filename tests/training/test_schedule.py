"""Trainings that last so long, and whose batches other processes make."""

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.trainings import Training

from janus_cli.errors import JanusError, UsageError
from janus_cli.training.batches import explain_killed_workers
from janus_cli.training.loop import Run, Schedule, fit
from janus_cli.training.objectives.codec import CodecObjective


def test_a_schedule_of_minutes_follows_the_share_of_the_time() -> None:
    by_time, by_steps = Schedule(7, warmup=1, minutes=2), Schedule(120, warmup=1)
    for second in range(120):
        assert by_time.factor(9, second) == pytest.approx(by_steps.factor(second))
    assert by_time.factor(0, 0) == 1 and Schedule(7, warmup=4, minutes=2).factor(0, 0) == 0.25
    assert by_time.find_share(10**6, 119.9) < 1 == by_time.find_share(0, 121)
    assert by_time.factor(3, 500) == 0


def test_a_training_of_minutes_ends_with_them_and_goes_on_with_those_left(tmp_path: Path) -> None:
    training = Training(tmp_path)
    reports: list[tuple[int, int]] = []
    run, schedule = Run(tmp_path, save_every=0, log_every=1), Schedule(1, warmup=2, minutes=1.5 / 60)
    start = time.monotonic()
    fit(
        *("decoder", training.objective, training.optimizers, schedule, run),
        report=lambda step, steps, values: reports.append((step, steps)),
    )
    assert 1.5 < time.monotonic() - start < 6
    steps = torch.load(training.checkpoint, weights_only=True)["step"]
    assert steps > 3 and reports[-1] == (steps - 1, steps), "the last report tells how many there were"
    longer = replace(schedule, minutes=2.5 / 60)
    start = time.monotonic()
    fit("decoder", training.objective, training.optimizers, longer, run, resume=True)
    assert time.monotonic() - start < 1.9, "only the rest of the time was left"
    state = torch.load(training.checkpoint, weights_only=True)
    assert state["step"] > steps and state["seconds"] > 2.5


def test_processes_make_the_batches_that_one_would(tmp_path: Path) -> None:
    alone, beside = Training(tmp_path / "alone"), Training(tmp_path / "beside")
    for training, workers in ((alone, 0), (beside, 2)):
        run = Run(training.folder, log_every=1, workers=workers)
        fit("decoder", training.objective, training.optimizers, Schedule(4, warmup=2), run)
    assert alone.rows() == beside.rows()
    states = [t.objective.state_dict() for t in (alone, beside)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_processes_that_cannot_share_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    training, run = Training(tmp_path), Run(tmp_path, workers=2)
    with pytest.raises(UsageError, match="--workers: this system cannot share"):
        fit("decoder", training.objective, training.optimizers, Schedule(2), run)


def test_an_objective_that_changes_with_a_batch_makes_it_itself(tmp_path: Path) -> None:
    training, seen = Training(tmp_path), []
    batch = training.objective.batch
    training.objective.changes_itself = True
    training.objective.batch = lambda rng, step: seen.append(step) or batch(rng, step)  # type: ignore
    fit("decoder", training.objective, training.optimizers, Schedule(2), Run(tmp_path, workers=2))
    assert seen == [0, 1]
    assert CodecObjective.changes_itself


def test_a_process_that_is_killed_is_told_of() -> None:
    """In torch's words: a real kill would raise from a signal handler, maybe in another test."""
    with pytest.raises(JanusError, match="a process that makes batches was killed"), explain_killed_workers():
        raise RuntimeError("DataLoader worker (pid 14613) is killed by signal: Killed. ")
    with pytest.raises(RuntimeError, match="another"), explain_killed_workers():
        raise RuntimeError("another")
