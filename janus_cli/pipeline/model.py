"""The stages chained in one process, on one model: what `janus draw` calls, and the Python API.

    from janus_cli.pipeline import DrawOptions, load

    pipeline = load("pocket")
    for record in pipeline.draw(["a red apple"], DrawOptions(seed=7)):
        picture = pipeline.decode(record)  # uint8 [H, W, 3]

Loads a component when a stage first needs it. Opens weight files; no other file, no standard stream.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from janus_cli import zoo
from janus_cli.config import JanusProConfig, PublishedConfig
from janus_cli.errors import MediaError, ModelError, RecordError, UsageError
from janus_cli.pipeline import options as choices
from janus_cli.pipeline.drawing import Drawing
from janus_cli.pipeline.options import DrawOptions as DrawOptions
from janus_cli.weights import published as parts

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.media.sounds import Sound
    from janus_cli.nets.decoder import Decoder
    from janus_cli.nets.dvae import DVAE
    from janus_cli.nets.janus_pro import JanusPro
    from janus_cli.nets.vq16 import VQ16
    from janus_cli.records import Record, Segment
    from janus_cli.stages.decoding.segments import Identity
    from janus_cli.stages.generate import GenerateOptions
    from janus_cli.stages.text import TextTokenizer

Progress = Callable[[int], None]  # called with each number of newly generated tokens


class Pipeline(Drawing):
    """One model on one device. Every stage takes records and gives records, lazily."""

    def __init__(
        self, model: zoo.Model, device: str | Callable[[], str] = "cpu", dtype: str = "auto"
    ) -> None:
        """`device`: a torch device's name, or what gives it when the first net is loaded.

        `dtype`: fp32, bf16 or auto (bf16 on a GPU where the model is a published one). Raises UsageError
        for bf16 where the model is not.
        """
        self.model = model
        self.published = model.config.janus_pro if isinstance(model.config, PublishedConfig) else None
        if dtype == "bf16" and self.published is None:
            raise UsageError(f"model {model.name} computes in fp32: leave --dtype away")
        self._dtype = dtype
        self._device = device

    @cached_property
    def device(self) -> str:
        """The torch device that the nets are on."""
        return self._device if isinstance(self._device, str) else self._device()

    # ---- components, each loaded when it is first used; ModelError names what is missing or does not fit

    @cached_property
    def text(self) -> "TextTokenizer":
        """The text tokenizer (no torch)."""
        from janus_cli.stages.text import TextTokenizer

        return TextTokenizer(self.model.tokenizer_file, self.model.name)

    @property
    def dtype(self) -> str:
        """What the nets compute in, fp32 or bf16."""
        return choices.dtype_for(self.model, self._dtype, self.device)

    @cached_property
    def _parts(self) -> parts.PublishedNet:
        return parts.PublishedNet(self.model.path, cast(JanusProConfig, self.published))

    def _filled(self, names: tuple[str, ...]) -> "JanusPro":
        """The published net with these parts loaded."""
        import torch

        return self._parts.fill(names, self.device, torch.bfloat16 if self.dtype == "bf16" else torch.float32)

    @cached_property
    def dvae(self) -> "DVAE | VQ16":
        """The image tokenizer."""
        if self.published is not None:
            return self._filled(parts.TOKENIZE).gen_vision_model
        from janus_cli.nets.dvae import DVAE

        return self._load("dvae", DVAE)

    @cached_property
    def decoder(self) -> "Decoder | JanusPro":
        """The shared autoregressive decoder."""
        if self.published:
            return self._filled(parts.GENERATE)
        from janus_cli.nets.decoder import Decoder

        return self._load("decoder", Decoder)

    def _load(self, component: str, net: Callable[[Any], Any]) -> Any:
        from janus_cli import weights

        file = self.model.file(component)
        return weights.load(net(getattr(self.model.config, component)), file, device=self.device)

    # ---- stages

    def tokenize(self, text: str, id: str = "") -> "Record":
        """A prompt as a record with one text segment."""
        return self.text.encode(text, id)

    def encode(self, image: "np.ndarray", id: str = "", source: str = "") -> "Record":
        """A picture, uint8 [H, W, 3], as a record with one image segment."""
        from janus_cli.stages.image import encode_image

        if self.published is not None and image.shape[:2] != (side := self.published.vision.image_size, side):
            found = f"{image.shape[1]} x {image.shape[0]}"
            raise MediaError(
                f"{source or 'picture'}: {found} pixels, but model {self.model.name} has tokens "
                f"for {side} x {side} alone: crop or resize it first"
            )
        return encode_image(
            image, self.dvae, self.model.name, self.codebook_fingerprint, id=id, source=source
        )

    def generate(
        self,
        records: Iterable["Record | None"],
        options: "GenerateOptions | None" = None,
        progress: Progress | None = None,
        stream: bool = False,
    ) -> Iterator["Record"]:
        """For each prompt `options.n` records of one new segment, after words where a prompt had none.

        None only holds a place. `stream`: pictures come in parts, row by row, before they come whole.
        """
        from janus_cli.stages.generate import generate

        chosen = options or self.generate_options(DrawOptions())
        prompts = self.prompts  # before the weights, which take long: here a tokenizer may prove unfit
        if chosen.to == "text" and prompts is not None and not stream:
            from janus_cli.stages.describe import answers

            net = self._filled(parts.UNDERSTAND)
            return answers(
                records, net, self._asked, self._picture, prompts.end, chosen, self._identity, progress
            )
        return generate(
            records,
            self.decoder,
            chosen,
            self._identity,
            progress,
            prompts,
            self._eyes,
            lambda ids: self.text.words(ids),
            stream,
        )

    def check_prompt(self, record: "Record", options: "GenerateOptions") -> None:
        """Raise what `generate` would say of this prompt: too long, another model's tokens.

        And UsageError for an empty one, of which it would make anything at all. A published model's weights
        are not read for it.
        """
        from janus_cli.stages.describe import check_length
        from janus_cli.stages.generate import check_prompt

        if not any(segment.data.size for segment in record.segments):
            who = f"record {record.id!r}: " if record.id else ""
            raise UsageError(f"{who}an empty prompt: it holds no words, no picture and no sound")
        if options.to == "text" and self.published is not None:
            return check_length(self._parts.net, self._asked(record))
        net = self.decoder if self.published is None else self._parts.net
        return check_prompt(record, net, options, self._identity, self.prompts, self._eyes)

    @cached_property
    def _identity(self) -> "Identity":
        from janus_cli.stages.decoding.segments import Identity

        draws = self.published is not None or self.model.config.dvae is not None
        book = self.codebook_fingerprint if draws else None
        ours = (self.model.name, self.model.text_fingerprint, book)
        if not choices.hears(self.model):
            return Identity(*ours)
        return Identity(*ours, self.codec_fingerprint, self.model.config.codec)

    @cached_property
    def codebook_fingerprint(self) -> str:
        """sha256 of the image codebook, as records carry it."""
        if self.published is None:
            return self.model.codebook_fingerprint
        return zoo.fingerprint(self._parts.tensor(parts.CODEBOOK).float().numpy())

    def decode(self, record: "Record") -> "np.ndarray | str | Sound":
        """What the record's last segment holds: a picture, uint8 [H, W, 3], a text, or a sound.

        Raises RecordError for a record without segments, ModelError for another model's tokens.
        """
        if not record.segments:
            raise RecordError("the record is empty: nothing to decode")
        segment = record.segments[-1]
        if segment.modality == "text":
            return self.text.decode(segment)
        if segment.modality in ("audio", "waveform"):
            return self._sound(segment)
        if segment.modality == "image":
            self.check(record)
        return self._picture(segment)

    def _picture(self, segment: "Segment") -> "np.ndarray":
        """The picture that a checked segment shows, uint8 [H, W, 3]."""
        if segment.modality == "pixels":
            from janus_cli.media.pictures import cut_to_size, pixels_to_image

            return cut_to_size(pixels_to_image(segment.data), segment.info.get("size"))
        if segment.modality == "image":
            from janus_cli.stages.image import decode_image

            return decode_image(segment, self.dvae)
        raise RecordError(f"a {segment.modality} segment is no picture")

    def speak(
        self, texts: Iterable[str | None], options: "GenerateOptions", progress: Progress | None = None
    ) -> Iterator["Record"]:
        """Each text as `options.n` records of audio tokens, for `decode`, in order; none for a None."""
        records = (t if t is None else self.tokenize(t, str(i)) for i, t in enumerate(texts))
        return self.generate(records, options, progress)

    # ---- options and checks

    def generate_options(self, options: DrawOptions) -> "GenerateOptions":
        """The sampling options of `options` for pictures, completed with the model's defaults."""
        return choices.for_pictures(self.model, options)

    def check(self, record: "Record") -> "Record":
        """`record` itself. ModelError for another codebook's tokens, RecordError for ids or grids beyond."""
        for segment in record.segments:
            self._check_segment(segment)
        return record

    def _check_segment(self, segment: "Segment") -> None:
        from janus_cli.records import check_ids

        book = self.published.vq if self.published is not None else self.model.config.dvae
        if segment.modality == "text":
            self._check_fingerprint(segment, self.model.text_fingerprint)
        elif segment.modality == "audio":
            self._check_audio(segment)
        elif segment.modality == "image" and book is not None:
            self._check_fingerprint(segment, self.codebook_fingerprint)
            check_ids(segment, book.codebook_size)
            if self.published is not None and segment.data.shape != self.published.grid:
                raise RecordError(
                    f"{list(segment.data.shape)} image tokens: model {self.model.name} has "
                    f"pictures of {list(self.published.grid)} alone"
                )

    def _check_fingerprint(self, segment: "Segment", ours: str) -> None:
        theirs = segment.info.get("fingerprint", ours)
        if theirs != ours:
            whose = segment.info.get("tokenizer", "an unnamed tokenizer")
            raise ModelError(
                f"the {segment.modality} tokens are of {whose} ({theirs[:12]}), model "
                f"{self.model.name} has {ours[:12]}: choose the right one with --model"
            )


def load(model: str = zoo.DEFAULT, device: str = "cpu") -> Pipeline:
    """The model of that name, or in that folder, ready to use. Raises ModelError if there is none."""
    return Pipeline(zoo.find(model), device)
