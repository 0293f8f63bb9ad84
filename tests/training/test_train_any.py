"""A model that draws learns to hear, to see and to speak: recipes run end to end in seconds, then used."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.materials import Humming, corpus, tiny_codec
from helpers.places import MODEL, Place, small_pools
from torch import Tensor

from janus_cli import weights, zoo
from janus_cli.config import format_config, read_config
from janus_cli.dataset import utterances
from janus_cli.errors import JanusError, ModelError
from janus_cli.pipeline import Sampling, load
from janus_cli.training.objectives import codec as sound
from janus_cli.training.objectives.joint import JointObjective

DRAWS = f"""
seed = 1
[data]
scenes = 6
[dvae]
steps = 2
batch_size = 4
lr = 1e-3
[decoder]
steps = 3
batch_size = 3
lr = 3e-3
muon_lr = 0.02
text_slots = 6
{MODEL}"""
STEPS = 6
SENSES = f"""
[model.decoder.modalities.audio]
vocab_size = 16
n_q = 2
ends = true
[model.decoder.modalities.sight]
feature_dim = 32
[codec]
steps = 3
batch_size = 2
lr = 1e-3
muon_lr = 0.01
muon_decay = 0.3
plain = 1
[vision]
steps = 2
batch_size = 24
lr = 1e-3
muon_lr = 0.02
[model.codec]
dim = 8
n_filter = 2
codebook_size = 16
n_q = 2
[model.vision]
dim = 32
n_layer = 1
n_head = 2
ff_dim = 48
patch = 16
image_size = 64
[decoder]
steps = {STEPS}
batch_size = 8
lr = 3e-3
muon_lr = 0.02
text_slots = 8
negatives = 20
blind = 0.2
restyle = 0.2
mix = {{ draw = 2, see = 2, hear = 2, speak = 2, hear-draw = 1, see-speak = 1 }}
heard = 12
said = 8
"""
OWN = DRAWS[DRAWS.index("[decoder]") : DRAWS.index("[model]")]
ANY = (DRAWS.replace(OWN, "") + SENSES).replace("max_seq_len = 128", "max_seq_len = 256")


class CutError(Exception):
    """The machine went away."""


class Grown(Place):
    """A place whose decoder drew alone at first."""

    before: dict[str, Tensor]  # that decoder


@pytest.fixture(scope="module")
def small() -> Iterable[None]:
    """Small pools for codebooks, short sounds that are hummed, and a checkpoint at every step."""
    with small_pools() as patch:
        patch.setattr(sound, "FIT_LATENTS", 100)
        patch.setattr(sound, "CROP", 0.32)
        patch.setattr(sound, "Speaker", Humming)
        patch.setattr(utterances, "Speaker", Humming)
        yield


@pytest.fixture(scope="module")
def grown(small: None, tmp_path_factory: pytest.TempPathFactory) -> Grown:
    """A model that draws, then given ears, eyes and a voice, as pocket-any's recipe says at its top."""
    place = Grown(tmp_path_factory.mktemp("any"), DRAWS)
    place.train()
    place.before = place.weights("decoder")
    place.recipe.write_text(ANY, "utf-8")
    for component in ("codec", "vision"):
        place.train(only=component)
    place.recipe.write_text(ANY.replace("image_size = 64\n", "image_size = 64\npool = 2\n"), "utf-8")
    place.train(only="decoder", warm=True)
    return place


@pytest.mark.slow
def test_the_components_make_one_model(grown: Grown) -> None:
    assert list(dict.fromkeys(name for name, _ in grown.reports)) == ["dvae", "decoder", "codec", "vision"]
    model = zoo.find(str(grown.model))
    assert model.config.codec is not None and model.config.vision is not None and model.codec_fingerprint
    assert model.config.vision.pool == 2, "the eyes as the decoder knows them"
    assert model.config.decoder is not None
    assert list(model.config.decoder.modalities) == ["text", "image", "audio", "sight"]
    assert grown.weights("codec")["quantizers.0.codebook"].dtype == torch.float32
    assert {t.dtype for t in grown.weights("vision").values()} == {torch.float16}
    assert (grown.data / "said.npz").exists() and (grown.data / "heard.npz").exists()


