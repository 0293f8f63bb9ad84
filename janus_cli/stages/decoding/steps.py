"""The loop's fast path: folded steps of fixed shape with the sampling inside, on CUDA as one captured graph.

Knows a net, options and noise. It gives, token for token, what the general forward would.
"""

import torch
from torch import Tensor

from janus_cli.nets.attention import KVCache
from janus_cli.nets.finite import are_finite
from janus_cli.nets.step import ALIGNED, Folded, Step, can_fold, fold
from janus_cli.stages.decoding.features import Net
from janus_cli.stages.decoding.noise import Noise
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.sampling import guide, make_filters, narrow, sample

WARM_RUNS = 3  # of a program before it is captured
AHEAD = 64  # steps whose noise a device draws at once


def can_step(net: Net, options: GenerateOptions) -> bool:
    """Tell whether the output that `options` ask for can be drawn by steps."""
    searches = options.to == "text" and options.beams > 1
    return not searches and options.length > 1 and can_fold(net, options.to)


def can_capture(net: Net) -> bool:
    """Tell whether the device of `net` runs a program of many kernels as one graph."""
    return net.device.type == "cuda"


def open_steps(net: Net, options: GenerateOptions, cache: KVCache, copies: int) -> "Stepper":
    """Make the steps that go on after the prompts in `cache`; `copies` 2: half of them are for guidance.

    A captured graph is taken again where its shape fits; of each net the last one is kept.
    """
    rows, columns = cache.keys.shape[1], options.grid[1]
    folded, slots = fold_once(net, options.to), cache.length + options.length
    if can_capture(net):
        steps = _capture_once(net, folded, rows, -(-slots // ALIGNED) * ALIGNED, options, copies)
    else:
        steps = Stepper(Step(folded, rows, slots, options.length), options, copies)
    steps.begin(cache, columns)
    return steps


def fold_once(net: Net, modality: str) -> Folded:
    """Fold the weights of `net`, or take what was folded before from the same weights."""
    folds: dict[str, tuple[object, Folded]] = net.__dict__.setdefault("folds", {})
    known = folds.get(modality)
    if known is None or known[0] != _mark(net):
        made = fold(net, modality, fuse=net.device.type != "cpu")
        known = folds[modality] = _mark(net), made
    return known[1]


def _mark(net: Net) -> object:
    """Give what changes when weights do: where they lie, and how often they were written to."""
    return [(p.data_ptr(), 0 if p.is_inference() else p._version) for p in net.parameters()]


def _capture_once(
    net: Net, folded: Folded, rows: int, slots: int, options: GenerateOptions, copies: int
) -> "Stepper":
    """Make steps captured as a graph, or take the last ones again."""
    sampling = (options.temperature, options.top_k, options.top_p, options.cfg_scale)
    key = (id(folded), rows, copies, slots, options.length, sampling)
    known = net.__dict__.pop("captured", None)
    if known is None or known[0] != key:
        known = None  # its memory first
        known = key, Stepper(Step(folded, rows, slots, options.length), options, copies)
        known[1].capture()
    net.__dict__["captured"] = known
    steps: Stepper = known[1]
    return steps


class Stepper:
    """A step and the draw after it: `begin` after the prompts, then `draw` the output's tokens one by one.

    finite: whether all logits were numbers since `begin`, a bool on the device.
    """

    @torch.inference_mode(False)
    def __init__(self, step: Step, options: GenerateOptions, copies: int) -> None:
        device, count = step.place.device, step.rows // copies
        self.step, self.scale, self.copies, self.count = step, options.cfg_scale, copies, count
        self.chain = make_filters(options.temperature, options.top_k, options.top_p)
        self.ids = torch.zeros(count, dtype=torch.int64, device=device)
        self.finite = torch.ones((), dtype=torch.bool, device=device)
        self.classes = len(step.folded.head(step.folded.norm[None])[0])
        self.noise = torch.zeros(count, self.classes, device=device) if options.temperature else None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.block: tuple[object, Tensor] | None = None  # noise that was drawn ahead, and which

    @torch.inference_mode()
    def capture(self) -> None:
        """Capture the program as a CUDA graph, when libraries are ready. The buffers hold no prompt yet."""
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_RUNS):
                self.step.place.zero_()
                self.step.slot.zero_()
                self.run()
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.run()

    def begin(self, cache: KVCache, columns: int) -> None:
        """Take over what `cache` holds, the prompts; the output comes on a grid of so many columns."""
        self.step.begin(cache, columns)
        self.finite.fill_(True)

    def run(self) -> None:
        """Read the tokens `ids` and draw the next ones into their place: what a graph captures."""
        scores = narrow(self._advance(), self.chain)
        self.ids.copy_((scores if self.noise is None else scores + self.noise).argmax(dim=-1))

    def _advance(self) -> Tensor:
        """Read the tokens `ids`: guided logits [B, V] of the next."""
        logits = self.step.advance(self.ids.repeat(self.copies))
        self.finite &= are_finite(logits)
        if self.copies > 1:
            logits = guide(logits[: self.count], logits[self.count :], self.scale)
        return logits

    def draw(self, ids: Tensor, noise: Noise | None, step: int) -> Tensor:
        """Draw the tokens [B] of `step` that follow `ids` [B], by noise or greedily."""
        self.ids.copy_(ids)
        if self.graph is None:  # which asks for numbers of its own, of all classes
            return sample(self._advance()[:, None], self.chain, noise, [[step]])[:, 0]
        if self.noise is not None and noise is not None:
            self.noise.copy_(self._look_up(noise, step))
        self.graph.replay()
        return self.ids.clone()

    def _look_up(self, noise: Noise, step: int) -> Tensor:
        """Look up the noise of a step, [B, V]; a block of AHEAD steps is drawn when its first one comes."""
        first = step // AHEAD * AHEAD
        if self.block is None or self.block[0] != (noise, first):
            steps, classes = [range(first, first + AHEAD)], self.classes
            self.block = (noise, first), noise.draw(steps, classes, device=self.ids.device)
        return self.block[1][:, step % AHEAD]
