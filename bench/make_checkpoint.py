"""A Janus-Pro checkpoint with random weights, so that everything runs without the hub.

    python -m bench.make_checkpoint OUT --shape tiny --layout original

Writes the files that a published folder has: `original` as DeepSeek lays them out (pytorch_model.bin, of
the 7b shape in shards), `transformers` in safetensors. A tensor depends on the seed and on its name alone,
so both layouts of one seed hold the same weights. The tokenizer is a small one with the published special
tokens; the ids of a full-size shape that it lacks are never produced by it.
"""

import argparse
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from janus_cli.config import PublishedConfig
from janus_cli.nets.janus_pro import JanusPro
from janus_cli.weights import remap
from janus_cli.zoo import janus_pro

SPECIAL = (
    "<｜begin▁of▁sentence｜>",
    "<｜end▁of▁sentence｜>",
    "<｜▁pad▁｜>",
    "<|User|>",
    "<|Assistant|>",
    "<image_placeholder>",
    "<begin_of_image>",
    "<end_of_image>",
)
SENTENCES = (
    "You are a helpful language and vision assistant. You are able to understand the visual content "
    "that the user provides, and assist the user with a variety of tasks using natural language.",
    "a red apple on a table",
    "What is in this picture? Describe it.",
    "ein roter Apfel",
    "un chat noir dort",
)
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Shape:
    """The sizes that differ between the shapes."""

    dim: int
    n_layer: int
    n_head: int
    ff_dim: int
    vocab_size: int  # 0 = what the small tokenizer has
    shard: int  # most bytes of a .bin file
    eyes: dict[str, int]  # vision encoder, where not the published one
    book: dict[str, int]  # image tokenizer, likewise
    image_size: int = 384
    max_seq_len: int = 16384


SHAPES = {
    "1b": Shape(2048, 24, 16, 5632, 102400, 10 << 30, {}, {}),
    "7b": Shape(4096, 30, 32, 11008, 102400, 10 << 30, {}, {}),
    "tiny": Shape(
        64,
        2,
        4,
        96,
        0,
        10 << 30,
        {"width": 32, "layers": 2, "heads": 2},
        {"image_token_size": 64, "ch": 32, "num_res_blocks": 1, "z_channels": 32},
        64,
        512,
    ),
}


def llama_config(shape: Shape, vocab_size: int) -> dict[str, Any]:
    """Describe the language model in the words that both layouts have for it."""
    return {
        "model_type": "llama",
        "hidden_size": shape.dim,
        "intermediate_size": shape.ff_dim,
        "num_hidden_layers": shape.n_layer,
        "num_attention_heads": shape.n_head,
        "num_key_value_heads": shape.n_head,
        "max_position_embeddings": shape.max_seq_len,
        "vocab_size": vocab_size,
    }


def original_config(shape: Shape, vocab_size: int, dtype: str) -> dict[str, Any]:
    """config.json as DeepSeek writes it; the small shape says in `params` what theirs only name."""
    book = {"image_token_size": 16384, "n_embed": 8} | shape.book
    eyes = {
        "image_size": shape.image_size,
        "model_name": "siglip_large_patch16_384",
        "select_feature": "same",
        "select_layer": -1,
    } | shape.eyes
    align = {"depth": 2, "n_embed": shape.dim, "projector_type": "mlp_gelu"}
    return {
        "architectures": ["MultiModalityCausalLM"],
        "model_type": "multi_modality",
        "torch_dtype": dtype,
        "language_config": llama_config(shape, vocab_size) | {"torch_dtype": dtype},
        "vision_config": {"cls": "CLIPVisionTower", "model_type": "vision", "params": eyes},
        "aligner_config": {
            "cls": "MlpProjector",
            "model_type": "aligner",
            "params": {**align, "input_dim": eyes.get("width", 1024)},
        },
        "gen_vision_config": {"cls": "VQ-16", "model_type": "gen_vision", "params": book},
        "gen_aligner_config": {
            "cls": "MlpProjector",
            "model_type": "gen_aligner",
            "params": {**align, "input_dim": book["n_embed"]},
        },
        "gen_head_config": {
            "cls": "vision_head",
            "model_type": "gen_head",
            "params": {
                "image_token_embed": shape.dim,
                "image_token_size": book["image_token_size"],
                "n_embed": shape.dim,
            },
        },
    }


