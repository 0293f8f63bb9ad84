"""The refiner net and its training objective, at toy size."""

import numpy as np
import pytest
import torch
from helpers.refiners import make_dvae, make_refiner
from torch.nn import functional as F

from janus_cli.nets.pixels import to_float, to_uint8
from janus_cli.nets.refiner import pixel_norm, spread_over_pixels
from janus_cli.training.objectives.refiner import (
    NOISY,
    Crops,
    draw_noise_maps,
    refine_loss,
    sharp_loss,
    step_towards,
)


def test_untrained_refiner_is_the_reconstruction_and_bicubic():
    net = make_refiner(trained=False)
    x, codes = torch.rand(2, 3, 16, 24) * 2 - 1, torch.randint(32, (2, 2, 3))
    zero = torch.zeros(2, 1, 16, 24)
    torch.testing.assert_close(net.denoise(torch.randn_like(x), x, zero, codes), x)
    torch.testing.assert_close(net.upsample(x, codes), F.interpolate(x, scale_factor=2, mode="bicubic"))


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_every_level_has_its_shapes(scale: int):
    net, side = make_refiner(), 8 * scale
    x, codes = torch.rand(1, 3, 2 * side, 3 * side), torch.randint(32, (1, 2, 3))
    assert net.upsample(x, codes).shape == (1, 3, 4 * side, 6 * side)
    assert net.denoise(x, x, torch.zeros_like(x[:, :1]), codes).shape == x.shape


def test_codes_level_and_mask_change_the_result():
    net = make_refiner()
    x = torch.rand(1, 3, 16, 16)
    one, other, none = (torch.full((1, 2, 2), k) for k in (3, 4, net.mask_code))
    assert not torch.allclose(net.upsample(x, one), net.upsample(x, other))
    assert not torch.allclose(net.upsample(x, one), net.upsample(x, none))
    assert not torch.allclose(net.upsample(x, one), net.upsample(x, one[:, :1, :1]))


def test_norm_equals_groupnorm_at_a_single_position():
    x = torch.randn(5, 1, 1, 12)
    expected = F.group_norm(x.reshape(5, 12, 1, 1), 3).reshape(5, 1, 1, 12)
    torch.testing.assert_close(pixel_norm(x, 3), expected)


@pytest.mark.parametrize("scale", [1, 2])
def test_one_pass_for_both_heads_is_each_alone(scale: int):
    net, side = make_refiner(), 8 * scale
    x, y = torch.rand(2, 1, 3, 2 * side, 2 * side)
    t, codes = torch.rand(1, 1, 2 * side, 2 * side), torch.randint(32, (1, 2, 2))
    sharp, twice = net.denoise_up(x, y, t, codes)
    assert torch.equal(sharp, net.denoise(x, y, t, codes))
    assert twice.shape == (1, 3, 4 * side, 4 * side)
    done = torch.ones_like(t)
    plain = F.interpolate(net.denoise(x, x, done, codes), scale_factor=2, mode="bicubic")
    residual = net.upsample(x, codes) - F.interpolate(x, scale_factor=2, mode="bicubic")
    torch.testing.assert_close(net.denoise_up(x, x, done, codes)[1], plain + residual)


def test_a_strip_is_enlarged_by_the_codes_that_it_lies_on():
    net = make_refiner()
    x, codes = torch.rand(1, 3, 48, 16), torch.randint(32, (1, 3, 1))
    strip = net.upsample(x[:, :, 4:40], codes, 4)
    assert strip.shape == (1, 3, 72, 32)
    torch.testing.assert_close(strip[:, :, 24:40], net.upsample(x, codes)[:, :, 32:48])
    assert not torch.allclose(strip[:, :, 24:40], net.upsample(x[:, :, 4:40], codes)[:, :, 24:40])


def test_far_patches_do_not_reach_a_patch():
    """No global statistics: a streamed picture could otherwise never equal the offline one."""
    net = make_refiner()
    x, codes = torch.rand(1, 3, 8, 128), torch.randint(32, (1, 1, 16))
    changed, other = x.clone(), codes.clone()
    changed[..., 64:], other[..., 8:] = torch.rand(1, 3, 8, 64), (codes[..., 8:] + 1) % 32
    before, after = net.upsample(x, codes), net.upsample(changed, other)
    torch.testing.assert_close(before[..., :64], after[..., :64])
    assert not torch.allclose(before[..., 128:], after[..., 128:])


def test_code_map_knows_the_position_within_the_patch():
    cells = make_refiner().codes(torch.full((1, 1, 1), 5), 1)
    assert cells.shape == (1, 4, 4, 4)
    assert len(torch.unique(cells.reshape(16, 4), dim=0)) == 16


