"""Tiles cover a picture, agree where they meet, and fade into each other."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from janus_cli.stages.rows import tiles

RNG = np.random.default_rng(0)


def picture(height: int, width: int) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, 3), np.uint8)


def whole(image, net, scale, tile, align=1):
    return np.concatenate(list(tiles.enlarge_bands(image, net, scale, tile, align)))


@pytest.mark.parametrize(("wanted", "align"), [(60, 1), (64, 32), (256, 32), (256, 7), (200, 128), (1, 16)])
def test_spans_cover_every_length(wanted, align):
    tile = tiles.fit_side(wanted, align)
    assert tile % align == 0 and (tile <= wanted or tile < tiles.OVERLAP + tiles.FADE + 2 * align)
    for length in range(1, 3 * tile, 13):
        spans = tiles.cut_spans(length, tile, align)
        sums = torch.zeros(2 * length)
        for span in spans:
            sums[span.find_place(2)] += span.make_weights(2)
            assert span.start % align == 0 and span.stop - span.start <= tile
            assert span.start == 0 or span.rise[0] - span.start >= tiles.MARGIN
            assert span.stop == length or span.stop - span.fall[1] >= tiles.MARGIN
        torch.testing.assert_close(sums, torch.ones(2 * length))
        assert len(spans) == 1 or length > tile


def test_one_tile_where_it_is_wanted_or_enough():
    assert len(tiles.cut_spans(10_000, 0, 32)) == len(tiles.cut_spans(256, 256, 32)) == 1
    assert tiles.count_tiles((257, 256), 256, 32) == 2


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (130, 97), (64, 64)])
def test_a_net_that_looks_nowhere_else(size):
    image = picture(*size)
    assert np.array_equal(whole(image, lambda x: x, 1, 64), image)
    doubled = image.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(whole(image, lambda x: F.interpolate(x, scale_factor=2), 2, 64), doubled)


def test_a_net_that_sees_as_far_as_the_margin():
    side = 2 * tiles.MARGIN + 1
    blur = torch.randn(3, 1, side, side).softmax(1) / side**2

    def net(x):
        return F.conv2d(x, blur, padding=tiles.MARGIN, groups=3)

    image = picture(150, 140)
    assert np.array_equal(whole(image, net, 1, 64, 16), whole(image, net, 1, 0))


def test_the_fade_is_even():
    """Tiles that disagree in everything: black beside white."""
    made = iter([0.0, 1.0])
    image = picture(8, 100)
    [row] = whole(image, lambda x: torch.full_like(x, next(made)), 1, 80)[:1, :, 0].astype(int)
    steps = np.diff(row)
    assert row[0] == 0 and row[-1] == 255
    assert np.count_nonzero(steps) == tiles.FADE + 1 and steps.min() == 0 and steps.max() <= 16


def test_rows_come_from_the_top_and_progress_is_told():
    image, told = picture(300, 200), []
    bands = list(tiles.enlarge_bands(image, lambda x: x, 1, 96, 16, told.append))
    assert len(bands) == len(tiles.cut_spans(300, 96, 16)) and max(map(len, bands)) <= 96
    assert sum(told) == tiles.count_tiles(image.shape, 96, 16)
    assert np.array_equal(np.concatenate(bands), image)
