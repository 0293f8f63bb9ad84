"""A model folder that is made in a moment: every component, random weights."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from janus_cli import weights
from janus_cli.config import (
    CodecConfig,
    DecoderConfig,
    DVAEConfig,
    GenerationConfig,
    MixinConfig,
    ModalityConfig,
    ModelConfig,
    RefinerConfig,
    RelativeConfig,
    VisionConfig,
    format_config,
)
from janus_cli.nets.build import NETS, build


def build_tiny_model(folder: Path, senses: bool = False) -> Path:
    """A model folder named by `folder`: every component, 4 x 4 tokens a picture, random weights.

    `senses`: the decoder also sees, hears and speaks, and has room for that.
    """
    folder.mkdir(parents=True)
    config = tiny_config(folder.name, _write_tokenizer(folder / "tokenizer.json"), senses)
    torch.manual_seed(7)
    for name in NETS:
        if getattr(config, name) is None:
            continue
        module = build(name, getattr(config, name))
        for parameter in module.parameters():  # zero-initialised layers would hide mistakes
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
        if senses and name == "decoder":  # texts and sounds that end
            module.get_adapter("text").head_bias.data[0] = 0.25
            module.get_adapter("audio").head_bias.data[32] = 0.25
        weights.save(module, folder / f"{name}.safetensors")
    (folder / "config.json").write_text(format_config(config))
    return folder


def tiny_config(name: str, vocab_size: int, senses: bool) -> ModelConfig:
    """What `build_tiny_model` builds."""
    modalities = {"text": ModalityConfig(vocab_size), "image": ModalityConfig(32, two_d=True)}
    if senses:
        modalities |= {"audio": ModalityConfig(32, n_q=2, ends=True), "sight": ModalityConfig(feature_dim=16)}
    return ModelConfig(
        name=name,
        dvae=DVAEConfig(codebook_size=32, codebook_dim=8, dim=16, n_block=2),
        codec=CodecConfig(dim=8, n_filter=2, codebook_size=32, n_q=2),
        decoder=DecoderConfig(
            dim=32,
            n_layer=2,
            n_head=2,
            n_kv_head=1,
            head_dim=16,
            ff_dim=48,
            modalities=modalities,
            max_seq_len=1024 if senses else 64,
            mixin=MixinConfig(),
            relative=RelativeConfig(),
        ),
        vision=VisionConfig(16, n_layer=1, n_head=2, ff_dim=32, patch=8, image_size=32) if senses else None,
        refiner=RefinerConfig(dim=16, n_block=2, codebook_size=32, code_dim=4),
        generation=GenerationConfig(grid=(4, 4), temperature=1.0),
    )


def _write_tokenizer(path: Path) -> int:
    """A byte-level BPE of a few merges; returns its vocabulary's size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=["<|end|>"],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(["a red apple", "a green pear", "two red apples"] * 4, trainer)
    tokenizer.save(str(path))
    return int(tokenizer.get_vocab_size())
