"""The batches of a training, one a step: made in turn, or ahead of it by processes beside the device.

The batch of a step depends on (seed, step, rank) alone, so it is the same either way.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from janus_cli.errors import JanusError, UsageError

AHEAD = 6  # batches that each process may be ahead
FOREVER = 1 << 40  # steps


def seed_step(seed: int, step: int, rank: int) -> None:
    """Set torch's random numbers for a step."""
    torch.manual_seed(seed * 1_000_003 + step * 97 + rank)


class Objective(Protocol):
    """What the loop needs of a thing to train; an nn.Module."""

    def batch(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """The data of one step, on the CPU."""

    def __call__(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and metrics of a batch."""


class Steps(Dataset[dict[str, Tensor]]):
    """The batches of an objective, by the number of the step."""

    def __init__(self, objective: Objective, seed: int, rank: int) -> None:
        self.objective, self.seed, self.rank = objective, seed, rank

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        seed_step(self.seed, step, self.rank)
        return self.objective.batch(np.random.default_rng([self.seed, step, self.rank]), step)


def _settle(worker: int) -> None:
    torch.set_num_threads(1)


@contextmanager
def explain_killed_workers() -> Iterator[None]:
    """Raise JanusError where a process that makes batches is killed.

    torch says so from a signal handler: its error comes wherever the training is at that moment.
    """
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        reason = "out of memory? use fewer --workers"
        raise JanusError(f"a process that makes batches was killed ({reason}, go on with --resume)") from None


def make_batches(
    objective: Objective, seed: int, rank: int, first: int, workers: int = 0
) -> Generator[dict[str, Tensor], None, None]:
    """Make the batches from step `first` on, on the CPU, without end.

    `workers` processes make them ahead, or this one in turn where there are none, or where the objective
    `changes_itself` with a batch. Raises UsageError where processes cannot share the materials.
    """
    steps = Steps(objective, seed, rank)
    if not workers or getattr(objective, "changes_itself", False):
        for step in range(first, FOREVER):
            yield steps[step]
        return
    if "fork" not in torch.multiprocessing.get_all_start_methods():
        raise UsageError("--workers: this system cannot share the materials between processes, leave it out")
    loader: Any = DataLoader(
        steps,
        batch_size=None,
        sampler=range(first, FOREVER),
        num_workers=workers,
        prefetch_factor=AHEAD,
        worker_init_fn=_settle,
        pin_memory=torch.cuda.is_available(),
        multiprocessing_context="fork",
    )
    for step, batch in enumerate(loader, first):
        seed_step(seed, step, rank)
        yield batch
