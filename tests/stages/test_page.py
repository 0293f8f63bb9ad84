"""Pages: sizes that a model did not learn, as a function of records and as commands."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.runs import ROOT
from PIL import Image

from janus_cli import pipeline
from janus_cli.errors import RecordError, UsageError
from janus_cli.pipeline import PictureOptions, Sampling, Size
from janus_cli.records import Part, Record, Segment, loads
from janus_cli.stages.page import Page, find_background, lay_out

FLAT, EDGE = 7, 9


def look(segment: Segment) -> np.ndarray:
    """A picture of 8 px patches: EDGE is half black, any other id is its own grey."""
    patches = np.repeat(np.repeat(segment.data.astype(np.uint8), 8, 0), 8, 1)
    patches[:, ::2][patches[:, ::2] == EDGE] = 0
    return np.repeat(patches[..., None], 3, 2)


def encode(picture: np.ndarray) -> Record:
    """Each patch's first grey as its id; a side is padded as the real stage does."""
    padded = np.pad(picture, ((0, -len(picture) % 8), (0, -picture.shape[1] % 8), (0, 0)), mode="edge")
    return Record((Segment("image", padded[::8, ::8, 0].astype(np.uint16)),))


def finish(record: Record) -> np.ndarray:
    """Four times the plain picture."""
    return look(record.find("image")).repeat(4, 0).repeat(4, 1)


def square(side: int = 4) -> np.ndarray:
    ids = np.full((side, side), FLAT, np.uint16)
    ids[1:-1, 1:-1] = 30
    return ids


def laid_out(page: Page, ids: np.ndarray | None = None, **more) -> Record:
    text = Segment("text", np.zeros(2, np.uint16))
    image = Segment("image", square() if ids is None else ids, {"tokenizer": "t"})
    [done] = lay_out([Record((text, image), "x", **more)], page, look, finish, encode)
    return done


