"""Pictures and a question in, an answer out: Janus-Pro's understanding side.

Knows the net, numpy pictures and prompt ids; no files, no devices, no tokenizers.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from janus_cli.config import VisionConfig
from janus_cli.errors import UsageError
from janus_cli.nets.janus_pro import TEXT, JanusPro
from janus_cli.stages.sampling import Noise, filters, sample

MIN_SIDE = 14  # pixels of a very narrow picture's short side after resizing


@dataclass(frozen=True)
class DescribeOptions:
    """How to answer. Raises UsageError for a value that cannot be."""

    max_tokens: int = 512
    temperature: float = 0.0  # 0 = greedy, as published
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens is {self.max_tokens}: give at least 1")
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"temperature is {self.temperature}: give 0 or more")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}: give more than 0 and at most 1")


def preprocess(image: np.ndarray, cfg: VisionConfig) -> Tensor:
    """A picture uint8 [H, W, 3] as the vision encoder wants it: normalised float32 [1, 3, S, S].

    The long side becomes S by bicubic resizing (sizes cut off, not rounded, as DeepSeek's code does), the
    rest is filled with the mean colour, a grey.
    """
    from PIL import Image

    height, width = image.shape[:2]
    size = cfg.image_size
    high, wide = (max(int(side / max(height, width) * size), MIN_SIDE) for side in (height, width))
    small = np.asarray(Image.fromarray(image).resize((wide, high), Image.Resampling.BICUBIC))
    square = np.empty((size, size, 3), np.uint8)
    square[:] = [int(value * 255) for value in cfg.mean]
    top, left = (size - high) // 2, (size - wide) // 2
    square[top : top + high, left : left + wide] = small
    mean, std = np.array(cfg.mean, np.float32), np.array(cfg.std, np.float32)
    pixels = (square.astype(np.float32) / 255 - mean) / std
    return torch.from_numpy(pixels).movedim(-1, 0)[None]


@torch.inference_mode()
def prefill(net: JanusPro, images: Sequence[np.ndarray], ids: Sequence[int], seen: Sequence[bool]) -> Tensor:
    """Input embeddings [1, T, D] of a prompt in which the picture features stand where `seen` is true."""
    device = net.device
    x = net.language_model.embed_tokens(torch.tensor([ids], device=device))
    if images:
        pixels = torch.cat([preprocess(image, net.janus_pro.vision) for image in images]).to(device)
        x[0, torch.tensor(seen, device=device)] = net.see(pixels).flatten(0, 1).to(x.dtype)
    return x


@torch.inference_mode()
def answer(net: JanusPro, images: Sequence[np.ndarray], ids: Sequence[int], seen: Sequence[bool], end: int,
           options: DescribeOptions) -> Iterator[int]:
    """The answer's ids one by one, without the `end`. Raises UsageError where the prompt is too long."""
    room = net.cfg.max_seq_len - len(ids)
    if room < 1:
        raise UsageError(f"the prompt has {len(ids)} tokens, the model takes {net.cfg.max_seq_len} in all: "
                         "ask about fewer pictures")
    total = min(options.max_tokens, room)
    x, cache = prefill(net, images, ids, seen), net.new_cache(1, len(ids) + total)
    vocab_size = net.cfg.modalities["text"].vocab_size
    noise = Noise(options.seed, [0], vocab_size, net.device) if options.temperature else None
    chain = filters(options.temperature, 0, options.top_p)
    for _ in range(total):
        hidden = net.run(x, torch.full(x.shape[:2], TEXT, device=net.device), cache)
        new = sample(net.logits(hidden[:, -1], "text"), chain, noise.step() if noise else None)
        id = int(new)
        if id == end:
            return
        yield id
        x = net.language_model.embed_tokens(new[:, None])


def spoken(ids: Iterable[int], words: Callable[[list[int]], str]) -> Iterator[str]:
    """The text of ids piece by piece, as soon as its characters are whole; `words` decodes a list of ids."""
    made: list[int] = []
    said = ""
    for id in ids:
        made.append(id)
        text = words(made)
        if not text.endswith("\ufffd"):  # the rest of a character is still to come
            yield text[len(said) :]
            said = text
    yield words(made)[len(said) :]
