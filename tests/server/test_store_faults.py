"""A store that fails: nothing is acknowledged or relayed that is not durable, and rooms survive."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from roomlog.core.node import Node
from roomlog.server.service import Service
from roomlog.store.committer import Committer
from roomlog.store.errors import QueueFull, StoreUnavailable
from roomlog.store.sqlite import SqliteStore
from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import RawClient
from tests.store.faults import Faults

INSERT = "INSERT INTO log"
# The store writes a batch together and, when that fails, each append alone.
ONE_APPEND = 2


def durable_ids(store: SqliteStore, room: str = "room") -> list[bytes]:
    """What a fresh reader of the store finds."""
    ids: list[bytes] = []
    for row in store.load_index(room):
        ids += [row.ids[start : start + 32] for start in range(0, len(row.ids), 32)]
    return ids


async def ready(client: RawClient, service: Service) -> int:
    """The HTTP status of /readyz."""
    url = service.url.replace("ws://", "http://")
    async with client.http.get(f"{url}/readyz") as answer:
        return answer.status


class HeldBack:
    """Keeps the writer's outcomes from the loop until packs have gathered behind one another."""

    def __init__(self, service: Service) -> None:
        self.hub = service.hub
        self.deliver = service.hub._deliver
        self.hub._deliver = lambda: None  # type: ignore[method-assign]

    async def release(self) -> None:
        await asyncio.to_thread(self.hub.committer.flush)
        self.hub._deliver = self.deliver  # type: ignore[method-assign]
        self.hub._deliver()


async def test_t19_a_failed_write_is_neither_acknowledged_nor_relayed(
    start: Start, enter: Join, failing_store: SqliteStore, faults: Faults
) -> None:
    service = await start(failing_store)
    writer, reader = await enter(service), await enter(service)
    await writer.push_and_wait(writer.write())
    faults.failing[INSERT] = ONE_APPEND
    lost = writer.write()
    ack = await writer.push_and_wait(lost)
    assert (ack["from_seq"], ack["to_seq"]) == (0, 0)
    refused = ack["rejected"][0]
    assert (refused["id"], refused["class"]) == (lost.id, "store_unavailable")
    assert refused["detail"]["retry_after_ms"] > 0
    assert await ready(writer, service) == 503
    # The same bytes are taken later, and only then relayed.
    ack = await writer.push_and_wait(lost)
    assert ack["to_seq"] == 2
    assert [node.id for node in await reader.read_through(2)][-1] == lost.id
    assert [pack["to_seq"] for pack in reader.packs] == [1, 2]
    assert await ready(writer, service) == 200
    assert durable_ids(failing_store)[-1] == lost.id


async def test_t19_a_full_disk_refuses_writes_and_goes_on_reading(
    start: Start, enter: Join, failing_store: SqliteStore, faults: Faults
) -> None:
    service = await start(failing_store)
    writer = await enter(service)
    kept = [writer.write() for _ in range(3)]
    await writer.push_and_wait(*kept)
    faults.error_code = sqlite3.SQLITE_FULL
    faults.failing[INSERT] = 10**6
    for _ in range(3):
        ack = await writer.push_and_wait(writer.write(parents=[kept[-1].id]))
        assert ack["rejected"][0]["class"] == "store_unavailable"
    reader = await enter(service)
    await reader.catch_up(after={"epoch": reader.welcome["epoch"], "seq": 0})
    assert await reader.read_through(3) == kept


async def test_t59_one_bad_pack_fails_alone_and_those_behind_it_are_numbered_anew(
    start: Start, enter: Join, failing_store: SqliteStore, faults: Faults
) -> None:
    service = await start(failing_store)
    first, second, elsewhere = (
        await enter(service),
        await enter(service),
        await enter(service, "other"),
    )
    held = HeldBack(service)
    faults.failing[INSERT] = ONE_APPEND
    lost = first.write()
    child = first.write()
    independent = [second.write(), second.write()]
    await first.push(lost)
    room = service.hub.registry.rooms["room"]
    await eventually(lambda: len(room._in_flight) == 1)
    await asyncio.to_thread(service.hub.committer.flush)
    assert faults.failing[INSERT] == 0
    await first.push(child)
    await eventually(lambda: len(room._in_flight) == 2)
    for node in independent:
        await second.push(node)
    await elsewhere.push(elsewhere.write())
    await eventually(lambda: len(room._in_flight) == 4)
    await held.release()
    acks = [await first.receive_type("pack-ack") for _ in range(2)]
    assert [ack["rejected"][0]["class"] for ack in acks] == ["store_unavailable"] * 2
    assert acks[1]["rejected"][0]["root"] == lost.id
    acks = [await second.receive_type("pack-ack") for _ in range(2)]
    assert [ack["to_seq"] for ack in acks] == [1, 2]
    assert (await elsewhere.receive_type("pack-ack"))["to_seq"] == 1
    assert durable_ids(failing_store) == [node.id for node in independent]
    # And the writer that was refused just sends again.
    assert (await first.push_and_wait(lost, child))["to_seq"] == 4


