"""Rows of captions and codes: what the drawing objective learns from, and that it learns it as it should."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.packs import concept
from helpers.trainings import Training
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from janus_cli.dataset import heldout
from janus_cli.dataset.samples import Corpus, make_training_samples
from janus_cli.nets.attention import Places
from janus_cli.nets.decoder import PADDING, find_positions
from janus_cli.training.objectives.drawing import DrawingObjective
from janus_cli.training.recipe import ShortRecipe

SHORT = ShortRecipe(5, places=4, foreign=0.5, weights={"plain": 1.0, "hue": 1.0})


@pytest.fixture
def objective(tmp_path: Path) -> DrawingObjective:
    """The tiny training's objective, with short rows and swapped noise."""
    made = Training(tmp_path).objective
    fit = replace(made.fit, batch_size=6, blind=0.3, swap=0.3, short=SHORT)
    made.fit = fit
    made.rows = type(made.rows)(
        made.corpus, made.rows.concepts, made.rows.tokenizer, fit, {"text": 0, "image": 1}
    )
    for layer in made.decoder.layers:
        torch.nn.init.normal_(layer.attention.o_proj.weight, std=0.1)
    torch.nn.init.normal_(made.decoder.relative.table.weight)
    return made


def test_rows_stand_where_the_decoder_puts_them(objective: DrawingObjective) -> None:
    """Positions and hidden states are those of the decoder's own forward pass, which finds them itself."""
    batch = objective.batch(np.random.default_rng(3), 0)
    ids, types, rows, cols = (batch[name] for name in ("ids", "types", "rows", "cols"))
    assert torch.equal(batch["positions"], find_positions(types, None, 64))
    with torch.no_grad():
        mine, theirs = objective._run(batch), objective.decoder(ids, types, rows, cols)
    kept = types != PADDING
    torch.testing.assert_close(mine[kept], theirs[kept], rtol=1e-4, atol=1e-5)


def test_a_shared_grid_gives_the_gradients_of_the_plain_path(objective: DrawingObjective) -> None:
    """The table's gradient above all, whose look-up is another one."""
    batch = objective.batch(np.random.default_rng(4), 0)
    plain = type(objective.decoder).run

    def compute() -> tuple[Tensor, dict[str, Tensor]]:
        objective.zero_grad()
        loss, _ = objective(batch)
        loss.backward()
        return loss.detach(), {
            n: p.grad.clone() for n, p in objective.named_parameters() if p.grad is not None
        }

    shared = compute()
    objective.decoder.run = lambda x, places, shared_from: plain(objective.decoder, x, places)  # type: ignore
    torch.testing.assert_close(shared, compute(), rtol=1e-3, atol=1e-6)
    assert shared[1]["decoder.relative.table.weight"].abs().sum() > 0


def test_short_rows_tell_codes_at_places_that_the_batch_shares(objective: DrawingObjective) -> None:
    objective.rows.corpus.codes = objective.rows.codes.reshape(objective.corpus.codes.shape)
    rng = np.random.default_rng(6)
    for _ in range(20):
        short = objective.rows.make_short(SHORT, rng)
        at = short["rows"][:, 8:] * 4 + short["cols"][:, 8:]  # the tokens before the places
        assert (at == at[0]).all() and (np.diff(at[0]) > 0).all() and at.max() < 11
        assert short["ids"].shape == (5, 6 + 2 + 4) and short["codes"].shape == (5, 4)
        words = (short["text"] if "text" in short else short["ids"][:, 1:7]) != PADDING
        assert (short["positions"][:, 8:] == words.sum(1)[:, None] + 2 + at).all()
        assert short["share"].sum() == pytest.approx(1)
        pictures = objective.rows.codes[:, at[0] + 1]
        assert all((row == pictures).all(1).any() for row in short["codes"])


def test_the_loss_of_short_rows_is_that_of_their_codes_each_by_its_share(objective: DrawingObjective) -> None:
    batch = objective.batch(np.random.default_rng(7), 0)
    with torch.no_grad():
        loss, metrics = objective(batch)
        short = {k[6:]: v for k, v in batch.items() if k.startswith("short.")}
        places = Places(short["types"], short["positions"], short["rows"], short["cols"])
        hidden = objective.decoder.run(objective.decoder.embed(short["ids"], short["types"]), places)
        scores = objective.decoder.compute_logits(hidden[:, -4:], "image").log_softmax(-1)
    told = -(scores.gather(2, short["codes"][..., None])[..., 0] * short["share"]).sum()
    torch.testing.assert_close(metrics["short"], told, rtol=1e-4, atol=1e-5)
    whole = metrics["image"] + objective.fit.text_weight * metrics["text"] + 0.3 * metrics["short"]
    torch.testing.assert_close(loss, whole)


def test_nothing_in_a_step_waits_for_the_device(objective: DrawingObjective) -> None:
    """On tensors without values any look at one raises."""
    batch = objective.batch(np.random.default_rng(8), 0)
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = {name: mode.from_tensor(tensor) for name, tensor in batch.items()}
        loss, _ = objective(fake)
    assert loss.shape == ()


def test_swapped_noise_is_the_same_thing_in_another_style(tmp_path: Path) -> None:
    concepts = [concept("apple"), concept("bear")]
    samples = make_training_samples(concepts, "fluent", scenes=0, vary_all=True)
    corpus = Corpus(samples, np.zeros((len(samples), 2, 2), np.uint16), {"plain": 1.0})
    rng, chosen = np.random.default_rng(0), np.arange(len(samples))
    for number, cousin in zip(chosen, corpus.find_cousins(chosen, rng), strict=True):
        one, other = samples[number], samples[cousin]
        assert cousin >= 0 and one.style != other.style
        assert (one.concepts, one.background, one.hue) == (other.concepts, other.background, other.hue)


def test_no_row_speaks_of_a_held_out_pair(tmp_path: Path) -> None:
    objective = Training(tmp_path).objective
    held, rng = heldout.find_pairs(objective.rows.concepts), np.random.default_rng(2)
    assert held
    for sample in objective.corpus.samples * 5:
        told = objective.rows._restyle(sample, 0.9, rng)
        assert (objective.rows.concepts[told.concepts[0]].name, told.style) not in held
