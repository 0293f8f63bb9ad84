"""Tensor names of published checkpoints and ours: an ordered table per family.

Knows names and how tensors are cut or joined, no file and no module. DeepSeek's part names are ours too;
what differs is the language model's inside and everything in transformers' layout. EnCodec's networks are
the `encodec` package's; their weight norms are folded. Checked against transformers 5.23, encodec 0.1.1 and
github deepseek-ai/Janus at 1daa72f.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from janus_cli.weights.modules import check_shapes

# Ours and theirs. `*` is a number, the same on both sides; names go on as they are behind the match, and the
# first row that fits counts. Braces: a tensor that is cut up there, or squeezed.
ORIGINAL = (
    ("language_model.embed_tokens.", "language_model.model.embed_tokens."),
    ("language_model.norm.", "language_model.model.norm."),
    ("language_model.layers.*.attention.", "language_model.model.layers.*.self_attn."),
    ("language_model.layers.*.", "language_model.model.layers.*."),
    ("", ""),  # the other parts have DeepSeek's names
)
TRANSFORMERS = (
    ("language_model.embed_tokens.", "model.language_model.embed_tokens."),
    ("language_model.lm_head.", "lm_head."),
    ("language_model.norm.", "model.language_model.norm."),
    ("language_model.layers.*.attention.", "model.language_model.layers.*.self_attn."),
    ("language_model.layers.*.", "model.language_model.layers.*."),
    ("vision_model.vision_tower.pos_embed", "model.vision_model.embeddings.position_embedding.weight{0}"),
    ("vision_model.vision_tower.patch_embed.proj.", "model.vision_model.embeddings.patch_embedding."),
    ("vision_model.vision_tower.norm.", "model.vision_model.post_layernorm."),
    ("vision_model.vision_tower.blocks.*.norm1.", "model.vision_model.encoder.layers.*.layer_norm1."),
    ("vision_model.vision_tower.blocks.*.norm2.", "model.vision_model.encoder.layers.*.layer_norm2."),
    (
        "vision_model.vision_tower.blocks.*.attn.qkv.",
        "model.vision_model.encoder.layers.*.self_attn.{q_proj,k_proj,v_proj}.",
    ),
    (
        "vision_model.vision_tower.blocks.*.attn.proj.",
        "model.vision_model.encoder.layers.*.self_attn.projection_layer.",
    ),
    ("vision_model.vision_tower.blocks.*.mlp.", "model.vision_model.encoder.layers.*.mlp."),
    ("aligner.layers.0.", "model.aligner.fc1."),
    ("aligner.layers.2.", "model.aligner.hidden_layers.0."),
    ("gen_embed.", "model.generation_embeddings."),
    ("gen_aligner.layers.0.", "model.generation_aligner.fc1."),
    ("gen_aligner.layers.2.", "model.generation_aligner.hidden_layers.0."),
    ("gen_head.output_mlp_projector.", "model.generation_head.proj_out."),
    ("gen_head.vision_head.", "model.generation_head.vision_head."),
    ("gen_vision_model.encoder.conv_blocks.*.res.", "model.vqmodel.encoder.down.*.block."),
    ("gen_vision_model.encoder.conv_blocks.*.", "model.vqmodel.encoder.down.*."),
    ("gen_vision_model.decoder.conv_blocks.*.res.", "model.vqmodel.decoder.up.*.block."),
    ("gen_vision_model.decoder.conv_blocks.*.", "model.vqmodel.decoder.up.*."),
    *(
        (f"gen_vision_model.{side}.mid.{i}.", f"model.vqmodel.{side}.mid.{name}.")
        for side in ("encoder", "decoder")
        for i, name in enumerate(("block_1", "attn_1", "block_2"))
    ),
    ("gen_vision_model.", "model.vqmodel."),
)
# The same for codecs: ours, the `encodec` package's, transformers'. {g,v}: a weight norm's two tensors, where
# the codec has weight norms.
CODECS = (
    ("quantizers.*.codebook", "quantizer.vq.layers.*._codebook.embed", "quantizer.layers.*.codebook.embed"),
    *(
        (
            f"{side}.model.*.{inner}{conv}.{conv}.weight",
            f"{side}.model.*.{inner}{conv}.{conv}.weight{{g,v}}",
            f"{side}.layers.*.{inner}conv.weight{{g,v}}",
        )
        for side in ("encoder", "decoder")
        for inner in ("block.*.", "shortcut.", "")
        for conv in ("conv", "convtr")
    ),
    *(
        (
            f"{side}.model.*.{inner}{conv}.{part}.",
            f"{side}.model.*.{inner}{conv}.{part}.",
            f"{side}.layers.*.{inner}{'norm' if part == 'norm' else 'conv'}.",
        )
        for side in ("encoder", "decoder")
        for inner in ("block.*.", "shortcut.", "")
        for conv in ("conv", "convtr")
        for part in (conv, "norm")
    ),
    *(
        (f"{side}.model.*.lstm.", f"{side}.model.*.lstm.", f"{side}.layers.*.lstm.")
        for side in ("encoder", "decoder")
    ),
)
NORMS = (
    ("weight_g", "weight_v"),  # what a weight norm's tensors are called, in torch's older and newer way
    ("parametrizations.weight.original0", "parametrizations.weight.original1"),
)
_TRAINING = ("inited", "cluster_size", "embed_avg")
# Tensors of published files that no computation uses.
LEFTOVERS = {
    "original": (
        "vision_model.vision_tower.attn_pool.",
        "gen_vision_model.quantize.codebook_used",
        "language_model.model.layers.*.self_attn.rotary_emb.inv_freq",
    ),
    "transformers": ("model.vqmodel.quantize.codebook_used", "model.vision_model.embeddings.position_ids"),
    "encodec": tuple(f"quantizer.vq.layers.*._codebook.{word}" for word in _TRAINING),
    "encodec_transformers": tuple(f"quantizer.layers.*.codebook.{word}" for word in _TRAINING),
}
TABLES: dict[str, Iterable[tuple[str, str]]] = {
    "original": ORIGINAL,
    "transformers": TRANSFORMERS,
    "encodec": [(ours, theirs) for ours, theirs, _ in CODECS],
    "encodec_transformers": [(ours, theirs) for ours, _, theirs in CODECS],
}


@dataclass(frozen=True)
class Source:
    """Where one tensor of ours comes from: one published tensor, or several joined along the first axis."""

    names: tuple[str, ...]
    squeezed: bool = False  # theirs lacks our first axis, of size 1
    norm: bool = False  # two tensors, length and direction: ours is their product

    def shapes(self, ours: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Work out the shapes that the published tensors must have for our shape."""
        if self.norm:
            return {self.names[0]: (ours[0], *(1 for _ in ours[1:])), self.names[1]: ours}
        theirs = ours[1:] if self.squeezed else (ours[0] // len(self.names), *ours[1:])
        return dict.fromkeys(self.names, theirs)

    def join(self, get: Callable[[str], Tensor]) -> Tensor:
        """Make our tensor; `get` gives a published one."""
        if self.norm:
            return torch._weight_norm(get(self.names[1]), get(self.names[0]), 0)
        if len(self.names) > 1:
            return torch.cat([get(name) for name in self.names])
        tensor = get(self.names[0])
        return tensor[None] if self.squeezed else tensor


@cache
def _compile_rules(layout: str) -> list[tuple[re.Pattern[str], str]]:
    return [(_compile_pattern(ours), _number_groups(theirs)) for ours, theirs in TABLES[layout]]


def _number_groups(text: str) -> str:
    """Replace each `*` in `text` by the number of its group."""
    pieces = text.split("*")
    return pieces[0] + "".join(rf"\{i}{piece}" for i, piece in enumerate(pieces[1:], 1))


def _compile_pattern(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text).replace(r"\*", r"(\d+)"))


