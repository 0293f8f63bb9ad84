"""Time `janus draw` by stage, and the decoding loop with and without its cache, on this machine."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from janus_cli.nets.decoder import Decoder
from janus_cli.pipeline import DrawOptions, Pipeline, load
from janus_cli.records import Record

PROMPTS = ["a red apple", "a penguin, noto", "a rocket, twemoji", "a sunflower", "a dog", "a house, noto",
           "a guitar", "a strawberry, twemoji"]
RUNS = 5


def seconds(work: Callable[[], Any]) -> float:
    """Median of RUNS runs after one warm-up."""
    work()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def stages(pipeline: Pipeline, prompts: list[str]) -> Iterator[tuple[str, float]]:
    """Each stage's time on the output of the one before."""
    options = pipeline.generate_options(DrawOptions())
    records = [pipeline.tokenize(p) for p in prompts]
    yield "tokenize", seconds(lambda: [pipeline.tokenize(p) for p in prompts])
    tokens: list[Record] = list(pipeline.generate(records, options))
    yield "generate", seconds(lambda: list(pipeline.generate(records, options)))
    sharp = list(pipeline.denoise(tokens))
    yield "denoise", seconds(lambda: list(pipeline.denoise(tokens)))
    large = list(pipeline.upsample(sharp))
    yield "upsample", seconds(lambda: list(pipeline.upsample(sharp)))
    yield "decode", seconds(lambda: [pipeline.decode(r) for r in large])


@torch.inference_mode()
def uncached(decoder: Decoder, length: int) -> None:
    """The same 64 steps for two rows, with the whole sequence passed through the decoder every time."""
    for n in range(length, length + 64):
        ids = torch.zeros(2, n, dtype=torch.int64)
        decoder(ids, torch.ones_like(ids), ids, ids)


def table(pipeline: Pipeline, count: int) -> dict[str, float]:
    """Print the stages' times for `count` prompts."""
    times = dict(stages(pipeline, PROMPTS[:count]))
    print(f"\n| stage, {count} picture{'s' * (count > 1)} | ms | share |\n|---|---|---|")
    for stage, value in times.items():
        print(f"| {stage} | {1000 * value:.1f} | {value / sum(times.values()):.0%} |")
    print(f"| all | {1000 * sum(times.values()):.0f} | |")
    return times


def main() -> None:
    """Print all tables as markdown."""
    pipeline = load("pocket")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, pocket model, medians of {RUNS} runs")
    one, _ = table(pipeline, 1), table(pipeline, 8)
    slow = seconds(lambda: uncached(pipeline.decoder, 5))
    print(f"\nKV cache: 64 steps with guidance {one['generate']:.2f} s, without a cache {slow:.2f} s: "
          f"ratio {slow / one['generate']:.1f}")
    command = [sys.executable, "-m", "janus_cli", "draw", PROMPTS[0], "-q", "-o", "-"]
    whole = seconds(lambda: subprocess.run(command, check=True, capture_output=True))
    helps = seconds(lambda: subprocess.run([sys.executable, "-m", "janus_cli", "--help"], check=True, capture_output=True))
    print(f"\nWhole process, start to PNG: `janus draw` {whole:.2f} s; `janus --help` {helps:.2f} s")


if __name__ == "__main__":
    main()
