"""How much windows gain: pictures drawn by windows and token by token, in turn, with the passes of each.

    python -m bench.windows [MODEL] [--pictures 8] [--batch-size 1] [--widths auto 16 64]

Prints Markdown: seconds, passes and ratios, of CPU time too, which other processes disturb less. The pictures
of every way are compared. `general` is the plain forward, one token after the other.
"""

import argparse
import dataclasses
import statistics
import time
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np

from janus_cli import neighbour

neighbour.share_processors()  # before torch is imported, as the command does

from janus_cli import zoo  # noqa: E402
from janus_cli.pipeline import Sampling, load  # noqa: E402
from janus_cli.stages.decoding import loop  # noqa: E402
from janus_cli.stages.decoding.options import GenerateOptions  # noqa: E402
from janus_cli.stages.decoding.prompt import Prompt  # noqa: E402

PROMPTS = (
    "a red apple",
    "guitar, twemoji",
    "a cat and a dog",
    "unicorn on a green background",
    "penguin, noto",
    "a blue horse",
    "roter Apfel",
    "three bananas",
)
GENERAL, STEPS = "general", "off"


def parse_width(word: str) -> int | None:
    """Read a window's width as --parallel does."""
    return None if word == "auto" else int(word)


def draw(net: loop.Net, options: GenerateOptions, prompts: list[Prompt], way: str) -> tuple[np.ndarray, int]:
    """Draw a batch in one way: codes [B, N], and the passes that it took."""
    width = 0 if way in (GENERAL, STEPS) else parse_width(way)
    passes: list[int] = []
    items = [loop.Item(prompt, 0, seed) for seed, prompt in enumerate(prompts)]
    with patch.object(loop, "can_step", (lambda *_: False) if way == GENERAL else loop.can_step):
        made = loop.Loop(items, net, dataclasses.replace(options, parallel=width), passes.append)
        return list(made.run())[-1].codes[:, 0], len(passes)


def measure(model: str, ways: list[str], pictures: int, size: int) -> Iterator[dict[str, tuple[float, ...]]]:
    """Draw batches in all ways, in turn: seconds, CPU seconds and passes of each way."""
    pipeline = load(model)
    plan = pipeline.plan_picture(Sampling())
    prompts = [plan.prepare(pipeline.tokenize(PROMPTS[i % len(PROMPTS)])) for i in range(pictures)]
    net = pipeline.nets.decoder
    for way in ways:
        draw(net, plan.options, prompts[:size], way)  # warm
    for first in range(0, pictures, size):
        found: dict[str, tuple[float, ...]] = {}
        drawn: list[np.ndarray] = []
        for way in ways:
            wall, cpu = time.perf_counter(), time.process_time()
            codes, passes = draw(net, plan.options, prompts[first : first + size], way)
            found[way] = time.perf_counter() - wall, time.process_time() - cpu, passes
            drawn.append(codes)
        assert all(np.array_equal(codes, drawn[0]) for codes in drawn), "the ways drew different pictures"
        yield found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=zoo.DEFAULT)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--widths", nargs="+", default=["auto"])
    given = parser.parse_args()
    ways = [GENERAL, STEPS, *given.widths]
    rows = list(measure(given.model, ways, given.pictures, given.batch_size))
    print(
        f"{given.model}, {given.pictures} pictures in batches of {given.batch_size}, medians of the batches\n"
    )
    print("| way | passes | seconds | CPU seconds | general / way | CPU, general / way |")
    print("|---" * 6 + "|")
    for way in ways:
        wall, cpu, passes = (statistics.median(row[way][i] for row in rows) for i in range(3))
        ratios = [statistics.median(row[GENERAL][i] / row[way][i] for row in rows) for i in (0, 1)]
        print(f"| {way} | {passes:g} | {wall:.2f} | {cpu:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} |")


if __name__ == "__main__":
    main()