def test_code_table_starts_from_the_codebook():
    net, codebook = make_refiner(), F.normalize(torch.randn(32, 6), dim=-1)
    codebook[1] = codebook[0]
    net.init_codes(codebook)
    table = net.codes.table.weight
    assert torch.equal(table[0], table[1])
    assert not torch.equal(table[0], table[2])
    assert not table[net.mask_code].any()


def test_pixel_map_and_patches():
    grid = torch.tensor([[[1.0, 2.0]]])
    assert spread_over_pixels(grid, 2).tolist() == [[[[1, 1, 2, 2], [1, 1, 2, 2]]]]
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    assert np.array_equal(to_uint8(to_float(image)), image)


def test_noise_maps_are_in_range_and_hold_every_kind():
    torch.manual_seed(0)
    t, arrived = draw_noise_maps(256, (4, 5), torch.device("cpu"))
    assert t.shape == arrived.shape == (256, 4, 5)
    assert t.min() >= 0 and t.max() <= 1
    flat = t.flatten(1)
    uniform = (flat == flat[:, :1]).all(1)
    falling = (flat.diff(dim=1) <= 0).all(1) & ~uniform
    assert 0.2 < (flat == 0).all(1).float().mean() < 0.4, "not begun"
    assert 0.35 < uniform.float().mean() < 0.6
    assert 0.25 < falling.float().mean() < 0.5
    assert not t[~arrived].any(), "a patch that has not arrived cannot be under way"
    assert 0.01 < (~arrived).float().mean() < 0.4


def test_crops_are_aligned_in_every_tensor():
    torch.manual_seed(0)
    codes = torch.arange(3 * 30).view(3, 5, 6)
    pixels = spread_over_pixels(codes, 4)
    crops = Crops.draw(3, (5, 6), 2)
    assert torch.equal(spread_over_pixels(crops.take(codes), 4), crops.take(pixels, 4))
    assert Crops.draw(1, (2, 3), 9).tokens == 2


def test_sharp_loss_prefers_the_edge_in_place():
    target = torch.zeros(1, 3, 16, 16)
    target[..., 8:] = 1
    blurred = F.avg_pool2d(F.pad(target, (2, 2, 2, 2), mode="replicate"), 5, 1)
    assert sharp_loss(target, target) == 0
    assert sharp_loss(blurred, target) > sharp_loss(target + 0.05, target) > 0


def test_underway_is_where_steps_of_the_net_lead():
    net = make_refiner().eval()
    torch.manual_seed(1)
    y, codes = torch.rand(6, 3, 16, 16) * 2 - 1, torch.randint(16, (6, 2, 2))
    zero = torch.zeros(6, 1, 16, 16)
    first = net.denoise(y, y, zero, codes)
    unlike = 0
    for seed in range(8):
        torch.manual_seed(seed)
        time = spread_over_pixels(torch.rand(6, 2, 2), 8)
        straight = torch.lerp(y, first, time)
        x = step_towards(net, y, time, codes)
        noisy_or_twice = (x - straight).abs().amax((1, 2, 3)) > 1e-4
        unlike += int(noisy_or_twice.sum())
        torch.manual_seed(seed)
        torch.rand(6, 2, 2)
        strength = torch.rand(3, 6, 1, 1, 1)
        plain = ((strength[0] >= NOISY) & (strength[2] >= 0.5)).flatten()
        assert not (noisy_or_twice & plain).any(), "one step without noise is the straight way"
        assert (plain | noisy_or_twice).all()
    assert 12 < unlike < 42
    torch.manual_seed(0)
    start = step_towards(net, y, zero, codes)
    assert (start - y).abs().max() < 6 * net.cfg.noise, "nothing but noise at time 0"


def test_objective_learns_and_leaves_the_tokenizer_alone():
    net, dvae = make_refiner(trained=False).train(), make_dvae().requires_grad_(False)
    pictures = F.interpolate(torch.rand(4, 3, 16, 16) * 2 - 1, scale_factor=4, mode="nearest")
    optimizer = torch.optim.AdamW(net.parameters(), 1e-2)
    losses = []
    for _ in range(15):
        torch.manual_seed(3)
        loss, metrics = refine_loss(net, dvae, pictures, crop=2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.85 * losses[0]
    assert all(torch.isfinite(v) for v in metrics.values())
    assert all(p.grad is None for p in dvae.parameters())
    assert all(p.grad is not None for p in net.parameters()), "some weights are in no pass of the objective"
