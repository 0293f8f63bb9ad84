"""Decoding one modality as a program of fixed shape: one token a row, with weights folded for it once.

The general forward of `Decoder` and `JanusPro` is the reference; this gives the same logits. What the
modality changes in the decoder is folded into plain weights: LoRA into q and k, the type embedding into the
table, head scales into o_proj. Masks and relative biases are rows of a table that is made after the prompt;
keys and values are written in place. So no step depends on data, waits for the device or allocates what
grows: it can be traced, compiled, and captured as a CUDA graph. Knows nothing of sampling.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import DecoderConfig
from janus_cli.nets.attention import Attention, KVCache, Places, RelativeBias
from janus_cli.nets.decoder import Block, Decoder
from janus_cli.nets.janus_pro import JanusPro
from janus_cli.nets.mixin import TINY_MASS

ALIGNED = 64  # slots of the keys and values on CUDA are a multiple of it: its kernels ask for 8


class Layer(NamedTuple):
    """One block's weights for one modality. Matrices in a tuple stand for one, cut between its outputs."""

    norm: Tensor  # [D]
    qkv: tuple[Tensor, ...]  # q over k over v, [(H + 2 Hkv) * hd, D]
    gain: Tensor | None  # of the norms of q and k, [H + Hkv, hd]
    out: Tensor  # [D, H * hd]
    gate: Tensor | None  # of the cross-residual, [Hkv, H / Hkv, 1]
    mlp_norm: Tensor  # [D]
    gate_up: tuple[Tensor, ...]  # [2 F, D]
    down: Tensor  # [D, F]


class Shape(NamedTuple):
    """The numbers that a layer's program is made of."""

    n_head: int
    n_kv_head: int
    head_dim: int
    eps: float


class Here(NamedTuple):
    """Where a step is: what all its layers share. S counts the slots that are looked at."""

    slot: Tensor  # int64 [1]: where keys and values are written
    rope: Tensor  # cosines and signed sines, [2, R, 1, hd]
    bias: Tensor  # [R, 1 or H, S], -inf where a key is hidden
    differs: Tensor | None  # [R, 1, 1, S]: 1 where the key's modality is not the output's
    filled: int | None  # how many slots are looked at; None: all there are


@dataclass(frozen=True)
class Folded:
    """A net's weights, folded for decoding one modality."""

    cfg: DecoderConfig
    kind: int  # type id of the modality
    two_d: bool
    embed: Callable[[Tensor], Tensor]  # ids [R] -> what they are to the first layer, [R, D]
    rope: Tensor  # [max_seq_len, 2, hd]: cosines, and sines with the sign of the half they are for
    layers: tuple[Layer, ...]
    norm: Tensor  # [D]
    head: Callable[[Tensor], Tensor]  # hidden [R, D] -> logits [R, V]
    relative: RelativeBias | None

    @property
    def shape(self) -> Shape:
        """The numbers of a layer."""
        return Shape(self.cfg.n_head, self.cfg.n_kv_head, self.cfg.head_dim, self.cfg.norm_eps)


def can_fold(net: Decoder | JanusPro, modality: str) -> bool:
    """Tell whether steps of `modality` can be folded: weights that no training changes, one code a token."""
    cfg = net.cfg.modalities[modality]
    stack = net if isinstance(net, Decoder) else net.language_model
    plain = all(type(part.weight) is nn.Parameter for part in stack.modules() if isinstance(part, nn.Linear))
    return cfg.n_q == 1 and cfg.vocab_size > 0 and plain and not stack.norm.weight.requires_grad


