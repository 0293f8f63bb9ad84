"""What the nets are trained on: the pack of drawings, and pictures composed of them."""

import colorsys
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.packs import concept, four_concepts, svg, write_pack, write_word_sources

from janus_cli.dataset import pack, pictures
from janus_cli.dataset.pack import (
    LANGUAGES,
    LOOKS,
    STYLES,
    build_pack,
    fetch_packages,
    find_data_folder,
    read_pack,
    read_packages,
)
from janus_cli.dataset.pictures import (
    BACKGROUNDS,
    HUES,
    SIZE,
    Item,
    Renderings,
    Scene,
    Sprites,
    compose,
    list_drawings,
    list_svgs,
    render,
    shrink,
    tint,
)
from janus_cli.errors import JanusError, MediaError

# ---- pack

ROWS = [  # hexcode, label, group (None: emojibase gives none), in which sets
    ("1F34E", "red apple", 4, "fnt"),
    ("2764-FE0F", "red heart", 0, "fn"),  # the key has a variation selector
    ("1F34F", "green apple", 4, "f"),  # one set only
    ("1F468-200D-1F373", "man cook", 1, "fnt"),
    ("1F3C3-200D-2640-FE0F", "woman running", 1, "fnt"),
    ("1F550", "one o’clock", 5, "fnt"),
    ("1F55C", "one-thirty", 5, "fnt"),
    ("2795", "plus", 8, "fnt"),
    ("1F3FB", "light skin tone", None, "fnt"),
]


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A node_modules folder with the tables of ROWS."""
    folder = tmp_path / "node_modules"
    for style, package in STYLES.items():
        rows = [row for row in ROWS if style[0] in row[3]]
        icons = {"width": 32, "height": 32, "icons": {row[1]: {"body": f"<g>{row[1]}</g>"} for row in rows}}
        chars = {row[0].lower().replace("-fe0f", ""): row[1] for row in rows}
        if style == "noto":  # by an alias, and with a size of its own
            icons["aliases"] = {"apple": {"parent": "red apple"}}
            icons["icons"]["red apple"] |= {"width": 64, "left": 2}
            chars["1f34e"] = "apple"
        chars["1f355"] = "an icon that is not there"
        write_json(folder / package.rpartition("@")[0] / "icons.json", icons)
        write_json(folder / package.rpartition("@")[0] / "chars.json", chars)
    for package, _ in LOOKS.values():
        write_json(folder / package.rpartition("@")[0] / "icons.json", {"icons": {}})
    for language in LANGUAGES:
        table = [
            {"hexcode": code, "label": in_language(label, language), "tags": ["a", "b"]}
            | ({} if group is None else {"group": group})
            for code, label, group, _ in ROWS
        ]
        table[1].pop("tags")
        known = table[1:] if language == "ja" else table
        write_json(folder / "emojibase-data" / language / "data.json", known)
    write_word_sources(folder, {"1F34E": ["red_apple", "apple"]})
    return folder


def in_language(label: str, language: str) -> str:
    return label if language == "en" else f"{language}:{label}"


def write_json(path: Path, data: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), "utf-8")


def test_packages_become_concepts_drawn_by_two_sets(modules: Path) -> None:
    apple, heart = read_packages(modules)
    assert (apple.name, apple.group, list(apple.drawings)) == ("red apple", 4, ["fluent", "noto", "twemoji"])
    assert (heart.name, list(heart.drawings)) == ("red heart", ["fluent", "noto"])
    known = {k: in_language("red apple", k) for k in LANGUAGES if k != "ja"}
    assert apple.labels == known
    assert apple.tags["de"] == ["a", "b"] and heart.tags["de"] == []


def test_aliases_and_view_boxes_are_followed(modules: Path) -> None:
    apple = read_packages(modules)[0]
    assert 'viewBox="0 0 32 32"><g>red apple</g></svg>' in apple.drawings["fluent"]
    assert 'viewBox="2 0 64 32"><g>red apple</g></svg>' in apple.drawings["noto"]


def test_a_pack_reads_back(modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "fetch_packages", lambda into: modules)
    path = tmp_path / "data" / "pack.json.xz"
    assert build_pack(path) == read_packages(modules) == read_pack(path)


def test_without_npm_the_error_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JanusError, match=r"install Node\.js, or pass a ready pack\.json\.xz"):
        fetch_packages(tmp_path)


@pytest.mark.parametrize(
    ("says", "reason"), [("echo first >&2; echo E404 >&2;", "E404"), ("", "exit code 7")]
)
def test_npms_own_words_are_passed_on(
    says: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\n{says} exit 7\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JanusError, match=f"^npm could not fetch the pictures: {reason}$"):
        fetch_packages(tmp_path)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"nothing of the kind",
        lambda data: data[:-20],
        lambda data: pack.lzma.compress(b'{"some": "object"}'),
        lambda data: pack.lzma.compress(b'[{"name": "x"}]'),
        lambda data: pack.lzma.compress(b"\xff"),
    ],
)
def test_a_foreign_pack_is_one_clear_error(spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    path = write_pack(tmp_path / "pack.json.xz", four_concepts())
    assert read_pack(path) == four_concepts()
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(JanusError, match=r"pack\.json\.xz: not a data pack"):
        read_pack(path)
    with pytest.raises(JanusError, match="not a data pack"):
        read_pack(tmp_path / "none")


# ---- pictures


def test_a_drawing_is_rendered_premultiplied() -> None:
    pixels = render(svg('<rect width="8" height="16" fill="#f00" fill-opacity="0.6"/>'), 32)
    assert pixels.shape == (32, 32, 4) and pixels.dtype == np.uint8
    assert (pixels[:, :16] == [153, 0, 0, 153]).all() and not pixels[:, 16:].any()


def test_a_drawing_that_is_no_square_is_centred() -> None:
    pixels = render(svg('<rect width="16" height="8" fill="#00f"/>', "0 0 16 8"), 32)
    assert (pixels[8:24] == [0, 0, 255, 255]).all() and not pixels[:8].any() and not pixels[24:].any()


def test_all_drawings_are_rendered_in_order(tmp_path: Path) -> None:
    concepts = [concept("one"), concept("two", styles=("noto", "twemoji"))]
    stored = Renderings(list_svgs(concepts), tmp_path)
    assert list_drawings(concepts) == [
        (0, "fluent"),
        (0, "noto"),
        (0, "twemoji"),
        (1, "noto"),
        (1, "twemoji"),
    ]
    assert len(stored) == 5 and not any(map(stored.has, range(5)))
    assert np.array_equal(stored[3], render(concepts[1].drawings["noto"]))


def test_a_drawing_is_rendered_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    svgs = list_svgs([concept("one")])
    made: list[str] = []
    monkeypatch.setattr(pictures, "render", lambda svg: made.append(svg) or render(svg))
    first = Renderings(svgs, tmp_path)
    assert np.array_equal(first[1], first[1]) and made == [svgs[1]]
    again = Renderings(svgs, tmp_path)
    assert again.has(1) and not again.has(0) and np.array_equal(again[1], first[1]) and len(made) == 1
    with again.path.open("r+b") as file:  # cut short, or damaged
        file.seek(-7, 2)
        file.write(b"x")
    assert again.has(1) and np.array_equal(again[1], render(svgs[1])) and len(made) == 2
    assert Renderings(svgs[:2], tmp_path).path != again.path, "other drawings, another file"


def test_a_full_disk_while_rendering_is_one_line(tmp_path: Path) -> None:
    kept = Renderings(list_svgs([concept("one")]), tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(MediaError, match=r"sprites-\w+\.bin: cannot be written: File too large"):
            kept[0]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not kept.has(0) and np.array_equal(kept[0], Renderings(list_svgs([concept("one")]), tmp_path)[0])


def test_without_the_renderer_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(JanusError, match=r"pip install 'janus-cli\[train\]'"):
        render("<svg/>")


def test_where_the_data_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JANUS_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert find_data_folder() == tmp_path / "cache" / "janus"
    write_pack(Path(".data/pack.json.xz"), four_concepts())
    assert find_data_folder() == Path(".data"), "what an earlier version has begun goes on"
    monkeypatch.setenv("JANUS_DATA", "~/d")
    assert find_data_folder() == Path.home() / "d"


def test_shrink_averages_exactly() -> None:
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 8
    assert shrink(pixels, 2)[..., 0].tolist() == [[20, 36], [84, 100]]
    assert shrink(pixels, 1).item() == 60
    assert shrink(np.stack([pixels, pixels]), 2).shape == (2, 2, 2, 1)
    assert np.array_equal(shrink(pixels, 4), pixels)


def sprites_of(*colours: tuple[int, int, int, int]) -> Sprites:
    """Sprites of one premultiplied colour each."""
    return Sprites(np.stack([np.broadcast_to(np.uint8(c), (SIZE, SIZE, 4)) for c in colours]))


def test_compose_paints_background_alpha_and_position() -> None:
    sprites = sprites_of((200, 10, 0, 255), (100, 0, 50, 128))
    scene = Scene((Item(0, 8, 16, 32), Item(1, 32, 40, 16)), "yellow")
    for size in (64, 128):
        unit = size // 64
        picture = compose(scene, sprites, size)
        expected = np.tile(np.uint8(BACKGROUNDS["yellow"]), (size, size, 1))
        expected[8 * unit : 40 * unit, 16 * unit : 48 * unit] = (200, 10, 0)
        over = slice(32 * unit, 48 * unit), slice(40 * unit, 56 * unit)
        under = expected[over].astype(int)  # the second lies over the first and the background
        expected[over] = (under * 127 + 127) // 255 + [100, 0, 50]
        assert np.array_equal(picture, expected)


def test_a_scene_without_background_is_white() -> None:
    picture = compose(Scene((Item(0, side=8),)), sprites_of((0, 0, 0, 0)))
    assert (picture == 255).all() and picture.shape == (64, 64, 3)


def test_sprites_of_any_size_are_kept() -> None:
    sprites = sprites_of((40, 80, 120, 160))
    for side in (SIZE, 64, 48, 1):
        sprite = sprites.get(0, side)
        assert sprite.shape == (side, side, 4) and (sprite == [40, 80, 120, 160]).all()
    assert sprites.get(0, 48) is sprites.get(0, 48) and len(sprites) == 1


@pytest.mark.parametrize("hue", HUES)
def test_tint_turns_colours_and_leaves_greys(hue: str) -> None:
    sprite = np.uint8([[[230, 20, 20, 255], [128, 128, 128, 255], [0, 0, 0, 0], [115, 10, 10, 128]]])
    turned = tint(sprite, hue)
    assert np.array_equal(turned[..., 3], sprite[..., 3])
    assert turned[0, 1].tolist() == [128, 128, 128, 255] and not turned[0, 2].any()
    h, s, v = colorsys.rgb_to_hsv(*turned[0, 0, :3] / 255)
    assert abs((h - HUES[hue] / 256 + 0.5) % 1 - 0.5) < 0.02
    assert s == pytest.approx(210 / 230, abs=0.02) and v == pytest.approx(230 / 255, abs=0.01)
    assert np.abs(turned[0, 3, :3].astype(int) * 2 - turned[0, 0, :3]).max() <= 4  # premultiplied


def test_greys_are_dyed_where_little_else_is_there() -> None:
    grey, half = np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)
    grey[..., :3], grey[..., 3] = 128, 255
    grey[0, 0, :3] = 10  # an eye
    half[..., 3], half[:2, :, 0], half[2:, :, :3] = 255, 200, 128
    pink = tint(grey, "pink").astype(int)
    assert (pink[1:, :, 0] > pink[1:, :, 1] + 60).all() and (pink[0, 0, :3] < 20).all()
    assert pink[1:, :, :3].max() > 170, "a grey takes the colour on brightly"
    assert (tint(half, "pink")[2:, :, :3] == 128).all(), "where half is coloured, greys stay"
