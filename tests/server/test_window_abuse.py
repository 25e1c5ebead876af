"""Reconcile windows in the hands of clients that want to get more out of them than was lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from roomlog.core.operation import MapSet
from roomlog.identity import Identity
from roomlog.server.reconcile import RoomWindows
from roomlog.store.interface import ReconcileWindow
from tests.server.conftest import Start
from tests.server.raw_client import RawClient, join
from tests.server.test_lost_logs import lost_log


def classes(ack: dict[str, list[dict[str, str]]]) -> list[str]:
    return [each["class"] for each in ack["rejected"]]


async def stranger(url: str, checkpointer: RawClient) -> RawClient:
    """Somebody with a fresh key, who was never in the room."""
    client = await join(url)
    client.heads = checkpointer.heads
    client.clock = checkpointer.clock
    return client


async def test_t63_packs_under_way_together_bring_no_more_of_others_than_one_after_the_other(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomlog.server.reconcile.UNSIGNED_TAIL_NODES", 0)
    service, ada, _ = await lost_log(start, tmp_path)
    ghost = Identity.generate()
    async with await ada.enter() as client:
        room = service.hub.registry.rooms["room"]
        before = room.head_seq
        most = room.windows.most_of_others(ada.identity.public_key, service.hub.wall_ms())
        assert most > 0
        # Sent before any of them can be durable.
        for number in range(5 * most):
            node = client.write(MapSet(f"k{number}", 1), identity=ghost, parents=[])
            await client.push(node)
        while len(client.acks) < 5 * most:
            await client.receive()
        refused = [each for ack in client.acks for each in classes(ack)]
        assert refused == ["author_not_session"] * (4 * most)
        assert room.head_seq == before + most


async def test_t63_whoever_uses_up_what_he_may_bring_takes_nothing_from_honest_clients(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomlog.server.reconcile.UNSIGNED_TAIL_NODES", 0)
    service, ada, bob = await lost_log(start, tmp_path)
    # The proof is shown, and nothing else is done yet.
    async with await ada.enter():
        pass
    ghost = Identity.generate()
    async with await join(service.url) as mallory:
        assert "missing" in mallory.welcome
        nodes = [
            mallory.write(MapSet("k", number), identity=ghost, parents=[]) for number in range(40)
        ]
        ack = await mallory.push_and_wait(*nodes)
        assert "author_not_session" in classes(ack)
    await ada.visit()
    assert not ada.refused
    assert set(bob.own) <= set(ada.nodes)
    async with await bob.enter(shows=False) as client:
        there = await bob.read_all(client)
        assert set(bob.own) <= there


def test_t63_what_somebody_brought_of_others_counts_until_nothing_is_left() -> None:
    windows = RoomWindows([ReconcileWindow(b"1" * 16, b"1" * 16, b"2" * 16, 10, 0, 50, 0, 1_000)])
    greedy, honest = b"g" * 32, b"h" * 32
    most = windows.most_of_others(greedy, 0)
    windows.count_others(greedy, 30, 1)
    windows.count_others(greedy, 12, 2)
    assert windows.most_of_others(greedy, 3) == most - 42
    assert windows.most_of_others(honest, 3) == most
    windows.count_others(greedy, most, 4)
    assert windows.most_of_others(greedy, 5) == 0


def test_a_window_that_has_closed_leaves_nothing_of_its_account_to_the_next() -> None:
    windows = RoomWindows()
    who = b"a" * 32
    windows.add(ReconcileWindow(b"1" * 16, b"1" * 16, b"2" * 16, 10, 0, 50, 0, 1_000))
    of_first = windows.most_of_others(who, 0)
    windows.count_others(who, of_first, 0)
    assert windows.most_of_others(who, 0) == 0
    windows.add(ReconcileWindow(b"2" * 16, b"2" * 16, b"3" * 16, 10, 0, 90, 500, 1_500))
    of_second = windows.most_of_others(who, 600)
    assert of_second > 0
    # The first one closes, full; the second is as empty as it was.
    assert windows.most_of_others(who, 1_200) == of_second
