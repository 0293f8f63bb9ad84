"""Of several pictures of one prompt the one that shows it best: best of n, chosen by a decoder that sees.

Eyes put a picture into words; how likely they find the words of the prompt says how well the picture shows
it. (The reroll loop of the article, when drawing.) Knows pictures, words and a decoder; draws
nothing, opens nothing.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from janus_cli.nets.decoder import DELIMITER, Decoder
from janus_cli.records import Record
from janus_cli.stages.decoding.features import join_features, number_tokens
from janus_cli.stages.decoding.layout import SIGHT
from janus_cli.stages.lexicon import Lexicon, fold

Rate = Callable[[Sequence[np.ndarray], Sequence[str]], list[float]]  # pictures and wordings -> scores
DIGITS = 4  # of a score that is kept: what computers agree on
# what no description of a picture has: "draw me a photo of …", "…, in noto style"
_FRAME = re.compile(
    r"^(.*\b(photo|picture|image|drawing|illustration|icon|sticker) of |(please )?(draw|paint|show) (me )?)"
)
_STYLE = re.compile(r",?\s*\b(in )?(fluent|noto|twemoji)\b( style)?|\s+emoji$")
_ARTICLE = re.compile(r"^(an?|the) ")
_WORDS = (
    "a an the of in draw paint show me my your please photo picture image drawing illustration icon sticker "
    "style fluent noto twemoji emoji"
)
_SILENT = frozenset(_WORDS.split())  # words of a prompt that say nothing of its things
_BESIDE = frozenset(["and", "next", "to", "with", "beside"])  # those of things side by side, in any order


def word_prompt(text: str, lexicon: Lexicon | None) -> list[str]:
    """Word a prompt as descriptions of pictures are: things by their English names, without frame and style.

    Gives wordings that say the same; which of them eyes would use they know best.
    """
    language, things, others = lexicon.name_things(text) if lexicon is not None else ("", [], [])
    more = set(others) - _SILENT if language == "en" else set()
    if len(things) == 1 and not more:
        return things
    if len(things) == 2 and more <= _BESIDE:
        one, two = (f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}" for name in things)
        return [f"{one} left of {two}", f"{two} left of {one}"]
    if things and language != "en":
        return [" and ".join(things)]
    plain = _FRAME.sub("", _STYLE.sub("", fold(text)).strip(" ,.!?")) or fold(text)
    return list(dict.fromkeys([plain, _ARTICLE.sub("", plain)]))


@torch.inference_mode()
def rate_pictures(features: Tensor, wordings: Sequence[Sequence[int]], decoder: Decoder) -> list[float]:
    """Rate pictures by how likely the decoder finds one of the wordings as their description.

    features: [N, n_token, D] of a vision encoder; wordings: text ids each. Gives the natural log of the
    probability that a description begins with any of them, for each picture.
    """
    sight = number_tokens(SIGHT, features.shape[1], decoder)
    chances = []
    for ids in wordings:
        words = np.array([DELIMITER, *ids[:-1]])
        zeros = np.zeros_like(words)
        row = np.stack([words, np.full_like(words, decoder.type_ids["text"]), zeros, zeros])
        row = np.concatenate([sight, row], axis=1)
        rows, joined = join_features([row] * len(features), [{SIGHT: seen} for seen in features], decoder)
        laid = torch.from_numpy(np.stack(rows, axis=1)).to(decoder.device)
        hidden = decoder(*laid, features=joined)[:, sight.shape[1] :]
        logits = decoder.compute_logits(hidden, "text").float().log_softmax(-1)
        told = torch.tensor(ids, device=logits.device).expand(len(features), -1)
        chances.append(logits.gather(2, told[..., None]).sum((1, 2)))
    return torch.stack(chances).logsumexp(0).tolist()


@dataclass(frozen=True)
class Choose:
    """The stage: of every `count` records of pictures that follow one another, the one that is rated best.

    look: shows a record's picture, uint8 [H, W, 3]; word: says what it should show, in one way or several;
    rate: rates pictures by that; eyes: the name of the model that does. The first of equals is taken.
    """

    count: int
    look: Callable[[Record], np.ndarray]
    word: Callable[[Record], list[str]]
    rate: Rate
    eyes: str

    def __call__(self, records: Iterable[Record]) -> Iterator[Record]:
        """Choose among each `count` records, just generated: all seeds and scores stand in its `made_by`.

        It is numbered as the result of its prompt that it has become.
        """
        group: list[Record] = []
        for record in records:
            group.append(record)
            if len(group) == self.count:
                yield self._choose(group)
                group = []

    def _choose(self, group: Sequence[Record]) -> Record:
        wordings = self.word(group[0])
        scores = [round(score, DIGITS) for score in self.rate([self.look(r) for r in group], wordings)]
        best = max(range(len(group)), key=scores.__getitem__)
        seeds = [record.step("generate").get("seed") for record in group]
        *before, made = group[best].made_by
        numbered = (*before, made | {"index": made["index"] // self.count})
        return replace(group[best], made_by=numbered).with_step(
            "choose",
            model=self.eyes,
            wording=wordings[0],
            score=scores[best],
            candidates=[list(pair) for pair in zip(seeds, scores, strict=True)],
            different=len({record.segments[-1].data.tobytes() for record in group}),
        )