@pytest.mark.parametrize(
    ("width", "height", "place"),
    [(256, 128, np.s_[:, 2:6]), (128, 256, np.s_[2:6]), (160, 128, np.s_[:, :4]), (384, 128, np.s_[:, 4:8])],
)
def test_the_drawing_stands_in_the_middle_of_its_background(width, height, place):
    done = laid_out(Page(width, height, 4, 8))
    ids = done.find("image").data
    assert ids.shape == (height // 32, width // 32) and ids.dtype == np.uint16
    assert np.array_equal(ids[place], square())
    rest = ids.copy()
    rest[place] = FLAT
    assert (rest == FLAT).all()
    assert [s.modality for s in done.segments] == ["text", "image"] and done.id == "x"
    assert done.find("image").info == {"tokenizer": "t"}
    assert done.made_by == ({"stage": "page", "size": [height, width], "scale": 4, "drawn": [4, 4]},)


def test_a_larger_square_is_the_finished_picture_tokenised_again():
    ids = laid_out(Page(256, 256, 4, 8)).find("image").data
    assert np.array_equal(ids[[0, 0, -1, -1], [0, -1, 0, -1]], [FLAT] * 4)
    assert ids.shape == (8, 8) and (ids[3:5, 3:5] == 30).all()


def test_as_large_as_the_finished_picture_nothing_is_resized():
    ids = laid_out(Page(512, 512, 4, 8)).find("image").data
    assert np.array_equal(ids, square().repeat(4, 0).repeat(4, 1))


def test_what_sticks_out_of_the_page_is_cut_by_its_size():
    segment = laid_out(Page(264, 136, 4, 8)).find("image")
    assert segment.data.shape == (5, 9) and segment.info["size"] == [34, 66]


def test_the_evenest_corner_is_the_background():
    ids = np.full((4, 4), EDGE, np.uint16)
    ids[-1, 0] = FLAT
    assert find_background(ids, {}, look) == FLAT
    ids[0, -1] = 8  # as even: the first of the two
    assert find_background(ids, {}, look) == 8


def test_only_a_last_part_is_laid_out():
    page, image = Page(256, 128, 4, 8), Segment("image", square())
    parts = [Record((image,), part=Part(i, i == 1, (0, 4))) for i in (0, 1)]
    [done] = lay_out(parts, page, look, finish, encode)
    assert done.part is None and done.find("image").data.shape == (4, 8)


def test_without_image_tokens_there_is_nothing_to_lay_out():
    with pytest.raises(RecordError, match="record 'x': no image tokens"):
        list(lay_out([Record((), "x")], Page(256, 128, 4, 8), look, finish, encode))


# ---- which sizes


def page_for(size, model="pocket"):
    """How a shipped model lays out that size: `pocket` learned 16 x 16 tokens, `pocket-any` 8 x 8."""
    return pipeline.load(str(ROOT / "models" / model)).plan_picture(picture=PictureOptions(size)).page


@pytest.mark.parametrize(
    ("size", "grid", "scale"),
    [
        (Size(768, 768), (24, 24), 4),
        (Size(1024, 1024), (32, 32), 4),
        (Size(1024, 512), (16, 32), 4),
        (Size(512, 1024), (32, 16), 4),
        (Size(256, 256), (16, 16), 2),
        (Size(384, 128), (16, 48), 1),
        (Size(128, 128), (16, 16), 1),
        (Size(1016, 504), (32, 64), 2),
        (Size(264, 264), (17, 17), 2),
        (Size(520, 520), (17, 17), 4),
    ],
)
def test_the_enlargement_leaves_the_short_side_the_learned_tokens(size, grid, scale):
    page = page_for(size)
    assert page is not None and (page.grid, page.scale) == (grid, scale)
    assert (page.width, page.height) == (size.width, size.height)


def test_the_models_own_size_is_no_page():
    assert page_for(Size(512, 512)) is None and page_for(None) is None
    assert page_for(Size(256, 256), "pocket-any") is None and page_for(None, "pocket-any") is None
    large, small = (page_for(Size(side, side), "pocket-any") for side in (512, 64))
    assert (large.grid, large.scale, small.grid, small.scale) == ((16, 16), 4, (8, 8), 1)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        (Size(500, 500), "--size 500: choose multiples of 8, such as 496 or 504"),
        (Size(512, 250), "--size 512x250: choose multiples of 8, such as 512x248 or 512x256"),
        (Size(1020, 129), "such as 1016x128 or 1024x136"),
        (Size(120, 512), "each side needs at least 128 pixels"),
        (Size(1032, 128), "each side has at most 1024 pixels"),
    ],
)
def test_other_sizes_are_refused_with_what_is_near(size, says):
    with pytest.raises(UsageError, match=says):
        page_for(size)


def test_what_a_page_cannot_be_is_said(janus):
    wide, large = (janus("draw", "a", "--size", size, "--steps", "0") for size in ("160x128", "136"))
    assert "--size 160x128: the drawing has the middle 128 x 128 pixels, the rest is background" in wide.err
    assert "--size 136: pocket draws 4 x 4 tokens: a larger page" in large.err
    assert "--size" not in janus("draw", "a", "--size", "128").err
    assert "--size" not in janus("draw", "a", "--size", "160x128", "--quiet").err


def test_a_size_and_a_scale_together_are_refused():
    with pytest.raises(UsageError, match="not both"):
        PictureOptions(scale=2, size=Size(64, 64))


# ---- commands, with the tiny model: 4 x 4 tokens, 128 px


@pytest.mark.parametrize("size", ["160x128", "128x192", "64", "136", "168x136", "40x72", "32x96"])
def test_the_pipe_gives_the_pixels_of_draw(janus, size):
    width, height = (int(n) for n in (size if "x" in size else f"{size}x{size}").split("x"))
    done = janus("draw", "a red apple", "--seed", "7", "--size", size, "-o", "drawn.png")
    assert done.code == 0, done.err
    data = janus("tokenize", "text", "a red apple").out
    for stage in (["generate", "--seed", "7", "--size", size], ["denoise"], ["upsample"]):
        done = janus(*stage, stdin=data)
        assert done.code == 0, done.err
        data = done.out
    janus("decode", "-o", "piped.png", stdin=data)
    drawn, piped = (Image.open(name) for name in ("drawn.png", "piped.png"))
    assert drawn.size == (width, height)
    assert np.array_equal(np.asarray(drawn), np.asarray(piped))
    made = json.loads(drawn.info["janus"])["made_by"]
    assert [step["stage"] for step in made] == ["tokenize", "generate", "page", "denoise", "upsample"]
    assert made[2]["size"] == [height, width]


