"""Model configurations: frozen dataclasses read from a model folder's config.json.

Knows the words of config.json and refuses unknown ones. Knows no torch and opens no weights.
"""

import dataclasses
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

import msgspec

from janus_cli.errors import ModelError, UsageError

T = TypeVar("T")
Progress = Callable[[int], None]  # called with each number of tokens, samples or bytes that are newly done
FORMAT = 1  # version of config.json's own layout
COMPONENTS = ("dvae", "codec", "vision", "decoder", "refiner", "judge")  # nets of a ModelConfig
SCALES = (1, 2, 4)  # enlargements that refiners know
VQ_GROUPS = 32  # channel groups of VQ-16's norms; its widths are multiples
# msgspec's words for what JSON and TOML hold
_KINDS = {
    NoneType: "null",
    bool: "bool",
    int: "int",
    float: "float",
    str: "str",
    list: "array",
    dict: "object",
}


def check_scale(scale: int) -> int:
    """Return `scale` itself. Raises UsageError for an enlargement that no refiner knows."""
    if scale not in SCALES:
        raise UsageError(f"--scale {scale}: choose 1, 2 or 4")
    return scale


@dataclass(frozen=True)
class DVAEConfig:
    """Image tokenizer: a patch-local projection, an EMA codebook and a local convolutional decoder."""

    patch: int = 8  # pixels per token side
    codebook_size: int = 8192
    codebook_dim: int = 64
    dim: int = 128  # decoder width at one token per cell
    n_block: int = 4  # residual blocks at that resolution


@dataclass(frozen=True)
class CodecConfig:
    """Audio tokenizer: EnCodec's networks around a residual quantizer."""

    sample_rate: int = 16000  # Hz
    channels: int = 1
    ratios: tuple[int, int, int, int] = (8, 5, 4, 2)  # strides, from the latents to the waveform
    dim: int = 64  # width of the latents and of every codebook
    n_filter: int = 16  # channels at the waveform's rate; doubled at each stride
    n_lstm: int = 0
    codebook_size: int = 1024
    n_q: int = 4  # codebooks, each for what the ones before left over
    causal: bool = True  # convolutions look back only
    norm: str = "none"  # of the convolutions: none (weight norms are folded) or time_group_norm
    conv_shortcut: bool = True  # residual blocks' shortcuts are convolutions
    normalize: bool = False  # each segment is encoded at loudness 1, and its scale kept
    segment: int = 0  # samples that are encoded on their own; 0 = the whole sound is one
    overlap: float = 0.01  # share of a segment that the next one covers too

    @property
    def segment_stride(self) -> int:
        """Samples from the start of a segment to that of the next."""
        return max(1, int((1 - self.overlap) * self.segment))

    @property
    def hop_length(self) -> int:
        """Samples per frame."""
        return math.prod(self.ratios)

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop_length


@dataclass(frozen=True)
class ModalityConfig:
    """One modality in the shared decoder: its own ids, embedding and head; or features and a projection."""

    vocab_size: int = 0  # ids of one codebook; 0 = continuous, nothing to generate
    two_d: bool = False  # tokens form a [rows, cols] grid (images)
    n_q: int = 1  # codebooks whose codes make one token together (audio frames)
    feature_dim: int = 0  # width of a continuous token
    ends: bool = False  # whether a sequence of it closes with an END of its own, one past the first codebook


@dataclass(frozen=True)
class MixinConfig:
    """Mix-In adapters, per modality; each switch can be turned off alone."""

    type_embedding: bool = True  # token-type embedding with a learned gate
    lora_rank: int = 4  # low-rank change of W_q and W_k; 0 = none
    cross_residual: bool = True  # gated attention to the other modalities' tokens
    head_scale: bool = True  # one scale per head and modality


@dataclass(frozen=True)
class RelativeConfig:
    """Relative-position bucket bias: T5-style log buckets, one table per modality pair."""

    n_bucket: int = 16  # buckets of a 1-D distance
    max_distance: int = 64  # distances beyond share the last bucket
    grid_bucket: int = 8  # buckets per direction of a 2-D (row, column) offset


@dataclass(frozen=True)
class DecoderConfig:
    """The shared autoregressive decoder."""

    dim: int = 256
    n_layer: int = 6
    n_head: int = 4
    n_kv_head: int = 2
    head_dim: int = 64
    ff_dim: int = 640
    max_seq_len: int = 2048
    rope_base: float = 10000.0
    norm_eps: float = 1e-6
    qk_norm: bool = True
    tie_embedding: bool = True  # each modality's head is its embedding table
    modalities: dict[str, ModalityConfig] = field(default_factory=dict)  # order gives the type ids
    mixin: MixinConfig | None = None
    relative: RelativeConfig | None = None


