"""A convolutional net over a picture of any height in bounded memory, with what a run over the whole gives.

The picture comes in chunks of rows. Each convolution keeps the last rows that it was given and goes on from
there: nothing is computed twice, and what is under way fits into a processor's cache. `nets.streaming` does
this for sounds. Knows convolutions of 3 x 3, and what works on each row alone.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Takes the next rows [B, C, n, W] of a picture, from the top, and whether they are the last; gives the rows
# that are done now, None if there are none. The last rows give the others.
Step = Callable[[Tensor, bool], Tensor | None]


def cut_chunks(whole: Tensor, rows: int, more: int = 0) -> Iterator[tuple[Tensor, bool]]:
    """Cut [B, C, H, W] into chunks of about `rows` rows, the first of `more` rows in addition.

    Each convolution holds a row of the first chunk back. A single row that is left may be computed in another
    order than the same row of a taller picture, to other last bits; `more` rows keep that from happening.
    """
    height = whole.shape[2]
    tops = [0, *range(rows + more, height - rows // 2, rows)]
    ends = [*tops[1:], height]
    return ((whole[:, :, top:end], end == height) for top, end in zip(tops, ends, strict=True))


def make_step(net: nn.Module) -> Step:
    """Make the step that runs `net`; a module that is more than a chain makes its own, by `make_step`."""
    if isinstance(net, nn.Sequential):
        return chain([make_step(layer) for layer in net])
    if isinstance(net, nn.Conv2d) and net.kernel_size != (1, 1):
        return Convolution(net)
    make: Callable[[], Step] | None = getattr(net, "make_step", None)
    return on_each_row(net) if make is None else make()


def on_each_row(work: Callable[[Tensor], Tensor]) -> Step:
    """Make the step of what looks at each row alone."""
    return lambda rows, is_last: work(rows)


def chain(steps: Sequence[Step]) -> Step:
    """Make one step of several, one behind the other."""

    def run(rows: Tensor, is_last: bool) -> Tensor | None:
        made: Tensor | None = rows
        for step in steps:
            made = None if made is None else step(made, is_last)
        return made

    return run


class Sum:
    """The step of work(x) + step(x): what `work` makes of each row alone waits for what `step` gives."""

    def __init__(self, work: Callable[[Tensor], Tensor], step: Step) -> None:
        self._work, self._step = work, step
        self._waiting: list[Tensor] = []

    def __call__(self, rows: Tensor, is_last: bool) -> Tensor | None:
        self._waiting.append(self._work(rows))
        made = self._step(rows, is_last)
        if made is None:
            return None
        waiting, count = torch.cat(self._waiting, 2), made.shape[2]
        self._waiting = [waiting[:, :, count:].clone()]
        return waiting[:, :, :count] + made


class Convolution:
    """The step of a convolution of 3 x 3: a row waits for the one below."""

    def __init__(self, conv: nn.Conv2d) -> None:
        assert conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.padding == (1, 1)
        self._conv = conv
        self._held: Tensor | None = None  # the last two rows

    def __call__(self, rows: Tensor, is_last: bool) -> Tensor | None:
        border = torch.zeros_like(rows[:, :, :1])
        above = border if self._held is None else self._held
        rows = torch.cat([above, rows, *([border] if is_last else [])], 2)
        self._held = rows[:, :, -2:].clone()
        return (
            F.conv2d(rows, self._conv.weight, self._conv.bias, padding=(0, 1)) if rows.shape[2] > 2 else None
        )
