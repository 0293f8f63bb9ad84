"""Published EnCodec checkpoints: where they are and how they are configured.

Two kinds: the `encodec` package's own .th files (24 and 48 kHz, found by name in torch's cache), and
folders in transformers' layout. Knows config.json and file names, no weights; never asks the network.
"""

import math
import os
from pathlib import Path

from janus_cli.config import CodecConfig, ModelConfig, read_object
from janus_cli.errors import ModelError
from janus_cli.zoo.janus_pro import Section

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
# What transformers' EncodecConfig takes where a config.json says nothing.
_DEFAULTS = {
    "sampling_rate": 24000,
    "audio_channels": 1,
    "hidden_size": 128,
    "num_filters": 32,
    "upsampling_ratios": [8, 5, 4, 2],
    "num_lstm_layers": 2,
    "codebook_size": 1024,
    "target_bandwidths": [1.5, 3.0, 6.0, 12.0, 24.0],
}
_FIXED = {
    "num_residual_layers": 1,
    "kernel_size": 7,
    "last_kernel_size": 7,
    "residual_kernel_size": 3,
    "dilation_growth_rate": 2,
    "compress": 2,
    "pad_mode": "reflect",
    "trim_right_ratio": 1.0,
}

_SWITCHES = {"use_causal_conv": True, "use_conv_shortcut": True, "normalize": False}


def is_encodec(path: Path) -> bool:
    """Whether `path` is a .th file, or a folder in transformers' layout. Raises ModelError."""
    if path.is_file():
        return path.suffix == ".th"
    return read_object(path / "config.json").get("model_type") == MODEL_TYPE


def _place(name: str) -> Path:
    """Where the `encodec` package keeps a model of NAMES: in the cache of torch.hub."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("TORCH_HOME") or f"{caches}/torch"
    return Path(os.path.expandvars(home)).expanduser() / "hub" / "checkpoints" / _FILES[name]


def here() -> list[tuple[str, Path]]:
    """The models of NAMES that are in torch's cache, and their files."""
    return [(name, _place(name)) for name in NAMES if _place(name).is_file()]


def cached(name: str) -> Path:
    """The file of a model of NAMES. Raises ModelError that says what to fetch if it is not there."""
    path = _place(name)
    if not path.is_file():
        raise ModelError(
            f"{name} is not here: fetch {_HOME}{path.name} into {path.parent}, or name the file with --model"
        )
    return path


def read(path: Path, name: str = "") -> ModelConfig:
    """The configuration of the checkpoint at `path`; `name` is what a folder's model is called.

    Raises ModelError for what is not built here, and for a .th file whose name does not say which it is.
    """
    if path.is_file():
        known = next((n for n in NAMES if n.removeprefix("encodec_") in path.name), None)
        if known is None:
            wanted = " or ".join(f"{n}.th" for n in NAMES)
            raise ModelError(f"{path}: its name does not say which model it is: call it {wanted}")
        return ModelConfig(name=known, model_type=MODEL_TYPE, codec=_CODECS[known])
    file = path / "config.json"
    codec = _codec(Section(file, read_object(file), defaults=_DEFAULTS))
    return ModelConfig(name=name or path.resolve().name, model_type=MODEL_TYPE, codec=codec)


def _codec(words: Section) -> CodecConfig:
    """The words of transformers' EncodecConfig."""
    for word, value in _FIXED.items():
        words.only(word, value, default=value)
    words.only("norm_type", "weight_norm", "time_group_norm", default="weight_norm")
    for word, default in _SWITCHES.items():
        if type(words.get(word, default)) is not bool:
            raise words.fault(word, "expected true or false")
    rate, dim, size = words.whole("sampling_rate"), words.whole("hidden_size"), words.whole("codebook_size")
    words.only("codebook_dim", dim, default=dim)
    ratios = words.multipliers("upsampling_ratios")
    if len(ratios) != 4:
        raise words.fault("upsampling_ratios", "expected four whole numbers")
    if size & (size - 1) or size < 2:
        raise words.fault("codebook_size", "expected a power of two")
    bandwidths = words.get("target_bandwidths")
    if (
        not isinstance(bandwidths, list)
        or not bandwidths
        or not all(type(b) in (int, float) and 0 < b < math.inf for b in bandwidths)
    ):
        raise words.fault("target_bandwidths", "expected a list of numbers above 0")
    frame_rate = math.ceil(rate / math.prod(ratios))
    n_q = int(1000 * bandwidths[-1] // (frame_rate * (size.bit_length() - 1)))
    if not 1 <= n_q <= 256:
        raise words.fault("target_bandwidths", f"that would be {n_q} codebooks")
    seconds, overlap = words.get("chunk_length_s", 0), words.get("overlap", 0.01)
    if type(seconds) not in (int, float) or not 0 <= seconds <= 600:
        raise words.fault("chunk_length_s", "expected seconds, at most 600")
    if type(overlap) not in (int, float) or not 0 <= overlap < 1:
        raise words.fault("overlap", "expected a number from 0, below 1")
    norm = words.get("norm_type", "weight_norm")
    causal, shortcut, normalize = (words.get(word, default) for word, default in _SWITCHES.items())
    if causal and norm == "time_group_norm":
        raise words.fault("norm_type", "a group norm over time is not causal")
    return CodecConfig(
        sample_rate=rate,
        channels=words.whole("audio_channels", 2),
        ratios=(*ratios[:3], ratios[3]),
        dim=dim,
        n_filter=words.whole("num_filters"),
        n_lstm=words.whole("num_lstm_layers", 16),
        codebook_size=size,
        n_q=n_q,
        causal=causal,
        norm="none" if norm == "weight_norm" else norm,
        conv_shortcut=shortcut,
        normalize=normalize,
        segment=int(seconds * rate),
        overlap=float(overlap),
    )
