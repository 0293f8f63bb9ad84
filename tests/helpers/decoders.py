"""Tiny decoders with random weights, and inputs for them."""

import dataclasses

import torch
from torch import Tensor

from janus_cli.config import DecoderConfig, MixinConfig, ModalityConfig, RelativeConfig
from janus_cli.nets.decoder import DELIMITER, PADDING, Decoder
from janus_cli.stages.decoding.layout import arrange, lay_out
from janus_cli.stages.decoding.layout import needs_words as needs_words_placed
from janus_cli.stages.decoding.prompt import Preparer
from janus_cli.stages.generate import Generate

MODALITIES = {
    "text": ModalityConfig(50),
    "image": ModalityConfig(70, two_d=True),
    "audio": ModalityConfig(30),
}
PLAIN = DecoderConfig(
    dim=32, n_layer=2, n_head=4, n_kv_head=2, head_dim=8, ff_dim=48, max_seq_len=64, modalities=MODALITIES
)
FULL = dataclasses.replace(PLAIN, mixin=MixinConfig(), relative=RelativeConfig(8, 16, 4))
SWITCHES = {
    "plain": PLAIN,
    "mha": dataclasses.replace(PLAIN, n_kv_head=4, qk_norm=False, tie_embedding=False),
    "mixin": dataclasses.replace(PLAIN, mixin=MixinConfig()),
    "relative": dataclasses.replace(PLAIN, relative=RelativeConfig(8, 16, 4)),
    "no cross": dataclasses.replace(FULL, mixin=MixinConfig(cross_residual=False)),
    "full": FULL,
}
ANY = dataclasses.replace(
    FULL,
    max_seq_len=128,
    modalities={
        "text": ModalityConfig(50),
        "image": ModalityConfig(70, two_d=True),
        "audio": ModalityConfig(30, n_q=3, ends=True),
        "sight": ModalityConfig(feature_dim=6),
    },
)  # what the pocket model has, small


def random_decoder(cfg: DecoderConfig, seed: int = 0) -> Decoder:
    """A decoder in which nothing is left at its zero start."""
    torch.manual_seed(seed)
    net = Decoder(cfg).eval().requires_grad_(False)
    for weight in net.parameters():
        weight += 0.2 * torch.randn_like(weight)
    return net


def prompts(lengths: list[int], left: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rows of `<txt> words <img> 3 x 4 codes` with that many words, padded on one side."""
    torch.manual_seed(1)
    width = max(lengths) + 14
    ids, types, rows, cols = (torch.zeros(len(lengths), width, dtype=torch.int64) for _ in range(4))
    types.fill_(PADDING)
    for i, words in enumerate(lengths):
        at = slice(width - words - 14, width) if left else slice(0, words + 14)
        opening = torch.tensor([DELIMITER])
        ids[i, at] = torch.cat([opening, torch.randint(50, (words,)), opening, torch.randint(70, (12,))])
        types[i, at] = torch.tensor([0] * (words + 1) + [1] * 13)
        rows[i, at][-12:] = torch.arange(12) // 4
        cols[i, at][-12:] = torch.arange(12) % 4
    return ids, types, rows, cols


def one_prompt(lengths: list[int], i: int) -> tuple[Tensor, ...]:
    """Row i of `prompts` without its padding."""
    batch = prompts(lengths, left=True)
    return tuple(x[i : i + 1, max(lengths) - lengths[i] :] for x in batch)


def layout(segments, to, decoder, *, drop_text=False, n_sight=0):
    """A prompt's decoder input, int64 [4, T], of its segments."""
    return lay_out(arrange(segments, to, decoder, n_sight), to, decoder, drop_text=drop_text, n_sight=n_sight)


def needs_words(segments, to, decoder, n_sight):
    """Whether a prompt of these segments is put into words first."""
    return needs_words_placed(arrange(segments, to, decoder, n_sight), to, decoder)


def generate(records, decoder, options, identity, progress=None, *, eyes=None, spell=None, stream=False):
    """What the stage makes of records; None holds the place of one that failed."""
    stage = Generate(Preparer(decoder, options, identity, eyes=eyes), spell)
    prompts = (None if record is None else stage.prepare(record) for record in records)
    return stage(prompts, progress, stream)


def check_prompt(record, decoder, options, identity, eyes=None):
    """Raise what is wrong with a record as a prompt."""
    Preparer(decoder, options, identity, eyes=eyes).prepare(record)
