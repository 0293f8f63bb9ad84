"""The networks of a published Janus-Pro checkpoint, each part filled when it is first needed."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from janus_cli import zoo
from janus_cli.config import JanusProConfig
from janus_cli.errors import UsageError
from janus_cli.pipeline.nets import refuse_sounds
from janus_cli.pipeline.options import Sampling, Size, check_size, complete
from janus_cli.pipeline.tokenizers import Pictures
from janus_cli.stages.wording import clean_prompt
from janus_cli.weights.published import CODEBOOK, GENERATE, TOKENIZE, UNDERSTAND, PublishedNet

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.nets.janus_pro import JanusPro
    from janus_cli.records import Record
    from janus_cli.stages.decoding.options import GenerateOptions
    from janus_cli.stages.decoding.segments import Identity
    from janus_cli.stages.decoding.templates import Question, Templates
    from janus_cli.stages.describe import Answer
    from janus_cli.stages.generate import Generate
    from janus_cli.stages.text import TextTokenizer

MAX_TOKENS = 512  # of an answer, where nothing is said


class JanusProNets:
    """Published nets behind the face that `pipeline.nets.Nets` describes, and where its methods are."""

    refines = False
    takes_questions = True
    rates = False

    def __init__(
        self,
        model: zoo.Model,
        config: JanusProConfig,
        device: Callable[[], str],
        text: "Callable[[], TextTokenizer]",
        dtype: str,
    ) -> None:
        self.config, self._model = config, model
        self._device, self._text, self._dtype = device, text, dtype
        self.pictures = Pictures(
            model.name,
            config.vq,
            lambda: self.fill(TOKENIZE).gen_vision_model,
            lambda: zoo.fingerprint(self.parts.tensor(CODEBOOK).float().numpy()),
            config.grid,
        )

    def pick_dtype(self, device: str) -> str:
        """Give what was asked for, else bf16 on a GPU and fp32 elsewhere."""
        if self._dtype != "auto":
            return self._dtype
        return "fp32" if device == "cpu" else "bf16"

    @cached_property
    def parts(self) -> PublishedNet:
        """The checkpoint: its net, hollow until parts of it are filled."""
        return PublishedNet(self._model.path, self.config, self._model.name)

    def fill(self, parts: tuple[str, ...]) -> "JanusPro":
        """Load these parts of the net, if they are not yet; gives the net."""
        import torch

        device = self._device()
        dtype = torch.bfloat16 if self.pick_dtype(device) == "bf16" else torch.float32
        return self.parts.fill(parts, device, dtype)

    @cached_property
    def templates(self) -> "Templates":
        """The prompts' templates. Raises ModelError where the tokenizer has no special tokens."""
        from janus_cli.stages.decoding.templates import Templates

        return Templates(self._text())

    # ---- what the model takes and makes

    def rate(self, pictures: "Sequence[np.ndarray]", wordings: Sequence[str]) -> NoReturn:
        """Raise UsageError: what such a model says of a picture are sentences of its own."""
        raise UsageError(
            f"--best-of: model {self._model.name} chooses no picture: how well one shows a prompt is told by "
            f"{zoo.SENSES} alone, of drawings: leave it away, or draw with {zoo.DEFAULT}"
        )

    def check_describes(self) -> None:
        """Pass: every such model describes pictures."""

    def check_asked(self) -> None:
        """Pass: every such model answers questions."""

    def check_hears(self) -> NoReturn:
        """Raise UsageError: no such model makes sounds or takes them."""
        refuse_sounds(self._model.name)

    def check_sound(self, seconds: float, options: "GenerateOptions") -> NoReturn:
        self.check_hears()

    def count_beams(self, given: Sampling) -> int:
        if given.beams not in (None, 1):
            raise UsageError(f"model {self._model.name} writes word by word: leave --beams away")
        return 1

    def complete_text(self, given: Sampling, max_tokens: int | None) -> "GenerateOptions":
        """Complete the options for an answer, greedy where nothing is said; it ends where the room does."""
        most = MAX_TOKENS if max_tokens is None else max_tokens
        return complete("text", given, self.count_beams(given), max_tokens=most)

    def complete_sound(self, given: Sampling, seconds: float | None) -> NoReturn:
        self.check_hears()

    def lay_page(self, size: Size) -> None:
        """Raise UsageError for a size other than the model's one."""
        check_size(size, self._model.config.sizes, self._model.name)

    # ---- the stages

    def open_stage(self, options: "GenerateOptions") -> "Generate | Answer":
        """Make the stage that draws pictures or answers questions; preparing a prompt reads no weights."""
        if options.to == "text":
            return self._open_answers(options)
        from janus_cli.stages.decoding.prompt import Preparer
        from janus_cli.stages.generate import Generate

        preparer = Preparer(self.parts.net, options, self._identity, self.templates.lay_out)
        return Generate(preparer, begin=lambda: self.fill(GENERATE))

    def _open_answers(self, options: "GenerateOptions") -> "Answer":
        from janus_cli.stages.describe import Answer

        templates = self.templates  # before the weights, which take long: here a tokenizer may prove unfit
        return Answer(
            self.parts.net,
            options,
            self._identity,
            self._ask,
            self.pictures.decode,
            templates.end,
            begin=lambda: self.fill(UNDERSTAND),
        )

    def answer(
        self, images: "Sequence[np.ndarray]", question: str, options: "GenerateOptions"
    ) -> Iterator[str]:
        """Answer a question about pictures, piece by piece. Raises UsageError for one that is too long."""
        from janus_cli.stages.describe import spell_out

        stage = self._open_answers(options)
        parts = [*[None] * len(images), clean_prompt(question)]
        asked = stage.check(self.templates.put_question(parts, self.config.vision.n_token))
        yield from spell_out(stage.draw_ids(asked, images, options.seed), self._text().spell)

    def _ask(self, record: "Record") -> "Question":
        """Make the question that `record` asks, its image tokens checked."""
        question = self.templates.ask(record, self.config.vision.n_token)
        for segment in question.pictures:
            self.pictures.check(segment)
        return question

    @property
    def _identity(self) -> "Identity":
        from janus_cli.stages.decoding.segments import Identity

        model = self._model
        return Identity(model.name, model.text_fingerprint, self.pictures.fingerprint)
