"""Drawings by other sets, which only the eyes are shown: found by name, never by a held-out style's hands."""

import json
import lzma
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from helpers.materials import DECODER, VISION, corpus, materials, tokenizer
from helpers.packs import concept, four_concepts, svg, write_pack, write_word_sources

from janus_cli.config import DVAEConfig
from janus_cli.dataset import heldout
from janus_cli.dataset.captions import write_caption
from janus_cli.dataset.pack import BLACK, LANGUAGES, LOOKS, NAMES, STYLES, Concept, read_pack, read_packages
from janus_cli.dataset.pictures import (
    Item,
    Renderings,
    Scene,
    Sprites,
    compose,
    list_drawings,
    list_looks,
    list_svgs,
)
from janus_cli.dataset.samples import (
    Sample,
    allows_changes,
    build_scene,
    choose_look,
    find_other_looks,
    number_drawings,
)
from janus_cli.dataset.utterances import describe_sample
from janus_cli.nets.dvae import DVAE
from janus_cli.training.objectives.drawing import END
from janus_cli.training.objectives.joint import JointObjective
from janus_cli.training.objectives.vision import PAD, VisionObjective
from janus_cli.training.recipe import FitRecipe

COLOUR = {
    "noto-v1": "#0a0",
    "fluent-emoji": "#00a",
    "emojione": "#0aa",
    "fxemoji": "#aa0",
    "streamline": "#a0a",
    "fluent-black": "#000",
    "emojione-black": "#111",
}


def look(name: str, height: int = 4) -> str:
    return svg(f'<ellipse cx="8" cy="8" rx="7" ry="{height}" fill="{COLOUR[name]}"/>')


def with_looks() -> list[Concept]:
    """Four concepts; the apple and the bear are in every set, the cherry in one, the kite in none."""
    apple, bear, cherry, kite = four_concepts()
    apple = replace(apple, looks={name: look(name) for name in LOOKS})
    bear = replace(bear, looks={name: look(name, 5) for name in LOOKS})
    return [apple, bear, replace(cherry, looks={"noto-v1": look("noto-v1", 6)}), kite]


@pytest.fixture
def painted(tmp_path: Path) -> Sprites:
    return Sprites(Renderings(list_svgs(with_looks()), tmp_path))


# ---- in the pack


def iconify(folder: Path, package: str, names: list[str], aliases: dict[str, str] | None = None) -> Path:
    """An iconify set whose drawings are named after themselves."""
    place = folder / package.rpartition("@")[0]
    place.mkdir(parents=True)
    icons = {
        "icons": {name: {"body": f"<g>{package[:16]} {name}</g>"} for name in names},
        "aliases": {alias: {"parent": name} for alias, name in (aliases or {}).items()},
    }
    (place / "icons.json").write_text(json.dumps(icons))
    return place


def test_looks_are_found_by_any_name_that_a_style_gives(tmp_path: Path) -> None:
    names = {"fluent": "alarm-clock", "noto": "alarm-clock", "twemoji": "wecker"}
    for style, package in STYLES.items():
        place = iconify(tmp_path, package, [names[style]])
        (place / "chars.json").write_text(json.dumps({"23f0": names[style]}))
    iconify(tmp_path, LOOKS["noto-v1"][0], ["wecker"])
    iconify(tmp_path, LOOKS["fluent-emoji"][0], ["clock", "alarm-clock"])
    iconify(tmp_path, LOOKS["emojione"][0], ["clock"], {"alarm-clock": "clock"})  # maybe mirrored
    iconify(tmp_path, LOOKS["fxemoji"][0], ["alarmclock"])
    iconify(tmp_path, LOOKS["streamline"][0], ["alarm-clock-2", "alarm-clock-1"])
    iconify(tmp_path, LOOKS["fluent-black"][0], ["alarm-clock-1", "wecker"])
    iconify(tmp_path, LOOKS["emojione-black"][0], ["clock"])
    for language in LANGUAGES:
        folder = tmp_path / NAMES.partition("@")[0] / language
        folder.mkdir(parents=True)
        row = {"hexcode": "23F0", "label": "alarm clock", "group": 5}
        (folder / "data.json").write_text(json.dumps([row]))
    write_word_sources(tmp_path)
    (clock,) = read_packages(tmp_path)
    found = {name: drawing.split("<g>")[1].split("<")[0].split()[1] for name, drawing in clock.looks.items()}
    assert found == {
        "noto-v1": "wecker",
        "fluent-emoji": "alarm-clock",
        "fxemoji": "alarmclock",
        "streamline": "alarm-clock-1",
        "fluent-black": "wecker",
    }


