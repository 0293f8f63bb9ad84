"""The one door for prompts: whoever hands one in, the same words are the same characters behind it.

Knows Unicode; no tokenizer and no file. A prompt is what is drawn or said: one wish, without space around it.
A whole text is content, and comes back as it was: only the way it came in is undone.
"""

import unicodedata

from janus_cli.errors import MediaError

BOM = "\ufeff"
CONVERT = "convert it with iconv -f UTF-16 -t UTF-8"
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # how UTF-16 begins, and UTF-32


def is_wide(data: bytes) -> bool:
    """Tell whether bytes begin with the mark of UTF-16."""
    return data.startswith(_WIDE)


def decode_text(data: bytes) -> str:
    """Decode UTF-8, without a byte order mark. Raises MediaError for anything else, and for NUL."""
    try:
        text = data.decode("utf-8").removeprefix(BOM)
    except UnicodeDecodeError as error:
        hint = f": it looks like UTF-16: {CONVERT}" if is_wide(data) else ""
        raise MediaError(f"byte {error.start} is not UTF-8 text{hint}") from None
    return check_nul(text)


def check_nul(text: str) -> str:
    """Give `text` back. Raises MediaError where it holds a NUL, as no text does."""
    if "\0" in text:
        raise MediaError(f"a NUL at character {text.index(chr(0))}: if it is UTF-16, {CONVERT}")
    return text


def drop_newline(text: str) -> str:
    """Drop one newline at the end of a text, as whoever typed or printed it did not mean it."""
    return text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text


def clean_prompt(text: str) -> str:
    """Give a prompt as it is tokenized: in NFC, its lines ended by a line feed alone, nothing around it.

    NFC is the same text: "ñ" may come as one character or as two. "" where nothing is left. Raises MediaError
    for control characters within it, but tabs and line feeds, and for half a surrogate pair.
    """
    try:  # an argument in a locale without UTF-8 has come as bytes
        text = text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError as error:
        start = error.start if isinstance(error, UnicodeEncodeError | UnicodeDecodeError) else 0
        raise MediaError(f"the text is not valid UTF-8 at character {start}") from None
    found = unicodedata.normalize("NFC", check_nul(text).strip().strip(BOM).strip().replace("\r\n", "\n"))
    for place, c in enumerate(found):
        if unicodedata.category(c) == "Cc" and c not in "\t\n":
            what, hint = f"the control character U+{ord(c):04X}", "leave it away"
            if c == "\r":
                what, hint = "a carriage return", "if it ends a line, convert the file with tr '\\r' '\\n'"
            raise MediaError(f"the text holds {what} at character {place}: {hint}")
    return found