async def test_packs_that_arrive_while_a_room_recovers_wait_their_turn(
    start: Start, enter: Join, failing_store: SqliteStore, faults: Faults
) -> None:
    service = await start(failing_store)
    first, second = await enter(service), await enter(service)
    held = HeldBack(service)
    faults.failing[INSERT] = ONE_APPEND
    room = service.hub.registry.rooms["room"]
    lost = [first.write(parents=[]) for _ in range(2)]
    for count, node in enumerate(lost, 1):
        await first.push(node)
        await eventually(lambda count=count: len(room._in_flight) == count)  # type: ignore[misc]
    room._is_recovering = True
    late = second.write()
    await second.push(late)
    await eventually(lambda: len(room._again) == 1)
    room._is_recovering = False
    await held.release()
    assert (await second.receive_type("pack-ack"))["to_seq"] > 0
    classes = [
        refused["class"]
        for _ in range(2)
        for refused in (await first.receive_type("pack-ack"))["rejected"]
    ]
    assert classes.count("store_unavailable") >= 1
    assert late.id in durable_ids(failing_store)


@pytest.mark.parametrize("committing_first", [True, False])
async def test_t59_an_ambiguous_commit_is_settled_by_reading_the_store_again(
    start: Start,
    enter: Join,
    failing_store: SqliteStore,
    faults: Faults,
    committing_first: bool,
) -> None:
    service = await start(failing_store)
    writer, reader = await enter(service), await enter(service)
    first = writer.write()
    await writer.push_and_wait(first)
    await reader.read_through(1)
    faults.committing_first = committing_first
    faults.failing["COMMIT"] = 1
    unsure = writer.write()
    ack = await writer.push_and_wait(unsure)
    assert ack["rejected"][0]["class"] == "store_unavailable"
    again = await push_until_taken(writer, unsure)
    if committing_first:
        assert again["duplicates"] == [[0, 2]]
    else:
        assert again["to_seq"] == 2
    assert await reader.read_through(2) == [first, unsure]
    assert durable_ids(failing_store) == [first.id, unsure.id]
    assert [pack["from_seq"] for pack in reader.packs] == [1, 2]


async def push_until_taken(client: RawClient, node: Node) -> dict[str, Any]:
    """Push again and again, as a client does that is told store_unavailable."""
    for _ in range(200):
        await client.push(node)
        answer = await client.receive()
        while answer["type"] not in ("pack-ack", "error"):
            answer = await client.receive()
        if answer["type"] == "error":
            assert answer["class"] == "store_unavailable"
        elif not answer["rejected"]:
            return answer
        await asyncio.sleep(0)
    raise AssertionError("never taken")


async def test_t21_a_room_that_cannot_be_read_is_refused_and_never_empty(
    start: Start, enter: Join, call: Join
) -> None:
    service = await start()
    await enter(service)
    registry = service.hub.registry
    store = service.hub.store

    def unreadable(room_id: str) -> Any:
        raise StoreUnavailable("no disk")

    store.load_index = unreadable  # type: ignore[method-assign]
    registry.drop(registry.rooms["room"])
    client = await call(service)
    error = await client.greet()
    assert (error["class"], error["kind"]) == ("store_unavailable", "retry")
    assert (await client.closed()).code == 1013
    assert registry.rooms == {}
    del store.load_index  # type: ignore[method-assign]
    assert (await enter(service)).welcome["type"] == "welcome"


async def test_a_room_that_cannot_be_read_again_sends_its_sessions_away(
    start: Start, enter: Join, failing_store: SqliteStore, faults: Faults
) -> None:
    service = await start(failing_store)
    writer, reader = await enter(service), await enter(service)
    await writer.push_and_wait(writer.write())
    await reader.read_through(1)

    def unreadable(room_id: str) -> Any:
        raise StoreUnavailable("no disk")

    service.hub.store_reader.store = type(  # type: ignore[assignment]
        "Broken", (), {"open_room": staticmethod(unreadable), "is_durable": True}
    )()
    faults.failing["COMMIT"] = 1
    await writer.push(writer.write())
    for client in (writer, reader):
        assert (await client.closed()).code == 1013
        assert client.errors[-1]["class"] == "store_unavailable"
    assert service.hub.registry.rooms == {}
    service.hub.store_reader.store = failing_store
    back = await enter(service)
    assert back.welcome["seq"] == 1


