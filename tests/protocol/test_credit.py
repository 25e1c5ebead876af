"""Push credit and message buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.node import MAX_NODE_BYTES
from roomlog.protocol.credit import Bucket, PushCredit
from roomlog.protocol.limits import LEAST_FRAME_BYTES, SessionLimits

LIMITS = SessionLimits(
    slice_nodes=100, slice_bytes=10_000, live_nodes_per_second=10, live_bytes_per_second=1_000
)


def credit(nodes: int = 0, size_bytes: int = 0, limits: SessionLimits = LIMITS) -> PushCredit:
    made = PushCredit(limits, backlog_nodes=nodes, backlog_bytes=size_bytes, now_ms=0)
    made.announce()
    return made


def test_the_first_grant_is_one_slice() -> None:
    totals = PushCredit(LIMITS, backlog_nodes=0, backlog_bytes=0, now_ms=0).announce()
    assert (totals.nodes, totals.bytes) == (100, 10_000)


def test_exactly_the_grant_may_be_spent_and_no_more() -> None:
    made = credit()
    assert made.spend_nodes(100)
    assert made.spend_bytes(10_000)
    assert not made.spend_nodes(1)
    assert not made.spend_bytes(1)


def test_only_what_was_announced_counts() -> None:
    made = credit()
    assert made.spend_nodes(100)
    made.refill(1_000)
    assert made.announce().nodes == 110
    made.refill(2_000)
    # Ten more are granted, but the client has not been told.
    assert made.spend_nodes(10)
    assert not made.spend_nodes(1)


def test_the_live_rate_refills_up_to_one_slice() -> None:
    made = credit()
    assert made.spend_nodes(50)
    made.refill(1_000)
    assert made.announce().nodes == 110
    made.refill(3_600_000)
    assert made.announce().nodes == 150


def test_fractions_of_a_node_are_not_lost() -> None:
    made = credit()
    assert made.spend_nodes(100)
    for now_ms in range(50, 1_001, 50):
        made.refill(now_ms)
    assert made.announce().nodes == 110


def test_time_that_stands_still_or_goes_back_grants_nothing() -> None:
    made = credit()
    assert made.spend_nodes(100)
    made.refill(1_000)
    made.refill(1_000)
    made.refill(500)
    assert made.announce().nodes == 110


def test_t29_a_declared_backlog_is_granted_as_it_is_settled() -> None:
    made = credit(nodes=1_000, size_bytes=1_000_000)
    sent = 0
    while sent < 1_000:
        assert made.spend_nodes(50)
        assert made.spend_bytes(5_000)
        sent += 50
        made.settle(50, 5_000)
        made.announce()
    # The backlog is used up: from here on there is the slice that is left, and the live rate.
    assert made.spend_nodes(100)
    assert not made.spend_nodes(1)


def test_a_backlog_is_granted_outside_the_live_rate_only_up_to_its_limit() -> None:
    limits = SessionLimits(slice_nodes=100, live_nodes_per_second=10, backlog_nodes=30)
    made = credit(nodes=10**12, limits=limits)
    assert made.spend_nodes(100)
    made.settle(100, 0)
    assert made.announce().nodes == 130


def test_t29_a_backlog_adds_nothing_to_a_bucket_that_time_has_filled_again() -> None:
    made = credit(nodes=1_000)
    assert made.spend_nodes(50)
    # Ten a second: full again when the pack is settled.
    made.refill(60_000)
    made.settle(50, 0)
    assert made.announce().nodes == 150
    made.settle(50, 0)
    assert made.announce().nodes == 150


def test_a_client_with_exactly_a_quarter_of_a_slice_needs_no_message() -> None:
    for spent, is_worth in ((75, False), (76, True)):
        made = credit()
        assert made.spend_nodes(spent)
        made.refill(60_000)
        assert made.is_worth_announcing() is is_worth


def test_a_short_client_is_worth_a_message_and_a_rich_one_is_not() -> None:
    made = credit()
    assert not made.is_worth_announcing()
    assert made.spend_nodes(60)
    made.refill(5_000)
    assert not made.is_worth_announcing()
    assert made.spend_nodes(40)
    assert made.is_worth_announcing()
    made.announce()
    assert not made.is_worth_announcing()
    assert made.spend_bytes(9_999)
    assert not made.is_worth_announcing()
    made.refill(60_000)
    assert made.is_worth_announcing()


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 2_000), st.integers(0, 120), st.booleans()), max_size=40
    ),
    backlog=st.integers(0, 500),
)
def test_announced_totals_never_fall_and_never_pass_a_slice_beyond_what_was_spent(
    steps: list[tuple[int, int, bool]], backlog: int
) -> None:
    made = PushCredit(LIMITS, backlog_nodes=backlog, backlog_bytes=0, now_ms=0)
    announced, spent, now_ms = made.announce().nodes, 0, 0
    for elapsed_ms, wanted, is_settled in steps:
        now_ms += elapsed_ms
        made.refill(now_ms)
        sent = min(wanted, announced - spent)
        assert made.spend_nodes(sent)
        spent += sent
        if is_settled:
            made.settle(sent, 0)
        totals = made.announce().nodes
        assert announced <= totals <= spent + LIMITS.slice_nodes
        announced = totals
        # What the live rate alone explains, plus the backlog, plus the first slice.
        assert totals <= 100 + backlog + now_ms * 10 // 1000


@given(
    spent=st.integers(0, 100),
    slice_nodes=st.integers(1, 100),
    rate=st.integers(1, 1_000),
)
def test_a_client_that_waits_is_always_told_in_the_end(
    spent: int, slice_nodes: int, rate: int
) -> None:
    limits = SessionLimits(slice_nodes=slice_nodes, live_nodes_per_second=rate)
    made = credit(limits=limits)
    assert made.spend_nodes(min(spent, slice_nodes))
    if slice_nodes - min(spent, slice_nodes) < max(1, slice_nodes // 4):
        made.refill(10_000_000)
        assert made.is_worth_announcing()


def test_a_client_that_has_too_little_for_the_largest_node_is_told_of_more() -> None:
    limits = SessionLimits(slice_bytes=LEAST_FRAME_BYTES)
    made = credit(limits=limits)
    # It has more than a quarter of a slice left, and one node to send that is longer than that.
    assert made.spend_bytes(LEAST_FRAME_BYTES - MAX_NODE_BYTES)
    made.refill(1_000)
    assert made.is_worth_announcing()
    assert made.announce().bytes >= LEAST_FRAME_BYTES - MAX_NODE_BYTES + LEAST_FRAME_BYTES


def test_a_bucket_gives_its_depth_then_its_rate() -> None:
    bucket = Bucket(depth=10, per_second=2, now_ms=0)
    assert bucket.take(10, 0) == 0
    assert bucket.take(1, 0) == -1
    assert bucket.wait_ms() == 500
    assert bucket.take(1, 1_000) == 0
    assert bucket.wait_ms() == 1
    assert bucket.take(0, 3_600_000) == 10
