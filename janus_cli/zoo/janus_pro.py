"""The configuration of published Janus-Pro checkpoints, in DeepSeek's and in transformers' words.

Knows config.json and preprocessor_config.json of such a folder. What would change the computation and is
not built here is refused, and so is a number that cannot be; the many words that change nothing are
passed over.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from janus_cli.config import (
    VQ_GROUPS,
    DecoderConfig,
    GenerationConfig,
    JanusProConfig,
    ModalityConfig,
    ModelConfig,
    PublishedConfig,
    VisionConfig,
    VQConfig,
    read_config,
    read_object,
)
from janus_cli.errors import ModelError

# What DeepSeek's configuration only names. Their classes ignore other parameters; the words in brackets
# are what `bench/make_checkpoint.py` adds for smaller shapes.
_SIGLIP = {
    "siglip_large_patch16_384": {"width": 1024, "layers": 24, "heads": 16, "patch_size": 16, "mlp_ratio": 4}
}
_VQ = {"VQ-16": {"ch": 128, "ch_mult": (1, 1, 2, 2, 4), "num_res_blocks": 2, "z_channels": 256}}
# LlamaConfig's own defaults: files leave out what equals them.
_LLAMA = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
}
_HF_VISION = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 16,
    "layer_norm_eps": 1e-6,
    "mlp_ratio": 4.0,
    "depth": 2,
}
_HF_VQ = {
    "embed_dim": 8,
    "num_embeddings": 16384,
    "latent_channels": 256,
    "base_channels": 128,
    "channel_multiplier": (1, 1, 2, 2, 4),
    "num_res_blocks": 2,
    "num_hidden_layers": 2,
    "image_token_embed_dim": 2048,
    "projection_dim": 2048,
}


_MOST = 1 << 20  # no size in a configuration is larger
_DEEP = 1 << 10  # nor is there more of layers, or of blocks


class Section:
    """One object of a JSON file; its values are checked as they are asked for.

    What is wrong is a ModelError that names the file and the key.
    """

    def __init__(
        self, file: Path, values: Any, name: str = "", defaults: Mapping[str, Any] | None = None
    ) -> None:
        if not isinstance(values, dict):
            raise ModelError(f"{file}: {name} is {values!r}: expected an object")
        self._file, self._name = file, name
        self._values: dict[str, Any] = {**(defaults or {}), **values}

    def _key(self, word: str) -> str:
        return f"{self._name}.{word}" if self._name else word

    def fault(self, word: str, expected: str) -> ModelError:
        """What to raise of a value."""
        return ModelError(f"{self._file}: {self._key(word)} is {self._values.get(word)!r}: {expected}")

    def get(self, word: str, default: Any = None) -> Any:
        """The value, `default` where it is missing or null."""
        value = self._values.get(word)
        return default if value is None else value

    def text(self, word: str) -> str:
        """A value that must be a string."""
        if not isinstance(value := self._needed(word), str):
            raise self.fault(word, "expected a string")
        return value

    def whole(self, word: str, most: int = _MOST, default: int | None = None) -> int:
        """A value that must be a whole number from 1 to `most`."""
        value = self._needed(word) if default is None else self.get(word, default)
        if type(value) is not int or not 1 <= value <= most:
            raise self.fault(word, f"expected a whole number from 1 to {most:,}")
        return value

    def number(self, word: str) -> float:
        """A value that must be a number above 0."""
        value = self._needed(word)
        if type(value) not in (int, float) or not 0 < value < math.inf:
            raise self.fault(word, "expected a number above 0")
        return float(value)

    def numbers(self, word: str, least: float) -> tuple[float, float, float]:
        """A value that must be three numbers above `least`."""
        value = self._needed(word)
        if (
            not isinstance(value, list)
            or len(value) != 3
            or not all(type(v) in (int, float) and least < v < math.inf for v in value)
        ):
            raise self.fault(word, "expected three numbers" + " above 0" * (least == 0))
        return float(value[0]), float(value[1]), float(value[2])

    def multipliers(self, word: str) -> tuple[int, ...]:
        """A value that must be a list of small whole numbers."""
        value = self._needed(word)
        if (
            not isinstance(value, list | tuple)
            or not 1 <= len(value) <= 8
            or not all(type(v) is int and 1 <= v <= 64 for v in value)
        ):
            raise self.fault(word, "expected one to eight whole numbers from 1 to 64")
        return tuple(value)

    def section(self, word: str, defaults: Mapping[str, Any] | None = None) -> "Section":
        """A value that must be an object; `defaults` are what it leaves out."""
        return Section(self._file, self._needed(word), self._key(word), defaults)

    def only(self, word: str, *known: Any, default: Any = None) -> None:
        """Refuse any value but `known`; `default` stands where there is none."""
        found = self.get(word, default)
        if found not in known:
            raise self.fault(word, f"this janus knows {', '.join(map(repr, known))}")

    def _needed(self, word: str) -> Any:
        if word not in self._values:
            raise ModelError(f"{self._file}: lacks {self._key(word)!r}")
        return self._values[word]


def read(folder: Path, name: str = "") -> ModelConfig:
    """The configuration of the model folder `folder`, ours or a published one's; `name` is the latter's.

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
    config = kinds[kind](Section(path, data), _preprocessing(folder / "preprocessor_config.json"))
    _check(config, path)
    generation = GenerationConfig(grid=config.grid, cfg_scale=5.0, temperature=1.0, upsample=1)
    return PublishedConfig(
        name=name or folder.resolve().name, model_type=kind, generation=generation, janus_pro=config
    )


