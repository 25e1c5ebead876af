"""Globs: the dialect against a naive oracle, one spelling, linear reading."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core import patterns as patterns_module
from roomlog.core.errors import InvalidValueError
from roomlog.core.patterns import (
    MAX_PATTERNS,
    KeySelection,
    PatternSet,
    parse_patterns,
    pattern_problem,
    pattern_set,
)
from roomlog.core.reject import Reject, RejectClass

_LETTERS = "abé漢"
_SEGMENTS = st.text(_LETTERS, min_size=1, max_size=4)
_KEYS = st.lists(_SEGMENTS, min_size=1, max_size=5).map("/".join)
_GLOB_SEGMENTS = st.one_of(
    st.just("**"),
    st.text(_LETTERS + "**", min_size=1, max_size=5).filter(lambda segment: "**" not in segment),
)
_PATTERNS = st.lists(_GLOB_SEGMENTS, min_size=1, max_size=6).map("/".join)


def naive_match(pattern: list[str], key: list[str]) -> bool:
    """By definition, over segments."""
    if not pattern:
        return not key
    if pattern[0] == "**":
        return any(naive_match(pattern[1:], key[skipped:]) for skipped in range(len(key) + 1))
    return (
        bool(key) and naive_segment_match(pattern[0], key[0]) and naive_match(pattern[1:], key[1:])
    )


def naive_segment_match(pattern: str, segment: str) -> bool:
    if not pattern:
        return not segment
    if pattern[0] == "*":
        return any(
            naive_segment_match(pattern[1:], segment[skipped:])
            for skipped in range(len(segment) + 1)
        )
    return (
        bool(segment) and pattern[0] == segment[0] and naive_segment_match(pattern[1:], segment[1:])
    )


@given(st.lists(_PATTERNS, min_size=1, max_size=4), st.lists(_KEYS, min_size=1, max_size=8))
def test_a_set_takes_what_any_of_its_patterns_takes_by_definition(
    patterns: list[str], keys: list[str]
) -> None:
    compiled = PatternSet(patterns)
    for key in keys * 2:
        expected = any(naive_match(each.split("/"), key.split("/")) for each in patterns)
        assert compiled.matches(key) is expected, (patterns, key)


@pytest.mark.parametrize(
    ("pattern", "taken", "not_taken"),
    [
        ("a/**", ["a", "a/b", "a/b/c"], ["b", "ab", "aa/b", "b/a"]),
        ("**/a", ["a", "b/a", "c/b/a"], ["a/b", "ba"]),
        ("a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a", "b", "a/b/c"]),
        ("*", ["a", "abc", "**"], ["a/b"]),
        ("**", ["a", "a/b"], []),
        ("**/*", ["a", "a/b/c"], []),
        ("*/**/*", ["a/b", "a/b/c"], ["a"]),
        ("a*b*c", ["abc", "axbxc", "abbcc"], ["ab", "abcd", "a/b/c"]),
        ("?[a]{b}", ["?[a]{b}"], ["xa", "?a"]),
    ],
)
def test_the_dialect_by_examples(pattern: str, taken: list[str], not_taken: list[str]) -> None:
    compiled = PatternSet([pattern])
    assert [key for key in taken + not_taken if compiled.matches(key)] == taken


def test_a_set_is_ascending_without_repetition_and_equal_by_its_patterns() -> None:
    one, other = PatternSet(["b", "a", "b", "é"]), PatternSet(["é", "a", "b"])
    assert one.patterns == ("a", "b", "é")
    assert one == other
    assert hash(one) == hash(other)
    assert one != PatternSet(["a"])
    assert one != ("a", "b", "é")
    assert repr(one) == "PatternSet(['a', 'b', 'é'])"


_BROKEN: list[tuple[Any, str]] = [
    (7, "not a str"),
    ("", "empty"),
    ("a" * 257, "longer"),
    ("é" * 129, "longer"),
    ("\ud800", "lone surrogate"),
    ("a\x00", "holds a NUL"),
    ("/a", "an empty segment"),
    ("a/", "an empty segment"),
    ("a//b", "an empty segment"),
    ("a**", "** beside"),
    ("***", "** beside"),
    ("x/**b/y", "** beside"),
]


@pytest.mark.parametrize(("pattern", "problem"), _BROKEN)
def test_a_broken_pattern_is_named(pattern: Any, problem: str) -> None:
    assert problem in pattern_problem(pattern)
    with pytest.raises(InvalidValueError, match="patterns: "):
        PatternSet([pattern])
    if isinstance(pattern, str):
        with pytest.raises(Reject) as refusal:
            parse_patterns(["ok", pattern])
        assert refusal.value.reject_class is RejectClass.SUBSCRIPTION_INVALID
        assert refusal.value.detail["index"] == 1
        assert problem in str(refusal.value.detail["reason"])
        assert len(str(refusal.value.detail["pattern"])) <= 256


def test_none_stands_for_everything() -> None:
    assert pattern_set([]) is None
    assert parse_patterns([]) is None
    assert pattern_set(iter(["a"])) == PatternSet(["a"]) == parse_patterns(["a"])
    with pytest.raises(InvalidValueError):
        PatternSet([])


def test_a_selection_is_what_all_take_and_the_other_does_not() -> None:
    selection = KeySelection([PatternSet(["a/**"]), PatternSet(["*/b"])], PatternSet(["a/x/**"]))
    assert selection.matches("a/b")
    assert not selection.matches("a/c")
    assert not selection.matches("c/b")
    assert not KeySelection([], PatternSet(["a/**"])).matches("a/b")
    assert KeySelection([]).matches("q")


def _lines_run(work: Callable[[], object]) -> int:
    """How many lines of the patterns module run during `work`."""
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal count
        if frame.f_code.co_filename != patterns_module.__file__:
            return None
        if event == "line":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.skipif(
    not patterns_module.__file__.endswith(".py"), reason="compiled code has no lines to count"
)
def test_t47_a_key_costs_one_step_a_byte_whatever_the_patterns_are() -> None:
    vicious = [
        "/".join(["**", *["a"] * 60, f"b{number}"]) for number in range(MAX_PATTERNS // 2)
    ] + ["a*" * 120 + f"b{number}" for number in range(MAX_PATTERNS // 2)]
    for key in ("/".join(["a"] * 256)[:511], "a" * 512):
        steps = [
            _lines_run(lambda of=of, key=key: PatternSet(of).matches(key))  # type: ignore[misc]
            - _lines_run(lambda of=of: PatternSet(of))  # type: ignore[misc]
            for of in (["a/**"], vicious[:1], vicious)
        ]
        assert 0 < max(steps) <= 12 * (len(key) + 1)


def test_t47_patterns_are_bounded_in_number_and_length() -> None:
    assert parse_patterns(["a" * 256] * MAX_PATTERNS) is not None
    with pytest.raises(Reject) as refusal:
        parse_patterns(["a"] * (MAX_PATTERNS + 1))
    assert refusal.value.reject_class is RejectClass.SUBSCRIPTION_INVALID
    with pytest.raises(InvalidValueError):
        PatternSet(["a"] * (MAX_PATTERNS + 1))
    for too_long in ("a" * 257, "\u00e9" * 129, "\U0001f600" * 65):
        with pytest.raises(Reject):
            parse_patterns([too_long])
        with pytest.raises(InvalidValueError):
            PatternSet([too_long])


def test_remembered_answers_are_bounded() -> None:
    compiled = PatternSet(["a*"])
    for number in range(5000):
        assert compiled.matches(f"a{number}")
        assert not compiled.matches(f"b{number}")
    assert len(compiled._answers) <= 1024
