"""Clock arithmetic."""

from __future__ import annotations

import pytest

from roomlog.core.clock import CLOCK_LIMIT, UNITS_PER_MS, clock_to_ms, is_ahead, next_clock
from roomlog.core.errors import ClockExhaustedError
from roomlog.core.replica import Replica
from tests.core.building import AUTHORS


def test_the_wall_clock_counts_when_it_is_ahead_of_the_parents() -> None:
    assert next_clock(1000, -1) == 1000 * UNITS_PER_MS
    assert next_clock(1000, 1000 * UNITS_PER_MS - 1) == 1000 * UNITS_PER_MS
    assert next_clock(1000, 1000 * UNITS_PER_MS) == 1000 * UNITS_PER_MS + 1
    assert next_clock(0, -1) == 0
    assert next_clock(-5, -1) == 0


def test_without_a_wall_clock_the_parents_decide() -> None:
    assert next_clock(None, -1) == 0
    assert next_clock(None, 41) == 42


def test_the_last_clock_is_below_the_limit() -> None:
    assert next_clock(None, CLOCK_LIMIT - 2) == CLOCK_LIMIT - 1
    with pytest.raises(ClockExhaustedError):
        next_clock(None, CLOCK_LIMIT - 1)
    with pytest.raises(ClockExhaustedError):
        next_clock(CLOCK_LIMIT // UNITS_PER_MS, -1)


def test_t51_a_chain_faster_than_the_unit_keeps_going_and_is_never_ahead() -> None:
    now_ms, skew_ms = 1_000, 5
    clock = -1
    for _ in range(3 * UNITS_PER_MS * skew_ms):
        following = next_clock(now_ms, clock)
        assert following > clock
        assert not is_ahead(following, clock, now_ms, skew_ms)
        clock = following
    assert clock_to_ms(clock) > now_ms + skew_ms


def test_ahead_is_only_what_is_beyond_both_skew_and_parents() -> None:
    edge = (1_000 + 5) * UNITS_PER_MS
    assert not is_ahead(edge, -1, 1_000, 5)
    assert is_ahead(edge + 1, -1, 1_000, 5)
    assert not is_ahead(edge + 1, edge, 1_000, 5)
    assert is_ahead(edge + 2, edge, 1_000, 5)


@pytest.mark.parametrize("now_ms", [1.5, float("nan"), float("inf"), "1"])
def test_a_time_that_is_no_integer_is_told_so_and_loses_no_edit(now_ms: object) -> None:
    replica = Replica("room", AUTHORS[0])
    replica.text("t").append("kept")
    # The compiled build refuses the argument before our own words are reached.
    with pytest.raises(TypeError):
        replica.commit(now_ms)  # type: ignore[arg-type]
    assert len(replica.commit(1)) == 1
    assert str(replica.text("t")) == "kept"
