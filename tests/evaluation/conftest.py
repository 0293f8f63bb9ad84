"""Fixtures of the tests of the exam: the drawings of the hand-made pack, and a tiny model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.packs import three_concepts, write_pack

from janus_cli import weights
from janus_cli.config import (
    DecoderConfig,
    DVAEConfig,
    GenerationConfig,
    ModalityConfig,
    ModelConfig,
    RefinerConfig,
    format_config,
)
from janus_cli.dataset.labels import make_judge_config, write_labels
from janus_cli.dataset.pictures import Sprites, list_drawings, list_svgs, render
from janus_cli.dataset.vocabulary import train_tokenizer
from janus_cli.nets.build import build
from janus_cli.nets.judge import Judge


@pytest.fixture(scope="session")
def sprites() -> Sprites:
    """What `three_concepts` draws."""
    pack = three_concepts()
    drawn = [render(pack[c].drawings[style]) for c, style in list_drawings(pack)]
    return Sprites(np.stack(drawn), list_svgs(pack))


@pytest.fixture(scope="session")
def zoo_of_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random `pocket` and a random `judge`, and the data pack in `data`."""
    folder = tmp_path_factory.mktemp("examined")
    write_pack(folder / "data" / "pack.json.xz", three_concepts())
    model = folder / "pocket"
    model.mkdir()
    tokenizer = train_tokenizer(["apple, twemoji", "a bear above a duck"] * 8, 300, model / "tokenizer.json")
    modalities = {
        "text": ModalityConfig(tokenizer.get_vocab_size()),
        "image": ModalityConfig(32, two_d=True),
    }
    config = ModelConfig(
        name="pocket",
        dvae=DVAEConfig(codebook_size=32, codebook_dim=8, dim=16, n_block=2),
        decoder=DecoderConfig(
            dim=32,
            n_layer=1,
            n_head=2,
            n_kv_head=1,
            head_dim=16,
            ff_dim=48,
            max_seq_len=192,
            modalities=modalities,
        ),
        refiner=RefinerConfig(dim=8, n_block=1, codebook_size=32, code_dim=4),
        generation=GenerationConfig(grid=(8, 8)),
    )
    torch.manual_seed(0)
    for name in ("dvae", "decoder", "refiner"):
        weights.save(build(name, getattr(config, name)), model / f"{name}.safetensors")
    (model / "config.json").write_text(format_config(config))
    (folder / "judge").mkdir()
    write_labels(folder / "judge", three_concepts())
    weights.save(
        Judge(make_judge_config(three_concepts())), folder / "judge" / "judge.safetensors", torch.float16
    )
    return folder