@pytest.mark.slow
def test_what_it_knew_is_where_it_began(grown: Grown) -> None:
    """Six small steps away from the weights that it had; a fresh start would be nowhere near."""
    before, after = grown.before, grown.weights("decoder")
    for name in ("modalities.text.embed.weight", "modalities.image.embed.weight"):
        both = torch.stack([before[name].float().flatten(), after[name].float().flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.8, name
    assert after["modalities.audio.embed.weight"].isfinite().all()


@pytest.mark.slow
def test_it_describes_hears_speaks_and_draws(grown: Grown) -> None:
    pipeline = load(str(grown.model))
    sampling = Sampling(seed=2)
    picture = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    heard = pipeline.sounds.encode([np.sin(np.arange(8000, dtype=np.float32))[None]], "sound")
    write, speak = pipeline.plan_text(sampling, 8), pipeline.plan_sound(sampling, 0.2)
    told = [pipeline.decode(r) for r in write.run([pipeline.show(picture), heard])]
    assert len(told) == 2 and all(isinstance(text, str) for text in told)
    (said,) = speak.run([pipeline.tokenize("a red kite")])
    made = pipeline.decode(said)
    waveform = np.concatenate([piece[0] for piece in made.pieces])  # type: ignore[union-attr]
    assert 0 < len(waveform) <= 3200 and np.isfinite(waveform).all()
    (drawn,) = pipeline.plan_picture(sampling).run([heard])
    assert drawn.segments[-1].data.shape == (8, 8)


@pytest.mark.slow
def test_resuming_the_decoder_is_as_if_never_stopped(grown: Grown, monkeypatch: pytest.MonkeyPatch) -> None:
    unbroken = grown.weights("decoder")
    log = grown.runs / "tiny" / "decoder.jsonl"
    lines = [line.split(", ", 2)[2] for line in log.read_text().splitlines()]
    config = read_config(grown.model / "config.json")  # back to the model that draws
    assert config.decoder is not None
    few = {k: v for k, v in config.decoder.modalities.items() if k in ("text", "image")}
    old = dataclasses.replace(config.decoder, modalities=few)
    weights.save(grown.before, grown.model / "decoder.safetensors")
    (grown.model / "config.json").write_text(format_config(dataclasses.replace(config, decoder=old)))
    batch = JointObjective.batch

    def cut(self: JointObjective, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        if step == 3:
            raise CutError
        return batch(self, rng, step)

    with monkeypatch.context() as patch, pytest.raises(CutError):
        patch.setattr(JointObjective, "batch", cut)
        grown.train(only="decoder", warm=True)
    assert torch.load(grown.runs / "tiny" / "decoder.pt", weights_only=True)["step"] == 3
    grown.train(only="decoder", resume=True, warm=True)
    again = grown.weights("decoder")
    assert all(torch.equal(unbroken[name], again[name]) for name in unbroken)
    assert [line.split(", ", 2)[2] for line in log.read_text().splitlines()] == lines


def test_utterances_are_kept_and_made_again_for_another_codec(small: None, tmp_path: Path) -> None:
    place, samples = Place(tmp_path, ANY), corpus()
    first = place.shop()
    first.codec, first.corpus, first.samples = tiny_codec(), samples, samples.samples  # type: ignore[assignment]
    made, path = first.utterances(False, 5), place.data / "heard.npz"
    age = path.stat().st_mtime_ns
    again = first.utterances(False, 5)
    assert again.texts == made.texts and path.stat().st_mtime_ns == age
    own = first.utterances(True, 5)
    assert own.texts != made.texts and path.stat().st_mtime_ns == age
    first.codec.quantizers[0].codebook.mul_(1.5)
    assert not np.array_equal(first.utterances(False, 5).codes, made.codes)
    assert path.stat().st_mtime_ns != age


@pytest.mark.parametrize(
    ("component", "removed"),
    [
        ("codec", SENSES[SENSES.index("[model.codec]") : SENSES.index("[model.vision]")]),
        ("vision", SENSES[SENSES.index("[model.vision]") : SENSES.index("[decoder]")]),
    ],
    ids=["codec", "vision"],
)
def test_a_component_without_its_shape_is_one_line(
    small: None, tmp_path: Path, component: str, removed: str
) -> None:
    assert removed in ANY
    with pytest.raises(JanusError, match=rf"^the recipe trains a .*has no \[model\.{component}\]$"):
        Place(tmp_path, ANY.replace(removed, "")).train(only=component)


def test_ears_and_eyes_come_after_what_they_need(small: None, tmp_path: Path) -> None:
    place = Place(tmp_path, ANY)
    with pytest.raises(ModelError, match=r"dvae\.safetensors: no such file"):
        place.train(only="decoder")
    with pytest.raises(ModelError, match=r"dvae\.safetensors: no such file"):
        place.train(only="vision")
