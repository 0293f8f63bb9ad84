"""Whether there are words in a recording, by the decoder's own likelihoods."""

import dataclasses
import math

import pytest
import torch
from helpers.decoders import ANY, layout, random_decoder
from helpers.directions import SOUND

from janus_cli.errors import NothingHeardError
from janus_cli.records import Segment
from janus_cli.stages.decoding.beams import END
from janus_cli.stages.decoding.hearing import MOST, Ears, measure_likelihood

RECORDED = Segment("audio", SOUND.data, {**SOUND.info, "heard": [0, SOUND.data.shape[1]]})


@torch.inference_mode()
def test_likelihoods_are_those_of_the_plain_forward() -> None:
    decoder = random_decoder(ANY)
    speech, words = measure_likelihood(SOUND, decoder)
    laid = torch.from_numpy(layout([SOUND], "text", decoder))[:, None]
    hidden = decoder(*laid)[0]
    codes = torch.from_numpy(SOUND.data[0].astype("int64"))
    expected = [
        float(torch.log_softmax(decoder.compute_logits(hidden[i], "audio"), -1)[code])
        for i, code in enumerate(codes)
    ]
    assert speech == pytest.approx(sum(expected) / len(expected), abs=1e-5)
    chances: list[float] = []
    while len(chances) < MOST:  # without a cache
        scores = torch.log_softmax(decoder.compute_logits(decoder(*laid)[0, -1], "text"), -1)
        chances.append(float(scores.max()))
        if int(scores.argmax()) == END:
            break
        new = torch.tensor([int(scores.argmax()), decoder.type_ids["text"], 0, 0])[:, None, None]
        laid = torch.cat([laid, new], dim=2)
    assert words == pytest.approx(sum(chances) / len(chances), abs=1e-5)


def test_what_is_less_likely_than_the_limits_is_not_heard() -> None:
    decoder = random_decoder(ANY)
    speech, words = measure_likelihood(RECORDED, decoder)
    Ears(speech - 1e-3, words - 1e-3).check(RECORDED, decoder, "a")
    for ears in (Ears(speech + 1e-3, -math.inf), Ears(-math.inf, words + 1e-3)):
        with pytest.raises(NothingHeardError, match="^a: nothing heard: there is sound, but no words"):
            ears.check(RECORDED, decoder, "a")
        ears.check(SOUND, decoder, "a")  # what a decoder made itself has no mark, and is not judged
    for ears in (Ears(), dataclasses.replace(Ears(), least_words=0.0)):
        ears.check(RECORDED, decoder, "a")  # a model that states no limits takes anything for speech
