"""EnCodec checkpoints of random weights: the codes and sounds of the `encodec` package and transformers."""

import json

import pytest
import torch
from helpers.sounds import tone

from janus_cli import zoo
from janus_cli.errors import ModelError
from janus_cli.nets.codec import Codec, import_encodec
from janus_cli.nets.streaming import count_frames, decode_stream, encode_stream
from janus_cli.weights import published as parts
from janus_cli.zoo import encodec

CONFIG_32KHZ = {
    "model_type": "encodec",
    "audio_channels": 1,
    "chunk_length_s": None,
    "codebook_dim": 128,
    "codebook_size": 2048,
    "compress": 2,
    "dilation_growth_rate": 2,
    "hidden_size": 128,
    "kernel_size": 7,
    "last_kernel_size": 7,
    "norm_type": "weight_norm",
    "normalize": False,
    "num_filters": 64,
    "num_lstm_layers": 2,
    "num_residual_layers": 1,
    "overlap": None,
    "pad_mode": "reflect",
    "residual_kernel_size": 3,
    "sampling_rate": 32000,
    "target_bandwidths": [2.2],
    "trim_right_ratio": 1.0,
    "upsampling_ratios": [8, 5, 4, 4],
    "use_causal_conv": False,
    "use_conv_shortcut": False,
}


def wake(model, rate, channels):
    """Weights that let sounds through, and codebooks that lie where the latents are."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("weight_g", "original0")):
                parameter.mul_(1.5)
        rest = model.encoder(torch.from_numpy(tone(1, rate, channels))[None])[0].T
        for layer in getattr(model.quantizer, "vq", model.quantizer).layers:
            book = getattr(layer, "_codebook", None) or layer.codebook
            book.embed.copy_(rest.mean(0) + rest.std() * torch.randn(book.embed.shape))
            rest = rest - book.embed[book.quantize(rest)]
    return model.eval()


@pytest.fixture(scope="module", params=["24khz", "48khz"])
def package(request, tmp_path_factory):
    """(the encodec package's model, its .th file)"""
    EncodecModel = import_encodec("encodec.model").EncodecModel

    torch.manual_seed(0)
    model = getattr(EncodecModel, f"encodec_model_{request.param}")(pretrained=False)
    wake(model, model.sample_rate, model.channels)
    path = tmp_path_factory.mktemp("encodec") / f"encodec_{request.param}-0badcafe.th"
    torch.save(model.state_dict(), path)
    return model, path


def ours(path, dtype=torch.float32):
    return parts.load_codec(path, zoo.find(str(path)).config.codec, "cpu").to(dtype)


def encoded(codec, sound, n_q=None):
    runs = list(encode_stream(codec, sound.split(30011, 2), n_q))
    return torch.cat([codes for codes, _ in runs], 2), [scale for _, scale in runs if scale is not None]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_codes_and_sounds_of_the_package(package, dtype):
    model, path = package
    model = model.to(dtype)
    codec = ours(path, dtype)
    samples = int(1.3 * model.sample_rate) + 77
    sound = torch.from_numpy(tone(2, model.sample_rate, model.channels))[None, ..., :samples].to(dtype)
    for bandwidth in model.target_bandwidths[slice(2) if dtype == torch.float64 else slice(-2, -1)]:
        model.set_target_bandwidth(bandwidth)
        with torch.no_grad():
            frames = model.encode(sound)
            back = model.decode(frames)
        theirs = torch.cat([codes for codes, _ in frames], 2)
        codes, scales = encoded(codec, sound, theirs.shape[1])
        assert torch.equal(codes, theirs) and len(theirs.unique()) > 50
        if model.normalize:
            assert scales == pytest.approx([float(scale) for _, scale in frames], rel=1e-5)
        decoded = list(decode_stream(codec, codes, count_frames(codec.cfg, samples), scales or None))
        found = torch.cat(decoded, 2)[..., :samples]
        torch.testing.assert_close(found, back[..., :samples], rtol=0, atol=1e-4)
    model.to(torch.float32)


def test_bandwidths_are_those_of_the_package(package):
    from janus_cli.stages.audio import count_books

    model, path = package
    cfg = zoo.find(str(path)).config.codec
    for bandwidth in model.target_bandwidths:
        assert count_books(cfg, bandwidth) == model.quantizer.get_num_quantizers_for_bandwidth(
            model.frame_rate, bandwidth
        )
    assert (cfg.n_q, cfg.frame_rate) == (model.quantizer.n_q, model.frame_rate)


def test_a_checkpoint_that_does_not_fit_is_named(package, tmp_path):
    model, path = package
    state = model.state_dict()
    name = "encoder.model.0.conv.conv.bias"
    for change, message in (
        ({name: None}, rf"tensor {name} is missing \(1 in all\)"),
        ({"other": torch.zeros(1)}, r"unknown tensor other \(1 in all\)"),
        ({name: torch.zeros(5)}, rf"tensor {name} has shape \[5\]"),
    ):
        bad = tmp_path / path.name
        torch.save({k: v for k, v in {**state, **change}.items() if v is not None}, bad)
        with pytest.raises(ModelError, match=message):
            ours(bad)


def test_the_other_model_under_this_name_is_refused(package, tmp_path):
    _, path = package
    other = tmp_path / ("encodec_48khz.th" if "24" in path.name else "encodec_24khz.th")
    other.write_bytes(path.read_bytes())
    with pytest.raises(ModelError, match="tensor .* (is missing|has shape)|the tensors of its weights count"):
        ours(other)


@pytest.fixture(scope="module", params=["weight_g", "parametrizations"])
def hf(request, tmp_path_factory, transformers):
    """(transformers' model, its folder) in the older or the newer way to store weight norms."""
    from safetensors.torch import save_file
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    config = {**CONFIG_32KHZ, "num_filters": 16, "hidden_size": 32, "codebook_dim": 32}
    model = wake(EncodecModel(EncodecConfig(**config)), 32000, 1)
    folder = tmp_path_factory.mktemp("hf")
    state = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        )
        if request.param == "weight_g"
        else name: tensor
        for name, tensor in model.state_dict().items()
    }
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))
    return model, folder


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_codes_and_sounds_of_transformers(hf, dtype):
    model, folder = hf
    codec = ours(folder, dtype)
    model = model.to(dtype)
    sound = torch.from_numpy(tone(3, 32000))[None, :, :70001].to(dtype)
    with torch.no_grad():
        theirs = model.encode(sound, bandwidth=2.2)
        back = model.decode(theirs.audio_codes, theirs.audio_scales).audio_values
    codes, _ = encoded(codec, sound)
    assert torch.equal(codes, theirs.audio_codes[0]) and codes.shape[1] == 4 and len(codes.unique()) > 50
    decoded = torch.cat(list(decode_stream(codec, codes, [codes.shape[2]])), 2)
    torch.testing.assert_close(decoded, back, rtol=0, atol=1e-4)
    model.to(torch.float32)


