"""The loss of mixed sequences by plain formulas, what learns by it, and where it starts."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.materials import CLOSED, CODEC, CODES, TYPES, batch_of, tiny_codec
from torch import Tensor

from janus_cli.training.objectives import joint
from janus_cli.training.objectives.joint import READ, WRITTEN, JointObjective, Materials
from janus_cli.training.optim import muon
from janus_cli.training.sequences import DIRECTIONS, NONE

Make = Callable[..., JointObjective]


# ---- the loss


def expected_loss(objective: JointObjective, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Token by token, with F.cross_entropy over the whole vocabulary."""
    features = objective.vision(batch["pixels"]).flatten(0, 1)
    losses: dict[tuple[str, int], list[Tensor]] = {}
    decoder = objective.decoder
    for group in range(sum(name.endswith(".ids") for name in batch)):
        column = {c: batch[f"{group}.{c}"] for c in ("ids", "types", "rows", "cols", "targets", "roles")}
        for row in range(len(column["ids"])):
            real = int((column["types"][row] >= 0).sum())  # alone, without padding
            inputs = (column[c][row : row + 1, :real] for c in ("ids", "types", "rows", "cols"))
            hidden = decoder(*inputs, features={"sight": features})[0]
            for at in range(real):
                target = int(column["targets"][row, at])
                if target == NONE:
                    continue
                modality = TYPES[column["types"][row, at]]
                codes = [target]
                if modality == "audio":
                    codes = [16] if target == CLOSED else [target % 16, target // 16]
                parts = []
                for level, code in enumerate(codes):
                    before = [torch.tensor(c) for c in codes[:level]]
                    logits = decoder.compute_logits(hidden[at], modality, before)
                    parts.append(F.cross_entropy(logits[None], torch.tensor([code])))
                losses.setdefault((modality, int(column["roles"][row, at])), []).append(sum(parts))  # type: ignore
    weights = {
        ("text", READ): 0.15,
        ("text", WRITTEN): 1.5,
        ("image", WRITTEN): 1.0,
        ("audio", READ): 0.05,
        ("audio", WRITTEN): 0.5,
    }
    means = {key: torch.stack(values).mean() for key, values in losses.items()}
    assert means.keys() == weights.keys()
    total = sum(weights[key] * mean for key, mean in means.items())
    each = {
        m: sum(weights[k] * v for k, v in means.items() if k[0] == m)
        / sum(w for k, w in weights.items() if k[0] == m)
        for m in ("text", "image", "audio")
    }
    return total, each  # type: ignore[return-value]


def shaken(objective: JointObjective) -> JointObjective:
    """With nothing left at its zero start."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in objective.decoder.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return objective


def test_the_loss_is_plain_cross_entropy(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint, "SPELLING", 0.0)
    monkeypatch.setattr(joint, "PHONES", 0.0)
    monkeypatch.setattr(joint, "vary", lambda pixels, free: pixels)
    objective = shaken(make(dict.fromkeys(DIRECTIONS, 1) | {"hear": 3}, corrupt=0.5))
    batch = batch_of(objective)
    with torch.no_grad():
        total, each = expected_loss(objective, batch)
        loss, metrics = objective(batch)
    torch.testing.assert_close(loss, total, atol=1e-4, rtol=1e-5)
    for modality, value in each.items():
        torch.testing.assert_close(metrics[modality], value, atol=1e-4, rtol=1e-5)


def test_letters_and_phones_add_their_weighted_means(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joint, "vary", lambda pixels, free: pixels)
    objective = shaken(make(dict.fromkeys(DIRECTIONS, 2)))
    batch = batch_of(objective)
    said: list[Tensor] = []
    objective.phones.register_forward_hook(lambda module, inputs, output: said.append(inputs[1]))
    with torch.no_grad():
        whole, metrics = objective(batch)
        monkeypatch.setattr(joint, "PHONES", 0.0)
        without = objective(batch)[0]
        monkeypatch.setattr(joint, "SPELLING", 0.0)
        bare = objective(batch)[0]
    told = sum(metrics[name] for name in ("heard", "now", "soon"))
    torch.testing.assert_close(whole - without, 0.3 * told, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(without - bare, 0.5 * metrics["spelling"], atol=1e-4, rtol=1e-4)
    audio = objective.decoder.type_ids["audio"]
    for i, mask in enumerate(said[: len(said) // 3]):
        expected = (batch[f"{i}.types"] == audio) & (batch[f"{i}.roles"] == joint.WRITTEN)
        assert torch.equal(mask, expected)
    assert any(mask.any() for mask in said)


def test_as_many_negatives_as_classes_change_nothing_and_few_estimate(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joint, "vary", lambda pixels, free: pixels)
    objective = shaken(make(dict.fromkeys(DIRECTIONS, 3)))
    batch = batch_of(objective)
    with torch.no_grad():
        exact = objective(batch)[0].item()
        objective.fit = replace(objective.fit, negatives=1000)
        assert objective(batch)[0].item() == exact
        objective.fit = replace(objective.fit, negatives=40)  # of the 300 of texts alone
        estimates = [objective(batch)[0].item() for _ in range(10)]
    assert len(set(estimates)) > 5 and np.mean(estimates) == pytest.approx(exact, rel=0.1)


def test_everything_learns_but_the_eyes(make: Make) -> None:
    objective = make(dict.fromkeys(DIRECTIONS, 2))
    eyes = {k: v.clone() for k, v in objective.vision.state_dict().items()}
    loss, metrics = objective(batch_of(objective))
    loss.backward()
    assert set(metrics) == {"text", "image", "audio", "spelling", "heard", "now", "soon"}
    for name, parameter in objective.named_parameters():
        assert (parameter.grad is not None) == name.startswith(("decoder.", "spelling.", "phones.")), name
    optimizers = muon(objective, objective.decoder.layers, 0.02, 3e-3)
    optimizers.step(1.0)
    assert all(torch.equal(v, eyes[k]) for k, v in objective.vision.state_dict().items())


def test_a_direction_alone_is_enough(make: Make) -> None:
    for direction in DIRECTIONS:
        objective = make({direction: 2}, negatives=8)
        loss, _ = objective(batch_of(objective))
        loss.backward()
        assert loss.isfinite() and loss.item() > 0


def test_the_loss_falls_on_one_batch(make: Make) -> None:
    objective = make(dict.fromkeys(DIRECTIONS, 1))
    objective.initialise(tiny_codec(), torch.randn(CODES, 5))
    batch = batch_of(objective)
    optimizers, losses = muon(objective, objective.decoder.layers, 0.02, 5e-3), []
    for _ in range(20):
        loss, _ = objective(batch)
        losses.append(loss.item())
        loss.backward()
        optimizers.step(1.0)
    assert losses[-1] < 0.75 * losses[0]


# ---- the start


def test_embeddings_begin_at_their_codebooks(make: Make, shared: Materials) -> None:
    objective, codec = make({"draw": 1}), tiny_codec()
    image = objective.decoder.get_adapter("image").embed.weight.clone()
    objective.initialise(codec, None)
    assert torch.equal(objective.decoder.get_adapter("image").embed.weight, image), "kept in a grown decoder"
    audio, every = objective.audio, np.concatenate([shared.heard.codes, shared.said.codes], 1)
    for level in range(CODEC.n_q):
        table = audio.embed_codes(level, torch.arange(16)).detach()
        book = codec.quantizers[level].codebook
        near, far = (torch.cdist(x, x).flatten() for x in (table, book))
        assert np.corrcoef(near, far)[0, 1] > 0.7, "like codes begin alike"
        _, bias = objective.decoder.get_head("audio", level)
        counts = np.bincount(every[level], minlength=16) + 0.1
        np.testing.assert_allclose(bias[:16].detach(), np.log(counts / counts.sum()), rtol=1e-5)
    objective.initialise(codec, torch.randn(CODES, 5))
    assert not torch.equal(objective.decoder.get_adapter("image").embed.weight, image)
