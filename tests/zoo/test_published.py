"""The configurations of published checkpoints: what cannot be, or is not built here, is one line."""

import json
from pathlib import Path

import pytest

from bench.make_checkpoint import SHAPES, original_config, transformers_config
from janus_cli.config import PublishedConfig
from janus_cli.errors import ModelError
from janus_cli.zoo import janus_pro

BUILD = {"original": original_config, "transformers": transformers_config}
HUGE = "9" * 5000  # digits; more than Python turns into a number


def write(folder: Path, config: object, pixels: object = None) -> Path:
    (folder / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    if pixels is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(pixels))
    return folder


def changed(layout: str, key: str, value: object) -> dict:
    """A good configuration in which `key` (words with dots between) is `value`."""
    config = BUILD[layout](SHAPES["1b"], 102400, "bfloat16")
    *path, last = key.split(".")
    inside = config
    for word in path:
        inside = inside[word]
    inside[last] = value
    return config


@pytest.mark.parametrize("layout", BUILD)
def test_the_published_sizes(tmp_path, layout):
    config = janus_pro.read(write(tmp_path, BUILD[layout](SHAPES["1b"], 102400, "bfloat16")), "1b")
    assert isinstance(config, PublishedConfig) and config.name == "1b"
    pro = config.janus_pro
    assert (pro.decoder.dim, pro.decoder.n_layer, pro.decoder.head_dim, pro.head_dim) == (2048, 24, 128, 2048)
    assert (pro.vision.dim, pro.vision.ff_dim, pro.vision.n_token, pro.grid) == (1024, 4096, 576, (24, 24))
    assert (pro.vq.dim, pro.vq.multipliers, pro.vq.patch) == (128, (1, 1, 2, 2, 4), 16)
    assert config.sizes == {384: 1}


SIZES = {
    "original": (
        "language_config.hidden_size",
        "language_config.num_hidden_layers",
        "language_config.vocab_size",
        "vision_config.params.image_size",
        "gen_vision_config.params.image_token_size",
        "gen_vision_config.params.n_embed",
        "gen_head_config.params.image_token_embed",
    ),
    "transformers": (
        "text_config.num_attention_heads",
        "text_config.num_key_value_heads",
        "vision_config.patch_size",
        "vision_config.num_hidden_layers",
        "vq_config.base_channels",
        "vq_config.num_res_blocks",
        "vq_config.projection_dim",
    ),
}


@pytest.mark.parametrize("value", [0, -1, 64.0, "64", True, [], {}, 10**30, float("nan"), float("inf")])
@pytest.mark.parametrize(("layout", "key"), [(layout, key) for layout, keys in SIZES.items() for key in keys])
def test_sizes_that_cannot_be(tmp_path, layout, key, value):
    with pytest.raises(ModelError, match=rf"config\.json\.{key}: expected int.*, found "):
        janus_pro.read(write(tmp_path, changed(layout, key, value)))


