"""Answers as they are spell_out: piece by piece, in whole characters."""

from janus_cli.stages.describe import spell_out


def words(ids: list[int]) -> str:
    """A tokenizer of bytes."""
    return bytes(ids).decode("utf-8", "replace")


def test_pieces_come_with_their_tokens():
    taken = []

    def ids():
        for id in b"a red":
            taken.append(id)
            yield id

    pieces = spell_out(ids(), words)
    assert next(pieces) == "a" and len(taken) == 1
    assert [next(pieces), next(pieces)] == [" ", "r"] and len(taken) == 3
    assert "".join(pieces) == "ed"


def test_characters_come_whole():
    text = "K\u00e4se \U0001f9c0!"
    pieces = [piece for piece in spell_out(text.encode(), words) if piece]
    assert pieces == list(text)


def test_what_never_becomes_a_character_is_said_at_the_end():
    assert "".join(spell_out(b"a\xf0\x9f", words)) == "a\ufffd"
    assert list(spell_out(b"", words)) == [""]
