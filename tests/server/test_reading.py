"""Relay, catch-up by cursor and by frontier, named nodes, readers that are slow."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from roomlog.core.difference import Difference
from roomlog.core.node import Node
from roomlog.core.operation import MapSet
from roomlog.identity import Identity
from roomlog.server import answers, feeder
from roomlog.server.service import Service
from roomlog.store.committer import DEFAULT_BATCH_BYTES
from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import JSON, MSGPACK, RawClient

BOTH = pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])


async def write_history(client: RawClient, count: int, *, a_pack: int = 1) -> list[Node]:
    nodes = [client.write(MapSet("k", number)) for number in range(count)]
    for start in range(0, count, a_pack):
        await client.push(*nodes[start : start + a_pack])
    while not client.acks or client.acks[-1]["to_seq"] < count:
        await client.receive()
    return nodes


def seqs(client: RawClient) -> list[int]:
    """Every seq received, in order of arrival."""
    numbers: list[int] = []
    for pack in client.packs:
        numbers += range(pack["from_seq"], pack["to_seq"] + 1)
        assert len(client.nodes_of(pack)) == pack["to_seq"] - pack["from_seq"] + 1
    return numbers


# relay


@BOTH
async def test_every_reader_gets_every_node_once_and_in_order(
    start: Start, enter: Join, subprotocol: str
) -> None:
    service = await start()
    writer = await enter(service)
    readers = [await enter(service, subprotocol=subprotocol) for _ in range(5)]
    nodes = await write_history(writer, 100)
    for reader in readers:
        assert await reader.read_through(100) == nodes
        assert seqs(reader) == list(range(1, 101))


async def test_a_writer_gets_only_acks_for_what_is_all_its_own(start: Start, enter: Join) -> None:
    service = await start()
    writer, reader = await enter(service), await enter(service)
    await write_history(writer, 20)
    await reader.read_through(20)
    await writer.send({"type": "ping"})
    await writer.receive_type("pong")
    assert writer.packs == []


async def test_what_commits_together_is_relayed_in_one_frame(start: Start, enter: Join) -> None:
    service = await start()
    writer, reader = await enter(service), await enter(service)
    room = service.hub.registry.rooms["room"]
    # Hold the outcomes back until all packs are in.
    deliver = service.hub._deliver
    service.hub._deliver = lambda: None  # type: ignore[method-assign]
    nodes = [writer.write() for _ in range(12)]
    for node in nodes:
        await writer.push(node)
    await eventually(lambda: len(room._in_flight) == 12)
    await asyncio.to_thread(service.hub.committer.flush)
    service.hub._deliver = deliver  # type: ignore[method-assign]
    service.hub._deliver()
    assert await reader.read_through(12) == nodes
    assert len(reader.packs) == 1


async def test_mixed_batches_reach_their_authors_with_seq_in_order(
    start: Start, enter: Join
) -> None:
    service = await start()
    writers = [await enter(service) for _ in range(4)]
    for _ in range(25):
        for writer in writers:
            await writer.push(writer.write())
    reader = await enter(service)
    await reader.catch_up(after={"epoch": reader.welcome["epoch"], "seq": 0})
    await reader.read_through(100)
    assert seqs(reader) == list(range(1, 101))
    for writer in writers:
        own: list[int] = []
        while len(own) < 25:
            ack = await writer.receive_type("pack-ack")
            own += range(ack["from_seq"], ack["to_seq"] + 1)
        await writer.send({"type": "ping"})
        await writer.receive_type("pong")
        received = seqs(writer)
        assert received == sorted(set(received))
        assert set(received) | set(own) == set(range(1, 101))


# catch-up by cursor


@BOTH
@pytest.mark.parametrize("page", [None, 7])
async def test_a_cursor_brings_the_tail_and_then_the_session_is_live(
    start: Start, enter: Join, subprotocol: str, page: int | None
) -> None:
    service = await start()
    writer = await enter(service)
    nodes = await write_history(writer, 60, a_pack=4)
    cursor = {"epoch": writer.welcome["epoch"], "seq": 41, "id": nodes[40].id}
    shown = cursor if subprotocol == MSGPACK else _json_cursor(cursor)
    reader = await enter(service, subprotocol=subprotocol, hello={"cursor": shown})
    assert reader.welcome["catch_up"] == "cursor"
    request: dict[str, Any] = {"after": {"epoch": shown["epoch"], "seq": 41}}
    if page:
        request["page"] = page
    end = await reader.catch_up(**request)
    assert (end["ref"], end["seq"]) == ("catch-up", 60)
    assert await reader.read_through(60) == nodes[41:]
    assert all(pack["ref"] == "catch-up" for pack in reader.packs)
    if page:
        assert all(pack["to_seq"] - pack["from_seq"] < page for pack in reader.packs)
    more = writer.write()
    await writer.push(more)
    assert (await reader.read_through(61))[-1] == more
    assert seqs(reader) == list(range(42, 62))


def _json_cursor(cursor: dict[str, Any]) -> dict[str, Any]:
    import base64

    return {
        key: base64.b64encode(value).decode() if isinstance(value, bytes) else value
        for key, value in cursor.items()
    }


async def test_a_long_history_comes_from_the_store_in_pages(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder, "PAGE_BYTES", 4_000)
    service = await start()
    writer = await enter(service)
    nodes = await write_history(writer, 300, a_pack=3)
    room = service.hub.registry.rooms["room"]
    room._relay.forget()
    reader = await enter(service)
    end = await reader.catch_up(after={"epoch": reader.welcome["epoch"], "seq": 1})
    assert end["seq"] == 300
    assert await reader.read_through(300) == nodes[1:]
    assert seqs(reader) == list(range(2, 301))
    assert len(reader.packs) > 5


async def test_nodes_written_during_a_catch_up_come_behind_it_in_order(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder, "PAGE_BYTES", 2_000)
    service = await start()
    writer = await enter(service)
    await write_history(writer, 100)
    service.hub.registry.rooms["room"]._relay.forget()
    reader = await enter(service)
    after = {"epoch": reader.welcome["epoch"], "seq": 0}
    await reader.send({"type": "request", "after": after, "page": 5})
    for _ in range(100):
        await writer.push(writer.write())
    await reader.read_through(200)
    assert seqs(reader) == list(range(1, 201))


async def test_a_wrong_epoch_and_a_seq_beyond_the_head_are_refused(
    start: Start, enter: Join
) -> None:
    service = await start()
    reader = await enter(service)
    await reader.send({"type": "request", "ref": "a", "after": {"epoch": b"x" * 16, "seq": 0}})
    error = await reader.receive_type("error")
    assert (error["class"], error["ref"]) == ("epoch_unknown", "a")
    after = {"epoch": reader.welcome["epoch"], "seq": 1}
    await reader.send({"type": "request", "ref": "b", "after": after})
    assert (await reader.receive_type("error"))["class"] == "invalid_field"


# catch-up by frontier, and named nodes


async def branched(service: Service, enter: Join) -> tuple[list[RawClient], list[list[Node]]]:
    """Three authors whose branches part at the first node; seqs interleave."""
    writers = [await enter(service) for _ in range(3)]
    root = writers[0].write()
    await writers[0].push_and_wait(root)
    branches: list[list[Node]] = [[], [], []]
    for writer in writers:
        writer.heads = [root.id]
        writer.clock = root.clock
    for _ in range(10):
        for writer, branch in zip(writers, branches, strict=True):
            branch.append(writer.write())
            await writer.push_and_wait(branch[-1])
    return writers, branches


async def test_a_frontier_brings_everything_that_is_not_in_its_history(
    start: Start, enter: Join
) -> None:
    service = await start()
    _, branches = await branched(service, enter)
    reader = await enter(service, hello={"frontier": [branches[0][4].id, branches[1][9].id]})
    assert reader.welcome["catch_up"] == "walk"
    end = await reader.catch_up(frontier=[branches[0][4].id, branches[1][9].id])
    assert end["seq"] == 31
    received = [node for pack in reader.packs for node in reader.nodes_of(pack)]
    assert {node.id for node in received} == {node.id for node in branches[0][5:] + branches[2]}
    assert len(received) == 15
    position = {node.id: index for index, node in enumerate(received)}
    for node in received:
        assert all(position.get(parent, -1) < position[node.id] for parent in node.parents)


async def test_unknown_ids_in_a_frontier_count_as_nothing(start: Start, enter: Join) -> None:
    service = await start()
    await branched(service, enter)
    reader = await enter(service)
    end = await reader.catch_up(frontier=[b"?" * 32])
    assert end["seq"] == 31
    assert sorted(seqs(reader)) == list(range(1, 32))
    other = await enter(service)
    await other.catch_up(frontier=other.welcome["frontier"])
    assert other.packs == []


async def test_named_nodes_come_and_unknown_ones_are_missing(start: Start, enter: Join) -> None:
    service = await start()
    _, branches = await branched(service, enter)
    reader = await enter(service, hello={"frontier": [b"?" * 32]})
    wanted = [branches[2][9], branches[0][0], branches[1][0]]
    absent = [b"1" * 32, b"2" * 32]
    end = await reader.catch_up(ids=[*(node.id for node in wanted), *absent, absent[0]])
    assert end["missing"] == absent
    received = [node for pack in reader.packs for node in reader.nodes_of(pack)]
    assert {node.id for node in received} == {node.id for node in wanted}
    assert len(received) == 3
    for pack in reader.packs:
        assert pack["to_seq"] - pack["from_seq"] + 1 == len(reader.nodes_of(pack))


async def test_live_relay_goes_on_beside_a_walk(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeder, "PAGE_BYTES", 1_000)
    service = await start()
    writer = await enter(service)
    await write_history(writer, 50)
    reader = await enter(service)
    await reader.send({"type": "request", "ref": "walk", "frontier": [], "page": 2})
    await reader.send({"type": "request", "ref": "ids", "ids": [b"?" * 32]})
    for _ in range(10):
        await writer.push(writer.write())
    ends = [await reader.receive_type("request-end") for _ in range(2)]
    assert {end["ref"] for end in ends} == {"walk", "ids"}
    while 60 not in seqs(reader):
        await reader.receive_type("pack")
    live = [pack for pack in reader.packs if "ref" not in pack]
    walked = [pack for pack in reader.packs if pack.get("ref") == "walk"]
    live_seqs = [n for pack in live for n in range(pack["from_seq"], pack["to_seq"] + 1)]
    walked_seqs = [n for pack in walked for n in range(pack["from_seq"], pack["to_seq"] + 1)]
    assert live_seqs == list(range(51, 61))
    assert walked_seqs[:50] == list(range(1, 51))


async def test_too_many_requests_at_once_are_refused(start: Start, enter: Join) -> None:
    service = await start()
    reader = await enter(service)
    for number in range(12):
        await reader.send({"type": "request", "ref": str(number), "ids": [b"?" * 32]})
    answers = [(await reader.receive()) for _ in range(12)]
    kinds = {answer["ref"]: answer.get("class", answer["type"]) for answer in answers}
    assert len(kinds) == 12
    assert set(kinds.values()) <= {"queue_full", "request-end"}
    assert "request-end" in kinds.values()


async def test_large_packs_are_cut_to_what_a_reader_accepts(start: Start, enter: Join) -> None:
    service = await start(pack_nodes=1000)
    writer = await enter(service)
    small = await enter(service, hello={"caps": {"max_frame_bytes": 512 * 1024}})
    nodes = [writer.write(MapSet("k", "x" * 9_000)) for _ in range(100)]
    await writer.push_and_wait(*nodes)
    assert await small.read_through(100) == nodes
    assert len(small.packs) > 1
    assert all(len(pack["nodes"]) < 512 * 1024 for pack in small.packs)
    late = await enter(service, hello={"caps": {"max_frame_bytes": 512 * 1024}})
    await late.catch_up(after={"epoch": late.welcome["epoch"], "seq": 50})
    assert await late.read_through(100) == nodes[50:]


@BOTH
@pytest.mark.parametrize("subscribe", [None, ["k"], ["other"]])
async def test_live_packs_have_no_more_nodes_than_a_reader_accepts(
    start: Start, enter: Join, subprotocol: str, subscribe: list[str] | None
) -> None:
    service = await start(pack_nodes=1000)
    writer = await enter(service)
    caps: dict[str, Any] = {"max_pack_nodes": 9}
    hello: dict[str, Any] = {"caps": caps}
    if subscribe is not None:
        caps["header_only_nodes"] = True
        hello["subscribe"] = subscribe
    few = await enter(service, subprotocol=subprotocol, hello=hello)
    nodes = [writer.write(MapSet("k", number)) for number in range(100)]
    await writer.push_and_wait(*nodes[:60])
    await writer.push_and_wait(*nodes[60:])
    read = await few.read_through(100)
    assert [node.id for node in read] == [node.id for node in nodes]
    assert seqs(few) == list(range(1, 101))
    assert max(pack["to_seq"] - pack["from_seq"] + 1 for pack in few.packs) <= 9


# slow readers


class DeafReader:
    """A reader whose socket takes as little as the kernel allows, until it listens."""

    def __init__(self, client: RawClient) -> None:
        self.client = client

    @classmethod
    async def enter(cls, service: Service, enter: Join) -> DeafReader:
        client = await enter(service)
        connection = client.socket._response.connection
        assert connection is not None
        assert connection.transport is not None
        plain = connection.transport.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 256 * 1024)
        reader = cls(client)
        reader.transport = connection.transport
        reader.transport.pause_reading()
        return reader

    transport: asyncio.Transport

    def listen(self) -> None:
        self.transport.resume_reading()


async def flood(writer: RawClient, megabytes: int) -> int:
    """Write about so much; the seq it ends at."""
    expected = len(writer.acks) + megabytes * 5
    await asyncio.gather(
        *(writer.push(writer.write(MapSet("k", "x" * 200_000))) for _ in range(megabytes * 5))
    )
    while len(writer.acks) < expected:
        await writer.receive()
    return int(writer.acks[-1]["to_seq"])


async def test_t28_a_slow_reader_costs_bounded_memory_and_still_gets_everything(
    start: Start, enter: Join
) -> None:
    service = await start(
        reader_buffer_bytes=64 * 1024, live_bytes_per_second=1 << 30, slice_bytes=1 << 27
    )
    writer, quick = await enter(service), await enter(service)
    deaf = await DeafReader.enter(service, enter)
    head = await flood(writer, 24)
    (connection,) = [
        each
        for each in service.hub.connections
        if deaf.client.identity is not None
        and each.session.author == deaf.client.identity.public_key
    ]
    assert connection.reader is not None
    await eventually(lambda: connection.reader is not None and not connection.reader.is_live)
    # What is allowed, and what one commit brought on top of it.
    most_bytes = 64 * 1024 + DEFAULT_BATCH_BYTES + 256 * 1024
    assert connection.waiting_bytes < most_bytes
    # Others are not held up.
    await quick.read_through(head)
    # It is fed from the store now, and only as fast as it takes it.
    head = await flood(writer, 12)
    await quick.read_through(head)
    assert connection.waiting_bytes < most_bytes
    deaf.listen()
    await deaf.client.read_through(head)
    assert seqs(deaf.client) == list(range(1, head + 1))
    await eventually(lambda: connection.reader is not None and connection.reader.is_live)
    more = writer.write()
    await writer.push(more)
    assert (await deaf.client.read_through(head + 1))[-1] == more
    assert b"roomlog_readers_behind_total 0.0" not in service.metrics.exposition()


async def test_t28_a_reader_that_takes_nothing_for_too_long_is_cut_off(
    start: Start, enter: Join
) -> None:
    service = await start(
        reader_buffer_bytes=64 * 1024,
        live_bytes_per_second=1 << 30,
        slice_bytes=1 << 27,
        send_stall_ms=100,
        tick_ms=10,
    )
    writer = await enter(service)
    deaf = await DeafReader.enter(service, enter)
    await flood(writer, 12)
    await eventually(lambda: len(service.hub.connections) == 1)
    assert b'resyncs_total{reason="send_stall"} 1.0' in service.metrics.exposition()
    assert b'closes_total{code="4001"} 1.0' in service.metrics.exposition()
    deaf.listen()


async def test_a_client_that_leaves_in_the_middle_of_a_catch_up_leaves_nothing_behind(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer = await enter(service)
    await write_history(writer, 200, a_pack=50)
    service.hub.registry.rooms["room"]._relay.forget()
    reader = await enter(service, identity=Identity.generate())
    after = {"epoch": reader.welcome["epoch"], "seq": 0}
    await reader.send({"type": "request", "after": after, "page": 1})
    await reader.send({"type": "request", "frontier": [], "page": 1})
    await reader.close()
    await eventually(lambda: len(service.hub.connections) == 1)
    assert len(service.hub.registry.rooms["room"].sessions) == 1


async def test_t38_others_are_served_while_the_log_is_searched_for_what_a_frontier_lacks(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await start()
    writer, reader, other = [await enter(service) for _ in range(3)]
    # Two lines that never meet: every node is a chain of its own.
    lines: list[list[bytes]] = [[], []]
    nodes: list[Node] = []
    for number in range(1_200):
        line = lines[number % 2]
        nodes.append(writer.write(parents=line))
        line[:] = [nodes[-1].id]
    await writer.push_and_wait(*nodes)
    await reader.read_through(1_200)
    reader.packs.clear()
    steps = 0
    advance = Difference.advance

    def counted(difference: Difference, chains: int) -> bool:
        nonlocal steps
        steps += 1
        return advance(difference, chains)

    monkeypatch.setattr(answers, "CHAINS_A_STEP", 1)
    monkeypatch.setattr(Difference, "advance", counted)
    asked = asyncio.create_task(reader.catch_up(frontier=[nodes[0].id]))
    await eventually(lambda: steps > 0)
    await other.send({"type": "ping"})
    await other.receive_type("pong")
    assert steps < 1_100
    await asked
    assert [n.id for pack in reader.packs for n in reader.nodes_of(pack)] == [
        node.id for node in nodes[1:]
    ]
    assert steps > 1_000
