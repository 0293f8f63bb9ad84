"""Whether there are words in a recording, by what the decoder itself thinks of it.

It was taught on speech alone and finds words in anything: but noise is no sound that it would make, or it is
unsure of the words.
"""

from dataclasses import dataclass

import torch

from janus_cli.errors import NothingHeardError
from janus_cli.nets.decoder import Decoder
from janus_cli.records import Segment
from janus_cli.stages.decoding.beams import END
from janus_cli.stages.decoding.layout import lay_out

MOST = 24  # tokens of the words that are looked at


@torch.inference_mode()
def measure_likelihood(segment: Segment, decoder: Decoder) -> tuple[float, float]:
    """Measure how likely an audio segment [Q, T] is: mean log probabilities, natural.

    Of the first code of each frame as a sound that begins there, and of each token of the words that it is
    put into, always the next likeliest.
    """
    laid = torch.from_numpy(lay_out([("audio", segment)], "text", decoder)).to(decoder.device)[:, None]
    cache = decoder.make_cache(1, laid.shape[2] + MOST)
    hidden = decoder(*laid, cache=cache)[0]
    frames = segment.data.shape[1]
    codes = torch.from_numpy(segment.data[0].astype("int64")).to(decoder.device)
    sound = decoder.compute_logits(hidden[:frames], "audio").log_softmax(-1).gather(1, codes[:, None])
    kind = torch.full((1, 1), decoder.type_ids["text"], device=decoder.device)
    words, last = list[float](), hidden[-1:]
    while len(words) < MOST:
        chance, token = decoder.compute_logits(last, "text").log_softmax(-1).max(-1)
        words.append(float(chance))
        if int(token) == END:
            break
        nowhere = torch.zeros_like(kind)
        last = decoder(token[:, None], kind, nowhere, nowhere, cache=cache)[0]
    return float(sound.mean()), sum(words) / len(words)


@dataclass(frozen=True)
class Ears:
    """What a model takes for speech: the limits of `measure_likelihood`, None where there is none."""

    least_speech: float | None = None
    least_words: float | None = None

    def check(self, segment: Segment, decoder: Decoder, name: str) -> None:
        """Raise NothingHeardError, with the record's `name`, where an audio segment holds no words.

        Only a recording is judged, whose `heard` says where it is not silent.
        """
        is_recording = "heard" in segment.info
        if not is_recording or self.least_speech is None or self.least_words is None:
            return
        speech, words = measure_likelihood(segment, decoder)
        if speech < self.least_speech or words < self.least_words:
            who = f"{name}: " if name else ""
            raise NothingHeardError(f"{who}nothing heard: there is sound, but no words that are understood")