def test_a_pack_keeps_its_looks_and_an_older_one_has_none(tmp_path: Path) -> None:
    assert read_pack(write_pack(tmp_path / "pack.json.xz", with_looks())) == with_looks()
    rows = [asdict(c) for c in with_looks()]
    for row in rows:
        del row["looks"]
    (tmp_path / "older.json.xz").write_bytes(lzma.compress(json.dumps(rows).encode()))
    assert read_pack(tmp_path / "older.json.xz") == four_concepts()


def test_looks_are_rendered_after_the_drawings_of_the_styles(painted: Sprites, tmp_path: Path) -> None:
    plain = Renderings(list_svgs(four_concepts()), tmp_path)
    assert len(painted) == len(plain) + 2 * len(LOOKS) + 1
    assert all(np.array_equal(painted.full[i], plain[i]) for i in range(len(plain)))
    first = len(plain) + list_looks(with_looks()).index((1, "emojione"))
    assert (painted.full[first][128, 128] == (0x00, 0xAA, 0xAA, 255)).all()


# ---- what is held out


def test_hands_of_a_held_out_style_are_held_out_too() -> None:
    concepts = with_looks()
    held = heldout.find_pairs(concepts)
    assert held == {("bear", "twemoji"), ("cherry", "noto")}, "looks change nothing about what is held out"
    assert heldout.list_allowed_looks(concepts[0], held) == list(LOOKS)
    assert heldout.list_allowed_looks(concepts[1], held) == list(LOOKS), "twemoji's hands drew no other set"
    assert heldout.list_allowed_looks(concepts[2], held) == [], "noto-v1 is by noto's"
    assert heldout.list_allowed_looks(concepts[1], {("bear", "fluent")}) == [
        "noto-v1",
        "emojione",
        "fxemoji",
        "streamline",
        "emojione-black",
    ]
    newer = replace(concepts[0], looks={"a set to come": look("emojione")})
    assert heldout.list_allowed_looks(newer, held) == []
    assert {style for _, style in LOOKS.values()} <= {*STYLES, ""}


def test_looks_that_are_no_help_are_left_out() -> None:
    apple, bear, cherry, kite = with_looks()
    red = replace(apple, name="Red apple")
    twin = replace(kite, looks={"emojione": bear.looks["emojione"], "fxemoji": look("fxemoji", 2)})
    concepts = [red, bear, cherry, twin]
    numbers = dict(enumerate(list_looks(concepts), len(list_drawings(concepts))))
    shown = {concept: [numbers[n][1] for n in found] for concept, found in find_other_looks(concepts).items()}
    assert shown[0] == [name for name in LOOKS if not name.endswith("-black")], "they are not red"
    assert shown[1] == [name for name in LOOKS if name != "emojione"] and shown[3] == ["fxemoji"], "twins"
    assert {name for name in LOOKS if name.endswith("-black")} == set(BLACK)


