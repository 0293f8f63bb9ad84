"""Pictures and sounds as a model's tokens and back, and whose tokens a segment holds."""

from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from janus_cli import weights, zoo
from janus_cli.config import CodecConfig, DVAEConfig, ModelConfig, Progress, PublishedConfig, VQConfig
from janus_cli.errors import MediaError, ModelError, RecordError
from janus_cli.weights.published import load_codec
from janus_cli.zoo import encodec

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.media.sounds import Sound
    from janus_cli.nets.codec import Codec
    from janus_cli.nets.dvae import DVAE
    from janus_cli.nets.vq16 import VQ16
    from janus_cli.records import Record, Segment
    from janus_cli.stages.text import TextTokenizer


def check_fingerprint(segment: "Segment", ours: str, name: str) -> None:
    """Raise ModelError where a segment's tokens are not those of the tokenizer `ours` of model `name`."""
    theirs = segment.info.get("fingerprint", ours)
    if theirs != ours:
        whose = segment.info.get("tokenizer", "an unnamed tokenizer")
        raise ModelError(
            f"the {segment.modality} tokens are of {whose} ({theirs[:12]}), model "
            f"{name} has {ours[:12]}: choose the right one with --model"
        )


def open_text(file: Path, name: str, config: ModelConfig) -> "TextTokenizer":
    """Open the text tokenizer `file` of the model `name`.

    Raises ModelError where it is none, or has more ids than the decoder's table has entries.
    """
    from janus_cli.stages.text import TextTokenizer

    decoder = config.janus_pro.decoder if isinstance(config, PublishedConfig) else config.decoder
    text = TextTokenizer(file, name)
    table = decoder.modalities.get("text") if decoder is not None else None
    if table is not None and text.vocab_size > table.vocab_size:
        raise ModelError(
            f"{file}: its ids go up to {text.vocab_size - 1:,}, but the decoder's table has "
            f"{table.vocab_size:,} entries: they do not belong together"
        )
    return text


class Pictures:
    """A model's image tokenizer, loaded when a picture is first encoded or decoded."""

    def __init__(
        self,
        name: str,
        config: DVAEConfig | VQConfig | None,
        load: "Callable[[], DVAE | VQ16]",
        fingerprint: Callable[[], str],
        only: tuple[int, int] | None = None,
    ) -> None:
        """`name`: the model's; `config`: None where it has no tokenizer; `only`: the one grid it knows."""
        self._name, self.config, self._only = name, config, only
        self._load, self._fingerprint = load, fingerprint

    @cached_property
    def dvae(self) -> "DVAE | VQ16":
        """The net. Raises ModelError where the model has none."""
        return self._load()

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the codebook, as records carry it."""
        return self._fingerprint()

    def encode(self, image: "np.ndarray", id: str = "", source: str = "") -> "Record":
        """Encode a picture, uint8 [H, W, 3], as a record with one image segment. Raises MediaError."""
        from janus_cli.stages.image import encode_image

        if self._only is not None and self.config is not None:
            height, width = (n * self.config.patch for n in self._only)
            if image.shape[:2] != (height, width):
                raise MediaError(
                    f"{source or 'picture'}: {image.shape[1]} x {image.shape[0]} pixels, but model "
                    f"{self._name} has tokens for {width} x {height} alone: crop or resize it first"
                )
        return encode_image(image, self.dvae, self._name, self.fingerprint, id=id, source=source)

    def check(self, segment: "Segment") -> None:
        """Raise ModelError for another codebook's image tokens, RecordError for ids or grids beyond ours."""
        from janus_cli.records import check_ids

        if segment.modality != "image" or self.config is None:
            return
        check_fingerprint(segment, self.fingerprint, self._name)
        check_ids(segment, self.config.codebook_size)
        if self._only is not None and segment.data.shape != self._only:
            raise RecordError(
                f"{list(segment.data.shape)} image tokens: model {self._name} has "
                f"pictures of {list(self._only)} alone"
            )

    def decode(self, segment: "Segment") -> "np.ndarray":
        """Show a checked image or pixels segment as a picture, uint8 [H, W, 3]."""
        if segment.modality == "pixels":
            from janus_cli.media.pictures import cut_to_size, pixels_to_image

            return cut_to_size(pixels_to_image(segment.data), segment.info.get("size"))
        if segment.modality == "image":
            from janus_cli.stages.image import decode_image

            return decode_image(segment, self.dvae)
        raise RecordError(f"a {segment.modality} segment is no picture")


class Sounds:
    """A model's audio tokenizer, loaded when a sound is first encoded or decoded."""

    def __init__(self, model: zoo.Model, device: Callable[[], str]) -> None:
        self._model, self._device = model, device
        self.config: CodecConfig | None = model.config.codec
        # a published EnCodec, whose weights have other names than ours
        self._is_foreign = model.config.model_type == encodec.MODEL_TYPE

    @cached_property
    def codec(self) -> "Codec":
        """The net. Raises ModelError where the model has none."""
        if self.config is not None and self._is_foreign:
            return load_codec(self._model.path, self.config, self._device())
        net: Codec = weights.load_component(self._model, "codec", self._device)
        return net

    @cached_property
    def fingerprint(self) -> str:
        """sha256 of the codebooks, as records carry it."""
        if self._is_foreign:
            return zoo.fingerprint(self.codec.codebooks.float().cpu().numpy())
        return self._model.codec_fingerprint

    def check_bandwidth(self, bandwidth: float | None) -> None:
        """Raise UsageError for a bandwidth in kbit/s that the codec does not have."""
        from janus_cli.stages.audio import count_books

        count_books(self.codec.cfg, bandwidth)

    def encode(
        self,
        pieces: "Iterable[np.ndarray]",
        id: str = "",
        source: str = "",
        bandwidth: float | None = None,
        progress: Progress | None = None,
    ) -> "Record":
        """Encode a sound as a record with one audio segment; bandwidth: in kbit/s, None for all codebooks.

        The sound comes as float32 pieces [channels, samples] at the codec's rate (`media.sounds.fit` makes
        them so); `progress` is called with numbers of samples done.
        """
        from janus_cli.stages.audio import count_books, encode_audio

        n_q = count_books(self.codec.cfg, bandwidth)
        return encode_audio(
            pieces,
            self.codec,
            self._model.name,
            self.fingerprint,
            n_q=n_q,
            id=id,
            source=source,
            progress=progress,
        )

    def check(self, segment: "Segment") -> None:
        """Raise for another codec's tokens, and for ids beyond ours; pass where the model has no codec."""
        if self.config is not None and segment.modality == "audio":
            from janus_cli.stages.audio import check_audio

            check_fingerprint(segment, self.fingerprint, self._model.name)
            check_audio(segment, self.config)

    def decode(self, segment: "Segment") -> "Sound":
        """Decode an audio or waveform segment; the sound's pieces are computed as they are taken."""
        from janus_cli.media.sounds import Sound

        if segment.modality == "audio":
            from janus_cli.stages.audio import decode_audio

            self._model.file("codec")  # raises where there is none
            self.check(segment)
            return decode_audio(segment, self.codec)
        rate = segment.info.get("sample_rate")
        if type(rate) is not int or not 0 < rate < 1 << 24:
            raise RecordError(f"waveform segment: its sample_rate is {rate!r}: expected Hz")
        length = segment.info.get("num_samples", segment.data.shape[1])
        if type(length) is not int or not 0 <= length <= segment.data.shape[1]:
            raise RecordError(
                f"waveform segment: num_samples {length!r} does not fit its {segment.data.shape[1]} samples"
            )
        return Sound(rate, len(segment.data), length, iter([segment.data[:, :length]]))
