"""The judge: its net, its labels, and that it can be trained."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.packs import three_concepts

from janus_cli import weights, zoo
from janus_cli.config import DVAEConfig, JudgeConfig
from janus_cli.dataset.augment import soil, warp
from janus_cli.dataset.labels import Labels, make_judge_config, read_labels, write_labels
from janus_cli.dataset.pictures import Item, Scene, Sprites, compose
from janus_cli.errors import ModelError
from janus_cli.nets.dvae import DVAE
from janus_cli.nets.judge import Judge
from janus_cli.nets.pixels import to_float
from janus_cli.training.objectives.judge import JudgeObjective
from janus_cli.training.optim import adamw


def objective(sprites: Sprites, batch_size: int = 16) -> JudgeObjective:
    torch.manual_seed(0)
    dvae = DVAE(DVAEConfig(codebook_size=32, codebook_dim=8, dim=16, n_block=2))
    cfg = dataclasses.replace(make_judge_config(three_concepts()), dim=16)
    return JudgeObjective(cfg, three_concepts(), sprites, dvae, batch_size)


def test_shapes_and_size_of_the_full_judge() -> None:
    judge = Judge(JudgeConfig(n_concept=1455, n_style=3)).eval()
    concept, style = judge(torch.zeros(2, 3, 64, 64))
    assert concept.shape == (2, 1455)
    assert style.shape == (2, 3)
    assert 2e6 < sum(p.numel() for p in judge.parameters()) < 2.5e6


def test_a_judge_survives_its_file_in_half_precision(tmp_path: Path) -> None:
    judge = Judge(JudgeConfig(n_concept=4, n_style=3, dim=16))
    judge(torch.randn(8, 3, 64, 64))  # moves the batch statistics
    weights.save(judge, tmp_path / "judge.safetensors", torch.float16)
    again = weights.load(Judge(judge.cfg), tmp_path / "judge.safetensors")
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(again(x), judge.eval()(x), atol=1e-2, rtol=1e-2)


def test_labels_and_configuration_make_a_model_folder(tmp_path: Path) -> None:
    folder = tmp_path / "judge"
    folder.mkdir()
    labels = write_labels(folder, three_concepts())
    assert labels == Labels(("apple", "bear", "duck"), ("fluent", "noto", "twemoji")) == read_labels(folder)
    assert zoo.find(str(folder)).config.judge == make_judge_config(three_concepts())
    (folder / "labels.json").write_text("[]")
    with pytest.raises(ModelError, match=r"labels\.json: no readable judge labels"):
        read_labels(folder)


def test_a_judge_of_other_pictures_is_refused(sprites: Sprites) -> None:
    with pytest.raises(ModelError, match="need 3 concepts and 3 styles at 64 px, not 5 and 3"):
        JudgeObjective(JudgeConfig(n_concept=5, n_style=3), three_concepts(), sprites, DVAE(DVAEConfig()), 16)


def test_a_batch_shows_every_drawing_in_wholes_and_quarters(sprites: Sprites) -> None:
    made = objective(sprites, 64)
    batch = made.batch(np.random.default_rng(0), 0)
    assert batch["pixels"].shape == (48, 3, 64, 64)
    assert batch["cells"].shape == (16, 3, 64, 64)
    assert made.show(batch).shape == (64, 3, 64, 64)
    assert {tuple(row) for row in batch["labels"].tolist()} == {(c, s) for c in range(3) for s in range(3)}


def test_cells_and_labels_go_together(sprites: Sprites) -> None:
    made = objective(sprites)
    numbers = {tuple(label): i for i, label in enumerate(made.labels.tolist())}
    for seed in range(20):
        batch = made.batch(np.random.default_rng(seed), 0)
        for cell, label in zip(batch["cells"], batch["labels"][made.whole :].tolist(), strict=True):
            true = to_float(compose(Scene((Item(numbers[tuple(label)]),)), sprites))
            if bool((cell[:, 0, 0] == 1).all()):  # on white: the same drawing, perhaps of another hue
                inside, outside = (cell != 1).any(0), (true != 1).any(0)
                assert (inside == outside).float().mean() > 0.95


def test_the_same_step_gives_the_same_pictures(sprites: Sprites) -> None:
    made, views = objective(sprites), []
    for _ in range(2):
        torch.manual_seed(3)
        views.append(made.show(made.batch(np.random.default_rng(3), 0)))
    assert torch.equal(*views)


def test_augmentations_keep_shape_and_change_little() -> None:
    torch.manual_seed(0)
    x = torch.zeros(32, 3, 64, 64)
    x[:, :, 16:48, 16:48] = 1
    for change in (warp, soil):
        y = change(x)
        assert y.shape == x.shape
        assert not torch.equal(y, x)
        assert (y - x).abs().mean() < 0.15


def test_it_learns(sprites: Sprites) -> None:
    made = objective(sprites)
    optimizers = adamw(made, 3e-3)
    for step in range(60):
        torch.manual_seed(step)
        loss, metrics = made(made.batch(np.random.default_rng(step), step))
        loss.backward()
        optimizers.step(1 - step / 60)
    assert set(metrics) == {"top1", "top1_cells", "style"}
    assert all(p.grad is None for p in made.dvae.parameters())
    real = to_float(np.stack([compose(Scene((Item(i),)), sprites) for i in range(9)]))
    with torch.no_grad():
        concept, style = made.judge.eval()(real)
    assert (concept.argmax(1) == torch.arange(9) // 3).float().mean() > 0.85
    assert (style.argmax(1) == torch.arange(9) % 3).float().mean() > 0.6
