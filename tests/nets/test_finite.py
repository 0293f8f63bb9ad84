"""NaN and infinity that a net gives are an error that names it; legitimate -inf is none."""

import numpy as np
import pytest
import torch
from helpers.models import build_tiny_model
from helpers.runs import no_traceback
from safetensors.torch import load_file, save_file

from bench.make_checkpoint import make
from janus_cli.config import JudgeConfig, VisionConfig
from janus_cli.errors import ModelError
from janus_cli.nets.finite import check_finite
from janus_cli.nets.judge import Judge
from janus_cli.nets.siglip import VisionTower
from janus_cli.pipeline import Sampling, load

BAD = (float("nan"), float("inf"), float("-inf"))


def poison(file, name, value=float("nan")):
    """Put one bad number into a tensor of a weight file."""
    state = load_file(file)
    state[name].view(-1)[0] = value
    save_file(state, file)


@pytest.fixture
def model(environment):
    return build_tiny_model(environment / "sick", senses=True)


def refused(act, part, name="sick"):
    with pytest.raises(ModelError, match=f"the {part} of model {name} gave NaN or infinity"):
        act()


@pytest.mark.parametrize("value", BAD)
def test_a_decoder(model, value):
    poison(model / "decoder.safetensors", "modalities.image.embed.weight", value)
    refused(lambda: list(load(str(model)).draw(["a"], Sampling(temperature=0, top_k=3))), "decoder")
    refused(lambda: list(load(str(model)).draw(["a"], Sampling(temperature=1, top_p=0.9))), "decoder")


def test_a_decoder_that_says_words_and_sounds(model):
    poison(model / "decoder.safetensors", "norm.weight")
    pipeline = load(str(model))
    for plan in (
        pipeline.plan_sound(Sampling(), 0.1),
        pipeline.plan_text(Sampling(beams=1), 3),
        pipeline.plan_text(),
    ):
        prompt = pipeline.tokenize("a")
        refused(lambda plan=plan, prompt=prompt: list(plan.run([prompt])), "decoder")


def test_an_image_tokenizer_both_ways(model):
    picture = np.zeros((16, 16, 3), np.uint8)
    made = load(str(model)).pictures.encode(picture)
    poison(model / "dvae.safetensors", "unproject.bias")
    refused(lambda: load(str(model)).decode(made), "dvae")
    poison(model / "dvae.safetensors", "project.bias", float("inf"))
    refused(lambda: load(str(model)).pictures.encode(picture), "dvae")


def test_a_codec_both_ways(model):
    sound = [np.zeros((1, 3200), np.float32)]
    made = load(str(model)).sounds.encode(sound)
    names = [n for n in load_file(model / "codec.safetensors") if n.endswith("bias")]
    poison(model / "codec.safetensors", next(n for n in names if n.startswith("decoder")))
    refused(lambda: list(load(str(model)).decode(made).pieces), "codec")
    poison(model / "codec.safetensors", next(n for n in names if n.startswith("encoder")))
    refused(lambda: load(str(model)).sounds.encode(sound), "codec")


def test_a_denoiser_and_an_upsampler(model):
    made = load(str(model)).pictures.encode(np.zeros((16, 16, 3), np.uint8))
    poison(model / "refiner.safetensors", "up_head.bias")
    refused(lambda: list(load(str(model)).refining.upsample([made], 2)), "refiner")
    list(load(str(model)).refining.denoise([made], 1))  # another head, which is well
    poison(model / "refiner.safetensors", "denoise_head.bias", float("-inf"))
    refused(lambda: list(load(str(model)).refining.denoise([made], 1)), "refiner")


def test_a_vision_encoder_and_a_judge():
    tower = VisionTower(VisionConfig(16, n_layer=1, n_head=2, ff_dim=32, patch=8, image_size=32)).eval()
    judge = Judge(JudgeConfig(4, 2, dim=4, size=16)).eval()
    for net, pixels in ((tower, torch.zeros(1, 3, 32, 32)), (judge, torch.zeros(1, 3, 16, 16))):
        net(pixels)
        for parameter in net.parameters():
            parameter.data.fill_(torch.nan)
        with pytest.raises(ModelError, match=f"the {type(net).__name__} gave NaN or infinity"):
            net(pixels)
        net.train()
        net(pixels.repeat(2, 1, 1, 1))  # a net in training has its loss to tell


def test_legitimate_infinity_is_none(model):
    """Filters take words out with -inf, a sound may not end at once: neither is a fault of the net."""
    pipeline = load(str(model))
    assert len(list(pipeline.draw(["a"], Sampling(temperature=0.5, top_k=1, top_p=0.1)))) == 1
    assert (
        len(list(pipeline.plan_sound(Sampling(temperature=0.5, top_k=1), 0.1).run([pipeline.tokenize("a")])))
        == 1
    )
    assert torch.equal(check_finite(torch.ones(2), torch.nn.Identity().eval()), torch.ones(2))


HEADS = {"draw": "model.generation_head.vision_head.weight", "describe": "lm_head.weight"}


@pytest.mark.parametrize(("command", "name"), HEADS.items())
def test_a_published_checkpoint(janus, environment, command, name):
    folder = make(environment / "sick", layout="transformers")
    poison(folder / "model.safetensors", name)
    picture = environment / "a.png"
    from PIL import Image

    Image.new("RGB", (64, 64)).save(picture)
    done = janus(command, *(["a", "-o", "x.png"] if command == "draw" else [str(picture)]), "-m", str(folder))
    assert done.code == 1 and no_traceback(done) and not (environment / "x.png").exists()
    assert "the decoder of model sick gave NaN or infinity" in done.err and "models verify" in done.err
    checked = janus("models", "verify", str(folder))
    assert checked.code == 3
    assert f"model.safetensors: tensor {name} holds NaN or infinity (1 of" in checked.err


def test_verify_finds_them_in_ours(janus, model):
    poison(model / "refiner.safetensors", "up_head.bias", float("-inf"))
    checked = janus("models", "verify", str(model))
    assert checked.code == 3
    assert "refiner.safetensors: tensor up_head.bias holds NaN or infinity (1 of 12 numbers)" in checked.err
    assert "sick decoder: ok" in checked.text


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_verify_finds_them_in_every_type_and_in_bin_files(janus, environment, dtype):
    folder = make(environment / "sick", layout="original")
    file = next(folder.glob("*.bin"))
    state = {name: t.to(dtype) for name, t in torch.load(file, weights_only=True).items()}
    state["gen_head.vision_head.bias"][3] = torch.inf
    torch.save(state, file)
    checked = janus("models", "verify", str(folder))
    assert checked.code == 3
    assert (
        f"{file.name}: tensor gen_head.vision_head.bias holds NaN or infinity (1 of 64 numbers)"
        in checked.err
    )
