"""Path keys."""

from __future__ import annotations

import pytest

from roomlog.core.errors import InvalidValueError
from roomlog.core.path_key import check_key, key_problem


@pytest.mark.parametrize("key", ["a", "a/b", "é/\U0001f600", "x" * 512, "é" * 256, " ", ".", "a b"])
def test_paths_of_whole_segments_are_keys(key: str) -> None:
    check_key(key)
    check_key(key)


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        ("", "empty"),
        ("x" * 513, "longer"),
        ("é" * 257, "longer"),
        ("a\0b", "NUL"),
        ("/", "segment"),
        ("/a", "segment"),
        ("a/", "segment"),
        ("a//b", "segment"),
        ("\ud800", "surrogate"),
    ],
)
def test_anything_else_is_no_key(key: str, problem: str) -> None:
    assert problem in key_problem(key)
    with pytest.raises(InvalidValueError, match=problem):
        check_key(key)


def test_more_keys_than_are_remembered_are_still_judged_right() -> None:
    for number in range(3000):
        assert key_problem(f"key/{number}") == ""
        assert key_problem(f"key//{number}") != ""


def test_what_is_no_str_is_no_key() -> None:
    # Compiled code raises TypeError before the rule is asked.
    with pytest.raises((TypeError, InvalidValueError)):
        check_key(5)  # type: ignore[arg-type]
