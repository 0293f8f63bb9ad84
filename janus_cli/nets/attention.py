"""Causal attention with grouped heads, relative-position bias, and the static KV cache."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import DecoderConfig, ModalityConfig, RelativeConfig
from janus_cli.nets.layers import RMSNorm, rotate
from janus_cli.nets.mixin import CrossResidual, HeadScale, ModalityLoRA


@dataclass(frozen=True)
class Places:
    """Where tokens stand; all [B, T] int64."""

    types: Tensor  # modality type id, -1 at padding
    positions: Tensor  # number of non-padding tokens before it in its row
    rows: Tensor  # grid row of a two-dimensional token, -1 elsewhere
    cols: Tensor


@dataclass(frozen=True)
class Context:
    """What all layers of one forward pass share."""

    cos: Tensor  # [B, 1, T, hd]
    sin: Tensor
    mask: Tensor  # bool [B, 1, T, S] (True = visible), or float [B, H, T, S]: bias, -inf = hidden
    onehot: Tensor  # [B, T, M]
    own_ranks: Tensor | None  # [B, T, M * rank]: the one-hot, repeated for every rank of the LoRA
    differs: Tensor | None  # [B, 1, T, S]: 1 where the key's modality is not the query's


class KVCache:
    """Keys and values of a batch, allocated once. Reuse it for another prompt by setting `length = 0`.

    Per layer [B, n_kv_head, max_len, head_dim]; `length` of the slots are filled (padding included).
    """

    def __init__(
        self,
        cfg: DecoderConfig,
        batch: int,
        max_len: int,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        shape = (cfg.n_layer, batch, cfg.n_kv_head, max_len, cfg.head_dim)
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.places = torch.full((4, batch, max_len), -1, device=device)
        self.max_len = max_len
        self.length = 0

    def take(self, rows: Tensor) -> None:
        """Keep only these rows of the batch, int64 [N]; a row may be there several times."""
        self.keys, self.values = self.keys.index_select(1, rows), self.values.index_select(1, rows)
        self.places = self.places.index_select(1, rows)

    def reorder(self, rows: Tensor, start: int) -> None:
        """Reorder the batch by these rows, int64 [B], from slot `start` on; before it all are alike."""
        own = slice(start, self.length)
        for each in (self.keys, self.values):
            each[:, :, :, own] = each[:, :, :, own].index_select(1, rows)
        self.places[:, :, own] = self.places[:, :, own].index_select(1, rows)

    def find_next_positions(self) -> Tensor:
        """Find the position of each row's next token, [B, 1]."""
        return (self.places[0, :, : self.length] >= 0).sum(dim=1, keepdim=True)

    def add_places(self, new: Places) -> Places:
        """Append `new` and return the places of all keys, [B, S]. Does not move `length`."""
        end = self.length + new.types.shape[1]
        if end > self.max_len:
            raise ValueError(f"KV cache holds {self.max_len} tokens, {end} needed")
        self.places[:, :, self.length : end] = torch.stack([new.types, new.positions, new.rows, new.cols])
        return Places(*self.places[:, :, :end])

    def add(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append [B, Hkv, T, hd] in `layer` and return all of its keys and values."""
        end = self.length + keys.shape[2]
        self.keys[layer, :, :, self.length : end] = keys
        self.values[layer, :, :, self.length : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


def bucket_distances(n_bucket: int, max_distance: int) -> Tensor:
    """Sort each distance 0..max_distance into a bucket, int64 [max_distance + 1].

    T5's rule (1910.10683): the first half of the buckets are exact, the others logarithmic.
    """
    exact = max(n_bucket // 2, 1)
    distance = torch.arange(max_distance + 1)
    wide = max(math.log(max_distance / exact), 1e-9)
    log = (distance.clamp(min=1) / exact).log() / wide * (n_bucket - exact)
    return torch.where(distance < exact, distance, (exact + log.long()).clamp(max=n_bucket - 1))


class RelativeBias(nn.Module):
    """Relative-position bucket bias, shared by all layers, zero at the start.

    One 1-D table per ordered pair of modalities, over the distance in the sequence; and for every
    two-dimensional modality a table over signed (row, column) offsets, used between its grid tokens.
    """

    def __init__(self, cfg: RelativeConfig, n_head: int, modalities: Iterable[ModalityConfig]) -> None:
        super().__init__()
        two_d = [m.two_d for m in modalities]
        self.n_modality, self.n_bucket, self.reach = len(two_d), cfg.n_bucket, cfg.max_distance
        self.side = 2 * cfg.grid_bucket - 1
        flat = self.n_modality**2 * cfg.n_bucket
        size = flat + sum(two_d) * self.side**2
        self.table = nn.Embedding(size, n_head)
        nn.init.zeros_(self.table.weight)
        with torch.device("cpu"):  # real even where weights are on the meta device: no file has them
            near = bucket_distances(cfg.n_bucket, cfg.max_distance)
            far = bucket_distances(cfg.grid_bucket, cfg.max_distance)
            signed = torch.cat([-far.flip(0)[:-1], far]) + cfg.grid_bucket - 1
        base = [flat + sum(two_d[:i]) * self.side**2 for i in range(len(two_d))]
        self.register_buffer("near", near, persistent=False)
        self.register_buffer("signed", signed, persistent=False)
        self.register_buffer("grid_base", torch.tensor(base), persistent=False)
        self.near: Tensor
        self.signed: Tensor
        self.grid_base: Tensor
        self.any_grid = any(two_d)

    def find_rows(self, query: Places, key: Places) -> Tensor:
        """Find the row of the table for every query and key, int64 [B, T, S]."""
        q_type, k_type = query.types.clamp(min=0)[:, :, None], key.types.clamp(min=0)[:, None]
        distance = query.positions[:, :, None] - key.positions[:, None]
        pair = (q_type * self.n_modality + k_type) * self.n_bucket
        index = self.near[distance.clamp(0, self.reach)] + pair
        if not self.any_grid:
            return index
        down = query.rows[:, :, None] - key.rows[:, None]
        right = query.cols[:, :, None] - key.cols[:, None]
        cell = self.signed[down.clamp(-self.reach, self.reach) + self.reach] * self.side
        cell = cell + self.signed[right.clamp(-self.reach, self.reach) + self.reach]
        in_grid = (query.rows >= 0)[:, :, None] & (key.rows >= 0)[:, None] & (q_type == k_type)
        return torch.where(in_grid, cell + self.grid_base[q_type], index)

    def forward(self, query: Places, key: Places, shared_from: int = 0) -> Tensor:
        """Look up the bias of every head, [B, H, T, S].

        `shared_from` > 0: no token before that one is on a grid, and from it on all rows of the batch stand
        on the same places of one. That part is then looked up once, as the gradient of a look-up is slow to
        sort; pairs that a causal mask hides are zero.
        """
        if not shared_from:
            bias: Tensor = self.table(self.find_rows(query, key))
            return bias.permute(0, 3, 1, 2)
        words = Places(*(t[:, :shared_from] for t in (key.types, key.positions, key.rows, key.cols)))
        near: Tensor = self.table(self.find_rows(query, words)).permute(0, 3, 1, 2)
        one = Places(*(t[:1, shared_from:] for t in (query.types, query.positions, query.rows, query.cols)))
        grid: Tensor = self.table(self.find_rows(one, one)[0]).permute(2, 0, 1)
        return torch.cat([near, F.pad(grid, (0, 0, shared_from, 0)).expand(len(near), -1, -1, -1)], dim=3)


class Attention(nn.Module):
    """Multi-head attention with grouped keys and values, rotary positions and Mix-In adapters.

    x [B, T, D] -> [B, T, D]. `o_proj` starts at zero. Without a cross-residual the fused kernel runs.
    """

    def __init__(self, cfg: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.head_dim = layer, cfg.head_dim
        self.n_head, self.n_kv_head = cfg.n_head, cfg.n_kv_head
        q_dim, kv_dim = cfg.n_head * cfg.head_dim, cfg.n_kv_head * cfg.head_dim
        self.q_proj = nn.Linear(cfg.dim, q_dim, bias=False)
        self.k_proj = nn.Linear(cfg.dim, kv_dim, bias=False)
        self.v_proj = nn.Linear(cfg.dim, kv_dim, bias=False)
        self.o_proj = nn.Linear(q_dim, cfg.dim, bias=False)
        nn.init.zeros_(self.o_proj.weight)
        self.q_norm = RMSNorm(cfg.head_dim, cfg.norm_eps) if cfg.qk_norm else None
        self.k_norm = RMSNorm(cfg.head_dim, cfg.norm_eps) if cfg.qk_norm else None
        mixin, n = cfg.mixin, len(cfg.modalities)
        rank = mixin.lora_rank if mixin else 0
        self.q_lora = ModalityLoRA(cfg.dim, q_dim, n, rank) if rank else None
        self.k_lora = ModalityLoRA(cfg.dim, kv_dim, n, rank) if rank else None
        self.cross_residual = CrossResidual(n, cfg.n_head) if mixin and mixin.cross_residual else None
        self.head_scale = HeadScale(n, cfg.n_head) if mixin and mixin.head_scale else None

    def _project(self, x: Tensor, context: Context) -> tuple[Tensor, Tensor, Tensor]:
        """Project x to rotated queries [B, H, T, hd], rotated keys and values [B, Hkv, T, hd]."""
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        if self.q_lora is not None and self.k_lora is not None:
            q = q + self.q_lora(x, context.own_ranks)
            k = k + self.k_lora(x, context.own_ranks)
        q, k, v = (t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for t in (q, k, v))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        return rotate(q, context.cos, context.sin), rotate(k, context.cos, context.sin), v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, context: Context) -> Tensor:
        """Compute the output of every head, [B, H, T, hd]."""
        mask, group = context.mask, self.n_head // self.n_kv_head
        if self.cross_residual is None or context.differs is None:
            if mask.dtype != torch.bool:
                mask = mask.to(q.dtype)
            return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=group > 1)
        # Heads that share keys are folded into the time axis: no copies of keys and values.
        batch, length = q.shape[0], q.shape[2]
        folded = (q * self.head_dim**-0.5).reshape(batch, self.n_kv_head, group * length, self.head_dim)
        scores = (folded @ k.transpose(-1, -2)).view(batch, self.n_head, length, -1)
        scores = scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask
        probs = scores.softmax(dim=-1, dtype=torch.float32)
        probs = self.cross_residual(probs, context.onehot, context.differs).to(v.dtype)
        out = probs.view(batch, self.n_kv_head, group * length, -1) @ v
        return out.view(batch, self.n_head, length, self.head_dim)

    def forward(self, x: Tensor, context: Context, cache: KVCache | None = None) -> Tensor:
        q, k, v = self._project(x, context)
        if cache is not None:
            k, v = cache.add(self.layer, k, v)
        heads = self._attend(q, k, v, context)
        if self.head_scale is not None:
            heads = self.head_scale(heads, context.onehot)
        out: Tensor = self.o_proj(heads.transpose(1, 2).flatten(2))
        return out