def test_the_published_32khz_configuration(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG_32KHZ))
    cfg = encodec.read(tmp_path, "facebook/encodec_32khz").codec
    assert (cfg.n_q, cfg.codebook_size, cfg.hop_length, cfg.frame_rate) == (4, 2048, 640, 50)
    assert (cfg.n_filter, cfg.causal, cfg.conv_shortcut, cfg.n_lstm) == (64, False, False, 2)
    net = Codec(cfg)  # 56,858,560 parameters and 4 x 2048 x 128 codes
    assert sum(p.numel() for p in net.parameters()) > 5e7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pad_mode": "constant"}, "pad_mode: this janus does not know 'constant'"),
        (
            {"upsampling_ratios": [8, 5, 4]},
            r"upsampling_ratios: expected a list of length 4, found \[8, 5, 4\]",
        ),
        ({"codebook_size": 1000}, "codebook_size: expected a power of two, found 1000"),
        ({"codebook_dim": 64}, "codebook_dim: expected 128, found 64"),
        ({"target_bandwidths": []}, r"target_bandwidths: expected a list of length >= 1, found \[\]"),
        ({"target_bandwidths": [0.001]}, "that would be 0 codebooks"),
        ({"chunk_length_s": -1}, r"chunk_length_s: expected float >= 0\.0, found -1"),
        ({"overlap": 1}, r"overlap: expected float < 1\.0, found 1"),
        ({"use_causal_conv": True, "norm_type": "time_group_norm"}, "not causal"),
        ({"use_causal_conv": 1}, r"use_causal_conv: expected bool \| null, found 1"),
    ],
)
def test_configurations_that_are_not_built_here(tmp_path, change, message):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG_32KHZ, **change}))
    with pytest.raises(ModelError, match=message):
        encodec.read(tmp_path)
