"""The networks of a model of ours: decoder, image tokenizer and vision encoder."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

from janus_cli import weights, zoo
from janus_cli.errors import MediaError, ModelError, UsageError
from janus_cli.pipeline.nets import refuse_sounds
from janus_cli.pipeline.options import MAX_SIDE, Sampling, Size, check_size, complete
from janus_cli.pipeline.tokenizers import Pictures
from janus_cli.plugins import BUILT_IN

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from janus_cli.nets.decoder import Decoder
    from janus_cli.nets.siglip import VisionTower
    from janus_cli.records import Segment
    from janus_cli.stages.decoding.layout import Eyes
    from janus_cli.stages.decoding.options import GenerateOptions
    from janus_cli.stages.decoding.segments import Identity
    from janus_cli.stages.generate import Generate
    from janus_cli.stages.page import Page
    from janus_cli.stages.text import TextTokenizer

MAX_WORDS = 64  # of a text
BEAMS = 4  # tries at it, where it is not drawn
MAX_SECONDS = 10.0  # of speech
LOOKS = 64  # pictures that are rated together


class OwnNets:
    """Our own nets behind the face that `pipeline.nets.Nets` describes, and where its methods are."""

    refines = True
    takes_questions = False

    def __init__(
        self, model: zoo.Model, device: Callable[[], str], text: "Callable[[], TextTokenizer]", dtype: str
    ) -> None:
        """Raises UsageError for a `dtype` that they do not compute in."""
        if dtype == "bf16":
            raise UsageError(f"model {model.name} computes in fp32: leave --dtype away")
        self._model, self._device, self._text = model, device, text
        self.pictures = Pictures(
            model.name,
            model.config.dvae,
            lambda: weights.load_component(model, "dvae", device),
            lambda: model.codebook_fingerprint,
        )

    @cached_property
    def decoder(self) -> "Decoder":
        """The shared autoregressive decoder. Raises ModelError where there is none."""
        net: Decoder = weights.load_component(self._model, "decoder", self._device)
        return net

    @cached_property
    def vision(self) -> "VisionTower":
        """The vision encoder. Raises ModelError where there is none."""
        net: VisionTower = weights.load_component(self._model, "vision", self._device)
        return net

    def pick_dtype(self, device: str) -> str:
        """Give fp32, in which they were trained; most CPUs multiply bf16 slowly."""
        return "fp32"

    # ---- what the decoder takes and makes

    def _has(self, modality: str) -> bool:
        decoder = self._model.config.decoder
        return decoder is not None and modality in decoder.modalities

    @property
    def _sees(self) -> bool:
        return self._has("sight") and self._model.config.vision is not None

    @property
    def rates(self) -> bool:
        """Whether it says how well a picture shows what words say: where it sees, it describes."""
        return self._sees

    @property
    def _hears(self) -> bool:
        return self._has("audio") and self._model.config.codec is not None

    @property
    def _room(self) -> float:
        """How many new tokens follow the shortest prompt."""
        decoder = self._model.config.decoder
        return math.inf if decoder is None else decoder.max_seq_len - 2

    def _check_writes(self) -> None:
        decoder = self._model.config.decoder
        others = set(decoder.modalities) - {*BUILT_IN, "sight"} if decoder is not None else set()
        if not (self._sees or self._hears or (self._has("text") and others)):
            raise UsageError(
                f"model {self._model.name} writes no text: its decoder neither sees nor hears: "
                f"name one that does ({zoo.SENSES}), or a Janus-Pro checkpoint, with --model"
            )

    def check_describes(self) -> None:
        self._check_writes()
        if not self._sees:
            raise UsageError(
                f"model {self._model.name} describes no pictures: its decoder has no sight: name one that "
                f"has ({zoo.SENSES}), or a Janus-Pro checkpoint, with --model"
            )

    def check_asked(self) -> NoReturn:
        """Raise UsageError: no model of ours was trained to answer questions."""
        self.check_describes()
        raise UsageError(
            f"model {self._model.name} answers no questions: it was trained to describe, never on "
            "questions: leave --prompt away, or name a Janus-Pro checkpoint with --model"
        )

    def check_hears(self) -> None:
        if not self._hears:
            refuse_sounds(self._model.name)

    def check_sound(self, seconds: float, options: "GenerateOptions") -> None:
        """Raise UsageError for a sound that is too long, MediaError for one of no length.

        Preparing a prompt says the same, once the sound has been tokenized, which takes a while.
        """
        self.check_hears()
        decoder, codec = self._model.config.decoder, self._model.config.codec
        assert decoder is not None and codec is not None, "check_hears has looked"
        if not seconds:
            raise MediaError("a sound of no length: there is nothing to hear")
        most = max(decoder.max_seq_len - options.max_tokens - 1, 0) / codec.frame_rate
        if seconds > most + 1 / codec.frame_rate:
            raise UsageError(
                f"a sound of {seconds:.1f} s is too long: model {self._model.name} hears at most "
                f"{most:.1f} s at once, beside {options.max_tokens} new tokens: cut it"
            )

    def rate(self, pictures: "Sequence[np.ndarray]", wordings: Sequence[str]) -> list[float]:
        """Rate pictures as `Nets.rate` says; a description names the style behind a comma."""
        import torch

        from janus_cli.stages.choose import rate_pictures
        from janus_cli.stages.describe import see

        self.check_describes()
        vision, text = self._model.config.vision, self._text()
        assert vision is not None, "check_describes has looked"
        ids, scores = [text.encode_ids(f"{wording},") for wording in wordings], list[float]()
        for start in range(0, len(pictures), LOOKS):
            part = pictures[start : start + LOOKS]
            features = torch.stack([see(picture, self.vision, vision) for picture in part])
            scores += rate_pictures(features, ids, self.decoder)
        return scores

    # ---- options, completed

    def count_beams(self, given: Sampling) -> int:
        return BEAMS if given.beams is None else given.beams

    def complete_text(self, given: Sampling, max_tokens: int | None) -> "GenerateOptions":
        """Complete the options for words: the likeliest ones where nothing is said.

        Raises UsageError for beams too, where words are drawn.
        """
        self._check_writes()
        if max_tokens is not None and max_tokens > (most := self._room):
            raise UsageError(
                f"{max_tokens} tokens are too long: model {self._model.name} writes {most} at most"
            )
        beams = 1 if given.temperature and given.beams is None else self.count_beams(given)
        return complete("text", given, beams, max_tokens=MAX_WORDS if max_tokens is None else max_tokens)

    def complete_sound(self, given: Sampling, seconds: float | None) -> "GenerateOptions":
        self.check_hears()
        ours, codec = self._model.config.generation, self._model.config.codec
        assert codec is not None, "check_hears has looked"
        frames = math.ceil((MAX_SECONDS if seconds is None else seconds) * codec.frame_rate)
        if seconds is not None and frames > self._room:
            most = self._room / codec.frame_rate
            raise UsageError(
                f"{seconds:g} s are too long: model {self._model.name} says {most:.1f} s at most"
            )
        beams = self.count_beams(given)
        return complete("audio", given, beams, temperature=ours.speech_temperature, max_tokens=frames)

    def lay_page(self, size: Size) -> "Page | None":
        """Lay pictures out at the largest scale that leaves the short side as many tokens as were learned."""
        from janus_cli.stages.page import Page

        config, ours = self._model.config, self._model.config.generation
        if config.dvae is None or ours.grid[0] != ours.grid[1]:
            check_size(size, self._model.config.sizes, self._model.name)
            return None
        patch, short = config.dvae.patch, min(size.width, size.height)
        _check_sides(size, patch, min(config.sizes))
        scale = max(scale for side, scale in config.sizes.items() if side <= short)
        page = Page(size.width, size.height, scale, patch)
        return None if (page.grid, scale) == (ours.grid, ours.upsample) and page.is_whole else page

    # ---- the stage

    def open_stage(self, options: "GenerateOptions") -> "Generate":
        """Make the stage that generates with these options. Loads the decoder."""
        from janus_cli.stages.decoding.hearing import Ears
        from janus_cli.stages.decoding.prompt import Preparer
        from janus_cli.stages.generate import Generate

        ours = self._model.config.generation
        ears = Ears(ours.least_speech, ours.least_words)
        preparer = Preparer(self.decoder, options, self._identity, eyes=self._eyes, ears=ears)
        return Generate(preparer, lambda ids: self._text().spell(ids))

    def answer(
        self, images: "Sequence[np.ndarray]", question: str, options: "GenerateOptions"
    ) -> Iterator[str]:
        """Raise UsageError: no model of ours answers questions."""
        self.check_asked()

    @property
    def _identity(self) -> "Identity":
        from janus_cli.stages.decoding.segments import Identity

        model = self._model
        book = None if model.config.dvae is None else self.pictures.fingerprint
        if not self._hears:
            return Identity(model.name, model.text_fingerprint, book)
        return Identity(model.name, model.text_fingerprint, book, model.codec_fingerprint, model.config.codec)

    @property
    def _eyes(self) -> "Eyes | None":
        """How the decoder sees pictures; None where it does not.

        Raises ModelError where its vision encoder has features of another width.
        """
        from janus_cli.stages.decoding.layout import SIGHT, Eyes

        vision, decoder = self._model.config.vision, self._model.config.decoder
        if not self._sees or vision is None or decoder is None:
            return None
        if vision.dim != (taken := decoder.modalities[SIGHT].feature_dim):
            raise ModelError(
                f"model {self._model.name}: its vision encoder gives features of {vision.dim} "
                f"numbers, its decoder takes {taken}: mend its config.json"
            )

        def see(segment: "Segment") -> "Tensor":
            from janus_cli.stages.describe import see as encode

            self.pictures.check(segment)
            return encode(self.pictures.decode(segment), self.vision, vision)

        return Eyes(vision.n_token, see)


def _check_sides(size: Size, patch: int, least: int) -> None:
    """Raise UsageError for sides that are no multiples of `patch` from `least` to MAX_SIDE."""

    def near(up: int) -> Size:
        sides = ((side + up * (patch - 1)) // patch * patch for side in (size.width, size.height))
        return Size(*(min(max(side, least), MAX_SIDE) for side in sides))

    if min(size.width, size.height) < least:
        raise UsageError(f"--size {size}: too small: each side needs at least {least} pixels")
    if max(size.width, size.height) > MAX_SIDE:
        raise UsageError(f"--size {size}: too large: each side has at most {MAX_SIDE} pixels")
    if size.width % patch or size.height % patch:
        raise UsageError(f"--size {size}: choose multiples of {patch}, such as {near(0)} or {near(1)}")
