"""Prompts with plugins' continuous segments: laid out with the rest, read once, the same in any batch."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.decoders import ANY, check_prompt, generate, layout, needs_words, random_decoder
from helpers.directions import features_of, trace
from helpers.runs import no_traceback

from janus_cli import weights
from janus_cli.config import DecoderConfig, MixinConfig, ModalityConfig, ModelConfig, format_config
from janus_cli.errors import UsageError
from janus_cli.nets.decoder import Decoder
from janus_cli.records import Record, Segment
from janus_cli.stages.decoding.beams import END
from janus_cli.stages.decoding.layout import SIGHT, Eyes
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.segments import Identity

CFG = dataclasses.replace(ANY, modalities={**ANY.modalities, "series": ModalityConfig(feature_dim=4)})
IDENTITY = Identity("tiny", "ab" * 32, "cd" * 32)
OPTIONS = GenerateOptions(to="text", grid=(2, 3), temperature=0.0, cfg_scale=1.0, max_tokens=9, max_words=7)
WORDS = Segment("text", np.array([4, 5, 6], np.uint16))
PICTURE = Segment("image", np.array([[1, 2], [3, 4]], np.uint16))
PIXELS = Segment("pixels", np.full((1, 2, 8, 8, 3), 9, np.uint8))


EYES = Eyes(4, features_of)
PROMPTS = [
    [trace(3)],
    [WORDS],
    [trace(5, 1), WORDS],
    [PICTURE, trace(2, 2)],
    [trace(1, 3), PICTURE, trace(4, 4)],
]


def lively() -> Decoder:
    """A decoder whose texts end after a few tokens, each of another length."""
    decoder = random_decoder(CFG)
    decoder.get_adapter("text").head_bias[END] += 1.5
    return decoder


def made(decoder: Decoder, prompts: list[list[Segment]], **options: object) -> list[list[list[int]]]:
    chosen = dataclasses.replace(OPTIONS, **options)
    out = generate([Record(tuple(p)) for p in prompts], decoder, chosen, IDENTITY, eyes=EYES)
    return [[segment.data.tolist() for segment in record.segments] for record in out]


def test_traces_and_pictures_count_apart() -> None:
    laid = layout([PICTURE, trace(3), PIXELS, WORDS, trace(2)], "text", random_decoder(CFG), n_sight=4)
    assert laid[0].tolist() == [-1, 0, 1, 2, 3, -1, 0, 1, 2, -1, 4, 5, 6, 7, -1, 4, 5, 6, -1, 3, 4, -1]
    assert laid[1].tolist() == [3] * 5 + [4] * 4 + [3] * 5 + [0] * 4 + [4] * 3 + [0]
    assert not laid[2:].any()
    dropped = layout([trace(2), WORDS], "image", random_decoder(CFG), drop_text=True)
    assert dropped[:2].tolist() == [[-1, 0, 1, -1, -1], [4, 4, 4, 0, 1]]  # guidance leaves out words alone


def test_traces_are_put_into_words_first() -> None:
    decoder = random_decoder(CFG)
    assert needs_words([trace(1)], "image", decoder, 0)
    assert needs_words([trace(1), PICTURE], "audio", decoder, 4)
    assert not needs_words([trace(1), WORDS], "image", decoder, 0)
    assert not needs_words([trace(1)], "text", decoder, 0)
    for through_words, segments in ((True, 2), (False, 1)):
        (record,) = made(lively(), [[trace(3)]], to="image", through_words=through_words)
        assert len(record) == segments


@pytest.mark.parametrize("segments", PROMPTS)
def test_the_cache_changes_nothing(segments: list[Segment]) -> None:
    decoder, said = lively(), []
    prompt = layout(segments, "text", decoder, n_sight=4)
    series = [torch.from_numpy(s.data) for s in segments if s.modality == "series"]
    seen = [features_of(s) for s in segments if s.modality == "image"]
    features = {name: torch.cat(rows) for name, rows in (("series", series), (SIGHT, seen)) if rows}
    while len(said) < OPTIONS.max_tokens:
        hidden = decoder(*torch.from_numpy(prompt)[:, None], features=features)[0, -1]
        if (token := int(decoder.compute_logits(hidden, "text").argmax())) == END:
            break
        said.append(token)
        prompt = np.concatenate([prompt, [[token], [0], [0], [0]]], axis=1)
    assert made(decoder, [segments]) == [[said]]


@pytest.mark.parametrize("heat", [0.0, 1.0])
@pytest.mark.parametrize(("to", "scale"), [("text", 1.0), ("image", 1.0), ("image", 2.5)])
def test_a_batch_equals_single_runs(to: str, scale: float, heat: float) -> None:
    decoder = lively()
    options = dict(to=to, cfg_scale=scale, temperature=heat, n=2)
    several = made(decoder, PROMPTS, **options, batch_size=16)
    assert len(several) == 2 * len(PROMPTS)
    for size in (1, 3):
        assert made(decoder, PROMPTS, **options, batch_size=size) == several
    if heat == 0 and to == "text":
        assert len({str(text) for text in several}) > 2  # the traces make a difference


def test_features_pass_once_and_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, given = lively(), []
    real = decoder.forward
    monkeypatch.setattr(
        decoder, "forward", lambda *x, **more: given.append((x, more.get("features"))) or real(*x, **more)
    )
    prompt = [trace(3), WORDS, PICTURE]
    made(decoder, [prompt, [trace(2, 1), WORDS]], to="image", cfg_scale=2.0, n=2)
    ((ids, types, *_), first), *later = given
    assert len(ids) == 8 and {name: len(rows) for name, rows in first.items()} == {"series": 5}
    assert torch.equal(first["series"][:3], torch.from_numpy(prompt[0].data))
    mine = [row[kinds == 4].tolist() for row, kinds in zip(ids, types, strict=True)]
    assert mine == 2 * [[-1, 0, 1, 2], [-1, 0, 1, 2], [-1, 3, 4], [-1, 3, 4]]  # then those for guidance
    assert not later, "what is drawn passes through steps, which know no features"


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (
            trace(2, width=8),
            r"'x': series segment: float32 \[2, 8\], but the decoder reads float32 tokens of 4",
        ),
        (trace(120), "a prompt of 122 tokens and 9 new ones are too long: model tiny takes 128 in all"),
    ],
)
def test_what_cannot_be_a_prompt(segment: Segment, message: str) -> None:
    decoder = random_decoder(CFG)
    with pytest.raises(UsageError, match=message):
        check_prompt(Record((segment,), "x"), decoder, OPTIONS, IDENTITY)
    with pytest.raises(UsageError, match=message):
        list(generate([Record((segment,), "x")], decoder, OPTIONS, IDENTITY))


def test_length_is_counted_in_tokens() -> None:
    assert made(random_decoder(CFG), [[trace(118)]])  # <series> 118 <txt> and 8 of 9 words fill 128
    with pytest.raises(UsageError, match="121 tokens and 9 new"):
        made(random_decoder(CFG), [[trace(119)]])


def test_a_decoder_that_wants_ids_says_so() -> None:
    modalities = {**ANY.modalities, "series": ModalityConfig(9)}
    decoder = random_decoder(dataclasses.replace(CFG, modalities=modalities))
    with pytest.raises(UsageError, match="series segment: continuous tokens, but the decoder reads ids"):
        made(decoder, [[trace(2)]])


# ---- from the shell


@pytest.fixture
def reader(senses: Path, tiny_any: Path) -> Path:
    """A model `reader` that reads series of stride 2 and writes, and can nothing else; and two traces."""
    folder = senses / "reader"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes((tiny_any / "tokenizer.json").read_bytes())
    words = json.loads((tiny_any / "config.json").read_text())["decoder"]["modalities"]["text"]["vocab_size"]
    cfg = DecoderConfig(
        dim=32,
        n_layer=1,
        n_head=2,
        n_kv_head=1,
        head_dim=16,
        ff_dim=48,
        max_seq_len=32,
        modalities={"series": ModalityConfig(feature_dim=2), "text": ModalityConfig(words)},
        mixin=MixinConfig(),
    )
    (folder / "config.json").write_text(format_config(ModelConfig("reader", decoder=cfg)))
    weights.save(random_decoder(cfg, 5), folder / "decoder.safetensors")
    (senses / "a.csv").write_text("1\n2\n-3\n4\n5\n")
    (senses / "b.csv").write_text("7\n0\n")
    return folder


def test_a_trace_becomes_words(janus, reader: Path) -> None:
    tokens = janus("tokenize", "series", "a.csv", "b.csv", "--stride", "2", "-q")
    assert (tokens.code, tokens.err) == (0, "")
    told = janus("generate", "--to", "text", "--max-tokens", "5", "-m", "./reader", stdin=tokens.out)
    assert told.code == 0, told.err
    both = janus("decode", "-m", "./reader", stdin=told.out)
    assert both.code == 0 and both.text, both.err
    alone = janus(
        "generate",
        "--to",
        "text",
        "--max-tokens",
        "5",
        "-m",
        "./reader",
        stdin=janus("tokenize", "series", "b.csv", "--stride", "2").out,
    )
    assert both.text.endswith(janus("decode", "-m", "./reader", stdin=alone.out).text)


def test_a_trace_that_does_not_fit_is_one_line(janus, reader: Path) -> None:
    wide = janus("tokenize", "series", "a.csv", "--stride", "4").out
    long = janus("tokenize", "series", "--stride", "2", stdin=b"1\n" * 99).out
    for args, data, message in (
        (["-m", "./reader"], wide, "float32 [2, 4], but the decoder reads float32 tokens of 2 values"),
        (["-m", "pocket"], wide, "model pocket does not take series"),
        (["-m", "./reader"], long, "takes 32 in all"),
    ):
        done = janus("generate", "--to", "text", *args, stdin=data)
        assert done.code == 2 and no_traceback(done) and message in done.err, done.err
