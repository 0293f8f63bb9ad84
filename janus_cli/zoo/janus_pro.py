"""The configuration of published Janus-Pro checkpoints, in DeepSeek's and in transformers' words.

Knows config.json and preprocessor_config.json of such a folder. What would change the computation and is
not built here is refused, and so is a number that cannot be; the many words that change nothing are
passed over.
"""

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta, Struct

from janus_cli.config import (
    MAX_ROTATIONS,
    VQ_GROUPS,
    DecoderConfig,
    Depth,
    Extent,
    Factor,
    Finite,
    GenerationConfig,
    JanusProConfig,
    ModalityConfig,
    ModelConfig,
    Positive,
    PublishedConfig,
    Small,
    VisionConfig,
    VQConfig,
    parse,
    read_config,
    read_object,
)
from janus_cli.errors import ModelError

C = TypeVar("C")
P = TypeVar("P")
Multipliers = Annotated[tuple[Small, ...], Meta(min_length=1, max_length=8)]

# What a file leaves out is as in the classes that it is written for: transformers' own defaults, and what
# DeepSeek's configuration only names ("siglip_large_patch16_384", "VQ-16"; their classes ignore other words,
# which `bench/make_checkpoint.py` adds for smaller shapes). None in a Literal: the word may be null.


class Rope(Struct):
    """Rotary positions, in transformers' words."""

    rope_theta: Positive | None = None
    rope_type: Literal["default", None] = None


class Llama(Struct):
    """The language model, of both layouts."""

    vocab_size: Extent = 32000
    hidden_size: Extent = 4096
    intermediate_size: Extent = 11008
    num_hidden_layers: Depth = 32
    num_attention_heads: Extent = 32
    num_key_value_heads: Extent | None = None
    head_dim: Extent | None = None
    max_position_embeddings: Extent = 2048
    rms_norm_eps: Positive = 1e-6
    rope_theta: Positive | None = None
    rope_type: Literal["default", None] = None
    rope_parameters: Rope | None = None
    rope_scaling: Rope | None = None
    model_type: Literal["llama", None] = None
    hidden_act: Literal["silu", None] = None
    attention_bias: Literal[False, None] = None
    mlp_bias: Literal[False, None] = None


class JanusVision(Struct):
    """The vision encoder, in transformers' words."""

    hidden_size: Extent = 1024
    num_hidden_layers: Depth = 24
    num_attention_heads: Extent = 16
    image_size: Extent = 384
    patch_size: Extent = 16
    layer_norm_eps: Positive = 1e-6
    mlp_ratio: Factor = 4.0
    depth: Literal[2] = 2
    hidden_act: Literal["gelu", None] = None
    use_qk_norm: Literal[False, None] = None
    attention_bias: Literal[True, None] = None


class JanusVQ(Struct):
    """The image tokenizer and the head over its codes, in transformers' words."""

    embed_dim: Extent = 8
    num_embeddings: Extent = 16384
    latent_channels: Extent = 256
    base_channels: Extent = 128
    channel_multiplier: Multipliers = (1, 1, 2, 2, 4)
    num_res_blocks: Small = 2
    num_hidden_layers: Literal[2] = 2
    projection_dim: Extent = 2048
    hidden_act: Literal["gelu", None] = None
    double_latent: Literal[False, None] = None


class Transformers(Struct):
    """transformers' JanusConfig."""

    text_config: Llama
    vision_config: JanusVision
    vq_config: JanusVQ


class TowerParams(Struct):
    """The vision encoder, in DeepSeek's words."""

    model_name: Literal["siglip_large_patch16_384"]
    image_size: Extent
    select_layer: Literal[-1, None] = None
    width: Extent = 1024
    layers: Depth = 24
    heads: Extent = 16
    patch_size: Extent = 16
    mlp_ratio: Factor = 4.0


class AlignerParams(Struct):
    """A projection into the language model, in DeepSeek's words."""

    projector_type: Literal["mlp_gelu"]
    depth: Literal[2]


class VQParams(Struct):
    """The image tokenizer, in DeepSeek's words."""

    image_token_size: Extent
    n_embed: Extent
    ch: Extent = 128
    ch_mult: Multipliers = (1, 1, 2, 2, 4)
    num_res_blocks: Small = 2
    z_channels: Extent = 256


class HeadParams(Struct):
    """The head over image codes, in DeepSeek's words."""

    image_token_embed: Extent


class Section(Struct, Generic[C, P]):
    """A part of DeepSeek's configuration other than the language model: its class, and parameters."""

    cls: C
    params: P


Aligner = Section[Annotated[str, Meta(pattern=r"(\A|\.)MlpProjector\Z")], AlignerParams]


class Original(Struct):
    """DeepSeek's MultiModalityConfig."""

    language_config: Llama
    vision_config: Section[Annotated[str, Meta(pattern=r"(\A|\.)CLIPVisionTower\Z")], TowerParams]
    aligner_config: Aligner
    gen_vision_config: Section[Annotated[str, Meta(pattern=r"(\A|\.)VQ-16\Z")], VQParams]
    gen_aligner_config: Aligner
    gen_head_config: Section[Annotated[str, Meta(pattern=r"(\A|\.)vision_head\Z")], HeadParams]


class Preprocessor(Struct):
    """preprocessor_config.json: how pixels are normalised."""

    do_normalize: Literal[True, None] = None
    image_mean: tuple[Finite, Finite, Finite] | None = None
    image_std: tuple[Positive, Positive, Positive] | None = None


