"""Pictures and a question in, an answer out: Janus-Pro's understanding side. And how our own models see.

Knows the net, numpy pictures and prompt ids; no files, no devices, no tokenizers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from janus_cli.config import VisionConfig
from janus_cli.errors import UsageError
from janus_cli.nets.janus_pro import TEXT, JanusPro
from janus_cli.nets.siglip import VisionTower
from janus_cli.records import Record, Segment, to_ids
from janus_cli.stages.decoding.sampling import Noise, filters, sample
from janus_cli.stages.decoding.segments import Identity
from janus_cli.stages.decoding.templates import Question
from janus_cli.stages.generate import GenerateOptions

MIN_SIDE = 14  # pixels of a very narrow picture's short side after resizing


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
def see(image: np.ndarray, tower: VisionTower, cfg: VisionConfig) -> Tensor:
    """What one of our own vision encoders makes of a picture uint8 [H, W, 3]: features [n_token, D]."""
    features: Tensor = tower(preprocess(image, cfg).to(tower.pos_embed.device))[0]
    return features


@torch.inference_mode()
def prefill(net: JanusPro, images: Sequence[np.ndarray], ids: Sequence[int], seen: Sequence[bool]) -> Tensor:
    """Input embeddings [1, T, D] of a prompt in which the picture features stand where `seen` is true."""
    device = net.device
    x = net.language_model.embed_tokens(torch.tensor([ids], device=device))
    if images:
        pixels = torch.cat([preprocess(image, net.janus_pro.vision) for image in images]).to(device)
        x[0, torch.tensor(seen, device=device)] = net.see(pixels).flatten(0, 1).to(x.dtype)
    return x


def check_length(net: JanusPro, question: Question) -> None:
    """Raise UsageError where the model has no room for the question and one token of an answer."""
    if len(question.ids) >= net.cfg.max_seq_len:
        raise UsageError(
            f"the prompt has {len(question.ids)} tokens, the model takes {net.cfg.max_seq_len} "
            "in all: use fewer words or pictures"
        )


@torch.inference_mode()
def answer(
    net: JanusPro,
    images: Sequence[np.ndarray],
    question: Question,
    end: int,
    options: GenerateOptions,
    index: int = 0,
) -> Iterator[int]:
    """The answer's ids one by one, without the `end`, drawn from the random stream (seed, `index`).

    Raises UsageError where the prompt is too long.
    """
    check_length(net, question)
    used = len(question.ids)
    total = min(options.max_tokens, net.cfg.max_seq_len - used)
    x, cache = prefill(net, images, question.ids, question.seen), net.new_cache(1, used + total)
    vocab_size = net.cfg.modalities["text"].vocab_size
    noise = Noise(options.seed, [index], vocab_size, net.device) if options.temperature else None
    chain = filters(options.temperature, options.top_k, options.top_p)
    for _ in range(total):
        hidden = net.run(x, torch.full(x.shape[:2], TEXT, device=net.device), cache)
        new = sample(net.logits(hidden[:, -1], "text"), chain, noise.step() if noise else None)
        id = int(new)
        if id == end:
            return
        yield id
        x = net.language_model.embed_tokens(new[:, None])


def answers(
    records: Iterable[Record | None],
    net: JanusPro,
    ask: Callable[[Record], Question],
    look: Callable[[Segment], np.ndarray],
    end: int,
    options: GenerateOptions,
    identity: Identity,
    progress: Callable[[int], None] | None = None,
) -> Iterator[Record]:
    """For every record `options.n` records of one text segment, numbered as `generate` numbers pictures.

    `ask` makes the question of a record, `look` the picture uint8 [H, W, 3] of one of its segments; None
    holds the place of a record that failed before. `progress` is called with each number of new tokens.
    """
    words = ("to", "temperature", "top_k", "top_p", "max_tokens")
    note = {word: getattr(options, word) for word in words}
    info = {"tokenizer": identity.name, "fingerprint": identity.text_fingerprint}
    for number, record in enumerate(records):
        if record is None:
            continue
        question = ask(record)
        images = [look(segment) for segment in question.pictures]
        for index in range(number * options.n, (number + 1) * options.n):
            ids = []
            for id in answer(net, images, question, end, options, index):
                ids.append(id)
                if progress:
                    progress(1)
            made = Segment("text", to_ids(ids, net.cfg.modalities["text"].vocab_size), info)
            yield record.with_step(
                "generate", (made,), model=identity.name, seed=options.seed, index=index, **note
            )


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
