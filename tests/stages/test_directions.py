"""Any modality to any: layouts of frames and seen pictures, words on the way, one cache for all of it."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers.decoders import ANY, check_prompt, generate, layout, needs_words, random_decoder
from helpers.directions import (
    EYES,
    IDENTITY,
    LONGER,
    OPTIONS,
    PICTURE,
    PIXELS,
    PROMPTS,
    SOUND,
    WORDS,
    lively,
    logits_after,
    made,
)

from janus_cli.errors import ModelError, RecordError, UsageError
from janus_cli.nets.decoder import Decoder
from janus_cli.records import Record, Segment
from janus_cli.stages.decoding import loop
from janus_cli.stages.decoding.beams import END
from janus_cli.stages.decoding.loop import Loop
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.steps import Stepper
from janus_cli.training.sequences import Span, join_spans

GREEDY, DRAWN = 0.0, 1.0

# ---- layouts


def test_frames_are_one_id_each_of_the_first_codebooks() -> None:
    decoder = random_decoder(ANY)
    laid = layout([SOUND], "text", decoder)
    ids = [1 + 30 * 3 + 900 * 5, 2 + 30 * 4 + 900 * 6]
    assert laid.tolist() == [[-1, *ids, -1], [2, 2, 2, 0], [0] * 4, [0] * 4]
    codes = decoder.get_adapter("audio").split_ids(torch.tensor(ids))
    assert torch.stack(codes).tolist() == SOUND.data[:3].tolist()


def test_a_picture_is_seen_unless_one_is_drawn() -> None:
    decoder = random_decoder(ANY)
    seen = layout([PICTURE, SOUND, PIXELS, WORDS], "audio", decoder, n_sight=4)
    assert seen[0].tolist() == [-1, 0, 1, 2, 3, -1, 4591, 5522, -1, 4, 5, 6, 7, -1, 4, 5, 6, -1]
    assert seen[1].tolist() == [3] * 5 + [2] * 3 + [3] * 5 + [0] * 4 + [2]
    drawn = layout([PICTURE], "image", decoder, n_sight=4)
    assert drawn[1].tolist() == [1] * 6
    assert layout([PICTURE], "text", decoder)[1].tolist() == [1] * 5 + [0]  # nobody has eyes
    assert layout([PICTURE, PIXELS], "text", decoder, n_sight=4)[0].tolist() == [-1, 0, 1, 2, 3, -1]


def test_words_come_first_where_there_are_none() -> None:
    decoder = random_decoder(ANY)
    found = {
        (name, to): needs_words(segments, to, decoder, 4)
        for name, segments in PROMPTS.items()
        for to in ("image", "text", "audio")
    }
    asking = {key for key, asks in found.items() if asks}
    assert asking == {
        ("sound", "image"),
        ("longer", "image"),
        ("sound", "audio"),
        ("longer", "audio"),
        ("picture", "audio"),
        ("picture and sound", "audio"),
        ("pixels", "audio"),
    }
    assert not needs_words([PICTURE], "audio", decoder, 0)


# ---- the same as whole uncached forwards


def slowly(
    decoder: Decoder, segments: list[Segment], options: GenerateOptions
) -> tuple[list[int] | None, list[list[int]]]:
    """Greedy words, if any, and codes [Q][T]: the whole sequence anew for every code."""
    n_sight = 4
    asks = options.through_words and needs_words(segments, options.to, decoder, n_sight)
    prompt = layout(segments, "text" if asks else options.to, decoder, n_sight=n_sight)
    words: list[int] | None = None
    if asks:
        words = []
        while len(words) < options.max_words:
            id = int(logits_after(decoder, prompt, segments, "text", []).argmax())
            if id == END:
                break
            words.append(id)
            prompt = np.concatenate([prompt, [[id], [0], [0], [0]]], axis=1)
        prompt = np.concatenate([prompt, [[-1], [decoder.type_ids[options.to]], [0], [0]]], axis=1)
    cfg, kind, columns = decoder.cfg.modalities[options.to], decoder.type_ids[options.to], options.grid[1]
    out: list[list[int]] = []
    while len(out) < options.length:
        codes: list[int] = []
        for level in range(cfg.n_q):
            scores = logits_after(decoder, prompt, segments, options.to, codes)
            if cfg.ends and not out and not level:
                scores = scores[:-1]
            codes.append(int(scores.argmax()))
        if codes[0] == {"text": END, "audio": cfg.vocab_size}.get(options.to):
            break
        row, col = divmod(len(out), columns)
        id = sum(code * cfg.vocab_size**level for level, code in enumerate(codes))
        prompt = np.concatenate([prompt, [[id], [kind], [row], [col]]], axis=1)
        out.append(codes)
    return words, np.array(out).T.tolist()


@pytest.mark.parametrize("to", ["image", "text", "audio"])
@pytest.mark.parametrize("through_words", [True, False], ids=["words", "direct"])
def test_the_cache_changes_nothing(to: str, through_words: bool) -> None:
    said = 0
    for seed in range(2):
        decoder = lively(seed)
        for name, segments in PROMPTS.items():
            if name == "pixels" and to == "image":
                continue
            options = dataclasses.replace(OPTIONS, to=to, through_words=through_words)
            record = made(decoder, segments, to=to, through_words=through_words)
            words, codes = slowly(decoder, segments, options)
            *first, last = record.segments
            assert [s.data.tolist() for s in first] == ([] if words is None else [words]), name
            assert last.data.reshape(len(codes) or 1, -1).tolist() == (codes or [[]]), name
            said += len(words or [])
    assert (said > 0) == (through_words and to != "text")


# ---- no prefix twice


@pytest.mark.parametrize("segments", [[SOUND], [LONGER]])
def test_every_token_passes_through_the_decoder_once(
    segments: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder, passed = lively(), []
    monkeypatch.setattr(loop, "choose_width", lambda *_: 0)  # a token at a time
    real, draw = decoder.run, Stepper.draw
    monkeypatch.setattr(decoder, "run", lambda x, *rest: passed.append(x.shape[1]) or real(x, *rest))
    monkeypatch.setattr(Stepper, "draw", lambda *given: passed.append(1) or draw(*given))
    record = made(decoder, segments)
    words, codes = (segment.data.size for segment in record.segments)
    assert [s.modality for s in record.segments] == ["text", "image"] and words
    prompt = 1 + segments[0].data.shape[1] + 1  # <aud> frames <txt>
    assert sum(passed) == prompt + words + 1 + codes - 1  # then words <img> codes, but for the last
    assert passed == [prompt] + [1] * (words + codes)


@pytest.mark.parametrize(("segments", "to"), [([SOUND], "image"), ([PICTURE], "audio"), ([SOUND], "text")])
def test_what_passes_is_what_training_lays_out(
    segments: list[Segment], to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row for row the columns of a training sequence of the same segments: no END, no delimiter too many."""
    monkeypatch.setattr(loop, "can_step", lambda *_: False)  # steps lay nothing out, nor do windows
    monkeypatch.setattr(loop, "choose_width", lambda *_: 0)
    decoder, columns = lively(), []
    real = decoder.forward
    monkeypatch.setattr(
        decoder, "forward", lambda *x, **more: columns.append(torch.stack(x)) or real(*x, **more)
    )
    record = made(decoder, segments, to=to, max_tokens=60, max_words=40)
    parts = []
    for segment in [*segments, *record.segments]:
        name = "sight" if segment is PICTURE else segment.modality
        ids = np.arange(4) if name == "sight" else layout([segment], "text", decoder)[0, 1:-1]
        grid = (2, 3) if name == "image" else None
        parts.append(Span(name, ids, None if segment in segments else ids, None if grid else END, grid=grid))
    row = join_spans(parts, decoder.type_ids)
    passed = torch.cat(columns, dim=2)[:, 0]
    assert passed.tolist() == [row.ids, row.types, row.rows, row.cols]