def test_the_models_own_size_changes_no_byte(janus):
    janus("draw", "a red apple", "--seed", "7", "-o", "a.png")
    janus("draw", "a red apple", "--seed", "7", "--size", "128", "-o", "b.png")
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    text = janus("tokenize", "text", "a red apple").out
    plain, sized = (janus("generate", *more, stdin=text).out for more in ([], ["--size", "128x128"]))
    assert plain == sized


def test_smaller_squares_have_the_same_tokens_and_the_scales_pixels(janus):
    for arguments in (["--scale", "2", "-o", "a.png"], ["--size", "64", "-o", "b.png"]):
        janus("draw", "a red apple", "--seed", "7", *arguments)
    assert np.array_equal(*(np.asarray(Image.open(name)) for name in ("a.png", "b.png")))


def test_a_scale_that_is_given_counts_more_than_the_pages(janus):
    tokens = janus("generate", "--size", "64", stdin=janus("tokenize", "text", "a").out).out
    for scale, side in (([], 64), (["--scale", "4"], 128)):
        pixels = janus("upsample", *scale, stdin=tokens).out
        assert Image.open(io.BytesIO(janus("decode", stdin=pixels).out)).size == (side, side)


def test_batches_change_no_page(tiny_model):
    draw = pipeline.load(str(tiny_model))
    for size in (Size(160, 128), Size(136, 136)):
        alone, together = (
            [
                record.find("image").data
                for record in draw.draw(["a", "b"], Sampling(batch_size=n), PictureOptions(size))
            ]
            for n in (1, 8)
        )
        assert len(alone) == 2 and all(map(np.array_equal, alone, together))


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--size", "100"], "--size 100: choose multiples of 8, such as 96 or 104"),
        (["--size", "24"], "at least 32 pixels"),
        (["--size", "9000"], "at most 1024 pixels"),
        (["--size", "99999999"], "--size 99999999: too large: each side has at most 1024 pixels"),
        (["--size", "big"], "--size big: give pixels, such as 512, or width x height"),
        (["--size", "128x"], "--size 128x: give pixels"),
        (["--size", "-8"], "--size -8"),
        (["--size", "128", "--to", "text"], "--size is for pictures"),
    ],
)
def test_wrong_sizes_are_one_line(janus, args, says):
    done = janus("generate", *args, stdin=janus("tokenize", "text", "a").out)
    assert done.code == 2 and done.out == b"" and says in done.err
    assert len(done.err.splitlines()) == 1


# ---- the pocket model itself


def test_pocket_goes_on_in_a_coloured_background(monkeypatch, janus):
    monkeypatch.setenv("JANUS_MODELS", str(ROOT / "models"))
    text = janus("tokenize", "text", "a frog on a yellow background").out
    page, alone = (
        loads_first(janus("generate", "--seed", "7", *more, stdin=text).out)
        for more in (["--size", "384x128"], [])
    )
    ids = page.find("image").data
    assert ids.shape == (16, 48) and np.array_equal(ids[:, 16:32], alone.find("image").data)
    plain = np.asarray(
        Image.open(
            io.BytesIO(janus("decode", stdin=janus("upsample", "--scale", "1", stdin=_bytes(page)).out).out)
        )
    ).astype(int)
    left, right = plain[:, 2:126].reshape(-1, 3), plain[:, 258:382].reshape(-1, 3)
    for side in (left, right):
        assert side.std(0).max() < 6  # even
        assert np.abs(side.mean(0) - [251, 207, 61]).max() < 8  # the yellow of the recipe's backgrounds


def loads_first(data: bytes) -> Record:
    """The one record of a numbered stream."""
    from janus_cli.records import read_stream

    [record] = read_stream(io.BytesIO(data))
    return record


def _bytes(record: Record) -> bytes:
    from janus_cli.records import dumps

    assert loads(dumps(record)).id == record.id
    return dumps(record)
