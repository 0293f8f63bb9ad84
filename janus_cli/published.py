"""The configuration of published Janus-Pro checkpoints, in DeepSeek's and in transformers' words.

Knows config.json and preprocessor_config.json of such a folder. What would change the computation and is
not built here is refused; the many words that change nothing are passed over.
"""

import json
from pathlib import Path
from typing import Any

from janus_cli.config import (
    DecoderConfig,
    GenerationConfig,
    JanusProConfig,
    ModalityConfig,
    ModelConfig,
    PublishedConfig,
    VisionConfig,
    VQConfig,
    read_config,
)
from janus_cli.errors import ModelError

# What DeepSeek's configuration only names. Their classes ignore other parameters; the words in brackets
# are what `bench/make_checkpoint.py` adds for smaller shapes.
_SIGLIP = {"siglip_large_patch16_384": {"width": 1024, "layers": 24, "heads": 16, "patch_size": 16,
                                        "mlp_ratio": 4}}
_VQ = {"VQ-16": {"ch": 128, "ch_mult": (1, 1, 2, 2, 4), "num_res_blocks": 2, "z_channels": 256}}
# LlamaConfig's own defaults: files leave out what equals them.
_LLAMA = {"vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32,
          "num_attention_heads": 32, "max_position_embeddings": 2048, "rms_norm_eps": 1e-6,
          "rope_theta": 10000.0}
_HF_VISION = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "image_size": 384,
              "patch_size": 16, "layer_norm_eps": 1e-6, "mlp_ratio": 4.0, "depth": 2}
_HF_VQ = {"embed_dim": 8, "num_embeddings": 16384, "latent_channels": 256, "base_channels": 128,
          "channel_multiplier": (1, 1, 2, 2, 4), "num_res_blocks": 2, "num_hidden_layers": 2,
          "image_token_embed_dim": 2048, "projection_dim": 2048}


def read(folder: Path, name: str = "") -> ModelConfig:
    """The configuration of the model folder `folder`, ours or a published one's; `name` is the latter's.

    Raises ModelError naming the file and what in it is missing, unknown or not built here.
    """
    path = folder / "config.json"
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return read_config(path)  # which says what is wrong
    if not isinstance(data, dict) or "format" in data or "model_type" not in data:
        return read_config(path)
    kinds = {"multi_modality": _original, "janus": _transformers}
    if data["model_type"] not in kinds or "vision_config" not in data:
        if data["model_type"] == "janus":
            return read_config(path)
        raise ModelError(f"{path}: model_type {data['model_type']!r} is no Janus-Pro checkpoint "
                         "(those say multi_modality or janus)")
    try:
        config = kinds[data["model_type"]](data, _preprocessing(folder))
    except KeyError as error:
        raise ModelError(f"{path}: lacks {error.args[0]!r}") from None
    except (TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise ModelError(f"{path}: a value in it makes no sense ({error})") from None
    if config.vision.image_size % config.vq.patch or config.vision.image_size % config.vision.patch:
        raise ModelError(f"{path}: image_size {config.vision.image_size} is no multiple of the patch")
    generation = GenerationConfig(grid=config.grid, cfg_scale=5.0, temperature=1.0, upsample=1)
    return PublishedConfig(name=name or folder.resolve().name, model_type=data["model_type"],
                           generation=generation, janus_pro=config)


def _preprocessing(folder: Path) -> dict[str, Any]:
    """How pixels are normalised, where the folder says it."""
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
        return {ours: tuple(float(v) for v in data[theirs]) for ours, theirs
                in (("mean", "image_mean"), ("std", "image_std")) if data.get(theirs) is not None}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"{path}: not a readable preprocessor_config.json ({error})") from None