@torch.inference_mode(False)
@torch.no_grad()
def fold(net: Decoder | JanusPro, modality: str, fuse: bool = True) -> Folded:
    """Fold the weights of `net` for decoding `modality`.

    fuse: matrices that read the same input become one, as suits a GPU. Where nothing is folded into them they
    stay the net's own: its parameters become slices of the new one, and no memory is taken.
    """
    stack: Decoder = net if isinstance(net, Decoder) else net.language_model
    cfg, kind = net.cfg, net.type_ids[modality]
    cosine, sine = stack.rope.to(stack.norm.weight.dtype).unbind(1)
    half, rank = cfg.head_dim // 2, cfg.mixin.lora_rank if cfg.mixin else 0
    signed = torch.cat([-sine[:, :half], sine[:, half:]], dim=1)
    return Folded(
        cfg=cfg,
        kind=kind,
        two_d=cfg.modalities[modality].two_d,
        embed=_fold_embedding(net, modality, fuse),
        rope=torch.stack([cosine, signed], dim=1),
        layers=tuple(_fold_layer(block, kind, rank, fuse) for block in cast(Iterable[Block], stack.layers)),
        norm=stack.norm.weight,
        head=lambda hidden: net.compute_logits(hidden, modality),
        relative=stack.relative,
    )


def _fold_embedding(net: Decoder | JanusPro, modality: str, fuse: bool) -> Callable[[Tensor], Tensor]:
    """Give what makes tokens of `modality` the first layer's input; `fuse`: at best a look into a table."""
    if isinstance(net, Decoder):
        table: Tensor = net.get_adapter(modality).embed.weight
        if net.type_embedding is not None:
            kind = net.type_ids[modality]
            table = table + net.type_embedding.gate[kind] * net.type_embedding.table[kind]
    elif modality == "text":
        table = net.language_model.embed_tokens.weight
    elif fuse:
        table = net.gen_aligner(net.gen_embed.weight)
    else:
        return lambda ids: net.gen_aligner(net.gen_embed(ids))
    return partial(F.embedding, weight=table)


def _fold_layer(block: Block, kind: int, rank: int, fuse: bool) -> Layer:
    """Fold one block for the modality with this type id; `rank`: of its LoRA, 0 where it has none."""
    attention, mlp = block.attention, block.mlp
    gain, gate, out = None, None, attention.o_proj.weight
    if attention.q_norm is not None and attention.k_norm is not None:
        q_gain = attention.q_norm.weight.expand(attention.n_head, -1)
        gain = torch.cat([q_gain, attention.k_norm.weight.expand(attention.n_kv_head, -1)])
    if attention.head_scale is not None:
        out = out * attention.head_scale.scale[kind].repeat_interleave(attention.head_dim)
    if attention.cross_residual is not None:
        gate = attention.cross_residual.gate[kind].tanh().view(attention.n_kv_head, -1, 1)
    return Layer(
        norm=block.input_layernorm.weight,
        qkv=_fold_qkv(attention, kind, rank, fuse),
        gain=gain,
        out=out,
        gate=gate,
        mlp_norm=block.post_attention_layernorm.weight,
        gate_up=_join([mlp.gate_proj, mlp.up_proj], fuse),
        down=mlp.down_proj.weight,
    )


def _fold_qkv(attention: Attention, kind: int, rank: int, fuse: bool) -> tuple[Tensor, ...]:
    """Give the weights of q, k and v, with the LoRA of the modality with this type id in them."""
    parts = [attention.q_proj, attention.k_proj, attention.v_proj]
    if attention.q_lora is None or attention.k_lora is None:
        return _join(parts, fuse)
    own = slice(kind * rank, (kind + 1) * rank)
    changed = [
        part.weight.float() + lora.up[:, own].float() @ lora.down[own].float()
        for part, lora in zip(parts, (attention.q_lora, attention.k_lora), strict=False)
    ]
    return (torch.cat([*changed, attention.v_proj.weight.float()]).to(attention.v_proj.weight.dtype),)


def _join(parts: list[nn.Linear], fuse: bool) -> tuple[Tensor, ...]:
    """Give the weights of layers with one input; `fuse`: as one matrix, which theirs become slices of."""
    weights = [part.weight for part in parts]
    if not fuse:
        return tuple(weights)
    heights = [len(weight) for weight in weights]
    ends = [weight.data_ptr() + weight.nbytes for weight in weights]
    alone = len({weight.untyped_storage().data_ptr() for weight in weights}) > 1
    if not alone and ends[:-1] == [w.data_ptr() for w in weights[1:]]:  # joined before, for another modality
        shape = sum(heights), weights[0].shape[1]
        return (weights[0].detach().as_strided(shape, (shape[1], 1)),)
    whole = torch.cat(weights)
    for part, own in zip(parts, whole.split(heights), strict=True):
        part.weight.data = own
    return (whole,)


