"""Sequences of every direction: what they hold, what is learned of them."""

import dataclasses
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers.materials import CLOSED, CODES, CONCEPTS, TYPES, batch_of
from torch import Tensor

from janus_cli.dataset import augment
from janus_cli.dataset.augment import change_pace
from janus_cli.dataset.pictures import compose
from janus_cli.dataset.samples import Sample, build_scene
from janus_cli.dataset.utterances import describe_sample
from janus_cli.nets.siglip import VisionTower
from janus_cli.training.objectives import joint
from janus_cli.training.objectives.drawing import END
from janus_cli.training.objectives.joint import READ, WRITTEN, JointObjective, Materials
from janus_cli.training.sequences import DIRECTIONS, NONE

Make = Callable[..., JointObjective]


Segment = tuple[str, list[int], list[int], set[int]]  # modality, ids, targets, roles


def segments(batch: dict[str, Tensor]) -> list[list[Segment]]:
    """The rows of a batch as (modality, ids, targets, roles); targets begin at the delimiter's."""
    out = []
    for group in range(sum(name.endswith(".ids") for name in batch)):
        columns = [batch[f"{group}.{name}"] for name in ("ids", "types", "targets", "roles")]
        for ids, types, targets, roles in zip(*columns, strict=True):
            real = types >= 0
            assert (targets[~real] == NONE).all() and real[: int(real.sum())].all(), "padded on the right"
            opening = [i for i in range(int(real.sum())) if ids[i] == -1] + [int(real.sum())]
            row: list[Segment] = []
            for a, b in pairwise(opening):
                assert len(set(types[a:b].tolist())) == 1
                row.append(
                    (
                        TYPES[types[a]],
                        ids[a + 1 : b].tolist(),
                        targets[a:b].tolist(),
                        set(roles[a:b].tolist()),
                    )
                )
            out.append(row)
    return out


