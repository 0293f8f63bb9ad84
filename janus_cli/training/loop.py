"""The training loop: an objective, an optimiser and a schedule, resumable to the step.

Knows steps, learning rates, checkpoints and the metrics file. What is learned is the objective's:
every random choice of a step comes from (seed, step, rank), so a resumed run repeats what an
unbroken one would have done.
"""

import contextlib
import json
import os
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

import torch
from torch import Tensor, nn

from janus_cli.errors import JanusError
from janus_cli.media.files import KeptErrors, atomic_write, make_folder, write_errors, write_with
from janus_cli.training.batches import Objective, explain_killed_workers, make_batches
from janus_cli.training.optim import Optimizers


@dataclass(frozen=True)
class Schedule:
    """Learning-rate schedule: linear warm-up, constant, then linear to zero."""

    steps: int
    warmup: int = 20
    constant: float = 0.4  # share of the training before the decay begins
    minutes: float = 0.0  # > 0: as many steps as fit into this time, instead of `steps`

    def find_share(self, step: int, seconds: float) -> float:
        """Find the share of the training that is over at `step`, `seconds` after its start; 1 at its end."""
        return min(1.0, seconds / (60 * self.minutes)) if self.minutes else step / self.steps

    def factor(self, step: int, seconds: float = 0.0) -> float:
        """Multiplier of the peak rate at `step`, `seconds` after the start."""
        share = self.find_share(step, seconds)
        decay = 1.0 if share < self.constant else (1 - share) / (1 - self.constant)
        return min(1.0, (step + 1) / max(1, self.warmup)) * decay


@dataclass(frozen=True)
class Run:
    """Where and how a training runs."""

    folder: Path
    seed: int = 0
    device: str = "cpu"
    bf16: bool = False
    save_every: float = 120.0  # seconds
    log_every: int = 20
    workers: int = 0  # processes that make batches beside this one

    def checkpoint(self, name: str) -> Path:
        """Where the training `name` keeps its state."""
        return self.folder / f"{name}.pt"


def _save(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint whole, in place of the one before. Raises MediaError, and that one stays."""

    def write(file: BinaryIO) -> None:
        kept = KeptErrors(file)
        with kept.calls():
            torch.save(state, kept)  # type: ignore[arg-type]

    write_with(path, write, force=True)


def _restore(path: Path, objective: nn.Module, optimizers: Optimizers) -> tuple[int, float]:
    """Load a checkpoint; returns its steps and seconds. Raises JanusError when it is damaged or foreign."""
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        objective.load_state_dict(state["objective"])
        optimizers.load_state_dict(state["optimizers"])
        return int(state["step"]), float(state.get("seconds", 0.0))
    except pickle.UnpicklingError:  # torch would explain how to load it nevertheless
        reason = "damaged, or more than tensors"
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
    raise JanusError(f"{path}: not a checkpoint of this training, start without --resume ({reason})")


def read_step(path: Path) -> int:
    """Read how many steps a checkpoint has behind it. Raises JanusError for what is none."""
    try:
        return int(torch.load(path, weights_only=True, map_location="cpu", mmap=True)["step"])
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, pickle.UnpicklingError):
        raise JanusError(f"{path}: not a checkpoint, start without --resume") from None


def _open_log(path: Path, first: int) -> TextIO:
    """Open the metrics file for step `first`: later lines, of a run cut off since its checkpoint, go."""
    lines = path.read_text("utf-8").splitlines(keepends=True) if first and path.exists() else []
    kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] < first]
    atomic_write(path, "".join(kept).encode(), force=True)
    return path.open("a", encoding="utf-8")


def _state(objective: nn.Module, optimizers: Optimizers, step: int, seconds: float) -> dict[str, Any]:
    states = {"objective": objective.state_dict(), "optimizers": optimizers.state_dict()}
    return states | {"step": step, "seconds": seconds}


def fit(
    name: str,
    objective: nn.Module,
    optimizers: Optimizers,
    schedule: Schedule,
    run: Run,
    resume: bool = False,
    report: Callable[[int, int, dict[str, float]], None] | None = None,
) -> None:
    """Train `objective` as `schedule` has it; checkpoint and metrics go to `run.folder`.

    With `resume`, continues from `<name>.pt` there when it exists, and then gives what an unbroken
    run gives; a schedule of minutes goes on with those that are left. Under `accelerate launch` the batch is
    drawn per process and gradients are averaged.
    """
    make_folder(run.folder)
    checkpoint = run.checkpoint(name)
    model, rank, device = _prepare(objective, run)
    first, spent = 0, 0.0
    if resume and checkpoint.exists():
        first, spent = _restore(checkpoint, objective, optimizers)
    # only the first process keeps a log
    log = _open_log(run.folder / f"{name}.jsonl" if rank == 0 else Path(os.devnull), first)
    start = saved = time.monotonic()
    step, seconds = first, spent
    batches = make_batches(cast(Objective, objective), run.seed, rank, first, run.workers)
    with explain_killed_workers(), log, contextlib.closing(batches):
        while schedule.find_share(step, seconds) < 1:
            loss, metrics = _take_step(model, objective, next(batches), device, run.bf16)
            optimizers.step(schedule.factor(step, seconds))
            step, seconds = step + 1, spent + time.monotonic() - start
            share = schedule.find_share(step, seconds)
            if rank == 0 and ((step - 1) % run.log_every == 0 or share == 1):
                values = {k: round(float(v.detach()), 5) for k, v in {"loss": loss, **metrics}.items()}
                row = {"step": step - 1, "seconds": round(seconds, 1), **values}
                with write_errors(Path(log.name)):
                    log.write(json.dumps(row) + "\n")
                    log.flush()
                if report:
                    report(step - 1, round(step / share), values)
            if rank == 0 and time.monotonic() - saved > run.save_every:
                _save(checkpoint, _state(objective, optimizers, step, seconds))
                saved = time.monotonic()
    if rank == 0:
        _save(checkpoint, _state(objective, optimizers, step, seconds))


def _take_step(
    model: nn.Module, objective: nn.Module, batch: dict[str, Tensor], device: torch.device, bf16: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute loss, metrics and clipped gradients of a batch; nothing here waits for the device."""
    batch = {k: v.to(device, non_blocking=True) for k, v in batch.items()}
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        loss, metrics = model(batch)
    loss.backward()
    nn.utils.clip_grad_norm_(objective.parameters(), 1.0)
    return loss, metrics


def _prepare(objective: nn.Module, run: Run) -> tuple[nn.Module, int, torch.device]:
    """Prepare the module to call, this process's rank, and its device; DDP under `accelerate launch`."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from accelerate import Accelerator

        accelerator = Accelerator(cpu=run.device == "cpu")
        return accelerator.prepare(objective), accelerator.process_index, accelerator.device
    device = torch.device(run.device)
    return objective.to(device), 0, device
