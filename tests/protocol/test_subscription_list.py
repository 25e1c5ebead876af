"""The patterns of a subscription as they arrive."""

from __future__ import annotations

import pytest

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.subscription_list import accepted_patterns

LIMITS = SessionLimits(subscription_patterns=3, pattern_bytes=8)


def test_patterns_are_ascending_and_each_once() -> None:
    assert accepted_patterns(["b/**", "a", "b/**"], LIMITS) == ("a", "b/**")
    assert accepted_patterns([], LIMITS) == ()


@pytest.mark.parametrize(
    ("patterns", "index"),
    [
        (["a", "b", "c", "d"], None),
        (["a", "ä" * 5], 1),
        (["x" * 9], 0),
        (["a", "b//c"], 1),
        ([""], 0),
        (["a**"], 0),
    ],
)
def test_t47_too_many_too_long_or_none_at_all_are_refused_by_name(
    patterns: list[str], index: int | None
) -> None:
    with pytest.raises(Reject) as refused:
        accepted_patterns(patterns, LIMITS)
    assert refused.value.reject_class is RejectClass.SUBSCRIPTION_INVALID
    assert refused.value.detail.get("index") == index


def test_t47_as_many_and_as_long_as_is_allowed_are_taken() -> None:
    longest = ["a" * 8, "b" * 8, "ä" * 4]
    assert accepted_patterns(longest, LIMITS) == tuple(sorted(longest))
