"""How much longer `janus draw` takes beside processes that keep a processor busy each.

    python -m bench.busy [MODEL] [--repeats 5]

Prints Markdown: seconds and CPU seconds of a whole `janus draw`, alone and beside one and two such processes,
with threads that sleep while they wait (as `janus` has it) and with threads that spin (as torch's OpenMP has
it where nobody says otherwise). CPU seconds that grow with the neighbours are spinning. To be run on a
machine that is idle otherwise.
"""

import argparse
import contextlib
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from janus_cli import zoo

NEIGHBOURS = (0, 1, 2)
SPINNING = {"GOMP_SPINCOUNT": "300000"}  # libgomp's own default; set, it counts as the user's wish
WAYS: dict[str, dict[str, str]] = {"spin": SPINNING, "sleep": {}}
BUSY = "while True: pass"


@dataclass(frozen=True)
class Cost:
    """What a run took."""

    seconds: float
    cpu: float  # seconds, of all threads


@contextlib.contextmanager
def keep_busy(count: int) -> Iterator[None]:
    """Run `count` processes that compute without end, for as long as the block runs."""
    processes = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def draw(model: str, env: dict[str, str]) -> Cost:
    """Draw one picture in a process of its own."""
    command = [sys.executable, "-m", "janus_cli", "draw", "a red apple", "-q", "-o", "-", "--model", model]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **env})
    after, seconds = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter() - start
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds, cpu)


def measure(model: str, env: dict[str, str], neighbours: int, repeats: int) -> Cost:
    """Draw `repeats` times beside the neighbours: the medians."""
    with keep_busy(neighbours):
        costs = [draw(model, env) for _ in range(repeats)]
    return Cost(statistics.median(c.seconds for c in costs), statistics.median(c.cpu for c in costs))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Draw beside busy processes.")
    parser.add_argument("model", nargs="?", default=zoo.DEFAULT)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    draw(given.model, {})  # the files are read once
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, model {given.model}; median of {given.repeats}\n"
    )
    print("| threads that wait | busy processes beside | seconds | times as long | CPU seconds |")
    print("|---|---|---|---|---|")
    for way, env in WAYS.items():
        alone = None
        for count in NEIGHBOURS:
            cost = measure(given.model, env, count, given.repeats)
            alone = alone or cost.seconds
            cells = f"{cost.seconds:.2f} | {cost.seconds / alone:.1f} | {cost.cpu:.1f}"
            print(f"| {way} | {count} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
