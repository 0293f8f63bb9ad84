"""A canvas: parts at their places, blurred before sharp, the whole equal to the finished picture."""

import numpy as np
import pytest
from helpers.parts import part_of, parts_of, stages_of

from janus_cli import pipeline
from janus_cli.errors import RecordError
from janus_cli.pipeline import PictureOptions, Sampling, Size
from janus_cli.records import Part, Record, Segment
from janus_cli.shell.watch.canvas import PAPER, Canvas
from janus_cli.shell.watch.watcher import find_key, new_canvas
from janus_cli.stages.image import decode_image


@pytest.fixture(scope="module")
def draw(tiny_model):
    return pipeline.load(str(tiny_model))


@pytest.fixture(scope="module")
def whole(draw):
    return stages_of(draw, "a red apple")


@pytest.fixture
def canvas(draw):
    return new_canvas(draw, draw.plan_picture())  # 4 x 4 tokens of 8 px, enlarged four times


def test_an_empty_canvas_is_paper(canvas):
    assert canvas.render().shape == (128, 128, 3) and (canvas.render() == PAPER).all()


def test_it_ends_as_the_picture_and_changes_from_the_top_down(canvas, draw, whole):
    before, lowest = canvas.render(), []
    for stage, part in parts_of(whole):
        canvas.paste(stage, part)
        now = canvas.render()
        changed = np.flatnonzero((now != before).any((1, 2)))
        if stage == "upsample" and not part.part.last:
            top, end = (32 * row for row in part.part.rows)
            assert np.array_equal(now[top:end], draw.decode(whole["upsample"])[top:end])
            assert changed.min() >= top and changed.max() < end
        if stage == "generate" and changed.size:
            lowest.append(changed.max())
        before = now
    assert lowest == sorted(lowest) and len(lowest) == 4
    assert np.array_equal(before, draw.decode(whole["upsample"]))


def test_rows_are_decoded_with_those_above_and_below(canvas, draw, whole):
    tokens = whole["generate"].find("image")
    for rows in (2, 3):
        canvas.paste("generate", part_of(whole["generate"], "image", rows - 1, (0, rows)))
        canvas.render()
        top = decode_image(Segment("image", tokens.data[:rows], tokens.info), draw.pictures.dvae)
        small = np.full((32, 32, 3), PAPER, np.uint8)
        small[: rows * 8] = top
        assert np.array_equal(canvas._coarse, small)


def test_tokens_are_decoded_only_when_somebody_looks(whole):
    decoded = []

    def decode(tokens):
        decoded.append(tokens.data.shape)
        return np.zeros((len(tokens.data) * 8, 32, 3), np.uint8)

    canvas = Canvas((4, 4), 8, 4, decode)
    for row in range(3):
        canvas.paste("generate", part_of(whole["generate"], "image", row, (row, row + 1)))
    canvas.render()
    canvas.render()
    assert decoded == [(3, 4)]


def test_what_is_sharp_stays_when_tokens_come_again(canvas, draw, whole):
    canvas.paste("denoise", part_of(whole["denoise"], "pixels", 0, (0, 1)))
    sharp = canvas._coarse[:8].copy()
    canvas.paste("generate", part_of(whole["generate"], "image", 0, (0, 4)))
    canvas.render()
    assert np.array_equal(canvas._coarse[:8], sharp) and (canvas._coarse[8:] != PAPER).any()


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_every_scale(draw, scale):
    [record] = draw.draw(["a"], picture=PictureOptions(scale=scale))
    canvas = new_canvas(draw, draw.plan_picture(picture=PictureOptions(scale=scale)))
    canvas.paste("upsample", part_of(record, "pixels", 0, (0, 4)))
    assert np.array_equal(canvas.render(), draw.decode(record))


