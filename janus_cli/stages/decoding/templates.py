"""Janus-Pro's published prompts as ids: what stands around a wish for a picture or a question about one.

Knows a tokenizer by what it can do; no nets, no files. The whole prompt is encoded as one string, because
byte-level merges cross the seams. Facts: github deepseek-ai/Janus at 1daa72f, janus/utils/conversation.py
(template `deepseek`) and janus/models/processing_vlm.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from janus_cli.errors import ModelError, UsageError
from janus_cli.records import Record, Segment

BOS, EOS, PAD = "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜▁pad▁｜>"
USER, ASSISTANT = "<|User|>", "<|Assistant|>"
BEGIN, PICTURE, FINISH = "<begin_of_image>", "<image_placeholder>", "<end_of_image>"
SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content "
    "that the user provides, and assist the user with a variety of tasks using natural language."
)


class Tokenizer(Protocol):
    """What a prompt needs of a text tokenizer."""

    name: str

    def encode_ids(self, text: str) -> list[int]:
        """Encode `text` to ids, special tokens in it recognised."""

    def find_id(self, token: str) -> int | None:
        """Find the id of one token, None where there is no such token."""

    @property
    def special(self) -> frozenset[str]:
        """The tokens that stand for no text of their own."""

    def decode(self, segment: Segment) -> str:
        """Decode a text segment to its text."""


def write_turn(text: str, system: str = "") -> str:
    """Write one turn of a user, ready for the answer; surrounding space is dropped, as published."""
    text = text.strip()
    start = f"{system}\n\n" if system else ""
    return f"{start}{USER}: {text}\n\n{ASSISTANT}:" if text else f"{start}{USER}:{ASSISTANT}:"


@dataclass(frozen=True)
class Question:
    """A prompt that asks for words."""

    ids: list[int]
    seen: list[bool]  # where an id only holds the place of a picture's feature
    pictures: tuple[Segment, ...] = ()  # image or pixels, in their order
    record: Record = Record(())  # that asked it
    seeds: Mapping[int, int] = field(default_factory=dict)  # of its answers, by number
    reading: None = None  # a question is taken word by word


class Templates:
    """The prompts of one checkpoint; its special ids are looked up by name.

    A user's text that holds one of the tokenizer's special tokens is refused with a UsageError: the
    published code would take it for the model's own sign of who speaks, or of where a picture stands.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Look up the special ids. Raises ModelError naming the special token that `tokenizer` lacks."""
        self._tokenizer = tokenizer
        needed = (BOS, EOS, PAD, USER, ASSISTANT, BEGIN, PICTURE, FINISH)
        found = {token: tokenizer.find_id(token) for token in needed}
        if missing := [token for token, id in found.items() if id is None]:
            raise ModelError(
                f"model {tokenizer.name}: its tokenizer.json lacks the special token "
                f"{missing[0]}; it is not Janus-Pro's: pull the model again"
            )
        self._special = {token: id for token, id in found.items() if id is not None}
        self._refused = sorted(tokenizer.special | set(needed))
        self.end = self._special[EOS]

    def write_picture(self, text: str) -> list[int]:
        """Encode the wish for a picture of `text`, up to the token that begins the picture."""
        return [
            self._special[BOS],
            *self._tokenizer.encode_ids(write_turn(self._refuse_special(text)) + BEGIN),
        ]

    def _refuse_special(self, text: str) -> str:
        """Give `text` back. Raises UsageError where it holds a special token."""
        if held := [token for token in self._refused if token in text]:
            raise UsageError(f"the prompt holds {held[0]}, a sign that the model itself uses: leave it away")
        return text

    def put_question(self, parts: Sequence[str | None], n_token: int) -> Question:
        """Make a question of texts and pictures (None), in order; a picture has `n_token` features."""
        ids, seen = [self._special[BOS]], [False]
        for id in self._tokenizer.encode_ids(write_turn(self._write_body(parts), SYSTEM)):
            if id == self._special[PICTURE]:
                ids += [self._special[BEGIN], *[id] * n_token, self._special[FINISH]]
                seen += [False, *[True] * n_token, False]
            else:
                ids.append(id)
                seen.append(False)
        return Question(ids, seen)

    def _write_body(self, parts: Sequence[str | None]) -> str:
        """Write a user's `parts` as one text: lines of their own for pictures, a space between texts.

        As in the chat template of transformers' checkpoints, so an empty line parts two pictures; DeepSeek's
        code leaves that to the caller, and shows one picture, a line break, the question.
        """
        before = [None, *parts]
        return "".join(
            f"\n{PICTURE}\n" if part is None else " " * (last is not None) + self._refuse_special(part)
            for last, part in zip(before, parts, strict=False)
        )

    def ask(self, record: Record, n_token: int) -> Question:
        """Make the question that a record's segments ask; pixels stand for the image tokens before them.

        Raises UsageError for sound, and for a record without any word or picture.
        """
        parts: list[str | None] = []
        pictures: list[Segment] = []
        before = ""
        for segment in record.segments:
            if segment.modality == "text":
                parts.append(self._tokenizer.decode(segment))
            elif segment.modality == "pixels" and before == "image":
                pictures[-1] = segment
            elif segment.modality in ("image", "pixels"):
                parts.append(None)
                pictures.append(segment)
            else:
                raise UsageError(f"Janus-Pro takes words and pictures, no {segment.modality}")
            before = segment.modality
        if not any(part is None or part.strip() for part in parts):
            raise UsageError("an empty prompt: ask something, or give a picture")
        found = self.put_question(parts, n_token)
        return Question(found.ids, found.seen, tuple(pictures), record)

    def lay_out(self, record: Record, drop_text: bool = False) -> np.ndarray:
        """Lay a record's text out as the decoder's input, int64 [4, T]: ids, types, rows, cols.

        `drop_text` gives the unconditional row: all but the first and the last id become padding, so it
        depends on the length alone. Raises UsageError for anything but text.
        """
        if other := [s.modality for s in record.segments if s.modality != "text"]:
            raise UsageError(
                f"Janus-Pro cannot take an {other[0]} as a condition for an image: it was "
                "trained on text alone for that; ask about pictures with janus describe"
            )
        text = " ".join(self._tokenizer.decode(segment) for segment in record.segments)
        ids = np.array(self.write_picture(text), np.int64)
        if drop_text:
            ids[1:-1] = self._special[PAD]
        return np.concatenate([ids[None], np.zeros((3, len(ids)), np.int64)])
