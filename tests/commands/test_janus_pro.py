"""The commands with a Janus-Pro checkpoint: pictures, answers, refusals."""

import dataclasses
import io
import json
import shutil
import socket

import numpy as np
import pytest
import torch
from helpers.pickles import Code
from helpers.runs import no_traceback
from PIL import Image

from bench.make_checkpoint import make
from janus_cli.errors import UsageError
from janus_cli.pipeline import PictureOptions, Size, load
from janus_cli.records import dumps, loads, read_stream
from janus_cli.weights.published import PublishedNet


@pytest.fixture(scope="module")
def pro(tmp_path_factory):
    """A tiny checkpoint as DeepSeek lays it out."""
    return str(make(tmp_path_factory.mktemp("pro") / "tiny-pro"))


@pytest.fixture
def damaged(pro, environment):
    """A copy of the checkpoint to damage."""
    return shutil.copytree(pro, environment / "damaged")


def picture(folder, width=64, height=64):
    pixels = np.random.default_rng(3).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "in.png")
    return str(folder / "in.png")


def ids(data):
    return loads(data).segments[-1].data.tolist()


def test_draw_equals_the_piped_stages(janus, pro, environment):
    done = janus("draw", "a red apple", "--model", pro, "--seed", "1", "-o", "a.png")
    assert done.code == 0, done.err
    assert Image.open("a.png").size == (64, 64)
    text = janus("tokenize", "text", "a red apple", "--model", pro).out
    tokens = janus("generate", "--model", pro, "--seed", "1", "-o", "t.safetensors", stdin=text)
    assert tokens.code == 0, tokens.err
    png = janus("decode", "--model", pro, "t.safetensors")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png.out))), np.asarray(Image.open("a.png")))


def test_tokens_stream_row_by_row(janus, pro, environment):
    text = janus("tokenize", "text", "a red apple", "--model", pro).out
    [whole] = read_stream(io.BytesIO(janus("generate", "--model", pro, stdin=text).out))
    streamed = janus("generate", "--model", pro, "--stream", stdin=text).out
    *rows, last = read_stream(io.BytesIO(streamed))
    assert [p.part.rows for p in rows] == [(i, i + 1) for i in range(4)] and last.part.last
    assert np.array_equal(np.concatenate([p.segments[0].data for p in rows]), whole.segments[0].data)
    assert dumps(dataclasses.replace(last, part=None)) == dumps(whole)
    done = janus("denoise", "--model", pro, "--stream", "-q", stdin=streamed)
    assert done.code == 1 and "refiner" in done.err and done.err.count("\n") == 1


def test_prompts_in_a_batch_get_the_tokens_they_get_alone(janus, pro):
    prompts = ["a", "a red apple on a wooden table", "two"]
    for heat in ("0", "1"):

        def hashes(*args, heat=heat):
            flags = ("--model", pro, "--json", "--temperature", heat, "--force", "-o", "x-{id}.png")
            done = janus("draw", *args, *flags)
            assert done.code == 0, done.err
            return [json.loads(line)["tokens"] for line in done.text.splitlines()]

        together = hashes(*prompts)
        assert together == hashes(*prompts, "--batch-size", "1")
        assert together[0] == hashes(prompts[0])[0]


def test_tokenize_and_decode_a_picture(janus, pro, environment):
    tokens = janus("tokenize", "image", picture(environment), "--model", pro, "-o", "t.safetensors")
    assert tokens.code == 0, tokens.err
    assert np.shape(ids((environment / "t.safetensors").read_bytes())) == (4, 4)
    assert janus("decode", "t.safetensors", "--model", pro, "-o", "b.png").code == 0


def test_describe_answers_the_same_each_time(janus, pro, environment):
    name = picture(environment, 80, 40)
    first = janus("describe", name, "--model", pro, "--prompt", "what is it?", "--max-tokens", "8")
    assert first.code == 0, first.err
    assert first.out.endswith(b"\n")
    assert janus("describe", name, "--model", pro, "--prompt", "what is it?", "--max-tokens", "8") == first
    two = janus("describe", name, name, "--model", pro, "--max-tokens", "4", "--temperature", "1")
    assert two.code == 0, two.err


def test_bf16_runs(janus, pro, environment):
    assert janus("draw", "a", "--model", pro, "--dtype", "bf16", "-o", "a.png").code == 0
    name = picture(environment)
    assert janus("describe", name, "--model", pro, "--dtype", "bf16", "--max-tokens", "3").code == 0
    done = janus("draw", "a", "--dtype", "bf16", "-o", "b.png")
    assert done.code == 2
    assert "computes in fp32" in done.err


