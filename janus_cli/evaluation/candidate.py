"""The model that is examined: all that the exam asks of it, through its pipeline.

The only module of the exam that calls `janus_cli.pipeline`. What is asked, and how it is scored, is decided
elsewhere.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from janus_cli import zoo
from janus_cli.errors import NothingHeardError
from janus_cli.nets.codec import Codec
from janus_cli.pipeline import Pipeline, Plan, Sampling
from janus_cli.records import Record

Tell = Callable[[int, int], None]  # how many are done, of how many
BATCH = 32  # pictures generated together from words
MIXED_BATCH = 16  # prompts that see, hear or speak, generated together


def _stay_silent(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Candidate:
    """A model and the seed of all that it makes."""

    pipeline: Pipeline
    seed: int

    @classmethod
    def load(cls, model: zoo.Model, device: str, seed: int) -> "Candidate":
        """Take up a model. Raises ModelError for a component that is missing; only the refiner may be."""
        for component in ("dvae", "decoder", *(["refiner"] if model.config.refiner else [])):
            model.file(component)
        return cls(Pipeline(model, device), seed)

    @property
    def side(self) -> int:
        """Pixels per side of a picture before it is enlarged."""
        return self.pipeline.model.config.generation.grid[0] * self.pipeline.pictures.dvae.cfg.patch

    @property
    def has_refiner(self) -> bool:
        """Whether the model sharpens and enlarges its pictures."""
        return self.pipeline.model.config.refiner is not None

    @property
    def codec(self) -> Codec:
        """The audio tokenizer. Raises ModelError where there is none."""
        return self.pipeline.sounds.codec

    @property
    def codebook_size(self) -> int:
        """Number of image codes."""
        return self.pipeline.pictures.dvae.cfg.codebook_size

    # ---- prompts

    def read(self, texts: Sequence[str]) -> list[Record]:
        """Tokenize texts."""
        return [self.pipeline.tokenize(text, str(i)) for i, text in enumerate(texts)]

    def look(self, pictures: Iterable[np.ndarray]) -> list[Record]:
        """Take pictures uint8 [S, S, 3] as they are."""
        return [self.pipeline.show(picture, str(i)) for i, picture in enumerate(pictures)]

    def listen(self, waveforms: Iterable[np.ndarray]) -> list[Record]:
        """Tokenize waveforms float32 [T] at the codec's rate."""
        return [self.pipeline.sounds.encode([w[None]], str(i)) for i, w in enumerate(waveforms)]

    def is_reread(self, prompt: Record) -> bool:
        """Whether the model's lexicon has other words for what the prompt says."""
        return self.pipeline.interpret(prompt)[0] is not prompt

    # ---- answers

    def _run(
        self, plan: Plan, prompts: Sequence[Record], numbers: Sequence[int] | None = None
    ) -> Iterator[Record | None]:
        """Generate from each prompt, with a seed of its own: one seed's chance decides no whole list.

        The seeds count from the candidate's: by the prompts' `numbers`, or as they come. None stands for a
        recording in which nothing is heard.
        """
        heard: deque[bool] = deque()

        def prepare() -> Iterator[object]:
            for number, record in zip(numbers or range(len(prompts)), prompts, strict=True):
                prompt = self._hear(plan, record, self.seed + number)
                heard.append(prompt is not None)
                if prompt is not None:
                    yield prompt

        for made in plan.generate(prepare()):
            while not heard.popleft():
                yield None
            yield made
        yield from (None for _ in heard)

    def _hear(self, plan: Plan, prompt: Record, seed: int) -> object | None:
        try:
            return plan.prepare(prompt, {0: seed})
        except NothingHeardError:
            return None

    def draw_tokens(
        self, prompts: Sequence[Record], greedy: bool = False, batch_size: int = BATCH
    ) -> Iterator[Record]:
        """Generate image tokens for each prompt, with the model's own options or greedily."""
        made = self._run(self._plan_picture(greedy, batch_size), prompts)
        return (record for record in made if record is not None)

    def _plan_picture(self, greedy: bool, batch_size: int, literal: bool = False) -> Plan:
        temperature = 0 if greedy else None
        chosen = Sampling(seed=self.seed, temperature=temperature, batch_size=batch_size, literal=literal)
        return self.pipeline.plan_picture(chosen)

    def draw(
        self,
        prompts: Sequence[Record],
        tell: Tell = _stay_silent,
        batch_size: int = BATCH,
        literal: bool = False,
        numbers: Sequence[int] | None = None,
    ) -> np.ndarray:
        """Draw each prompt: final pictures uint8 [N, S, S, 3], refined and enlarged if the model can.

        A recording in which nothing is heard gives a white one. `literal`: the lexicon is not asked.
        `numbers` are the prompts' own: those with equal ones have the same seed. All pictures that the judge
        sees are drawn here.
        """
        records = list(self._run(self._plan_picture(False, batch_size, literal), prompts, numbers))
        pictures = []
        for picture in self._finish(record for record in records if record is not None):
            pictures.append(picture)
            tell(len(pictures), len(prompts))
        side = len(pictures[0]) if pictures else self.side
        drawn, white = iter(pictures), np.full((side, side, 3), 255, np.uint8)
        return np.stack([white if record is None else next(drawn) for record in records])

    def _finish(self, records: Iterator[Record]) -> Iterator[np.ndarray]:
        """Refine and enlarge image tokens if the model can, and show them."""
        if self.has_refiner:
            refining = self.pipeline.refining
            records = refining.upsample(refining.denoise(records))
        return (cast(np.ndarray, self.pipeline.decode(record)) for record in records)

    def write(self, prompts: Sequence[Record], tell: Tell = _stay_silent) -> list[str]:
        """Put each prompt into words; none for a recording in which nothing is heard."""
        plan = self.pipeline.plan_text(Sampling(seed=self.seed, batch_size=MIXED_BATCH))
        texts: list[str] = []
        for record in self._run(plan, prompts):
            texts.append("" if record is None else str(self.pipeline.decode(record)))
            tell(len(texts), len(prompts))
        return texts

    def speak(self, prompts: Sequence[Record]) -> list[Record]:
        """Say something to each prompt, as audio tokens."""
        plan = self.pipeline.plan_sound(Sampling(seed=self.seed, batch_size=MIXED_BATCH))
        return [record for record in self._run(plan, prompts) if record is not None]

    def play(self, record: Record) -> np.ndarray:
        """Decode the sound of a record's last segment, float32 [T]."""
        sound: Any = self.pipeline.decode(record)
        return np.concatenate([piece[0] for piece in sound.pieces])

    # ---- the image tokenizer and the refiner alone

    def encode(self, pictures: Iterable[np.ndarray]) -> list[Record]:
        """Tokenize pictures uint8 [H, W, 3]."""
        return [self.pipeline.pictures.encode(picture) for picture in pictures]

    def decode(self, records: Iterable[Record]) -> np.ndarray:
        """Decode image tokens or pixels of one size, uint8 [N, H, W, 3]."""
        return np.stack(cast(list[np.ndarray], [self.pipeline.decode(record) for record in records]))

    def reconstruct(self, pictures: Iterable[np.ndarray]) -> np.ndarray:
        """Send pictures uint8 [N, H, W, 3] through the image tokenizer and back."""
        return self.decode(self.encode(pictures))

    def denoise(self, record: Record) -> Record:
        """Sharpen image tokens into pixels."""
        return next(self.pipeline.refining.denoise([record]))

    def upsample(self, record: Record, scale: int) -> Record:
        """Enlarge pixels."""
        return next(self.pipeline.refining.upsample([record], scale))


def stack_codes(records: Iterable[Record]) -> np.ndarray:
    """Stack the image tokens of records, [N, rows, cols]."""
    found = [record.find("image") for record in records]
    return np.stack([segment.data for segment in found if segment is not None])
