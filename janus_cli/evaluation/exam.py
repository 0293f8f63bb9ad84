"""`janus eval`: what a model can do, measured on fixed lists that were never trained on.

Measured are the image tokenizer, the judge's own limits, the refiner, and the generator as the judge sees it:
pairs of concept and style, names and everyday words in six languages, scenes, and wishes in words of one's
own. The report is plain JSON data; tables.py makes it readable.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from janus_cli import zoo
from janus_cli.dataset.captions import add_style
from janus_cli.dataset.pack import DEFAULT_STYLE, LANGUAGES, Concept, find_data_folder
from janus_cli.dataset.pictures import Item, Scene, Sprites, compose, list_drawings
from janus_cli.dataset.samples import number_drawings
from janus_cli.errors import JanusError, UsageError
from janus_cli.evaluation import fidelity
from janus_cli.evaluation.candidate import Candidate, Tell, stack_codes
from janus_cli.evaluation.codec import report_codec
from janus_cli.evaluation.directions import Tour, examine_directions
from janus_cli.evaluation.judge import Examiner
from janus_cli.evaluation.lists import EVERYDAY, FILE, Lists, make_lists, read_everyday, read_lists
from janus_cli.evaluation.measures import compute_share, resize
from janus_cli.evaluation.scenes import paint_scenes, score_scenes
from janus_cli.evaluation.sheets import write_album, write_gallery
from janus_cli.evaluation.tables import render_table, update_card
from janus_cli.evaluation.wishes import FILE as WISHES
from janus_cli.evaluation.wishes import Wishes, Wishing, read_wishes, score_colours
from janus_cli.training.recipe import Recipe
from janus_cli.training.workshop import Say, Workshop

Reporter = Callable[[str, int, int], None]  # what is being done, how many are done, of how many
MATCHED = 64  # trained pictures whose tokens are compared with the true ones
Pair = tuple[str, str]  # concept name, style


@dataclass(frozen=True)
class Exam:
    """Who is examined, by whom, and on what."""

    candidate: Candidate
    judge: Examiner
    lists: Lists
    wishes: Wishes | None
    concepts: list[Concept]
    sprites: Sprites
    limit: int | None
    progress: Reporter

    def tell(self, label: str) -> Tell:
        """Give what shows how far one part is."""
        return partial(self.progress, label)

    def draw(
        self, prompts: Sequence[str], label: str, literal: bool = False, numbers: Sequence[int] | None = None
    ) -> np.ndarray:
        """Let the model draw all prompts: final pictures [N, S, S, 3]; `numbers` as in `Candidate.draw`."""
        records = self.candidate.read(prompts)
        return self.candidate.draw(records, self.tell(label), literal=literal, numbers=numbers)

    def draw_both_ways(self, prompts: Sequence[str], label: str) -> dict[str, np.ndarray]:
        """Let the model draw all prompts word by word, and with its lexicon; the same seeds for both."""
        literal = self.draw(prompts, label, literal=True)
        other = [i for i, r in enumerate(self.candidate.read(prompts)) if self.candidate.is_reread(r)]
        lexicon = literal.copy()
        if other:  # where the lexicon says nothing, the picture is the same
            lexicon[other] = self.draw([prompts[i] for i in other], label, numbers=other)
        return {"literal": literal, "lexicon": lexicon}

    def find_drawings(self, pairs: Sequence[Pair]) -> list[int]:
        """Find the numbers of the drawings of (concept name, style) pairs."""
        numbers, by_name = number_drawings(self.concepts), {c.name: i for i, c in enumerate(self.concepts)}
        return [numbers[by_name[name], style] for name, style in pairs]

    def paint(self, pairs: Sequence[Pair]) -> np.ndarray:
        """Paint the true drawings of `pairs`, as large as the model draws: uint8 [N, side, side, 3]."""
        size = max(64, self.candidate.side)
        pictures = fidelity.paint_drawings(self.find_drawings(pairs), self.sprites, size)
        return resize(pictures, self.candidate.side)

    def paint_scenes(self) -> np.ndarray:
        """Paint the true scenes, as large as the model draws and at least 64 px: uint8 [N, side, side, 3]."""
        return paint_scenes(self.lists.scenes, self.concepts, self.sprites, max(64, self.candidate.side))


def _examine_tokenizer(exam: Exam) -> dict[str, Any]:
    """Measure how true the image tokenizer is, and how many of its codes are used."""
    held, every = exam.find_drawings(exam.lists.pairs), range(len(list_drawings(exam.concepts)))[: exam.limit]
    return fidelity.report_tokenizer(exam.candidate, exam.sprites, held, every, exam.tell("tokenizer"))


def _examine_judge(exam: Exam) -> dict[str, Any]:
    """Score real drawings, as they are and through the image tokenizer: the most that a model can get."""
    report: dict[str, Any] = {}
    for name, pairs in (("trained", exam.lists.trained), ("heldout", exam.lists.pairs)):
        real = exam.paint(pairs)
        seen = exam.candidate.reconstruct(real)
        report[name] = {"real": exam.judge.score(real, pairs), "reconstructed": exam.judge.score(seen, pairs)}
    return report


def _examine_generator(exam: Exam) -> dict[str, Any]:
    """Score what the model draws for prompts of one concept."""
    report: dict[str, Any] = {}
    for name, pairs in (("trained", exam.lists.trained), ("heldout", exam.lists.pairs)):
        prompts = [add_style(concept, style, 0) for concept, style in pairs]
        report[name] = exam.judge.score(exam.draw(prompts, name), pairs)
    return report


def _examine_names(exam: Exam) -> dict[str, Any]:
    """Score what the model draws for names alone: by language, word by word and by its lexicon."""
    report: dict[str, Any] = {}
    by_name = {concept.name: concept for concept in exam.concepts}
    for language in LANGUAGES:
        names = exam.lists.plain if language == "en" else exam.lists.languages
        drawn = exam.draw_both_ways([by_name[name].labels[language] for name in names], language)
        right = [(name, DEFAULT_STYLE) for name in names]
        report[language] = {way: exam.judge.score(pictures, right) for way, pictures in drawn.items()}
    return report


def _examine_everyday(exam: Exam, path: Path) -> dict[str, Any] | None:
    """Score what the model draws for everyday words, word by word and by its lexicon; None without a list."""
    if not path.is_file():
        return None
    report: dict[str, Any] = {}
    for language, entries in read_everyday(path, exam.limit).items():
        drawn = exam.draw_both_ways([prompt for prompt, _ in entries], f"everyday {language}")
        meant = [names for _, names in entries]
        report[language] = {way: exam.judge.count_found(pictures, meant) for way, pictures in drawn.items()}
    return report


def _examine_wishes(exam: Exam) -> dict[str, Any] | None:
    """Score what is asked for in words of one's own, and true things dyed; None without lists."""
    if exam.wishes is None:
        return None
    paint = partial(paint_scenes, concepts=exam.concepts, sprites=exam.sprites)
    report, colours = Wishing(exam.draw, exam.judge, paint).examine(exam.wishes), exam.wishes.colours
    drawings = exam.find_drawings([(wish.meant[0], DEFAULT_STYLE) for wish in colours])
    scenes = [Scene((Item(n, hue=wish.hue),)) for n, wish in zip(drawings, colours, strict=True)]
    dyed = np.stack([compose(scene, exam.sprites) for scene in scenes])
    return report | {"colours_limit": score_colours(dyed, colours, exam.judge)}