# ---- batches


@pytest.mark.parametrize("heat", [GREEDY, DRAWN])
@pytest.mark.parametrize(
    ("to", "scale"), [("image", 1.0), ("image", 2.5), ("text", 1.0), ("audio", 1.0), ("audio", 1.5)]
)
def test_a_batch_equals_single_runs(to: str, scale: float, heat: float) -> None:
    decoder = lively()
    options = dataclasses.replace(OPTIONS, to=to, cfg_scale=scale, temperature=heat, n=2, seed=3)
    records = [Record(tuple(s), name) for name, s in PROMPTS.items() if name != "pixels" or to != "image"]

    def tokens(size: int) -> list[list[list[int]]]:
        chosen = dataclasses.replace(options, batch_size=size)
        out = generate(records, decoder, chosen, IDENTITY, eyes=EYES)
        return [[segment.data.tolist() for segment in record.segments] for record in out]

    together = tokens(16)
    assert len(together) == 2 * len(records)
    assert len({len(t) for t in together}) == (1 if to == "text" else 2)
    assert tokens(1) == together == tokens(3)


def test_rare_looks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a look at whether all have ended waits for the device, rows go on after their end for a while."""
    records = [Record(tuple(s), name) for name, s in PROMPTS.items() if name != "pixels"]

    def tokens() -> list[list[list[int]]]:
        return [
            [segment.data.tolist() for segment in record.segments]
            for to in ("text", "audio")
            for record in generate(
                records, lively(), dataclasses.replace(OPTIONS, to=to, max_tokens=40), IDENTITY, eyes=EYES
            )
        ]

    often = tokens()
    monkeypatch.setattr(Loop, "_have_ended", lambda _, ended, step: step % 16 == 15 and bool(ended.all()))
    assert tokens() == often


# ---- results


def test_a_sound_says_what_its_codec_needs() -> None:
    record = made(lively(), [WORDS], to="audio", temperature=DRAWN)
    (segment,) = record.segments
    books, frames = segment.data.shape
    assert (segment.modality, books, segment.data.dtype) == ("audio", 3, np.uint16) and 0 < frames <= 9
    assert dict(segment.info) == {
        "tokenizer": "tiny",
        "fingerprint": "ef" * 32,
        "sample_rate": 16000,
        "frame_rate": 50,
        "num_samples": 320 * frames,
    }
    assert record.made_by[-1]["max_tokens"] == 9 and "words" not in record.made_by[-1]


def test_a_sound_is_never_empty() -> None:
    decoder = lively()
    decoder.get_adapter("audio").head_bias[30] = 1e4
    for heat in (GREEDY, DRAWN):
        assert made(decoder, [WORDS], to="audio", temperature=heat).segments[-1].data.shape == (3, 1)


def test_words_stay_in_the_record() -> None:
    decoder = lively()
    (record,) = generate(
        [Record((SOUND,), "a")],
        decoder,
        OPTIONS,
        IDENTITY,
        eyes=EYES,
        spell=lambda ids: " ".join(map(str, ids)),
    )
    words = record.segments[0]
    assert words.data.size and dict(words.info) == {"tokenizer": "tiny", "fingerprint": "ab" * 32}
    said = " ".join(map(str, words.data.tolist()))
    assert record.made_by[-1]["words"] == said == record.prompt
    decoder.get_adapter("text").head_bias[END] = 1e4
    silent = made(decoder, [SOUND])
    assert [s.modality for s in silent.segments] == ["text", "image"] and not silent.segments[0].data.size


def test_words_do_not_move_the_noise() -> None:
    """A picture of understood words is the one that the same words give as a prompt, the sound left away."""
    decoder = lively()
    decoder.get_adapter("text").head_bias[END] = 1e4  # no words: the prompts differ by the sound alone
    heard = made(decoder, [SOUND], temperature=DRAWN, cfg_scale=0.0)  # the unconditional rows decide
    drawn = made(decoder, [Segment("text", np.zeros(0, np.uint16))], temperature=DRAWN)
    assert heard.segments[-1].data.tolist() == drawn.segments[-1].data.tolist()


# ---- refusals


@pytest.mark.parametrize(
    ("segments", "options", "error", "message"),
    [
        (
            [Segment("audio", np.zeros((2, 3), np.uint16))],
            {},
            RecordError,
            "2 codebooks, model tiny reads 3: tokenize it without --bandwidth",
        ),
        ([Segment("audio", np.full((3, 3), 30, np.uint16))], {}, RecordError, "id 30 is out of range.*tiny"),
        (
            [Segment("audio", np.zeros((3, 3), np.uint16), {"fingerprint": "aa" * 32})],
            {},
            ModelError,
            "audio tokens are of an unnamed tokenizer .aaaaaaaaaaaa., model tiny has efefefefefef",
        ),
        ([PIXELS], {}, UsageError, "does not take pixels"),
        (
            [PICTURE, Segment("waveform", np.zeros((1, 3), np.float32))],
            {"to": "text"},
            UsageError,
            "does not take waveform",
        ),
        (
            [Segment("audio", np.zeros((3, 130), np.uint16))],
            {"to": "text"},
            UsageError,
            "a sound of 2.6 s is too long: model tiny takes at most 2.4 s here, beside 9 new tokens",
        ),
        ([Segment("audio", np.zeros((3, 115), np.uint16))], {}, UsageError, "a sound of 2.3 s is too long"),
        ([Segment("image", np.full((2, 2), 70, np.uint16))], {"to": "text"}, RecordError, "id 70 is out of"),
    ],
)
def test_what_cannot_be_a_prompt(
    segments: list[Segment], options: dict[str, object], error: type[Exception], message: str
) -> None:
    chosen = dataclasses.replace(OPTIONS, **options)
    with pytest.raises(error, match=message):
        check_prompt(Record(tuple(segments)), random_decoder(ANY), chosen, IDENTITY, eyes=EYES)
    with pytest.raises(error, match=message):
        made(random_decoder(ANY), segments, **options)


def test_the_longest_sound_that_fits_is_heard() -> None:
    fits = Segment("audio", np.zeros((3, 118), np.uint16))  # <aud> 118 <txt> and 8 of 9 words fill 128
    assert made(random_decoder(ANY), [fits], to="text")
    with pytest.raises(UsageError, match="at most 2.4 s"):
        made(random_decoder(ANY), [Segment("audio", np.zeros((3, 119), np.uint16))], to="text")
