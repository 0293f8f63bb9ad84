"""What `bench.fuzz` begins with, and what it found: given to its targets again, without atheris.

tests/corpus/TARGET/ has the smallest inputs that once gave a traceback, a message of several lines, or took
long; their names say what is odd about them.
"""

import json
import random
from pathlib import Path

import pytest

from bench.fuzz import TARGETS, change_json, try_input

CORPUS = Path(__file__).parent.parent / "corpus"
CHANGES = 40  # of each seed that is JSON
MOST = 5.0  # seconds of CPU for one input: the slowest takes 0.3


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_kept_inputs_give_a_clean_result_or_one_line(name):
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    try_input(target, seeds[0])  # imports what it needs, which takes its time
    kept = sorted((CORPUS / name).glob("*"))
    rng = random.Random(7)
    changed = [change_json(seed, rng) for seed in seeds for _ in range(CHANGES)] if target.json else []
    for data in [*seeds, *(path.read_bytes() for path in kept), *changed, b"", b"\0", b"{}", b"[" * 5000]:
        found = try_input(target, data, MOST)
        assert not found, (data, found)


def test_a_target_that_fails_is_seen():
    """Or the runs above would say nothing."""
    from bench.fuzz import Target

    def fail(data: bytes) -> None:
        json.loads(data)

    assert "JSONDecodeError" in try_input(Target(fail, list), b"{")
    assert try_input(Target(fail, list), b"{}") == ""
    slow = try_input(Target(lambda data: sum(range(2_000_000)), list), b"", 0.001)
    assert slow.startswith("slow: ")


def test_the_corpus_is_small_and_all_of_it_is_tried():
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert files and {path.parent for path in files} <= {CORPUS / name for name in TARGETS}
    assert sum(path.stat().st_size for path in files) < 100_000
