"""Rows through bands and the wavefront: the same to the bit however the rows come, with toy nets."""

from itertools import accumulate

import numpy as np
import pytest
import torch

from janus_cli.nets.refiner import spread_over_pixels
from janus_cli.stages.rows.bands import Bands, Chain, Row, find_group_end
from janus_cli.stages.rows.wavefront import ABOVE, BELOW, Denoiser, Wave, draw_noise_rows

GRIDS = [(1, 1), (1, 7), (7, 1), (8, 8), (5, 12), (16, 16)]


@pytest.fixture(scope="module", autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


def code_rows(rows: int, cols: int) -> list[Row]:
    codes = torch.from_numpy(np.random.default_rng(rows * cols).integers(0, 32, (rows, cols)))
    return [Row(codes[None, i : i + 1], torch.empty(1, 3, 0, 0)) for i in range(rows)]


def drawn(rows: list[Row]) -> torch.Tensor:
    return torch.cat([row.pixels for row in rows], 2)


def fed(chain: Chain, rows: list[Row], cuts: list[int]) -> list[Row]:
    """What comes of `rows` that are cut before these numbers."""
    out: list[Row] = []
    for first, end in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        out += chain.push(rows[first:end])
    return out + chain.end()


# ---- bands


@pytest.mark.parametrize("grid", GRIDS)
def test_rows_one_by_one_give_what_the_whole_gives(dvae, refiner, grid):
    """Decoded, denoised and enlarged twice: the chain that draws."""

    def chain() -> Chain:
        return Chain(
            [
                Bands(lambda codes, *_: dvae.decode(codes), 2, 2),
                Denoiser(refiner, Wave.from_steps(grid[1], 2)),
                *(
                    Bands(lambda codes, pixels, first: refiner.upsample(pixels, codes, first), 1, 1, trim)
                    for trim in (0, 8)
                ),
            ]
        )

    rows = code_rows(*grid)
    at_once = fed(chain(), rows, [])
    assert drawn(at_once).shape == (1, 3, 32 * grid[0], 32 * grid[1])
    for cuts in (list(range(1, grid[0])), [grid[0] // 2])[: 2 - (grid[0] > 8)]:
        out = fed(chain(), rows, cuts)
        assert torch.equal(drawn(out), drawn(at_once))
        assert all(torch.equal(row.codes, given.codes) for row, given in zip(out, rows, strict=True))


def test_groups_of_rows_follow_one_another():
    """The first row alone, then up to each multiple of four."""
    starts = [0]
    while starts[-1] < 20:
        starts.append(find_group_end(starts[-1]))
    assert starts == [0, 1, 4, 8, 12, 16, 20]


def test_a_group_goes_out_when_its_context_has_come():
    seen = []

    def work(codes, pixels, first):
        seen.append(codes[0, :, 0].tolist())
        return codes[:, None].float()

    rows = [Row(torch.full((1, 1, 2), i), torch.empty(1, 3, 0, 0)) for i in range(11)]
    step = Bands(work, 1, 2)
    counts = [len(step.push([row])) for row in rows]
    assert counts == [0, 0, 1, 0, 0, 3, 0, 0, 0, 4, 0]
    assert [row.pixels[0, 0, 0, 0].item() for row in step.end()] == [8, 9, 10]
    assert seen == [[0, 1, 2], [0, 1, 2, 3, 4, 5], [3, 4, 5, 6, 7, 8, 9], [7, 8, 9, 10]]


def test_trimmed_context():
    """The net sees so many rows of pixels less, at the ends that are not the group's own."""
    seen = []

    def work(codes, pixels, first):
        seen.append((codes.shape[1], first, pixels[0, 0, :, 0].tolist()))
        return pixels.repeat_interleave(2, 2).repeat_interleave(2, 3)

    numbers = torch.arange(24.0).reshape(6, 1, 4, 1).expand(6, 3, 4, 8)
    rows = [Row(torch.zeros(1, 1, 2, dtype=torch.int64), numbers[i : i + 1]) for i in range(6)]
    out = fed(Chain([Bands(work, 1, 1, 3)]), rows, [1, 2, 5])
    assert seen == [(2, 0, [*range(5)]), (5, 3, [*range(3, 17)]), (3, 3, [*range(15, 24)])]
    assert torch.equal(drawn(out)[0, 0, :, 0], torch.arange(24.0).repeat_interleave(2))


def test_equal_bands_are_computed_once(dvae):
    calls = []
    step = Bands(lambda codes, *_: calls.append(1) or dvae.decode(codes), 9, 9)
    step.push(code_rows(4, 3))
    assert len(step.end()) == 4 and len(calls) == 1


def test_full_reach_is_the_whole_decode(dvae):
    """Against the net run on everything; what a row of codes changes lies within its reach."""
    rows = code_rows(10, 1)
    whole = dvae.decode(torch.cat([row.codes for row in rows], 1))
    assert dvae.reach == 7
    chain = Chain([Bands(lambda codes, *_: dvae.decode(codes), 7, 7)])
    torch.testing.assert_close(drawn(fed(chain, rows, [])), whole)
    moved = torch.cat([row.codes for row in rows], 1)
    moved[0, 9] = (moved[0, 9] + 1) % 32
    changed = (dvae.decode(moved) != whole).any(3).any(1)[0].nonzero()[:, 0]
    assert {int(row) // 8 for row in changed} <= set(range(9 - dvae.reach, 10))


# ---- the wavefront


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("stride", "window"), [(1, 1), (1, 3), (3, 3), (4, 12), (5, 7), (12, 36), (40, 9)])
def test_the_wave_takes_every_patch_from_start_to_end(grid, stride, window):
    rows, cols = grid
    wave, front, time = Wave(cols, stride, window), 0, np.zeros(grid, np.float32)
    evaluations = np.zeros(grid, int)
    while wave.find_active_rows(front)[0] < rows:
        assert np.array_equal(wave.find_times(front, 0, rows), time), "evaluations must join"
        then = wave.find_times(front + stride, 0, rows)
        moved = np.flatnonzero((then > time).any(1))
        top, bottom = wave.find_active_rows(front)
        assert (moved[0], moved[-1] + 1) == (top, min(bottom, rows))
        assert (np.diff(then.ravel()) <= 0).all(), "raster order: an earlier patch is never behind"
        evaluations += then > time
        time, front = then, front + stride
    assert (time == 1).all()
    assert (evaluations == -(-window // stride)).all()


def reference(dvae, refiner, rows: list[Row], wave: Wave, above: int, below: int) -> torch.Tensor:
    """The same picture by a plain loop over a whole picture."""
    codes, y = torch.cat([row.codes for row in rows], 1), drawn(rows)
    x, front = y.clone(), 0
    while (wave.find_times(front, 0, len(rows)) < 1).any():
        now, then = (
            torch.from_numpy(wave.find_times(m, 0, len(rows)))[None] for m in (front, front + wave.stride)
        )
        active = (then > now).any(2)[0].nonzero()[:, 0]
        top, bottom = max(0, int(active[0]) - above), min(len(rows), int(active[-1]) + 1 + below)
        band = slice(8 * top, 8 * bottom)
        now, then = (spread_over_pixels(t[:, top:bottom], 8) for t in (now, then))
        guess = refiner.denoise(x[:, :, band], y[:, :, band], now, codes[:, top:bottom])
        x[:, :, band] += (guess - x[:, :, band]) * (then - now) / (1 - now).clamp_min(1e-6)
        front += wave.stride
    return x.clamp(-1, 1)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("stride", "window"), [(5, 8), (8, 16), (12, 12), (40, 80)])
def test_the_denoiser_streams_any_wave(dvae, refiner, grid, stride, window):
    wave = Wave(grid[1], stride, window)
    rows = Bands(lambda codes, *_: dvae.decode(codes).clamp(-1, 1), 20, 20)
    y = [*rows.push(code_rows(*grid)), *rows.end()]
    at_once = drawn(fed(Chain([Denoiser(refiner, wave)]), y, []))
    by_row = drawn(fed(Chain([Denoiser(refiner, wave)]), y, list(range(1, grid[0]))))
    assert torch.equal(at_once, by_row)
    torch.testing.assert_close(at_once, reference(dvae, refiner, y, wave, ABOVE, BELOW), atol=2e-5, rtol=0)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("grid", GRIDS)
def test_what_denoises_and_enlarges_streams(dvae, refiner, grid, steps):
    def chain() -> Chain:
        return Chain(
            [
                Bands(lambda codes, *_: dvae.decode(codes), 2, 2),
                *(Denoiser(refiner, Wave.from_steps(grid[1], steps), twice=True) for _ in range(2)),
            ]
        )

    rows = code_rows(*grid)
    whole = drawn(fed(chain(), rows, []))
    assert whole.shape[2:] == (32 * grid[0], 32 * grid[1]) and whole.std() > 0
    assert torch.equal(whole, drawn(fed(chain(), rows, list(range(1, grid[0])))))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_a_row_is_sharp_one_row_after_another(refiner, steps):
    step = Denoiser(refiner, Wave.from_steps(4, steps))
    y = [Row(row.codes, torch.zeros(1, 3, 8, 32)) for row in code_rows(8, 4)]
    counts = [len(step.push([row])) for row in y]
    assert list(accumulate(counts)) == [max(0, i + 1 - (steps - 1)) for i in range(8)]
    assert len(step.end()) == min(8, steps - 1)


def test_noise_depends_on_the_seed_alone_and_comes_by_rows():
    def taken(seed: int, rows: int = 2) -> np.ndarray:
        source = draw_noise_rows(5, 8, seed)
        return np.concatenate([next(source) for _ in range(rows)], 1)

    noise = taken(7, 4)
    rng = np.random.Generator(np.random.PCG64([7]))
    whole = rng.standard_normal((4, 5, 3, 8, 8), dtype=np.float32)  # patch after patch
    assert np.array_equal(noise, whole.transpose(2, 0, 3, 1, 4).reshape(3, 32, 40))
    assert np.array_equal(noise[:, :16], taken(7))
    assert not np.array_equal(taken(7), taken(8))
    assert abs(noise.mean()) < 0.1 and abs(noise.std() - 1) < 0.1