def _project(x: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    """Multiply x [R, D] by matrices that stand for one: [R, O]."""
    if len(weights) == 1:
        return F.linear(x, weights[0])
    return torch.cat([F.linear(x, weight) for weight in weights], dim=1)


def run_layer(x: Tensor, layer: Layer, keys: Tensor, values: Tensor, here: Here, shape: Shape) -> Tensor:
    """Compute one block for a token a row, [R, D] -> [R, D]; keys, values [R, Hkv, slots, hd] get its own."""
    n_head, n_kv, width, eps = shape
    qkv = _project(F.rms_norm(x, x.shape[-1:], layer.norm, eps), layer.qkv).unflatten(1, (-1, width))
    qk, v = qkv.split([n_head + n_kv, n_kv], dim=1)
    if layer.gain is not None:
        qk = F.rms_norm(qk, (width,), None, eps) * layer.gain
    qk = torch.addcmul(qk * here.rope[0], qk.roll(width // 2, -1), here.rope[1])
    q, k = qk.split([n_head, n_kv], dim=1)
    keys.index_copy_(2, here.slot, k[:, :, None])
    values.index_copy_(2, here.slot, v[:, :, None])
    if here.filled is not None:
        keys, values = keys[:, :, : here.filled], values[:, :, : here.filled]
    x = x + F.linear(_attend(q, keys, values, here, layer.gate).flatten(1), layer.out)
    gate, up = _project(F.rms_norm(x, x.shape[-1:], layer.mlp_norm, eps), layer.gate_up).chunk(2, dim=1)
    return x + F.linear(F.silu(gate) * up, layer.down)


def _attend(q: Tensor, keys: Tensor, values: Tensor, here: Here, gate: Tensor | None) -> Tensor:
    """Compute the output of every head for one query a row, q [R, H, hd] -> [R, H, hd]."""
    rows, n_head, width = q.shape
    n_kv, slots = keys.shape[1], keys.shape[2]
    if gate is None and n_head == n_kv:
        return F.scaled_dot_product_attention(q[:, :, None], keys, values, here.bias[:, :, None])[:, :, 0]
    # Heads that share keys are folded into the time axis, as in `Attention`: no copies of keys and values.
    folded = q.reshape(rows * n_kv, -1, width)
    bias = here.bias.expand(rows, n_head, slots).reshape(rows * n_kv, -1, slots)
    scores = torch.baddbmm(bias, folded, keys.flatten(0, 1).transpose(1, 2), alpha=width**-0.5)
    probs = scores.softmax(dim=-1, dtype=torch.float32)
    if gate is not None and here.differs is not None:  # CrossResidual's formula
        probs = probs.view(rows, n_kv, -1, slots)
        foreign = probs * here.differs
        mass = foreign.sum(dim=-1, keepdim=True).clamp_min(TINY_MASS)
        probs = torch.addcmul(probs, foreign, gate / mass).view_as(scores)
    return torch.bmm(probs.to(values.dtype), values.flatten(0, 1)).view(rows, n_head, width)


class Step:
    """The program with its buffers: `begin` after the prompt, then `advance` for every token.

    All tensors keep their place from one output to the next, so that a captured program can run again. R
    rows, at most `slots` tokens of prompt and output, `length` of them of the output.
    """

    @torch.inference_mode(False)
    def __init__(self, folded: Folded, rows: int, slots: int, length: int) -> None:
        cfg, device, dtype = folded.cfg, folded.norm.device, folded.norm.dtype
        self.folded, self.rows, self.slots, self.length = folded, rows, slots, length
        shape = (rows, cfg.n_kv_head, slots, cfg.head_dim)
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in folded.layers]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in folded.layers]
        self.place = torch.zeros(1, dtype=torch.int64, device=device)  # tokens of the output that were read
        self.slot = torch.zeros(1, dtype=torch.int64, device=device)
        self.positions = torch.zeros(rows, dtype=torch.int64, device=device)
        relative = folded.relative
        table = torch.zeros(1, 1, device=device) if relative is None else relative.table.weight.float()
        hidden = torch.full_like(table[:1], -torch.inf)
        self.biases = torch.cat([table, hidden]).to(dtype).T.contiguous()  # [1 or H, n + 1]
        self.lookup = torch.zeros(length, rows, slots, dtype=torch.int32, device=device)
        self.differs = torch.zeros(rows, 1, 1, slots, device=device)
        self.filled: int | None = None  # on a CPU: how many slots are in use

    def begin(self, cache: KVCache, columns: int = 1) -> None:
        """Take over what `cache` holds, the prompts; the output comes on a grid of so many columns.

        Raises ValueError where there is no room.
        """
        used = cache.length
        if used + self.length > self.slots:
            raise ValueError(f"the step has {self.slots} slots, {used + self.length} needed")
        for i, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            keys[:, :, :used] = cache.keys[i, :, :, :used]
            values[:, :, :used] = cache.values[i, :, :, :used]
        self.place.zero_()
        self.slot.fill_(used)
        first = cache.find_next_positions()
        self.positions.copy_(first[:, 0])
        types = cache.places[0, :, :used]
        self.differs.zero_()
        self.differs[:, 0, 0, :used] = (types != self.folded.kind).float()
        self._fill_lookup(cache, first, columns)
        if self.place.device.type == "cpu":
            self.filled = used

    def _fill_lookup(self, cache: KVCache, first: Tensor, columns: int) -> None:
        """Say for every place of the output, row and slot which bias it has; the last one hides a key."""
        used, length, hidden = cache.length, self.length, self.biases.shape[1] - 1
        places = torch.arange(length, device=first.device)
        ahead = (places > places[:, None])[:, None].expand(length, self.rows, length)
        padding = (cache.places[0, :, :used] < 0).expand(length, self.rows, used)
        unseen = torch.cat([padding, ahead], dim=2)
        self.lookup.fill_(hidden)
        self.lookup[:, :, : used + length] = unseen.int() * hidden
        if self.folded.relative is None:
            return
        row, col = (places // columns, places % columns) if self.folded.two_d else (places * 0 - 1,) * 2
        for i in range(self.rows):  # one at a time: the table's numbers are int64 on their way
            query = [torch.full_like(places, self.folded.kind), first[i] + places, row, col]
            key = [torch.cat([cache.places[k, i, :used], own]) for k, own in enumerate(query)]
            found = self.folded.relative.find_rows(*(Places(*(p[None] for p in ps)) for ps in (query, key)))
            seen = found[0].masked_fill(unseen[:, i], hidden)
            self.lookup[:, i, : used + length] = seen

    def advance(self, ids: Tensor) -> Tensor:
        """Read one token a row, ids int64 [R]: the logits [R, V] of the next."""
        folded = self.folded
        if self.filled is not None:
            self.filled += 1
        here, shape = self._look(), folded.shape
        x = folded.embed(ids)
        for layer, keys, values in zip(folded.layers, self.keys, self.values, strict=True):
            x = run_layer(x, layer, keys, values, here, shape)
        for counter in (self.place, self.slot, self.positions):
            counter += 1
        return folded.head(F.rms_norm(x, x.shape[-1:], folded.norm, shape.eps))

    def _look(self) -> Here:
        """Look up rotations and biases of the step that comes."""
        folded, seen = self.folded, slice(0, self.filled)
        # Rows that have ended may count on past the last position.
        rope = folded.rope.index_select(0, self.positions.clamp(max=len(folded.rope) - 1))
        rows = self.lookup.index_select(0, self.place)[0, :, seen]
        bias = self.biases.index_select(1, rows.flatten()).view(-1, *rows.shape).transpose(0, 1)
        differs = self.differs[..., seen] if folded.layers[0].gate is not None else None
        return Here(self.slot, rope.transpose(0, 1)[:, :, None], bias, differs, self.filled)
