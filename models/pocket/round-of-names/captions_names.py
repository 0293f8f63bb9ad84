"""Captions for the names round: the project's grammar, other languages, everyday words, frames and cases, colours said in other ways."""
import json
from janus_cli.training import captions as C
from janus_cli.training.pack import LANGUAGES
from janus_cli.training.samples import COLOUR_WORDS

WORDS = []  # [concept][language] -> [[phrase, weight], ...]; filled by load
FRAMES = ("a picture of {x}", "an image of {x}", "a photo of {x}", "a photo of {x}", "a drawing of {x}", "an emoji of {x}", "an icon of {x}", "a sketch of {x}",
          "a painting of {x}", "an illustration of {x}", "a cartoon of {x}", "picture of {x}", "photo of {x}", "draw {x}", "draw me {x}", "please draw {x}", "can you draw {x}", "show me {x}",
          "i want {x}", "one {x}", "{x} please", "{x} emoji", "{x} icon", "{x} drawing", "{x} picture", "clip art of {x}", "a logo of {x}", "the {x}", "my {x}")
FRAMES_IN = {"de": ("ein Bild von {x}", "ein Foto von {x}", "zeichne {x}", "Bild: {x}"), "es": ("una foto de {x}", "un dibujo de {x}", "una imagen de {x}", "dibuja {x}"),
             "fr": ("une photo de {x}", "un dessin de {x}", "une image de {x}", "dessine {x}"), "ja": ("{x}の絵", "{x}の写真", "{x}を描いて"), "ko": ("{x} 그림", "{x} 사진", "{x} 그려줘")}
ARTICLES = {"de": ("ein", "eine", "der", "die", "das"), "es": ("un", "una", "el", "la"), "fr": ("un", "une", "le", "la")}
ADJECTIVES = ("cute", "nice", "beautiful", "simple", "little", "funny", "pretty", "big", "small")
LEFT = ("{a} left of {b}", "{a} left of {b}", "{a} to the left of {b}", "{b} right of {a}", "{b} to the right of {a}",
        "{a} and {b}", "{a} next to {b}", "{a} beside {b}", "{a} with {b}")
ABOVE = ("{a} above {b}", "{a} above {b}", "{a} over {b}", "{b} below {a}", "{b} under {a}", "{b} beneath {a}", "{a} on top of {b}")
CORNER = ("a small {x} in the {p}", "a small {x} in the {p}", "a small {x} at the {p}", "a tiny {x} in the {p}", "{x} in the {p}")
DIGITS = {2: ("two", "2", "a pair of", "a couple of"), 3: ("three", "3"), 4: ("four", "4")}
BACK = ("{x} on a {c} background", "{x} on a {c} background", "{x} on {c}", "{x}, {c} background", "{x} with a {c} background", "{x} in front of a {c} background")
HUED = ("{x} in {h}", "{x}, {h}", "{h} colored {x}", "{h} coloured {x}", "{x} that is {h}")
HUES_IN = {
    "de": dict(red="rot", orange="orange", yellow="gelb", green="grün", blue="blau", purple="lila", pink="rosa"),
    "es": dict(red="roj", orange="naranja", yellow="amarill", green="verde", blue="azul", purple="morad", pink="rosa"),
    "fr": dict(red="rouge", orange="orange", yellow="jaune", green="vert", blue="bleu", purple="violet", pink="rose"),
    "ja": dict(red="赤い", orange="オレンジ色の", yellow="黄色い", green="緑の", blue="青い", purple="紫の", pink="ピンクの"),
    "ko": dict(red="빨간", orange="주황색", yellow="노란", green="초록", blue="파란", purple="보라색", pink="분홍")}

def load(path): WORDS[:] = json.load(open(path))
def pick(rng, options): return options[int(rng.integers(len(options)))]
def word_of(number, language, rng):
    """An everyday word for the concept, or nothing."""
    known = WORDS[number].get(language) if WORDS else None
    if not known: return ""
    total = sum(w for _, w in known); at = rng.random() * total
    for phrase, w in known:
        at -= w
        if at <= 0: return phrase
    return known[-1][0]

def scene_name(concept, number, rng):
    if rng.random() < 0.12:
        known = [p for p, w in WORDS[number].get("en", []) if w > 0.5 and p.isalpha()] if WORDS else []
        if known: return pick(rng, known)
    return concept.name

def scene(sample, names, rng):
    if sample.layout in ("2", "3", "4"):
        n = int(sample.layout); count = DIGITS[n][0] if rng.random() < 0.6 else pick(rng, DIGITS[n])
        return f"{count} {C.plural(names[0])}"
    if sample.layout in ("left of", "above"):
        art = C.with_article if rng.random() < 0.85 else (lambda s: s)
        return pick(rng, LEFT if sample.layout == "left of" else ABOVE).format(a=art(names[0]), b=art(names[1]))
    place = sample.layout
    if place != "center" and rng.random() < 0.3: place += " corner"
    if place == "center" and rng.random() < 0.3: place = "middle"
    return pick(rng, CORNER).format(x=names[0], p=place)