def article_7b() -> DecoderConfig:
    """Configure the decoder at the article's size: 80 layers, 7 B parameters, 8192 codes, 32 x 32 tokens.

    The article names no widths; these are ours.
    """
    modalities = {
        "text": ModalityConfig(32000),
        "image": ModalityConfig(8192, two_d=True),
        "audio": ModalityConfig(4096),
    }
    return DecoderConfig(
        dim=2560,
        n_layer=80,
        n_head=20,
        n_kv_head=5,
        head_dim=128,
        ff_dim=9216,
        max_seq_len=4096,
        modalities=modalities,
        mixin=MixinConfig(),
        relative=RelativeConfig(),
    )


@dataclass(frozen=True)
class RefinerConfig:
    """Denoiser and upsampler: one depthwise-convolution trunk, two heads."""

    dim: int = 96  # trunk width; the trunk runs at half the picture's resolution
    n_block: int = 6
    kernel: int = 7
    expansion: int = 2
    groups: int = 4  # channel groups of the norm, whose statistics are taken at each position
    codebook_size: int = 8192
    code_dim: int = 16  # width of the code map the trunk is conditioned on
    patch: int = 8  # pixels per token at x1
    noise: float = 0.05  # sigma_s of the bridge's start, on [-1, 1]
    steps: int = 3  # default Euler steps
    up_steps: int = 1  # and those of a pass that denoises what it enlarges


@dataclass(frozen=True)
class JudgeConfig:
    """Classifier of concept and style that scores generated pictures; never trains the generator."""

    n_concept: int
    n_style: int
    dim: int = 64
    size: int = 64  # input pixels per side


@dataclass(frozen=True)
class VisionConfig:
    """Vision encoder for understanding: a ViT without class token. Defaults: SigLIP-L/16-384."""

    dim: int = 1024
    n_layer: int = 24
    n_head: int = 16
    ff_dim: int = 4096
    patch: int = 16  # pixels per token side
    image_size: int = 384  # pixels per side; pictures are resized and padded to it
    stem: int = 0  # channels of the first of the convolutions that embed a patch; 0 = one linear map
    pool: int = 1  # sides of the squares of patches whose features are averaged into one token
    summary: bool = False  # the mean of all features follows as a last token
    norm_eps: float = 1e-6
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)  # of pixels on [0, 1], red green blue
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    @property
    def n_token(self) -> int:
        """Tokens of one picture."""
        return (self.image_size // (self.patch * self.pool)) ** 2 + self.summary


@dataclass(frozen=True)
class VQConfig:
    """Janus-Pro's image tokenizer for generation: VQ-16."""

    codebook_size: int = 16384
    codebook_dim: int = 8
    dim: int = 128  # channels at full resolution
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4)  # of them, at each halved resolution
    n_block: int = 2
    latent_dim: int = 256

    @property
    def patch(self) -> int:
        """Pixels per token side."""
        return 1 << (len(self.multipliers) - 1)


@dataclass(frozen=True)
class JanusProConfig:
    """A published Janus-Pro checkpoint. `decoder.modalities` has text and image, in this order."""

    layout: str  # whose tensor names the weights have: original (DeepSeek's) or transformers
    decoder: DecoderConfig
    vision: VisionConfig
    vq: VQConfig
    head_dim: int  # hidden width of gen_head

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens of a generated picture, rows and columns: the model knows no other size."""
        side = self.vision.image_size // self.vq.patch
        return side, side


@dataclass(frozen=True)
class GenerationConfig:
    """Sampling defaults of a model."""

    grid: tuple[int, int] = (8, 8)  # default image tokens, rows and columns
    cfg_scale: float = 1.5
    temperature: float = 0.3
    top_k: int = 0  # 0 = all
    top_p: float = 1.0
    upsample: int = 4  # default enlargement of `draw`
    speech_temperature: float = 0.3
    # a recording holds words if its codes, and the words, are at least as likely: mean log probabilities
    least_speech: float | None = None  # of the first code of each frame; None: anything may be speech
    least_words: float | None = None  # of each token of the likeliest words


@dataclass(frozen=True)
class ModelConfig:
    """A model folder. A component that is None is not part of the model."""

    name: str
    format: int = FORMAT
    model_type: str = "janus"
    dvae: DVAEConfig | None = None
    codec: CodecConfig | None = None
    vision: VisionConfig | None = None
    decoder: DecoderConfig | None = None
    refiner: RefinerConfig | None = None
    judge: JudgeConfig | None = None
    generation: GenerationConfig = GenerationConfig()

    @property
    def sizes(self) -> dict[int, int]:
        """Heights of pictures in pixels, and the enlargement that each takes; none without a dVAE."""
        base = 0 if self.dvae is None else self.generation.grid[0] * self.dvae.patch
        return {base * scale: scale for scale in SCALES} if base else {}


@dataclass(frozen=True)
class PublishedConfig(ModelConfig):
    """The folder of a published Janus-Pro checkpoint; `zoo.janus_pro` reads it."""

    janus_pro: JanusProConfig = field(kw_only=True)

    @property
    def sizes(self) -> dict[int, int]:
        """The one height that the model was trained on."""
        return {self.janus_pro.vision.image_size: 1}


def parse(kind: type[T], data: Any, where: str) -> T:
    """Check `data`, parsed JSON or TOML, and make a `kind` of it: a dataclass or a msgspec.Struct.

    Keys that `kind` does not know are passed over. Raises ModelError: `where`, the key, and what is wrong.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ModelError(where + _explain(str(error), data)) from None


