"""What a prompt's words mean to a model: everyday words become the names that it learned best.

Knows lexicon.json of a model folder and words, in six languages. Loads no net: a prompt is read as text.
"""

import difflib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import msgspec

from janus_cli.errors import ModelError

FILE = "lexicon.json"
_COLOURS = "red orange yellow green blue purple pink black white brown gray"
COLOURS = frozenset(_COLOURS.split())
NUMBERS = {2: "two", 3: "three", 4: "four"}
IRREGULAR = {"mouse": "mice"} | {noun: noun for noun in ("sheep", "fish", "shrimp", "squid", "sushi")}
# Words that say how, where and in which style: they are no things, whatever else they may mean.
_STYLING = "style fluent noto twemoji emoji"
_GRAMMAR = {
    "en": f"{_COLOURS} grey colored coloured a an the of in on at to with and or next left right above below "
    "under over top bottom small big little large center centre middle corner background photo picture image "
    "drawing illustration icon sticker draw paint show me my your please two three four old new young tiny "
    "huge giant dark light bright pale nice cute cool pretty beautiful lovely funny simple single some one "
    "no not",
    "de": "ein eine einen einem einer der die das auf mit und neben über unter im in bild foto von zwei drei "
    "vier hintergrund blauem grünem gelbem rosa grauem schwarzem blau rot grün gelb schwarz weiß grau lila "
    "blauer roter grüner gelber schwarzer weißer blaue rote grüne gelbe schwarze weiße",
    "es": "un una unos unas el la los las de del sobre con y en foto imagen fondo dos tres cuatro azul verde "
    "amarillo amarilla rosa gris negro negra rojo roja blanco blanca morado naranja",
    "fr": "un une des le la les de du sur avec et dans photo image fond deux trois quatre bleu bleue vert "
    "verte jaune rose gris grise noir noire rouge blanc blanche violet",
    "ja": "の と が は を に も で 背景 背景の 青い 緑の 黄色い ピンクの 灰色の 黒い 赤い 白い 写真",
    "ko": "의 와 과 은 는 이 가 을 를 에 배경 배경의 파란 초록 노란 분홍 회색 검은 빨간 하얀 사진",
}
# What may stand between two things of a prompt, as it does in the captions that were learned.
LINKS = frozenset(
    ["and", "next to", "left of", "right of", "above", "below", "und", "neben", "y", "et", "と", "와", "과"]
)
_ELSEWHERE = "in on at of with over under to auf mit über unter von im"  # what else says where a thing is
_PLACES = frozenset(f"{' '.join(LINKS)} {_ELSEWHERE}".split())
# What a wish is wrapped in, and small words with it. English frames were learned; of the others few were, so
# what stands in such a frame alone is asked for by its name.
_FRAMES = {
    "de": "bild foto zeichnung icon symbol zeichne zeichnen male mal mir zeig zeige bitte",
    "es": "foto imagen dibujo icono dibuja dibújame pinta píntame muéstrame por favor",
    "fr": "photo image dessin icône dessine dessinez moi montre s il te vous plaît plait",
    "ja": "絵 写真 イラスト アイコン 絵文字 描いて 描いてください ください",
    "ko": "그림 사진 아이콘 이모티콘 이모지 그려줘 그려 줘 주세요 그려주세요",
}
_AROUND = {
    "de": "ein eine einen einem einer der die das dem den von",
    "es": "un una el la de del",
    "fr": "un une le la l de d du",
    "ja": "の を",
    "ko": "의 을 를",
}
FRAMES = {language: frozenset(words.split()) for language, words in _FRAMES.items()}
AROUND = {language: frozenset(words.split()) for language, words in _AROUND.items()}
GRAMMAR = {
    language: frozenset(f"{words} {_STYLING} {_FRAMES.get(language, '')} {_AROUND.get(language, '')}".split())
    for language, words in _GRAMMAR.items()
}
LONGEST = 2000  # characters of a prompt that is read; what is longer is no wish for a picture
LEAST = 1.95  # weight of a word that is replaced; less only helps among others, and says that it is known
AS_WELL = 0.7  # share of the weight of the likeliest meaning that another needs beside it
NEAREST = 3  # names that a prompt without known words is answered with
_ENGLISH = frozenset(["a", "an", "the", "of", "with", "and"])  # words that say that a prompt is English
SURE = float("inf")  # a name
_NO_NUMBER = 1 << 32
# endings of plurals, and what the singular has in their place
_ENDINGS = {
    "en": (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", "")),
    "de": (("en", ""), ("n", ""), ("er", ""), ("e", ""), ("s", "")),
    "es": (("es", ""), ("s", "")),
    "fr": (("x", ""), ("s", "")),
}
# Chinese characters, kana and Hangul: words are found without spaces between them.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_AFTER_ONE = frozenset(
    "のとがはをにもや은는이가을를와과의에도로"
)  # particles: what may follow a noun of one letter