@pytest.mark.parametrize(
    ("layout", "key", "value", "message"),
    [
        ("transformers", "text_config.rms_norm_eps", 0, r"expected float > 0\.0, found 0"),
        ("transformers", "text_config.rope_theta", float("nan"), r"expected float > 0\.0.*, found nan"),
        (
            "transformers",
            "text_config.rope_parameters",
            {"rope_theta": "x"},
            r"rope_parameters\.rope_theta: expected float \| null, found 'x'",
        ),
        ("transformers", "text_config.rope_parameters", 3, "rope_parameters: expected an object .*, found 3"),
        (
            "transformers",
            "text_config.rope_scaling",
            {"rope_type": "yarn"},
            "rope_type: this janus does not know 'yarn'",
        ),
        ("transformers", "text_config", [], r"text_config: expected an object, found \[\]"),
        ("transformers", "text_config.head_dim", 7, "width 7 is odd"),
        ("transformers", "text_config.num_key_value_heads", 3, "16 heads are no multiple of 3"),
        ("transformers", "text_config.max_position_embeddings", 1 << 20, "1048576 is too large"),
        ("transformers", "vision_config.mlp_ratio", -1, r"mlp_ratio: expected float > 0\.0, found -1"),
        ("transformers", "vision_config.mlp_ratio", 1e308, r"mlp_ratio: expected float <= 1048576\.0"),
        ("transformers", "vision_config.num_attention_heads", 7, "1024 is no multiple of its 7 heads"),
        ("transformers", "vision_config.image_size", 100, "100 is no multiple of the patch"),
        ("transformers", "vision_config.use_qk_norm", True, "use_qk_norm: this janus does not know True"),
        ("transformers", "vq_config.base_channels", 48, "48 is no multiple of 32"),
        ("transformers", "vq_config.channel_multiplier", [1] * 40, "expected a list of length <= 8"),
        (
            "transformers",
            "vq_config.channel_multiplier",
            [1, 0],
            r"channel_multiplier\[1\]: expected int >= 1, found 0",
        ),
        ("transformers", "vq_config.double_latent", True, "double_latent: this janus does not know True"),
        ("original", "gen_vision_config.params.ch", 33, "33 is no multiple of 32"),
        ("original", "vision_config.cls", 3, "cls: expected str, found 3"),
        (
            "original",
            "vision_config.cls",
            "Other",
            "cls: expected str matching .*CLIPVisionTower.*, found 'Other'",
        ),
        ("original", "vision_config.params.model_name", ["a"], r"model_name: expected str, found \['a'\]"),
        ("original", "aligner_config.params.depth", 3, "depth: this janus does not know 3"),
        ("original", "aligner_config", None, "aligner_config: expected an object, found None"),
        ("original", "model_type", 3, "model_type 3 is no Janus-Pro checkpoint"),
        ("original", "model_type", ["a"], "is no Janus-Pro checkpoint"),
    ],
)
def test_values_that_make_no_sense(tmp_path, layout, key, value, message):
    with pytest.raises(ModelError, match=rf"config\.json[.:].*({message})") as caught:
        janus_pro.read(write(tmp_path, changed(layout, key, value)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["language_config", "gen_vision_config.params", "gen_head_config.cls"])
def test_what_is_lacking_is_named(tmp_path, key):
    config = changed("original", key, 0)
    *path, last = key.split(".")
    inside = config
    for word in path:
        inside = inside[word]
    del inside[last]
    place = ".".join(["config.json", *path])
    with pytest.raises(ModelError, match=f"{place}: lacks '{last}'"):
        janus_pro.read(write(tmp_path, config))


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "3", '{"a": ' + HUGE + "}", "\0"])
def test_what_is_no_json_object(tmp_path, text):
    with pytest.raises(ModelError, match=r"config\.json: (not readable|expected a) JSON") as caught:
        janus_pro.read(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ({"image_mean": [0.5, 0.5]}, r"image_mean: expected a list of length 3, found \[0\.5, 0\.5\]"),
        ({"image_std": [0.5, 0.5, 0]}, r"image_std\[2\]: expected float > 0\.0, found 0"),
        ({"image_std": 0.5}, r"image_std: expected a list .*, found 0\.5"),
        ({"image_mean": [0.5, 0.5, "x"]}, r"image_mean\[2\]: expected float, found 'x'"),
        ({"image_mean": [0.5, 0.5, float("nan")]}, r"image_mean\[2\]: expected float .*, found nan"),
        ({"do_normalize": False}, "do_normalize: this janus does not know False"),
        ([], "expected a JSON object"),
    ],
)
def test_preprocessing_that_cannot_be(tmp_path, pixels, message):
    good = BUILD["original"](SHAPES["1b"], 102400, "bfloat16")
    with pytest.raises(ModelError, match=rf"preprocessor_config\.json[.:] ?{message}"):
        janus_pro.read(write(tmp_path, good, pixels))


def test_preprocessing_is_read(tmp_path):
    good = BUILD["original"](SHAPES["1b"], 102400, "bfloat16")
    config = janus_pro.read(write(tmp_path, good, {"image_mean": [0, 0.25, 1], "image_std": None}))
    assert config.janus_pro.vision.mean == (0.0, 0.25, 1.0) and config.janus_pro.vision.std == (0.5, 0.5, 0.5)


def test_empty_rope_parameters_leave_the_word_to_the_scaling(tmp_path):
    config = changed("transformers", "text_config.rope_parameters", {})
    config["text_config"]["rope_scaling"] = {"rope_theta": 5000.0}
    assert janus_pro.read(write(tmp_path, config)).janus_pro.decoder.rope_base == 5000.0
