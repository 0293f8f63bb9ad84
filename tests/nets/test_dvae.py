"""The image tokenizer's net and its quantiser: shapes, locality, and codebooks that find what is there."""

import numpy as np
import pytest
import torch

from janus_cli.config import DVAEConfig
from janus_cli.nets import dvae, quantize
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.pixels import to_float, to_uint8
from janus_cli.nets.quantize import Quantizer, find_best

CONFIG = DVAEConfig(codebook_size=64, codebook_dim=6, dim=16, n_block=1)


def make_dvae(cfg: DVAEConfig = CONFIG) -> DVAE:
    """Random weights, none of them at their zero start."""
    torch.manual_seed(0)
    net = DVAE(cfg).eval().requires_grad_(False)
    for parameter in net.parameters():
        parameter += 0.05 * torch.randn_like(parameter)
    return net


@pytest.mark.parametrize("patch", [4, 8])
def test_pictures_become_grids_and_back(patch: int) -> None:
    net = make_dvae(DVAEConfig(patch, codebook_size=64, codebook_dim=6, dim=16, n_block=2))
    codes = net.encode(torch.rand(2, 3, 3 * patch, 5 * patch) * 2 - 1)
    assert codes.shape == (2, 3, 5) and codes.dtype == torch.int64
    assert codes.min() >= 0 and codes.max() < 64 and len(codes.unique()) > 3
    assert net.lookup(codes).shape == (2, 6, 3, 5)
    assert net.decode(codes).shape == (2, 3, 3 * patch, 5 * patch)


def test_a_patch_changes_its_own_code_only() -> None:
    net = make_dvae()
    pixels = torch.rand(1, 3, 32, 40) * 2 - 1
    before = net.encode(pixels)
    changes = 0
    for row in range(4):
        for col in range(5):
            other = pixels.clone()
            other[..., 8 * row : 8 * row + 8, 8 * col : 8 * col + 8] = torch.rand(3, 8, 8) * 2 - 1
            moved = net.encode(other) != before
            changes += int(moved[0, row, col])
            moved[0, row, col] = False
            assert not moved.any()
    assert changes > 10


def test_a_patch_has_the_same_code_wherever_it_stands() -> None:
    net = make_dvae()
    for _ in range(20):
        patch = torch.rand(3, 8, 8) * 2 - 1
        codes = net.encode(patch.repeat(1, 3, 7)[None])
        assert len(codes.unique()) == 1
        among = torch.rand(1, 3, 24, 24)
        among[..., 8:16, 16:] = patch
        assert net.encode(among)[0, 1, 2] == codes[0, 0, 0]


