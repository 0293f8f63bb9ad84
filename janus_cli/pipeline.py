"""The stages chained in one process, on one model: what `janus draw` calls, and the Python API.

    from janus_cli.pipeline import DrawOptions, load

    pipeline = load("pocket")
    for record in pipeline.draw(["a red apple"], DrawOptions(seed=7)):
        picture = pipeline.decode(record)  # uint8 [H, W, 3]

Loads a component when a stage first needs it. Opens weight files; no other file, no standard stream.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from janus_cli import __version__, zoo
from janus_cli.errors import ModelError, RecordError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.nets.decoder import Decoder
    from janus_cli.nets.dvae import DVAE
    from janus_cli.nets.refiner import Refiner
    from janus_cli.records import Record, Segment
    from janus_cli.stages.generate import GenerateOptions, Identity
    from janus_cli.stages.text import TextTokenizer

Progress = Callable[[int], None]  # called with each number of newly generated tokens


@dataclass(frozen=True)
class DrawOptions:
    """How to draw. None means the model's own default."""

    n: int = 1  # pictures for each prompt
    seed: int = 0
    cfg_scale: float | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    steps: int | None = None  # of the denoiser
    scale: int | None = None  # 1, 2 or 4
    batch_size: int = 8  # pictures generated together; changes no picture


