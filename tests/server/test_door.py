"""Who may come in before anybody has proven anything."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from roomlog.server import address_budget, door
from roomlog.server.address_budget import HandshakeBudget, address_group
from tests.server.conftest import Join, Start, eventually


@pytest.mark.parametrize(
    ("one", "other", "are_together"),
    [
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("::ffff:10.0.0.1", "::ffff:10.0.0.2", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("not:an:address", "not:an:address", True),
        ("unknown", "::", False),
    ],
)
def test_addresses_share_a_budget_by_what_one_customer_gets(
    one: str, other: str, are_together: bool
) -> None:
    assert (address_group(one) == address_group(other)) is are_together


def test_who_waits_as_told_is_let_in_however_often_it_was_refused() -> None:
    budget = HandshakeBudget(2)
    assert [budget.take("a", 0) for _ in range(20)] == [0] * 20
    waits = [budget.take("a", 0) for _ in range(50)]
    assert len(set(waits)) == 1
    assert waits[0] > 0
    assert budget.take("b", 0) == 0
    assert budget.take("a", waits[0] - 1) > 0
    assert budget.take("a", waits[0]) == 0


def test_the_table_of_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address_budget, "ADDRESSES_MAX", 3)
    budget = HandshakeBudget(1)
    for _ in range(11):
        budget.take("busy", 0)
    for number in range(10):
        budget.take(str(number), 0)
        assert budget.take("busy", 0) > 0
    assert len(budget) == 3


async def test_too_many_handshakes_of_an_address_are_put_off_with_a_hint(
    start: Start, call: Join
) -> None:
    service = await start(handshakes_per_address_per_second=1)
    for _ in range(10):
        assert (await (await call(service)).receive())["type"] == "challenge"
    late = await call(service)
    error = await late.receive()
    assert (error["class"], error["kind"]) == ("queue_full", "retry")
    assert error["retry_after_ms"] >= 1_000
    assert (await late.closed()).code == 1013
    assert b'rate_limited_total{kind="handshakes"}' in service.metrics.exposition()


async def test_handshakes_at_once_are_bounded_and_a_silent_client_holds_up_nobody(
    start: Start, enter: Join, call: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start(handshakes_max=3)
    for _ in range(5):
        # A finished handshake is none any more.
        await enter(service)
    for _ in range(3):
        await (await call(service)).receive()
    refused = await call(service)
    assert (await refused.receive())["class"] == "queue_full"
    assert (await refused.closed()).code == 1013
    monkeypatch.setattr(door, "FRESH_SECONDS", 0.0)
    await enter(service)


async def test_silent_sockets_count_and_those_far_beyond_the_limit_are_cut(
    start: Start, call: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "TOLD_SOCKETS", 1)
    service = await start(connections_max=3)
    silent = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(3)]
    await eventually(lambda: service.hub.door.sockets == 3)
    told = await call(service)
    assert (await told.receive())["class"] == "queue_full"
    assert (await told.closed()).code == 1013
    await eventually(lambda: service.hub.door.sockets == 3)
    more = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(2)]
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            assert await more[1][0].read() == b""
    await eventually(lambda: service.hub.door.sockets == 4)
    for _, writer in (*silent, *more):
        writer.close()
    await eventually(lambda: service.hub.door.sockets == 0)
    assert (await (await call(service)).receive())["type"] == "challenge"
