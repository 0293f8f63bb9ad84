"""Our own vision encoder beside the published one: a convolutional stem, and fewer tokens a picture."""

import dataclasses

import pytest
import torch

from janus_cli.config import VisionConfig
from janus_cli.errors import ModelError
from janus_cli.nets.siglip import PatchEmbed, VisionTower, pooled

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
    made = pooled(features, 3)
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
    torch.testing.assert_close(some, pooled(every, 2))
    torch.testing.assert_close(some.mean(1), every.mean(1))


@pytest.mark.parametrize("pool", [0, 3, 9, 16])
def test_squares_that_do_not_fill_the_picture_are_one_line(pool: int) -> None:
    complaint = f"^vision: {pool} x {pool} patches of 8 px do not fill a picture of 64 px$"
    with pytest.raises(ModelError, match=complaint):
        VisionTower(dataclasses.replace(CONFIG, pool=pool))
