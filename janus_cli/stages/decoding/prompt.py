"""Prompts before the decoder: a record is checked and laid out once, for the loop.

Knows a decoder's configuration, options and the model's tokenizers by fingerprint. No decoder runs here; a
vision encoder does where a prompt holds pictures that are seen.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from janus_cli.errors import ModelError, RecordError, UsageError
from janus_cli.nets.decoder import Decoder
from janus_cli.records import Record, Segment, check_ids
from janus_cli.stages.audio import keep_heard
from janus_cli.stages.decoding.features import Features, Net, check_width, collect_features, takes_features
from janus_cli.stages.decoding.hearing import Ears
from janus_cli.stages.decoding.layout import SIGHT, Eyes, Placed, arrange, lay_out, needs_words
from janus_cli.stages.decoding.options import GenerateOptions
from janus_cli.stages.decoding.segments import Identity
from janus_cli.stages.lexicon import Reading

Template = Callable[[Record, bool], np.ndarray]  # a record, whether without its text -> decoder input [4, T]


@dataclass(frozen=True, eq=False)
class Prompt:
    """A record that the decoder can take, laid out for it. `prepare` makes it, the loop consumes it."""

    record: Record
    tokens: np.ndarray  # decoder input, int64 [4, T]: ids, types, rows, cols
    unconditional: np.ndarray | None  # the same without the text; None without guidance
    features: Features = field(default_factory=dict)  # what the ids of both point at
    words_first: bool = False  # `tokens` end with the text's delimiter: words come before the output
    seeds: Mapping[int, int] = field(default_factory=dict)  # of its outputs, by number
    reading: Reading | None = None  # how its words were understood, where that is worth a word


@dataclass(frozen=True)
class Preparer:
    """Makes prompts for one decoder and one set of options."""

    decoder: Net
    options: GenerateOptions
    identity: Identity
    template: Template | None = None  # another layout than delimiters between segments
    eyes: Eyes | None = None  # how pictures are seen where none is drawn
    ears: Ears | None = None  # what of a recording is taken for speech; None: anything

    def prepare(self, record: Record, seeds: Mapping[int, int] | None = None) -> Prompt:
        """Check `record` and lay it out; of a recording only what is to be heard.

        `seeds`: those of its outputs, by number; None: as the options say.

        Raises UsageError for continuous tokens of another width or a sequence too long, RecordError for ids
        out of range, a sound of no length and one in which nothing is heard, ModelError for another
        tokenizer's tokens.
        """
        n_sight = self.eyes.n_token if self.eyes is not None else 0
        heard = [keep_heard(segment, record.id) for segment in record.segments]
        placed = arrange(heard, self.options.to, self.decoder, n_sight)
        for name, segment in placed:
            if name != SIGHT or segment.modality in self.decoder.type_ids:
                self._check_segment(segment, record.id)
        guided, seeds = self.options.cfg_scale != 1, self.options.seeds if seeds is None else seeds
        if self.template is not None:
            tokens = self.template(record, False)
            self._check_length(heard, tokens.shape[1], self.options.length)
            bare = self.template(record, True) if guided else None
            return Prompt(record, tokens, bare, seeds=seeds)
        words_first = self.options.through_words and needs_words(placed, self.options.to, self.decoder)
        to = "text" if words_first else self.options.to
        tokens = lay_out(placed, to, self.decoder, n_sight=n_sight)
        new = self.options.length + words_first * (self.options.max_words + 1)
        self._check_length(heard, tokens.shape[1], new)
        self._listen(placed, record.id)
        unconditional: np.ndarray | None = None
        if guided:  # training drops captions, with all before them
            kept: list[Placed] = [] if words_first else placed
            unconditional = lay_out(kept, to, self.decoder, drop_text=True, n_sight=n_sight)
        return Prompt(record, tokens, unconditional, self._collect(record, placed), words_first, seeds)

    def _listen(self, placed: list[Placed], id: str) -> None:
        """Raise RecordError where a recording holds no words."""
        for name, segment in placed:
            if name == "audio" and self.ears is not None and isinstance(self.decoder, Decoder):
                self.ears.check(segment, self.decoder, id)

    def _collect(self, record: Record, placed: list[Placed]) -> Features:
        """Collect the features that a prompt's ids point at: of continuous segments and of seen pictures."""
        found = collect_features(record.segments, self.decoder)
        if self.eyes is not None:
            views = [self.eyes.see(segment) for name, segment in placed if name == SIGHT]
            if views:
                found[SIGHT] = torch.cat(views)
        return found

    def _check_segment(self, segment: Segment, id: str) -> None:
        modality, who = segment.modality, f"record {id!r}: " if id else ""
        if modality not in self.decoder.type_ids:
            known = ", ".join(self.decoder.type_ids)
            raise UsageError(f"{who}model {self.identity.name} does not take {modality} (it has {known})")
        ours, theirs = self.identity.find_fingerprint(modality), segment.info.get("fingerprint")
        if ours is not None and theirs is not None and theirs != ours:
            raise ModelError(
                f"{who}the {modality} tokens are of {segment.info.get('tokenizer', 'an unnamed tokenizer')} "
                f"({theirs[:12]}), model {self.identity.name} has {ours[:12]}: "
                "choose the right one with --model"
            )
        cfg = self.decoder.cfg.modalities[modality]
        try:
            if takes_features(segment.modality, self.decoder):
                check_width(segment, self.decoder)
            elif segment.data.dtype.kind == "f":
                raise UsageError(f"{modality} segment: continuous tokens, but the decoder reads ids")
            else:
                check_ids(segment, cfg.vocab_size)
        except (RecordError, UsageError) as error:
            raise type(error)(f"{who}{error} (model {self.identity.name})") from None
        if modality == "audio" and len(segment.data) < cfg.n_q:
            raise RecordError(
                f"{who}audio segment: {len(segment.data)} codebooks, model "
                f"{self.identity.name} reads {cfg.n_q}: tokenize it without --bandwidth"
            )
        if modality == "audio" and not segment.data.size:
            raise RecordError(f"{who}audio segment: a sound of no length: there is nothing to hear")

    def _check_length(self, segments: Sequence[Segment], width: int, new: int) -> None:
        """Raise UsageError where `width` tokens and `new` ones are too many; for a sound it names seconds."""
        name, most = self.identity.name, self.decoder.cfg.max_seq_len
        if width + new - 1 <= most:
            return
        frames = sum(s.data.shape[1] for s in segments if s.modality == "audio")
        if not frames or self.identity.codec is None:
            raise UsageError(
                f"a prompt of {width} tokens and {new} new ones are too long: "
                f"model {name} takes {most} in all"
            )
        rate = self.identity.codec.frame_rate
        room = max(most + 1 - new - (width - frames), 0) / rate
        raise UsageError(
            f"a sound of {frames / rate:.1f} s is too long: model {name} takes at most {room:.1f} s "
            f"here, beside {new} new tokens"
        )
