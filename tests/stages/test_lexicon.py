"""What a prompt's words mean."""

import json
import time
from pathlib import Path

import pytest

from janus_cli.errors import ModelError
from janus_cli.stages.lexicon import LONGEST, Lexicon, Reading, Tongue, make_key, pluralise

ENGLISH = Tongue(
    [
        "automobile",
        "dog",
        "evergreen tree",
        "palm tree",
        "umbrella",
        "T-Rex",
        "glass of milk",
        "poultry leg",
        "right chicken leg",
    ],
    {
        "car": {"0": 4.0},
        "cars": {"4": 1.0},
        "puppy": {"1": 2.0},
        "tree": {"3": 2.0, "2": 1.9},
        "pine": {"2": 1.0},
        "milk": {"6": 2.0},
        "chicken": {"7": 0.5},
        "leg": {"7": 0.6},
        "red car": {"0": 4.0},
    },
    "en",
)
GERMAN = Tongue(["Auto", "Hund"], {"wagen": {"0": 2.0}, "flink": {"1": 1.0}}, "de")
KOREAN = Tongue(["자동차", "개"], {"강아지": {"1": 2.0}, "차": {"0": 2.0}}, "ko")
LEXICON = Lexicon({"en": ENGLISH, "de": GERMAN, "ko": KOREAN})


@pytest.mark.parametrize(
    ("prompt", "read"),
    [
        ("a car", "an automobile"),
        ("A CAR!", "An automobile!".replace("An", "an")),
        ("two cars", "two automobiles"),
        ("3 cars", "3 automobiles"),
        ("a blue car, noto", "a blue automobile, noto"),
        ("a red car", "a red automobile"),  # the colour is asked for, it is not the word's
        ("a photo of a puppy on a blue background", "a photo of a dog on a blue background"),
        ("a puppy and a car", "a dog and an automobile"),
        ("a pine tree", "an evergreen tree"),  # one owns both words
        ("an old tree", "an old palm tree"),  # one word is unknown: the noun alone
        ("chicken leg", "poultry leg"),
        ("milk", "glass of milk"),
        ("ein Wagen", "ein Auto"),
        ("강아지와 차", "개와 자동차"),
        ("차가", "자동차가"),  # a particle follows
    ],
)
def test_everyday_words_become_names(prompt: str, read: str) -> None:
    reading = LEXICON.interpret(prompt)
    assert reading.text == read and reading.known and reading.changes


@pytest.mark.parametrize(
    "prompt",
    [
        "a dog",
        "dogs",
        "a t-rex",
        "T Rex",
        "the glass of milk",
        "ein Hund auf blauem Hintergrund",
        "개",
        "a blue umbrella",
        "the right chicken leg",  # a word of the grammar is a part of the name
        "",
    ],
)
def test_names_stay_as_they_are(prompt: str) -> None:
    reading = LEXICON.interpret(prompt)
    assert reading.text == prompt and reading.changes == () and reading.known


@pytest.mark.parametrize("prompt", ["② puppy", "² puppy", "7" * 5000 + " puppies"])
def test_a_digit_that_is_no_number_is_a_word(prompt: str) -> None:
    assert LEXICON.interpret(prompt).text == prompt


def test_a_long_text_is_no_wish_and_takes_no_time() -> None:
    long = "강" * (LONGEST + 1)
    assert LEXICON.interpret(long) == Reading(long)
    start = time.process_time()
    LEXICON.interpret(long[:LONGEST])
    LEXICON.interpret("a puppy of " * (LONGEST // 11))
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    "prompt",
    [
        "a pile of cars",  # two things that are not side by side
        "a car in a tree",
        "a dog wearing a car",
        "a car tree",  # no concept owns both
        "a leg",  # a word that may mean too much
        "flink",
        "not a dog",
    ],
)
def test_what_says_more_than_names_stays_as_it_is(prompt: str) -> None:
    reading = LEXICON.interpret(prompt)
    assert reading.text == prompt and reading.changes == () and reading.known


def test_a_name_with_a_colour_is_not_given_another() -> None:
    tongue = Tongue(["white flower"], {"flower": {"0": 5.0}}, "en")
    lexicon = Lexicon({"en": tongue})
    assert lexicon.interpret("a flower").text == "a white flower"
    assert lexicon.interpret("a red flower").text == "a red flower"


def test_a_word_of_another_language_is_not_read_into_english() -> None:
    assert LEXICON.interpret("a wagen").text == "a wagen"


def test_changes_say_which_words_and_which_name() -> None:
    assert LEXICON.interpret("a puppy and a car").changes == (("puppy", "dog"), ("car", "automobile"))


def test_a_prompt_of_unknown_words_gets_the_nearest_names() -> None:
    reading = LEXICON.interpret("an umbrela")
    assert (reading.known, reading.near, reading.text) == (False, ("umbrella",), "an umbrela")
    assert LEXICON.interpret("qwer").near == ()
    assert not LEXICON.interpret("\U0001f697").known, "a picture of it is no word"


def test_a_single_letter_inside_a_word_is_no_word() -> None:
    assert LEXICON.interpret("차례").text == "차례"


def test_the_words_are_listed_by_pattern() -> None:
    assert ("en", "puppy", "dog") in set(LEXICON.list_words("upp"))
    assert ("de", "hund", "Hund") in set(LEXICON.list_words("HUND"))
    assert not list(LEXICON.list_words("nothing like it"))


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{",
        '{"en": 3}',
        '{"en": {"names": ["a"], "words": {"b": {"1": 1.0}}}}',
        '{"en": {"names": ["a"], "words": {"b": {"-1": 1.0}}}}',
        '{"en": {"names": ["a"], "words": {"b": {"²": 1.0}}}}',
        '{"en": {"names": ["a"], "words": {"b": {}}}}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_none_is_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "lexicon.json"
    path.write_text(content)
    with pytest.raises(ModelError, match="not a lexicon") as error:
        Lexicon.read(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        Lexicon.read(tmp_path / "lexicon.json")


def test_the_shipped_lexicon_reads_our_list() -> None:
    folder = Path(__file__).parents[2] / "models" / "pocket"
    lexicon = Lexicon.read(folder / "lexicon.json")
    asked = json.loads((folder / "everyday.json").read_text("utf-8"))
    lists = {"en": asked["words"], **asked["languages"]}
    for language, entries in lists.items():
        right = 0
        for prompt, meant in entries:
            read = lexicon.interpret(prompt).text.casefold()
            numbers = {lexicon.tongues["en"].numbers[make_key(name)] for name in meant}
            names = {tongue.names[n].casefold() for tongue in lexicon.tongues.values() for n in numbers}
            right += any(name in read for name in names - {""})  # "piano" is the German name already
        assert right / len(entries) >= (0.7 if language == "en" else 0.9), language


@pytest.mark.parametrize(
    ("one", "more"), [("box", "boxes"), ("cherry", "cherries"), ("mouse", "mice"), ("dog", "dogs")]
)
def test_plurals(one: str, more: str) -> None:
    assert pluralise(one) == more


@pytest.mark.parametrize("name", ["Auto", "auto!", "Hund", "자동차", "T-Rex", "  dog "])
def test_a_whole_prompt_that_is_a_name_stays_as_it_is(name: str) -> None:
    tongue = Tongue(["Wagen und Wagen"], {"auto": {"0": 5.0}, "hund": {"0": 5.0}}, "fr")
    assert Lexicon({**LEXICON.tongues, "fr": tongue}).interpret(name) == Reading(name)
