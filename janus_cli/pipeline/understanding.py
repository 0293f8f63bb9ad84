"""The part of a pipeline that understands: the vision encoder, and the questions of published models."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from janus_cli.config import JanusProConfig
from janus_cli.errors import ModelError
from janus_cli.pipeline import options as choices
from janus_cli.pipeline.sounds import AudioPipeline
from janus_cli.weights import published as parts

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from janus_cli.nets.janus_pro import JanusPro
    from janus_cli.nets.siglip import VisionTower
    from janus_cli.records import Record, Segment
    from janus_cli.stages.decoding.layout import Eyes
    from janus_cli.stages.decoding.templates import Prompts, Question
    from janus_cli.stages.generate import GenerateOptions
    from janus_cli.stages.text import TextTokenizer


class Understanding(AudioPipeline):
    """What `Pipeline` does to see and to be asked. It gives the loading, the text and the pictures."""

    published: JanusProConfig | None
    _filled: Callable[[tuple[str, ...]], "JanusPro"]
    _check_segment: Callable[["Segment"], None]
    _picture: Callable[["Segment"], "np.ndarray"]

    @property
    @abstractmethod
    def text(self) -> "TextTokenizer":
        """The text tokenizer (no torch)."""

    @property
    @abstractmethod
    def _parts(self) -> parts.PublishedNet:
        """The weights of a published model, part by part."""

    @cached_property
    def vision(self) -> "VisionTower":
        """The vision encoder of one of our own models. Raises ModelError where there is none."""
        from janus_cli.nets.siglip import VisionTower

        return self._load("vision", VisionTower)

    @property
    def _eyes(self) -> "Eyes | None":
        """How the decoder sees pictures; None where it does not, or is a published one.

        Raises ModelError where its vision encoder has features of another width.
        """
        from janus_cli.stages.decoding.layout import SIGHT, Eyes

        vision, decoder = self.model.config.vision, self.model.config.decoder
        if not choices.sees(self.model) or vision is None or decoder is None:
            return None
        if vision.dim != (taken := decoder.modalities[SIGHT].feature_dim):
            raise ModelError(
                f"model {self.model.name}: its vision encoder gives features of {vision.dim} "
                f"numbers, its decoder takes {taken}: mend its config.json"
            )
        return Eyes(vision.n_token, self._see)

    def _see(self, segment: "Segment") -> "Tensor":
        """Features [n_token, dim] of an image or pixels segment."""
        from janus_cli.stages.describe import see

        self._check_segment(segment)
        config: Any = self.model.config.vision
        return see(self._picture(segment), self.vision, config)

    def shown(self, image: "np.ndarray", id: str = "", source: str = "") -> "Record":
        """A picture uint8 [H, W, 3] as a record of its pixels: a prompt of a model that sees."""
        from janus_cli.records import Record, Segment

        note = {"modality": "pixels"} | ({"source": source} if source else {})
        return Record((Segment("pixels", image[:, :, None, None]),), id).with_step("tokenize", None, **note)

    # ---- published models

    @cached_property
    def prompts(self) -> "Prompts | None":
        """A published model's templates. Raises ModelError where its tokenizer has no special tokens."""
        from janus_cli.stages.decoding.templates import Prompts

        return None if self.published is None else Prompts(self.text)

    @property
    def _templates(self) -> "Prompts":
        choices.check_asked(self.model)
        return cast("Prompts", self.prompts)

    @property
    def _picture_tokens(self) -> int:
        return cast(JanusProConfig, self.published).vision.n_token

    def _asked(self, record: "Record") -> "Question":
        """The question that `record` asks of a published model."""
        question = self._templates.asked(record, self._picture_tokens)
        for segment in question.pictures:
            self._check_segment(segment)
        return question

    def describe(
        self, images: "Sequence[np.ndarray]", question: str, options: "GenerateOptions"
    ) -> Iterator[str]:
        """The answer to a question about pictures, piece by piece. Raises UsageError for our own models."""
        from janus_cli.stages.describe import answer, check_length, spoken

        asked = self._templates.question([*[None] * len(images), question], self._picture_tokens)
        check_length(self._parts.net, asked)  # before its weights are read
        net, end = self._filled(parts.UNDERSTAND), self._templates.end
        yield from spoken(answer(net, images, asked, end, options), self.text.words)
