"""What `bench.fuzz` begins with, and what it found: given to its targets again, without atheris."""

import json
import random
from pathlib import Path

import pytest

from bench.fuzz import TARGETS, change_json, try_input

CORPUS = Path(__file__).parent.parent / "corpus"
CHANGES = 40  # of each seed that is JSON


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_kept_inputs_give_a_clean_result_or_one_line(name):
    target = TARGETS[name]
    seeds = target.seeds()
    assert seeds
    kept = sorted((CORPUS / name).glob("*"))
    rng = random.Random(7)
    changed = [change_json(seed, rng) for seed in seeds for _ in range(CHANGES)] if target.json else []
    for data in [*seeds, *(path.read_bytes() for path in kept), *changed, b"", b"\0", b"{}", b"[" * 5000]:
        found = try_input(target, data)
        assert not found or found.startswith("slow"), (data, found)


def test_a_target_that_fails_is_seen():
    """Or the runs above would say nothing."""
    from bench.fuzz import Target

    def fail(data: bytes) -> None:
        json.loads(data)

    assert "JSONDecodeError" in try_input(Target(fail, list), b"{")
    assert try_input(Target(fail, list), b"{}") == ""


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 100_000
