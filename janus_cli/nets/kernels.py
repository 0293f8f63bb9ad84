"""A plain layer's step in five Triton kernels, for few rows: each streams its matrix through once.

A product of two rows is as fast as its matrix can be read; libraries' products of so few rows read it at half
that speed, and a kernel for each norm, sum and rotation costs more than its work. Knows layers without
adapters, queries' norms and shared heads (`can_run`); takes the place of `step.run_layer` there. Needs the
`triton` package, which torch for CUDA brings.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from janus_cli.nets.step import Folded, Here, Layer, Shape

FEW_PROGRAMS, MANY_PROGRAMS = 264, 600  # two, and over four, for each multiprocessor of an H100
MOST_ROWS = 32  # above it the matrix units are busy, and a library's products better


def can_run(folded: Folded, rows: int) -> bool:
    """Tell whether these kernels compute what `run_layer` would for `folded`."""
    first, cfg = folded.layers[0], folded.cfg
    plain = first.gain is None and first.gate is None and folded.relative is None
    fused = len(first.qkv) == len(first.gate_up) == 1
    widths = cfg.dim, cfg.ff_dim, cfg.n_head * cfg.head_dim
    whole = all(width % 16 == 0 for width in widths) and cfg.head_dim & (cfg.head_dim - 1) == 0
    return plain and fused and whole and cfg.n_head == cfg.n_kv_head and rows <= MOST_ROWS


@triton.jit
def _multiply(  # type: ignore[no-untyped-def]
    x, weight, gain, rest, out,
    rows, n_out, eps,
    width: tl.constexpr, padded: tl.constexpr, block: tl.constexpr, depth: tl.constexpr,
    normed: tl.constexpr, gated: tl.constexpr, added: tl.constexpr,
):  # fmt: skip
    """Multiply rows of x by `block` rows of the matrix; see `multiply`."""
    own = tl.program_id(0) * block + tl.arange(0, block)
    row = tl.arange(0, padded)
    there = row < rows
    total = tl.zeros((block, padded), tl.float32)
    other = tl.zeros((block, padded), tl.float32)
    squares = tl.zeros((padded,), tl.float32)
    for start in range(0, width, depth):
        at = start + tl.arange(0, depth)
        part = tl.load(weight + own[:, None] * width + at[None, :])
        given = tl.load(x + row[None, :] * width + at[:, None], mask=there[None, :], other=0.0)
        if normed:
            exact = given.to(tl.float32)
            squares += tl.sum(exact * exact, 0)
            given = (exact * tl.load(gain + at)[:, None].to(tl.float32)).to(given.dtype)
        total = tl.dot(part, given, total, input_precision="ieee")
        if gated:
            part = tl.load(weight + (n_out + own)[:, None] * width + at[None, :])
            other = tl.dot(part, given, other, input_precision="ieee")
    if normed:  # a row's factor is the same for all its numbers, so it can come last
        scale = 1.0 / tl.sqrt(squares / width + eps)
        total *= scale[None, :]
        other *= scale[None, :]
    if gated:
        total = total / (1.0 + tl.exp(-total)) * other
    where = row[None, :] * n_out + own[:, None]
    if added:
        total += tl.load(rest + where, mask=there[None, :], other=0.0).to(tl.float32)
    tl.store(out + where, total.to(out.dtype.element_ty), mask=there[None, :])


def multiply(
    x: Tensor,
    weight: Tensor,
    *,
    norm: Tensor | None = None,
    eps: float = 0.0,
    rest: Tensor | None = None,
    gated: bool = False,
    tile: tuple[int, int, int, int] | None = None,
) -> Tensor:
    """Multiply x [R, K] by a matrix [N, K]: [R, N].

    norm: of an RMSNorm that x passes before. rest [R, N]: what the result is added to. gated: the matrix is
    two, and the result silu of the first product times the second, [R, N / 2]. tile: outputs and inputs of a
    tile, warps, and tiles on their way, instead of those that are usual.
    """
    rows, width = x.shape
    n_out = len(weight) // 2 if gated else len(weight)
    padded = 16 if rows <= 16 else 32
    block, depth, warps, stages = tile or _choose_tile(padded, n_out)
    while width % depth:
        depth //= 2
    while n_out % block:
        block //= 2
    out = torch.empty(rows, n_out, device=x.device, dtype=x.dtype)
    _multiply[(n_out // block,)](
        x, weight, x if norm is None else norm, x if rest is None else rest, out, rows, n_out, eps,
        width=width, padded=padded, block=block, depth=depth,
        normed=norm is not None, gated=gated, added=rest is not None, num_warps=warps, num_stages=stages,
    )  # fmt: skip
    return out


def _choose_tile(padded: int, n_out: int) -> tuple[int, int, int, int]:
    """Choose a tile: few programs have much of the matrix on the way, many are small to run all at once."""
    block, depth = (16, 256) if padded == 16 else (32, 128)
    programs = n_out // block
    if programs < FEW_PROGRAMS:
        return block, depth, 4, 5
    return (block, depth, 4, 3) if programs < MANY_PROGRAMS else (block, 128, 4, 4)


@triton.jit
def _attend(  # type: ignore[no-untyped-def]
    qkv, keys, values, bias, rope, slot, out,
    rows, scale,
    n_head: tl.constexpr, slots: tl.constexpr, width: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Rotate one head's query and key, keep the key and value, attend: one program for each row and head."""
    row, head = tl.program_id(0), tl.program_id(1)
    at = tl.arange(0, width)
    turned = (at + width // 2) % width
    here = qkv + (row * 3 * n_head + head) * width
    cosine = tl.load(rope + row * width + at).to(tl.float32)
    sine = tl.load(rope + (rows + row) * width + at).to(tl.float32)
    q = tl.load(here + at).to(tl.float32) * cosine + tl.load(here + turned).to(tl.float32) * sine
    here += n_head * width
    k = tl.load(here + at).to(tl.float32) * cosine + tl.load(here + turned).to(tl.float32) * sine
    v = tl.load(here + n_head * width + at)
    k = k.to(v.dtype)
    filled = tl.load(slot)
    kept = (row * n_head + head) * slots * width
    tl.store(keys + kept + filled * width + at, k)
    tl.store(values + kept + filled * width + at, v)
    q = q.to(v.dtype).to(tl.float32) * scale
    most = tl.sum(q * k.to(tl.float32), 0)
    mass = most * 0.0 + 1.0
    total = v.to(tl.float32)
    for start in range(0, slots, block):  # a softmax that is rescaled as it goes (1805.02867)
        place = start + tl.arange(0, block)
        seen = place < filled
        where = kept + place[:, None] * width + at[None, :]
        some_keys = tl.load(keys + where, mask=seen[:, None], other=0.0)
        some_values = tl.load(values + where, mask=seen[:, None], other=0.0)
        shift = tl.load(bias + row * slots + place, mask=seen, other=float("-inf")).to(tl.float32)
        scores = tl.sum(some_keys.to(tl.float32) * q[None, :], 1) + shift
        higher = tl.maximum(most, tl.max(scores, 0))
        chances, faded = tl.exp(scores - higher), tl.exp(most - higher)
        mass = mass * faded + tl.sum(chances, 0)
        total = total * faded + tl.sum(chances[:, None] * some_values.to(tl.float32), 0)
        most = higher
    tl.store(out + (row * n_head + head) * width + at, (total / mass).to(out.dtype.element_ty))


def attend(qkv: Tensor, keys: Tensor, values: Tensor, here: Here, shape: Shape, block: int = 128) -> Tensor:
    """Compute all heads of a token a row from qkv [R, 3 H hd], and keep its keys and values: [R, H hd]."""
    rows, slots = len(qkv), keys.shape[2]
    out = torch.empty(rows, shape.n_head * shape.head_dim, device=qkv.device, dtype=qkv.dtype)
    while slots % block:
        block //= 2
    _attend[(rows, shape.n_head)](
        qkv, keys, values, here.bias, here.rope, here.slot, out, rows, shape.head_dim**-0.5,
        n_head=shape.n_head, slots=slots, width=shape.head_dim, block=block, num_warps=8, num_stages=1,
    )  # fmt: skip
    return out


def run_layer(x: Tensor, layer: Layer, keys: Tensor, values: Tensor, here: Here, shape: Shape) -> Tensor:
    """Compute one block for a token a row, as `step.run_layer` does."""
    qkv = multiply(x, layer.qkv[0], norm=layer.norm, eps=shape.eps)
    x = multiply(attend(qkv, keys, values, here, shape), layer.out, rest=x)
    inner = multiply(x, layer.gate_up[0], norm=layer.mlp_norm, eps=shape.eps, gated=True)
    return multiply(inner, layer.down, rest=x)
