"""Model configurations: frozen dataclasses read from a model folder's config.json.

Knows the words of config.json and refuses unknown ones, and numbers that no model has: who reads a
configuration allocates by it. Knows no torch and opens no weights.
"""

import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from janus_cli.errors import ModelError, UsageError, quote

T = TypeVar("T")
Progress = Callable[[int], None]  # called with each number of tokens, samples or bytes that are newly done
FORMAT = 1  # version of config.json's own layout
COMPONENTS = ("dvae", "codec", "vision", "decoder", "refiner", "judge")  # nets of a ModelConfig
SCALES = (1, 2, 4)  # enlargements that refiners know
VQ_GROUPS = 32  # channel groups of VQ-16's norms; its widths are multiples
MAX_JSON = 1 << 22  # bytes; what it says may take twenty times that in memory
MAX_ROTATIONS = (
    1 << 22
)  # numbers per table of cosines: no weight file holds it, so that nothing else limits it
_LARGEST = sys.float_info.max

# What numbers in a configuration may be. None is larger in any model that is known; weight files' headers say
# the rest before memory is taken.
Extent = Annotated[int, Meta(ge=1, le=1 << 20)]
Count = Annotated[int, Meta(ge=0, le=1 << 20)]  # of what may be missing
Depth = Annotated[int, Meta(ge=1, le=128)]  # of layers
Blocks = Annotated[int, Meta(ge=0, le=64)]
Small = Annotated[int, Meta(ge=1, le=64)]
Books = Annotated[int, Meta(ge=1, le=256)]  # codebooks
Samples = Annotated[int, Meta(ge=0, le=1 << 26)]
Side = Annotated[int, Meta(ge=1, le=256)]  # of a grid of tokens
Positive = Annotated[float, Meta(gt=0, le=_LARGEST)]
Factor = Annotated[float, Meta(gt=0, le=1 << 20)]  # that a whole number is computed from
Finite = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
Level = Annotated[float, Meta(ge=0, le=_LARGEST)]
Share = Annotated[float, Meta(ge=0, lt=1)]
Word = Annotated[str, Meta(min_length=1, max_length=200)]
Modality = Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9_]{0,31}\Z")]
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

    patch: Small = 8  # pixels per token side
    codebook_size: Extent = 8192
    codebook_dim: Extent = 64
    dim: Extent = 128  # decoder width at one token per cell
    n_block: Blocks = 4  # residual blocks at that resolution


@dataclass(frozen=True)
class CodecConfig:
    """Audio tokenizer: EnCodec's networks around a residual quantizer."""

    sample_rate: Extent = 16000  # Hz
    channels: Small = 1
    ratios: tuple[Small, Small, Small, Small] = (8, 5, 4, 2)  # strides, from the latents to the waveform
    dim: Extent = 64  # width of the latents and of every codebook
    n_filter: Extent = 16  # channels at the waveform's rate; doubled at each stride
    n_lstm: Annotated[int, Meta(ge=0, le=16)] = 0
    codebook_size: Extent = 1024
    n_q: Books = 4  # codebooks, each for what the ones before left over
    causal: bool = True  # convolutions look back only
    norm: Literal["none", "time_group_norm"] = "none"  # of the convolutions; none: weight norms are folded
    conv_shortcut: bool = True  # residual blocks' shortcuts are convolutions
    normalize: bool = False  # each segment is encoded at loudness 1, and its scale kept
    segment: Samples = 0  # that are encoded on their own; 0 = the whole sound is one
    overlap: Share = 0.01  # share of a segment that the next one covers too

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

    vocab_size: Count = 0  # ids of one codebook; 0 = continuous, nothing to generate
    two_d: bool = False  # tokens form a [rows, cols] grid (images)
    n_q: Books = 1  # codebooks whose codes make one token together (audio frames)
    feature_dim: Count = 0  # width of a continuous token
    ends: bool = False  # whether a sequence of it closes with an END of its own, one past the first codebook


