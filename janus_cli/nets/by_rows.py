"""A convolutional net over a picture of any height in bounded memory, with what a run over the whole gives.

The picture comes in chunks of rows. Each convolution keeps the last rows that it was given and goes on from
there: nothing is computed twice, and what is under way fits into a processor's cache. `nets.streaming` does
this for sounds. Knows convolutions of 3 x 3, and what works on each row alone.
"""

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Chunks = Iterator[
    tuple[Tensor, bool]
]  # [B, C, n, W], the next n rows from the top; whether they are the last


def cut_chunks(whole: Tensor, rows: int, more: int = 0) -> Chunks:
    """Cut [B, C, H, W] into chunks of about `rows` rows, the first of `more` rows in addition.

    Each convolution holds a row of the first chunk back. A single row that is left may be computed in another
    order than the same row of a taller picture, to other last bits; `more` rows keep that from happening.
    """
    height = whole.shape[2]
    tops = [0, *range(rows + more, height - rows // 2, rows)]
    ends = [*tops[1:], height]
    return ((whole[:, :, top:end], end == height) for top, end in zip(tops, ends, strict=True))


def run_by_rows(net: nn.Module, chunks: Chunks) -> Chunks:
    """Run `net` over the picture that `chunks` make up; gives chunks of other heights.

    A module that is more than a chain says itself how it runs, by a method `run_by_rows`.
    """
    if isinstance(net, nn.Sequential):
        for layer in net:
            chunks = run_by_rows(layer, chunks)
        return chunks
    if isinstance(net, nn.Conv2d) and net.kernel_size != (1, 1):
        return _convolve(net, chunks)
    run = getattr(net, "run_by_rows", partial(work_on_rows, net))
    made: Chunks = run(chunks)
    return made


def work_on_rows(work: Callable[[Tensor], Tensor], chunks: Chunks) -> Chunks:
    """Give what `work`, which looks at each row alone, makes of the chunks."""
    return ((work(chunk), is_last) for chunk, is_last in chunks)


def add_by_rows(work: Callable[[Tensor], Tensor], run: Callable[[Chunks], Chunks], chunks: Chunks) -> Chunks:
    """Give work(x) + run(x): what `work` makes of each row alone waits for what `run` gives later."""
    waiting: list[Tensor] = []

    def keep() -> Chunks:
        for chunk, is_last in chunks:
            waiting.append(work(chunk))
            yield chunk, is_last

    for made, is_last in run(keep()):
        held = torch.cat(waiting, 2)
        yield held[:, :, : made.shape[2]] + made, is_last
        waiting[:] = [held[:, :, made.shape[2] :]]


def _convolve(conv: nn.Conv2d, chunks: Chunks) -> Chunks:
    """Run a convolution of 3 x 3; a chunk's last row waits for the next chunk, which has its neighbours."""
    assert conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.padding == (1, 1)
    held: Tensor | None = None  # the last two rows
    for chunk, is_last in chunks:
        border = torch.zeros_like(chunk[:, :, :1])
        parts = [border if held is None else held, chunk, *([border] if is_last else [])]
        rows = torch.cat(parts, 2)
        held = rows[:, :, -2:].clone()
        if rows.shape[2] > 2:
            yield F.conv2d(rows, conv.weight, conv.bias, padding=(0, 1)), is_last