def transformers_config(shape: Shape, vocab_size: int, dtype: str) -> dict[str, Any]:
    """config.json in transformers' words."""
    size, eyes, book = shape.image_size, shape.eyes, shape.book
    return {
        "architectures": ["JanusForConditionalGeneration"],
        "model_type": "janus",
        "dtype": dtype,
        "image_token_id": SPECIAL.index("<image_placeholder>"),
        "tie_word_embeddings": False,
        "text_config": llama_config(shape, vocab_size) | {"rms_norm_eps": 1e-6, "tie_word_embeddings": False},
        "vision_config": {
            "model_type": "janus_vision_model",
            "hidden_size": eyes.get("width", 1024),
            "num_hidden_layers": eyes.get("layers", 24),
            "num_attention_heads": eyes.get("heads", 16),
            "image_size": size,
            "patch_size": 16,
            "num_image_tokens": (size // 16) ** 2,
            "projection_dim": shape.dim,
            "hidden_act": "gelu",
            "mlp_ratio": 4.0,
            "depth": 2,
        },
        "vq_config": {
            "model_type": "janus_vqgan",
            "embed_dim": 8,
            "num_embeddings": book.get("image_token_size", 16384),
            "base_channels": book.get("ch", 128),
            "num_res_blocks": book.get("num_res_blocks", 2),
            "latent_channels": book.get("z_channels", 256),
            "projection_dim": shape.dim,
            "image_token_embed_dim": shape.dim,
            "num_patches": size // 16,
        },
    }


def write_tokenizer(folder: Path) -> int:
    """A byte-level BPE of few merges with the published special tokens; returns its vocabulary's size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    words = dict(zip(("bos_token", "eos_token", "pad_token"), SPECIAL, strict=False))
    _write(folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **words})
    ids = dict(zip(("bos_token_id", "eos_token_id", "pad_token_id"), range(3), strict=True))
    boi = {"boi_token_id": SPECIAL.index("<begin_of_image>")}
    _write(folder / "generation_config.json", {**ids, "guidance_scale": 5.0, "generation_kwargs": boi})
    return int(tokenizer.get_vocab_size())


def random_tensor(name: str, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tensor:
    """Weights by fan-in, norms near 1, biases near 0: activations of a likely size at any shape."""
    random = torch.Generator().manual_seed(seed * 1_000_003 + zlib.crc32(name.encode()))
    # In `dtype` at once: the embedding of the 7b shape has 0.4 billion numbers.
    tensor = torch.empty(shape, dtype=dtype).normal_(generator=random)
    if len(shape) == 1:
        return tensor.mul_(0.02) if name.endswith("bias") else tensor.mul_(0.1).add_(1)
    table = name.endswith(("embed_tokens.weight", "gen_embed.weight", "embedding.weight"))
    return tensor if table else tensor.mul_(math.prod(shape[1:]) ** -0.5)


def publish(
    state: Mapping[str, Tensor], layout: str, norm: tuple[str, str] | None = None
) -> dict[str, Tensor]:
    """Rename and cut our tensors as `layout` has them; `norm` as in `remap.find_source`."""
    published = {}
    for name, ours in state.items():
        source = remap.find_source(name, layout, norm)
        parts = [ours[0]] if source.squeezed else ours.chunk(len(source.names))
        if source.norm:
            parts = [torch.linalg.vector_norm(ours, dim=tuple(range(1, ours.dim())), keepdim=True), ours]
        published |= dict(zip(source.names, parts, strict=True))
    return published


def tensors(config: Any, layout: str, seed: int, dtype: torch.dtype) -> Iterator[tuple[str, Tensor]]:
    """Every published tensor in turn, the unused ones of DeepSeek's layout included."""
    with torch.device("meta"):
        net = JanusPro(config)
    for name, tensor in net.state_dict().items():
        made = random_tensor(name, tuple(tensor.shape), seed, dtype)
        yield from publish({name: made}, layout).items()
    if layout == "original":
        dim = config.vision.dim
        yield "gen_vision_model.quantize.codebook_used", torch.zeros(65536)
        yield "vision_model.vision_tower.attn_pool.latent", torch.zeros(1, 1, dim, dtype=dtype)


def write_weights(folder: Path, layout: str, made: Iterator[tuple[str, Tensor]], shard: int) -> None:
    """The weights in one file, or in shards of at most `shard` bytes with an index."""
    from safetensors.torch import save_file

    stem, suffix = ("model", "safetensors") if layout == "transformers" else ("pytorch_model", "bin")
    held: dict[str, Tensor] = {}
    files: list[list[str]] = []

    def flush() -> None:
        path = folder / f"{stem}-{len(files)}.part"
        ready = {
            name: tensor.contiguous().clone() if tensor.storage_offset() else tensor.contiguous()
            for name, tensor in held.items()
        }
        if suffix == "bin":
            torch.save(ready, path)
        else:
            save_file(ready, path, metadata={"format": "pt"})
        files.append(list(held))
        held.clear()

    size = total = 0
    for name, tensor in made:
        if held and size + tensor.nbytes > shard:
            flush()
            size = 0
        held[name] = tensor
        size, total = size + tensor.nbytes, total + tensor.nbytes
    flush()
    names = [f"{stem}-{i + 1:05}-of-{len(files):05}.{suffix}" for i in range(len(files))]
    if len(files) == 1:
        names = [f"{stem}.{suffix}"]
    else:
        where = {name: file for file, inside in zip(names, files, strict=True) for name in inside}
        _write(
            folder / f"{stem}.{suffix}.index.json", {"metadata": {"total_size": total}, "weight_map": where}
        )
    for i, name in enumerate(names):
        (folder / f"{stem}-{i}.part").replace(folder / name)


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", "utf-8")


def make(
    folder: Path,
    shape: str = "tiny",
    layout: str = "original",
    dtype: str = "fp32",
    seed: int = 0,
    shard: int = 0,
) -> Path:
    """Write the checkpoint to `folder` and return it; `shard`: most bytes of a file, 0 = the shape's."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes, word = SHAPES[shape], {"bf16": "bfloat16", "fp32": "float32"}[dtype]
    vocab_size = max(write_tokenizer(folder), sizes.vocab_size)
    build = original_config if layout == "original" else transformers_config
    _write(folder / "config.json", build(sizes, vocab_size, word))
    _write(
        folder / "preprocessor_config.json",
        {
            "image_processor_type": "VLMImageProcessor",
            "image_size": sizes.image_size,
            "min_size": 14,
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
        },
    )
    config = janus_pro.read(folder)
    assert isinstance(config, PublishedConfig), "what was just written is a published checkpoint's"
    write_weights(
        folder, layout, tensors(config.janus_pro, layout, seed, DTYPES[dtype]), shard or sizes.shard
    )
    return folder


def main() -> None:
    """Read the command line and write the checkpoint."""
    parser = argparse.ArgumentParser(description="Write a Janus-Pro checkpoint with random weights.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--layout", choices=("original", "transformers"), default="original")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shard", type=int, default=0, help="most bytes of a weight file")
    given = parser.parse_args()
    print(make(given.folder, given.shape, given.layout, given.dtype, given.seed, given.shard))


if __name__ == "__main__":
    main()
