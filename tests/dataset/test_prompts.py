"""Prompts as people type them: always of the right thing, in every form that is promised."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from helpers.packs import concept, four_concepts

from janus_cli.dataset.pack import LANGUAGES, Concept
from janus_cli.dataset.phrases import FRAMES, HUE_WORDS, RELATIONS
from janus_cli.dataset.pictures import HUES
from janus_cli.dataset.prompts import Prompter, change_case, frame, list_own_words
from janus_cli.dataset.samples import Sample

MANY = 400


def with_words(name: str, words: dict[str, float], **labels: str) -> Concept:
    made = concept(name)
    return replace(made, words={"en": words}, labels={**made.labels, **labels})


def say(sample: Sample, concepts: list[Concept], count: int = MANY, foreign: float = 0.0) -> list[str]:
    prompter, rng = Prompter(concepts), np.random.default_rng(1)
    return [prompter.write(sample, rng, foreign) for _ in range(count)]


def test_the_same_random_numbers_say_the_same() -> None:
    prompter = Prompter(four_concepts())
    scene, dyed = Sample((0, 1), "fluent", layout="above"), Sample((2,), "fluent", hue="blue")
    for sample in (Sample((0,), "noto"), scene, dyed):
        texts = [prompter.write(sample, np.random.default_rng(4)) for _ in range(2)]
        assert texts[0] == texts[1] and texts[0].strip()


def test_a_word_has_one_owner() -> None:
    concepts = [
        with_words("beer mug", {"beer": 6.0, "drink": 2.2}),
        with_words("wine glass", {"drink": 2.0, "cup": 1.0}),
        with_words("beetle", {"beer mug": 9.0, "bug": 0.4}),
        with_words("ant", {"bug": 0.3}),
    ]
    own = list_own_words(concepts)
    assert own[0] == {"en": ["beer"]}, "half of what speaks for 'drink' speaks for the wine"
    assert own[1] == {"en": ["cup"]}, "little speaks for it, but nothing for another"
    assert own[2] == {} and own[3] == {}, "a name is its concept's; two are as likely to be bugs"
    assert list_own_words(four_concepts()) == [{}] * 4


def test_a_thing_is_called_by_name_word_or_keywords_in_frames_and_cases() -> None:
    texts = say(Sample((0,), "fluent"), [with_words("beer mug", {"beer": 6.0}), concept("ant")], 3000)
    folded = [text.lower() for text in texts]
    assert all("beer" in text or "tag" in text or "sign" in text for text in folded)
    named = np.mean(["beer mug" in text for text in folded])
    assert 0.55 < named < 0.85 and any(text.startswith("a photo of") for text in texts)
    assert any(text.isupper() for text in texts) and any(text.endswith("!") for text in texts)
    assert 0.1 < np.mean(["fluent" in text for text in folded]) < 0.3, "the default style is mostly not named"


def test_other_styles_are_always_named_and_looks_in_words() -> None:
    assert all("twemoji" in text.lower() for text in say(Sample((0,), "twemoji"), four_concepts()))
    assert all("noto v1" in text.lower() for text in say(Sample((0,), "noto-v1"), four_concepts()))


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_other_languages_name_things_and_colours(language: str) -> None:
    thing = concept("apple")
    only = replace(thing, labels={k: v for k, v in thing.labels.items() if k in ("en", language)})
    texts = say(Sample((0,), "fluent"), [only], foreign=1.0)
    assert all(language in text.lower() for text in texts), texts[:5]
    dyed = say(Sample((0,), "fluent", hue="blue"), [only], foreign=1.0)
    word = HUE_WORDS[language]["blue"].lower()
    abroad = [text for text in dyed if word in text.lower()]
    assert 0.3 < len(abroad) / len(dyed) < 0.5 and all("blue" in t.lower() for t in dyed if t not in abroad)
    assert set(HUE_WORDS[language]) == set(HUES) and language in FRAMES


def test_what_has_a_colour_in_its_name_is_dyed_in_english_only() -> None:
    texts = say(Sample((0,), "fluent", hue="blue"), [concept("red kite")], foreign=1.0)
    assert all(
        "blue" in t.lower() and "kite" in t.lower() and " red kite" not in f" {t.lower()}" for t in texts
    )


def test_a_japanese_colour_is_said_as_people_say_it() -> None:
    apple = replace(
        concept("red apple"), labels={"en": "red apple", "ja": "赤リンゴ"}, tags={"en": [], "ja": []}
    )
    texts = Counter(say(Sample((0,), "fluent"), [apple], foreign=1.0))
    assert {"赤リンゴ", "赤いリンゴ"} <= texts.keys() and texts["赤リンゴ"] > texts["赤いリンゴ"]


def test_scenes_say_what_is_where_both_ways_round() -> None:
    texts = [t.lower() for t in say(Sample((0, 1), "fluent", "pink", layout="left of"), four_concepts())]
    assert all("apple" in t and "bear" in t and "pink" in t for t in texts)
    assert any(" and " in t for t in texts)
    assert all(t.index("bear") < t.index("apple") for t in texts if "right of" in t)
    assert all(t.index("apple") < t.index("bear") for t in texts if "left of" in t)
    assert {"left of", "above"} == RELATIONS.keys()
    counts = say(Sample((0,), "fluent", layout="2"), four_concepts())
    assert all("apples" in t.lower() for t in counts) and {"two", "pair", "2"} <= set(
        " ".join(counts).split()
    )
    middle = say(Sample((0,), "fluent", layout="center"), four_concepts())
    assert all("middle" in t.lower() or "center" in t.lower() for t in middle)


def test_frames_and_cases_keep_the_words() -> None:
    rng = np.random.default_rng(0)
    for phrase in ("a dog", "three dogs", "Statue of Liberty"):
        framed = [frame(phrase, rng) for _ in range(MANY)]
        bare = phrase.removeprefix("a ")
        assert all(bare in text for text in framed)
        assert not any("a a " in text or "a three" in text or "the a " in text for text in framed)
        assert all(change_case(text, rng).casefold().startswith(text.casefold()) for text in framed)
