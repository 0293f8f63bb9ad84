"""The autoregressive loop: a batch of prompts in, new codes out, one KV cache for all that a row reads and
writes.

Knows a decoder and options; a row that has ended, or waits for others, takes padding, which changes nothing.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from janus_cli.config import Progress
from janus_cli.nets.attention import KVCache
from janus_cli.nets.decoder import DELIMITER, PADDING, Decoder
from janus_cli.nets.finite import are_finite, refuse_numbers
from janus_cli.stages.decoding.beams import END, Beams
from janus_cli.stages.decoding.features import Net, join_features
from janus_cli.stages.decoding.noise import Noise
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.prompt import Prompt
from janus_cli.stages.decoding.sampling import guide, make_filters, sample
from janus_cli.stages.decoding.steps import Stepper, can_step, open_steps
from janus_cli.stages.decoding.windows import Windows, choose_width

CHECK_EVERY = 16  # steps between looks at whether all rows have ended, where a look waits for the device


@dataclass(frozen=True, eq=False)
class Item:
    """One output: the prompt that it answers, which of its outputs it is, and the seed of its randomness."""

    prompt: Prompt
    index: int
    seed: int


@dataclass(frozen=True, eq=False)
class Made:
    """The tokens made for a batch, on the CPU."""

    words: np.ndarray | None  # ids int64 [B, up to max_words] that may hold an END; None where none was asked
    codes: np.ndarray  # int64 [B, Q, up to length]; the first codebook may hold an END


class Loop:
    """One batch on its way through the decoder."""

    def __init__(
        self, items: Sequence[Item], decoder: Net, options: GenerateOptions, progress: Progress | None = None
    ) -> None:
        self.prompts, self.decoder = [item.prompt for item in items], decoder
        self.options, self.progress = options, progress
        self.count, self.device = len(items), decoder.device
        self.copies = 2 if any(prompt.unconditional is not None for prompt in self.prompts) else 1
        self.asking = any(prompt.words_first for prompt in self.prompts)
        self.cfg = decoder.cfg.modalities[options.to]
        self.end = END if options.to == "text" else self.cfg.vocab_size  # where there is one
        self.may_end = options.to == "text" or self.cfg.ends
        self.every = 1 if self.device.type == "cpu" else CHECK_EVERY
        self.noise = Noise([item.seed for item in items]) if options.temperature else None
        self.finite = torch.ones((), dtype=torch.bool, device=self.device)  # all logits so far
        self.chain = make_filters(options.temperature, options.top_k, options.top_p)
        self.cache: KVCache
        self.stepping = can_step(decoder, options)
        self.steps: Stepper | None = None
        self.width = choose_width(decoder, options)
        self.windows: Windows | None = None

    @torch.inference_mode()
    def run(self, every: int = 0) -> Iterator[Made]:
        """Read the prompts, write words if any row asks for them, draw the output; give all that was made.

        `every` > 0: before that, after each so many tokens, give what is made so far.
        """
        hidden = self._prefill()
        words: Tensor | None = None
        if self.asking:
            words, hidden = self._write_words(hidden)
        asked = None if words is None else words.cpu().numpy()
        made: list[Tensor] = []
        for codes in self._draw_output(hidden):
            made.append(codes)
            if every and len(made) % every == 0:
                yield self._read_back(asked, made)
        yield self._read_back(asked, made)

    def _read_back(self, asked: np.ndarray | None, made: Sequence[Tensor]) -> Made:
        """Take what is made to the CPU. Raises ModelError where the decoder's logits were no numbers."""
        seen = [self.finite, *(way.finite for way in (self.steps, self.windows) if way is not None)]
        if not all(seen):
            refuse_numbers(self.decoder)
        return Made(asked, torch.stack(list(made), dim=2).cpu().numpy())

    def _compute_logits(self, hidden: Tensor, modality: str) -> Tensor:
        """Compute logits, and note whether they are numbers, without waiting for the device."""
        logits: Tensor = self.decoder.compute_logits(hidden, modality)
        self.finite &= are_finite(logits)
        return logits

    def _prefill(self) -> Tensor:
        """Make the cache, as large as needed; read the prompts: hidden states [rows, D] after them."""
        laid = [(prompt.tokens, prompt.features) for prompt in self.prompts]
        laid += [(p.unconditional, p.features) for p in self.prompts if p.unconditional is not None]
        prompts, features = join_features(
            [tokens for tokens, _ in laid], [own for _, own in laid], self.decoder
        )
        if self.asking:  # the delimiter of the output comes after the words, for all rows at once
            waiting = [prompt.words_first for prompt in self.prompts] * self.copies
            prompts = [p if words else p[:, :-1] for p, words in zip(prompts, waiting, strict=True)]
        ids, types, rows, cols = _pad(prompts, self.device)
        room = ids.shape[1] + self.asking * (self.options.max_words + 1)
        has_own = self.stepping and self.width == 0  # steps have room of their own
        room += 0 if has_own else self.options.length - 1
        self.cache = self.decoder.make_cache(len(prompts), room)
        here = {name: tensor.to(self.device) for name, tensor in features.items()}
        more = {"features": here} if here else {}  # a published net knows none
        hidden = self.decoder(ids, types, rows, cols, cache=self.cache, **more)
        out: Tensor = hidden[:, -1]
        return out

    def _advance(self, ids: Tensor, types: Tensor, row: int = 0, col: int = 0) -> Tensor:
        """Read one more token a row, ids and types [rows]: hidden states [rows, D] after it."""
        rows, cols = (torch.full_like(ids, place)[:, None] for place in (row, col))
        hidden: Tensor = self.decoder(ids[:, None], types[:, None], rows, cols, cache=self.cache)
        return hidden[:, -1]

    def _write_words(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Find the likeliest words [B, T] of the rows that ask for them, and read the output's delimiter.

        Gives the words, and the hidden states [rows, D] after the delimiter.
        """
        asked = torch.tensor([prompt.words_first for prompt in self.prompts], device=self.device)
        words = self._search_words(hidden, asked, self.options.max_words)
        if (words[:, -1] != END).any():  # there was no room for more
            self._add_words(words[:, -1], words[:, -1] == END)
        kinds = torch.full(
            (self.count * self.copies,), self.decoder.type_ids[self.options.to], device=self.device
        )
        return words, self._advance(torch.full_like(kinds, DELIMITER), kinds)

    def _search_words(self, hidden: Tensor, asked: Tensor, most: int) -> Tensor:
        """Find the likeliest words [B, T], T <= `most`, of the rows `asked`, bool [B].

        The cache lacks the last of them. During the search it has `beams` rows for each. Rows that are not
        asked, have ended, or are there for guidance take padding.
        """
        width, start = self.options.beams, self.cache.length
        rows = torch.arange(self.count * self.copies, device=self.device)
        own, guiding = rows[: self.count].repeat_interleave(width), rows[self.count :]
        aside = guiding + len(own) - self.count  # where those for guidance are meanwhile
        tries, hidden = Beams(asked, width), hidden[own]
        if width > 1:
            self.cache.take(torch.cat([own, guiding]))
        for step in range(most):
            if step:
                hidden = self._add_words(tries.last, tries.ended.flatten())[: len(own)]
            parents = tries.choose(self._compute_logits(hidden, "text"))
            if width > 1:
                self.cache.reorder(torch.cat([parents, aside]), start)
            self._report()
            if self._have_ended(tries.settled, step):
                break
        if width > 1:
            self.cache.take(torch.cat([rows[: self.count] * width, aside]))
        return tries.words

    def _add_words(self, words: Tensor, ended: Tensor) -> Tensor:
        """Read a word a row, padding where it `ended` or is for guidance: hidden states [rows, D] after."""
        kinds = torch.where(ended, PADDING, self.decoder.type_ids["text"])
        idle = torch.full((self.count * (self.copies - 1),), PADDING, device=self.device)
        return self._advance(torch.cat([words, idle.clamp(min=0)]), torch.cat([kinds, idle]))

    def _draw_output(self, hidden: Tensor) -> Iterator[Tensor]:
        """Draw the output's tokens; give codes [B, Q] of each at once, those of a beam search at its end."""
        if self.options.to == "text" and self.options.beams > 1:
            asked = torch.ones(self.count, dtype=torch.bool, device=self.device)
            yield from self._search_words(hidden, asked, self.options.length)[..., None].unbind(1)
            return
        if self.width != 0:
            yield from self._look_ahead(hidden)
            return
        kind, width = self.decoder.type_ids[self.options.to], self.options.grid[1]
        types = torch.full((self.count,), kind, device=self.device)
        ended = torch.zeros(self.count, dtype=torch.bool, device=self.device)
        if self.stepping:
            self.steps = open_steps(self.decoder, self.options, self.cache, self.copies)
        codes: list[Tensor] = []
        for step in range(self.options.length):
            if step and self.steps is not None:
                codes = [self.steps.draw(codes[0], self.noise, step)]
            else:
                codes = self._draw_codes(hidden, step)
            self._report()
            yield torch.stack(codes, dim=1)
            if self.may_end:
                ended = ended | (codes[0] == self.end)
                types = torch.where(ended, PADDING, kind)
                if self._have_ended(ended, step):
                    break
            if self.steps is None and step + 1 < self.options.length:
                ids = (
                    codes[0] if len(codes) == 1 else self._own.get_adapter(self.options.to).join_codes(codes)
                )
                place = divmod(step, width) if self.cfg.two_d else (0, 0)
                hidden = self._advance(ids.repeat(self.copies), types.repeat(self.copies), *place)

    def _look_ahead(self, hidden: Tensor) -> Iterator[Tensor]:
        """Draw a picture's tokens by windows; give codes [B, 1] of each once it is final in all rows."""
        first = self._draw_codes(hidden, 0)[0]
        self.windows = Windows(self.decoder, self.options, self.cache, self.noise, self.width)
        for made in chain([first[:, None]], self.windows.draw(first)):
            self._report(made.shape[1])
            for codes in made.unbind(1):
                yield codes[:, None]

    def _draw_codes(self, hidden: Tensor, step: int) -> list[Tensor]:
        """Draw the codes of the next token, one [B] for each codebook, in their order."""
        codes: list[Tensor] = []
        for level in range(self.cfg.n_q):
            if level:
                before = [code.repeat(self.copies) for code in codes]
                logits = self._own.compute_logits(hidden, self.options.to, before)
                self.finite &= are_finite(logits)
            else:
                logits = self._compute_logits(hidden, self.options.to)
            if self.copies > 1:
                logits = guide(logits[: self.count], logits[self.count :], self.options.cfg_scale)
            if self.cfg.ends and not level and not step:  # a sound has at least one frame
                logits = torch.cat([logits[:, :-1], torch.full_like(logits[:, -1:], -math.inf)], dim=1)
            codes.append(sample(logits[:, None], self.chain, self.noise, [[step]], level)[:, 0])
        return codes

    @property
    def _own(self) -> Decoder:
        """The decoder as one of our own: only those know several codebooks."""
        assert isinstance(self.decoder, Decoder)
        return self.decoder

    def _have_ended(self, ended: Tensor, step: int) -> bool:
        return step % self.every == self.every - 1 and bool(ended.all())

    def _report(self, tokens: int = 1) -> None:
        """Tell of a pass that made so many tokens a row."""
        if self.progress is not None:
            self.progress(self.count * tokens)


def _pad(prompts: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """Pad prompts [4, any length] on the left and stack them: ids, types, rows, cols [B, T]."""
    width = max(p.shape[1] for p in prompts)
    padded = np.zeros((4, len(prompts), width), np.int64)
    padded[1] = PADDING
    for row, prompt in enumerate(prompts):
        padded[:, row, width - prompt.shape[1] :] = prompt
    return list(torch.from_numpy(padded).to(device))