def test_what_is_looked_at_is_never_held_out() -> None:
    concepts, rng = with_looks(), np.random.default_rng(0)
    looks, first = find_other_looks(concepts), len(list_drawings(concepts))
    numbers = dict(enumerate(list_looks(concepts), first))
    assert {concept: [numbers[n] for n in found] for concept, found in looks.items()} == {
        c: [(c, name) for name in LOOKS] for c in (0, 1)
    }
    shown = [choose_look(Sample((1,), "noto"), number_drawings(concepts), looks, rng) for _ in range(200)]
    others = [(told, scene) for told, scene in shown if not told.style]
    assert 70 < len(others) < 130
    assert {scene.items[0].drawing for _, scene in others} == set(looks[1])
    own = build_scene(Sample((1,), "noto"), number_drawings(concepts))
    assert all(scene == own for told, scene in shown if told.style)


@pytest.mark.parametrize(
    "sample",
    [
        Sample((0,), "fluent", "blue"),
        Sample((0,), "fluent", hue="red"),
        Sample((3,), "noto"),
        Sample((0, 1), "fluent", layout="above"),
    ],
)
def test_only_single_drawings_that_others_drew_are_looked_at_otherwise(sample: Sample) -> None:
    concepts, rng = with_looks(), np.random.default_rng(0)
    numbers, looks = number_drawings(concepts), find_other_looks(concepts)
    for _ in range(30):
        assert choose_look(sample, numbers, looks, rng) == (sample, build_scene(sample, numbers))


def test_what_has_no_style_is_told_without_one() -> None:
    sample, rng = Sample((3,), ""), np.random.default_rng(0)
    assert describe_sample(sample, with_looks()) == "red kite"
    told = {write_caption(sample, with_looks(), rng) for _ in range(200)}
    assert not any(style in words for style in STYLES for words in told) and "red kite" in told


# ---- in training


def test_the_eyes_are_shown_them(painted: Sprites, tmp_path: Path) -> None:
    dvae = DVAE(DVAEConfig(codebook_size=32, codebook_dim=8, dim=16, n_block=1))
    made = VisionObjective(VISION, corpus(), with_looks(), painted, tokenizer(tmp_path), dvae, batch_size=600)
    batch = made.batch(np.random.default_rng(0), 0)
    shown = {picture.numpy().tobytes() for picture in ((batch["pixels"] + 1) * 127.5).round().byte()}
    seen = set()
    for number in range(len(list_drawings(with_looks())), len(painted)):
        picture = compose(Scene((Item(number),)), painted, 64).transpose(2, 0, 1).copy()
        if picture.tobytes() in shown:
            seen.add(list_looks(with_looks())[number - len(list_drawings(with_looks()))])
    assert seen == {(c, name) for c in (0, 1) for name in LOOKS}, "but not the cherry by noto's hands"
    assert (batch["concept"] != PAD).any()


def test_the_decoder_is_shown_them_without_a_style(painted: Sprites, tmp_path: Path) -> None:
    shared = replace(materials(tmp_path), concepts=with_looks(), sprites=painted)
    made = JointObjective(DECODER, shared, FitRecipe(1, 1, 0.0, mix={"see": 60}))
    batch = made.batch(np.random.default_rng(0), 0)
    first, styled = len(list_drawings(with_looks())), 0
    rng, others = np.random.default_rng(1), 0
    for _ in range(200):
        made._pictures, made._free = [], []
        _, said = made._see(rng)
        words = shared.tokenizer.decode(said.ids.tolist())  # type: ignore[attr-defined]
        look = made._pictures[0].items[0].drawing >= first
        others += look
        styled += any(style in words for style in STYLES)
        assert not (look and any(style in words for style in STYLES)), words
        assert said.end is None if look else said.end == END or len(said.ids) == made.fit.text_slots
    assert others > 5 and styled > 20
    assert batch["pixels"].shape == (60, 3, 64, 64) and 0 < batch["free"].sum() < 60


def test_sides_and_colours_of_names_are_kept() -> None:
    names = ("apple", "copyright", "left-facing fist", "hand pointing right", "leftwards hand", "Red apple")
    concepts = [concept(name) for name in names]
    free = [allows_changes(Sample((c,), "noto"), concepts) for c in range(6)]
    assert free == [True, True, False, False, False, False]
    assert not allows_changes(Sample((0,), "fluent", hue="red"), concepts)
