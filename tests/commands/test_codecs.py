"""Published EnCodec checkpoints on the command line: named, by file, in a folder, from the hub."""

import json

import pytest
import torch
from helpers.hubs import NAME, serve
from helpers.runs import no_traceback
from helpers.sounds import file_bytes, lively, publish_encodec, tone

from bench.make_checkpoint import publish
from janus_cli.config import CodecConfig
from janus_cli.nets.codec import Codec
from janus_cli.records import loads
from janus_cli.weights import remap
from janus_cli.zoo import encodec

SMALL = {
    "encodec_24khz": CodecConfig(sample_rate=24000, dim=16, n_filter=4, n_lstm=2, n_q=8, codebook_size=64),
    "encodec_48khz": CodecConfig(
        sample_rate=48000,
        channels=2,
        dim=16,
        n_filter=4,
        n_lstm=2,
        n_q=4,
        codebook_size=64,
        causal=False,
        norm="time_group_norm",
        normalize=True,
        segment=48000,
    ),
}


@pytest.fixture
def codecs(environment, monkeypatch):
    """Both of the package's models, small, in torch's cache; that cache."""
    cache = environment / "torch"
    monkeypatch.setenv("TORCH_HOME", str(cache))
    monkeypatch.setattr(encodec, "_CODECS", SMALL)
    for name, cfg in SMALL.items():
        path = encodec._place(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        norm = None if cfg.norm == "time_group_norm" else remap.NORMS[0]
        torch.save(publish(lively(Codec(cfg)).state_dict(), "encodec", norm), path)
    (environment / "a.wav").write_bytes(file_bytes(tone(1.2, 44100, 2), 44100))
    return cache


@pytest.fixture
def folder_files(tmp_path):
    """What a folder in transformers' layout holds."""
    return publish_encodec(tmp_path)


@pytest.mark.parametrize(
    ("name", "rate", "channels", "bandwidth", "books"),
    [("encodec_24khz", 24000, 1, "0.9", 2), ("encodec_48khz", 48000, 2, "1.8", 2)],
)
def test_models_of_the_package_by_name(janus, codecs, environment, name, rate, channels, bandwidth, books):
    assert janus("tokenize", "audio", "a.wav", "-m", name, "-o", "a.safetensors", "-b", bandwidth).code == 0
    (segment,) = loads((environment / "a.safetensors").read_bytes()).segments
    assert segment.info["tokenizer"] == name and segment.data.shape[0] == books
    assert segment.info["num_samples"] == 1.2 * rate and ("scales" in segment.info) == (channels == 2)
    done = janus("decode", "a.safetensors", "-o", "b.wav")  # the record says whose it is
    assert done.code == 0, done.err
    facts = json.loads(janus("info", "--json", "b.wav").text)
    assert (facts["sample_rate"], facts["channels"], facts["seconds"]) == (rate, channels, 1.2)


def test_a_file_by_its_path(janus, codecs, environment):
    path = encodec._place("encodec_24khz")
    named = janus("tokenize", "audio", "a.wav", "-m", "encodec_24khz").out
    moved = path.rename(environment / "my-24khz.th")
    assert janus("tokenize", "audio", "a.wav", "-m", str(moved)).out == named
    assert "made by model 'encodec_24khz', which is not here: choose one" in janus("decode", stdin=named).err
    assert janus("decode", "-m", str(moved), stdin=named).code == 0
    unknown = moved.rename(environment / "other.th")
    done = janus("tokenize", "audio", "a.wav", "-m", str(unknown))
    assert done.code == 1 and "its name does not say which model it is" in done.err and no_traceback(done)


def test_a_file_that_holds_code_is_refused(janus, codecs, environment):
    torch.save({"a": environment}, environment / "bad-24khz.th")
    done = janus("tokenize", "audio", "a.wav", "-m", "bad-24khz.th")
    assert done.code == 1 and "refused: it holds code or objects" in done.err
    (environment / "cut-24khz.th").write_bytes(encodec._place("encodec_24khz").read_bytes()[:9999])
    done = janus("tokenize", "audio", "a.wav", "-m", "cut-24khz.th")
    assert done.code == 1 and "cut-24khz.th: not a readable weight file" in done.err


def test_what_is_here_is_listed_shown_and_verified(janus, codecs):
    listed = janus("models", "list").text
    assert "encodec_24khz" in listed and "encodec_48khz" in listed
    shown = janus("models", "show", "encodec_24khz").text
    assert "8 codebooks of 64, 75 frames/s, 24000 Hz, 1 channels" in shown and "quantizer" in shown
    done = janus("models", "verify", "encodec_24khz")
    assert done.code == 0 and done.text.startswith("encodec_24khz codec: ok, "), done.err
    encodec._place("encodec_24khz").write_bytes(b"PK nothing")
    assert "not a readable weight file" in janus("models", "verify", "encodec_24khz").err
    assert janus("models", "list").code == 0
    done = janus("models", "import", "encodec_48khz")
    assert done.code == 1 and "nothing to import" in done.err


def test_a_folder_in_transformers_layout_from_the_hub(
    janus, shell, codecs, folder_files, environment, monkeypatch
):
    monkeypatch.setenv("HF_HUB_CACHE", str(environment / "hub"))
    with serve({**folder_files, "preprocessor_config.json": b"{}", "README.md": b"card"}) as hub:
        done = shell(f"janus models pull {NAME} -q", env={"HF_ENDPOINT": hub.url})
    assert done.code == 0, done.err
    assert NAME in janus("models", "list").text
    assert janus("models", "verify", NAME).text.startswith(f"{NAME} codec: ok, ")
    assert "4 codebooks of 64, 50 frames/s, 32000 Hz" in janus("info", NAME).text
    tokens = janus("tokenize", "audio", "a.wav", "-m", NAME)
    assert tokens.code == 0, tokens.err
    assert janus("decode", "-o", "b.flac", stdin=tokens.out).code == 0
    assert json.loads(janus("info", "--json", "b.flac").text)["num_samples"] == 38400


def test_a_codec_draws_nothing(janus, codecs):
    for args, message in (
        (["draw", "a cat", "-m", "encodec_24khz", "-o", "a.png"], "has no decoder"),
        (["tokenize", "image", "a.wav", "-m", "encodec_24khz"], "not a picture"),
        (
            ["tokenize", "text", "a", "-m", "encodec_24khz"],
            "model encodec_24khz has no tokenizer.json: it knows sounds alone",
        ),
    ):
        done = janus(*args)
        assert done.code == 1 and no_traceback(done) and message in done.err, done.err
