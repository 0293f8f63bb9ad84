"""The part of a pipeline that knows sounds: one model's codec, loaded when a stage first needs it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from janus_cli import zoo
from janus_cli.errors import RecordError
from janus_cli.weights import published as parts
from janus_cli.zoo import encodec

if TYPE_CHECKING:
    import numpy as np

    from janus_cli.media.sounds import Sound
    from janus_cli.nets.codec import Codec
    from janus_cli.records import Record, Segment


class AudioPipeline(ABC):
    """What `Pipeline` does with sounds. It gives the model, the device and the loading."""

    model: zoo.Model
    _load: Callable[[str, Callable[[Any], Any]], Any]
    _check_fingerprint: Callable[["Segment", str], None]

    @property
    @abstractmethod
    def device(self) -> str:
        """The torch device that the nets are on."""

    @cached_property
    def codec(self) -> "Codec":
        """The audio tokenizer."""
        from janus_cli.nets.codec import Codec

        config = self.model.config.codec
        if config is not None and self.model.config.model_type == encodec.MODEL_TYPE:
            return parts.load_codec(self.model.path, config, self.device)
        return self._load("codec", Codec)

    @cached_property
    def codec_fingerprint(self) -> str:
        """sha256 of the audio codebooks, as records carry it."""
        if self.model.config.model_type != encodec.MODEL_TYPE:
            return self.model.codec_fingerprint
        return zoo.fingerprint(self.codec.codebooks.float().cpu().numpy())

    def encode_audio(
        self,
        pieces: "Iterable[np.ndarray]",
        id: str = "",
        source: str = "",
        bandwidth: float | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> "Record":
        """A sound as a record with one audio segment; bandwidth: in kbit/s, None for all codebooks.

        The sound comes as float32 pieces [channels, samples] at the codec's rate (`sounds.fit` makes
        them so); `progress` is called with numbers of samples done.
        """
        from janus_cli.stages.audio import books_for, encode_audio

        n_q = books_for(self.codec.cfg, bandwidth)
        return encode_audio(
            pieces,
            self.codec,
            self.model.name,
            self.codec_fingerprint,
            n_q=n_q,
            id=id,
            source=source,
            progress=progress,
        )

    def check_bandwidth(self, bandwidth: float | None) -> None:
        """Raise UsageError for a bandwidth that the codec does not have."""
        from janus_cli.stages.audio import books_for

        books_for(self.codec.cfg, bandwidth)

    def _sound(self, segment: "Segment") -> "Sound":
        """The sound that an audio or waveform segment holds, its pieces computed as they are taken."""
        from janus_cli.media.sounds import Sound

        if segment.modality == "audio":
            from janus_cli.stages.audio import decode_audio

            self.model.file("codec")  # raises where there is none
            self._check_audio(segment)
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

    def _check_audio(self, segment: "Segment") -> None:
        """Raise for another codec's tokens, and for ids beyond ours; pass where the model has no codec."""
        config = self.model.config.codec
        if config is not None:
            from janus_cli.stages.audio import check_audio

            self._check_fingerprint(segment, self.codec_fingerprint)
            check_audio(segment, config)