@dataclass(frozen=True)
class MixinConfig:
    """Mix-In adapters, per modality; each switch can be turned off alone."""

    type_embedding: bool = True  # token-type embedding with a learned gate
    lora_rank: Count = 4  # low-rank change of W_q and W_k; 0 = none
    cross_residual: bool = True  # gated attention to the other modalities' tokens
    head_scale: bool = True  # one scale per head and modality


@dataclass(frozen=True)
class RelativeConfig:
    """Relative-position bucket bias: T5-style log buckets, one table per modality pair."""

    n_bucket: Extent = 16  # buckets of a 1-D distance
    max_distance: Extent = 64  # distances beyond share the last bucket
    grid_bucket: Extent = 8  # buckets per direction of a 2-D (row, column) offset


@dataclass(frozen=True)
class DecoderConfig:
    """The shared autoregressive decoder."""

    dim: Extent = 256
    n_layer: Depth = 6
    n_head: Extent = 4
    n_kv_head: Extent = 2
    head_dim: Extent = 64
    ff_dim: Extent = 640
    max_seq_len: Extent = 2048
    rope_base: Positive = 10000.0
    norm_eps: Level = 1e-6
    qk_norm: bool = True
    tie_embedding: bool = True  # each modality's head is its embedding table
    modalities: Annotated[dict[Modality, ModalityConfig], Meta(max_length=64)] = field(
        default_factory=dict
    )  # order gives the type ids
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

    dim: Extent = 96  # trunk width; the trunk runs at half the picture's resolution
    n_block: Blocks = 6
    kernel: Small = 7
    expansion: Small = 2
    groups: Extent = 4  # channel groups of the norm, whose statistics are taken at each position
    codebook_size: Extent = 8192
    code_dim: Extent = 16  # width of the code map the trunk is conditioned on
    patch: Small = 8  # pixels per token at x1
    noise: Annotated[float, Meta(ge=0, le=1)] = 0.05  # sigma_s of the bridge's start, on [-1, 1]
    steps: Annotated[int, Meta(ge=0, le=64)] = 3  # default Euler steps
    up_steps: Annotated[int, Meta(ge=0, le=64)] = 1  # and those of a pass that denoises what it enlarges


@dataclass(frozen=True)
class JudgeConfig:
    """Classifier of concept and style that scores generated pictures; never trains the generator."""

    n_concept: Extent
    n_style: Extent
    dim: Extent = 64
    size: Annotated[int, Meta(ge=16, le=4096)] = 64  # input pixels per side


@dataclass(frozen=True)
class VisionConfig:
    """Vision encoder for understanding: a ViT without class token. Defaults: SigLIP-L/16-384."""

    dim: Extent = 1024
    n_layer: Depth = 24
    n_head: Extent = 16
    ff_dim: Extent = 4096
    patch: Extent = 16  # pixels per token side
    image_size: Extent = 384  # pixels per side; pictures are resized and padded to it
    stem: Count = 0  # channels of the first of the convolutions that embed a patch; 0 = one linear map
    pool: Extent = 1  # sides of the squares of patches whose features are averaged into one token
    summary: bool = False  # the mean of all features follows as a last token
    norm_eps: Level = 1e-6
    mean: tuple[Finite, Finite, Finite] = (0.5, 0.5, 0.5)  # of pixels on [0, 1], red green blue
    std: tuple[Positive, Positive, Positive] = (0.5, 0.5, 0.5)

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

    grid: tuple[Side, Side] = (8, 8)  # default image tokens, rows and columns
    cfg_scale: Level = 1.5
    temperature: Level = 0.3
    top_k: Count = 0  # 0 = all
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    upsample: Literal[1, 2, 4] = 4  # default enlargement of `draw`
    speech_temperature: Level = 0.3
    caption: Count = 0  # text tokens of the longest prompt that it learned; 0: any
    # a recording holds words if its codes, and the words, are at least as likely: mean log probabilities
    least_speech: Finite | None = None  # of the first code of each frame; None: anything may be speech
    least_words: Finite | None = None  # of each token of the likeliest words


