"""All directions of an any-to-any model, each on material that it was not trained on.

Pictures are the held-out pairs and scenes, voices those of speech.HELD_VARIANTS. What is drawn is scored by
the judge, what is written by its words, what is said twice: by the model's own ears, and by a recogniser
that nobody here trained (listener.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from janus_cli.dataset.captions import add_style
from janus_cli.dataset.pack import DEFAULT_STYLE
from janus_cli.dataset.samples import LAYOUTS
from janus_cli.dataset.speech import RATE, Speaker, Utterance, choose_voice
from janus_cli.evaluation.candidate import MIXED_BATCH, Candidate, Tell
from janus_cli.evaluation.judge import Examiner
from janus_cli.evaluation.listener import Listener, keep_sayable
from janus_cli.evaluation.lists import Lists, SceneEntry
from janus_cli.evaluation.measures import compute_share, measure_word_accuracy, split_words
from janus_cli.records import Record
from janus_cli.stages.lexicon import NUMBERS

# how captions say number and place
PLACES = tuple(NUMBERS[int(layout)] if layout.isdigit() else layout for layout in LAYOUTS)
FILLERS = {"a", "an", "in", "the", "small"}
CHOICES = 60  # phrases that the independent recogniser chooses among


def names_it(text: str, name: str) -> bool:
    """Whether `text` begins with the words of `name`, before its style or background is said."""
    said, wanted = split_words(re.split(r",| on a ", text)[0]), split_words(name)
    return said == wanted


@dataclass(frozen=True)
class Tour:
    """A model, and what it is asked in every direction."""

    candidate: Candidate
    judge: Examiner
    lists: Lists
    tell: Tell

    def say(self, texts: Sequence[str], own: bool = False) -> list[Record]:
        """Say the texts in voices never trained on (or in the model's own), as audio tokens."""
        rng, speaker = np.random.default_rng([self.candidate.seed, len(texts)]), Speaker()
        utterances = (Utterance(text) if own else choose_voice(text, rng, held=True) for text in texts)
        return self.candidate.listen(speaker.say(utterance) for utterance in utterances)

    def write(self, records: Sequence[Record]) -> list[str]:
        """Let the model put each prompt into words."""
        return self.candidate.write(records, self.tell)

    def draw(self, records: Sequence[Record]) -> np.ndarray:
        """Let the model draw each prompt, uint8 [N, S, S, 3]."""
        return self.candidate.draw(records, batch_size=MIXED_BATCH)


def see(tour: Tour, pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """Image to text on the held-out pairs: is the concept named, is the style?"""
    texts = tour.write(tour.candidate.look(pictures))
    right = [names_it(text, name) for text, (name, _) in zip(texts, tour.lists.pairs, strict=True)]
    style = [style in split_words(text) for text, (_, style) in zip(texts, tour.lists.pairs, strict=True)]
    both = [a and b for a, b in zip(right, style, strict=True)]
    shares = {"concept": compute_share(right), "style": compute_share(style), "both": compute_share(both)}
    return {"n": len(texts), **shares, "examples": texts[:8]}


def mark_scene(text: str, entry: SceneEntry) -> dict[str, bool]:
    """Mark what of a scene `text` names: its things, their number or place, the background."""
    phrase = entry.prompt.split(" on a ")[0]
    said = re.split(r",| on a ", text)[0]
    placed = [w for w in PLACES if w in phrase]
    things = set(split_words(phrase)) - set(split_words(" ".join(placed))) - FILLERS
    coloured = f"on a {entry.background} background" in text
    background = coloured if entry.background else " background" not in text
    return {
        "concepts": things <= set(split_words(said)),
        "placed": all(p in said for p in placed) and (bool(placed) or not entry.layout),
        "background": background,
        "all": split_words(said) == split_words(phrase) and background,
    }


def see_scenes(tour: Tour, pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """Image to text on the scenes: concepts, number and place, background."""
    texts = tour.write(tour.candidate.look(pictures))
    marks = [mark_scene(text, entry) for text, entry in zip(texts, tour.lists.scenes, strict=True)]
    shares = {key: compute_share([m[key] for m in marks]) for key in marks[0]}
    return {"n": len(texts), **shares, "examples": texts[:8]}


def hear(tour: Tour) -> dict[str, Any]:
    """Audio to text in unseen voices: names without a style, and scenes."""
    report: dict[str, Any] = {}
    asked = {"names": list(tour.lists.plain), "scenes": [entry.prompt for entry in tour.lists.scenes]}
    for label, texts in asked.items():
        said = tour.write(tour.say(texts))
        exact = compute_share([split_words(a) == split_words(b) for a, b in zip(texts, said, strict=True)])
        report[label] = {
            "n": len(texts),
            "words": measure_word_accuracy(texts, said),
            "exact": exact,
            "examples": [list(pair) for pair in zip(texts[:8], said[:8], strict=True)],
        }
    every = [report[k] for k in ("names", "scenes")]
    report["words"] = float(np.average([r["words"] for r in every], weights=[r["n"] for r in every]))
    return report


def speak(tour: Tour) -> dict[str, Any]:
    """Text to audio: what the model itself, and what the other recogniser, understands of what was said."""
    names = keep_sayable(tour.lists.plain)[:CHOICES]
    spoken = tour.candidate.speak(tour.candidate.read(names))
    true = tour.say(names, own=True)
    listener = Listener(names)
    chosen = partial(listener.accuracy, names)
    return {
        "n": len(names),
        "own": measure_word_accuracy(names, tour.write(spoken)),
        "own_limit": measure_word_accuracy(names, tour.write(true)),
        "other": chosen([tour.candidate.play(r) for r in spoken]),
        "other_coded": chosen([tour.candidate.play(r) for r in true]),
        "other_limit": chosen([Speaker().say(Utterance(name)) for name in names]),
        "seconds": float(np.mean([len(tour.candidate.play(r)) / RATE for r in spoken])),
    }


def hear_draw(tour: Tour) -> dict[str, Any]:
    """Audio to image, beside text to image, on the same names and by the same judge."""
    names = list(tour.lists.plain)
    pairs = [(name, DEFAULT_STYLE) for name in names]
    from_text = tour.draw(tour.candidate.read(names))
    return {
        "n": len(names),
        "audio": tour.judge.score(tour.draw(tour.say(names)), pairs),
        "text": tour.judge.score(from_text, pairs),
    }


def see_speak(tour: Tour, pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """Image to audio on the held-out pairs: the words on the way, and what is understood of the sound."""
    records = tour.candidate.speak(tour.candidate.look(pictures))
    sounds = [Record(record.segments[-1:], record.id) for record in records]
    texts = tour.write(sounds)
    right = [names_it(text, name) for text, (name, _) in zip(texts, tour.lists.pairs, strict=True)]
    full = [add_style(name, style, 0) for name, style in tour.lists.pairs]
    return {"n": len(texts), "concept": compute_share(right), "words": measure_word_accuracy(full, texts)}


def examine_directions(
    tour: Tour, held: Sequence[np.ndarray], scenes: Sequence[np.ndarray]
) -> dict[str, Any]:
    """Report all directions but text to image, which exam.py has.

    held: the true drawings of the held-out pairs, uint8 [S, S, 3]; scenes: those of the scenes.
    """
    return {
        "see": see(tour, held),
        "see_scenes": see_scenes(tour, scenes),
        "hear": hear(tour),
        "speak": speak(tour),
        "hear_draw": hear_draw(tour),
        "see_speak": see_speak(tour, held),
    }
