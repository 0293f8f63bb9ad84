"""The shared autoregressive decoder: one causal stack for every modality.

Each modality keeps its own ids, embedding, head and delimiter, so a new modality is one more entry
of the configuration. With `mixin` and `relative` off this is a plain Llama stack.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from janus_cli.config import DecoderConfig
from janus_cli.nets.attention import Attention, Context, KVCache, Places, RelativeBias
from janus_cli.nets.layers import RMSNorm, SwiGLU, make_rope_table
from janus_cli.nets.mixin import TypeEmbedding
from janus_cli.nets.modality import FeatureAdapter, ModalityAdapter

DELIMITER = -1  # id of the token that opens a segment; its type says which modality
PADDING = -1  # type of a padding position


def find_positions(types: Tensor, cache: KVCache | None, max_seq_len: int) -> Tensor:
    """Number the tokens, [B, T]: count the real ones before each, those in `cache` included."""
    valid = types >= 0
    positions = valid.cumsum(dim=1) - valid.long()
    if cache is not None and cache.length:
        positions = positions + cache.find_next_positions()
    return positions.clamp(max=max_seq_len - 1)  # padding after a full row


class Block(nn.Module):
    """Pre-norm attention and SwiGLU, each added to the residual stream. [B, T, D] -> [B, T, D]."""

    def __init__(self, cfg: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = RMSNorm(cfg.dim, cfg.norm_eps)
        self.attention = Attention(cfg, layer)
        self.post_attention_layernorm = RMSNorm(cfg.dim, cfg.norm_eps)
        self.mlp = SwiGLU(cfg.dim, cfg.ff_dim)

    def forward(self, x: Tensor, context: Context, cache: KVCache | None) -> Tensor:
        x = x + self.attention(self.input_layernorm(x), context, cache)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    """Next-token predictor over the tokens of all modalities.

    The hidden state at position t (a delimiter or a token) predicts token t + 1. Type ids follow the
    order of `cfg.modalities`. Positions count non-padding tokens, so padding never changes a result.
    """

    def __init__(self, cfg: DecoderConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.type_ids = {name: i for i, name in enumerate(cfg.modalities)}
        self.modalities = nn.ModuleDict(
            {
                name: (FeatureAdapter if m.feature_dim else ModalityAdapter)(m, cfg.dim, cfg.tie_embedding)
                for name, m in cfg.modalities.items()
            }
        )
        n, mixin = len(cfg.modalities), cfg.mixin
        self.type_embedding = TypeEmbedding(n, cfg.dim) if mixin and mixin.type_embedding else None
        self.relative = (
            RelativeBias(cfg.relative, cfg.n_head, cfg.modalities.values()) if cfg.relative else None
        )
        self.layers = nn.ModuleList(Block(cfg, i) for i in range(cfg.n_layer))
        self.norm = RMSNorm(cfg.dim, cfg.norm_eps)
        with torch.device("cpu"):  # real even where weights are on the meta device: no file has them
            rope = make_rope_table(cfg.head_dim, cfg.max_seq_len, cfg.rope_base)
            two_d = torch.tensor([m.two_d for m in cfg.modalities.values()], dtype=torch.bool)
        self.register_buffer("rope", rope, persistent=False)
        self.register_buffer("two_d", two_d, persistent=False)
        self.rope: Tensor
        self.two_d: Tensor

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.norm.weight.device

    def make_cache(self, batch: int, max_len: int) -> KVCache:
        """Make an empty cache on the weights' device and in their dtype."""
        weight = self.norm.weight
        return KVCache(self.cfg, batch, max_len, self.device, weight.dtype)

    def get_adapter(self, modality: str) -> ModalityAdapter:
        """Return the adapter of a modality with ids."""
        return cast(ModalityAdapter, self.modalities[modality])

    def get_head(self, modality: str, level: int = 0) -> tuple[Tensor, Tensor]:
        """Return weight [V, D] and bias [V] of the output layer of the modality's codebook `level`."""
        adapter = self.get_adapter(modality)
        weight = adapter.embed.weight if adapter.head is None else adapter.head.weight
        if adapter.n_q == 1:
            return weight, adapter.head_bias
        return weight[adapter.find_rows(level)], adapter.head_bias[adapter.find_rows(level)]

    def compute_logits(self, hidden: Tensor, modality: str, before: Sequence[Tensor] = ()) -> Tensor:
        """Compute the logits of the next token if it is of `modality`: hidden [.., D] -> [.., V].

        Where a token has several codes: of the codebook after those whose codes, [..] each, are `before`.
        """
        hidden = self.get_adapter(modality).deepen(hidden, before)
        return F.linear(hidden, *self.get_head(modality, len(before)))

    def embed(self, ids: Tensor, types: Tensor, features: Mapping[str, Tensor] | None = None) -> Tensor:
        """Embed tokens and delimiters, [B, T] -> [B, T, D]; zero at padding.

        `features` has [N, feature_dim] for each continuous modality whose tokens occur.
        """
        x: Tensor | None = None
        for name, type_id in self.type_ids.items():
            adapter = cast(ModalityAdapter | FeatureAdapter, self.modalities[name])
            mine = types == type_id
            rows = torch.where(mine, ids, 0).clamp(min=0)
            if isinstance(adapter, ModalityAdapter):
                token = adapter(rows)
            elif features and name in features:
                token = adapter(rows, features[name])
            else:
                token = adapter.delimiter.expand(*ids.shape, -1)  # none but delimiters here
            token = torch.where((ids == DELIMITER)[..., None], adapter.delimiter.to(token.dtype), token)
            token = token * mine[..., None]
            x = token if x is None else x + token
        assert x is not None, "a decoder needs a modality"
        return x

    def _find_places(
        self, ids: Tensor, types: Tensor, rows: Tensor, cols: Tensor, cache: KVCache | None
    ) -> Places:
        """Find positions from the types; grid coordinates only where a token lies on a grid."""
        positions = find_positions(types, cache, self.cfg.max_seq_len)
        on_grid = self.two_d[types.clamp(min=0)] & (types >= 0) & (ids != DELIMITER)
        return Places(types, positions, torch.where(on_grid, rows, -1), torch.where(on_grid, cols, -1))

    def _make_context(self, x: Tensor, query: Places, key: Places, shared_from: int = 0) -> Context:
        """Prepare mask, bias and rotations of this pass; keys include the cached ones."""
        length, total = query.types.shape[1], key.types.shape[1]
        order = torch.arange(total, device=x.device)
        mine = order[total - length :, None]
        # A padding query sees itself, so that no softmax is over nothing.
        visible = ((order <= mine) & (key.types >= 0)[:, None]) | (order == mine)
        mask = visible[:, None]
        if self.relative is not None:
            mask = self.relative(query, key, shared_from).masked_fill(~mask, -torch.inf)
        rope = self.rope[query.positions][:, None].to(x.dtype)
        kinds = torch.arange(len(self.type_ids), device=x.device)
        onehot = (query.types[..., None] == kinds).to(x.dtype)
        mixin, own_ranks, differs = self.cfg.mixin, None, None
        if mixin is not None and mixin.lora_rank:
            own_ranks = onehot.repeat_interleave(mixin.lora_rank, dim=-1)
        if mixin is not None and mixin.cross_residual:
            differs = (query.types[:, :, None] != key.types[:, None])[:, None].to(torch.float32)
        return Context(rope[..., 0, :], rope[..., 1, :], mask, onehot, own_ranks, differs)

    def forward(
        self,
        ids: Tensor,
        types: Tensor,
        rows: Tensor,
        cols: Tensor,
        *,
        cache: KVCache | None = None,
        features: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Compute the hidden states after the final norm, [B, T, D].

        ids, types, rows, cols: int64 [B, T]. `types` is -1 at padding; a delimiter has id -1 and the
        type of the modality that it opens; rows and cols are the grid coordinates of tokens of a
        two-dimensional modality and ignored elsewhere; `features` are what `embed` needs. With a cache
        the tokens continue what it holds, and it grows by them. Raises ValueError when the cache has no room.
        """
        places = self._find_places(ids, types, rows, cols, cache)
        return self.run(self.embed(ids, types, features), places, cache)

    def run(self, x: Tensor, query: Places, cache: KVCache | None = None, shared_from: int = 0) -> Tensor:
        """Compute the hidden states [B, T, D] of embedded tokens [B, T, D] that stand at `query`.

        With a cache the tokens continue what it holds. `shared_from`: see `RelativeBias`; without a cache.
        Raises ValueError when the cache has no room.
        """
        key = query if cache is None else cache.add_places(query)
        context = self._make_context(x, query, key, shared_from)
        if self.type_embedding is not None:
            x = x + self.type_embedding(context.onehot)
        for layer in self.layers:
            x = layer(x, context, cache)
        if cache is not None:
            cache.length += x.shape[1]
        out: Tensor = self.norm(x)
        return out