def read(folder: Path, name: str = "") -> ModelConfig:
    """Read the configuration of the model folder `folder`, ours or a published one's; `name`: the latter's.

    Raises ModelError naming the file and what in it is missing, unknown or not built here.
    """
    path = folder / "config.json"
    data = read_object(path)
    kind = data.get("model_type")
    if "format" in data or kind is None or (kind == "janus" and "vision_config" not in data):
        return read_config(path)
    kinds = {"multi_modality": _original, "janus": _transformers}
    if not isinstance(kind, str) or kind not in kinds:
        raise ModelError(
            f"{path}: model_type {kind!r} is no Janus-Pro checkpoint (those say multi_modality or janus)"
        )
    config = kinds[kind](data, str(path), _preprocessing(folder / "preprocessor_config.json"))
    _check(config, path)
    generation = GenerationConfig(grid=config.grid, cfg_scale=5.0, temperature=1.0, upsample=1)
    return PublishedConfig(
        name=name or folder.resolve().name, model_type=kind, generation=generation, janus_pro=config
    )


def _preprocessing(path: Path) -> dict[str, Any]:
    """Read how pixels are normalised, where the folder says it: mean and std."""
    if not path.is_file():
        return {}
    found = parse(Preprocessor, read_object(path), str(path))
    pixels = {"mean": found.image_mean, "std": found.image_std}
    return {word: value for word, value in pixels.items() if value is not None}


def _check(config: JanusProConfig, path: Path) -> None:
    """Raise ModelError for sizes that do not go together."""
    decoder, vision, vq = config.decoder, config.vision, config.vq
    side, dim, n_head = vision.image_size, vision.dim, vision.n_head
    heads, shared, width, length = decoder.n_head, decoder.n_kv_head, decoder.head_dim, decoder.max_seq_len
    for wrong, what in (
        (side % vq.patch or side % vision.patch, f"image_size {side} is no multiple of the patch"),
        (dim % n_head, f"the vision encoder's width {dim} is no multiple of its {n_head} heads"),
        (vq.dim % VQ_GROUPS, f"the image tokenizer's base width {vq.dim} is no multiple of {VQ_GROUPS}"),
        (heads % shared, f"{heads} heads are no multiple of {shared} key-value heads"),
        (width % 2, f"the heads' width {width} is odd"),
        (width * length > MAX_ROTATIONS, f"max_position_embeddings {length} is too large"),
    ):
        if wrong:
            raise ModelError(f"{path}: {what}")


def _original(data: dict[str, Any], where: str, pixels: dict[str, Any]) -> JanusProConfig:
    """Translate DeepSeek's words."""
    config = parse(Original, data, where)
    eyes, book = config.vision_config.params, config.gen_vision_config.params
    vision = VisionConfig(
        dim=eyes.width,
        n_layer=eyes.layers,
        n_head=eyes.heads,
        ff_dim=int(eyes.width * eyes.mlp_ratio),
        patch=eyes.patch_size,
        image_size=eyes.image_size,
        **pixels,
    )
    vq = VQConfig(
        book.image_token_size, book.n_embed, book.ch, book.ch_mult, book.num_res_blocks, book.z_channels
    )
    decoder = _decoder(config.language_config, vq)
    return JanusProConfig("original", decoder, vision, vq, config.gen_head_config.params.image_token_embed)


def _transformers(data: dict[str, Any], where: str, pixels: dict[str, Any]) -> JanusProConfig:
    """Translate the words of transformers' JanusConfig."""
    config = parse(Transformers, data, where)
    eyes, book = config.vision_config, config.vq_config
    vision = VisionConfig(
        dim=eyes.hidden_size,
        n_layer=eyes.num_hidden_layers,
        n_head=eyes.num_attention_heads,
        patch=eyes.patch_size,
        ff_dim=int(eyes.hidden_size * eyes.mlp_ratio),
        image_size=eyes.image_size,
        norm_eps=eyes.layer_norm_eps,
        **pixels,
    )
    vq = VQConfig(
        book.num_embeddings,
        book.embed_dim,
        book.base_channels,
        book.channel_multiplier,
        book.num_res_blocks,
        book.latent_channels,
    )
    decoder = _decoder(config.text_config, vq)
    return JanusProConfig("transformers", decoder, vision, vq, book.projection_dim)


def _decoder(words: Llama, vq: VQConfig) -> DecoderConfig:
    """Translate the words of the language model, a plain Llama."""
    empty = Rope()
    rope = words.rope_scaling if words.rope_parameters in (None, empty) else words.rope_parameters
    rope = rope or empty
    dim, heads = words.hidden_size, words.num_attention_heads
    return DecoderConfig(
        dim=dim,
        n_layer=words.num_hidden_layers,
        n_head=heads,
        n_kv_head=words.num_key_value_heads or heads,
        head_dim=words.head_dim or max(1, dim // heads),
        ff_dim=words.intermediate_size,
        max_seq_len=words.max_position_embeddings,
        norm_eps=words.rms_norm_eps,
        rope_base=rope.rope_theta or words.rope_theta or 10000.0,
        qk_norm=False,
        tie_embedding=False,
        modalities={"text": ModalityConfig(words.vocab_size), "image": ModalityConfig(vq.codebook_size)},
    )
