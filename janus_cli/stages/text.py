"""Text as tokens: byte-level BPE from any tokenizer.json, there and back.

Knows the `tokenizers` library. No torch on this path, and no files besides the tokenizer's own.
"""

import contextlib
import hashlib
from collections.abc import Iterator
from functools import cached_property
from itertools import groupby
from pathlib import Path

from janus_cli.errors import MediaError, ModelError, RecordError
from janus_cli.media.c_messages import keep_messages
from janus_cli.records import Record, Segment, check_ids, to_ids

MAX_FILE = 1 << 24  # bytes of a tokenizer.json; the largest that published checkpoints bring have about 10 MB
MAX_NOTE = 4000  # characters; a longer text is not repeated in made_by, where prompts are kept


@contextlib.contextmanager
def _explain_faults(what: str) -> Iterator[None]:
    """Turn whatever the library raises of a bad file into a ModelError that begins with `what`.

    That is a bare Exception, a ValueError, or its language's panic, which is no Exception, and whose trace is
    written past Python to the process's stderr.
    """
    try:
        with keep_messages(descriptor=True):
            yield
    except (KeyboardInterrupt, SystemExit, MemoryError, ModelError):
        raise
    except BaseException as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"{what} ({reason})") from None


class TextTokenizer:
    """One tokenizer.json, loaded."""

    def __init__(self, file: Path, name: str) -> None:
        """Load `file`; `name` goes into the records. Raises ModelError if it is no tokenizer."""
        from tokenizers import Tokenizer

        self.name = name
        try:
            with file.open("rb") as opened:
                data = opened.read(MAX_FILE + 1)
        except OSError as error:
            raise ModelError(f"{file}: {error.strerror}") from None
        if len(data) > MAX_FILE:
            raise ModelError(f"{file}: not a tokenizer.json (more than {MAX_FILE:,} bytes)")
        with _explain_faults(f"{file}: not a tokenizer.json"):
            self._tokenizer = Tokenizer.from_buffer(data)
        self.fingerprint = hashlib.sha256(data).hexdigest()
        self.vocab_size: int = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=0)

    def encode_ids(self, text: str) -> list[int]:
        """Encode `text` to ids, special tokens in it recognised, none added. Raises what `encode` raises."""
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise MediaError(f"the text is not valid UTF-8 at character {error.start}") from None
        with _explain_faults(f"{self.name}: its tokenizer.json cannot encode this text"):
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def find_id(self, token: str) -> int | None:
        """Find the id of one token, None where there is no such token."""
        found: int | None = self._tokenizer.token_to_id(token)
        return found

    @cached_property
    def _added(self) -> dict[int, str]:
        """The texts that are tokens as a whole, whatever the merges say."""
        return {id: token.content for id, token in self._tokenizer.get_added_tokens_decoder().items()}

    @cached_property
    def special(self) -> frozenset[str]:
        """The tokens that stand for no text of their own."""
        added = self._tokenizer.get_added_tokens_decoder().values()
        return frozenset(token.content for token in added if token.special)

    def spell(self, ids: list[int]) -> str:
        """Decode ids to their text, special tokens left out."""
        return self._join_pieces([id for id in ids if self._added.get(id) not in self.special])

    def _join_pieces(self, ids: list[int]) -> str:
        """Decode ids to their text, special tokens included.

        Added tokens are spelled out here: the library's byte-level decoder takes one such as "ü", which
        DeepSeek's tokenizers have, for the symbol of a byte, and gives a replacement character.
        """
        pieces: list[str] = []
        for added, group in groupby(ids, self._added.__contains__):
            run = list(group)
            with _explain_faults(f"{self.name}: its tokenizer.json cannot decode these ids"):
                pieces += [self._added[id] for id in run] if added else [self._tokenizer.decode(run)]
        return "".join(pieces)

    def encode(self, text: str, id: str = "") -> Record:
        """Encode to a record of one text segment [T]. Raises MediaError for text that UTF-8 cannot hold."""
        ids = self.encode_ids(text)
        info = {"tokenizer": self.name, "fingerprint": self.fingerprint}
        segment = Segment("text", to_ids(ids, self.vocab_size), info)
        note = {"text": text} if len(text) <= MAX_NOTE else {"characters": len(text)}
        return Record((segment,), id).with_step("tokenize", modality="text", **note)

    def decode(self, segment: Segment) -> str:
        """Decode a text segment [T] to its text.

        Raises RecordError for ids out of range, ModelError for another tokenizer's ids.
        """
        if segment.modality != "text":
            raise RecordError(f"expected a text segment, found {segment.modality}")
        theirs = segment.info.get("fingerprint", self.fingerprint)
        if theirs != self.fingerprint:
            raise ModelError(
                f"the text was tokenized by {segment.info.get('tokenizer', 'another tokenizer')} "
                f"({theirs[:12]}), but this is {self.name} ({self.fingerprint[:12]}): choose with --tokenizer"
            )
        check_ids(segment, self.vocab_size)
        return self._join_pieces(segment.data.tolist())