def _preprocessing(path: Path) -> dict[str, Any]:
    """How pixels are normalised, where the folder says it."""
    if not path.is_file():
        return {}
    data = Section(path, read_object(path))
    data.only("do_normalize", True, default=True)
    return {
        ours: data.numbers(theirs, least)
        for ours, theirs, least in (("mean", "image_mean", -math.inf), ("std", "image_std", 0))
        if data.get(theirs) is not None
    }


def _check(config: JanusProConfig, path: Path) -> None:
    """Refuse sizes that do not go together."""
    decoder, vision, vq = config.decoder, config.vision, config.vq
    for fits, what in (
        (
            vision.image_size % vq.patch == 0 and vision.image_size % vision.patch == 0,
            f"image_size {vision.image_size} is no multiple of the patch",
        ),
        (
            vision.dim % vision.n_head == 0,
            f"the vision encoder's width {vision.dim} is no multiple of its {vision.n_head} heads",
        ),
        (vq.dim % VQ_GROUPS == 0, f"the image tokenizer's base width {vq.dim} is no multiple of {VQ_GROUPS}"),
        (
            decoder.n_head % decoder.n_kv_head == 0,
            f"{decoder.n_head} heads are no multiple of {decoder.n_kv_head} key-value heads",
        ),
        (decoder.head_dim % 2 == 0, f"the heads' width {decoder.head_dim} is odd"),
        (
            decoder.head_dim * decoder.max_seq_len <= 1 << 26,
            f"max_position_embeddings {decoder.max_seq_len} is too large",
        ),
    ):
        if not fits:
            raise ModelError(f"{path}: {what}")