def _match_tokens(exam: Exam) -> dict[str, float]:
    """Count how much of what it was trained on the model repeats: greedy tokens against the true ones.

    `drawn` leaves out the positions where the true token is the one of empty paper.
    """
    pairs, candidate = exam.lists.trained[:MATCHED], exam.candidate
    drawings = exam.paint(pairs)
    true = stack_codes(candidate.encode(drawings))
    paper = stack_codes(candidate.encode(np.full_like(drawings[:1], 255)))[0, 0, 0]
    made = []
    for record in candidate.draw_tokens(candidate.read([add_style(*pair, 0) for pair in pairs]), greedy=True):
        made.append(record)
        exam.tell("match")(len(made), len(pairs))
    same = stack_codes(made) == true
    return {
        "n": len(pairs),
        "tokens": compute_share(same),
        "drawn": compute_share(same[true != paper]),
        "identical": compute_share(same.all((1, 2))),
    }


def _examine_scenes(exam: Exam) -> dict[str, Any]:
    """Score the scenes as the model draws them, and true scenes, as they are and through their tokens."""
    entries, large = exam.lists.scenes, exam.paint_scenes()
    references = paint_scenes(entries, exam.concepts, exam.sprites)
    score = partial(score_scenes, entries=entries, references=references, judge=exam.judge)
    return {
        "drawn": score(exam.draw([entry.prompt for entry in entries], "scenes")),
        "real": score(large)["all"],
        "reconstructed": score(exam.candidate.reconstruct(large))["all"],
    }


