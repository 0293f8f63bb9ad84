"""What the networks of a model can do: one face for our own and for published ones."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol

from janus_cli import zoo
from janus_cli.errors import UsageError
from janus_cli.pipeline.options import Sampling, Size
from janus_cli.pipeline.tokenizers import Pictures

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.stages.decoding.options import GenerateOptions
    from janus_cli.stages.describe import Answer
    from janus_cli.stages.generate import Generate
    from janus_cli.stages.page import Page

    GeneratingStage = Generate | Answer  # with `prepare` and a call that makes records


class Nets(Protocol):
    """A model's decoder and what belongs to it. Nothing is loaded before it is needed."""

    pictures: Pictures
    refines: bool  # whether pictures are denoised and enlarged after their tokens are decoded
    takes_questions: bool  # whether it answers one question about several pictures

    @property
    def rates(self) -> bool:
        """Whether it says how well a picture shows what words say."""

    def pick_dtype(self, device: str) -> str:
        """Give what the nets compute in on `device`, fp32 or bf16."""

    def complete_text(self, given: Sampling, max_tokens: int | None) -> "GenerateOptions":
        """Complete the options for words. Raises UsageError where the model writes none, or not as many."""

    def complete_sound(self, given: Sampling, seconds: float | None) -> "GenerateOptions":
        """Complete the options for at most `seconds` of sound. Raises UsageError where it cannot."""

    def count_beams(self, given: Sampling) -> int:
        """Give how many tries at the likeliest words there are. Raises UsageError where only 1 can be."""

    def lay_page(self, size: Size) -> "Page | None":
        """Give how pictures of `size` are laid out; None where the model draws that size by itself.

        Raises UsageError, naming what is near, for a size that cannot be.
        """

    def open_stage(self, options: "GenerateOptions") -> "GeneratingStage":
        """Make the stage that generates with these options; its nets are loaded as they are needed."""

    def rate(self, pictures: "Sequence[np.ndarray]", wordings: Sequence[str]) -> list[float]:
        """Rate pictures, uint8 [H, W, 3], by how likely one of the wordings is their description.

        Gives natural logarithms. Raises UsageError where it `rates` none.
        """

    def check_describes(self) -> None:
        """Raise UsageError where the model was not trained to put pictures into words."""

    def check_asked(self) -> None:
        """Raise UsageError where the model was not trained to answer questions."""

    def check_hears(self) -> None:
        """Raise UsageError where the model was not trained to make sounds and to take them."""

    def check_sound(self, seconds: float, options: "GenerateOptions") -> None:
        """Raise UsageError for a sound longer than the model hears beside `options.max_tokens` of words."""

    def answer(
        self, images: "Sequence[np.ndarray]", question: str, options: "GenerateOptions"
    ) -> Iterator[str]:
        """Answer a question about pictures, piece by piece. Raises UsageError where it answers none."""


def refuse_sounds(name: str) -> NoReturn:
    """Raise UsageError: the model of that name neither makes sounds nor takes them."""
    raise UsageError(
        f"model {name} neither speaks nor hears: its decoder knows no audio: name one that does "
        f"({zoo.SENSES}) with --model"
    )
