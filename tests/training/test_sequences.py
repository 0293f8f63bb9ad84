"""Rows of mixed segments: what each token should be followed by, and how rows become batches."""

import numpy as np
import pytest

from janus_cli.training.sequences import NONE, Span, group_by_length, join_spans, pad

TYPES = {"text": 0, "image": 1, "audio": 2}


def words(*ids: int) -> Span:
    return Span("text", np.array(ids), np.array(ids), end=0)


def test_a_caption_and_its_picture():
    picture = Span("image", np.array([7, 8, 9, 6]), np.array([7, 8, 5, 6]), None, 1, (2, 2))
    row = join_spans([words(3, 4), picture], TYPES)
    assert row.ids == [-1, 3, 4, -1, 7, 8, 9]  # the last code predicts nothing, so it is no input
    assert row.types == [0, 0, 0, 1, 1, 1, 1]
    assert row.targets == [3, 4, 0, 7, 8, 5, 6]  # an END after the words; what should have been read
    assert row.roles == [0, 0, 0, 1, 1, 1, 1]
    assert (row.rows, row.cols) == ([0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 1, 0])


def test_what_is_not_learned_has_no_targets():
    row = join_spans([Span("audio", np.array([5, 6])), words(3)], TYPES)
    assert row.ids == [-1, 5, 6, -1, 3]
    assert row.targets == [NONE, NONE, NONE, 3, 0]


def test_an_empty_caption_is_its_delimiter():
    row = join_spans([Span("text", np.array([], np.int64)), words(3)], TYPES)
    assert (row.ids, row.targets) == ([-1, -1, 3], [NONE, 3, 0])


def test_phones_stand_beside_their_frames_alone():
    sound = Span("audio", np.array([5, 6]), np.array([5, 6]), 99, 1, phones=np.array([3, 4]))
    row = join_spans([words(3), sound], TYPES)
    assert row.phones == [NONE, NONE, NONE, 3, 4]
    assert pad([row], 8)["phones"].tolist() == [[NONE, NONE, NONE, 3, 4, NONE, NONE, NONE]]


def test_the_last_part_closes_with_its_end():
    sound = Span("audio", np.array([5, 6]), np.array([5, 6]), end=99)
    assert join_spans([sound], TYPES).targets == [5, 6, 99]


def test_rows_are_padded_to_a_multiple():
    batch = pad([join_spans([words(3)], TYPES), join_spans([words(3, 4, 5, 6)], TYPES)], multiple=4)
    assert batch["ids"].shape == (2, 8)
    assert batch["types"][0].tolist() == [0, 0, -1, -1, -1, -1, -1, -1]
    assert batch["targets"][0].tolist() == [3, 0, *[NONE] * 6]


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_groups_hold_every_row_once_shortest_first(count: int):
    rows = [join_spans([words(*range(1, n + 1))], TYPES) for n in (5, 1, 3, 2, 4)]
    groups = group_by_length(rows, count)
    lengths = [len(row) for group in groups for row in group]
    assert lengths == sorted(len(row) for row in rows)
    assert all(groups) and len(groups) <= count
