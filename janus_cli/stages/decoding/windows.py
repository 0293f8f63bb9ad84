"""The loop's way for outputs that are nearly sure: many tokens a pass, each the one that it would be alone.

With the noise fixed for every place, a token is a function of those before it. So all tokens ahead are
guessed, one pass says for each what it would be after the guesses, and what is said as it was guessed, from
the front on, is final, with one token more; the rest are better guesses (Jacobi iteration with fixed noise,
Wiggers and Hoogeboom, 2002.09928). Knows a net, options and noise.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from janus_cli.nets.attention import KVCache
from janus_cli.nets.decoder import Decoder
from janus_cli.nets.finite import are_finite
from janus_cli.nets.packed import can_pack, pack
from janus_cli.nets.step import Folded
from janus_cli.nets.window import Window
from janus_cli.stages.decoding.features import Net
from janus_cli.stages.decoding.noise import Noise
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.sampling import guide, make_filters, sample
from janus_cli.stages.decoding.steps import can_step, fold_once

SURE = 0.5  # most temperature at which tokens are taken for nearly sure
NARROW, WIDE = 16, 24  # tokens of a window: so many, and so many more shared by the batch's rows


def can_look_ahead(net: Net, options: GenerateOptions) -> bool:
    """Tell whether the output can be drawn by windows: a grid of known size, one code a token."""
    return options.to == "image" and not net.cfg.modalities["image"].ends and can_step(net, options)


def choose_width(net: Net, options: GenerateOptions) -> int | None:
    """Choose how many tokens a window has: 0 for no windows, None for as many as suit the batch.

    Unless asked for, none on a GPU: captured steps were measured there, windows never, and these wait for it.
    """
    wanted = options.parallel
    if wanted == 0 or not can_look_ahead(net, options):
        return 0
    if wanted is not None:
        return wanted
    return None if options.temperature <= SURE and net.device.type == "cpu" else 0


def _pack_once(net: Net, modality: str) -> Folded:
    """Fold the weights of `net`, and pack them where that pays; or take what was made before of the same."""
    folded = fold_once(net, modality)
    if not isinstance(net, Decoder) or not can_pack(folded):
        return folded
    known: tuple[Folded, Folded] | None = net.__dict__.get("packed")
    if known is None or known[0] is not folded:
        known = net.__dict__["packed"] = folded, pack(folded, net, modality)
    return known[1]


class Windows:
    """The windows of one batch, after its prompts, which are in `cache`, with room for the output.

    passes: how many there were. finite: whether all logits were numbers, a bool on the device.
    """

    def __init__(
        self, net: Net, options: GenerateOptions, cache: KVCache, noise: Noise | None, width: int | None
    ) -> None:
        """Make the windows; the cache's rows beyond the outputs' are for guidance. `width`: None: choose."""
        self.window = Window(_pack_once(net, options.to), cache, options.length, options.grid[1])
        self.options, self.noise, self.width = options, noise, width
        self.chain = make_filters(options.temperature, options.top_k, options.top_p)
        self.finite = torch.ones((), dtype=torch.bool, device=net.device)
        self.passes = 0

    def draw(self, first: Tensor) -> Iterator[Tensor]:
        """Draw what follows the first tokens [B]; give after every pass what is final in all rows, [B, n]."""
        length, given = self.options.length, 1
        tokens = first[:, None].repeat(1, length)
        final = torch.ones_like(first)  # tokens of each row that are
        left = torch.arange(len(first), device=first.device)  # rows with others
        while given < length:
            tokens[left], final[left] = self._pass(tokens[left], final[left])
            done = int(final.min())
            yield tokens[:, given:done]
            given = done
            rows = (final[left] < length).nonzero()[:, 0]
            if 0 < len(rows) < len(left):
                self._keep(rows, len(left))
            left = left[rows]

    def _pass(self, tokens: Tensor, final: Tensor) -> tuple[Tensor, Tensor]:
        """Say what the tokens [B, N] are, of which so many are `final`, [B]; give both after that.

        Beyond a window each token is guessed to be as its last one.
        """
        length, width = tokens.shape[1], self.width or NARROW + WIDE // len(tokens)
        width = min(width, length - int(final.min()))
        start = (final - 1).clamp(max=length - 1 - width)
        read = start[:, None] + torch.arange(width, device=start.device)
        said, places = self._say(tokens.gather(1, read), start, read + 1), read + 1
        old = tokens.gather(1, places)
        said = torch.where(places < final[:, None], old, said)
        agreed = (said == old)[:, :-1].long().cumprod(dim=1).sum(dim=1)  # and one more is final
        beyond = torch.arange(length, device=start.device) > places[:, -1:]
        tokens = torch.where(beyond, said[:, -1:], tokens.scatter(1, places, said))
        self.passes += 1
        return tokens, start + 2 + agreed

    def _say(self, ids: Tensor, start: Tensor, places: Tensor) -> Tensor:
        """Say which token stands at each of the places [B, W] if those before are `ids`, [B, W]."""
        copies = len(self.window.cache.places[0]) // len(ids)
        logits = self.window.advance(ids.repeat(copies, 1), start.repeat(copies))
        self.finite &= are_finite(logits)
        if copies > 1:
            logits = guide(logits[: len(ids)], logits[len(ids) :], self.options.cfg_scale)
        return sample(logits, self.chain, self.noise, places)

    def _keep(self, rows: Tensor, count: int) -> None:
        """Go on with these rows of the `count` that there are, and those for their guidance."""
        copies = len(self.window.cache.places[0]) // count
        self.window.take(torch.cat([rows + copy * count for copy in range(copies)]))
        self.noise = self.noise and self.noise.take(rows.tolist())
