"""Sessions with patterns against a real server: what is left out, and what never is."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from roomlog.core.node import CHANGE, Node, make_node
from roomlog.core.operation import MapSet, TextInsert
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.pack.blocks import PackBlocks
from roomlog.core.patterns import PatternSet
from roomlog.core.reject import RejectClass
from roomlog.core.replica import Replica
from roomlog.core.subscription import missing_bodies
from roomlog.protocol.codec import Codec
from roomlog.server import feeder, subscriptions
from roomlog.server.service import Service
from tests.oracle.room_histories import UnsignedAuthor
from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import JSON, MSGPACK, RawClient

BOTH = pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])
CAPS: dict[str, Any] = {"header_only_nodes": True, "unsigned_bulk": True}


class Subscriber:
    """A raw session that keeps a replica of what it is sent."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.replica = Replica("room", lineage=client.welcome["lineage"])
        self.replica.set_patterns(client.welcome.get("subscribed", []))
        self.next_seq = client.welcome["seq"] + 1
        self.bodies: list[dict[str, Any]] = []

    async def step(self) -> dict[str, Any]:
        """Take one message in."""
        message = await self.client.receive()
        kind, ref = message["type"], message.get("ref", "")
        if kind == "pack":
            nodes = self.client.nodes_of(message)
            first, last = message["from_seq"], message["to_seq"]
            if ref.startswith("subscribe"):
                assert all(node.body is not None for node in nodes)
                assert first <= last
                self.bodies.append(message)
                assert not self.replica.fill_bodies(nodes).rejected
            else:
                assert len(nodes) == last - first + 1
                if ref in ("", "after"):
                    # The reading position has no holes.
                    assert first <= self.next_seq <= last + 1
                    self.next_seq = last + 1
                result = self.replica.add_nodes(nodes, verify=ref != "unsigned")
                assert not result.rejected
                assert not result.waiting or ref == "before"
        elif kind == "subscribe-ack":
            self.replica.set_patterns(message.get("patterns", []))
        elif kind == "request-end" and ref.startswith("subscribe"):
            self.replica.complete_patterns()
        return message

    async def until(self, kind: str, ref: str | None = None) -> dict[str, Any]:
        while True:
            message = await self.step()
            if message["type"] == kind and (ref is None or message.get("ref") == ref):
                return message

    async def after(self, seq: int = 0) -> None:
        """Read the log from `seq` on."""
        self.next_seq = seq + 1
        after = {"epoch": self.client.welcome["epoch"], "seq": seq}
        await self.client.send({"type": "request", "ref": "after", "after": after})
        await self.until("request-end", "after")

    async def through(self, seq: int) -> None:
        while self.next_seq <= seq:
            await self.step()

    async def subscribe(self, *patterns: str, number: int = 0) -> None:
        """Change, and read until every body has come."""
        ref = f"subscribe{number}"
        await self.client.send({"type": "subscribe", "ref": ref, "patterns": list(patterns)})
        await self.until("request-end", ref)
        assert not self.replica.awaits_bodies


async def subscriber(enter: Join, service: Service, *patterns: str, **options: Any) -> Subscriber:
    hello = {"caps": {**CAPS, **options.pop("caps", {})}, "subscribe": list(patterns)}
    return Subscriber(await enter(service, hello=hello, **options))


def some_node(writer: RawClient, number: int) -> Node:
    key = ["a/x", "a/y", "b", "c/d/e"][number % 4]
    if number % 5 == 4:
        return writer.write(MapSet(key, number), TextInsert("t", 0, f"{number}"))
    return writer.write(MapSet(key, number))


async def write(writer: RawClient, count: int, *, a_pack: int = 1, start: int = 0) -> Replica:
    """`count` nodes, in the log when this returns; a replica of all that `writer` wrote."""
    nodes = [some_node(writer, start + number) for number in range(count)]
    for first in range(0, count, a_pack):
        await writer.push(*nodes[first : first + a_pack])
    while not writer.acks or writer.acks[-1]["to_seq"] < start + count:
        await writer.receive()
    full = Replica("room", lineage=writer.welcome["lineage"])
    full.add_nodes(nodes, verify=False)
    return full


def assert_agrees(reader: Subscriber, full: Replica) -> None:
    replica = reader.replica
    assert replica.frontier == full.frontier
    assert replica.state_hash() == full.state_hash(replica.patterns)


# what is relayed


