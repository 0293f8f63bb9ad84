"""Janus-Pro against transformers' own implementation, on tiny random checkpoints of the same weights."""

import numpy as np
import pytest
import torch

from bench.make_checkpoint import make, publish
from janus_cli.pipeline import Sampling, load
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.describe import preprocess
from janus_cli.weights import published as parts
from janus_cli.weights import remap

CLOSE = dict(rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The same weights as one .bin, in .bin shards, and in transformers' safetensors, whole and in shards."""
    root = tmp_path_factory.mktemp("pro")
    made = {
        "bin": ("original", 0),
        "bins": ("original", 4_000_000),
        "safetensors": ("transformers", 0),
        "shards": ("transformers", 4_000_000),
    }
    return {name: make(root / name, layout=layout, shard=shard) for name, (layout, shard) in made.items()}


@pytest.fixture(scope="module")
def theirs(folders, transformers):
    janus = transformers.JanusForConditionalGeneration
    return janus.from_pretrained(folders["safetensors"], dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def ours(folders):
    return load(str(folders["bins"]))


@pytest.fixture(scope="module")
def net(ours):
    return ours.nets.fill(parts.GENERATE + parts.UNDERSTAND + parts.TOKENIZE)


@torch.inference_mode()
def test_text_logits(theirs, net):
    ids = torch.randint(8, 300, (2, 11), generator=torch.Generator().manual_seed(0))
    types = torch.zeros_like(ids)
    logits = net.compute_logits(net.run(net.embed(ids, types), types), "text")
    torch.testing.assert_close(logits, theirs(input_ids=ids).logits, **CLOSE)


@torch.inference_mode()
def test_features_after_the_aligner(theirs, net):
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = theirs.model.get_image_features(pixels).pooler_output
    torch.testing.assert_close(net.see(pixels), expected, **CLOSE)


@torch.inference_mode()
def test_vq_decoding(theirs, net):
    codes = torch.randint(64, (2, 16), generator=torch.Generator().manual_seed(2))
    pixels = net.gen_vision_model.decode(codes.view(2, 4, 4))
    torch.testing.assert_close(pixels, theirs.model.vqmodel.decode(codes), **CLOSE)


@torch.inference_mode()
def test_vq_encoding(theirs, net):
    """Their encoder; the nearest code by cosine, as in the original (transformers normalises one side)."""
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    vq = theirs.model.vqmodel
    latents = vq.quant_conv(vq.encoder(pixels)).permute(0, 2, 3, 1)[..., None, :]
    likeness = torch.cosine_similarity(latents, vq.quantize.embedding.weight, dim=-1)
    codes = net.gen_vision_model.encode(pixels)
    assert codes.unique().numel() > 1
    best = likeness.max(-1).values
    torch.testing.assert_close(likeness.gather(-1, codes[..., None])[..., 0], best, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_generation_logits_with_guidance(theirs, net, ours):
    rows = [
        torch.from_numpy(ours.nets.templates.lay_out(ours.tokenize("a red apple"), drop)[0])
        for drop in (False, True)
    ]
    ids = torch.stack(rows)
    hidden = theirs.model.language_model(input_ids=ids).last_hidden_state[:, -1]
    expected = theirs.model.generation_head(hidden)
    types = torch.zeros_like(ids)
    logits = net.compute_logits(net.run(net.embed(ids, types), types)[:, -1], "image")
    guided, wanted = (x[1] + 5 * (x[0] - x[1]) for x in (logits, expected))
    torch.testing.assert_close(guided, wanted, **CLOSE)


def test_a_greedy_picture_token_for_token_in_every_layout(theirs, folders, ours):
    ids = torch.from_numpy(ours.nets.templates.lay_out(ours.tokenize("a red apple"))[:1])
    expected = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), generation_mode="image", guidance_scale=5.0, do_sample=False
    )
    for folder in folders.values():
        record = next(load(str(folder)).draw(["a red apple"], Sampling(temperature=0)))
        assert record.segments[0].data.ravel().tolist() == expected[0].tolist(), folder.name


@torch.inference_mode()
def test_a_greedy_answer_token_for_token(theirs, net, ours):
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    question = ours.nets.templates.put_question([None, "What is it?"], 16)
    options = GenerateOptions("text", temperature=0, max_tokens=20)
    made = list(ours.nets.open_stage(options).draw_ids(question, [image]))
    ids = question.ids
    whole = torch.tensor([ids])
    out = theirs.generate(
        whole,
        attention_mask=torch.ones_like(whole),
        max_new_tokens=20,
        do_sample=False,
        pixel_values=preprocess(image, net.janus_pro.vision),
        eos_token_id=ours.nets.templates.end,
    )
    assert made == [id for id in out[0, len(ids) :].tolist() if id != ours.nets.templates.end]
    assert len(made) > 3


def test_preprocessing_as_their_processor_does_it(ours, transformers):
    from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

    half = [0.5] * 3
    their = JanusImageProcessorPil(size={"height": 64, "width": 64}, image_mean=half, image_std=half)
    for shape in ((100, 100, 3), (64, 32, 3), (32, 128, 3)):
        image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
        expected = torch.as_tensor(np.array(their(image, return_tensors="np")["pixel_values"]))
        torch.testing.assert_close(preprocess(image, ours.nets.config.vision), expected, rtol=0, atol=1e-2)


def test_a_round_trip_through_our_names_is_exact(folders):
    for folder, layout in ((folders["bin"], "original"), (folders["shards"], "transformers")):
        held = parts.PublishedNet(folder, load(str(folder)).nets.config)
        back = publish({name: held.tensor(name) for name in held.plan}, layout)
        assert sorted(back) == sorted(remap.drop_leftovers(held.checkpoint, layout))
        for name, tensor in back.items():
            assert torch.equal(tensor, held.checkpoint[name]), name
