"""Pictures and a question in, an answer out: Janus-Pro's understanding side; and how our own models see.

Knows the net, numpy pictures and prompt ids; no files, no devices, no tokenizers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from janus_cli.config import Progress, VisionConfig
from janus_cli.errors import UsageError
from janus_cli.nets.finite import check_finite
from janus_cli.nets.janus_pro import TEXT, JanusPro
from janus_cli.nets.siglip import VisionTower
from janus_cli.records import Record, Segment, to_ids
from janus_cli.stages.decoding.noise import Noise
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.sampling import make_filters, sample
from janus_cli.stages.decoding.segments import Identity
from janus_cli.stages.decoding.templates import Question

MIN_SIDE = 14  # pixels of a very narrow picture's short side after resizing


def preprocess(image: np.ndarray, cfg: VisionConfig) -> Tensor:
    """Prepare a picture uint8 [H, W, 3] for the vision encoder: normalised float32 [1, 3, S, S].

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
    """Encode a picture uint8 [H, W, 3] with one of our own vision encoders: features [n_token, D]."""
    features: Tensor = tower(preprocess(image, cfg).to(tower.pos_embed.device))[0]
    return features


@torch.inference_mode()
def prefill(net: JanusPro, images: Sequence[np.ndarray], ids: Sequence[int], seen: Sequence[bool]) -> Tensor:
    """Embed a prompt, [1, T, D], in which the picture features stand where `seen` is true."""
    device = net.device
    x = net.language_model.embed_tokens(torch.tensor([ids], device=device))
    if images:
        pixels = torch.cat([preprocess(image, net.janus_pro.vision) for image in images]).to(device)
        x[0, torch.tensor(seen, device=device)] = net.see(pixels).flatten(0, 1).to(x.dtype)
    return x


@dataclass(frozen=True)
class Answer:
    """The stage: questions to one published net, their answers as records. `describe` gives one in pieces.

    ask: makes the question of a record; look: shows one of its segments as a picture uint8 [H, W, 3];
    end: the id that closes an answer; begin: called before the net runs. `prepare` needs no weights.
    """

    net: JanusPro
    options: GenerateOptions
    identity: Identity
    ask: Callable[[Record], Question]
    look: Callable[[Segment], np.ndarray]
    end: int
    begin: Callable[[], object] = lambda: None

    def prepare(self, record: Record, seeds: Mapping[int, int] | None = None) -> Question:
        """Make the question that a record asks; `seeds` as `Preparer.prepare` takes them.

        Raises UsageError for one too long, and what `ask` does.
        """
        return replace(self.check(self.ask(record)), seeds=self.options.seeds if seeds is None else seeds)

    def check(self, question: Question) -> Question:
        """Give the question back. Raises UsageError where the net has no room for it and one token more."""
        most = self.net.cfg.max_seq_len
        if len(question.ids) >= most:
            raise UsageError(
                f"the prompt has {len(question.ids)} tokens, the model takes {most} "
                "in all: use fewer words or pictures"
            )
        return question

    def __call__(
        self, questions: Iterable[Question | None], progress: Progress | None = None, stream: bool = False
    ) -> Iterator[Record]:
        """Make a record of one text segment for every seed of every question, as `Generate` does.

        `progress` is called with each number of new tokens. Raises UsageError for `stream`: only pictures
        come in parts.
        """
        if stream:
            raise UsageError(f"only pictures can be streamed, not {self.options.to}")
        words = ("to", "temperature", "top_k", "top_p", "max_tokens")
        note = {word: getattr(self.options, word) for word in words}
        info = {"tokenizer": self.identity.name, "fingerprint": self.identity.text_fingerprint}
        vocab_size = self.net.cfg.modalities["text"].vocab_size
        for question in questions:
            if question is None:
                continue  # no more are waiting: each is answered at once anyway
            images = [self.look(segment) for segment in question.pictures]
            for index, seed in question.seeds.items():
                ids = []
                for id in self.draw_ids(question, images, seed):
                    ids.append(id)
                    if progress:
                        progress(1)
                made = Segment("text", to_ids(ids, vocab_size), info)
                yield question.record.with_step(
                    "generate", (made,), model=self.identity.name, seed=seed, index=index, **note
                )

    @torch.inference_mode()
    def draw_ids(self, question: Question, images: Sequence[np.ndarray], seed: int = 0) -> Iterator[int]:
        """Draw the answer's ids one by one, without the `end`, from the random stream of `seed`."""
        self.begin()
        net, options, used = self.net, self.options, len(question.ids)
        total = min(options.max_tokens, net.cfg.max_seq_len - used)
        x, cache = prefill(net, images, question.ids, question.seen), net.make_cache(1, used + total)
        noise = Noise([seed]) if options.temperature else None
        chain = make_filters(options.temperature, options.top_k, options.top_p)
        for step in range(total):
            hidden = net.run(x, torch.full(x.shape[:2], TEXT, device=net.device), cache)
            logits = check_finite(net.compute_logits(hidden[:, -1], "text"), net)
            new = sample(logits[:, None], chain, noise, [[step]])[:, 0]
            id = int(new)
            if id == self.end:
                return
            yield id
            x = net.language_model.embed_tokens(new[:, None])


def spell_out(ids: Iterable[int], words: Callable[[list[int]], str]) -> Iterator[str]:
    """Give the text of ids in pieces, as soon as its characters are whole; `words` decodes a list of ids."""
    made: list[int] = []
    before = ""
    for id in ids:
        made.append(id)
        text = words(made)
        if not text.endswith("\ufffd"):  # the rest of a character is still to come
            yield text[len(before) :]
            before = text
    yield words(made)[len(before) :]