def codes_of(ids: list[int]) -> list[list[int]]:
    """Codes [Q][F] of composite ids."""
    return [[i % 16 for i in ids], [i // 16 for i in ids]]


def by_codes(shared: Materials) -> dict[tuple[int, ...], Sample]:
    """The sample of each picture."""
    pictures = shared.corpus.codes.reshape(len(shared.corpus.samples), -1).tolist()
    return dict(zip(map(tuple, pictures), shared.corpus.samples, strict=True))


def said_in(objective: JointObjective, ids: list[int]) -> str:
    return objective.m.tokenizer.decode(ids)  # type: ignore[attr-defined]


def numbers(shared: Materials, own: bool, words: str) -> list[int]:
    """Utterances that begin with these words."""
    source = shared.said if own else shared.heard
    found = [i for i, text in enumerate(source.texts) if text.startswith(words)]
    assert found
    return found


# ---- rows


def test_draw_is_a_caption_and_its_picture(make: Make, shared: Materials) -> None:
    codes = by_codes(shared)
    for words, picture in segments(batch_of(make({"draw": 8}, text_slots=80))):
        assert (words[0], picture[0]) == ("text", "image") and (words[3], picture[3]) == ({READ}, {WRITTEN})
        assert words[2] == [*words[1], END] and len(picture[2]) == 6
        assert picture[1] == picture[2][:-1], "the last code is no input"
        assert tuple(picture[2]) in codes


def test_see_is_a_picture_and_its_description(make: Make, shared: Materials) -> None:
    objective = make({"see": 5}, text_slots=40)
    batch = batch_of(objective)
    assert batch["pixels"].shape == (5, 3, 64, 64)
    starts = set()
    for sight, words in segments(batch):
        assert (sight[0], words[0], words[3]) == ("sight", "text", {WRITTEN})
        assert len(sight[1]) == 16 and np.diff(sight[1]).tolist() == [1] * 15 and set(sight[2]) == {NONE}
        starts.add(sight[1][0])
        shown = batch["pixels"][sight[1][0] // 16]
        text = said_in(objective, words[1])
        samples = [s for s in shared.corpus.samples if describe_sample(s, CONCEPTS) == text]
        paintings = [compose(build_scene(s, objective.numbers), shared.sprites, 64) for s in samples]
        painted = ((shown.movedim(0, -1) + 1) * 127.5).round().numpy()
        assert any(np.array_equal(painted, p) for p in paintings), text
        assert words[2] == [*words[1], END]
    assert starts == {0, 16, 32, 48, 64}, "a picture for each"


def test_places_of_single_drawings_are_left_out_the_mean_and_those_of_scenes_never(
    make: Make, shared: Materials
) -> None:
    eyes = VisionTower(dataclasses.replace(shared.vision.cfg, summary=True))
    objective = make({"see": 200}, text_slots=40)
    objective.m = dataclasses.replace(shared, vision=eyes)
    objective.vision = eyes
    single, scenes = [], []
    for sight, words in segments(batch_of(objective)):
        picture, places = sight[1][-1] // 17, [i % 17 for i in sight[1]]
        assert places[-1] == 16 and places == sorted(set(places)) and sight[1][0] // 17 == picture
        plain = any(
            s.kind == "plain"
            for s in shared.corpus.samples
            if describe_sample(s, CONCEPTS).startswith(said_in(objective, words[1]))
        )
        (single if plain else scenes).append(len(places))
    assert set(scenes) == {17}
    assert 0.35 < np.mean(np.array(single) == 17) < 0.65
    assert min(single) < 4 and 11 < np.mean(single) < 15


def test_hear_is_a_sound_and_its_words(
    make: Make, shared: Materials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint, "DEAF", 0.0)
    monkeypatch.setattr(augment, "HURRY", 0.0)
    objective = make({"hear": 20}, text_slots=60)
    learned = total = 0
    for sound, words in segments(batch_of(objective)):
        assert (sound[0], words[0], sound[3], words[3]) == ("audio", "text", {READ}, {WRITTEN})
        assert words[2] == [*words[1], END]
        text = said_in(objective, words[1])
        assert codes_of(sound[1]) in [shared.heard.frames(i).tolist() for i in numbers(shared, False, text)]
        assert sound[2][-1] == NONE, "nobody says where a prompt ends"
        assert all(t in (NONE, i) for t, i in zip(sound[2], sound[1], strict=False))
        learned += sum(t != NONE for t in sound[2])
        total += len(sound[1])
    assert 0.1 < learned / total < 0.4


def test_speak_is_words_and_a_sound_that_ends(make: Make, shared: Materials) -> None:
    objective = make({"speak": 6}, text_slots=60)
    for words, sound in segments(batch_of(objective)):
        assert (words[0], sound[0], words[3], sound[3]) == ("text", "audio", {READ}, {WRITTEN})
        assert words[2] == [*words[1], END] and sound[2] == [*sound[1], CLOSED]
        found = numbers(shared, True, said_in(objective, words[1]))
        assert codes_of(sound[1]) in [shared.said.frames(i).tolist() for i in found]


def test_what_was_heard_is_said_and_drawn(make: Make, shared: Materials) -> None:
    objective = make({"hear-draw": 6}, text_slots=60)
    for sound, words, picture in segments(batch_of(objective)):
        assert [s[0] for s in (sound, words, picture)] == ["audio", "text", "image"]
        assert [s[3] for s in (sound, words, picture)] == [{READ}, {WRITTEN}, {WRITTEN}]
        found = numbers(shared, False, said_in(objective, words[1]))
        pictures = [shared.corpus.codes[shared.heard.samples[i]].reshape(-1).tolist() for i in found]
        assert picture[2] in pictures and words[2] == [*words[1], END]


def test_what_was_seen_is_said_and_spoken(make: Make, shared: Materials) -> None:
    objective = make({"see-speak": 6}, text_slots=60)
    batch = batch_of(objective)
    for sight, words, sound in segments(batch):
        assert [s[0] for s in (sight, words, sound)] == ["sight", "text", "audio"]
        assert [s[3] for s in (words, sound)] == [{WRITTEN}, {WRITTEN}] and sound[2] == [*sound[1], CLOSED]
        found = numbers(shared, True, said_in(objective, words[1]))
        assert codes_of(sound[1]) in [shared.said.frames(i).tolist() for i in found]
        painted = ((batch["pixels"][sight[1][0] // 16].movedim(0, -1) + 1) * 127.5).round().numpy()
        scenes = [
            build_scene(shared.corpus.samples[shared.said.samples[i]], objective.numbers) for i in found
        ]
        assert any(np.array_equal(painted, compose(s, shared.sprites, 64)) for s in scenes)


def test_a_batch_has_as_many_of_each_as_the_mix_says(make: Make) -> None:
    mix = dict(zip(DIRECTIONS, (1, 2, 3, 4, 5, 6), strict=True))
    batch = batch_of(make(mix))
    shapes = [[s[0] for s in row] for row in segments(batch)]
    kinds = [
        ["text", "image"],
        ["sight", "text"],
        ["audio", "text"],
        ["text", "audio"],
        ["audio", "text", "image"],
        ["sight", "text", "audio"],
    ]
    assert [shapes.count(kind) for kind in kinds] == [1, 2, 3, 4, 5, 6] and len(shapes) == 21
    assert len(batch["pixels"]) == 2 + 6
    assert all(batch[f"{i}.ids"].shape[1] % 8 == 0 for i in range(3))
    assert "pixels" not in batch_of(make({"speak": 2}))


def test_the_same_random_numbers_give_the_same_batch(make: Make) -> None:
    objective = make(dict.fromkeys(DIRECTIONS, 2), corrupt=0.5, drop=0.5)
    first, again, other = batch_of(objective), batch_of(objective), batch_of(objective, 1)
    assert first.keys() == again.keys() and all(torch.equal(first[k], again[k]) for k in first)
    assert any(k not in other or not torch.equal(first[k], other[k]) for k in first)


def test_words_beyond_the_slots_are_cut_and_teach_no_end(make: Make) -> None:
    rows = segments(batch_of(make({"speak": 12}, text_slots=2)))
    whole = segments(batch_of(make({"speak": 12}, text_slots=99)))
    assert max(len(words[1]) for words, _ in rows) == 2 < max(len(words[1]) for words, _ in whole)
    ends = {tuple(words[1][:2]): END if len(words[1]) <= 2 else NONE for words, _ in whole}
    assert all(words[2] == [*words[1], ends[tuple(words[1])]] for words, _ in rows)
    assert all(words[2] == [*words[1], END] for words, _ in whole)


# ---- what is made harder


def test_dropped_captions_are_empty_and_teach_nothing(make: Make) -> None:
    rows = segments(batch_of(make({"draw": 40}, drop=0.5)))
    dropped = [words for words, _ in rows if not words[1]]
    assert 8 < len(dropped) < 32 and all(words[2] == [NONE] for words in dropped)
    assert all(picture[2][0] != NONE for _, picture in rows)
    assert not any(words[1] for words, _ in segments(batch_of(make({"draw": 5}, drop=1.0))))


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({"corrupt": 0.0}, 0, 0),
        ({"corrupt": 0.5}, 0.15, 0.35),
        ({"corrupt": 0.0, "blind": 1.0}, 0.35, 0.65),
    ],
)
def test_corrupted_pictures_keep_clean_targets(
    make: Make, shared: Materials, options: dict[str, float], low: float, high: float
) -> None:
    clean = {tuple(codes.reshape(-1).tolist()) for codes in shared.corpus.codes}
    wrong = []
    for _, picture in segments(batch_of(make({"draw": 60}, **options))):
        assert tuple(picture[2]) in clean and max(picture[1]) < CODES
        wrong += [a != b for a, b in zip(picture[1], picture[2], strict=False)]
    assert low <= np.mean(wrong) <= high


def test_corrupted_sounds_keep_clean_targets(
    make: Make, shared: Materials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint, "DEAF", 1.0)
    monkeypatch.setattr(augment, "HURRY", 0.0)
    monkeypatch.setattr(joint, "LISTEN", 1.0)
    objective = make({"hear": 20, "speak": 20}, corrupt=1.0)
    clean = {
        own: [source.frames(i).tolist() for i in range(len(source))]
        for own, source in ((True, shared.said), (False, shared.heard))
    }
    for row in segments(batch_of(objective)):
        own = row[0][0] == "text"
        sound = row[1] if own else row[0]
        assert codes_of(sound[2][:-1]) in clean[own] and set(sound[1]) <= set(sound[2]), "its own frames"
        assert sound[2][-1] == (CLOSED if own else NONE)


def test_another_style_is_asked_for_now_and_then(make: Make, shared: Materials) -> None:
    objective = make({"draw": 60}, text_slots=60, restyle=1.0)
    others = 0
    for words, picture in segments(batch_of(objective)):
        sample, text = by_codes(shared)[tuple(picture[2])], said_in(objective, words[1])
        if sample.kind == "plain" and sample.style != "fluent":
            assert sample.style not in text
            others += 1
    assert others > 5


def test_phones_keep_to_their_frames(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame of a kind of phone: what is read and what is said know it, at any pace."""
    objective = make({})
    for role in (joint.READ, joint.WRITTEN):
        source = objective.m.heard if role == joint.READ else objective.m.said
        monkeypatch.setattr(joint, "DEAF", 0.0)
        objective.fit = dataclasses.replace(objective.fit, corrupt=0.0)
        for number in range(len(source)):
            span = objective._make_sound(source, number, role, np.random.default_rng(number))
            frames = objective.audio.join_codes(list(torch.from_numpy(source.frames(number)))).tolist()
            own = [source.alphabet[k] for k in source.pronounced(number)]
            assert span.phones is not None and len(span.phones) == len(span.ids)
            told = {
                (int(frame), objective.phones.alphabet[p])
                for frame, p in zip(span.ids, span.phones, strict=True)
            }
            assert told <= set(zip(frames, own, strict=True))


def test_what_is_heard_is_hurried_a_little() -> None:
    lengths = []
    for seed in range(20):
        heard = change_pace(1000, np.random.default_rng(seed))
        assert (np.diff(heard) >= 0).all(), "in order"
        assert len(set(heard.tolist())) > 860 and np.bincount(heard).max() <= 2
        lengths.append(len(heard))
    assert min(lengths) < 970 and max(lengths) > 1030
