"""Pictures by windows: token for token those drawn one by one, in fewer passes where they are nearly sure."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.decoders import ANY, FULL, PLAIN, SWITCHES, generate, random_decoder

from bench.gpu import make_items, make_janus_pro
from janus_cli.errors import ModelError, UsageError
from janus_cli.nets.decoder import Decoder
from janus_cli.records import Record, Segment
from janus_cli.stages.decoding import loop
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.segments import Identity
from janus_cli.stages.decoding.windows import choose_width

IDENTITY = Identity("tiny", "ab" * 32, "cd" * 32)
OFF = GenerateOptions(grid=(4, 5), cfg_scale=1.0, temperature=0.3, n=2, seed=7, parallel=0)


def record(modality: str, ids: list, dtype: type = np.uint16) -> Record:
    return Record((Segment(modality, np.array(ids, dtype)),), modality)


PROMPTS = [
    record("text", [4, 5, 6]),
    record("text", []),
    Record((*record("text", [9, 8, 7, 6]).segments, *record("image", [[1, 2], [3, 4]]).segments), "both"),
]


def draw(decoder: Decoder, options: GenerateOptions, prompts: list[Record] = PROMPTS) -> list[list[int]]:
    made = generate(prompts, decoder, options, IDENTITY)
    return [one.segments[-1].data.ravel().tolist() for one in made]


@pytest.mark.parametrize("name", SWITCHES)
def test_every_width_draws_the_sequential_tokens(name: str) -> None:
    decoder = random_decoder(SWITCHES[name])
    expected = draw(decoder, OFF)
    assert len({tuple(tokens) for tokens in expected}) > 3
    for width in (1, 2, 7, 19, 500, None):
        assert draw(decoder, dataclasses.replace(OFF, parallel=width)) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"cfg_scale": 2.5},
        {"temperature": 1.0, "cfg_scale": 1.5},
        {"temperature": 0.0},
        {"temperature": 1.0, "top_k": 5},
        {"temperature": 1.0, "top_p": 0.6, "cfg_scale": 3.0},
        {"grid": (1, 1)},
        {"grid": (1, 2)},
        {"grid": (7, 3), "seed": 2**60},
    ],
    ids=str,
)
def test_every_way_of_sampling_draws_the_sequential_tokens(change: dict) -> None:
    decoder = random_decoder(FULL)
    options = dataclasses.replace(OFF, **change)
    expected = draw(decoder, options)
    for batch_size in (1, 4, 8):
        windows = dataclasses.replace(options, parallel=6, batch_size=batch_size)
        assert draw(decoder, windows) == expected


def test_prompts_that_are_put_into_words_first_are_followed_by_windows() -> None:
    decoder = random_decoder(ANY)
    sound = record("audio", [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    options = dataclasses.replace(OFF, max_words=5, beams=2, cfg_scale=1.5)
    for prompts in ([sound], [PROMPTS[0], sound]):
        expected = draw(decoder, options, prompts)
        assert draw(decoder, dataclasses.replace(options, parallel=6), prompts) == expected


def test_rows_of_a_stream_come_as_they_would_one_by_one() -> None:
    decoder = random_decoder(FULL)
    parts = [
        [(one.id, one.segments[-1].data.tolist(), dict(one.segments[-1].info)) for one in made]
        for made in (
            generate(PROMPTS, decoder, dataclasses.replace(OFF, parallel=width), IDENTITY, stream=True)
            for width in (0, 9)
        )
    ]
    assert parts[0] == parts[1] and len(parts[0]) == 6 * 5


def test_a_published_net_draws_its_sequential_tokens() -> None:
    net = make_janus_pro("tiny", "cpu", torch.float32)
    side = net.janus_pro.grid
    options = GenerateOptions(grid=side, cfg_scale=5.0, temperature=1.0, parallel=0)
    made = [
        list(loop.Loop(make_items(2), net, dataclasses.replace(options, parallel=width)).run())[-1].codes
        for width in (0, 5)
    ]
    assert np.array_equal(*made)


def test_what_is_sure_takes_few_passes_and_they_are_told() -> None:
    decoder = random_decoder(PLAIN)
    decoder.get_adapter("image").head_bias[9] = 1e3
    for width, passes in ((0, 20), (19, 2), (6, 5), (None, 2)):
        counts: list[int] = []
        options = dataclasses.replace(OFF, parallel=width)
        made = list(generate(PROMPTS, decoder, options, IDENTITY, counts.append))
        assert {tuple(one.segments[0].data.ravel()) for one in made} == {(9,) * 20}
        assert sum(counts) == 6 * 20 and len(counts) == passes


def test_windows_are_for_pictures_that_are_nearly_sure() -> None:
    decoder = random_decoder(ANY)

    def width(**change: object) -> int | None:
        return choose_width(decoder, dataclasses.replace(OFF, **({"parallel": None} | change)))

    assert width() is None and width(temperature=0.0) is None and width(temperature=1.0) == 0
    assert width(temperature=1.0, parallel=8) == 8 and width(parallel=0) == 0
    for to in ("text", "audio"):
        assert width(to=to) == width(to=to, parallel=8) == 0


def test_a_net_whose_logits_are_no_numbers_is_refused() -> None:
    decoder = random_decoder(PLAIN)
    decoder.layers[0].mlp.down_proj.weight[:] = torch.nan
    with pytest.raises(ModelError, match="NaN"):
        draw(decoder, dataclasses.replace(OFF, parallel=6))


def test_a_negative_number_of_tokens_ahead_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="parallel is -1"):
        dataclasses.replace(OFF, parallel=-1)