def test_what_the_model_cannot_do_is_refused(janus, pro, environment):
    done = janus("draw", "a", "--model", pro, "--size", "512")
    assert done.code == 2
    assert "draws pictures of 64 pixels only" in done.err
    done = janus("draw", "a", "--model", pro, "--scale", "2")
    assert "no denoiser and no upsampler" in done.err
    done = janus("tokenize", "image", picture(environment, 80, 64), "--model", pro)
    assert "64 x 64 alone" in done.err
    tokens = janus("tokenize", "image", picture(environment), "--model", pro, "-o", "t.safetensors")
    assert tokens.code == 0, tokens.err
    done = janus("generate", "t.safetensors", "--model", pro)
    assert "cannot take an image as a condition for an image" in done.err
    assert no_traceback(done)


def test_what_cannot_be_asked_is_refused_before_the_weights_are_read(janus, pro, environment, monkeypatch):
    def fill(*_):
        raise AssertionError("read")

    monkeypatch.setattr(PublishedNet, "fill", fill)
    name = picture(environment)
    for prompt, message in (("a <|User|>", "the prompt holds <|User|>"), ("a" * 3000, "fewer words")):
        done = janus("describe", name, "--model", pro, "--prompt", prompt)
        assert done.code == 2 and message in done.err and no_traceback(done)
    assert janus("draw", "a", "--model", pro, "--steps", "3").code == 2


def test_a_model_on_this_machine_needs_no_network(janus, pro, environment, monkeypatch):
    def connect(*_):
        raise AssertionError("connected")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    monkeypatch.setenv("HF_HUB_CACHE", str(environment / "hub"))
    name = picture(environment)
    for line in (
        ["models", "list"],
        ["models", "show", pro],
        ["models", "verify", pro],
        ["info", pro],
        ["models", "import", pro, "-o", "made"],
        ["draw", "a", "--model", "made"],
        ["describe", name, "--model", pro, "--max-tokens", "2"],
    ):
        done = janus(*line)
        assert done.code == 0, done.err


def test_weights_that_cannot_be_read_are_one_clear_line(janus, pro, damaged, tmp_path_factory):
    def fails(folder, *words):
        for line in (["draw", "a"], ["describe", "in.png"], ["models", "import"], ["models", "verify"]):
            model = ["--model"] * (line[0] != "models") + [str(folder)]
            done = janus(*line, *model)
            assert done.code in (1, 3) and no_traceback(done)
            said = [text for text in done.err.splitlines() if not text.startswith("janus: device")]
            assert len(said) == 1 + (line[-1] == "verify") and all(word in said[0] for word in words), said

    picture(damaged.parent)
    weights = damaged / "pytorch_model.bin"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1000])
    fails(damaged, "pytorch_model.bin: not a readable weight file; it may be truncated")
    torch.save({"a": torch.ones(1), "b": Code(damaged / "hacked")}, weights)
    fails(damaged, "pytorch_model.bin: refused: it holds code")
    assert not (damaged / "hacked").exists()
    for layout, name in (("original", "pytorch_model"), ("transformers", "model")):
        folder = make(damaged.parent / layout, layout=layout, shard=4_000_000)
        next(folder.glob(f"{name}-00002-of-*")).unlink()
        fails(folder, f"{name}-00002-of-0000", f"missing, but {name}.", "index.json names it")


def test_a_damaged_checkpoint_is_one_clear_line(janus, damaged):
    def fails(*words):
        done = janus("draw", "a", "--model", str(damaged), "-o", "a.png")
        assert done.code == 1, done.err
        assert no_traceback(done)
        for word in words:
            assert word in done.err, done.err

    config = damaged / "config.json"
    good = config.read_text()
    config.write_text(good.replace("multi_modality", "llama"))
    fails("llama", "no Janus-Pro checkpoint")
    config.write_text(good.replace('"hidden_size": 64', '"hidden_size": 32'))
    fails("has shape", "config.json asks for")
    config.write_text(good.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'))
    fails("language_model.model.layers.2", "is missing")
    config.write_text(good.replace('"num_hidden_layers": 2', '"num_hidden_layers": 1'))
    fails("unknown tensor language_model.model.layers.1")
    config.write_text(good)
    tokenizer = damaged / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace("begin_of_image", "begin_of_nothing"))
    fails("lacks the special token <begin_of_image>")


def test_the_api_draws_no_other_size_than_the_model_has(pro):
    with pytest.raises(UsageError, match="draws pictures of .* pixels only"):
        load(pro).draw(["a"], picture=PictureOptions(Size(512, 256)))
