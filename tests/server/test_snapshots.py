"""Snapshots of a running server: taken in another process, offered, sent, and never in the way."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from roomlog.core.node import Node
from roomlog.core.operation import CounterAdd, ListInsert, MapSet, Operation, TextInsert
from roomlog.core.replica import Replica
from roomlog.core.snapshot.facts import OpenedSnapshot, check_snapshot
from roomlog.server.service import Service
from roomlog.store.sqlite import SqliteStore
from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import JSON, RawClient

EAGER = {
    "snapshot_every_nodes": 20,
    "snapshot_every_ms": 50,
    "snapshot_margin_nodes": 4,
    "snapshot_worth_nodes": 10,
    "tick_ms": 20,
    "live_nodes_per_second": 100_000,
}
SECONDS = 30.0


def some_operations(number: int) -> list[Operation]:
    return [
        MapSet(f"map/{number % 7}", number),
        CounterAdd("votes", 1),
        TextInsert("notes", 0, f"{number} "),
        ListInsert("rows", b"\x80" + number.to_bytes(3, "big") + b"\x01", f"row {number}"),
    ]


async def write_chain(client: RawClient, count: int) -> list[Node]:
    """Nodes one after the other, acknowledged."""
    nodes = [client.write(*some_operations(number)) for number in range(count)]
    for start in range(0, count, 500):
        ack = await client.push_and_wait(*nodes[start : start + 500])
        assert not ack["rejected"], ack["rejected"][:1]
    return nodes


def snapshot_seq(service: Service, room: str = "room") -> int:
    resident = service.hub.registry.rooms.get(room)
    return 0 if resident is None else resident.snapshot_seq


async def snapshot_taken(service: Service, least_seq: int = 1) -> int:
    await eventually(lambda: snapshot_seq(service) >= least_seq, SECONDS)
    return snapshot_seq(service)


async def read_snapshot(client: RawClient) -> tuple[dict[str, Any], bytes]:
    """The first message of a snapshot, and the state of all of them."""
    first = await client.receive_type("snapshot")
    data = first["data"]
    for number in range(1, first["chunks"]):
        message = await client.receive_type("snapshot")
        assert message["chunk"] == number
        data += message["data"]
    return first, data


def checked(client: RawClient, first: dict[str, Any], data: bytes) -> OpenedSnapshot:
    return check_snapshot(
        client.challenge["server_pubkey"],
        client.welcome["lineage"],
        first["seq"],
        first["frontier"],
        first["state_hash"],
        first["digest"],
        first["signature"],
        data,
    )


def replayed(client: RawClient, nodes: Sequence[Node]) -> Replica:
    replica = Replica(client.room, lineage=client.welcome["lineage"])
    assert not replica.add_nodes(nodes).rejected
    return replica


JOINER = {"hello": {"caps": {"snapshot_join": True, "cursor_resume": True}}, "anonymous": True}


@pytest.mark.parametrize("is_durable", [False, True])
async def test_a_joiner_by_snapshot_and_tail_has_the_state_of_all_of_the_log(
    start: Start, enter: Join, tmp_path: Path, is_durable: bool
) -> None:
    service = await start(path=str(tmp_path / "store") if is_durable else None, **EAGER)
    writer = await enter(service)
    nodes = await write_chain(writer, 60)
    seq = await snapshot_taken(service)
    nodes += await write_chain(writer, 15)
    joiner = await enter(service, **JOINER)
    assert joiner.welcome["catch_up"] == "snapshot"
    await joiner.send({"type": "request", "ref": "s", "snapshot": True})
    first, data = await read_snapshot(joiner)
    assert first["ref"] == "s"
    assert first["seq"] == seq == 56
    replica = Replica.from_snapshot(
        "room", None, joiner.welcome["lineage"], checked(joiner, first, data)
    )
    end = await joiner.receive_type("request-end")
    assert end["seq"] == 75
    for pack in joiner.packs:
        assert pack["from_seq"] > seq
        assert not replica.add_nodes(joiner.nodes_of(pack)).rejected
    oracle = replayed(writer, nodes)
    assert replica.state() == oracle.state()
    assert replica.state_hash() == oracle.state_hash()
    # And it is live: what is written now comes by itself.
    (late,) = await write_chain(writer, 1)
    pack = await joiner.receive_type("pack")
    assert [node.id for node in joiner.nodes_of(pack)] == [late.id]


async def test_a_snapshot_outlives_the_server_and_is_the_beginning_of_the_next(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    path = str(tmp_path / "store")
    service = await start(path=path, **EAGER)
    writer = await enter(service)
    nodes = await write_chain(writer, 60)
    first_seq = await snapshot_taken(service)
    await writer.close()
    assert await service.stop()
    service = await start(path=path, **EAGER)
    writer = await enter(service, identity=writer.identity)
    assert snapshot_seq(service) == first_seq
    writer.heads, writer.clock = [nodes[-1].id], nodes[-1].clock
    nodes += await write_chain(writer, 40)
    await snapshot_taken(service, first_seq + 1)
    joiner = await enter(service, **JOINER)
    await joiner.send({"type": "request", "snapshot": True})
    first, data = await read_snapshot(joiner)
    opened = checked(joiner, first, data)
    oracle = replayed(writer, nodes[: opened.seq])
    assert opened.facts.state_hash.hex() == oracle.state_hash().hex
    assert len(service.hub.store.newest_snapshots("room")) == 2


async def test_a_long_snapshot_comes_in_chunks_of_bounded_size(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    service = await start(path=str(tmp_path / "store"), **EAGER)
    writer = await enter(service)
    big = [writer.write(MapSet(f"big/{number}", os.urandom(100_000))) for number in range(12)]
    for node in big:
        await writer.push_and_wait(node)
    await write_chain(writer, 30)
    await snapshot_taken(service)
    for subprotocol in ("roomlog.v1+msgpack", JSON):
        joiner = await enter(service, subprotocol=subprotocol, **JOINER)
        await joiner.send({"type": "request", "snapshot": True})
        if subprotocol == JSON:
            # The raw client reads bytes by field name; the chunks' are not among them.
            message = await joiner.receive_type("snapshot")
            assert message["chunks"] == 5
            continue
        first, data = await read_snapshot(joiner)
        assert first["chunks"] == 5
        assert len(checked(joiner, first, data).state.maps) == 12 + 7


async def test_heads_that_are_too_long_for_one_frame_with_a_chunk_leave_the_chunk_to_the_next(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    service = await start(path=str(tmp_path / "store"), **EAGER)
    writer = await enter(service)
    await write_chain(writer, 30)
    for number in range(2):
        ack = await writer.push_and_wait(writer.write(MapSet(f"big/{number}", bytes(261_800))))
        assert not ack["rejected"]
    # The place is right above the long node: what comes now is the margin.
    await write_chain(writer, 4)
    await snapshot_taken(service, 32)
    caps = {"snapshot_join": True, "max_frame_bytes": 512 * 1024}
    joiner = await enter(service, hello={"caps": caps}, anonymous=True)
    await joiner.send({"type": "request", "snapshot": True})
    first, data = await read_snapshot(joiner)
    assert len(first["frontier"]) > 261_800
    assert 0 < len(first["data"]) < 256 * 1024
    assert len(first["frontier"]) + len(first["data"]) < 512 * 1024
    assert first["chunks"] == 4
    assert checked(joiner, first, data).seq == 32


async def test_nothing_is_offered_below_its_worth_and_the_log_is_read_instead(
    start: Start, enter: Join
) -> None:
    service = await start(**{**EAGER, "snapshot_worth_nodes": 1_000})
    writer = await enter(service)
    await write_chain(writer, 60)
    joiner = await enter(service, **JOINER)
    assert joiner.welcome["catch_up"] == "cursor"
    await joiner.send({"type": "request", "ref": "s", "snapshot": True})
    error = await joiner.receive_type("error")
    assert (error["class"], error["ref"]) == ("checkpoint_not_found", "s")
    assert service.hub.worker.pid is None


async def test_a_late_node_takes_a_snapshot_away_and_a_lower_one_takes_its_place(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    service = await start(path=str(tmp_path / "store"), **EAGER)
    writer = await enter(service)
    nodes = await write_chain(writer, 60)
    assert await snapshot_taken(service) == 56
    # Somebody was away for long: the parent lies far below.
    away = await enter(service)
    late = away.write(MapSet("late", 1), parents=[nodes[29].id], clock=nodes[29].clock + 1)
    await away.push_and_wait(late)
    assert snapshot_seq(service) == 0
    await eventually(lambda: snapshot_seq(service) == 30, SECONDS)
    stored = service.hub.store.newest_snapshots("room")
    assert [each.seq for each in stored] == [30]
    joiner = await enter(service, **JOINER)
    await joiner.send({"type": "request", "snapshot": True})
    first, data = await read_snapshot(joiner)
    replica = Replica.from_snapshot(
        "room", None, joiner.welcome["lineage"], checked(joiner, first, data)
    )
    await joiner.receive_type("request-end")
    for pack in joiner.packs:
        replica.add_nodes(joiner.nodes_of(pack))
    assert replica.state_hash() == replayed(writer, [*nodes, late]).state_hash()


async def test_a_room_that_is_never_quiet_keeps_its_last_snapshot_and_serves_everybody(
    start: Start, enter: Join
) -> None:
    service = await start(**EAGER)
    writer, other = await enter(service), await enter(service)
    nodes = await write_chain(writer, 40)
    seq = await snapshot_taken(service)
    # Two branches that never meet: no place later than where they parted is critical.
    other.heads, other.clock = [nodes[-1].id], nodes[-1].clock
    outcomes = service.metrics.snapshots_total
    while outcomes.labels("no_place")._value.get() == 0:
        for _ in range(15):
            nodes += await write_chain(writer, 1)
            nodes += await write_chain(other, 1)
        await asyncio.sleep(0.03)
        assert len(nodes) < 10_000
    assert seq <= snapshot_seq(service) <= 40
    joiner = await enter(service, **JOINER)
    await joiner.send({"type": "request", "snapshot": True})
    first, data = await read_snapshot(joiner)
    replica = Replica.from_snapshot(
        "room", None, joiner.welcome["lineage"], checked(joiner, first, data)
    )
    await joiner.receive_type("request-end")
    for pack in joiner.packs:
        replica.add_nodes(joiner.nodes_of(pack))
    assert replica.state_hash() == replayed(writer, nodes).state_hash()


async def test_a_worker_that_is_killed_is_logged_and_the_room_goes_on_and_tries_again(
    start: Start, enter: Join, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomlog.server.snapshots.RETRY_SECONDS", 0.05)
    monkeypatch.setattr("roomlog.server.workers._START", "import time; time.sleep(600)")
    service = await start(path=str(tmp_path / "store"), **EAGER)
    writer = await enter(service)
    await write_chain(writer, 60)
    await eventually(lambda: service.hub.worker.pid is not None, SECONDS)
    pid = service.hub.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    outcomes = service.metrics.snapshots_total
    await eventually(lambda: outcomes.labels("failed")._value.get() >= 1, SECONDS)
    # Meanwhile everybody is served.
    await write_chain(writer, 1)
    monkeypatch.undo()
    second = service.hub.worker.pid
    if second is not None:
        os.kill(second, signal.SIGKILL)
    monkeypatch.setattr("roomlog.server.snapshots.RETRY_SECONDS", 0.05)
    assert await snapshot_taken(service) >= 56


async def test_stopping_ends_a_worker_in_the_middle_of_its_work(
    start: Start, enter: Join, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomlog.server.workers._START", "import time; time.sleep(600)")
    service = await start(path=str(tmp_path / "store"), **EAGER)
    writer = await enter(service)
    await write_chain(writer, 60)
    await eventually(lambda: service.hub.worker.pid is not None, SECONDS)
    pid = service.hub.worker.pid
    assert pid is not None
    await writer.close()
    async with asyncio.timeout(10):
        assert await service.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_worker_with_nothing_to_do_ends(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomlog.server.workers.IDLE_SECONDS", 0.05)
    service = await start(**EAGER)
    writer = await enter(service)
    await write_chain(writer, 60)
    await snapshot_taken(service)
    await eventually(lambda: service.hub.worker.pid is None, SECONDS)
    await write_chain(writer, 60)
    assert await snapshot_taken(service, 57) > 56


async def test_a_store_that_cannot_take_a_snapshot_says_so_and_takes_nodes(
    start: Start, enter: Join, failing_store: SqliteStore, faults: Any
) -> None:
    faults.failing["INSERT INTO snapshot "] = 1
    service = await start(failing_store, **EAGER)
    writer = await enter(service)
    await write_chain(writer, 60)
    outcomes = service.metrics.snapshots_total
    await eventually(lambda: outcomes.labels("failed")._value.get() == 1, SECONDS)
    assert snapshot_seq(service) == 0
    assert failing_store.newest_snapshots("room") == []
    await write_chain(writer, 1)


async def test_the_hash_of_a_running_room_is_that_of_its_replay(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    service = await start(path=str(tmp_path / "store"), **EAGER)
    writer = await enter(service)
    nodes = await write_chain(writer, 60)
    await snapshot_taken(service)
    nodes += await write_chain(writer, 3)
    oracle = replayed(writer, nodes)
    for patterns in ([], ["map/**"], ["notes", "rows"]):
        await writer.send({"type": "request", "ref": "h", "hash": {"patterns": patterns}})
        answer = await writer.receive_type("state-hash")
        assert answer["ref"] == "h"
        assert answer["hash"] == oracle.state_hash(patterns).hex
        assert answer["coverage"]["patterns"] == sorted(patterns)
        assert answer["frontier"] == [nodes[-1].id]
        end = await writer.receive_type("request-end")
        assert (end["ref"], end["seq"]) == ("h", 63)


async def test_an_empty_room_has_a_hash(start: Start, enter: Join) -> None:
    service = await start()
    client = await enter(service)
    await client.send({"type": "request", "hash": {}})
    answer = await client.receive_type("state-hash")
    assert answer["hash"] == Replica("room").state_hash().hex
    assert answer["frontier"] == []


async def test_only_one_hash_of_a_room_is_computed_at_a_time(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomlog.server.workers._START", "import time; time.sleep(600)")
    service = await start()
    first, second = await enter(service), await enter(service)
    await first.send({"type": "request", "ref": "a", "hash": {}})
    await eventually(lambda: service.hub.worker.pid is not None, SECONDS)
    await second.send({"type": "request", "ref": "b", "hash": {}})
    error = await second.receive_type("error")
    assert (error["class"], error["ref"]) == ("queue_full", "b")
    assert error["retry_after_ms"] > 0
    pid = service.hub.worker.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    error = await first.receive_type("error")
    assert (error["class"], error["ref"]) == ("store_unavailable", "a")


async def test_t38_while_one_room_is_replayed_the_others_get_their_acks(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    service = await start(path=str(tmp_path / "store"), **{**EAGER, "snapshot_every_nodes": 2_000})
    writer, other = await enter(service), await enter(service, "other")
    await write_chain(writer, 3_000)
    await eventually(lambda: service.hub.worker.is_busy, SECONDS)
    # However fast it is replayed: this room's loop is free, so an ack comes in any case.
    await write_chain(other, 1)
    assert await snapshot_taken(service, 2_900) == 2_996


async def test_a_snapshot_that_cannot_be_read_keeps_nobody_out_and_is_replaced(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    path = tmp_path / "store"
    service = await start(path=str(path), **EAGER)
    writer = await enter(service)
    nodes = await write_chain(writer, 60)
    await snapshot_taken(service)
    assert await service.stop()
    connection = sqlite3.connect(path / "roomlog.sqlite3")
    connection.execute("UPDATE snapshot_chunk SET data = zeroblob(length(data))")
    connection.commit()
    connection.close()
    service = await start(path=str(path), **EAGER)
    first = await enter(service, **JOINER)
    assert first.welcome["catch_up"] == "snapshot"
    await first.send({"type": "request", "snapshot": True})
    assert (await first.closed()).code == 1013
    second = await enter(service, **JOINER)
    assert second.welcome["catch_up"] == "cursor"
    # The next one is replayed from the beginning, and the bad one goes.
    writer = await enter(service, identity=writer.identity)
    writer.heads, writer.clock = [nodes[-1].id], nodes[-1].clock
    nodes += await write_chain(writer, 30)
    seq = await snapshot_taken(service)
    assert [each.seq for each in service.hub.store.newest_snapshots("room")] == [seq]
    third = await enter(service, **JOINER)
    await third.send({"type": "request", "snapshot": True})
    message, data = await read_snapshot(third)
    oracle = replayed(writer, nodes[:seq])
    assert checked(third, message, data).facts.state_hash.hex() == oracle.state_hash().hex


async def test_a_snapshot_that_becomes_useless_while_it_is_sent_is_sent_to_its_end(
    start: Start, enter: Join, tmp_path: Path
) -> None:
    service = await start(path=str(tmp_path / "store"), **EAGER)
    writer = await enter(service)
    nodes = await write_chain(writer, 30)
    for number in range(40):
        nodes.append(writer.write(MapSet(f"big/{number}", os.urandom(200_000))))
        await writer.push_and_wait(nodes[-1])
    await snapshot_taken(service, 60)
    joiner = await enter(service, **JOINER)
    await joiner.send({"type": "request", "ref": "s", "snapshot": True})
    first = await joiner.receive_type("snapshot")
    assert first["seq"] >= 60
    # It does not read on; meanwhile a late node comes, and another snapshot is taken above it.
    away = await enter(service)
    late = away.write(MapSet("late", 1), parents=[nodes[29].id], clock=nodes[29].clock + 1)
    await away.push_and_wait(late)
    assert snapshot_seq(service) <= 30
    away.heads, away.clock = [late.id, nodes[-1].id], nodes[-1].clock
    await write_chain(away, 20)
    await snapshot_taken(service, 72)
    data = first["data"]
    for _ in range(1, first["chunks"]):
        data += (await joiner.receive_type("snapshot"))["data"]
    replica = Replica.from_snapshot(
        "room", None, joiner.welcome["lineage"], checked(joiner, first, data)
    )
    await joiner.receive_type("request-end")
    for pack in joiner.packs:
        replica.add_nodes(joiner.nodes_of(pack))
    # What does not stand on all of it is held until the history is there.
    assert late.id in replica.held_ids
    assert not replica.state_hash().complete


async def test_stopping_gives_up_a_hash_under_way(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("roomlog.server.workers._START", "import time; time.sleep(600)")
    service = await start()
    client = await enter(service)
    await client.send({"type": "request", "ref": "a", "hash": {}})
    await eventually(lambda: service.hub.worker.pid is not None, SECONDS)
    async with asyncio.timeout(10):
        stopping = asyncio.create_task(service.stop())
        assert (await client.closed()).code == 1012
        assert await stopping
    assert service.hub.worker.pid is None