async def test_a_disk_that_fails_is_logged_as_that_and_not_as_a_fault_of_the_server(
    start: Start,
    enter: Join,
    failing_store: SqliteStore,
    faults: Faults,
    capsys: pytest.CaptureFixture[str],
) -> None:
    service = await start(failing_store)
    writer = await enter(service)
    await writer.push_and_wait(writer.write())
    faults.failing["COMMIT"] = 1
    faults.connect_fails = 1
    await writer.push(writer.write())
    await writer.closed()
    logged = capsys.readouterr().err
    assert "room not read again" in logged
    assert "internal fault" not in logged


async def test_t19_a_store_that_works_again_is_found_out_by_those_who_ask_for_a_room(
    start: Start, enter: Join, call: Join, failing_store: SqliteStore, faults: Faults
) -> None:
    service = await start(failing_store)
    writer = await enter(service)
    await writer.push_and_wait(first := writer.write())
    # A full disk: the commit fails, and so does everything that would settle what became of it.
    faults.failing["COMMIT"] = 1
    faults.connect_fails = 1 << 30
    await writer.push(writer.write())
    assert (await writer.closed()).code == 1013
    assert (await (await call(service)).greet())["class"] == "store_unavailable"
    faults.connect_fails = 0
    # Nobody can write to a room that cannot be read, so asking for it has to be enough.
    async with asyncio.timeout(5):
        while (await (client := await call(service)).greet())["type"] != "welcome":
            pass
    assert client.welcome["frontier"] == [first.id]


async def test_a_full_queue_refuses_for_now(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start()
    writer = await enter(service)

    def full(self: Committer, append: object) -> None:
        raise QueueFull("full")

    with monkeypatch.context() as patched:
        patched.setattr(Committer, "submit", full)
        ack = await writer.push_and_wait(node := writer.write())
        assert ack["rejected"][0]["class"] == "queue_full"
    assert (await writer.push_and_wait(node))["to_seq"] == 1


async def test_a_page_that_cannot_be_read_ends_the_session_with_a_retry(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer = await enter(service)
    await writer.push_and_wait(*[writer.write() for _ in range(10)])
    service.hub.registry.rooms["room"]._relay.forget()

    def unreadable(*_: object) -> Any:
        raise StoreUnavailable("no disk")

    service.hub.store.read_log = unreadable  # type: ignore[method-assign]
    reader = await enter(service)
    await reader.send({"type": "request", "after": {"epoch": reader.welcome["epoch"], "seq": 0}})
    assert (await reader.closed()).code == 1013


async def test_t20_a_room_whose_packs_are_under_way_stays_in_memory(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    service = await start(path=str(tmp_path / "store"))
    writer = await enter(service)
    held = HeldBack(service)
    room = service.hub.registry.rooms["room"]
    await writer.push(writer.write())
    await eventually(lambda: bool(service.hub._outcomes))
    await writer.close()
    await eventually(lambda: not service.hub.connections)
    service.hub.registry.evict_idle(0.0)
    assert service.hub.registry.rooms == {"room": room}
    await held.release()
    assert room.head_seq == 1
    await eventually(lambda: room.is_quiet)
    service.hub.registry.evict_idle(0.0)
    assert service.hub.registry.rooms == {}
    assert (await enter(service)).welcome["seq"] == 1


async def test_t20_nothing_acknowledged_is_lost_by_eviction_or_restart(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    path = str(tmp_path / "store")
    service = await start(path=path)
    writer = await enter(service)
    acknowledged: list[bytes] = []
    for _ in range(10):
        node = writer.write()
        await writer.push_and_wait(node)
        acknowledged.append(node.id)
        await writer.close()
        await eventually(lambda: not service.hub.connections)
        service.hub.registry.evict_idle(0.0)
        assert service.hub.registry.rooms == {}
        heads, clock = writer.heads, writer.clock
        writer = await enter(service)
        assert writer.welcome["seq"] == len(acknowledged)
        assert writer.welcome["frontier"] == heads
        writer.clock = clock
    await service.stop()
    again = await start(path=path)
    reader = await enter(again)
    await reader.catch_up(after={"epoch": reader.welcome["epoch"], "seq": 0})
    assert [node.id for node in await reader.read_through(10)] == acknowledged
