"""Faults of our own in a room, and rooms that others hold or made: only the store is believed."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

import pytest

from roomlog.core.reject import Reject, RejectClass
from roomlog.server.room import Room
from roomlog.store.errors import RoomExists, StoreUnavailable
from roomlog.store.interface import StoredRoom
from tests.server.conftest import Join, Start, eventually
from tests.server.test_store_faults import HeldBack


@pytest.mark.parametrize("method", ["_settle_waiting", "_commit", "publish"])
async def test_a_fault_in_a_room_ends_its_sessions_and_loses_nothing(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    service = await start()
    writer, reader, elsewhere = (
        await enter(service),
        await enter(service),
        await enter(service, "other"),
    )
    await writer.push_and_wait(first := writer.write())

    def broken(self: Room, *_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(Room, method, broken)
        await writer.push(second := writer.write())
        assert (await writer.closed()).code == 1011
        assert (await reader.closed()).code == 1011
        assert writer.errors[-1]["incident"]
    room = service.hub.registry.rooms["room"]
    await eventually(lambda: not room.is_ambiguous)
    assert (await elsewhere.push_and_wait(elsewhere.write()))["to_seq"] == 1
    back = await enter(service)
    await back.catch_up(after={"epoch": back.welcome["epoch"], "seq": 0})
    assert await back.read_through(2) == [first, second]
    third = back.write(parents=[second.id], clock=second.clock + 1)
    assert (await back.push_and_wait(third))["to_seq"] == 3


async def test_a_fault_in_a_tick_is_the_rooms_alone(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start(tick_ms=3_600_000)
    first, second = await enter(service, "a"), await enter(service, "b")
    broken_room = service.hub.registry.rooms["a"]
    ticked = Room.tick

    def tick(self: Room) -> None:
        if self is broken_room:
            raise RuntimeError("a bug")
        ticked(self)

    monkeypatch.setattr(Room, "tick", tick)
    service.hub.tick()
    assert (await first.closed()).code == 1011
    await second.send({"type": "ping"})
    assert (await second.receive())["type"] == "pong"


async def test_packs_under_way_when_a_room_is_distrusted_are_answered_first(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer = await enter(service)
    room = service.hub.registry.rooms["room"]
    held = HeldBack(service)
    node = writer.write()
    await writer.push(node)
    await eventually(lambda: len(room._in_flight) == 1)
    room.distrust()
    room.distrust()
    await writer.push(later := writer.write())
    await held.release()
    ack = await writer.receive_type("pack-ack")
    assert ack["rejected"][0]["class"] == "store_unavailable"
    assert (await writer.receive_type("error"))["class"] == "store_unavailable"
    await eventually(lambda: not room.is_ambiguous)
    # It was committed all the same, and pushing it again says so.
    ack = await writer.push_and_wait(node, later)
    assert ack["duplicates"] == [[0, 1]]
    assert ack["to_seq"] == 2


async def test_a_room_in_doubt_takes_no_new_sessions(start: Start, enter: Join, call: Join) -> None:
    service = await start()
    await enter(service)
    room = service.hub.registry.rooms["room"]
    room._is_ambiguous = True
    client = await call(service)
    assert (await client.greet())["class"] == "store_unavailable"
    room._is_ambiguous = False


async def test_a_room_that_turns_out_to_exist_is_opened(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a creation of which nobody knew whether it had been committed."""
    service = await start()
    first = await enter(service)
    registry = service.hub.registry
    registry.drop(registry.rooms["room"])
    store = service.hub.store
    found = store.open_room
    answers: list[StoredRoom | None] = [None, found("room")]
    monkeypatch.setattr(store, "open_room", lambda room_id: answers.pop(0))
    assert (await enter(service)).welcome["lineage"] == first.welcome["lineage"]
    registry.drop(registry.rooms["room"])
    answers += [None, None]
    with pytest.raises(Reject) as refused:
        await registry.open("room", may_create=True)
    assert refused.value.reject_class is RejectClass.STORE_UNAVAILABLE


async def test_a_reader_that_may_not_create_does_not_keep_a_writer_from_it(start: Start) -> None:
    service = await start()
    registry = service.hub.registry
    reading = asyncio.create_task(registry.open("room", may_create=False))
    await asyncio.sleep(0)
    room = await registry.open("room", may_create=True)
    assert room.room_id == "room"
    with pytest.raises(Reject) as refused:
        await reading
    assert refused.value.reject_class is RejectClass.ROOM_NOT_FOUND


async def test_a_room_that_cannot_be_created_is_refused_for_now(
    start: Start, call: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start()
    for fault in (StoreUnavailable("no disk"), RoomExists("room")):
        future: Future[Any] = Future()
        future.set_exception(fault)
        monkeypatch.setattr(service.hub.committer, "create_room", lambda room, f=future: f)
        client = await call(service)
        answer = await client.greet()
        assert (answer["class"], answer["kind"]) == ("store_unavailable", "retry")
        assert (await client.closed()).code == 1013
    assert service.hub.registry.rooms == {}
