"""The audio tokenizer in training: spectra against known ones, and what moves before and after the codes."""

import numpy as np
import pytest
import torch
from helpers.materials import CODEC, CONCEPTS, Humming
from helpers.packs import concept
from torch import Tensor, nn

from janus_cli.dataset.captions import draw_sentence
from janus_cli.dataset.pack import LANGUAGES
from janus_cli.dataset.speech import RATE
from janus_cli.nets.codec import Codec
from janus_cli.training.loop import Schedule
from janus_cli.training.losses import FLOOR, log_mel, mel_filters, spectral_loss
from janus_cli.training.objectives import codec as sound
from janus_cli.training.objectives.codec import CodecObjective, rescale_layers
from janus_cli.training.optim import adamw

# ---- spectra


def mel(hertz):  # type: ignore[no-untyped-def]
    """O'Shaughnessy's scale: 1000 Hz is 1000 mel."""
    return 2595 * np.log10(1 + hertz / 700)


def test_the_mel_scale_is_the_known_one() -> None:
    assert mel(1000) == pytest.approx(1000, abs=0.1)


@pytest.mark.parametrize(("n_mel", "window"), [(16, 128), (64, 1024), (80, 2048)])
def test_filters_are_triangles_evenly_spaced_in_mel(n_mel: int, window: int) -> None:
    filters = mel_filters(n_mel, window, RATE)
    assert filters.shape == (window // 2 + 1, n_mel)
    step = mel(RATE / 2) / (n_mel + 1)
    back = lambda m: 700 * (10 ** (m / 2595) - 1)  # noqa: E731
    hertz = np.arange(window // 2 + 1) * RATE / window
    for band in range(n_mel):
        corners = [back(step * (band + i)) for i in range(3)]
        expected = np.interp(hertz, corners, [0, 1, 0], left=0, right=0)
        np.testing.assert_allclose(filters[:, band], expected, atol=1e-5)


def test_neighbouring_filters_share_out_every_frequency() -> None:
    filters = mel_filters(40, 2048, RATE)
    hertz = np.arange(1025) * RATE / 2048
    step = mel(RATE / 2) / 41
    inside = (step <= mel(hertz)) & (mel(hertz) <= 40 * step)
    np.testing.assert_allclose(filters[inside].sum(1), 1, atol=1e-5)


def sine(hertz: float, amplitude: float = 0.5, seconds: float = 0.3) -> Tensor:
    time = torch.arange(int(seconds * RATE), dtype=torch.float64) / RATE
    return (amplitude * torch.sin(2 * torch.pi * hertz * time)).float()[None]


@pytest.mark.parametrize("hertz", [300, 1000, 3000, 7000])
def test_a_sine_is_loudest_in_its_own_band(hertz: float) -> None:
    spectrum = log_mel(sine(hertz), 1024, RATE, 64)
    assert spectrum.shape == (1, 1 + int(0.3 * RATE) // 256, 64)
    expected = round(mel(hertz) / (mel(RATE / 2) / 65)) - 1
    assert abs(int(spectrum[0, 5].argmax()) - expected) <= 1


def test_loudness_is_amplitude_and_silence_the_floor() -> None:
    silence = log_mel(torch.zeros(1, 4800), 1024, RATE)
    torch.testing.assert_close(silence, torch.full_like(silence, np.log(FLOOR)), atol=0.1, rtol=0)
    loud, soft = (log_mel(sine(1000, a), 1024, RATE)[0, 5].max() for a in (0.8, 0.2))
    assert float(loud - soft) == pytest.approx(np.log(4), abs=0.05)


def test_spectral_loss_is_zero_for_equals_alone() -> None:
    a, b = sine(500), sine(2000)
    assert spectral_loss(a, a, RATE).item() == 0
    assert spectral_loss(a, b, RATE).item() > spectral_loss(a, sine(520), RATE).item() > 0
    assert spectral_loss(a, -a, RATE).item() == pytest.approx(0, abs=1e-3), "the phase does not count"
    x = (0.1 * torch.randn(1, 4800)).requires_grad_()
    spectral_loss(x, a, RATE).backward()
    assert x.grad is not None and x.grad.isfinite().all() and x.grad.any()


def test_silence_has_a_finite_gradient() -> None:
    x = torch.zeros(1, 4800, requires_grad=True)
    spectral_loss(x, sine(500), RATE).backward()
    assert x.grad is not None and x.grad.isfinite().all()


# ---- sentences


def test_sentences_are_names_and_keywords_of_their_language() -> None:
    rng = np.random.default_rng(0)
    heard = [draw_sentence(CONCEPTS, rng) for _ in range(300)]
    assert {language for _, language in heard} == set(LANGUAGES)
    assert 0.35 < np.mean([language == "en" for _, language in heard]) < 0.65
    for text, language in heard:
        known = {w for c in CONCEPTS for w in (c.labels[language], *c.tags[language])}
        assert len(text.split(", ")) == 6 and set(text.split(", ")) <= known


def test_a_language_that_a_concept_lacks_falls_back_to_its_name() -> None:
    lacking = concept("apple")
    for language in LANGUAGES:
        lacking.labels.pop(language), lacking.tags.pop(language)
    assert {draw_sentence([lacking], np.random.default_rng(i))[0] for i in range(20)} == {"apple, apple"}


# ---- the start


def test_spread_gives_every_layer_unit_deviation() -> None:
    torch.manual_seed(0)
    codec = Codec(CODEC)
    example = 0.1 * torch.randn(4, 1, 6400)
    latents = rescale_layers(codec.encoder, example)
    result = rescale_layers(codec.decoder, latents, 0.05)
    torch.testing.assert_close(codec.encoder(example), latents)
    torch.testing.assert_close(codec.decoder(latents), result, atol=1e-5, rtol=1e-3)
    for net, given, last in ((codec.encoder, example, 1.0), (codec.decoder, latents, 0.05)):
        seen: list[tuple[nn.Module, Tensor]] = []
        layers = [m for m in net.modules() if isinstance(m, nn.Conv1d | nn.ConvTranspose1d)]
        for layer in layers:
            layer.register_forward_hook(lambda m, _, out, seen=seen: seen.append((m, out)))
        net(given)
        assert len(seen) == len(layers) > 8
        for layer, out in seen:
            assert out.mean().item() == pytest.approx(0, abs=1e-3)
            assert out.std().item() == pytest.approx(last if layer is layers[-1] else 1, rel=1e-3)


# ---- the objective


@pytest.fixture
def objective(monkeypatch: pytest.MonkeyPatch) -> CodecObjective:
    """Two steps without codes; sentences are hummed."""
    monkeypatch.setattr(sound, "FIT_LATENTS", 200)
    monkeypatch.setattr(sound, "CROP", 0.32)
    torch.manual_seed(0)
    made = CodecObjective(CODEC, CONCEPTS, batch_size=3, plain=2)
    made.speaker = Humming()  # type: ignore[assignment]
    made.initialise(np.random.default_rng(0))
    return made


def test_a_batch_is_crops_of_speech(objective: CodecObjective) -> None:
    waveform = objective.batch(np.random.default_rng(0), 0)["waveform"]
    assert waveform.shape == (3, 5120) and waveform.dtype == torch.float32
    assert 0.1 < waveform.abs().max() <= 0.95 and waveform.std(1).min() > 0.01
    again = objective.batch(np.random.default_rng(0), 0)["waveform"]
    assert torch.equal(again, waveform), "the same random numbers, the same batch"


def test_a_short_sentence_is_padded(objective: CodecObjective) -> None:
    class Curt:
        def say(self, utterance: object) -> np.ndarray:
            return np.full(100, 0.5, np.float32)

    objective.speaker = Curt()  # type: ignore[assignment]
    piece = objective.crop(np.random.default_rng(0))
    assert len(piece) == 5120 and piece[:100].all() and not piece[100:].any() and piece.dtype == np.float32


def test_before_the_codes_latents_are_noisy_and_the_encoder_learns(objective: CodecObjective) -> None:
    batch = objective.batch(np.random.default_rng(0), 1)
    assert batch["used"].item() == 0
    latents = objective.codec.encoder(batch["waveform"][:, None])
    noise = objective._encode(batch["waveform"], 0) - latents
    assert (noise.std() / latents.std()).item() == pytest.approx(sound.NOISE, rel=0.1)
    loss, metrics = objective(batch)
    loss.backward()
    assert loss.item() == pytest.approx(metrics["mel"].item() + 0.3 * metrics["waveform"].item(), rel=1e-4)
    assert all(p.grad is not None and p.grad.any() for p in objective.codec.parameters())


def test_the_codebooks_are_fitted_at_their_step_alone(objective: CodecObjective) -> None:
    books = objective.codec.codebooks.clone()
    for step in (0, 1, 3):
        objective.batch(np.random.default_rng(step), step)
        assert torch.equal(objective.codec.codebooks, books)
    waveform = objective.batch(np.random.default_rng(2), 2)["waveform"]
    assert not torch.equal(objective.codec.codebooks, books)
    latents = objective.codec.encoder(waveform[:, None])
    left = []
    for used in range(CODEC.n_q + 1):
        codes = objective.codec.quantize(latents)[:, :used]
        made = objective.codec.dequantize(codes) if used else torch.zeros_like(latents)
        left.append((latents - made).square().mean().item())
    assert left[0] > 2 * left[1] > 2 * left[2], "each codebook leaves less than half"


def test_afterwards_a_third_of_the_steps_use_fewer_codebooks(
    objective: CodecObjective, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objective, "crop", lambda rng: np.zeros(4, np.float32))
    used = [int(objective.batch(np.random.default_rng(i), 9)["used"]) for i in range(300)]
    assert set(used) == {1, 2} and 0.1 < np.mean(np.array(used) == 1) < 0.25  # half of a third, of two books


def test_afterwards_the_decoder_alone_moves(objective: CodecObjective) -> None:
    objective.batch(np.random.default_rng(2), 2)
    before = {k: v.clone() for k, v in objective.codec.state_dict().items()}
    optimizers = adamw(objective, 1e-3)
    for step in (3, 4, 5):
        loss, _ = objective(objective.batch(np.random.default_rng(step), step))
        loss.backward()
        optimizers.step(1.0)
    moved = {k for k, v in objective.codec.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == {k for k in before if k.startswith("decoder.")}


def test_what_is_decoded_is_what_the_codes_say(objective: CodecObjective) -> None:
    batch = objective.batch(np.random.default_rng(2), 2)
    codes = objective.codec.encode(batch["waveform"][:, None])
    for used in (1, 2):
        torch.testing.assert_close(
            objective._encode(batch["waveform"], used), objective.codec.dequantize(codes[:, :used])
        )


@pytest.mark.parametrize("step", [0, 2], ids=["plain", "codes"])
def test_the_loss_falls(objective: CodecObjective, step: int) -> None:
    batch = objective.batch(np.random.default_rng(2), step)
    optimizers, schedule, losses = adamw(objective, 3e-3), Schedule(15, warmup=2), []
    for i in range(15):
        loss, _ = objective(batch)
        losses.append(loss.item())
        loss.backward()
        optimizers.step(schedule.factor(i))
    assert np.mean(losses[-3:]) < 0.9 * losses[0]
