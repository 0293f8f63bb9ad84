"""The best of several pictures, from Python."""

import numpy as np
import pytest

from bench.make_checkpoint import make
from janus_cli.errors import UsageError
from janus_cli.pipeline import Sampling, load


def test_pictures_are_chosen_among_candidates(tiny_any):
    pipeline = load(str(tiny_any))
    first, second = pipeline.draw(["a red apple"], Sampling(n=2, seed=3, best_of=4))
    seeds = [[seed for seed, _ in record.step("choose")["candidates"]] for record in (first, second)]
    assert seeds == [[3, 4, 5, 6], [7, 8, 9, 10]]
    kept = first.step("generate")["seed"]
    alone = pipeline.draw_picture("a red apple", Sampling(seed=kept))
    assert np.array_equal(alone, pipeline.decode(first))
    assert np.array_equal(alone, pipeline.draw_picture("a red apple", Sampling(seed=3, best_of=4)))


def test_what_cannot_be_chosen(tiny_any, tmp_path):
    pipeline = load(str(tiny_any))
    picture = np.zeros((32, 32, 3), np.uint8)
    with pytest.raises(UsageError, match="--best-of is for pictures"):
        pipeline.describe(picture, sampling=Sampling(best_of=2))
    with pytest.raises(UsageError, match="--best-of is for pictures"):
        pipeline.speak("a", Sampling(best_of=2))
    with pytest.raises(UsageError, match="best_of is 0"):
        pipeline.draw(["a"], Sampling(best_of=0))
    with pytest.raises(UsageError, match="temperature 0"):
        pipeline.draw(["a"], Sampling(best_of=2, temperature=0))
    published = load(str(make(tmp_path / "tiny-pro")))
    with pytest.raises(UsageError, match="chooses no picture"):
        published.draw(["a"], Sampling(best_of=2, temperature=1))
