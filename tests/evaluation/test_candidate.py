"""The model that is examined: equal numbers are equal seeds, and the lexicon is asked where it speaks."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from janus_cli import zoo
from janus_cli.evaluation.candidate import Candidate, Tell
from janus_cli.evaluation.exam import Exam
from janus_cli.records import Record


@pytest.fixture
def candidate(zoo_of_two: Path, tmp_path: Path) -> Candidate:
    """The tiny model, without its refiner, with a lexicon of one word."""
    for file in (zoo_of_two / "pocket").iterdir():
        (tmp_path / file.name).symlink_to(file)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    generation = config["generation"] | {"temperature": 1.0}
    (tmp_path / "config.json").write_text(json.dumps({**config, "refiner": None, "generation": generation}))
    words = {"names": ["apple", "bear", "duck"], "words": {"grizzly": {"1": 9.0}}}
    (tmp_path / "lexicon.json").write_text(json.dumps({"en": words}), "utf-8")
    return Candidate.load(zoo.find(str(tmp_path)), "cpu", 5)


def test_prompts_of_one_number_have_one_seed(candidate: Candidate) -> None:
    drawn = candidate.draw(candidate.read(["apple"] * 4), numbers=[0, 1, 0, 7])
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[1], drawn[3])
    counted = candidate.draw(candidate.read(["apple"] * 2))
    assert np.array_equal(counted, drawn[:2]), "without numbers they are counted"
    with pytest.raises(ValueError, match="zip"):
        candidate.draw(candidate.read(["apple"] * 2), numbers=[1])


def test_only_what_the_lexicon_changes_is_drawn_again(
    candidate: Candidate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(
        self: Candidate,
        prompts: Sequence[Record],
        tell: Tell,
        *,
        literal: bool,
        numbers: Sequence[int] | None,
    ) -> np.ndarray:
        marks = [number + (0 if literal else 100) for number in numbers or range(len(prompts))]
        return np.array(marks, np.uint8)

    monkeypatch.setattr(Candidate, "draw", draw)
    exam: Any = Exam.__new__(Exam)
    exam.__dict__.update(candidate=candidate, progress=lambda label, done, total: None)
    ways = exam.draw_both_ways(["apple", "a grizzly", "duck", "a grizzly, noto"], "words")
    assert ways["literal"].tolist() == [0, 1, 2, 3]
    assert ways["lexicon"].tolist() == [0, 101, 2, 103], "with the seeds that they had"
    assert exam.draw_both_ways(["apple"], "words")["lexicon"].tolist() == [0]


def test_a_word_of_the_lexicon_is_drawn_as_its_name(candidate: Candidate) -> None:
    reread = [candidate.is_reread(record) for record in candidate.read(["a grizzly", "a bear", "asdf"])]
    assert reread == [True, False, False]
