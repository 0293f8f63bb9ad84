"""All directions of an any-to-any model, each on material that it was not trained on.

Pictures are the held-out pairs and scenes, voices those of speech.HELD_VARIANTS. What is drawn is scored by
the judge, what is written by its words, what is said twice: by the model's own ears, and by a recogniser
that nobody here trained (listener.py).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from janus_cli.dataset.captions import DEFAULT_STYLE, styled
from janus_cli.dataset.pack import Concept
from janus_cli.dataset.speech import RATE, Speaker, Utterance, any_voice
from janus_cli.evaluation.judge import Ruler, Tell, share
from janus_cli.evaluation.listener import Listener, sayable
from janus_cli.evaluation.lists import Lists, SceneEntry
from janus_cli.media.pictures import image_to_pixels
from janus_cli.pipeline import Pipeline
from janus_cli.pipeline.options import DrawOptions, for_pictures, for_speech, for_text
from janus_cli.records import Record, Segment

BATCH = 16  # prompts generated together
PLACES = (
    "two",
    "three",
    "four",
    "left of",
    "above",
    "top left",
    "top right",
    "bottom left",
    "bottom right",
    "center",
)  # how captions say number and place
FILLERS = {"a", "an", "in", "the", "small"}
CHOICES = 60  # phrases that the independent recogniser chooses among


def words(text: str) -> list[str]:
    """The words of `text`, without case and punctuation."""
    return re.findall(r"[^\W_]+", text.lower())


def word_errors(true: Sequence[str], said: Sequence[str]) -> int:
    """Words to insert, delete or change to get from one to the other (Levenshtein)."""
    before = list(range(len(said) + 1))
    for i, word in enumerate(true, 1):
        row = [i]
        for j, other in enumerate(said, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (word != other)))
        before = row
    return before[-1]


def word_accuracy(true: Iterable[str], said: Iterable[str]) -> float:
    """1 - word error rate over all texts together, at least 0."""
    pairs = [(words(a), words(b)) for a, b in zip(true, said, strict=True)]
    errors = sum(word_errors(a, b) for a, b in pairs)
    return max(0.0, 1 - errors / max(1, sum(len(a) for a, _ in pairs)))


def names_it(text: str, name: str) -> bool:
    """Whether `text` begins with the words of `name`, before its style or background is said."""
    said, wanted = words(re.split(r",| on a ", text)[0]), words(name)
    return said == wanted


@dataclass(frozen=True)
class Tour:
    """A model, and what it is asked in every direction."""

    pipeline: Pipeline
    ruler: Ruler
    lists: Lists
    concepts: Sequence[Concept]
    seed: int
    tell: Tell

    def spoken(self, texts: Sequence[str], own: bool = False) -> list[Record]:
        """The texts in voices never trained on (or in the model's own), as audio tokens."""
        rng, speaker = np.random.default_rng([self.seed, len(texts)]), Speaker()
        records = []
        for i, text in enumerate(texts):
            utterance = Utterance(text) if own else any_voice(text, rng, held=True)
            records.append(self.pipeline.encode_audio([speaker.say(utterance)[None]], str(i)))
        return records

    def shown(self, pictures: Iterable[np.ndarray]) -> list[Record]:
        """Pictures uint8 [S, S, 3] as they are."""
        patch = self.pipeline.dvae.cfg.patch
        return [
            Record((Segment("pixels", image_to_pixels(p, patch), {"patch": patch}),), str(i))
            for i, p in enumerate(pictures)
        ]

    def written(self, records: Sequence[Record]) -> list[str]:
        """What the model writes about each."""
        options = for_text(self.pipeline.model, DrawOptions(seed=self.seed, batch_size=BATCH))
        out = []
        for record in self.pipeline.generate(records, options):
            out.append(str(self.pipeline.decode(record)))
            self.tell(len(out), len(records))
        return out

    def said(self, records: Sequence[Record]) -> list[Record]:
        """What the model says to each, as audio tokens."""
        options = for_speech(self.pipeline.model, DrawOptions(seed=self.seed, batch_size=BATCH))
        return list(self.pipeline.generate(records, options))

    def drawn(self, records: Sequence[Record]) -> np.ndarray:
        """What the model draws for each, uint8 [N, S, S, 3]."""
        options = for_pictures(self.pipeline.model, DrawOptions(seed=self.seed, batch_size=BATCH))
        made = self.pipeline.upsample(self.pipeline.denoise(self.pipeline.generate(records, options)))
        return np.stack([self.pipeline.decode(record) for record in made])  # type: ignore[misc]

    def waveform(self, record: Record) -> np.ndarray:
        """The sound of a record's last segment, float32 [T]."""
        sound: Any = self.pipeline.decode(record)
        return np.concatenate([piece[0] for piece in sound.pieces])


def see(tour: Tour, pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """Image to text on the held-out pairs: is the concept named, is the style?"""
    texts = tour.written(tour.shown(pictures))
    right = [names_it(text, name) for text, (name, _) in zip(texts, tour.lists.pairs, strict=True)]
    style = [style in words(text) for text, (_, style) in zip(texts, tour.lists.pairs, strict=True)]
    both = np.array(right) & np.array(style)
    return {
        "n": len(texts),
        "concept": share(np.array(right)),
        "style": share(np.array(style)),
        "both": share(both),
        "examples": texts[:8],
    }


def _scene_marks(text: str, entry: SceneEntry) -> dict[str, bool]:
    """What of a scene `text` names: its things, their number or place, the background."""
    phrase = entry.prompt.split(" on a ")[0]
    said = re.split(r",| on a ", text)[0]
    placed = [w for w in PLACES if w in phrase]
    things = set(words(phrase)) - set(words(" ".join(placed))) - FILLERS
    return {
        "concepts": things <= set(words(said)),
        "placed": all(p in said for p in placed) and (bool(placed) or not entry.layout),
        "background": (f"on a {entry.background} background" in text)
        if entry.background
        else " background" not in text,
        "all": words(said) == words(phrase),
    }


def see_scenes(tour: Tour, pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """Image to text on the scenes: concepts, number and place, background."""
    texts = tour.written(tour.shown(pictures))
    marks = [_scene_marks(text, entry) for text, entry in zip(texts, tour.lists.scenes, strict=True)]
    for mark in marks:
        mark["all"] = mark["all"] and mark["background"]
    return {
        "n": len(texts),
        **{key: share(np.array([m[key] for m in marks])) for key in marks[0]},
        "examples": texts[:8],
    }


def hear(tour: Tour) -> dict[str, Any]:
    """Audio to text in unseen voices: names without a style, and scenes."""
    report: dict[str, Any] = {}
    asked = {"names": list(tour.lists.plain), "scenes": [entry.prompt for entry in tour.lists.scenes]}
    for label, texts in asked.items():
        said = tour.written(tour.spoken(texts))
        exact = share(np.array([words(a) == words(b) for a, b in zip(texts, said, strict=True)]))
        report[label] = {
            "n": len(texts),
            "words": word_accuracy(texts, said),
            "exact": exact,
            "examples": [list(pair) for pair in zip(texts[:8], said[:8], strict=True)],
        }
    every = [report[k] for k in ("names", "scenes")]
    report["words"] = float(np.average([r["words"] for r in every], weights=[r["n"] for r in every]))
    return report


def speak(tour: Tour) -> dict[str, Any]:
    """Text to audio: what the model itself, and what the other recogniser, understands of what was said."""
    names = sayable(tour.lists.plain)[:CHOICES]
    spoken = tour.said([tour.pipeline.tokenize(name, str(i)) for i, name in enumerate(names)])
    true = tour.spoken(names, own=True)
    listener = Listener(names)
    chosen = partial(listener.accuracy, names)
    return {
        "n": len(names),
        "own": word_accuracy(names, tour.written(spoken)),
        "own_limit": word_accuracy(names, tour.written(true)),
        "other": chosen([tour.waveform(r) for r in spoken]),
        "other_coded": chosen([tour.waveform(r) for r in true]),
        "other_limit": chosen([Speaker().say(Utterance(name)) for name in names]),
        "seconds": float(np.mean([len(tour.waveform(r)) / RATE for r in spoken])),
    }


def hear_draw(tour: Tour) -> dict[str, Any]:
    """Audio to image, beside text to image, on the same names and by the same judge."""
    names = list(tour.lists.plain)
    pairs = [(name, DEFAULT_STYLE) for name in names]
    from_text = tour.drawn([tour.pipeline.tokenize(name, str(i)) for i, name in enumerate(names)])
    return {
        "n": len(names),
        "audio": tour.ruler.score(tour.drawn(tour.spoken(names)), pairs),
        "text": tour.ruler.score(from_text, pairs),
    }


def see_speak(tour: Tour, pictures: Sequence[np.ndarray]) -> dict[str, Any]:
    """Image to audio on the held-out pairs: the words on the way, and what is understood of the sound."""
    records = tour.said(tour.shown(pictures))
    sounds = [Record(record.segments[-1:], record.id) for record in records]
    texts = tour.written(sounds)
    right = [names_it(text, name) for text, (name, _) in zip(texts, tour.lists.pairs, strict=True)]
    full = [styled(name, style, 0) for name, style in tour.lists.pairs]
    return {"n": len(texts), "concept": share(np.array(right)), "words": word_accuracy(full, texts)}


def directions(tour: Tour, held: Sequence[np.ndarray], scenes: Sequence[np.ndarray]) -> dict[str, Any]:
    """The report of all directions but text to image, which evaluate.py has.

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
