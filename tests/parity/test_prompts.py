"""Janus-Pro's prompts against transformers: its tokenizer, its Janus processor, its chat templates.

The processor puts the system sentence, the places of pictures and the begin of a picture where they belong.
The template is published as a file beside the weights: set JANUS_PRO to the folder of a checkpoint in
transformers' layout to use its own template and tokenizer. Without, one written for this test stands in.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from bench.make_checkpoint import SPECIAL, make
from janus_cli.records import Record
from janus_cli.stages.decoding.templates import Templates
from janus_cli.stages.text import TextTokenizer

N_TOKEN = 16  # features of a picture
TEMPLATE = """
{%- for turn in messages -%}
  {{- '<|User|>: ' if turn.role == 'user' else '<|Assistant|>: ' -}}
  {%- for part in turn.content -%}
    {%- set before = 'none' if loop.first else loop.previtem.type -%}
    {%- set words = part.text if part.type == 'text' else '\n<image_placeholder>\n' -%}
    {%- set words = words.lstrip() if loop.first else words -%}
    {%- set words = words.rstrip() if loop.last else words -%}
    {{- ' ' if part.type == before == 'text' else '' }}{{ words -}}
  {%- endfor -%}
  {{- '\n\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}<|Assistant|>:{%- endif -%}
"""
PROMPTS = [
    "a red apple",
    " spaces around \n",
    "ein Käse für Jörg.",
    "一只红色的苹果",
    "красное яблоко?",
    "تفاحة حمراء",
    "赤いリンゴ。",
    "빨간 사과",
    "emoji 🍎🚀👩‍🚀",
    "line\nbreak\n\n\nand more",
    "tabs\tand  double  spaces",
    "code: <b>&amp;</b> {{x}} {% y %} \\n",
    "quote \"'`",
    "0123 4567",
    "nothing <|else|> special",
    "a" * 300,
]


def write_tokenizer(folder: Path) -> None:
    """A tokenizer whose merges cross every seam of the templates, and with the published special tokens.

    As DeepSeek's it also has letters as added tokens: those whose code point is a byte that UTF-8 never uses.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=list(SPECIAL),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    ends = ("\n\n", "\n", " ")
    seams = [f"{start}{text}{end}" for text in PROMPTS for start in (": ", "\n") for end in ends]
    tokenizer.train_from_iterator(seams * 4, trainer)
    tokenizer.add_tokens([AddedToken(letter, normalized=True, special=False) for letter in "øöúÿõ÷ûýÀùÁþü"])
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint's folder with tokenizer and chat template."""
    if place := os.environ.get("JANUS_PRO"):
        return Path(place)
    made = make(tmp_path_factory.mktemp("pro") / "pro", layout="transformers")
    write_tokenizer(made)
    (made / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    return made


@pytest.fixture(scope="module")
def theirs(transformers, folder):
    """Their processor, put together as their conversion of the published checkpoints does."""
    from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil
    from transformers.models.janus.processing_janus import JanusProcessor

    words = {
        "image_token": "<image_placeholder>",
        "boi_token": "<begin_of_image>",
        "eoi_token": "<end_of_image>",
    }
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        bos_token="<｜begin▁of▁sentence｜>",
        eos_token="<｜end▁of▁sentence｜>",
        pad_token="<｜▁pad▁｜>",
        extra_special_tokens=words,
    )
    return JanusProcessor(
        JanusImageProcessorPil(size={"height": 64, "width": 64}),
        tokenizer,
        chat_template=(folder / "chat_template.jinja").read_text("utf-8"),
        use_default_system_prompt=True,
        num_image_tokens=N_TOKEN,
    )


@pytest.fixture(scope="module")
def tokenizer(folder):
    return TextTokenizer(folder / "tokenizer.json", "pro")


@pytest.fixture(scope="module")
def ours(tokenizer):
    return Templates(tokenizer)


def their_ids(theirs, parts, mode):
    """Ids of one user's turn; a None among `parts` is a picture."""
    content = [{"type": "image"} if part is None else {"type": "text", "text": part} for part in parts]
    text = theirs.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    images = [np.zeros((64, 64, 3), np.uint8) for part in parts if part is None] or None
    ids = theirs(text=text, images=images, generation_mode=mode)["input_ids"]
    [row] = np.asarray(ids).tolist()
    bos = theirs.tokenizer.bos_token_id
    return row if row[0] == bos else [bos, *row]  # a post-processor in tokenizer.json may have put it there


@pytest.mark.parametrize("text", PROMPTS)
def test_a_wish_for_a_picture(theirs, ours, tokenizer, text):
    expected = their_ids(theirs, [text], "image")
    assert ours.write_picture(text) == expected
    assert ours.lay_out(tokenizer.encode(text))[0].tolist() == expected, "also by way of a record's tokens"


@pytest.mark.parametrize("text", PROMPTS)
def test_a_question_without_and_with_a_picture(theirs, ours, text):
    assert ours.put_question([text], N_TOKEN).ids == their_ids(theirs, [text], "text")
    question = ours.put_question([None, text], N_TOKEN)
    assert question.ids == their_ids(theirs, [None, text], "text")
    assert sum(question.seen) == N_TOKEN


@pytest.mark.parametrize(
    "parts",
    [
        [None],
        [None, None],
        [None, None, "compare"],
        ["before", None],
        ["before", None, "after"],
        ["one", "two"],
        [None, " one ", " two ", None],
        [None, "a.\n", None, "\nb?"],
    ],
)
def test_texts_and_pictures_in_any_order(theirs, ours, parts):
    question = ours.put_question(parts, N_TOKEN)
    assert question.ids == their_ids(theirs, parts, "text")
    assert sum(question.seen) == N_TOKEN * parts.count(None)


def test_joined_records_ask_as_their_parts(ours, tokenizer, theirs):
    segments = [tokenizer.encode(text).segments[0] for text in ("what is", "this?")]
    assert ours.ask(Record(tuple(segments)), N_TOKEN).ids == their_ids(theirs, ["what is", "this?"], "text")
    expected = their_ids(theirs, ["what is", "this?"], "image")
    assert ours.lay_out(Record(tuple(segments)))[0].tolist() == expected


def test_the_unconditional_row(theirs, ours, tokenizer):
    """As their generation builds it from the ids: all but begin of sentence and begin of image is padding."""
    for text in PROMPTS:
        row = ours.lay_out(tokenizer.encode(text), True)[0].tolist()
        ids = their_ids(theirs, [text], "image")
        keep = (theirs.tokenizer.bos_token_id, theirs.tokenizer.convert_tokens_to_ids("<begin_of_image>"))
        assert row == [id if id in keep else theirs.tokenizer.pad_token_id for id in ids]


def test_merges_cross_the_seams(theirs, ours):
    """Or a prompt put together from the ids of its pieces would pass as well."""
    pieces = [id for text in (": ", "a red apple", "\n\n") for id in theirs.tokenizer.encode(text)]
    whole = ours.write_picture("a red apple")
    assert len(whole) < len(pieces) + 5  # begin of sentence, user, assistant, ":", begin of image