def _original(data: dict[str, Any], pixels: dict[str, Any]) -> JanusProConfig:
    """DeepSeek's words: each part has a class name and params."""
    params = {}
    classes = {"vision": "CLIPVisionTower", "aligner": "MlpProjector", "gen_vision": "VQ-16",
               "gen_aligner": "MlpProjector", "gen_head": "vision_head"}
    for part, known in classes.items():
        section = data[f"{part}_config"]
        _only(f"{part}_config.cls", section["cls"].rpartition(".")[2], known)
        params[part] = section["params"]
    for part in ("aligner", "gen_aligner"):
        _only(f"{part}_config.projector_type", params[part]["projector_type"], "mlp_gelu")
        _only(f"{part}_config.depth", params[part].get("depth", 1), 2)
    eyes = params["vision"]
    _only("vision_config.model_name", eyes["model_name"], *_SIGLIP)
    _only("vision_config.select_layer", eyes.get("select_layer", -1), -1)
    eyes = _SIGLIP[eyes["model_name"]] | eyes
    vision = VisionConfig(dim=eyes["width"], n_layer=eyes["layers"], n_head=eyes["heads"],
                          ff_dim=int(eyes["width"] * eyes["mlp_ratio"]), patch=eyes["patch_size"],
                          image_size=eyes["image_size"], **pixels)
    book = _VQ["VQ-16"] | params["gen_vision"]
    vq = VQConfig(book["image_token_size"], book["n_embed"], book["ch"], tuple(book["ch_mult"]),
                  book["num_res_blocks"], book["z_channels"])
    return JanusProConfig("original", _decoder(data["language_config"], vq), vision, vq,
                          params["gen_head"]["image_token_embed"])


def _transformers(data: dict[str, Any], pixels: dict[str, Any]) -> JanusProConfig:
    """The words of transformers' JanusConfig."""
    eyes, book = _HF_VISION | data["vision_config"], _HF_VQ | data["vq_config"]
    for where, section, depth in (("vision_config", eyes, "depth"), ("vq_config", book, "num_hidden_layers")):
        _only(f"{where}.{depth}", section[depth], 2)
        _only(f"{where}.hidden_act", section.get("hidden_act", "gelu"), "gelu")
    _only("vision_config.use_qk_norm", eyes.get("use_qk_norm", False), False)
    _only("vision_config.attention_bias", eyes.get("attention_bias", True), True)
    _only("vq_config.double_latent", book.get("double_latent", False), False)
    vision = VisionConfig(dim=eyes["hidden_size"], n_layer=eyes["num_hidden_layers"],
                          n_head=eyes["num_attention_heads"], patch=eyes["patch_size"],
                          ff_dim=int(eyes["hidden_size"] * eyes["mlp_ratio"]), image_size=eyes["image_size"],
                          norm_eps=eyes["layer_norm_eps"], **pixels)
    vq = VQConfig(book["num_embeddings"], book["embed_dim"], book["base_channels"],
                  tuple(book["channel_multiplier"]), book["num_res_blocks"], book["latent_channels"])
    return JanusProConfig("transformers", _decoder(data["text_config"], vq), vision, vq,
                          book["projection_dim"])


def _decoder(given: dict[str, Any], vq: VQConfig) -> DecoderConfig:
    """The language model, a plain Llama."""
    words: dict[str, Any] = _LLAMA | given
    rope = words.get("rope_parameters") or words.get("rope_scaling") or {}
    _only("rope_type", rope.get("rope_type", "default"), "default")
    _only("model_type of the language model", words.get("model_type", "llama"), "llama")
    _only("hidden_act", words.get("hidden_act", "silu"), "silu")
    for word in ("attention_bias", "mlp_bias"):
        _only(word, words.get(word, False), False)
    heads = words["num_attention_heads"]
    base = rope["rope_theta"] if "rope_theta" in rope else words["rope_theta"]
    modalities = {"text": ModalityConfig(words["vocab_size"]), "image": ModalityConfig(vq.codebook_size)}
    return DecoderConfig(
        dim=words["hidden_size"], n_layer=words["num_hidden_layers"], n_head=heads,
        n_kv_head=words.get("num_key_value_heads") or heads,
        head_dim=words.get("head_dim") or words["hidden_size"] // heads, ff_dim=words["intermediate_size"],
        max_seq_len=words["max_position_embeddings"], norm_eps=words["rms_norm_eps"],
        rope_base=float(base), qk_norm=False, tie_embedding=False,
        modalities=modalities)


def _only(word: str, found: Any, *known: Any) -> None:
    if found not in known:
        raise ValueError(f"{word} is {found!r}; this janus knows {', '.join(map(repr, known))}")