def make_picture(height: int, width: int) -> np.ndarray:
    """Make a picture whose left half is paper: white, but for a few rows."""
    picture = np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    picture[8:, : width // 2] = 255
    return picture


@pytest.mark.parametrize(("height", "width"), [(8, 8), (16, 24), (72, 136), (200, 40), (8, 1600)])
def test_a_picture_is_encoded_in_bands_as_it_is_at_once(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    net, picture = make_dvae(), make_picture(height, width)
    whole = net.encode(to_float(picture)[None])[0].numpy()
    for patches in (1 << 14, 50, 1):
        monkeypatch.setattr(dvae, "PATCHES", patches)
        assert np.array_equal(net.encode_picture(picture), whole)


def test_equal_patches_are_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net, picture = make_dvae(), make_picture(160, 160)
    counts: list[int] = []
    encode = net._encode_patches
    monkeypatch.setattr(net, "_encode_patches", lambda x: [counts.append(len(x)), encode(x)][1])
    net.encode_picture(picture)
    assert counts == [20 * 10 + 10 + 1]  # the right half, the first row of the left one, and paper
    net.encode_picture(np.full_like(picture, 255))
    assert counts[1:] == [dvae.FEW]


@pytest.mark.parametrize("step", [1, 2, 5, 12, 100])
@pytest.mark.parametrize(("rows", "cols"), [(1, 5), (9, 4), (60, 7), (61, 3)])
def test_a_picture_is_decoded_by_rows_as_it_is_at_once(rows: int, cols: int, step: int) -> None:
    net = make_dvae(DVAEConfig(codebook_size=64, codebook_dim=6, dim=16, n_block=2))
    codes = torch.randint(64, (1, rows, cols))
    bands = list(net.decode_by_rows(codes, step))
    assert max(band.shape[2] for band in bands) <= 8 * (max(2 * step, step + net.reach) + net.reach)
    torch.testing.assert_close(torch.cat(bands, 2), net.decode(codes), atol=2e-6, rtol=0)


def test_a_large_picture_is_the_one_that_is_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net, codes = make_dvae(), torch.randint(64, (1, 70, 40))
    whole = to_uint8(net.decode(codes)[0])
    assert np.array_equal(net.decode_picture(codes), whole)
    monkeypatch.setattr(dvae, "CELLS", 400)
    assert np.array_equal(net.decode_picture(codes), whole)


def test_a_code_reaches_pixels_within_the_receptive_field_only() -> None:
    net = make_dvae()  # 3 cells of 8 px (the first convolution, one block), then a half cell at the end
    reach = 8 * (1 + 2 * CONFIG.n_block) + 4
    codes = torch.randint(64, (1, 11, 12))
    other = codes.clone()
    other[0, 5, 6] = (codes[0, 5, 6] + 1) % 64
    moved = (net.decode(codes) - net.decode(other)).abs().amax((0, 1)) > 1e-6
    rows, cols = moved.nonzero(as_tuple=True)
    assert 40 - reach <= rows.min() and rows.max() < 48 + reach
    assert 48 - reach <= cols.min() and cols.max() < 56 + reach
    assert moved[40:48, 48:56].float().mean() > 0.9  # its own patch
    assert moved[32:40, 48:56].any() and moved[40:48, 56:64].any()  # and its neighbours hear of it


def test_codes_do_not_depend_on_the_batch() -> None:
    net = make_dvae()
    pixels = torch.rand(8, 3, 64, 64) * 2 - 1
    together, alone = net.encode(pixels), torch.cat([net.encode(one[None]) for one in pixels])
    assert torch.equal(together, alone)
    torch.testing.assert_close(net.decode(together), torch.cat([net.decode(one[None]) for one in together]))


def test_the_projection_keeps_what_has_as_few_dimensions() -> None:
    """Patches in a plane of codebook_dim dimensions survive projection and plain decode."""
    net = make_dvae()
    patches = torch.randn(500, 6) @ torch.randn(6, 192) + torch.randn(192)
    net.fit_projection(patches)
    latents = torch.nn.functional.linear(patches, net.project.weight.flatten(1), net.project.bias)
    torch.testing.assert_close(latents.mean(0), torch.zeros(6), atol=1e-3, rtol=0)
    back = torch.nn.functional.linear(latents, net.unproject.weight.flatten(1), net.unproject.bias)
    torch.testing.assert_close(back, patches, atol=1e-3, rtol=1e-3)
    spread = latents.var(0)
    assert (spread[:-1] >= spread[1:]).all()  # the strongest component first


def test_the_quantizer_takes_the_nearest_code(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, latents = Quantizer(16, 3), torch.randn(5, 7, 3)
    expected = torch.cdist(latents.view(-1, 3), net.codebook).argmin(1).view(5, 7)
    assert torch.equal(net.encode(latents), expected)
    monkeypatch.setattr(quantize, "AT_ONCE", 4 * 16)
    assert torch.equal(net.encode(latents), expected)
    assert torch.equal(net.encode(net.lookup(expected)), expected)


@pytest.mark.parametrize("size", [1, 63, 64, 128, 640])
def test_the_best_is_the_first_of_the_highest(size: int) -> None:
    torch.manual_seed(size)
    scores = torch.randint(-3, 3, (50, size)).float()  # many are equal
    scores[-1] = -torch.inf
    assert torch.equal(find_best(scores), scores.argmax(1))
    assert find_best(scores[:0]).shape == (0,)


def planted(clusters: int = 24, dim: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres [clusters, dim] and 40 latents close to each."""
    torch.manual_seed(3)
    centres = 10 * torch.randn(clusters, dim)
    return centres, centres.repeat_interleave(40, 0) + 0.05 * torch.randn(40 * clusters, dim)


@pytest.mark.parametrize("seed", range(3))
def test_fit_finds_planted_clusters_and_leaves_no_code_dead(seed: int) -> None:
    centres, latents = planted()
    net = Quantizer(64, 4)
    torch.manual_seed(seed)
    net.fit(latents, steps=14)
    codes = net.encode(latents)
    assert len(codes.unique()) == 64
    assert torch.cdist(centres, net.codebook).amin(1).max() < 0.2
    cluster = torch.arange(24).repeat_interleave(40)
    assert all(len(cluster[codes == code].unique()) == 1 for code in range(64))  # none serves two


def test_fit_settles_on_the_means() -> None:
    _, latents = planted()
    torch.manual_seed(0)
    net = Quantizer(64, 4)
    net.fit(latents, steps=40)
    codes = net.encode(latents)
    means = torch.stack([latents[codes == code].mean(0) for code in range(64)])
    torch.testing.assert_close(net.codebook, means, atol=1e-2, rtol=0)


def test_fit_repeats_itself() -> None:
    _, latents = planted()
    books = []
    for _ in range(2):
        torch.manual_seed(5)
        net = Quantizer(32, 4)
        net.fit(latents, steps=6)
        books.append(net.codebook)
    assert torch.equal(*books)


def test_fit_bears_latents_that_are_all_served_exactly() -> None:
    latents = torch.arange(8.0).repeat_interleave(6)[:, None]
    torch.manual_seed(0)
    net = Quantizer(12, 1)  # more codes than there is to say
    net.fit(latents, steps=10)
    torch.testing.assert_close(net.lookup(net.encode(latents)), latents)
