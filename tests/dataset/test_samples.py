"""Samples, the held-out lists, and the captions that say what a sample shows."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from helpers.packs import concept, four_concepts, many_concepts

from janus_cli.dataset import heldout, pack, samples
from janus_cli.dataset.captions import (
    BACKGROUND_WORDS,
    ON_BACKGROUND,
    add_article,
    add_background,
    add_style,
    change_colour,
    describe_layout,
    pluralise,
    write_caption,
)
from janus_cli.dataset.pack import LANGUAGES, STYLES
from janus_cli.dataset.pictures import BACKGROUNDS, HUES, Item, Scene, list_drawings
from janus_cli.dataset.samples import (
    LAYOUTS,
    RELATIONS,
    Corpus,
    Sample,
    build_scene,
    draw_scene_sample,
    find_scene_nouns,
    list_dyed,
    make_training_samples,
    number_drawings,
    restyle,
)
from janus_cli.errors import JanusError

# ---- held-out lists and samples

CONCEPTS = many_concepts()
HELD = heldout.find_pairs(CONCEPTS)


def test_held_out_lists_are_fixed() -> None:
    """A change here would put into training what earlier models were examined with."""
    names = ("apple", "bear", "cherry", "dog", "fox", "lemon", "owl", "robin")
    assert heldout.find_pairs([concept(name) for name in names]) == {
        ("bear", "twemoji"),
        ("cherry", "noto"),
        ("fox", "noto"),
        ("robin", "noto"),
    }
    couples = {(a, b) for a in names for b in names if heldout.is_couple(a, b)}
    known = {("bear", "lemon"), ("cherry", "owl"), ("dog", "fox"), ("dog", "robin")}
    assert couples == known | {(b, a) for a, b in known}  # in either order
    assert 0.1 < len(HELD) / len(CONCEPTS) < 0.22
    assert {style for _, style in HELD} == set(STYLES)


def test_only_what_all_styles_draw_is_held_out() -> None:
    assert not heldout.find_pairs([concept(c.name, styles=("fluent", "noto")) for c in CONCEPTS])


def test_held_out_pairs_are_never_trained_on() -> None:
    samples = make_training_samples(CONCEPTS, "fluent", scenes=600)
    seen = {(CONCEPTS[c].name, sample.style) for sample in samples for c in sample.concepts}
    assert not seen & HELD
    assert (
        seen == {(CONCEPTS[c].name, style) for c, style in list_drawings(CONCEPTS)} - HELD
    )  # and all others are


def test_held_out_couples_never_stand_together() -> None:
    samples = [s for s in make_training_samples(CONCEPTS, "fluent", scenes=600) if s.kind == "scene"]
    couples = [[CONCEPTS[c].name for c in s.concepts] for s in samples if len(s.concepts) == 2]
    assert len(samples) == 600 and len(couples) > 60
    assert not any(heldout.is_couple(*couple) for couple in couples)
    rng, nouns = np.random.default_rng(0), find_scene_nouns(CONCEPTS, "fluent")
    for _ in range(50):
        held = draw_scene_sample(nouns, CONCEPTS, "fluent", rng, held=True)
        assert held.layout in RELATIONS and heldout.is_couple(*(CONCEPTS[c].name for c in held.concepts))


def test_a_restyled_sample_never_names_a_held_out_pair() -> None:
    rng = np.random.default_rng(0)
    for sample in make_training_samples(CONCEPTS, "fluent", scenes=0):
        if sample.kind != "plain":
            continue
        name = CONCEPTS[sample.concepts[0]].name
        told = {restyle(sample, CONCEPTS, HELD, rng).style for _ in range(12)}
        assert told == {s for s in STYLES if s != sample.style and (name, s) not in HELD} or {sample.style}
    alone = Sample((0,), next(iter(STYLES)))
    everything = {(CONCEPTS[0].name, style) for style in STYLES}
    assert restyle(alone, CONCEPTS, everything, rng) is alone


def test_variations_come_in_the_default_style() -> None:
    samples = make_training_samples(CONCEPTS[:20], "noto", scenes=30)
    assert {s.style for s in samples if s.kind != "plain"} == {"noto"}
    plain = {s.concepts[0] for s in samples if s.kind == "plain" and s.style == "noto"}
    assert sum(s.kind == "hue" for s in samples) == len(plain) * len(HUES)
    assert sum(s.kind == "background" for s in samples) == len(plain) * len(BACKGROUNDS)


def test_samples_depend_on_the_seed_alone() -> None:
    first = make_training_samples(CONCEPTS, "fluent", 100, seed=3)
    assert first == make_training_samples(many_concepts(), "fluent", 100, seed=3)
    assert first != make_training_samples(CONCEPTS, "fluent", 100, seed=4)


def test_a_pack_without_free_couples_is_an_error() -> None:
    concepts, rng = four_concepts(), np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "LAYOUTS", {"above": samples.LAYOUTS["above"]})
        patch.setattr(samples.heldout, "is_couple", lambda first, second: True)
        with pytest.raises(JanusError, match="too few animals, plants and foods for scenes"):
            samples.draw_scene_sample([0, 1], concepts, "fluent", rng)


def test_scenes_have_nouns_of_one_word_only() -> None:
    concepts = [*four_concepts(), concept("rocket", group=5), concept("dog", styles=("noto", "twemoji"))]
    assert [concepts[i].name for i in find_scene_nouns(concepts, "fluent")] == ["apple", "bear", "cherry"]
    assert [concepts[i].name for i in find_scene_nouns(concepts, "noto")] == ["apple", "bear", "dog"]


def test_a_sample_says_what_stands_where() -> None:
    numbers = number_drawings(four_concepts())
    assert build_scene(Sample((1,), "noto", hue="blue"), numbers) == Scene((Item(4, hue="blue"),))
    three = build_scene(Sample((0,), "twemoji", "pink", layout="3"), numbers)
    assert three == Scene((Item(2, 0, 0, 32), Item(2, 0, 32, 32), Item(2, 32, 16, 32)), "pink")
    left, right = build_scene(Sample((0, 3), "fluent", layout="left of"), numbers).items
    assert (left.drawing, right.drawing) == (0, 9) and left.left < right.left and left.top == right.top
    above, below = build_scene(Sample((0, 3), "fluent", layout="above"), numbers).items
    assert above.top < below.top


# ---- captions

SAMPLES = [
    Sample((0,), "fluent"),
    Sample((0,), "noto"),
    Sample((0,), "fluent", "blue"),
    Sample((3,), "fluent", hue="green"),
    *(Sample((0, 1) if layout in RELATIONS else (1,), "fluent", "pink", layout=layout) for layout in LAYOUTS),
]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda s: f"{s.kind}-{s.style}-{s.layout}")
def test_every_kind_has_captions_fixed_by_the_generator(sample: Sample) -> None:
    concepts = four_concepts()
    for seed in range(60):
        text = write_caption(sample, concepts, np.random.default_rng(seed), foreign=0.5)
        assert text == write_caption(sample, concepts, np.random.default_rng(seed), foreign=0.5)
        assert text.strip() == text != "" and "{" not in text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("sample", SAMPLES[:3], ids=lambda s: f"{s.style}-{s.background}")
def test_every_language_speaks(language: str, sample: Sample) -> None:
    full = concept("owl")
    own = {"en": full.labels["en"], language: full.labels[language]}
    one = pack.Concept("owl", 3, own, {k: full.tags[k] for k in own}, full.drawings)
    texts = [write_caption(sample, [one], np.random.default_rng(seed), foreign=1.0) for seed in range(40)]
    assert all(("owl" if language == "en" else f"{language}:owl") in text for text in texts)
    if sample.style == "noto":
        assert all("noto" in text for text in texts)
    if sample.background:
        word = BACKGROUND_WORDS.get(language, {"blue": "blue"})["blue"]
        assert all(word in text for text in texts)


def test_every_language_has_every_background() -> None:
    assert set(ON_BACKGROUND) == set(LANGUAGES) == {"en", *BACKGROUND_WORDS}
    assert all(set(words) == set(BACKGROUNDS) for words in BACKGROUND_WORDS.values())
    assert add_background("Apfel", "green", "de") == "Apfel auf grünem Hintergrund"
    assert add_background("りんご", "red", "ja") == "red背景のりんご"
    two = [add_background("owl", "gray", form=i) for i in (0, 1)]
    assert two == ["owl on a gray background", "owl on gray"]


def test_foreign_captions_are_a_share() -> None:
    rng = np.random.default_rng(0)
    texts = [write_caption(Sample((0,), "fluent"), four_concepts(), rng) for _ in range(400)]
    foreign = sum(":" in text for text in texts) / len(texts)
    assert 0.17 < foreign < 0.33
    assert not any(":" in write_caption(SAMPLES[0], four_concepts(), rng, foreign=0.0) for _ in range(50))


def test_english_grammar() -> None:
    assert [add_article(n) for n in ("apple", "bear", "Ox")] == ["an apple", "a bear", "an Ox"]
    nouns = ("dog", "sheep", "mouse", "fox", "peach", "bus", "cherry", "monkey", "potato")
    assert [pluralise(n) for n in nouns] == [
        "dogs",
        "sheep",
        "mice",
        "foxes",
        "peaches",
        "buses",
        "cherries",
        "monkeys",
        "potatoes",
    ]
    assert change_colour("red apple", "blue") == "blue apple"
    assert change_colour("bear", "blue") == "blue bear"
    assert change_colour("orange", "green") == "green orange"  # nothing would be left of the name
    assert [add_style("owl", "noto", i) for i in range(3)] == ["owl, noto", "owl in noto style", "noto owl"]


def test_scene_phrases() -> None:
    names = ["apple", "bear"]
    said = {layout: describe_layout(Sample((0, 1), "fluent", layout=layout), names) for layout in LAYOUTS}
    assert said["2"] == "two apples" and said["4"] == "four apples"
    assert said["left of"] == "an apple left of a bear" and said["above"] == "an apple above a bear"
    assert said["top left"] == "a small apple in the top left" and len(set(said.values())) == len(LAYOUTS)


# ---- what the rounds of names add


def test_nothing_is_dyed_into_another_things_name() -> None:
    concepts = [concept("red apple"), concept("green apple"), concept("bear")]
    dyed = list_dyed([(i, "fluent") for i in range(3)], concepts)
    called = [change_colour(concepts[s.concepts[0]].name, s.hue) for s in dyed]
    assert "red apple" not in called and "green apple" not in called
    assert len(set(called)) == len(called) == 2 * len(HUES) - 2 and "blue apple" in called


def test_all_styles_vary_and_looks_are_drawn_where_asked() -> None:
    concepts = [
        replace(concept("apple"), looks={"fxemoji": "<svg/>", "fluent-black": "<svg />"}),
        concept("bear"),
    ]
    plain = make_training_samples(concepts, "fluent", 0)
    more = make_training_samples(concepts, "fluent", 0, vary_all=True, with_looks=True)
    assert {s.style for s in plain if s.kind in ("hue", "background")} == {"fluent"}
    assert {s.style for s in more if s.kind in ("hue", "background")} == set(STYLES)
    looks = [s for s in more if s.kind == "look"]
    assert looks == [Sample((0,), "fxemoji")], "black drawings are not learned"
    numbers = number_drawings(concepts)
    assert (
        build_scene(looks[0], numbers).items[0].drawing
        == numbers[0, "fxemoji"]
        >= len(list_drawings(concepts))
    )
    held = heldout.find_pairs(concepts)
    assert all((concepts[c].name, s.style) not in held for s in more for c in s.concepts)


def test_shares_are_of_kinds_in_the_default_style_and_in_others() -> None:
    concepts = [concept("apple"), concept("owl")]
    samples = make_training_samples(concepts, "fluent", 0, vary_all=True)
    corpus = Corpus(
        samples, np.zeros((len(samples), 1, 1)), {"plain": 3, "hue": 1}, {"plain": 2, "background": 2}
    )
    rng = np.random.default_rng(0)
    drawn = Counter((samples[i].kind, samples[i].style == "fluent") for i in corpus.draw(rng, 8000))
    expected = {("plain", True): 3, ("hue", True): 1, ("plain", False): 2, ("background", False): 2}
    assert drawn.keys() == expected.keys()
    assert all(abs(drawn[k] / 1000 - v) < 0.2 for k, v in expected.items())
    only = corpus.draw(rng, 50, corpus.share_out({"hue": 1.0}, {}))
    assert {samples[i].kind for i in only} == {"hue"}


def test_shares_of_what_is_not_there_are_refused() -> None:
    samples = make_training_samples([concept("apple")], "fluent", 0)
    with pytest.raises(JanusError, match="no pictures of the kinds with a share"):
        Corpus(samples, np.zeros((len(samples), 1, 1)), {"look": 1.0})
