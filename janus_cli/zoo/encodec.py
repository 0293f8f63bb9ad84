"""Published EnCodec checkpoints: where they are and how they are configured.

Two kinds: the `encodec` package's own .th files (24 and 48 kHz, found by name in torch's cache), and
folders in transformers' layout. Knows config.json and file names, no weights; never asks the network.
"""

import math
import os
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from janus_cli.config import CodecConfig, Extent, Factor, ModelConfig, Small, parse, read_object
from janus_cli.errors import ModelError

MODEL_TYPE = "encodec"
PACKAGE, TRANSFORMERS = "encodec", "encodec_transformers"  # whose tensor names the weights have
_HOME = "https://dl.fbaipublicfiles.com/encodec/v0/"
_FILES = {"encodec_24khz": "encodec_24khz-d7cc33bc.th", "encodec_48khz": "encodec_48khz-7e698e3e.th"}
_CODECS = {
    "encodec_24khz": CodecConfig(sample_rate=24000, dim=128, n_filter=32, n_lstm=2, n_q=32),
    "encodec_48khz": CodecConfig(
        sample_rate=48000,
        channels=2,
        dim=128,
        n_filter=32,
        n_lstm=2,
        n_q=16,
        causal=False,
        norm="time_group_norm",
        normalize=True,
        segment=48000,
    ),
}
NAMES = tuple(_CODECS)


class EncodecConfig(Struct):
    """The words of transformers' EncodecConfig, and what they are where a config.json says nothing."""

    sampling_rate: Extent = 24000  # Hz
    audio_channels: Annotated[int, Meta(ge=1, le=2)] = 1
    hidden_size: Extent = 128
    num_filters: Extent = 32
    upsampling_ratios: tuple[Small, Small, Small, Small] = (8, 5, 4, 2)
    num_lstm_layers: Annotated[int, Meta(ge=1, le=16)] = 2
    codebook_size: Extent = 1024
    codebook_dim: Extent | None = None
    # kbit/s
    target_bandwidths: Annotated[tuple[Factor, ...], Meta(min_length=1)] = (1.5, 3.0, 6.0, 12.0, 24.0)
    norm_type: Literal["weight_norm", "time_group_norm", None] = None
    use_causal_conv: bool | None = None
    use_conv_shortcut: bool | None = None
    normalize: bool | None = None
    chunk_length_s: Annotated[float, Meta(ge=0, le=600)] | None = None
    overlap: Annotated[float, Meta(ge=0, lt=1)] | None = None
    num_residual_layers: Literal[1, None] = None
    kernel_size: Literal[7, None] = None
    last_kernel_size: Literal[7, None] = None
    residual_kernel_size: Literal[3, None] = None
    dilation_growth_rate: Literal[2, None] = None
    compress: Literal[2, None] = None
    pad_mode: Literal["reflect", None] = None
    trim_right_ratio: Annotated[float, Meta(ge=1, le=1)] | None = None


def is_encodec(path: Path) -> bool:
    """Whether `path` is a .th file, or a folder in transformers' layout. Raises ModelError."""
    if path.is_file():
        return path.suffix == ".th"
    return read_object(path / "config.json").get("model_type") == MODEL_TYPE


def _place(name: str) -> Path:
    """Find where the `encodec` package keeps a model of NAMES: in the cache of torch.hub."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{caches}/torch"
    return Path(os.path.expandvars(home)).expanduser() / "hub" / "checkpoints" / _FILES[name]


def list_cached() -> list[tuple[str, Path]]:
    """List the models of NAMES that are in torch's cache, and their files."""
    return [(name, _place(name)) for name in NAMES if _place(name).is_file()]


def locate(name: str) -> Path:
    """Find the file of a model of NAMES. Raises ModelError that says what to fetch if it is not there."""
    path = _place(name)
    if not path.is_file():
        raise ModelError(
            f"{name} is not here: fetch {_HOME}{path.name} into {path.parent}, or name the file with --model"
        )
    return path


def read(path: Path, name: str = "") -> ModelConfig:
    """Read the configuration of the checkpoint at `path`; `name` is what a folder's model is called.

    Raises ModelError for what is not built here, and for a .th file whose name does not say which it is.
    """
    if path.is_file():
        known = next((n for n in NAMES if n.removeprefix("encodec_") in path.name), None)
        if known is None:
            wanted = " or ".join(f"{n}.th" for n in NAMES)
            raise ModelError(f"{path}: its name does not say which model it is: call it {wanted}")
        return ModelConfig(name=known, model_type=MODEL_TYPE, codec=_CODECS[known])
    file = path / "config.json"
    codec = _codec(parse(EncodecConfig, read_object(file), str(file)), str(file))
    return ModelConfig(name=name or path.resolve().name, model_type=MODEL_TYPE, codec=codec)


def _codec(words: EncodecConfig, where: str) -> CodecConfig:
    """Translate transformers' words. Raises ModelError for those that do not go together."""
    rate, size, causal = words.sampling_rate, words.codebook_size, words.use_causal_conv is not False
    frame_rate = math.ceil(rate / math.prod(words.upsampling_ratios))
    n_q = int(1000 * words.target_bandwidths[-1] // (frame_rate * max(1, size.bit_length() - 1)))
    for fits, what in (
        (words.codebook_dim in (None, words.hidden_size), f"codebook_dim: expected {words.hidden_size}"),
        (size & (size - 1) == 0 and size > 1, "codebook_size: expected a power of two"),
        (1 <= n_q <= 256, f"target_bandwidths: that would be {n_q} codebooks"),
        (
            not causal or words.norm_type != "time_group_norm",
            "norm_type: a group norm over time is not causal",
        ),
    ):
        if not fits:
            raise ModelError(f"{where}.{what}, found {getattr(words, what.partition(':')[0])!r}")
    return CodecConfig(
        sample_rate=rate,
        channels=words.audio_channels,
        ratios=words.upsampling_ratios,
        dim=words.hidden_size,
        n_filter=words.num_filters,
        n_lstm=words.num_lstm_layers,
        codebook_size=size,
        n_q=n_q,
        causal=causal,
        norm="time_group_norm" if words.norm_type == "time_group_norm" else "none",
        conv_shortcut=words.use_conv_shortcut is not False,
        normalize=words.normalize is True,
        segment=int((words.chunk_length_s or 0) * rate),
        overlap=0.01 if words.overlap is None else words.overlap,
    )