@BOTH
async def test_a_subscriber_gets_every_node_and_the_bodies_of_its_keys(
    start: Start, enter: Join, subprotocol: str
) -> None:
    service = await start()
    writer, plain = await enter(service), await enter(service)
    reader = await subscriber(enter, service, "a/**", subprotocol=subprotocol)
    assert reader.client.welcome["subscribed"] == ["a/**"]
    full = await write(writer, 40)
    await reader.through(40)
    assert_agrees(reader, full)
    left_out = set(missing_bodies(reader.replica))
    assert left_out == {
        node.id
        for node in full.nodes()
        if not any(operation.key.startswith("a/") for operation in node.operations())
    }
    assert 0 < len(left_out) < 40
    assert [node.body is None for node in await plain.read_through(40)] == [False] * 40


async def test_without_patterns_nothing_is_decoded_and_with_them_once_a_relay(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    real = subscriptions.decode_page

    def counting(page: Any, hasher: Any) -> list[Node]:
        decoded.append(page.to_seq)
        return real(page, hasher)

    monkeypatch.setattr(subscriptions, "decode_page", counting)
    service = await start()
    writer, plain = await enter(service), await enter(service)
    await write(writer, 5)
    await plain.read_through(5)
    assert not decoded
    readers = [await subscriber(enter, service, "a/**") for _ in range(3)]
    readers += [await subscriber(enter, service, "b", "t") for _ in range(3)]
    for reader in readers:
        await reader.after()
    decoded.clear()
    await writer.push_and_wait(some_node(writer, 5))
    for reader in readers:
        await reader.through(6)
    assert decoded == [6]


async def test_readers_of_one_shape_share_their_frames(start: Start, enter: Join) -> None:
    service = await start()
    await enter(service)
    one = await subscriber(enter, service, "a", "b")
    await subscriber(enter, service, "b", "a", "a")
    other = await subscriber(enter, service, "c")
    live = service.hub.registry.rooms["room"].readers._live
    sizes = {shape[1] and shape[1].patterns: len(group) for shape, group in live.items() if group}
    assert sizes == {None: 1, ("a", "b"): 2, ("c",): 1}
    await one.subscribe("c")
    await other.client.close()
    await eventually(lambda: len(live.get((Codec.MSGPACK, PatternSet(["c"])), {})) == 1)
    assert sum(len(group) for group in live.values()) == 3
    assert all(group for shape, group in live.items() if shape[1] is not None)


async def test_a_relay_too_large_for_the_loop_is_read_from_the_store(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "LIVE_NODES", 100)
    monkeypatch.setattr(feeder, "LIVE_NODES", 100)
    service = await start()
    writer = await enter(service)
    readers = [await subscriber(enter, service, pattern) for pattern in ("a/**", "b", "t")]
    full = await write(writer, 2_000, a_pack=500)
    for reader in readers:
        await reader.through(2_000)
        assert_agrees(reader, full)
    assert service.hub.metrics.readers_behind_total._value.get() >= 3
    more = some_node(writer, 2_000)
    await writer.push_and_wait(more)
    full.add_nodes([more], verify=False)
    for reader in readers:
        await reader.through(2_001)
        assert_agrees(reader, full)


# what is read


@BOTH
async def test_a_cursor_a_frontier_older_history_and_named_nodes_are_filtered_alike(
    start: Start, enter: Join, subprotocol: str
) -> None:
    service = await start()
    writer = await enter(service)
    full = await write(writer, 300, a_pack=60)
    nodes = list(full.nodes())
    requests: dict[str, dict[str, Any]] = {
        "frontier": {"frontier": []},
        "before": {"before": {"epoch": writer.welcome["epoch"], "seq": 301}, "page": 300},
        "ids": {"ids": [node.id for node in nodes]},
    }
    if subprotocol == JSON:
        requests = {"frontier": {"frontier": []}}
    for ref, request in requests.items():
        reader = await subscriber(enter, service, "a/x", "c/**", subprotocol=subprotocol)
        await reader.client.send({"type": "request", "ref": ref, **request})
        await reader.until("request-end", ref)
        assert_agrees(reader, full)
        assert 0 < len(missing_bodies(reader.replica)) < 300
    reader = await subscriber(enter, service, "a/x", "c/**", subprotocol=MSGPACK)
    await reader.after()
    assert_agrees(reader, full)
    await reader.after(150)
    assert_agrees(reader, full)


async def test_old_history_may_lack_signatures_and_bodies_at_once(
    start: Start, enter: Join
) -> None:
    service = await start(resend_window_ms=0)
    writer = await enter(service)
    full = await write(writer, 300, a_pack=100)
    reader = await subscriber(enter, service, "b")
    ref = "unsigned"
    await reader.client.send({"type": "request", "ref": ref, "frontier": [], "signatures": False})
    await reader.until("request-end", ref)
    assert_agrees(reader, full)
    blocks = [PackBlocks.parse(pack["nodes"]) for pack in reader.client.packs]
    assert all(each.signatures is None for each in blocks)


async def test_t35_a_catch_up_by_patterns_over_the_frame_is_split_and_nothing_is_dropped(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer = await enter(service)
    nodes = [
        writer.write(
            MapSet("wanted" if number % 3 == 0 else "other", f"{number}" * (900 + number % 50))
        )
        for number in range(900)
    ]
    for first in range(0, 900, 300):
        await writer.push(*nodes[first : first + 300])
    while not writer.acks or writer.acks[-1]["to_seq"] < 900:
        await writer.receive()
    full = Replica("room", lineage=writer.welcome["lineage"])
    full.add_nodes(nodes, verify=False)
    limit = 512 * 1024
    for pattern in ("wanted", "**", "nothing"):
        reader = await subscriber(
            enter, service, pattern, caps={"max_frame_bytes": limit, "max_pack_nodes": 200}
        )
        await reader.after()
        assert reader.next_seq == 901
        assert_agrees(reader, full)
        assert max(len(pack["nodes"]) for pack in reader.client.packs) < limit
        assert max(p["to_seq"] - p["from_seq"] + 1 for p in reader.client.packs) <= 200


def test_t35_hashes_that_make_a_page_too_long_split_it() -> None:
    ada = Replica("room")
    hasher = ada._hasher
    nodes: list[Node] = []
    for number in range(600):
        parents = [nodes[-1].id] if nodes else []
        operation = TextInsert("k" if number % 2 else "t", 0, "x")
        nodes.append(make_node(hasher, UnsignedAuthor(0), CHANGE, number + 1, parents, [operation]))
    pack = encode_pack(nodes)
    page = subscriptions.Page(1, 600, pack)
    wanted = PatternSet(["k"])
    for most_bytes in (len(pack), len(pack) // 2, 5_000):
        pages = subscriptions.subscribed_pages(
            [page], wanted, hasher, max_nodes=600, max_bytes=most_bytes
        )
        assert len(pages) > 1
        assert max(len(each.nodes) for each in pages) <= most_bytes
        got: list[Node] = []
        for each in pages:
            assert each.from_seq == len(got) + 1
            got += decode_pack(each.nodes, hasher)
        assert got == nodes
        assert [node.body is None for node in got] == [number % 2 == 0 for number in range(600)]


# changes


@BOTH
async def test_a_change_is_acknowledged_then_filled_then_ended(
    start: Start, enter: Join, subprotocol: str
) -> None:
    service = await start()
    writer = await enter(service)
    full = await write(writer, 200, a_pack=50)
    reader = await subscriber(enter, service, "a/x", subprotocol=subprotocol)
    await reader.client.send({"type": "request", "ref": "f", "frontier": []})
    await reader.until("request-end", "f")
    assert_agrees(reader, full)
    sent = {"type": "subscribe", "ref": "subscribe", "patterns": ["b", "a/x", "b"]}
    await reader.client.send(sent)
    ack = await reader.until("subscribe-ack")
    assert (ack["seq"], ack["patterns"], ack["ref"]) == (200, ["a/x", "b"], "subscribe")
    assert reader.replica.awaits_bodies
    end = await reader.until("request-end")
    assert end["ref"] == "subscribe"
    assert_agrees(reader, full)
    # Only what was missing came, in few packs although it lay apart.
    came = [node for pack in reader.bodies for node in reader.client.nodes_of(pack)]
    assert len(came) == 50
    assert len(reader.bodies) == 1
    assert (reader.bodies[0]["from_seq"], reader.bodies[0]["to_seq"]) == (3, 199)
    await reader.subscribe(number=1)
    assert_agrees(reader, full)
    assert missing_bodies(reader.replica) == []
    reader.bodies.clear()
    await reader.subscribe("t", number=2)
    assert not reader.bodies
    assert_agrees(reader, full)


async def test_bodies_are_looked_for_in_turns_and_packed_within_the_limits(
    start: Start, enter: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "SCANNED_NODES", 70)
    service = await start()
    writer = await enter(service)
    full = await write(writer, 1_000, a_pack=100)
    reader = await subscriber(enter, service, "none", caps={"max_pack_nodes": 7})
    await reader.after()
    await reader.subscribe("b", "c/**")
    assert_agrees(reader, full)
    assert max(len(reader.client.nodes_of(pack)) for pack in reader.bodies) <= 7
    seqs = [pack["from_seq"] for pack in reader.bodies]
    assert seqs == sorted(seqs)


async def test_random_changes_while_others_write_end_in_the_state_of_the_keys(
    start: Start, enter: Join
) -> None:
    pool = ["a/**", "a/x", "b", "c/**", "t", "**/e", "*", "none"]
    for seed in range(6):
        random = Random(seed)
        service = await start()
        writer = await enter(service)
        await write(writer, 100, a_pack=30)
        readers = []
        for _ in range(3):
            reader = await subscriber(enter, service, *random.sample(pool, 2))
            await reader.after()
            readers.append(reader)
        nodes = [some_node(writer, number) for number in range(100, 400)]

        async def push(nodes: list[Node] = nodes, writer: RawClient = writer) -> None:
            for node in nodes:
                await writer.push(node)
                await asyncio.sleep(0)
            while writer.acks[-1]["to_seq"] < 400:
                await writer.receive()

        async def change(reader: Subscriber, random: Random) -> None:
            for number in range(6):
                patterns = random.sample(pool, random.randint(0, 3))
                await reader.subscribe(*patterns, number=number)
            await reader.through(400)

        changes = [change(reader, Random(seed * 10 + i)) for i, reader in enumerate(readers)]
        async with asyncio.timeout(30):
            await asyncio.gather(push(), *changes)
        everything = await enter(service)
        await everything.catch_up(frontier=[])
        full = Replica("room", lineage=writer.welcome["lineage"])
        full.add_nodes(await everything.read_through(400), verify=False)
        for reader in readers:
            assert_agrees(reader, full)


async def test_a_change_while_the_log_is_being_read_holds_from_the_reading_position_on(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer = await enter(service)
    full = await write(writer, 1_500, a_pack=250)
    reader = await subscriber(enter, service, "a/x")
    reader.next_seq = 1
    after = {"epoch": writer.welcome["epoch"], "seq": 0}
    await reader.client.send({"type": "request", "ref": "after", "after": after, "page": 100})
    await reader.client.send({"type": "request", "ref": "walk", "frontier": [], "page": 50})
    await reader.client.send({"type": "subscribe", "ref": "subscribe", "patterns": ["b", "t"]})
    ack = await reader.until("subscribe-ack")
    waits = {"after", "walk", "subscribe"}
    while waits:
        waits.discard((await reader.until("request-end"))["ref"])
    assert ack["seq"] <= 1_500
    assert reader.next_seq == 1_501
    assert_agrees(reader, full)


async def test_own_pushes_are_acknowledged_as_ever(start: Start, enter: Join) -> None:
    service = await start()
    reader = await subscriber(enter, service, "a/**")
    plain = await enter(service)
    node = reader.client.write(MapSet("elsewhere", 1))
    ack = await reader.client.push_and_wait(node)
    assert (ack["from_seq"], ack["rejected"]) == (1, [])
    assert await plain.read_through(1) == [node]


# refusals


@pytest.mark.parametrize("pattern", ["", "a//b", "a**", "x" * 257])
async def test_a_broken_pattern_is_refused_by_name_and_the_session_goes_on(
    start: Start, enter: Join, pattern: str
) -> None:
    service = await start()
    reader = await subscriber(enter, service, "a")
    await reader.client.send({"type": "subscribe", "ref": "s", "patterns": ["ok", pattern]})
    error = await reader.client.receive_type("error")
    assert error["class"] == RejectClass.SUBSCRIPTION_INVALID.wire
    assert error["ref"] == "s"
    assert error["detail"]["index"] == 1
    await reader.subscribe("b")
    assert reader.replica.patterns == ["b"]


async def test_t47_a_subscription_beyond_the_bounds_is_refused(start: Start, enter: Join) -> None:
    service = await start()
    reader = await subscriber(enter, service, "a")
    patterns = [f"p{number}" for number in range(65)]
    await reader.client.send({"type": "subscribe", "ref": "s", "patterns": patterns})
    error = await reader.client.receive_type("error")
    assert error["class"] == RejectClass.SUBSCRIPTION_INVALID.wire


async def test_who_does_not_offer_it_gets_every_body_whatever_the_hello_says(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer = await enter(service)
    old = await enter(service, hello={"subscribe": ["a/**"]})
    assert "subscribed" not in old.welcome
    full = await write(writer, 8)
    assert all(node.body is not None for node in await old.read_through(8))
    await old.send({"type": "subscribe", "ref": "s", "patterns": ["b"]})
    assert (await old.receive_type("error"))["class"] == RejectClass.NOT_NEGOTIATED.wire
    assert len(full) == 8
