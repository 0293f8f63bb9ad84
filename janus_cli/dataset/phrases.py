"""How people say what they want drawn: frames, places, counts and colours, in the pack's six languages.

Knows words only. `{x}` is the thing, `{a}` and `{b}` two things, `{p}` a place, `{c}` and `{h}` colours.
"""

FRAMES = {
    "en": (
        *("a picture of {x}", "an image of {x}", "a photo of {x}", "a photo of {x}", "a drawing of {x}"),
        *("an emoji of {x}", "an icon of {x}", "a sketch of {x}", "a painting of {x}", "a cartoon of {x}"),
        *("an illustration of {x}", "picture of {x}", "photo of {x}", "clip art of {x}", "a logo of {x}"),
        *("draw {x}", "draw me {x}", "please draw {x}", "can you draw {x}", "show me {x}", "i want {x}"),
        *(
            "one {x}",
            "the {x}",
            "my {x}",
            "{x} please",
            "{x} emoji",
            "{x} icon",
            "{x} drawing",
            "{x} picture",
        ),
    ),
    "de": ("ein Bild von {x}", "ein Foto von {x}", "zeichne {x}", "Bild: {x}"),
    "es": ("una foto de {x}", "un dibujo de {x}", "una imagen de {x}", "dibuja {x}"),
    "fr": ("une photo de {x}", "un dessin de {x}", "une image de {x}", "dessine {x}"),
    "ja": ("{x}の絵", "{x}の写真", "{x}を描いて"),
    "ko": ("{x} 그림", "{x} 사진", "{x} 그려줘"),
}
DETERMINERS = ("one ", "the ", "my ")  # openings of frames that stand in an article's place
OPENINGS = ("a ", "an ", "two ", "three ", "four ", "2 ", "3 ", "4 ")  # of phrases that want no article
ARTICLES = {
    "de": ("ein", "eine", "der", "die", "das"),
    "es": ("un", "una", "el", "la"),
    "fr": ("un", "une", "le", "la"),
}
ADJECTIVES = ("cute", "nice", "beautiful", "simple", "little", "funny", "pretty", "big", "small")
MARKS = (".", "!", "!", "?", "!!")  # what may end a prompt
RELATIONS = {
    "left of": (
        *("{a} left of {b}", "{a} left of {b}", "{a} to the left of {b}", "{b} right of {a}"),
        *("{b} to the right of {a}", "{a} and {b}", "{a} next to {b}", "{a} beside {b}", "{a} with {b}"),
    ),
    "above": (
        *("{a} above {b}", "{a} above {b}", "{a} over {b}", "{b} below {a}", "{b} under {a}"),
        *("{b} beneath {a}", "{a} on top of {b}"),
    ),
}
CORNERS = (
    *("a small {x} in the {p}", "a small {x} in the {p}", "a small {x} at the {p}"),
    *("a tiny {x} in the {p}", "{x} in the {p}"),
)
COUNTS = {2: ("two", "2", "a pair of", "a couple of"), 3: ("three", "3"), 4: ("four", "4")}
BACKGROUND = (
    *("{x} on a {c} background", "{x} on a {c} background", "{x} on {c}", "{x}, {c} background"),
    *("{x} with a {c} background", "{x} in front of a {c} background"),
)
DYED = ("{x} in {h}", "{x}, {h}", "{h} colored {x}", "{h} coloured {x}", "{x} that is {h}")
# hue -> what a language says before or after the thing; an ending is added by ENDINGS
HUE_WORDS = {
    "de": dict(
        red="rot", orange="orange", yellow="gelb", green="grün", blue="blau", purple="lila", pink="rosa"
    ),
    "es": dict(
        red="roj", orange="naranja", yellow="amarill", green="verde", blue="azul", purple="morad", pink="rosa"
    ),
    "fr": dict(
        red="rouge", orange="orange", yellow="jaune", green="vert", blue="bleu", purple="violet", pink="rose"
    ),
    "ja": dict(
        red="赤い",
        orange="オレンジ色の",
        yellow="黄色い",
        green="緑の",
        blue="青い",
        purple="紫の",
        pink="ピンクの",
    ),
    "ko": dict(
        red="빨간", orange="주황색", yellow="노란", green="초록", blue="파란", purple="보라색", pink="분홍"
    ),
}
HUED = {"de": "{h} {x}", "es": "{x} {h}", "fr": "{x} {h}", "ja": "{h}{x}", "ko": "{h} {x}"}
# what a colour may end in, as the thing's gender wants it: which one is left to chance
ENDINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "de": dict.fromkeys(("rot", "gelb", "grün", "blau"), ("er", "e", "es", "er", "e")),
    "es": dict.fromkeys(("roj", "amarill", "morad"), ("o", "a")),
    "fr": {"vert": ("", "e"), "bleu": ("", "e"), "violet": ("", "e", "te")},
}
JAPANESE_COLOURS = {"赤": "赤い", "青": "青い", "黒": "黒い", "白": "白い", "黄": "黄色い", "緑": "緑の"}
