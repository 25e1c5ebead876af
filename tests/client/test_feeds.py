"""Feeds, backoff and addresses: the small parts of the SDK."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.client.address import Address
from roomlog.client.backoff import FIRST_S, LONGEST_HINT_S, LONGEST_S, SETTLED_AFTER_S, Backoff
from roomlog.client.changes import RESYNC, Change, ChangeFeed, ChangeKind, Origin
from roomlog.client.rejections import MOST_REJECTIONS, Rejection, Rejections
from roomlog.core.errors import InvalidValueError
from roomlog.core.replica import Replica
from roomlog.identity import Identity


def change(index: int) -> Change:
    return Change(ChangeKind.MAP, str(index), Origin.REMOTE)


@given(st.integers(1, 5), st.lists(st.integers(0, 7), max_size=12))
def test_a_feed_gives_every_change_or_says_that_it_could_not(
    queue_changes: int, batches: list[int]
) -> None:
    feed = ChangeFeed(queue_changes)
    put = 0
    for count in batches:
        feed.put(change(put + index) for index in range(count))
        put += count
    taken = feed.take_nowait()
    assert len(taken) <= queue_changes
    if put <= queue_changes:
        assert taken == [change(index) for index in range(put)]
    else:
        assert taken[0] == RESYNC
        rest = taken[1:]
        assert rest == [change(put - len(rest) + index) for index in range(len(rest))]


def test_a_feed_has_room_for_one_change_at_least() -> None:
    with pytest.raises(ValueError, match="queue_changes"):
        ChangeFeed(0)


async def test_a_feed_wakes_its_consumer_and_ends_after_what_is_left() -> None:
    feed = ChangeFeed()
    waiting = asyncio.create_task(anext(feed))
    await asyncio.sleep(0)
    feed.put([])
    feed.put([change(1), change(2)])
    assert await waiting == change(1)
    feed.close()
    assert [each async for each in feed] == [change(2)]


def rejection(index: int) -> Rejection:
    replica = Replica("demo", Identity.from_seed(bytes(32)))
    replica.map("m")["k"] = index
    (node_id,) = replica.commit(index)
    return Rejection(
        node_id=node_id,
        reject_class="write_forbidden",
        kind="rebase",
        message="",
        detail={},
        node=replica.node(node_id),
        operation_indexes=(0,),
    )


async def test_rejections_are_a_bounded_list_and_a_feed_from_the_first_one() -> None:
    first, second = rejection(1), rejection(2)
    rejections = Rejections([first])
    feed = aiter(rejections)
    assert await anext(feed) is first
    waiting = asyncio.ensure_future(anext(feed))
    await asyncio.sleep(0)
    rejections.put([second])
    assert await waiting is second
    assert list(rejections) == [first, second]
    rejections.put([first] * MOST_REJECTIONS)
    assert len(rejections) == MOST_REJECTIONS
    assert rejections[-1] is first
    rejections.close()
    assert len([each async for each in rejections]) == MOST_REJECTIONS
    # One that fell behind goes on with the oldest that is left.
    rejections.put([second] * 2)
    assert len([each async for each in feed]) == MOST_REJECTIONS


def test_t36_waits_double_up_to_a_bound_and_are_spread_over_all_of_it() -> None:
    source = random.Random(7)
    first = [Backoff(source.random).next_wait_s() for _ in range(500)]
    assert 0 <= min(first) < FIRST_S * 0.05
    assert FIRST_S * 0.95 < max(first) <= FIRST_S
    late = Backoff(source.random)
    bounds = []
    for _ in range(12):
        bounds.append(late.bound_s())
        assert 0 <= late.next_wait_s() <= bounds[-1]
    assert bounds[:3] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert bounds[-1] == LONGEST_S
    # A thousand clients that lost one server come back all over the half minute.
    herd = []
    for _ in range(1000):
        client = Backoff(source.random)
        for _ in range(10):
            wait = client.next_wait_s()
        herd.append(int(wait / LONGEST_S * 10))
    assert min(herd.count(tenth) for tenth in range(10)) > 50


def test_t36_a_hint_is_kept_and_spread() -> None:
    source = random.Random(7)
    waits = [Backoff(source.random).hinted_wait_s(2.0) for _ in range(500)]
    assert 2.0 <= min(waits) < 2.2
    assert 3.8 < max(waits) <= 4.0
    assert Backoff(source.random).hinted_wait_s(0) <= FIRST_S


def test_no_hint_sends_a_client_away_for_good() -> None:
    source = random.Random(7)
    waits = [Backoff(source.random).hinted_wait_s(2.0**50) for _ in range(100)]
    assert min(waits) >= LONGEST_HINT_S
    assert max(waits) <= 2 * LONGEST_HINT_S


def test_a_good_connection_makes_the_next_wait_short_again_and_a_flapping_one_does_not() -> None:
    backoff = Backoff(lambda: 1.0)
    for _ in range(5):
        backoff.next_wait_s()
    backoff.lasted(SETTLED_AFTER_S / 2)
    assert backoff.next_wait_s() == 32 * FIRST_S
    backoff.lasted(SETTLED_AFTER_S)
    assert backoff.next_wait_s() == FIRST_S


@pytest.mark.parametrize(
    ("url", "origin", "room_url"),
    [
        ("ws://host:7878", "ws://host:7878", "ws://host:7878/ws/r"),
        ("WS://HOST:80/", "ws://host", "ws://host/ws/r"),
        ("http://host", "ws://host", "ws://host/ws/r"),
        ("https://Host:443/a/b/", "wss://host", "wss://host/a/b/ws/r"),
        ("wss://host:80", "wss://host:80", "wss://host:80/ws/r"),
        ("ws://[::1]:7878", "ws://[::1]:7878", "ws://[::1]:7878/ws/r"),
    ],
)
def test_an_address_has_one_origin(url: str, origin: str, room_url: str) -> None:
    address = Address(url)
    assert address.origin == origin
    assert address.room_url("r") == room_url


def test_an_address_with_a_port_that_is_no_number_is_refused() -> None:
    with pytest.raises(InvalidValueError):
        Address("ws://host:port")
