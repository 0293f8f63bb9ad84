"""Wishes in words of one's own: the shipped lists are well formed, and each measure has known answers."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.packs import three_concepts
from helpers.runs import ROOT

from janus_cli.dataset import heldout
from janus_cli.dataset.labels import Labels, make_judge_config, read_labels
from janus_cli.dataset.pictures import BACKGROUNDS, HUES, Item, Scene, Sprites, compose
from janus_cli.errors import JanusError
from janus_cli.evaluation.hues import drop_colour, find_hue, has_hue
from janus_cli.evaluation.judge import Examiner
from janus_cli.evaluation.lists import SPOTS, SceneEntry, read_lists
from janus_cli.evaluation.scenes import Marks, mark_scenes, paint_scenes
from janus_cli.evaluation.wishes import (
    Backed,
    Coupled,
    Dyed,
    Framed,
    Placed,
    Wishes,
    Wishing,
    choose_marks,
    compare_frames,
    read_wishes,
    score_colours,
)
from janus_cli.nets.judge import Judge

MODELS = ROOT / "models"
POCKET = MODELS / "pocket"


@pytest.fixture(scope="module")
def shipped() -> Wishes:
    return read_wishes(POCKET / "wishes.json")


# ---- the shipped lists


def test_the_judge_knows_all_that_is_wished_for(shipped: Wishes) -> None:
    assert set(shipped.list_concepts()) <= set(read_labels(MODELS / "judge").concepts)


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
    assert held & set(shipped.list_concepts()) == {"horse", "tomato"}


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


# ---- colours

APPLE, BEAR, DUCK = 0, 3, 6  # the fluent drawings of the hand-made pack: red, brown, yellow
PIGMENTS = {
    "red": (200, 30, 30),
    "orange": (240, 130, 20),
    "yellow": (250, 210, 40),
    "green": (40, 160, 60),
    "blue": (50, 110, 230),
    "purple": (130, 60, 200),
    "pink": (240, 100, 180),
}


def paint_disc(colour: tuple[int, int, int], paper: tuple[int, int, int] = (255, 255, 255)) -> np.ndarray:
    """Paint a disc, uint8 [64, 64, 3]."""
    rows, columns = np.mgrid[:64, :64] - 31.5
    return np.where((rows**2 + columns**2 < 24**2)[..., None], colour, paper).astype(np.uint8)


@pytest.fixture(scope="module")
def judge() -> Examiner:
    """A random judge of the hand-made pack: of three concepts each is in its top five."""
    torch.manual_seed(0)
    net = Judge(make_judge_config(three_concepts())).eval()
    return Examiner(net, Labels(("apple", "bear", "duck"), ("fluent", "noto", "twemoji")), "cpu")


@pytest.mark.parametrize("asked", list(HUES))
def test_a_pigment_has_its_own_hue_alone(asked: str) -> None:
    for name, colour in PIGMENTS.items():
        assert has_hue(paint_disc(colour), asked) == (name == asked), f"{name} is called {asked}"


@pytest.mark.parametrize("asked", list(HUES))
@pytest.mark.parametrize("colour", [(20, 20, 20), (128, 128, 128), (240, 240, 240), (150, 145, 140)])
def test_what_has_no_colour_has_no_hue(colour: tuple[int, int, int], asked: str) -> None:
    assert not has_hue(paint_disc(colour), asked)


@pytest.mark.parametrize("drawing", [APPLE, BEAR, DUCK])
def test_a_dyed_drawing_counts_and_an_undyed_one_does_not(sprites: Sprites, drawing: int) -> None:
    for hue in ("green", "blue", "purple", "pink"):
        for size in (64, 128, 512):
            assert not has_hue(compose(Scene((Item(drawing),)), sprites, size), hue)
            assert has_hue(compose(Scene((Item(drawing, hue=hue),)), sprites, size), hue)


def test_the_background_is_no_part_of_the_thing() -> None:
    for paper in BACKGROUNDS.values():
        assert not has_hue(paint_disc((200, 30, 30), paper), "blue")
        assert has_hue(paint_disc(PIGMENTS["purple"], paper), "purple")


def test_a_grey_thing_with_a_coloured_ear_is_grey() -> None:
    picture = paint_disc((128, 128, 128))
    picture[10:18, 24:32] = PIGMENTS["pink"]
    among_coloured, among_all = find_hue(picture, "pink")
    assert among_coloured == 1 and among_all < 0.1 and not has_hue(picture, "pink")


def test_a_pale_red_is_pink_too_and_a_deep_one_is_not() -> None:
    pale = paint_disc((250, 180, 190))
    assert has_hue(pale, "pink") and has_hue(pale, "red")
    assert not has_hue(paint_disc((200, 30, 30)), "pink")


def test_without_its_colour_a_dyed_drawing_is_any_other() -> None:
    shades = [drop_colour(paint_disc((200, 30, 60))), drop_colour(paint_disc((60, 200, 30)))]
    assert np.array_equal(*shades) and (shades[0][32, 32] == 200).all()


def test_thing_and_colour_are_scored_together(
    sprites: Sprites, judge: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Examiner, "rank_meant", lambda self, pictures, meant: np.array([0, 0, 5]))
    pictures = np.stack([compose(Scene((Item(APPLE, hue=hue),)), sprites) for hue in ("blue", "", "blue")])
    asked = [Dyed(prompt, ("apple",), "blue") for prompt in ("a", "b", "c")]
    score = score_colours(pictures, asked, judge)
    shares = {"thing": 0.6667, "colour": 0.6667, "both": 0.3333}
    assert score == {"n": 3, **shares, "missed": ["b", "c"]}


def test_a_thing_may_be_known_with_or_without_its_colour(
    judge: Examiner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rank(self: Examiner, pictures: np.ndarray, meant: object) -> np.ndarray:
        grey = (pictures[0] == pictures[0, ..., :1]).all()
        return np.array([5, 0, 5]) if grey else np.array([0, 5, 5])

    monkeypatch.setattr(Examiner, "rank_meant", rank)
    asked = [Dyed(prompt, ("apple",), "blue") for prompt in ("a", "b", "c")]
    score = score_colours(np.stack([paint_disc(PIGMENTS["blue"])] * 3), asked, judge)
    assert score["missed"] == ["c"] and score["colour"] == 1


# ---- frames


def test_a_frame_is_compared_with_the_bare_name() -> None:
    alone, inside = np.array([True, True, True, True, False]), np.array([True, True, True, False, False])
    assert compare_frames(alone, inside) == {"n": 5, "bare": 0.8, "framed": 0.6, "kept": 0.75}
    assert compare_frames(~alone[:1], inside[:1])["kept"] == 0, "nothing to keep"


# ---- scenes

COUPLE = Coupled("a bear and a duck", ("bear", "duck"))
SCENES = [
    SceneEntry("couple", ("bear", "duck"), "left of", ""),
    SceneEntry("couple", ("duck", "bear"), "above", ""),
    SceneEntry("count", ("duck",), "3", ""),
    SceneEntry("background", ("bear",), "", ""),
    SceneEntry("couple", ("bear", "duck"), "above", "blue"),
]


def test_a_couple_may_stand_either_way_but_not_alone(sprites: Sprites, judge: Examiner) -> None:
    paint = partial(paint_scenes, concepts=three_concepts(), sprites=sprites)
    shown = paint(SCENES, size=128)
    ways = [[entry] * len(SCENES) for entry in COUPLE.entries]
    assert len(ways) == 4
    marks = choose_marks([mark_scenes(shown, way, paint(way), judge) for way in ways])
    assert marks.placed.tolist() == [True, True, False, False, True]
    assert marks.background.tolist() == [True, True, True, True, False]
    assert marks.whole.tolist() == [True, True, False, False, False]


def test_the_way_that_is_nearest_is_chosen() -> None:
    two, true, false = np.array([2, 2]), np.array([True, True]), np.array([False, False])
    half, whole = np.array([1, 2]), np.array([2, 0])
    first, second = Marks(two, half, true, true), Marks(two, whole, false, true)
    third = Marks(two, whole, true, true)
    assert choose_marks([first, second]).found.tolist() == [1, 2], "the place counts most"
    assert choose_marks([first, third]).found.tolist() == [2, 2]
    assert choose_marks([second, first]).placed.all()


def test_what_is_painted_as_wished_fulfils_all_wishes(sprites: Sprites, judge: Examiner) -> None:
    paint = partial(paint_scenes, concepts=three_concepts(), sprites=sprites)
    wishes = Wishes(
        (Dyed("a blue apple", ("apple",), "blue"),),
        (Dyed("ein blauer Apfel", ("apple",), "blue"), Dyed("ein gelber Apfel", ("apple",), "yellow")),
        (Backed("a duck on black", "duck", "black"),),
        (Framed("bear", ("bear", "duck"), ("BEAR", "a photo of a bear")),),
        (Framed("Bär", ("bear",), ("BÄR",)),),
        (COUPLE, Coupled("an apple and a bear", ("apple", "bear"))),
        (Placed("a small duck in the middle", "duck", "center"),),
    )
    scenes = {
        wish.prompt: wish.entries[0] for wish in (*wishes.backgrounds, *wishes.couples, *wishes.corners)
    }
    asked: dict[str, int] = {}

    def draw(prompts: Sequence[str], label: str, *, numbers: Sequence[int] | None = None) -> np.ndarray:
        asked.update(zip(prompts, numbers or range(len(prompts)), strict=True))
        blue = compose(Scene((Item(APPLE, hue="blue"),)), sprites)
        return np.stack([paint([scenes[p]])[0] if p in scenes else blue for p in prompts])

    report = Wishing(draw, judge, paint).examine(wishes)
    assert (asked["bear"], asked["BEAR"], asked["a photo of a bear"]) == (0, 0, 0), "one seed"
    assert report["colours"]["both"] == 1 and report["colours_abroad"]["missed"] == ["ein gelber Apfel"]
    assert report["frames"] == {"n": 2, "bare": 1, "framed": 1, "kept": 1, "missed": []}
    assert [report[k]["n"] for k in ("couples", "couples_unseen")] == [1, 1]
    assert all(report[k]["all"] == 1 for k in ("backgrounds", "couples", "couples_unseen", "corners"))