def find_source(name: str, layout: str, norm: tuple[str, str] | None = None) -> Source:
    """Find where our tensor `name` lies in a checkpoint of `layout`. Raises KeyError for an unknown name.

    norm: what the tensors of its weight norms are called, one of NORMS; None if it has none.
    """
    for pattern, theirs in _compile_rules(layout):
        if match := pattern.match(name):
            full = match.expand(theirs) + name[match.end() :]
            if full.endswith("{0}"):
                return Source((full.removesuffix("{0}"),), squeezed=True)
            if full.endswith("weight{g,v}"):
                base = full.removesuffix("weight{g,v}")
                names = ("weight",) if norm is None else norm
                return Source(tuple(base + word for word in names), norm=norm is not None)
            if parts := re.search(r"\{(.+)\}", full):
                return Source(tuple(full.replace(parts[0], part) for part in parts[1].split(",")))
            return Source((full,))
    raise KeyError(name)


def plan_sources(
    ours: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], layout: str, where: object
) -> dict[str, Source]:
    """Find where each of `ours` (names and shapes of the whole net) lies among the tensors `found` in a file.

    Raises ModelError, with `where` in front, naming the first published tensor that is missing, unknown or
    mis-shaped.
    """
    norm = next((words for words in NORMS if any(name.endswith(words[1]) for name in found)), None)
    plan = {name: find_source(name, layout, norm) for name in ours}
    wanted = {
        theirs: shape for name, place in plan.items() for theirs, shape in place.shapes(ours[name]).items()
    }
    used = {name: found[name] for name in drop_leftovers(found, layout)}
    check_shapes(wanted, used, where, "config.json asks for")
    return plan


def drop_leftovers(names: Iterable[str], layout: str) -> list[str]:
    """Drop the names that are known leftovers of `layout`."""
    known = [_compile_pattern(text) for text in LEFTOVERS[layout]]
    return [name for name in names if not any(pattern.match(name) for pattern in known)]
