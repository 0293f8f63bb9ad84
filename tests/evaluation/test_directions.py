"""Every direction examined: word rates with known answers, what a text names, and one whole tour."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.packs import three_concepts
from helpers.runs import ROOT

from janus_cli.dataset.captions import add_style
from janus_cli.dataset.labels import Labels, make_judge_config
from janus_cli.dataset.samples import LAYOUTS, RELATIONS
from janus_cli.dataset.speech import HELD_VARIANTS, OWN_VOICE, RATE
from janus_cli.evaluation import directions as tours
from janus_cli.evaluation.candidate import Candidate
from janus_cli.evaluation.directions import Tour, examine_directions, mark_scene, names_it
from janus_cli.evaluation.judge import Examiner
from janus_cli.evaluation.lists import SceneEntry, make_lists, read_lists
from janus_cli.evaluation.measures import count_word_errors, measure_word_accuracy, split_words
from janus_cli.nets.judge import Judge
from janus_cli.pipeline import load

HELD_OUT = read_lists(ROOT / "models" / "pocket" / "heldout.json")

# ---- words


def test_words_are_without_case_and_punctuation() -> None:
    assert split_words("A red-apple, Fluent!  naïve_2") == ["a", "red", "apple", "fluent", "naïve", "2"]
    assert split_words("") == split_words(" ,.") == []


@pytest.mark.parametrize(
    ("true", "said", "errors"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("a b c", "a x c", 1),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c d", "b c d e", 2),
        ("a b", "b a", 2),
        ("a a b", "a b", 1),
        ("k i t t e n", "s i t t i n g", 3),
    ],
)
def test_word_errors_are_levenshteins(true: str, said: str, errors: int) -> None:
    assert count_word_errors(true.split(), said.split()) == errors


def test_word_accuracy_is_of_all_texts_together() -> None:
    assert measure_word_accuracy(["a red apple", "bear"], ["A red apple!", "bear"]) == 1
    assert measure_word_accuracy(["a red apple", "bear"], ["a red pear", "bear"]) == pytest.approx(3 / 4)
    assert measure_word_accuracy(["bear"], ["a b c d"]) == 0, "never below"
    assert measure_word_accuracy([], []) == 1 and measure_word_accuracy([""], [""]) == 1
    with pytest.raises(ValueError, match="shorter"):
        measure_word_accuracy(["a", "b"], ["a"])


@pytest.mark.parametrize(
    ("text", "name", "right"),
    [
        ("red apple, noto", "red apple", True),
        ("Red Apple", "red apple", True),
        ("apple, noto", "red apple", False),
        ("red apple pie", "red apple", False),
        ("bear on a blue background, fluent", "bear", True),
        ("", "bear", False),
        ("T-rex, fluent", "T-Rex", True),
    ],
)
def test_a_text_names_a_concept_by_exactly_its_words(text: str, name: str, right: bool) -> None:
    assert names_it(text, name) == right


def test_the_shipped_names_can_all_be_told() -> None:
    assert all(names_it(add_style(name, style, 0), name) for name, style in HELD_OUT.pairs)
    assert all(names_it(name, name) for name in HELD_OUT.plain)


# ---- scenes

ENTRIES = [
    SceneEntry("any", ("bear", "duck") if layout in RELATIONS else ("bear",), layout, background)
    for layout in (*LAYOUTS, "")
    for background in ("", "blue")
    if layout or background
]
RIGHT = {"concepts": True, "placed": True, "background": True, "all": True}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: f"{e.layout} {e.background}")
def test_true_words_are_all_right_and_others_are_not(entry: SceneEntry) -> None:
    assert mark_scene(entry.prompt, entry) == mark_scene(f"{entry.prompt}, fluent", entry) == RIGHT
    assert mark_scene(entry.prompt.replace("bear", "fox"), entry) == {
        **RIGHT,
        "concepts": False,
        "all": False,
    }
    white = entry.prompt.removesuffix(" on a blue background")
    elsewhere = f"{white} on a pink background"
    assert mark_scene(elsewhere, entry) == {**RIGHT, "background": False, "all": False}
    for other in ENTRIES:
        if other.layout != entry.layout and other.background == entry.background:
            assert not mark_scene(other.prompt, entry)["all"]
            assert mark_scene(other.prompt, entry)["placed"] == (not entry.layout)


def test_the_shipped_scenes_are_right_in_their_own_words() -> None:
    assert all(mark_scene(f"{entry.prompt}, fluent", entry) == RIGHT for entry in HELD_OUT.scenes)


def test_things_in_the_wrong_order_are_named_but_not_right() -> None:
    entry = SceneEntry("couple", ("bear", "duck"), "above", "")
    assert mark_scene("a duck above a bear", entry) == {**RIGHT, "all": False}


# ---- the whole


@pytest.fixture
def tour(tiny_any: Path) -> Tour:
    torch.manual_seed(0)
    judge = Judge(make_judge_config(three_concepts())).eval()
    examiner = Examiner(judge, Labels(("apple", "bear", "duck"), ("fluent", "noto", "twemoji")), "cpu")
    told: list[tuple[int, int]] = []
    lists = make_lists(three_concepts()).limit(2)
    return Tour(Candidate(load(str(tiny_any)), 0), examiner, lists, lambda *n: told.append(n))


def pictures(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(256, size=(count, 32, 32, 3), dtype=np.uint8))


def test_texts_are_spoken_in_voices_of_the_exam(tour: Tour, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []

    class Quiet:
        def say(self, utterance):  # type: ignore[no-untyped-def]
            said.append(utterance)
            return np.zeros(RATE // 2, np.float32)

    monkeypatch.setattr(tours, "Speaker", Quiet)
    records = tour.say(["apple", "bear"] * 4)
    assert {u.variant for u in said} <= set(HELD_VARIANTS) and len({u.variant for u in said}) > 1
    assert [r.segments[0].data.shape for r in records] == [(2, 25)] * 8
    first, said[:] = list(said), []
    tour.say(["apple", "bear"] * 4)
    assert said == first, "the same seed, the same voices"
    tour.say(["apple"], own=True)
    assert said[-1].variant == OWN_VOICE[1]


def test_what_is_written_and_drawn_follows_its_prompts(tour: Tour) -> None:
    shown = tour.candidate.look(pictures(3))
    texts = tour.write(shown)
    assert len(texts) == 3 and tour.write(shown[1:2]) == texts[1:2]
    assert tour.draw(tour.candidate.read(["apple", "bear"])).shape == (2, 128, 128, 3)
    spoken = tour.candidate.speak(shown[:1])
    waveform = tour.candidate.play(spoken[0])
    assert waveform.ndim == 1 and waveform.dtype == np.float32 and len(waveform) % 320 == 0


@pytest.mark.slow
def test_where_nothing_is_heard_nothing_is_written_and_white_drawn(tour: Tour) -> None:
    rng = np.random.default_rng(0)
    loud = [rng.normal(0, 0.2, RATE // 2).astype(np.float32) for _ in range(2)]
    sounds = tour.candidate.listen([loud[0], np.zeros(RATE // 2, np.float32), loud[1]])
    texts, drawn = tour.write(sounds), tour.draw(sounds)
    assert texts[1] == "" and [texts[0], texts[2]] == tour.write([sounds[0], sounds[2]])
    assert (drawn[1] == 255).all() and drawn.shape[0] == 3
    assert (tour.draw(sounds[1:2]) == 255).all()
    np.testing.assert_array_equal(drawn[:1], tour.draw(sounds[:1]))


def test_a_tour_of_all_directions(tour: Tour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("janus_cli.pipeline.own.MAX_SECONDS", 0.4)  # 20 frames
    held, scenes = pictures(len(tour.lists.pairs)), pictures(len(tour.lists.scenes))
    report = examine_directions(tour, held, scenes)
    assert report == json.loads(json.dumps(report))
    assert list(report) == ["see", "see_scenes", "hear", "speak", "hear_draw", "see_speak"]
    assert (report["see"]["n"], report["see_scenes"]["n"], report["speak"]["n"]) == (1, 2, 2)
    assert report["hear"]["names"]["n"] == report["hear_draw"]["audio"]["n"] == 2
    assert report["speak"]["other_limit"] == 1, "espeak-ng itself is understood"
    assert 0 < report["speak"]["seconds"] <= 0.4

    def numbers(value: object) -> list[float]:
        if isinstance(value, dict):
            return [n for v in value.values() for n in numbers(v)]
        return [value] if isinstance(value, float) else []

    assert numbers(report) and all(0 <= n <= 1 for n in numbers(report))
