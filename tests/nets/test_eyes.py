"""Our own vision encoder beside the published one: a convolutional stem, and fewer tokens a picture."""

import dataclasses

import pytest
import torch

from janus_cli.config import VisionConfig
from janus_cli.errors import ModelError
from janus_cli.nets.siglip import PatchEmbed, VisionTower, pool

CONFIG = VisionConfig(dim=32, n_layer=1, n_head=2, ff_dim=48, patch=8, image_size=64, stem=4)


@pytest.mark.parametrize("stem", [0, 4])
def test_a_place_is_its_patch_and_what_is_near(stem: int) -> None:
    torch.manual_seed(0)
    embed = PatchEmbed(dataclasses.replace(CONFIG, stem=stem))
    if stem:  # the norms in it look at the whole picture
        for i, layer in enumerate(embed.proj):
            if isinstance(layer, torch.nn.GroupNorm):
                embed.proj[i] = torch.nn.Identity()
    pixels = torch.rand(1, 3, 64, 64)
    other = pixels.clone()
    other[:, :, 16:24, 40:48] += 1  # patch row 2, column 5
    changed = (embed(pixels) - embed(other)).abs().amax(-1)[0].reshape(8, 8) > 1e-6
    assert changed.shape == (8, 8) and changed[2, 5]
    if stem:
        assert not changed[6:].any() and not changed[:, :2].any()
    else:
        assert changed.sum() == 1


def test_squares_of_features_are_averaged() -> None:
    torch.manual_seed(0)
    features = torch.rand(2, 36, 5)
    made = pool(features, 3)
    assert made.shape == (2, 4, 5)
    squares = features.reshape(2, 6, 6, 5)
    for i, (top, left) in enumerate([(0, 0), (0, 3), (3, 0), (3, 3)]):
        torch.testing.assert_close(made[:, i], squares[:, top : top + 3, left : left + 3].mean((1, 2)))


def test_fewer_tokens_are_the_same_eyes() -> None:
    torch.manual_seed(0)
    tower = VisionTower(CONFIG)
    torch.nn.init.normal_(tower.pos_embed)
    fewer = VisionTower(dataclasses.replace(CONFIG, pool=2))
    fewer.load_state_dict(tower.state_dict())
    pixels = torch.rand(2, 3, 64, 64)
    assert (CONFIG.n_token, fewer.cfg.n_token) == (64, 16)
    every, some = tower(pixels), fewer(pixels)
    assert every.shape == (2, 64, 32) and some.shape == (2, 16, 32)
    torch.testing.assert_close(some, pool(every, 2))
    torch.testing.assert_close(some.mean(1), every.mean(1))


def test_the_mean_of_all_comes_last() -> None:
    torch.manual_seed(0)
    tower = VisionTower(dataclasses.replace(CONFIG, pool=2))
    more = VisionTower(dataclasses.replace(CONFIG, pool=2, summary=True))
    more.load_state_dict(tower.state_dict())
    pixels = torch.rand(2, 3, 64, 64)
    features = more(pixels)
    assert features.shape == (2, more.cfg.n_token, 32) and more.cfg.n_token == 17
    torch.testing.assert_close(features[:, :-1], tower(pixels))
    torch.testing.assert_close(features[:, -1], tower(pixels).mean(1))


def test_patches_that_are_not_looked_at_count_for_nothing() -> None:
    torch.manual_seed(0)
    tower = VisionTower(dataclasses.replace(CONFIG, stem=0, pool=2, summary=True))
    torch.nn.init.normal_(tower.pos_embed)
    pixels, kept = torch.rand(2, 3, 64, 64), torch.tensor([[0, 9, 63], [7, 8, 20]])
    features = tower(pixels, kept)
    assert features.shape == (2, 3, 32)
    pixels[0, :, :8, 8:], pixels[1, :, 40:] = 0, 1
    torch.testing.assert_close(tower(pixels, kept), features)
    pixels[0, :, 8:16, 8:16] = 0  # patch 9
    changed = (tower(pixels, kept) - features).abs().amax((1, 2))
    assert changed[0] > 1e-3 and changed[1] < 1e-5
    every = torch.arange(64).expand(2, -1)
    torch.testing.assert_close(pool(tower(pixels, every), 2), tower(pixels)[:, :-1])


@pytest.mark.parametrize("pool", [0, 3, 9, 16])
def test_squares_that_do_not_fill_the_picture_are_one_line(pool: int) -> None:
    complaint = f"^vision: {pool} x {pool} patches of 8 px do not fill a picture of 64 px$"
    with pytest.raises(ModelError, match=complaint):
        VisionTower(dataclasses.replace(CONFIG, pool=pool))