class Pipeline:
    """One model on one device. Every stage takes records and gives records, lazily."""

    def __init__(self, model: zoo.Model, device: str | Callable[[], str] = "cpu") -> None:
        """`device`: a torch device's name, or what gives it when the first net is loaded."""
        self.model = model
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

    @cached_property
    def dvae(self) -> "DVAE":
        """The image tokenizer."""
        from janus_cli.nets.dvae import DVAE

        return self._load("dvae", DVAE)

    @cached_property
    def decoder(self) -> "Decoder":
        """The shared autoregressive decoder."""
        from janus_cli.nets.decoder import Decoder

        return self._load("decoder", Decoder)

    @cached_property
    def refiner(self) -> "Refiner":
        """Denoiser and upsampler."""
        from janus_cli.nets.refiner import Refiner

        return self._load("refiner", Refiner)

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

        return encode_image(image, self.dvae, self.model.name, self.model.codebook_fingerprint,
                            id=id, source=source)

    def generate(self, records: Iterable["Record | None"], options: "GenerateOptions | None" = None,
                 progress: Progress | None = None) -> Iterator["Record"]:
        """For each prompt `options.n` records of one new image segment; None only holds a place."""
        from janus_cli.stages.generate import generate

        chosen = options or self.generate_options(DrawOptions())
        return generate(records, self.decoder, chosen, self._identity, progress)

    def check_prompt(self, record: "Record", options: "GenerateOptions") -> None:
        """Raise what `generate` would say of this prompt: too long, another model's tokens."""
        from janus_cli.stages.generate import check_prompt

        check_prompt(record, self.decoder, options, self._identity)

    @cached_property
    def _identity(self) -> "Identity":
        from janus_cli.stages.generate import Identity

        return Identity(self.model.name, self.model.text_fingerprint, self.model.codebook_fingerprint)

    def denoise(self, records: Iterable["Record"], steps: int | None = None) -> Iterator["Record"]:
        """Each record with a sharpened `pixels` segment after its image tokens."""
        from janus_cli.stages.denoise import DenoiseOptions, denoise

        options = DenoiseOptions(self.refiner.cfg.steps if steps is None else steps)
        return denoise(map(self.checked, records), self.dvae, self.refiner, options)

    def upsample(self, records: Iterable["Record"], scale: int | None = None) -> Iterator["Record"]:
        """Each record with its pixels enlarged `scale` times: 1 (as they are), 2 or 4."""
        from janus_cli.stages.upsample import UpsampleOptions, upsample

        options = UpsampleOptions(self.model.config.generation.upsample if scale is None else scale)
        return upsample(map(self.checked, records), self.dvae, self.refiner, options)

    def decode(self, record: "Record") -> "np.ndarray | str":
        """What the record's last segment shows: a picture, uint8 [H, W, 3], or a text.

        Raises RecordError for a record that has neither, ModelError for another model's tokens.
        """
        if not record.segments:
            raise RecordError("the record is empty: nothing to decode")
        segment = record.segments[-1]
        if segment.modality == "pixels":
            from janus_cli.media import cut_to_size, pixels_to_image

            return cut_to_size(pixels_to_image(segment.data), segment.info.get("size"))
        if segment.modality == "text":
            return self.text.decode(segment)
        if segment.modality == "image":
            from janus_cli.stages.image import decode_image

            self.check(record)
            return decode_image(segment, self.dvae)
        raise RecordError(f"model {self.model.name} decodes text and pictures, not {segment.modality}")

    def draw(self, prompts: Iterable[str | None], options: DrawOptions = DrawOptions(),
             progress: Progress | None = None) -> Iterator["Record"]:
        """Every stage from prompt to pixels: `options.n` records a prompt, in order; none for a None."""
        records = (p if p is None else self.tokenize(p, str(i)) for i, p in enumerate(prompts))
        images = self.generate(records, self.generate_options(options), progress)
        return self.upsample(self.denoise(images, options.steps), options.scale)

    # ---- options and checks

    def generate_options(self, options: DrawOptions) -> "GenerateOptions":
        """The sampling options of `options`, completed with the model's defaults."""
        from janus_cli.stages.generate import GenerateOptions

        ours = self.model.config.generation
        words = ("cfg_scale", "temperature", "top_k", "top_p")
        chosen = {w: getattr(options, w) if getattr(options, w) is not None else getattr(ours, w)
                  for w in words}
        return GenerateOptions(to="image", n=options.n, seed=options.seed, grid=ours.grid,
                               batch_size=options.batch_size, **chosen)

    def scale_for(self, size: int) -> int:
        """The scale that makes generated pictures `size` pixels high. Raises UsageError if none does."""
        config = self.model.config
        if config.dvae is None:
            raise ModelError(f"model {config.name} makes no pictures")
        base = config.generation.grid[0] * config.dvae.patch
        if size not in (base, 2 * base, 4 * base):
            sizes = f"{base}, {2 * base} or {4 * base}"
            raise UsageError(f"size {size}: model {self.model.name} draws {sizes} pixels")
        return size // base

    def checked(self, record: "Record") -> "Record":
        """`record` itself. Raises as `check` does."""
        self.check(record)
        return record

    def check(self, record: "Record") -> None:
        """Raise ModelError for tokens of another codebook, RecordError for ids that this one has not."""
        from janus_cli.records import check_ids

        for segment in record.segments:
            if segment.modality == "image" and self.model.config.dvae is not None:
                self._check_fingerprint(segment, self.model.codebook_fingerprint)
                check_ids(segment, self.model.config.dvae.codebook_size)
            elif segment.modality == "text":
                self._check_fingerprint(segment, self.model.text_fingerprint)

    def _check_fingerprint(self, segment: "Segment", ours: str) -> None:
        theirs = segment.info.get("fingerprint", ours)
        if theirs != ours:
            whose = segment.info.get("tokenizer", "an unnamed tokenizer")
            raise ModelError(f"the {segment.modality} tokens are of {whose} ({theirs[:12]}), model "
                             f"{self.model.name} has {ours[:12]}: choose the right one with --model")


def load(model: str = zoo.DEFAULT, device: str = "cpu") -> Pipeline:
    """The model of that name, or in that folder, ready to use. Raises ModelError if there is none."""
    return Pipeline(zoo.find(model), device)


def parameters(record: "Record") -> dict[str, str]:
    """What made a picture, as the texts that are stored in its file: prompt, model, seed, options, tokens.

    `tokens` is the sha256 of the image ids in raster order, little-endian, as on the wire.
    """
    steps = [step for step in record.made_by if step.get("stage") == "generate"]
    image = record.find("image")
    known: dict[str, Any] = {"made_by": list(record.made_by), "version": __version__}
    for word in ("model", "seed", "index"):
        if steps and word in steps[-1]:
            known[word] = steps[-1][word]
    if image is not None:
        known["tokens"] = token_hash(image)
    texts = {"Software": "janus-cli", "janus": json.dumps(known, sort_keys=True, ensure_ascii=False)}
    return {"prompt": record.prompt, **texts} if record.prompt else texts


def token_hash(segment: "Segment") -> str:
    """sha256 of a segment's ids as they lie on the wire (C order, little-endian), as hex digits."""
    data = segment.data
    return hashlib.sha256(data.astype(data.dtype.newbyteorder("<")).tobytes()).hexdigest()