@dataclass(frozen=True)
class ModelConfig:
    """A model folder. A component that is None is not part of the model."""

    name: Word
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
    except RecursionError:
        raise ModelError(f"{where}: nested too deeply") from None


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
        return f"{key}: this janus does not know {quote(value)}"
    expected = expected.replace("object", "an object").replace("array", "a list")
    return f"{key}: {expected}, found {quote(value)}"


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


def refuse_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a JSON object of its pairs. Raises ValueError for a key that stands twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def read_object(path: Path) -> dict[str, Any]:
    """Read the JSON object in `path`. Raises ModelError for a file that holds none, or more than MAX_JSON."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_JSON + 1)
        if len(text) > MAX_JSON:
            raise ModelError(f"{path}: more than the {MAX_JSON:,} bytes that are read of such a file")
        data = json.loads(text.decode("utf-8"), object_pairs_hook=refuse_twins)
        json.dumps(data, ensure_ascii=False).encode("utf-8")  # refuses halves of Unicode's pairs
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
    faults = (fault for faulty, fault in _list_faults(config) if faulty)
    if fault := next(faults, None):
        raise ModelError(f"{path}: {fault}")
    return config


def _list_faults(config: ModelConfig) -> Iterator[tuple[bool, str]]:
    """List what would not go together in `config`: whether it is so, and what to say then."""
    dvae, codec, vision, decoder = config.dvae, config.codec, config.vision, config.decoder
    refiner, judge = config.refiner, config.judge
    if dvae is not None:
        yield dvae.patch % 2 > 0 or dvae.dim < 2, "dvae: patch must be even, and dim at least 2"
    if vision is not None:
        yield vision.dim % vision.n_head > 0, "vision: dim must be a multiple of n_head"
    if judge is not None:
        yield judge.size % 16 > 0, "judge: size must be a multiple of 16"
    if refiner is not None:
        yield (
            refiner.dim % 4 > 0 or refiner.dim % refiner.groups > 0,
            "refiner: dim must divide by groups and 4",
        )
        yield refiner.patch % 2 > 0 or refiner.kernel % 2 == 0, "refiner: patch must be even, kernel odd"
    if decoder is None:
        return
    yield from _list_decoder_faults(decoder)
    image, audio = decoder.modalities.get("image"), decoder.modalities.get("audio")
    if image is not None:
        yield (
            dvae is not None and dvae.codebook_size != image.vocab_size,
            (f"decoder.modalities.image.vocab_size: {image.vocab_size}, but dvae.codebook_size differs"),
        )
    if audio is not None and codec is not None:
        yield (
            audio.vocab_size != codec.codebook_size or audio.n_q > codec.n_q,
            (
                f"decoder.modalities.audio: {audio.n_q} codebooks of {audio.vocab_size} codes, "
                f"the codec has {codec.n_q} of {codec.codebook_size}"
            ),
        )


def _list_decoder_faults(decoder: DecoderConfig) -> Iterator[tuple[bool, str]]:
    """List what would not go together in the decoder, as `_list_faults` does."""
    yield not decoder.modalities, "decoder: it has no modalities"
    yield decoder.n_head % decoder.n_kv_head > 0, "decoder: n_head must be a multiple of n_kv_head"
    yield decoder.head_dim % 2 > 0, "decoder: head_dim must be even"
    yield (
        decoder.head_dim * decoder.max_seq_len > MAX_ROTATIONS,
        (f"decoder.max_seq_len: {decoder.max_seq_len} is too large"),
    )
    for name, modality in decoder.modalities.items():
        yield (
            (modality.vocab_size > 0) == (modality.feature_dim > 0),
            (f"decoder.modalities.{name}: it needs a vocab_size or a feature_dim, one of them"),
        )
        yield (
            modality.vocab_size**modality.n_q > 1 << 62,
            (f"decoder.modalities.{name}: n_q {modality.n_q} is too much for {modality.vocab_size} codes"),
        )


def format_config(config: ModelConfig) -> str:
    """Write `config` as the indented JSON of a config.json."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"
