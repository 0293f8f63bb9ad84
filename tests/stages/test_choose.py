"""The best of several pictures: how they are rated, worded and chosen, and what eyes think of a torn one."""

import math

import numpy as np
import pytest
import torch
from helpers.decoders import ANY, random_decoder
from helpers.directions import lively
from helpers.runs import ROOT

from janus_cli import pipeline
from janus_cli.nets.decoder import DELIMITER
from janus_cli.records import Record, Segment
from janus_cli.stages.choose import Choose, rate_pictures, word_prompt
from janus_cli.stages.lexicon import Lexicon, Tongue

ENGLISH = Tongue(["dog", "red apple", "horse", "Santa Claus", "cat"], {"puppy": {"0": 2.0}}, "en")
GERMAN = Tongue(["Hund", "roter Apfel", "Pferd", "Weihnachtsmann", "Katze"], {}, "de")
LEXICON = Lexicon({"en": ENGLISH, "de": GERMAN})


@pytest.mark.parametrize(
    ("prompt", "wordings"),
    [
        ("a dog", ["dog"]),
        ("A PHOTO OF A DOG!", ["dog"]),
        ("puppy, noto", ["dog"]),
        ("santa claus in twemoji style", ["Santa Claus"]),
        ("ein Hund auf blauem Hintergrund", ["dog"]),
        ("a cat and a dog", ["a cat left of a dog", "a dog left of a cat"]),
        ("Hund und Katze", ["a dog left of a cat", "a cat left of a dog"]),
        ("Hund, Katze, Pferd", ["dog and cat and horse"]),
        ("a red apple", ["red apple"]),
        ("a blue horse", ["a blue horse", "blue horse"]),
        ("Draw me a picture of a blue horse, noto", ["a blue horse", "blue horse"]),
        ("a cat left of a dog", ["a cat left of a dog", "cat left of a dog"]),
        ("two dogs on a blue background", ["two dogs on a blue background"]),
        ("qwer asdf", ["qwer asdf"]),
        ("!", ["!"]),
    ],
)
def test_a_prompt_is_worded_as_a_description(prompt, wordings):
    assert word_prompt(prompt, LEXICON) == wordings


def test_without_a_lexicon_words_stay():
    assert word_prompt("A photo of a puppy, noto.", None) == ["a puppy", "puppy"]


def rate_slowly(seen: torch.Tensor, ids: list[int], decoder) -> float:
    """The log probability of words after a picture, token by token."""
    sight, text = (decoder.type_ids[name] for name in ("sight", "text"))
    total = 0.0
    for count, id in enumerate(ids):
        row = [DELIMITER, *range(len(seen)), DELIMITER, *ids[:count]]
        types = torch.tensor([[sight] * (1 + len(seen)) + [text] * (1 + count)])
        nowhere = torch.zeros_like(types)
        hidden = decoder(torch.tensor([row]), types, nowhere, nowhere, features={"sight": seen})[0, -1:]
        total += float(decoder.compute_logits(hidden, "text").log_softmax(-1)[0, id])
    return total


def test_rates_are_the_probabilities_of_the_words():
    decoder, wordings = lively(), [[4, 9, 2], [7]]
    features = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1))
    for ids in wordings:
        expected = [rate_slowly(seen, ids, decoder) for seen in features]
        assert rate_pictures(features, [ids], decoder) == pytest.approx(expected, abs=1e-4)
    both = rate_pictures(features, wordings, decoder)
    single = [rate_pictures(features, [ids], decoder) for ids in wordings]
    summed = [math.log(math.exp(a) + math.exp(b)) for a, b in zip(*single, strict=True)]
    assert both == pytest.approx(summed, abs=1e-4)
    assert rate_pictures(features[1:2], wordings, decoder) == pytest.approx(both[1:2], abs=1e-4)
    assert len({round(score, 3) for score in both}) == 3, "a decoder that sees nothing would rate all alike"


def make_candidates(count: int) -> list[Record]:
    """Pictures of one grey each, as `generate` numbers them."""
    records = []
    for i in range(count):
        step = {"stage": "generate", "seed": 10 + i, "index": i}
        picture = Segment("pixels", np.full((1, 1, 2, 2, 3), i, np.uint8))
        records.append(Record((picture,), "x", ({"stage": "tokenize", "text": "a"}, step)))
    return records


def choose_by(scores: list[float], count: int) -> list[Record]:
    """Choose among greys by a table of what each is worth."""
    stage = Choose(
        count,
        lambda record: record.segments[0].data[0, 0],
        lambda record: [record.prompt],
        lambda pictures, wordings: [scores[int(p[0, 0, 0])] for p in pictures],
        "eyes",
    )
    return list(stage(make_candidates(len(scores))))


def test_the_best_of_each_group_is_kept_and_says_so():
    first, second = choose_by([-3.0, -1.0, -2.0, -0.5, -0.5, -9.0], 3)
    assert (first.step("generate")["seed"], second.step("generate")["seed"]) == (
        11,
        13,
    )  # the first of equals
    assert [record.step("generate")["index"] for record in (first, second)] == [0, 1]
    assert first.segments[0].data.max() == 1
    assert first.step("choose") == {
        "stage": "choose",
        "model": "eyes",
        "wording": "a",
        "score": -1.0,
        "candidates": [[10, -3.0], [11, -1.0], [12, -2.0]],
        "different": 3,
    }
    assert [step["stage"] for step in first.made_by] == ["tokenize", "generate", "choose"]


def test_scores_that_differ_by_rounding_alone_are_equal():
    [chosen] = choose_by([-1.00001, -1.0], 2)
    assert chosen.step("generate")["seed"] == 10


@pytest.mark.slow
def test_eyes_prefer_a_drawing_to_a_torn_one():
    """On the shipped weights: a third of the picture's tokens are another drawing's."""
    drawing = pipeline.load(str(ROOT / "models" / "pocket-any"))
    prompts = ["guitar", "lobster", "house", "pizza"]
    plan = drawing.plan_picture(pipeline.Sampling(temperature=0.0))
    records = list(plan.run(drawing.tokenize(prompt) for prompt in prompts))
    codes = [record.find("image").data for record in records]
    torn_at = np.random.default_rng(0).random(codes[0].shape) < 1 / 3

    def show(tokens: np.ndarray) -> np.ndarray:
        return drawing.decode(Record((Segment("image", tokens),)))

    for i, prompt in enumerate(prompts):
        others = [np.where(torn_at, other, codes[i]) for k, other in enumerate(codes) if k != i]
        pictures = [show(tokens) for tokens in (codes[i], *others, codes[i - 1])]
        scores = drawing.nets.rate(pictures, word_prompt(prompt, drawing.lexicon))
        assert scores[0] == max(scores) and scores[-1] == min(scores), (prompt, scores)
        assert np.mean(scores[1:-1]) < scores[0] - 0.5, (prompt, scores)


def test_all_of_a_picture_has_a_say():
    decoder = random_decoder(ANY)
    features = torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(2))
    [before] = rate_pictures(features, [[3, 4]], decoder)
    for place in range(5):
        changed = features.clone()
        changed[0, place] += 1.0
        assert rate_pictures(changed, [[3, 4]], decoder) != pytest.approx([before], abs=1e-6)