def fold(text: str) -> str:
    """Make `text` comparable: composed (NFC), without case, without space around it."""
    return unicodedata.normalize("NFC", text).casefold().strip()


def split_words(text: str) -> list[str]:
    """Split `text` into words; what is no letter and no digit stands between them."""
    return re.findall(r"\w+", text)


def pluralise(noun: str) -> str:
    """Form the plural of a single English noun."""
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun.endswith("s") and not noun.endswith(("ss", "us")):  # beans, grapes
        return noun
    if noun.endswith(("s", "x", "ch", "sh", "to")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


@dataclass(frozen=True)
class Reading:
    """A prompt as the model had better read it."""

    text: str
    changes: tuple[tuple[str, str], ...] = ()  # words of the prompt, and the name in their place
    known: bool = True  # whether any of its words is a thing that the model learned
    near: tuple[str, ...] = ()  # names that are spelled alike, where none is known
    beyond: str = ""  # its end, where it is longer than what the model learned
    by: str = ""  # the model that reads it


@dataclass(frozen=True)
class _Word:
    start: int
    end: int
    key: str


@dataclass(frozen=True)
class _Match:
    """Words first … last - 1 of a text that are known; `concept`: what another word for it is drawn as."""

    first: int
    last: int
    concept: int | None  # None for a name, and for a word that may mean too much


class Tongue:
    """The names and words of one language."""

    def __init__(self, names: Sequence[str], words: Mapping[str, Mapping[str, float]], language: str) -> None:
        """`names`: a concept's name by its number; `words`: what each may mean, the likeliest first."""
        self.names, self.words, self.language = names, words, language
        self.grammar: frozenset[str] = GRAMMAR.get(language, frozenset())

    @cached_property
    def numbers(self) -> dict[str, int]:
        """A concept's number by its name; of equal names the first counts."""
        named = [(make_key(name), number) for number, name in enumerate(self.names) if name]
        return dict(reversed(named))

    @cached_property
    def _longest(self) -> int:
        return max((key.count(" ") + 1 for key in self.numbers), default=1)

    def find(self, key: str) -> tuple[int, float] | None:
        """Find the concept of a phrase or its singular, and how surely it is meant; None where unknown."""
        forms = self.list_singulars(key)
        for form in forms:
            if form in self.numbers:
                return self.numbers[form], SURE
        if key.split(" ", 1)[0] in self.grammar:  # "blue car": the colour is not the thing's
            return None
        owners = [next(iter(self.words[form].items())) for form in forms if form in self.words]
        if not owners:
            return None
        number, weight = max(owners, key=lambda owner: owner[1])
        return int(number), weight

    def list_owners(self, key: str) -> list[int]:
        """List what a phrase that `find` finds may mean, the likeliest first; a name means one thing."""
        first, weight = self.find(key) or (0, SURE)
        if weight == SURE:
            return [first]
        forms = (self.words[form] for form in self.list_singulars(key) if form in self.words)
        owners = max(forms, key=lambda found: next(iter(found.values())))  # as `find` chose it
        return [first, *(int(n) for n, w in owners.items() if w >= AS_WELL * weight and int(n) != first)]

    @cached_property
    def longest_key(self) -> int:
        """Letters of the longest name or word."""
        return max(map(len, (*self.numbers, *self.words)), default=0)

    def match(self, words: Sequence[_Word]) -> list[_Match]:
        """Match phrases of `words` from the left, the longest first."""
        found, at = [], 0
        while at < len(words):
            for last in range(min(len(words), at + self._longest), at, -1):
                hit = self.find(" ".join(word.key for word in words[at:last]))
                if hit:
                    found.append(_Match(at, last, hit[0] if LEAST <= hit[1] < SURE else None))
                    at = last
                    break
            else:
                at += 1
        return found

    def combine(self, words: Sequence[str]) -> int | None:
        """Choose the concept that all of several words speak for, the most; None where there is none."""
        total: dict[str, float] = defaultdict(float)
        owned: dict[str, int] = defaultdict(int)
        for word in words:
            key = next((form for form in self.list_singulars(word) if form in self.words), "")
            for number, weight in self.words.get(key, {}).items():
                total[number] += weight
                owned[number] += 1
        whole = [number for number, count in owned.items() if count == len(words)]
        return int(max(whole, key=total.__getitem__)) if whole else None

    def list_singulars(self, key: str) -> list[str]:
        """List a phrase and what may be its singular."""
        endings = _ENDINGS.get(self.language, ())
        return [
            key,
            *(key.removesuffix(end) + new for end, new in endings if key.endswith(end) and len(key) > 3),
        ]


class _Language(msgspec.Struct, forbid_unknown_fields=True):
    """One language in lexicon.json."""

    names: list[str]
    words: dict[str, dict[str, float]]


class Lexicon:
    """What the words of all languages mean."""

    def __init__(self, tongues: Mapping[str, Tongue]) -> None:
        self.tongues = tongues

    @classmethod
    def read(cls, path: Path) -> "Lexicon":
        """Read lexicon.json. Raises ModelError for a file that is none."""
        try:
            content = msgspec.json.decode(path.read_bytes(), type=dict[str, _Language])
        except OSError as error:
            raise ModelError(f"{path}: {error.strerror}") from None
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            raise ModelError(f"{path}: not a lexicon ({error})") from None
        for language, part in content.items():
            if not all(
                who and all(_read_number(n) < len(part.names) for n in who) for who in part.words.values()
            ):
                raise ModelError(
                    f"{path}: not a lexicon (a word of {language} means a concept without a name)"
                )
        return cls({k: Tongue(part.names, part.words, k) for k, part in content.items()})

    def interpret(self, text: str) -> Reading:
        """Read a prompt: words that stand for a concept are replaced by its name in their language.

        The language is the one that knows most letters of the prompt. Words side by side stand for a concept
        that owns all of them ("pine tree"); where one of them is something else, all stay as they are.
        """
        best = self._find_sentence(text)
        if best is None:
            return Reading(text)
        if named := self._find_name(text):
            return Reading(text) if named == text else Reading(named, ((text.strip(), named),))
        if best.matches or (best.words and not best.list_things()):
            return best.rewrite()
        return Reading(text, known=False, near=self.find_near(" ".join(best.list_things())))

    def _find_name(self, text: str) -> str:
        """Give a whole prompt that is a thing's name in any language, which is learned best; '' for others.

        In capitals they were learned in English alone: elsewhere the name is written as it is.
        """
        key = make_key(text)
        for language, tongue in self.tongues.items():
            if key in tongue.numbers:
                shouted = language != "en" and text.isupper()
                return tongue.names[tongue.numbers[key]] if shouted else text
        return ""

    def _find_sentence(self, text: str) -> "_Sentence | None":
        """Find `text` in the language that knows most letters of it; None where nothing is to be read."""
        if len(text) > LONGEST or not text.strip():
            return None
        best, most = None, -1
        for tongue in self.tongues.values():
            sentence = _Sentence(tongue, text)
            known, letters = sentence.count_letters()
            if known > most:
                best, most = sentence, known
            if known == letters:
                break
        return best

    def name_things(self, text: str) -> tuple[str, list[list[str]], list[str]]:
        """Name in English the things that a prompt speaks of.

        Gives its language, what each thing may be, and its words that are none; ("", [], []) for no text.
        """
        sentence, english = self._find_sentence(text), self.tongues.get("en")
        if sentence is None or english is None:
            return "", [], []
        things = [[english.names[number] for number in owners] for owners in sentence.list_concepts()]
        return sentence.tongue.language, things, sentence.list_others()

    def find_near(self, key: str) -> tuple[str, ...]:
        """Find English names that are spelled like `key`."""
        if not (english := self.tongues.get("en")):
            return ()
        near = difflib.get_close_matches(key, [*english.numbers, *english.words], n=NEAREST, cutoff=0.7)
        hits = [hit for word in near if (hit := english.find(word))]
        return tuple(dict.fromkeys(english.names[number] for number, _ in hits))

    def list_words(self, pattern: str = "") -> Iterator[tuple[str, str, str]]:
        """List what is known and holds `pattern`: (language, word, the name that it is drawn as)."""
        wanted = fold(pattern)
        for language, tongue in self.tongues.items():
            for key in sorted({*tongue.numbers, *tongue.words}):
                if wanted in key and (hit := tongue.find(key)):
                    yield language, key, tongue.names[hit[0]]


class _Sentence:
    """A prompt in one language."""

    def __init__(self, tongue: Tongue, text: str) -> None:
        self.tongue, self.text = tongue, text
        self.words = _find_unspaced(tongue, text) if _UNSPACED.search(text) else _find_words(text)
        self.matches = tongue.match(self.words)

    def list_things(self) -> list[str]:
        """List the words that are not of the grammar."""
        return [word.key for word in self.words if word.key not in self.tongue.grammar]

    def list_concepts(self) -> list[list[int]]:
        """List for each known phrase, in order, the concepts that it names or may mean, by number."""
        phrases = (" ".join(w.key for w in self.words[m.first : m.last]) for m in self.matches)
        return [self.tongue.list_owners(phrase) for phrase in phrases]

    def list_others(self) -> list[str]:
        """List the words outside of known phrases."""
        matched = {i for match in self.matches for i in range(match.first, match.last)}
        return [word.key for i, word in enumerate(self.words) if i not in matched]

    def count_letters(self) -> tuple[int, int]:
        """Count the letters of words that this language knows, for things or between them, and of all."""
        matched = {i for match in self.matches for i in range(match.first, match.last)}
        known = [w for i, w in enumerate(self.words) if i in matched or w.key in self.tongue.grammar]
        if self.tongue.language != "en" and any(w.key in _ENGLISH for w in self.words):
            return 0, sum(w.end - w.start for w in self.words)
        return sum(w.end - w.start for w in known), sum(w.end - w.start for w in self.words)

    def rewrite(self) -> Reading:
        """Replace what the model knows under another name, and a foreign frame by what is in it."""
        if name := self._find_framed():
            return Reading(name, ((self.text.strip(), name),))
        said, parts, at = [], [], 0
        for first, last, name in self._choose_changes():
            start, end = self.words[first].start, self.words[last - 1].end
            before = self.words[first - 1].key if first else ""
            head = self.text[at:start]
            if self.tongue.language == "en":
                if before in NUMBERS.values() or 1 < _read_number(before) < _NO_NUMBER:
                    name = pluralise(name)
                article = "an" if name[:1].lower() in "aeiou" else "a"
                head = re.sub(r"\b(an?)(\W+)$", rf"{article}\2", head, flags=re.IGNORECASE)
            said.append((self.text[start:end], name))
            parts += [head, name]
            at = end
        return Reading("".join([*parts, self.text[at:]]), tuple(said))

    def _find_framed(self) -> str:
        """Find the name of the one thing that stands in a frame and nothing else; '' where there is more."""
        frames = FRAMES.get(self.tongue.language, frozenset())
        if len(self.matches) != 1 or not frames.intersection(others := self.list_others()):
            return ""
        concepts = self.list_concepts()
        alone = frames.union(AROUND[self.tongue.language]).issuperset(others)
        return self.tongue.names[concepts[0][0]] if alone and concepts else ""

    def _choose_changes(self) -> Iterator[tuple[int, int, str]]:
        """Choose which words get another name: (first, last, name). None do where the prompt says more than
        things side by side, as the captions had them: what becomes of the rest nobody knows.
        """
        runs = list(_find_runs(self.words, self.text, self.tongue.grammar))
        if not all(self._is_linked(before[1], after[0]) for before, after in pairwise(runs)):
            return
        whole = {(match.first, match.last): match for match in self.matches}
        for run in runs:
            match = whole.get(run)
            concept = match.concept if match else None
            if match is None and run[1] - run[0] > 1 and not self._is_within(run):
                concept = self.tongue.combine([word.key for word in self.words[run[0] : run[1]]])
            if concept is not None and self._may_be_called(run, self.tongue.names[concept]):
                yield (*run, self.tongue.names[concept])

    def _is_within(self, run: tuple[int, int]) -> bool:
        """Tell whether words are a part of a longer phrase that is known ("right anger bubble")."""
        return any(match.first <= run[0] and run[1] <= match.last for match in self.matches)

    def _is_linked(self, end: int, start: int) -> bool:
        """Tell whether what is between two runs of words only says that both are there, and where."""
        if end == start:
            return bool(re.search(r"[,;、]", self.text[self.words[end - 1].end : self.words[start].start]))
        between = [word.key for word in self.words[end:start]]
        places = " ".join(word for word in between if word in _PLACES)
        if not places:
            return bool(re.search(r"[,;、]", self.text[self.words[end - 1].end : self.words[end].start]))
        return places in LINKS

    def _may_be_called(self, run: tuple[int, int], name: str) -> bool:
        """Tell whether a name fits: not where it has a colour, and the prompt another."""
        asked = {word.key for word in self.words[: run[0]]} & COLOURS
        return not (asked and COLOURS & set(split_words(fold(name))))


def _find_runs(words: Sequence[_Word], text: str, grammar: frozenset[str]) -> Iterator[tuple[int, int]]:
    """Find words side by side, first … last - 1: no comma and no word of the grammar is between them."""
    start = None
    for i, word in enumerate(words):
        parted = i > 0 and re.search(r"[,;.!?、。]", text[words[i - 1].end : word.start])
        if start is not None and (parted or _is_between(word, grammar)):
            yield start, i
            start = None
        if start is None and not _is_between(word, grammar):
            start = i
    if start is not None:
        yield start, len(words)


def _is_between(word: _Word, grammar: frozenset[str]) -> bool:
    return word.key in grammar or _read_number(word.key) < _NO_NUMBER


def _find_words(text: str) -> list[_Word]:
    return [_Word(m.start(), m.end(), fold(m[0])) for m in re.finditer(r"\w+", text)]


def _find_unspaced(tongue: Tongue, text: str) -> list[_Word]:
    """Find words in a text without spaces: the longest known one at each place, and what is between."""
    words: list[_Word] = []
    for run in re.finditer(r"\w+", text):
        unknown = at = run.start()
        while at < run.end():
            end = _find_end(tongue, text, at, run.end())
            if end is None:
                at += 1
                continue
            words += [_Word(unknown, at, "")] if unknown < at else []
            words.append(_Word(at, end, fold(text[at:end])))
            unknown = at = end
        words += [_Word(unknown, at, "")] if unknown < at else []
    return words


def _find_end(tongue: Tongue, text: str, at: int, limit: int) -> int | None:
    """Find where the known word that begins at `at` ends; one letter is a word only where one can be."""
    for end in range(min(limit, at + tongue.longest_key), at, -1):
        key = fold(text[at:end])
        is_thing = key in tongue.numbers or key in tongue.words
        if key in tongue.grammar or (is_thing and (end - at > 1 or end == limit or text[end] in _AFTER_ONE)):
            return end
    return None


def _read_number(text: str) -> int:
    """Read a small whole number; what is none counts as _NO_NUMBER."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else _NO_NUMBER


def make_key(phrase: str) -> str:
    """Make a phrase comparable, however it is hyphenated and spaced."""
    return " ".join(split_words(fold(phrase)))