@pytest.mark.parametrize(
    "size",
    [
        Size(32, 32),
        Size(128, 128),
        Size(256, 256),
        Size(64, 32),
        Size(136, 136),
        Size(136, 264),
        Size(72, 48),
    ],
)
def test_every_size_streamed(draw, size):
    sampling, picture, canvases, states = Sampling(n=2), PictureOptions(size), {}, []
    plan = draw.plan_picture(sampling, picture)

    def watch(stage, part):
        canvas = canvases.setdefault(find_key(part), new_canvas(draw, plan))
        canvas.paste(stage, part)
        states.append((stage, canvas.render()))

    for record in draw.draw(["a"], sampling, picture, watch=watch):
        picture = draw.decode(record)
        assert np.array_equal(canvases[find_key(record)].render(), picture)
        assert all(state.shape == picture.shape for _, state in states)
    first = next(state for stage, state in states if stage == "generate")
    assert (first != PAPER).any() and (first == PAPER).mean() > 0.5


def test_a_published_model_sharpens_by_the_tokenizer_alone(tmp_path):
    from bench.make_checkpoint import make

    pro = pipeline.load(str(make(tmp_path / "tiny-pro")))
    [record] = pro.draw(["a"], Sampling(cfg_scale=1.0))
    canvas, states = new_canvas(pro, pro.plan_picture()), []
    for stage, part in parts_of({"generate": record}):
        canvas.paste(stage, part)
        states.append(canvas.render())
    assert np.array_equal(states[-1], pro.decode(record))
    patch = len(states[0]) // len(record.find("image").data)
    assert not np.array_equal(states[0][:patch], states[1][:patch])  # the second row cleared the first


@pytest.mark.parametrize(
    ("stage", "part", "says"),
    [
        ("generate", Record((), "7", (), Part(0, False, (0, 1))), "must hold rows of image"),
        (
            "denoise",
            Record((Segment("image", np.zeros((1, 4), np.uint16)),), "7", (), Part(0, False, (0, 1))),
            "must hold rows of pixels",
        ),
        ("generate", Record((Segment("image", np.zeros((1, 4), np.uint16)),), "7"), "must hold rows"),
        (
            "generate",
            Record((Segment("image", np.zeros((1, 4), np.uint16)),), "7", (), Part(4, False, (4, 5))),
            "rows 4 to 5",
        ),
        (
            "generate",
            Record((Segment("image", np.zeros((1, 5), np.uint16)),), "7", (), Part(0, False, (0, 1))),
            "do not fit",
        ),
    ],
)
def test_parts_that_do_not_fit(canvas, stage, part, says):
    with pytest.raises(RecordError, match=f"record '7': .*{says}"):
        canvas.paste(stage, part)


def test_pictures_are_told_apart_by_prompt_and_number():
    made = [{"stage": "tokenize"}, {"stage": "generate", "index": 3}, {"stage": "denoise", "index": 9}]
    assert find_key(Record((), "a", tuple(made))) == ("a", 3)
    assert find_key(Record((), "a")) == ("a", 0)


# ---- pages: the square in the middle first, then the page


@pytest.mark.parametrize("size", [Size(192, 128), Size(128, 256), Size(256, 256), Size(168, 200)])
def test_a_page_ends_as_its_picture_and_shows_the_square_before(draw, size):
    states, canvases = [], {}
    plan = draw.plan_picture(picture=PictureOptions(size))

    def watch(stage, part):
        canvas = canvases.setdefault("one", new_canvas(draw, plan))
        canvas.paste(stage, part)
        states.append((stage, canvas.render()))

    [record] = draw.draw(["a red apple"], picture=plan.picture, watch=watch)
    picture = draw.decode(record)
    assert {image.shape for _, image in states} == {(size.height, size.width, 3)} == {picture.shape}
    assert np.array_equal(states[-1][1], picture)
    square = [image for stage, image in states if stage == "generate"][-1]
    side = min(size.width, size.height)
    top, left = (size.height - side) // 2, (size.width - side) // 2
    beside = square.copy()
    beside[max(0, top - 16) : top + side + 16, max(0, left - 16) : left + side + 16] = PAPER
    assert (beside == PAPER).all(), "nothing but paper around the square"
    assert (square[top + side // 2, left : left + side] != PAPER).any()