def _explain(fault: str, data: Any) -> str:
    """Say what msgspec found at fault in `data` as we say it: the key, what is expected, what is there.

    msgspec: "Expected `int`, got `str` - at `$.dvae.steps`". Ours: ".dvae.steps: expected int, found '2'".
    """
    what, _, path = fault.replace("`", "").partition(" - at $")
    if found := re.fullmatch(r"Object missing required field (.*)", what):
        return f"{path}: lacks {found[1]!r}"
    expected, _, got = what.replace("Expected", "expected").partition(", got ")
    places = list(_places(data, re.findall(r"\w+|\.\.\.", path))) or [(path, data)]
    key, value = next((place for place in places if _KINDS.get(type(place[1])) == got), places[0])
    if expected.startswith("Invalid enum value"):
        return f"{key}: this janus does not know {value!r}"
    return f"{key}: {expected.replace('object', 'an object').replace('array', 'a list')}, found {value!r}"


def _places(data: Any, steps: list[str]) -> Iterator[tuple[str, Any]]:
    """List the places in `data` that msgspec's path may mean: it writes "..." for any key of a dictionary."""
    if not steps:
        yield "", data
        return
    step, *rest = steps
    if isinstance(data, list) and step.isdigit():
        yield from ((f"[{step}]{inner}", value) for inner, value in _places(data[int(step)], rest))
    elif isinstance(data, dict):  # a neighbour of the faulty entry may be anything, and lack the key
        for key in data if step == "..." else {step} & set(data):
            yield from ((f".{key}{inner}", value) for inner, value in _places(data[key], rest))


def from_dict(kind: type[T], data: Any, where: str) -> T:
    """Make a config dataclass of parsed JSON or TOML. Raises ModelError naming an unknown or bad key."""
    made = parse(kind, data, where)
    _refuse_unknown(made, data, where)
    return made


def _refuse_unknown(made: Any, data: Any, where: str) -> None:
    """Raise ModelError for the first key in `data` that no field of the dataclass made of it has."""
    if dataclasses.is_dataclass(made):
        known = [f.name for f in dataclasses.fields(made)]
        if unknown := sorted(set(data) - set(known)):
            raise ModelError(f"{where}: unknown key {unknown[0]!r} (known: {', '.join(known)})")
        for key, value in data.items():
            _refuse_unknown(getattr(made, key), value, f"{where}.{key}")
    elif isinstance(made, dict):
        for key, value in data.items():
            _refuse_unknown(made[key], value, f"{where}.{key}")


def read_object(path: Path) -> dict[str, Any]:
    """Read the JSON object in the file `path`. Raises ModelError for a file that holds none."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not readable JSON ({error})") from None
    if not isinstance(data, dict):
        raise ModelError(f"{path}: expected a JSON object")
    return data


def read_config(path: Path) -> ModelConfig:
    """Read the configuration in `path` (a config.json). Raises ModelError with the file and key."""
    data = read_object(path)
    config = from_dict(ModelConfig, data, str(path))
    if config.format != FORMAT:
        raise ModelError(f"{path}: format {config.format}, but this janus reads format {FORMAT}")
    return config


def write_config(config: ModelConfig, path: Path) -> None:
    """Write `config` as indented JSON."""
    path.write_text(json.dumps(dataclasses.asdict(config), indent=2) + "\n", "utf-8")
