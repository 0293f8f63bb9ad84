"""The codec's net, and its streaming: pieces give what the whole gives, whatever the kind of codec."""

import dataclasses
import math
import subprocess
import sys

import pytest
import torch
from helpers.runs import ROOT
from helpers.sounds import KINDS, lively, tone

from janus_cli.config import CodecConfig
from janus_cli.nets import streaming
from janus_cli.nets.codec import Codec
from janus_cli.nets.streaming import count_frames, decode_stream, encode_stream, plan_windows

WHOLE = [name for name, cfg in KINDS.items() if not cfg.segment]


def test_names_of_the_weights_are_those_of_the_model_files():
    names = {name.split(".")[0] for name in Codec(CodecConfig()).state_dict()}
    assert names == {"encoder", "decoder", "quantizers"}
    assert [n for n in Codec(CodecConfig()).state_dict() if "quantizers" in n] == [
        f"quantizers.{i}.codebook" for i in range(4)
    ]
    assert "encoder.model.0.conv.conv.weight" in Codec(CodecConfig()).state_dict()


@pytest.fixture(autouse=True)
def short_windows(monkeypatch):
    """Many windows in a short sound."""
    monkeypatch.setattr(streaming, "ACTIVATIONS", 16 * 320 * 23)


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("samples", [1, 319, 321, 23 * 320, 40 * 320 + 1, 31237])
def test_pieces_give_the_codes_and_the_sound_of_the_whole(kind, samples):
    codec = lively(Codec(KINDS[kind]).double())
    sound = torch.from_numpy(tone(4, codec.cfg.sample_rate))[None, :, :samples].double()
    whole = codec.encode(sound)
    assert whole.shape[2] == math.ceil(samples / codec.cfg.hop_length)
    for size in (997, samples):
        found = torch.cat([codes for codes, _ in encode_stream(codec, sound.split(size, 2))], 2)
        assert torch.equal(found, whole)
    back = torch.cat(list(decode_stream(codec, whole, [whole.shape[2]])), 2)
    torch.testing.assert_close(back, codec.decode(whole), rtol=0, atol=1e-9)
    if samples > 30000:
        assert len(whole.unique()) > 20  # or equal codes would say little


@pytest.mark.parametrize("kind", WHOLE)
def test_single_precision_gives_the_same_codes(kind):
    codec = lively(Codec(KINDS[kind]))
    sound = torch.from_numpy(tone(4, codec.cfg.sample_rate))[None]
    found = torch.cat([codes for codes, _ in encode_stream(codec, sound.split(5000, 2))], 2)
    assert torch.equal(found, codec.encode(sound))


def test_context_is_the_receptive_field():
    """What lies further back than `left` steps changes nothing, and there is something that reaches far."""
    for kind in ("pocket", "two-sided"):
        cfg = KINDS[kind]
        codec = lively(Codec(cfg).double())
        windows = plan_windows(codec.encoder, cfg.hop_length, cfg.causal, 1)
        sound = torch.from_numpy(tone(2, 16000))[None].double()
        other, frame = sound.clone(), 50
        other[..., : (frame - windows.left) * 320] += 1
        if not cfg.causal:
            other[..., (frame + 1 + windows.right) * 320 :] -= 1
        latents, changed = codec.encoder(sound), codec.encoder(other)
        assert torch.equal(latents[..., frame], changed[..., frame])
        assert not torch.equal(latents[..., frame - windows.left], changed[..., frame - windows.left])
        assert windows.left <= 12


def test_causal_frames_need_no_future():
    codec = lively(Codec(KINDS["24khz"]).double())
    sound = torch.from_numpy(tone(2, 24000))[None].double()
    assert torch.equal(codec.encode(sound)[..., :50], codec.encode(sound[..., : 50 * 320]))


@pytest.mark.parametrize("samples", [1, 479, 48000, 48001, 47900, 3 * 48000 - 7])
def test_segments_are_as_long_as_what_is_left(samples):
    codec = lively(Codec(KINDS["48khz"]))
    sound = torch.from_numpy(tone(3, 48000, 2))[None, ..., :samples]
    runs = list(encode_stream(codec, sound.split(10007, 2)))
    assert [codes.shape[2] for codes, _ in runs] == count_frames(codec.cfg, samples)
    codes, scales = torch.cat([codes for codes, _ in runs], 2), [scale for _, scale in runs]
    back = torch.cat(list(decode_stream(codec, codes, count_frames(codec.cfg, samples), scales)), 2)
    assert back.shape[:2] == (1, 2) and back.shape[2] >= samples and back.isfinite().all()


def test_fewer_codebooks_are_a_prefix():
    codec = lively(Codec(KINDS["pocket"]))
    sound = torch.from_numpy(tone(1, 16000))[None]
    whole = codec.encode(sound)
    assert torch.equal(torch.cat([c for c, _ in encode_stream(codec, [sound], 2)], 2), whole[:, :2])
    assert codec.decode(whole[:, :2]).shape == (1, 1, 16000)


def test_no_frames_of_nothing():
    codec = Codec(KINDS["pocket"])
    assert list(encode_stream(codec, [])) == [] and list(encode_stream(codec, [torch.zeros(1, 1, 0)])) == []
    assert count_frames(codec.cfg, 0) == []


def test_conv_shortcuts_can_be_left_out():
    for wanted in (True, False):
        net = Codec(dataclasses.replace(KINDS["pocket"], conv_shortcut=wanted))
        assert any("shortcut" in name for name in net.state_dict()) == wanted


@pytest.mark.slow
@pytest.mark.parametrize("error", ["OSError", "ImportError"])
def test_torchaudio_may_be_broken_or_missing(error):
    code = f"""
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torchaudio":
            raise {error}("libtorch_cuda.so: cannot open shared object file")
sys.meta_path.insert(0, Finder())
from janus_cli.config import CodecConfig
from janus_cli.nets.codec import Codec
import torch
print(Codec(CodecConfig(n_filter=2)).encode(torch.zeros(1, 1, 640)).shape[2], "torchaudio" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2 False\n"), done.stderr
