"""The generate stage: same tokens for every batch size, guidance, layouts, limits and refusals."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from helpers.decoders import FULL, PLAIN, generate, layout, random_decoder

from janus_cli.config import DecoderConfig
from janus_cli.errors import ModelError, RecordError, UsageError
from janus_cli.nets.decoder import Decoder
from janus_cli.records import Record, Segment, dumps
from janus_cli.stages.decoding.beams import END
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.segments import Identity

IDENTITY = Identity("tiny", "ab" * 32, "cd" * 32)
OPTIONS = GenerateOptions(grid=(3, 4), temperature=1.0, seed=7)


def text(ids: list[int], **info: str) -> Segment:
    return Segment("text", np.array(ids, np.uint16), info)


def image(ids: list[list[int]], **info: str) -> Segment:
    return Segment("image", np.array(ids, np.uint16), info)


PROMPTS = [
    Record((text([4, 5, 6]),), "a", ({"stage": "tokenize", "text": "cat"},)),
    Record((text([]),), "b"),
    Record((text([9, 8, 7, 6, 5, 4]), image([[1, 2], [3, 4]])), "c"),
    Record((), "d"),
]


def tokens(decoder: Decoder, options: GenerateOptions, prompts: list[Record] = PROMPTS) -> list[list[int]]:
    made = generate(prompts, decoder, options, IDENTITY)
    return [record.segments[0].data.ravel().tolist() for record in made]


@pytest.mark.parametrize("to", ["image", "text"])
@pytest.mark.parametrize("cfg", [PLAIN, FULL], ids=["plain", "full"])
def test_a_batch_of_eight_equals_eight_single_runs(cfg: DecoderConfig, to: str) -> None:
    decoder = random_decoder(cfg)
    options = dataclasses.replace(OPTIONS, n=2, to=to, max_tokens=10, batch_size=8)
    together = tokens(decoder, options)
    assert len(together) == 8 and len({tuple(t) for t in together}) > 4
    for size in (1, 3):
        assert tokens(decoder, dataclasses.replace(options, batch_size=size)) == together


def test_the_seed_gives_the_tokens_wherever_a_prompt_stands() -> None:
    decoder = random_decoder(FULL)
    once = tokens(decoder, OPTIONS)
    assert tokens(decoder, OPTIONS) == once
    assert tokens(decoder, dataclasses.replace(OPTIONS, seed=8)) != once
    assert tokens(decoder, OPTIONS, PROMPTS[::-1]) == once[::-1]
    assert tokens(decoder, OPTIONS, [PROMPTS[0]] * 2) == [once[0]] * 2
    several = tokens(decoder, dataclasses.replace(OPTIONS, n=3), PROMPTS[:2])
    assert len({tuple(made) for made in several}) == 6
    for k in range(3):
        alone = dataclasses.replace(OPTIONS, seed=OPTIONS.seed + k)
        assert tokens(decoder, alone, PROMPTS[:2]) == [several[k], several[3 + k]]


def slow_tokens(decoder: Decoder, record: Record, options: GenerateOptions) -> list[int]:
    """Greedy generation of an image by whole uncached forwards, without batching."""
    rows, cols = options.grid
    kind = decoder.type_ids["image"]
    made: list[int] = []
    for _ in range(rows * cols):
        logits = []
        for drop in (False, True):
            prompt = layout(record.segments, "image", decoder, drop_text=drop)
            new = [[i, kind, t // cols, t % cols] for t, i in enumerate(made)]
            columns = np.array(new, np.int64).reshape(-1, 4).T
            whole = torch.from_numpy(np.concatenate([prompt, columns], axis=1))[:, None]
            logits.append(decoder.compute_logits(decoder(*whole)[0, -1], "image"))
        mixed = logits[1] + options.cfg_scale * (logits[0] - logits[1])
        made.append(int(mixed.argmax()))
    return made


@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_cached_guided_generation_equals_whole_forwards(scale: float) -> None:
    decoder = random_decoder(FULL)
    options = dataclasses.replace(OPTIONS, temperature=0.0, cfg_scale=scale)
    assert tokens(decoder, options) == [slow_tokens(decoder, record, options) for record in PROMPTS]


def test_scale_one_runs_no_unconditional_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, batches = random_decoder(FULL), []
    real = decoder.make_cache
    monkeypatch.setattr(decoder, "make_cache", lambda b, t: batches.append(b) or real(b, t))
    tokens(decoder, dataclasses.replace(OPTIONS, cfg_scale=1.0))
    tokens(decoder, OPTIONS)
    assert batches == [4, 8]


def test_layout_puts_a_delimiter_before_every_segment() -> None:
    decoder = random_decoder(PLAIN)
    sound = Segment("audio", np.array([[1, 2], [3, 4]], np.uint16))
    laid = layout([text([4, 5]), image([[1, 2, 3], [4, 5, 6]]), sound], "image", decoder)
    assert laid.tolist() == [
        [-1, 4, 5, -1, 1, 2, 3, 4, 5, 6, -1, 1, 2, -1],
        [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 1],
        [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0],
    ]
    dropped = layout([text([4, 5])], "image", decoder, drop_text=True)
    assert dropped[:2].tolist() == [[-1, -1], [0, 1]]


def test_records_say_what_was_done() -> None:
    counts: list[int] = []
    made = list(generate(PROMPTS[:1], random_decoder(FULL), OPTIONS, IDENTITY, counts.append))
    assert (made[0].id, made[0].prompt, len(made)) == ("a", "cat", 1)
    (segment,) = made[0].segments
    assert (segment.modality, segment.data.shape, segment.data.dtype) == ("image", (3, 4), np.uint16)
    assert dict(segment.info) == {"tokenizer": "tiny", "fingerprint": "cd" * 32}
    assert made[0].made_by[-1] == {
        "stage": "generate",
        "model": "tiny",
        "seed": 7,
        "index": 0,
        "to": "image",
        "cfg_scale": 1.5,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "grid": [3, 4],
    }
    assert dumps(made[0])
    assert counts == [1] * 12


def test_filters_bound_the_choice() -> None:
    decoder = random_decoder(FULL)
    greedy = tokens(decoder, dataclasses.replace(OPTIONS, temperature=0.0))
    assert tokens(decoder, dataclasses.replace(OPTIONS, top_k=1)) == greedy
    assert tokens(decoder, dataclasses.replace(OPTIONS, top_p=1e-6)) == greedy
    assert tokens(decoder, OPTIONS) != greedy


def test_a_text_ends_at_its_end_token() -> None:
    decoder = random_decoder(FULL)
    options = dataclasses.replace(OPTIONS, to="text", max_tokens=40, cfg_scale=1.0)
    whole = tokens(decoder, dataclasses.replace(options, n=3))
    assert all(END not in row for row in whole) and {len(row) for row in whole} != {40}
    decoder.get_adapter("text").head_bias[END] = 1e4
    made = list(generate(PROMPTS, decoder, options, IDENTITY))
    assert [record.segments[0].data.shape for record in made] == [(0,)] * 4
    assert made[0].segments[0].info["fingerprint"] == "ab" * 32


def test_all_texts_ended_means_no_more_steps() -> None:
    decoder, counts = random_decoder(FULL), []
    decoder.get_adapter("text").head_bias[END] = 1e4
    options = dataclasses.replace(OPTIONS, to="text", max_tokens=40)
    list(generate(PROMPTS[:2], decoder, options, IDENTITY, counts.append))
    assert sum(counts) == 2


@pytest.mark.parametrize(
    ("prompt", "error", "message"),
    [
        (Record((text([50]),), "x"), RecordError, "record 'x': text segment: id 50 .* 50 entries .*tiny"),
        (Record((image([[70]]),)), RecordError, "image segment: id 70"),
        (
            Record((text([1], fingerprint="ee" * 32, tokenizer="other"),)),
            ModelError,
            "text tokens are of other .eeeeeeeeeeee., model tiny has abababababab",
        ),
        (Record((image([[1]], fingerprint="ee" * 32),)), ModelError, "eeeeeeeeeeee.*cdcdcdcdcdcd"),
        (
            Record((Segment("waveform", np.zeros((1, 3), np.float32)),)),
            UsageError,
            "tiny does not take waveform .it has text, image, audio",
        ),
        (Record((text([1] * 60),)), UsageError, "62 tokens and 12 new ones are too long: .* 64 in all"),
    ],
)
def test_a_faulty_prompt_is_refused_after_the_good_ones(
    prompt: Record, error: type[Exception], message: str
) -> None:
    made = generate([PROMPTS[0], prompt, PROMPTS[0]], random_decoder(PLAIN), OPTIONS, IDENTITY)
    assert next(made).id == "a"
    with pytest.raises(error, match=message):
        next(made)


def test_the_longest_sequence_that_fits_is_made() -> None:
    decoder = random_decoder(PLAIN)  # <txt> 51 words <img> and 11 of the 12 codes fill 64 places
    assert len(tokens(decoder, OPTIONS, [Record((text([1] * 51),))])[0]) == 12
    with pytest.raises(UsageError, match="too long"):
        tokens(decoder, OPTIONS, [Record((text([1] * 52),))])


def test_a_modality_that_the_model_lacks_is_a_usage_error() -> None:
    modalities = {"text": PLAIN.modalities["text"]}
    decoder = random_decoder(dataclasses.replace(PLAIN, modalities=modalities))
    with pytest.raises(UsageError, match=r"does not generate image .it has text"):
        tokens(decoder, OPTIONS)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("to", "smell"),
        ("n", 0),
        ("seed", -1),
        ("cfg_scale", float("nan")),
        ("temperature", -0.1),
        ("temperature", float("inf")),
        ("top_k", -1),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("grid", (0, 4)),
        ("max_tokens", 0),
        ("batch_size", 0),
    ],
)
def test_impossible_options_are_usage_errors(word: str, value: object) -> None:
    with pytest.raises(UsageError, match=str(word if word != "to" else value)):
        dataclasses.replace(OPTIONS, **{word: value})


def test_prompts_are_read_a_batch_at_a_time() -> None:
    taken: list[str] = []

    def lazily() -> Iterator[Record]:
        for record in PROMPTS:
            taken.append(record.id)
            yield record

    made = generate(lazily(), random_decoder(PLAIN), dataclasses.replace(OPTIONS, batch_size=2), IDENTITY)
    next(made)
    assert taken == ["a", "b"]
