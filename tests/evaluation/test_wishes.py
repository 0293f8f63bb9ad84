"""Wishes in words of one's own: the shipped lists are well formed, and each measure has known answers."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.runs import ROOT

from janus_cli.dataset import heldout
from janus_cli.dataset.labels import read_labels
from janus_cli.dataset.pictures import BACKGROUNDS, HUES
from janus_cli.errors import JanusError
from janus_cli.evaluation.lists import SPOTS, read_lists
from janus_cli.evaluation.wishes import Wishes, read_wishes

MODELS = ROOT / "models"
POCKET = MODELS / "pocket"


@pytest.fixture(scope="module")
def shipped() -> Wishes:
    return read_wishes(POCKET / "wishes.json")


# ---- the shipped lists


def list_names(wishes: Wishes) -> Iterator[str]:
    """Names of the concepts that any list speaks of."""
    for several in (wishes.colours, wishes.colours_abroad, wishes.frames, wishes.frames_abroad):
        yield from (name for wish in several for name in wish.meant)
    for single in (wishes.backgrounds, wishes.corners):
        yield from (wish.concept for wish in single)
    yield from (name for wish in wishes.couples for name in wish.concepts)


def test_the_judge_knows_all_that_is_wished_for(shipped: Wishes) -> None:
    assert set(list_names(shipped)) <= set(read_labels(MODELS / "judge").concepts)


def test_the_lists_are_long_and_ask_nothing_twice(shipped: Wishes) -> None:
    for name, least in (("colours", 60), ("backgrounds", 48), ("couples", 40), ("corners", 40)):
        prompts = [wish.prompt for wish in getattr(shipped, name)]
        assert len(prompts) == len(set(prompts)) >= least, name
    framed = [frame for wish in (*shipped.frames, *shipped.frames_abroad) for frame in wish.frames]
    assert len(framed) == len(set(framed)) >= 90
    assert all(wish.bare not in wish.frames for wish in (*shipped.frames, *shipped.frames_abroad))


def test_the_lists_ask_for_every_colour_and_place(shipped: Wishes) -> None:
    assert {wish.hue for wish in shipped.colours} == set(HUES)
    assert {wish.background for wish in shipped.backgrounds} == set(BACKGROUNDS)
    assert {wish.spot for wish in shipped.corners} == set(SPOTS)
    said = [wish for wish in shipped.colours if wish.hue in wish.prompt.lower()]
    assert said == list(shipped.colours), "the colour is in the words"
    assert all(wish.background in wish.prompt.lower() for wish in shipped.backgrounds)


def test_half_of_the_couples_were_never_trained_on(shipped: Wishes) -> None:
    held = [wish for wish in shipped.couples if heldout.is_couple(*wish.concepts)]
    assert len(held) == len(shipped.couples) / 2
    assert all(" and " in wish.prompt for wish in shipped.couples)


def test_nothing_but_a_horse_and_a_tomato_is_held_out_in_the_style_of_the_answers(shipped: Wishes) -> None:
    held = {name for name, style in read_lists(POCKET / "heldout.json").pairs if style == "fluent"}
    assert held & set(list_names(shipped)) == {"horse", "tomato"}


def test_a_limit_keeps_the_first_of_each_list(shipped: Wishes) -> None:
    few = shipped.limit(2)
    assert [len(getattr(few, name)) for name in few.__struct_fields__] == [2] * 7
    assert few.colours == shipped.colours[:2] and shipped.limit(None) == shipped


@pytest.mark.parametrize(
    "change",
    [
        {"colours": []},
        {"colours": [["a mauve dog", ["dog"], "mauve"]]},
        {"backgrounds": [["a dog on mauve", "dog", "mauve"]]},
        {"corners": [["a dog outside", "dog", "outside"]]},
        {"frames": [["dog", ["dog"], []]]},
        {"couples": [["a dog", ["dog"]]]},
        {"more": []},
    ],
)
def test_lists_that_are_none_are_one_line(change: dict[str, object], tmp_path: Path) -> None:
    whole = json.loads((POCKET / "wishes.json").read_text("utf-8"))
    (tmp_path / "wishes.json").write_text(json.dumps(whole | change), "utf-8")
    with pytest.raises(JanusError, match=r"wishes\.json: no readable wishes") as caught:
        read_wishes(tmp_path / "wishes.json")
    assert "\n" not in str(caught.value)
