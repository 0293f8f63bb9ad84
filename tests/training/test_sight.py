"""The vision encoder in training: captions as bags of words, pictures beside them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.materials import CONCEPTS, VISION, WEIGHTS, corpus, sprites, tokenizer

from janus_cli.config import DVAEConfig
from janus_cli.dataset.augment import dye, mix_pictures, turn, vary
from janus_cli.dataset.pictures import compose
from janus_cli.dataset.samples import Corpus, build_scene
from janus_cli.nets.dvae import DVAE
from janus_cli.training.objectives import vision as sight
from janus_cli.training.objectives.vision import (
    PAD,
    SLOTS,
    WIDTH,
    Bag,
    VisionObjective,
)
from janus_cli.training.optim import muon


@pytest.fixture
def objective(tmp_path: Path) -> VisionObjective:
    torch.manual_seed(0)
    dvae = DVAE(DVAEConfig(codebook_size=32, codebook_dim=8, dim=16, n_block=1))
    return VisionObjective(VISION, corpus(), CONCEPTS, sprites(), tokenizer(tmp_path), dvae, batch_size=12)


# ---- the bag


def test_a_bag_knows_no_order_and_no_padding() -> None:
    torch.manual_seed(0)
    bag = Bag(50)
    rows = torch.tensor([[3, 7, 9, PAD, PAD], [9, 3, 7, PAD, PAD], [PAD, 7, PAD, 9, 3], [3, 7, 8, PAD, PAD]])
    out = bag(rows)
    assert out.shape == (4, WIDTH)
    torch.testing.assert_close(out.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(out[0], out[1])
    torch.testing.assert_close(out[0], out[2])
    torch.testing.assert_close(out[0], bag(rows[:1, :3])[0])
    assert (out[0] - out[3]).abs().max() > 1e-3


def test_an_empty_bag_is_finite() -> None:
    assert Bag(50)(torch.full((2, 4), PAD)).isfinite().all()


# ---- the objective


def test_a_batch_is_pictures_beside_their_captions(objective: VisionObjective) -> None:
    batch = objective.batch(np.random.default_rng(0), 0)
    assert batch["pixels"].shape == (12, 3, 64, 64) and batch["text"].shape == (12, SLOTS)
    assert batch["pixels"].min() >= -1 and batch["pixels"].max() <= 1
    chosen = objective.corpus.draw(np.random.default_rng(0), 12)
    for i, number in enumerate(chosen):
        sample = objective.corpus.samples[number]
        shown = compose(build_scene(sample, objective.numbers), objective.sprites, 64)
        painted = ((batch["pixels"][i].movedim(0, -1) + 1) * 127.5).round().numpy()
        np.testing.assert_array_equal(painted, shown)
        single = sample.kind in ("plain", "background")
        assert batch["concept"][i] == (sample.concepts[0] if single else PAD)
    assert (batch["concept"] == PAD).any() and (batch["concept"] != PAD).any()
    ids = batch["text"][0]
    assert objective.tokenizer.decode(ids[ids != PAD].tolist())  # type: ignore[attr-defined]


def test_a_long_caption_is_cut(objective: VisionObjective) -> None:
    rows = objective._tokenize(["x" * 100, "apple"])
    assert rows.shape == (2, SLOTS) and (rows[0] != PAD).all() and (rows[1] == PAD).any()


def test_some_pictures_are_seen_through_the_image_tokenizer(objective: VisionObjective) -> None:
    batch = objective.batch(np.random.default_rng(0), 0)
    pixels, calls = batch["pixels"], []
    real = objective.dvae.encode
    objective.dvae.encode = lambda part: calls.append(len(part)) or real(part)  # type: ignore
    seen = objective._show(pixels, batch["free"])
    assert calls == [int(0.3 * 12)] and seen.shape == pixels.shape and not seen.requires_grad


def test_white_stays_white_and_grey_grey_in_other_colours() -> None:
    torch.manual_seed(0)
    pixels = torch.ones(8, 3, 4, 4)
    pixels[:, :, 1] = 0.2
    pixels[:, 0, 2], pixels[:, 1:, 2] = 0.9, -0.8
    dyed = dye(pixels)
    torch.testing.assert_close(dyed[:, :, 0], pixels[:, :, 0])
    torch.testing.assert_close(dyed[:, 0, 1], dyed[:, 1, 1])
    hues = dyed[:, :, 2, 0]
    assert (hues[:, 0] - hues[:, 1]).std() > 0.1, "more or less colour"
    assert hues.std(0).min() > 0.01


def test_turning_keeps_the_middle_and_moves_the_rest() -> None:
    torch.manual_seed(0)
    pixels = torch.full((16, 3, 32, 32), -1.0)
    pixels[..., 12:20, 12:20] = 1
    turned = turn(pixels)
    assert turned.shape == pixels.shape and (turned[..., 14:18, 14:18].mean((1, 2, 3)) > 0.5).sum() >= 12
    weights = (turned + 1).mean(1)
    places = (weights * torch.arange(32.0)).sum((1, 2)) / weights.sum((1, 2))
    assert places.std() > 0.5 and weights.sum((1, 2)).std() > 5


def test_another_picture_is_mixed_in_all_over_or_in_a_rectangle() -> None:
    torch.manual_seed(0)
    ours, others = torch.ones(400, 3, 32, 32), -torch.ones(400, 3, 32, 32)
    blend, share = mix_pictures(ours, others)
    assert blend.shape == ours.shape and share.shape == (400,)
    assert share.min() >= 0.45 and share.max() <= 1 and 0.7 < share.mean() < 0.8
    torch.testing.assert_close((blend.mean((1, 2, 3)) + 1) / 2, share)
    sharp = blend.abs().amin((1, 2, 3)) == 1
    assert 150 < sharp.sum() < 250, "the others are even"
    assert (blend[~sharp].amax((1, 2, 3)) - blend[~sharp].amin((1, 2, 3)) < 1e-6).all()
    corner = (blend[sharp][:, 0] < 0).flatten(1).float().argmax(1)
    assert len(corner.unique()) > 50, "rectangles are anywhere"


def test_what_is_mixed_goes_by_both_names(
    objective: VisionObjective, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a share of a half, the loss is the mean of those with either name alone."""
    objective.batch_size = 40
    batch = objective.batch(np.random.default_rng(0), 0)
    single = (batch["concept"] != PAD).nonzero()[:, 0]
    first = single[: len(single) // 2]
    others = {**batch, "concept": batch["concept"].index_copy(0, first, batch["concept"][first.roll(1)])}
    objective._show = lambda pixels, free: pixels  # type: ignore[method-assign]
    monkeypatch.setattr(torch, "randperm", lambda count, **_: torch.arange(count))
    losses = {}
    for share in (0.5, 1.0):
        monkeypatch.setattr(sight, "mix_pictures", lambda a, b, s=share: (a, torch.full((len(a),), s)))
        for name, rows in (("first", batch), ("second", others)):
            torch.manual_seed(0)
            losses[share, name] = objective(rows)[1]["names"].item()
    assert losses[1.0, "first"] != pytest.approx(losses[1.0, "second"], rel=1e-6)
    means = (losses[1.0, "first"] + losses[1.0, "second"]) / 2
    assert losses[0.5, "first"] == pytest.approx(means, rel=1e-5)


def test_mixing_does_not_depend_on_the_place_in_a_batch(
    objective: VisionObjective, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures through the image tokenizer stand first: half of these, too, are seen alone."""
    objective.batch_size, shown = 60, []
    batch = objective.batch(np.random.default_rng(0), 0)
    monkeypatch.setattr(sight, "mix_pictures", lambda a, b: (torch.full_like(a, 5.0), torch.ones(len(a))))
    real = objective.embed
    objective.embed = lambda pixels, kept: shown.append(pixels) or real(pixels, kept)  # type: ignore
    torch.manual_seed(0)
    objective(batch)
    blended = (shown[0] == 5).flatten(1).all(1)
    single = batch["concept"] != PAD
    assert not blended[~single].any() and blended.sum() == single.sum() // 2
    through = blended[: int(0.3 * 60)]
    assert 0 < through.sum() < single[: len(through)].sum()


def test_half_of_the_free_are_mirrored_and_no_others() -> None:
    torch.manual_seed(0)
    pixels = torch.full((64, 3, 32, 32), -1.0)
    pixels[..., :16] = 1
    for free, least, most in ((True, 20, 44), (False, 0, 0)):
        seen = vary(pixels, torch.full((64,), free))
        mirrored = seen[..., 20:].mean((1, 2, 3)) > seen[..., :12].mean((1, 2, 3))
        assert least <= mirrored.sum() <= most


def test_pictures_that_speak_of_colours_keep_theirs(objective: VisionObjective) -> None:
    torch.manual_seed(0)
    pixels = torch.ones(2, 3, 64, 64)
    pixels[:, 0], pixels[:, 1:] = 0.9, -0.8
    seen = vary(pixels, torch.tensor([True, False])).mean((2, 3))
    torch.testing.assert_close(seen[1], pixels[1].mean((1, 2)), atol=0.02, rtol=0)
    assert (seen[0] - pixels[0].mean((1, 2))).abs().max() > 0.05


def test_all_but_the_image_tokenizer_learns(objective: VisionObjective) -> None:
    loss, metrics = objective(objective.batch(np.random.default_rng(0), 0))
    loss.backward()
    assert set(metrics) == {"captions", "names", "top1", "matched"}
    assert loss.item() == pytest.approx((metrics["captions"] + metrics["names"]).item(), rel=1e-5)
    assert 0 <= metrics["top1"] <= 1 and 0 <= metrics["matched"] <= 1
    # random vectors at a low heat: about log of 12 captions, and of 4 names
    assert abs(metrics["captions"].item() - np.log(12)) < 1.5
    for name, parameter in objective.named_parameters():
        learns = not name.startswith("dvae.")
        assert parameter.requires_grad == learns and (parameter.grad is not None) == learns, name


def test_the_heat_has_a_limit(objective: VisionObjective) -> None:
    batch = objective.batch(np.random.default_rng(0), 0)
    losses = []
    for scale in (4.6, 60.0):
        torch.manual_seed(0)
        objective.scale.data.fill_(scale)
        losses.append(objective(batch)[0].item())
    assert losses[0] == losses[1] and np.isfinite(losses[0])


def test_the_loss_falls_on_one_batch(objective: VisionObjective) -> None:
    batch = objective.batch(np.random.default_rng(1), 0)
    optimizers, losses = muon(objective, objective.vision.blocks, 0.02, 3e-3), []
    for _ in range(14):
        loss, metrics = objective(batch)
        losses.append(loss.item())
        loss.backward()
        optimizers.step(1.0)
    assert np.mean(losses[-3:]) < 0.75 * losses[0]
    assert metrics["top1"] >= 0.5


def test_rare_kinds_can_be_left_out(objective: VisionObjective) -> None:
    plain = Corpus(objective.corpus.samples, objective.corpus.codes, {**WEIGHTS, "scene": 0.0, "hue": 0.0})
    objective.corpus = plain
    assert (objective.batch(np.random.default_rng(0), 0)["concept"] != PAD).all()