def dress(phrase, rng, frames=0.22):
    """An English phrase as people also type it."""
    if rng.random() < frames:
        frame = pick(rng, FRAMES)
        if frame.startswith(("one ", "the ", "my ")): phrase = phrase.removeprefix("an ").removeprefix("a ")
        elif rng.random() < 0.5 and not phrase.startswith(("a ", "an ", "two ", "three ", "four ", "2 ", "3 ", "4 ")) and not phrase[:1].isupper() and frame[0] != "{": phrase = C.with_article(phrase)
        phrase = frame.format(x=phrase)
    d = rng.random()
    if d < 0.12: phrase = phrase[:1].upper() + phrase[1:]
    elif d < 0.16: phrase = phrase.title()
    elif d < 0.21: phrase = phrase.upper()
    elif d < 0.26: phrase = phrase.lower()
    if rng.random() < 0.10: phrase += pick(rng, (".", "!", "!", " ", "?", "!!"))
    return phrase

def english(concept, number, rng):
    """Name 56 %, an everyday word 24 %, name with keywords 12 %, keywords alone 8 %."""
    d, tags = rng.random(), concept.tags["en"]
    if d < 0.24 and (word := word_of(number, "en", rng)):
        if rng.random() < 0.1 and word.isalpha(): word = C.plural(word)
        return C.with_article(word) if rng.random() < 0.4 and not word[0].isupper() else word
    if d > 0.80 and len(tags) >= 2:
        few = [str(t) for t in rng.permutation(tags)[: rng.integers(1, 3) + (d > 0.92)]]
        return pick(rng, (", ", ", ", " ")).join(few if d > 0.92 else [concept.name, *few])
    phrase = concept.name
    if phrase.endswith(" face") and phrase.count(" ") == 1 and rng.random() < 0.05: phrase = phrase[:-5]
    phrase = C.with_article(phrase) if not phrase[0].isupper() and rng.random() < 0.4 else phrase
    if rng.random() < 0.05:
        adj = pick(rng, ADJECTIVES); phrase = C.with_article(f"{adj} {phrase.removeprefix('an ').removeprefix('a ')}")
    return phrase

def other(concept, number, language, rng, keywords=0.32):
    """Name 68 %, an everyday word 20 %, name with keywords 6 %, keywords alone 6 %; as people type it."""
    d, tags, phrase = rng.random(), concept.tags.get(language, []), concept.labels[language]
    if d < keywords * 0.62 and (word := word_of(number, language, rng)): phrase = word
    elif d < keywords and len(tags) >= 2:
        few = [str(t) for t in rng.permutation(tags)[: rng.integers(1, 3)]]
        phrase = ", ".join(few if d < keywords * 0.81 and len(few) > 1 else [phrase, *few])
    if language in ARTICLES:
        e = rng.random()
        if e < 0.07: phrase = f"{pick(rng, ARTICLES[language])} {phrase}"
        elif e < 0.13: phrase = phrase.lower()
        elif e < 0.19: phrase = phrase[:1].upper() + phrase[1:]
    if rng.random() < 0.05: phrase = pick(rng, FRAMES_IN[language]).format(x=phrase)
    if rng.random() < 0.02: phrase += pick(rng, (".", "!"))
    return phrase

def hued(sample, concept, number, language, rng):
    name = concept.name
    if language != "en":
        word, name = HUES_IN[language][sample.hue], concept.labels[language]
        if language == "de": return f"{word}{'' if word in ('orange', 'lila', 'rosa') else pick(rng, ('er', 'e', 'es', 'er', 'e'))} {name}"
        if language == "es": return f"{name} {word}{pick(rng, 'oa') if word in ('roj', 'amarill', 'morad') else ''}"
        if language == "fr": return f"{name} {word}{pick(rng, ('', 'e', 'te') if word == 'violet' else ('', 'e')) if word in ('vert', 'bleu', 'violet') else ''}"
        return f"{word} {name}" if language == "ko" else f"{word}{name}"
    if rng.random() < 0.12: name = word_of(number, "en", rng) or name
    phrase = C.recoloured(name, sample.hue)
    if rng.random() < 0.15:
        rest = phrase.removeprefix(sample.hue + " "); phrase = pick(rng, HUED).format(x=C.with_article(rest) if rng.random() < 0.5 else rest, h=sample.hue)
        return phrase
    return C.with_article(phrase) if rng.random() < 0.4 else phrase

def caption(sample, concepts, rng, foreign=0.45):
    number = sample.concepts[0]; first = concepts[number]
    if sample.layout:
        phrase = scene(sample, [scene_name(concepts[c], c, rng) for c in sample.concepts], rng)
        return dress(pick(rng, BACK).format(x=phrase, c=sample.background) if sample.background else phrase, rng, 0.12)
    language = "en"
    own = {w for w in first.name.lower().split()} & COLOUR_WORDS
    share = foreign if not sample.hue else (0.0 if own else 0.4 * foreign)
    if rng.random() < share: language = str(rng.choice([k for k in LANGUAGES[1:] if k in first.labels] or ["en"]))
    if sample.hue: phrase = hued(sample, first, number, language, rng)
    else: phrase = english(first, number, rng) if language == "en" else other(first, number, language, rng)
    if sample.background:
        phrase = pick(rng, BACK).format(x=phrase, c=sample.background) if language == "en" else C.on_background(phrase, sample.background, language, 0)
    if sample.style and (sample.style != C.DEFAULT_STYLE or rng.random() < 0.2):
        phrase = C.styled(phrase, sample.style, int(rng.choice(3, p=(0.5, 0.3, 0.2))))
    return dress(phrase, rng) if language == "en" else phrase