def _examine_senses(exam: Exam, album: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Examine the codec on unseen voices, and every direction but text to image."""
    candidate = exam.candidate
    codec = report_codec(candidate.codec, exam.concepts, candidate.seed, exam.limit, exam.tell("codec"))
    tour = Tour(candidate, exam.judge, exam.lists, exam.tell("directions"))
    held = list(exam.paint(exam.lists.pairs))
    if album is not None:
        write_album(album, tour, held)
    return codec, examine_directions(tour, held, list(exam.paint_scenes()))


def _choose_lists(model: zoo.Model, concepts: Sequence[Concept]) -> Lists:
    """Choose the model's own lists, or those that the data pack gives.

    Raises JanusError when one is empty, or speaks of drawings that are not in the data pack.
    """
    path = model.path / FILE
    lists = read_lists(path) if path.exists() else make_lists(concepts)
    if empty := [f.name for f in dataclasses.fields(lists) if not getattr(lists, f.name)]:
        raise JanusError(
            f"there are no {empty[0]} to examine model {model.name} with: the data pack is too small"
        )
    names = [*lists.plain, *lists.languages, *(name for entry in lists.scenes for name in entry.concepts)]
    _check_known(path, [*lists.pairs, *lists.trained, *((name, DEFAULT_STYLE) for name in names)], concepts)
    return lists


def _choose_wishes(model: zoo.Model, concepts: Sequence[Concept], limit: int | None) -> Wishes | None:
    """Choose the model's wishes, if it has any. Raises JanusError for what the data pack does not have."""
    path = model.path / WISHES
    if not path.is_file():
        return None
    wishes = read_wishes(path)
    _check_known(path, [(name, DEFAULT_STYLE) for name in wishes.list_concepts()], concepts)
    return wishes.limit(limit)


def _check_known(path: Path, asked: Sequence[Pair], concepts: Sequence[Concept]) -> None:
    """Raise JanusError where a list in `path` speaks of a drawing that is not in the data pack."""
    known = {(concept.name, style) for concept in concepts for style in concept.drawings}
    if foreign := [pair for pair in asked if pair not in known]:
        raise JanusError(
            f"{path}: asks for {' in style '.join(foreign[0])}, which the data pack does not have"
        )


def _check_request(limit: int | None, write_card: bool, sheets: Sequence[Path]) -> None:
    """Raise UsageError for what cannot be examined, or has no place to go."""
    if write_card and limit is not None:
        raise UsageError("a limited evaluation does not go into the model card: leave out the limit")
    if limit is not None and limit < 1:
        raise UsageError(f"limit {limit}: give at least 1")
    for file in sheets:
        if not file.parent.is_dir():
            raise UsageError(f"{file}: there is no folder {file.parent}")


def evaluate(
    model: str = zoo.DEFAULT,
    *,
    data: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    gallery: Path | None = None,
    device: str = "cpu",
    write_card: bool = False,
    everything: bool = False,
    album: Path | None = None,
    progress: Reporter | None = None,
    say: Say = lambda text: None,
) -> dict[str, Any]:
    """Examine a model (a name or a folder) and report, as JSON data; see tables.py for its parts.

    `data` is the folder of the training data (None: `dataset.find_data_folder`), fetched when missing; `say`
    takes a line about it. `limit` takes that many questions of
    each kind. `everything` adds the codec and all other directions of an any-to-any model. `gallery` and
    `album` (of everything) are where contact sheets (PNG) go. `write_card` puts the table into the model's
    README.md. Raises ModelError for a missing component or judge, UsageError for a limited card.
    """
    _check_request(limit, write_card, [file for file in (gallery, album) if file is not None])
    start, found = time.monotonic(), zoo.find(model)
    tell: Reporter = progress or (lambda label, done, total: None)
    candidate, judge = Candidate.load(found, device, seed), Examiner.load(found, device)
    shop = Workshop(
        Recipe(found.config), data or find_data_folder(), found.path, device, lambda items, label: items, say
    )
    lists = _choose_lists(found, shop.concepts).limit(limit)
    wishes = _choose_wishes(found, shop.concepts, limit)
    exam = Exam(candidate, judge, lists, wishes, shop.concepts, shop.sprites, limit, tell)
    report: dict[str, Any] = {
        "model": found.name,
        "seed": seed,
        "limit": limit,
        "tokenizer": _examine_tokenizer(exam),
        "judge": _examine_judge(exam),
        "generator": {**_examine_generator(exam), "match": _match_tokens(exam)},
        "names": _examine_names(exam),
        "scenes": _examine_scenes(exam),
        "everyday": _examine_everyday(exam, found.path / EVERYDAY),
        "wishes": _examine_wishes(exam),
        "refiner": None,
        "codec": None,
        "directions": None,
    }
    if candidate.has_refiner:
        held = exam.find_drawings(lists.pairs)
        report["refiner"] = fidelity.report_refiner(candidate, exam.sprites, held, exam.tell("refiner"))
    if everything:
        report["codec"], report["directions"] = _examine_senses(exam, album)
    if gallery is not None:
        write_gallery(gallery, partial(exam.draw, label="gallery"), lists, exam.concepts, wishes)
    report["seconds"] = round(time.monotonic() - start, 1)
    if write_card:
        update_card(found.path / "README.md", render_table(report))
    return report