def _original(data: Section, pixels: dict[str, Any]) -> JanusProConfig:
    """DeepSeek's words: each part has a class name and params."""
    params = {}
    classes = {
        "vision": "CLIPVisionTower",
        "aligner": "MlpProjector",
        "gen_vision": "VQ-16",
        "gen_aligner": "MlpProjector",
        "gen_head": "vision_head",
    }
    for part, known in classes.items():
        section = data.section(f"{part}_config")
        if section.text("cls").rpartition(".")[2] != known:
            raise section.fault("cls", f"this janus knows {known!r}")
        params[part] = section.section("params", _VQ["VQ-16"] if part == "gen_vision" else None)
    for part in ("aligner", "gen_aligner"):
        params[part].only("projector_type", "mlp_gelu")
        params[part].only("depth", 2, default=1)
    params["vision"].only("model_name", *_SIGLIP)
    params["vision"].only("select_layer", -1, default=-1)
    eyes = data.section("vision_config").section("params", _SIGLIP[params["vision"].text("model_name")])
    vision = VisionConfig(
        dim=eyes.whole("width"),
        n_layer=eyes.whole("layers", _DEEP),
        n_head=eyes.whole("heads"),
        ff_dim=int(eyes.whole("width") * eyes.number("mlp_ratio")),
        patch=eyes.whole("patch_size"),
        image_size=eyes.whole("image_size"),
        **pixels,
    )
    book = params["gen_vision"]
    vq = VQConfig(
        book.whole("image_token_size"),
        book.whole("n_embed"),
        book.whole("ch"),
        book.multipliers("ch_mult"),
        book.whole("num_res_blocks", _DEEP),
        book.whole("z_channels"),
    )
    return JanusProConfig(
        "original",
        _decoder(data.section("language_config", _LLAMA), vq),
        vision,
        vq,
        params["gen_head"].whole("image_token_embed"),
    )


def _transformers(data: Section, pixels: dict[str, Any]) -> JanusProConfig:
    """The words of transformers' JanusConfig."""
    eyes, book = data.section("vision_config", _HF_VISION), data.section("vq_config", _HF_VQ)
    for section, depth in ((eyes, "depth"), (book, "num_hidden_layers")):
        section.only(depth, 2)
        section.only("hidden_act", "gelu", default="gelu")
    eyes.only("use_qk_norm", False, default=False)
    eyes.only("attention_bias", True, default=True)
    book.only("double_latent", False, default=False)
    vision = VisionConfig(
        dim=eyes.whole("hidden_size"),
        n_layer=eyes.whole("num_hidden_layers", _DEEP),
        n_head=eyes.whole("num_attention_heads"),
        patch=eyes.whole("patch_size"),
        ff_dim=int(eyes.whole("hidden_size") * eyes.number("mlp_ratio")),
        image_size=eyes.whole("image_size"),
        norm_eps=eyes.number("layer_norm_eps"),
        **pixels,
    )
    vq = VQConfig(
        book.whole("num_embeddings"),
        book.whole("embed_dim"),
        book.whole("base_channels"),
        book.multipliers("channel_multiplier"),
        book.whole("num_res_blocks", _DEEP),
        book.whole("latent_channels"),
    )
    return JanusProConfig(
        "transformers",
        _decoder(data.section("text_config", _LLAMA), vq),
        vision,
        vq,
        book.whole("projection_dim"),
    )


def _decoder(words: Section, vq: VQConfig) -> DecoderConfig:
    """The language model, a plain Llama."""
    where = next((w for w in ("rope_parameters", "rope_scaling") if words.get(w)), None)
    rope = words if where is None else words.section(where, {"rope_theta": words.get("rope_theta")})
    rope.only("rope_type", "default", default="default")
    words.only("model_type", "llama", default="llama")
    words.only("hidden_act", "silu", default="silu")
    for word in ("attention_bias", "mlp_bias"):
        words.only(word, False, default=False)
    dim, heads = words.whole("hidden_size"), words.whole("num_attention_heads")
    modalities = {
        "text": ModalityConfig(words.whole("vocab_size")),
        "image": ModalityConfig(vq.codebook_size),
    }
    return DecoderConfig(
        dim=dim,
        n_layer=words.whole("num_hidden_layers", _DEEP),
        n_head=heads,
        n_kv_head=words.whole("num_key_value_heads", default=heads),
        head_dim=words.whole("head_dim", default=max(1, dim // heads)),
        ff_dim=words.whole("intermediate_size"),
        max_seq_len=words.whole("max_position_embeddings"),
        norm_eps=words.number("rms_norm_eps"),
        rope_base=rope.number("rope_theta"),
        qk_norm=False,
        tie_embedding=False,
        modalities=modalities,
    )
