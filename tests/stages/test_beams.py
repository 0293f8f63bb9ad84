"""Beam search: against an exhaustive one, against one without a cache, and in batches of unlike prompts."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from helpers.decoders import generate, layout
from helpers.directions import (
    EYES,
    IDENTITY,
    OPTIONS,
    PICTURE,
    PROMPTS,
    SOUND,
    WORDS,
    lively,
    logits_after,
    made,
)

from janus_cli.errors import UsageError
from janus_cli.nets.decoder import Decoder
from janus_cli.records import Record, Segment
from janus_cli.stages.decoding.beams import END, Beams
from janus_cli.stages.decoding.options import GenerateOptions

# ---- the search itself


def searched(table: torch.Tensor, width: int, steps: int, rows: int = 1) -> Beams:
    """A search where the next word depends on the last alone: table [V, V] of logits, 0 before the first."""
    tries = Beams(torch.ones(rows, dtype=torch.bool), width)
    last = torch.zeros(rows * width, dtype=torch.long)
    for _ in range(steps):
        tries.choose(table[last])
        last = tries.last
    return tries


@pytest.mark.parametrize("seed", range(5))
def test_as_many_tries_as_there_are_texts_find_the_likeliest(seed: int) -> None:
    vocabulary, steps = 4, 3
    table = 2 * torch.randn(vocabulary, vocabulary, generator=torch.Generator().manual_seed(seed))
    chances = table.log_softmax(dim=1)

    def score(text: tuple[int, ...]) -> float:
        total, last = 0.0, 0
        for word in text:
            total += float(chances[last, word])
            last = word
            if word == END:
                break
        return total

    every = itertools.product(range(vocabulary), repeat=steps)
    best = max((text for text in every if END not in text or not any(text[text.index(END) :])), key=score)
    tries = searched(table, vocabulary**steps, steps)
    assert tuple(tries.words[0].tolist()) == best
    assert float(tries.scores[0, 0]) == pytest.approx(score(best), abs=1e-5)


def test_one_try_is_the_next_likeliest_word() -> None:
    table = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
    table[:, END] -= 9
    last, greedy = 0, []
    for _ in range(5):
        last = int(table[last].argmax())
        greedy.append(last)
    assert searched(table, 1, 5).words[0].tolist() == greedy


def test_a_better_text_behind_a_worse_word_is_found() -> None:
    table = torch.full((4, 4), -9.0)
    table[0, 1], table[0, 2] = 0.1, 0.0  # 1 is likelier at first,
    table[1] = 0.0  # but then anything may follow it,
    table[2, 3] = table[3, END] = 9.0  # where 2 3 is sure
    assert searched(table, 1, 3).words[0, 0] == 1
    assert searched(table, 2, 3, rows=2).words.tolist() == [[2, 3, END]] * 2


def test_tries_that_have_ended_stay_and_rows_that_are_not_asked_end_at_once() -> None:
    tries = Beams(torch.tensor([True, False]), 2)
    logits = torch.zeros(4, 3)
    logits[:2, END] = 4
    tries.choose(logits)
    assert tries.settled.tolist() == [True, True] and tries.words.tolist() == [[END], [END]]
    best = tries.scores[:, 0].clone()
    for _ in range(3):
        tries.choose(torch.randn(4, 3))
    assert torch.equal(tries.scores[:, 0], best) and not tries.words.any()


# ---- in the loop


def slow_search(decoder: Decoder, segments: list[Segment], width: int, most: int) -> list[int]:
    """The best of `width` tries, the whole sequence anew for every word."""
    prompt = layout(segments, "text", decoder, n_sight=4)
    tries: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(most):
        found: list[tuple[float, list[int]]] = []
        for score, words in tries:
            if words and words[-1] == END:
                found.append((score, words))
                continue
            said = np.array([[w, 0, 0, 0] for w in words], np.int64).reshape(-1, 4).T
            whole = np.concatenate([prompt, said], axis=1)
            chances = logits_after(decoder, whole, segments, "text", []).log_softmax(dim=-1)
            found += [(score + float(c), [*words, w]) for w, c in enumerate(chances)]
        tries = sorted(found, key=lambda each: -each[0])[:width]
        if tries[0][1][-1] == END:
            break
    best = tries[0][1]
    return best[: best.index(END)] if END in best else best


def uncertain(seed: int) -> Decoder:
    """A decoder with close second choices, so that searching finds other words than greed."""
    decoder = lively(seed)
    decoder.get_adapter("text").head_bias[END] += 1
    return decoder


@pytest.mark.parametrize("most", [1, 4, 7])
def test_the_cache_follows_the_tries(most: int) -> None:
    other = 0
    for seed in range(3):
        decoder = uncertain(seed)
        for name in ("sound", "longer", "picture", "sound and text"):
            said, greedy = (
                made(decoder, PROMPTS[name], to="text", beams=beams, max_tokens=most)
                .segments[-1]
                .data.tolist()
                for beams in (3, 1)
            )
            assert said == slow_search(decoder, PROMPTS[name], 3, most), (seed, name)
            other += said != greedy
    assert other or most == 1, "searching changes something"


@pytest.mark.parametrize("most", [2, 7])
@pytest.mark.parametrize(("to", "segments"), [("image", [SOUND]), ("audio", [PICTURE])])
def test_what_follows_goes_on_from_the_best_try(to: str, segments: list[Segment], most: int) -> None:
    for seed in range(3):
        decoder = uncertain(seed)
        words, after = made(decoder, segments, to=to, beams=3, max_words=most).segments
        assert words.data.tolist() == slow_search(decoder, segments, 3, most)
        again = made(decoder, [*segments, words], to=to, through_words=False).segments[-1]
        np.testing.assert_array_equal(after.data, again.data)


@pytest.mark.parametrize(("to", "scale"), [("image", 1.0), ("image", 2.5), ("text", 1.0), ("audio", 1.0)])
def test_a_batch_of_unlike_prompts_equals_single_ones(to: str, scale: float) -> None:
    decoder = uncertain(0)
    options = dataclasses.replace(OPTIONS, to=to, cfg_scale=scale, beams=3)
    names = ["sound", "text", "longer", "sound and text", *(["picture"] if to != "image" else [])]
    records = [Record(tuple(PROMPTS[name]), name) for name in names]
    whole = list(generate(records, decoder, options, IDENTITY, eyes=EYES))
    for record, together in zip(records, whole, strict=True):
        (alone,) = generate([record], decoder, options, IDENTITY, eyes=EYES)
        mine, theirs = ([s.data.tolist() for s in r.segments] for r in (together, alone))
        assert mine == theirs, record.id


@pytest.mark.parametrize("to", ["text", "image"])
def test_progress_counts_as_many_words_as_without_a_search(to: str) -> None:
    decoder, counts = lively(), {}
    decoder.get_adapter("text").head_bias[END] += 30  # every text ends at once, whatever is tried
    for beams in (1, 3):
        told: list[int] = []
        options = dataclasses.replace(OPTIONS, to=to, beams=beams)
        list(generate([Record((SOUND,))], decoder, options, IDENTITY, told.append, eyes=EYES))
        counts[beams] = sum(told)
    assert counts[1] == counts[3] > 0


# ---- options


def test_how_many_tries_there_were_is_noted() -> None:
    decoder = uncertain(0)
    assert made(decoder, [SOUND], to="text", beams=3).made_by[-1]["beams"] == 3
    assert made(decoder, [SOUND], beams=3).made_by[-1]["beams"] == 3
    assert "beams" not in made(decoder, [WORDS], beams=3).made_by[-1]


def test_tries_of_the_likeliest_and_a_temperature_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="^2 beams find the likeliest words: no temperature then$"):
        GenerateOptions(to="text", beams=2, temperature=0.5)
    with pytest.raises(UsageError, match="^beams is 0: give at least 1$"):
        GenerateOptions(beams=0)
    with pytest.raises(UsageError, match="^beams is 65: give at most 64$"):
        GenerateOptions(beams=65)
    assert GenerateOptions(to="image", beams=2, temperature=0.5).beams == 2
