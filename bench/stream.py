"""When the first row of a picture is there, and how long each row takes: streaming beside offline.

    python -m bench.stream [MODEL] [--prompt TEXT]

Prints Markdown. One process, one picture, after a warm-up, best of REPEATS for every number. A row of tokens
passes the stages one after another; what a stage adds to the first row is mostly waiting for the rows below.
"""

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from janus_cli import zoo
from janus_cli.pipeline import Pipeline, Sampling, load
from janus_cli.records import Record

REPEATS = 3
STAGES = ("generate", "denoise", "upsample")


@dataclass
class Times:
    """Seconds since the start at which each part of each stage was there; the last is the whole picture."""

    parts: dict[str, list[float]]
    whole: float


def drawn(pipeline: Pipeline, prompt: str, stream: bool) -> Times:
    """One picture."""
    parts: dict[str, list[float]] = {stage: [] for stage in STAGES}
    start = time.perf_counter()

    def watch(stage: str, record: Record) -> None:
        parts[stage].append(time.perf_counter() - start)

    for _ in pipeline.draw([prompt], Sampling(seed=7), watch=watch if stream else None):
        pass
    return Times(parts, time.perf_counter() - start)


def best(times: list[Times]) -> Times:
    """The least of each number."""
    parts = {
        stage: [min(column) for column in zip(*(t.parts[stage] for t in times), strict=True)]
        for stage in STAGES
    }
    return Times(parts, min(t.whole for t in times))


def alone(records: list[Record], stage: Callable[..., Iterator[Record]], stream: bool) -> float:
    """Least seconds of one stage for these records or parts."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        list(stage(records, stream=stream))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="?", default=zoo.DEFAULT)
    parser.add_argument("--prompt", default="a red apple")
    given = parser.parse_args()
    pipeline = load(given.model)
    drawn(pipeline, given.prompt, True)
    offline = best([drawn(pipeline, given.prompt, False) for _ in range(REPEATS)])
    streamed = best([drawn(pipeline, given.prompt, True) for _ in range(REPEATS)])
    rows, cols = pipeline.model.config.generation.grid
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    print(f"{machine}, model {given.model}, {rows} x {cols} tokens; best of {REPEATS}, milliseconds\n")
    print("| | first row | each row after it | whole picture |\n|---|---|---|---|")
    print(f"| offline | {1000 * offline.whole:.0f} | - | {1000 * offline.whole:.0f} |")
    for stage in STAGES:
        first, *_, last, whole = times = streamed.parts[stage]
        each = (last - first) / max(1, len(times) - 2)
        print(f"| streaming, after {stage} | {1000 * first:.0f} | {1000 * each:.0f} | {1000 * whole:.0f} |")
    tokens = list(pipeline.plan_picture().run([pipeline.tokenize(given.prompt)], stream=True))
    sharp = list(pipeline.refining.denoise(tokens, stream=True))
    print("\n| computing alone, milliseconds a patch | offline | streaming |\n|---|---|---|")
    work = ("denoise", tokens, pipeline.refining.denoise), ("upsample", sharp, pipeline.refining.upsample)
    for name, records, stage in work:
        cells = (1000 * alone(records, stage, stream) / (rows * cols) for stream in (False, True))
        print(f"| {name} | {' | '.join(f'{cell:.2f}' for cell in cells)} |")


if __name__ == "__main__":
    main()
