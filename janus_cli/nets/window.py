"""Passes over several tokens of an output at once, with weights folded for their modality.

What such a pass says of a token is right where all tokens before it are: so guesses are checked, many in one
pass. Every row of the batch has a window of its own. Masks, biases and rotations of the whole output are
tables made after the prompt. Knows nothing of sampling, nor of who guesses.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from janus_cli.nets.attention import KVCache, Places
from janus_cli.nets.packed import multiply
from janus_cli.nets.step import Folded, Layer


class Here(NamedTuple):
    """Where a pass is: what all its layers share. S counts the slots that are looked at, P the prompt's."""

    rows: Tensor  # int64 [R, 1]
    slots: Tensor  # int64 [R, W]: where keys and values are written
    rope: tuple[Tensor, Tensor]  # cosines and signed sines, [R, W, 1, hd]
    bias: Tensor  # [R, Hkv or 1, G * W, S], -inf where a key is hidden
    foreign: Tensor | None  # [R, Hkv or 1, G * W, P]: the same of other modalities' keys alone


def run_layer(x: Tensor, layer: Layer, keys: Tensor, values: Tensor, here: Here, folded: Folded) -> Tensor:
    """Compute one block, [R, W, D] -> [R, W, D]; keys and values [R, Hkv, slots, hd] get the window's."""
    cfg = folded.cfg
    normed = F.rms_norm(x, x.shape[-1:], layer.norm, cfg.norm_eps)
    qkv = _project(normed, layer.qkv)
    qk, v = qkv.unflatten(-1, (-1, cfg.head_dim)).split([cfg.n_head + cfg.n_kv_head, cfg.n_kv_head], dim=2)
    if layer.gain is not None:
        qk = F.rms_norm(qk, (cfg.head_dim,), None, cfg.norm_eps) * layer.gain
    qk = torch.addcmul(qk * here.rope[0], qk.roll(cfg.head_dim // 2, -1), here.rope[1])
    q, k = qk.split([cfg.n_head, cfg.n_kv_head], dim=2)
    keys.transpose(1, 2)[here.rows, here.slots] = k
    values.transpose(1, 2)[here.rows, here.slots] = v
    x = x + multiply(_attend(q, keys, values, here, layer.gate), layer.out)
    normed = F.rms_norm(x, x.shape[-1:], layer.mlp_norm, cfg.norm_eps)
    gate, up = _project(normed, layer.gate_up).chunk(2, dim=-1)
    return x + multiply(F.silu(gate) * up, layer.down)


def _project(x: Tensor, weights: tuple[Tensor, ...]) -> Tensor:
    """Multiply x [R, W, D] by matrices that stand for one: [R, W, O]."""
    made = [multiply(x, weight) for weight in weights]
    return made[0] if len(made) == 1 else torch.cat(made, dim=-1)


def _attend(q: Tensor, keys: Tensor, values: Tensor, here: Here, gate: Tensor | None) -> Tensor:
    """Compute the output of every head side by side, q [R, W, H, hd] -> [R, W, H * hd].

    Heads that share keys are folded into the time axis. The cross-residual is a second attention, to the
    keys of other modalities: all of them are the prompt's.
    """
    rows, width, n_head, size = q.shape
    q = q.transpose(1, 2).reshape(rows, keys.shape[1], -1, size)
    slots = here.bias.shape[-1]
    out = F.scaled_dot_product_attention(q, keys[:, :, :slots], values[:, :, :slots], here.bias)
    if gate is not None and here.foreign is not None:
        slots = here.foreign.shape[-1]
        other = F.scaled_dot_product_attention(q, keys[:, :, :slots], values[:, :, :slots], here.foreign)
        out = torch.addcmul(out, other, gate.repeat_interleave(width, 1).view(1, keys.shape[1], -1, 1))
    return out.reshape(rows, n_head, width, size).transpose(1, 2).flatten(2)


class Window:
    """The passes of one batch after its prompts, which are in `cache`, with room for the output."""

    def __init__(self, folded: Folded, cache: KVCache, length: int, columns: int) -> None:
        """Make the tables for an output of `length` tokens, on a grid of so many columns."""
        self.folded, self.cache, self.prompt = folded, cache, cache.length
        kind, device = folded.kind, cache.places.device
        first = cache.find_next_positions()
        at = torch.arange(length - 1, device=device).expand(len(first), -1)
        grid = (at // columns, at % columns) if folded.two_d else (torch.full_like(at, -1),) * 2
        query = Places(torch.full_like(at, kind), (first + at).clamp(max=len(folded.rope) - 1), *grid)
        key = cache.add_places(query)
        visible = (torch.arange(length - 1 + self.prompt, device=device) <= at[..., None] + self.prompt) & (
            key.types >= 0
        )[:, None]
        bias = torch.zeros(1, device=device) if folded.relative is None else folded.relative(query, key)
        self.bias = bias.masked_fill(~visible[:, None], -torch.inf).to(cache.keys.dtype)  # [R, H or 1, N, S]
        rope = folded.rope[query.positions]
        self.rope = rope[:, :, 0, None], rope[:, :, 1, None]
        self.foreign: Tensor | None = None
        if folded.layers[0].gate is not None:
            same = key.types[:, None, None, : self.prompt] == kind
            self.foreign = self.bias[..., : self.prompt].masked_fill(same, -torch.inf)

    def take(self, rows: Tensor) -> None:
        """Keep only these rows of the batch, int64 [N]."""
        self.cache.take(rows)
        self.bias = self.bias[rows]
        self.rope = self.rope[0][rows], self.rope[1][rows]
        self.foreign = None if self.foreign is None else self.foreign[rows]

    def advance(self, ids: Tensor, start: Tensor) -> Tensor:
        """Read tokens, ids int64 [R, W], from `start` on, int64 [R]: logits [R, W, V] of what follows each.

        Those before a row's start must have been read, as they stay.
        """
        here, folded = self._look(ids.shape[1], start), self.folded
        x = folded.embed(ids)
        for i, layer in enumerate(folded.layers):
            x = run_layer(x, layer, self.cache.keys[i], self.cache.values[i], here, folded)
        return folded.head(F.rms_norm(x, x.shape[-1:], folded.norm, folded.cfg.norm_eps))

    def _look(self, width: int, start: Tensor) -> Here:
        """Look up what belongs to windows of this width."""
        rows = torch.arange(len(start), device=start.device)[:, None]
        at = start[:, None] + torch.arange(width, device=start.device)
        end = self.prompt + int(at.max()) + 1
        bias = self._cut(self.bias, rows, at, end)
        foreign = None if self.foreign is None else self._cut(self.foreign, rows, at, self.prompt)
        return Here(rows, at + self.prompt, (self.rope[0][rows, at], self.rope[1][rows, at]), bias, foreign)

    def _cut(self, table: Tensor, rows: Tensor, at: Tensor, end: int) -> Tensor:
        """Cut the windows' rows out of a table [R, H or 1, N, S], for the first `end` keys."""
        cut = table[..., :end].transpose(1, 2)[rows, at].transpose(1, 2)
        group = self.folded.cfg.n_head // self.folded.cfg.n_kv_head
        if cut.shape[1] == 1:
            return cut.repeat(1, 1, group, 1)
        return cut.reshape(len(rows), self.folded.cfg.n_kv_head, -1, end)
