from __future__ import annotations

from roomlog.core.crdt.text import TextEdit


def test_edits_are_equal_when_they_say_the_same() -> None:
    assert TextEdit(1, 0, "a") == TextEdit(1, 0, "a")
    assert hash(TextEdit(1, 2, "")) == hash(TextEdit(1, 2, ""))
    for other in (TextEdit(2, 0, "a"), TextEdit(1, 1, ""), TextEdit(1, 0, "b"), "a"):
        assert TextEdit(1, 0, "a") != other


def test_an_edit_shows_what_it_does() -> None:
    assert repr(TextEdit(3, 0, "é")) == "TextEdit(3, 0, 'é')"
