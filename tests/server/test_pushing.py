"""Pushing packs to a real server: acks, duplicates, refusals, credit."""

from __future__ import annotations

import pytest

from roomlog.core.node import NodeHasher
from roomlog.core.operation import MapSet
from roomlog.core.pack import Layout, encode_pack
from roomlog.identity import Identity
from tests.server.conftest import Join, Start
from tests.server.raw_client import JSON, MSGPACK

BOTH = pytest.mark.parametrize("subprotocol", [MSGPACK, JSON])


@BOTH
async def test_packs_are_numbered_without_gaps_and_acknowledged_in_order(
    start: Start, enter: Join, subprotocol: str
) -> None:
    client = await enter(await start(), subprotocol=subprotocol)
    for number in range(20):
        await client.push(client.write(), client.write(), ref=f"pack {number}")
    for number in range(20):
        ack = await client.receive_type("pack-ack")
        assert ack["ref"] == f"pack {number}"
        assert (ack["from_seq"], ack["to_seq"]) == (2 * number + 1, 2 * number + 2)
        assert ack["credit"]["nodes"] >= 4096
    await client.send({"type": "ping"})
    assert (await client.receive())["seq"] == 40


@pytest.mark.parametrize("layout", list(Layout))
async def test_both_layouts_are_taken_and_come_back(
    start: Start, enter: Join, layout: Layout
) -> None:
    service = await start()
    client, reader = await enter(service), await enter(service)
    nodes = [client.write(MapSet("k", number)) for number in range(50)]
    await client.push(nodes=encode_pack(nodes, layout=layout))
    assert (await client.receive_type("pack-ack"))["to_seq"] == 50
    assert await reader.read_through(50) == nodes
    late = await enter(service)
    await late.catch_up(after={"epoch": late.welcome["epoch"], "seq": 17})
    assert await late.read_through(50) == nodes[17:]


@BOTH
async def test_a_pack_that_cannot_be_parsed_is_an_error_and_nothing_is_taken(
    start: Start, enter: Join, subprotocol: str
) -> None:
    client = await enter(await start(), subprotocol=subprotocol)
    whole = encode_pack([client.write()])
    for broken in (b"", whole[:-1], whole + b"\0", b"\x02" + whole[1:], b"\xff" * 40):
        await client.push(nodes=broken, ref="broken")
        error = await client.receive_type("error")
        assert (error["class"], error["ref"]) == ("invalid_field", "broken")
        assert error["detail"]["field"] == "nodes"
    assert (await client.push_and_wait(client.write(parents=[])))["to_seq"] == 1


async def test_refusals_come_with_class_id_and_root(start: Start, enter: Join) -> None:
    client = await enter(await start())
    good = client.write()
    foreign = client.write(identity=Identity.generate())
    child = client.write()
    ack = await client.push_and_wait(good, foreign, child)
    assert (ack["from_seq"], ack["to_seq"]) == (1, 1)
    first, second = ack["rejected"]
    assert (first["id"], first["class"]) == (foreign.id, "author_not_session")
    assert (second["id"], second["class"]) == (child.id, "ancestor_refused")
    assert second["root"] == foreign.id


async def test_t52_pipelined_descendants_of_a_refused_node_name_the_root(
    start: Start, enter: Join
) -> None:
    client = await enter(await start())
    refused = client.write(identity=Identity.generate())
    later = [client.write() for _ in range(5)]
    await client.push(refused)
    for node in later:
        await client.push(node)
    acks = [await client.receive_type("pack-ack") for _ in range(6)]
    assert acks[0]["rejected"][0]["class"] == "author_not_session"
    for ack in acks[1:]:
        assert ack["rejected"][0]["class"] == "ancestor_refused"
        assert ack["rejected"][0]["root"] == refused.id


async def test_t2_a_forged_author_gets_nothing_into_the_room(start: Start, enter: Join) -> None:
    service = await start()
    victim, forger = await enter(service), await enter(service)
    assert victim.identity is not None
    genuine = victim.write()
    forged = encode_pack([genuine])
    forged = forged.replace(genuine.signature or b"", b"\0" * 64)
    await forger.push(nodes=forged)
    ack = await forger.receive_type("pack-ack")
    assert ack["rejected"][0]["class"] == "signature_invalid"
    await forger.push(genuine)
    ack = await forger.receive_type("pack-ack")
    assert ack["rejected"][0]["class"] == "author_not_session"
    await forger.send({"type": "ping"})
    assert (await forger.receive_type("pong"))["seq"] == 0


async def test_t10_a_node_of_room_a_is_refused_in_room_b(start: Start, enter: Join) -> None:
    service = await start()
    identity = Identity.generate()
    in_a = await enter(service, "a", identity=identity)
    in_b = await enter(service, "b", identity=identity)
    node = in_a.write()
    await in_a.push_and_wait(node)
    await in_b.push(node)
    assert (await in_b.receive_type("pack-ack"))["rejected"][0]["class"] == "signature_invalid"
    await in_b.push(node, lineage=in_a.welcome["lineage"])
    assert (await in_b.receive_type("error"))["class"] == "lineage_mismatch"


async def test_t54_history_of_another_store_cannot_be_carried_in(start: Start, enter: Join) -> None:
    """A writer who may write here holds a whole foreign room: it stays outside."""
    ours, theirs = await start(), await start()
    carrier = Identity.generate()
    there = await enter(theirs, identity=carrier)
    other = await enter(theirs)
    foreign = [other.write() for _ in range(3)]
    await other.push_and_wait(*foreign)
    there.heads = [foreign[-1].id]
    own_there = there.write()
    here = await enter(ours, identity=carrier)
    await here.push(nodes=encode_pack([*foreign, own_there]))
    ack = await here.receive_type("pack-ack")
    assert (ack["from_seq"], ack["to_seq"]) == (0, 0)
    assert len(ack["rejected"]) == 4
    # Rewritten for our lineage, but still by others: no.
    hasher = NodeHasher(here.welcome["lineage"])
    assert other.identity is not None
    rewritten = here.write(parents=[], identity=other.identity, hasher=hasher)
    assert (await here.push_and_wait(rewritten))["rejected"][0]["class"] == "author_not_session"


async def test_duplicates_are_answered_with_their_seq(start: Start, enter: Join) -> None:
    service = await start()
    client = await enter(service)
    nodes = [client.write() for _ in range(4)]
    await client.push_and_wait(*nodes[:2])
    ack = await client.push_and_wait(*nodes)
    assert ack["duplicates"] == [[0, 1], [1, 2]]
    assert (ack["from_seq"], ack["to_seq"]) == (3, 4)
    ack = await client.push_and_wait(*nodes)
    assert ack["duplicates"] == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert (ack["from_seq"], ack["to_seq"]) == (0, 0)


async def test_two_sessions_of_one_key_may_push_the_same_nodes_at_once(
    start: Start, enter: Join
) -> None:
    service = await start()
    identity = Identity.generate()
    first, second = await enter(service, identity=identity), await enter(service, identity=identity)
    nodes = [first.write() for _ in range(30)]
    for node in nodes:
        await first.push(node)
        await second.push(node)
    seqs: dict[int, set[int]] = {}
    for client in (first, second):
        for number in range(30):
            ack = await client.receive_type("pack-ack")
            seq = ack["to_seq"] or ack["duplicates"][0][1]
            seqs.setdefault(number, set()).add(seq)
    assert seqs == {number: {number + 1} for number in range(30)}


async def test_a_session_without_a_key_cannot_push(start: Start, enter: Join) -> None:
    service = await start()
    writer = await enter(service)
    reader = await enter(service, anonymous=True)
    await reader.push(writer.write(), ref="p")
    error = await reader.receive_type("error")
    assert (error["class"], error["ref"]) == ("proof_missing", "p")


async def test_beyond_its_credit_a_session_ends(start: Start, enter: Join) -> None:
    service = await start(slice_nodes=5, live_nodes_per_second=1)
    client = await enter(service)
    await client.push(*[client.write() for _ in range(5)])
    await client.push(client.write())
    closed = await client.closed()
    assert closed.code == 4008
    assert client.errors[-1]["class"] == "rate_nodes"


async def test_t29_a_declared_backlog_goes_through_far_beyond_the_live_rate(
    start: Start, enter: Join
) -> None:
    service = await start(slice_nodes=20, live_nodes_per_second=1)
    client = await enter(service, hello={"pending": {"nodes": 200, "bytes": 1_000_000}})
    for _ in range(20):
        await client.push_and_wait(*[client.write() for _ in range(10)])
    await client.send({"type": "ping"})
    assert (await client.receive_type("pong"))["seq"] == 200


async def test_a_starved_writer_is_told_when_it_may_go_on(start: Start, enter: Join) -> None:
    service = await start(slice_nodes=4, live_nodes_per_second=40, tick_ms=10)
    client = await enter(service)
    await client.push_and_wait(*[client.write() for _ in range(4)])
    credit = await client.receive_type("credit")
    assert credit["nodes"] > 4


async def test_a_node_at_the_size_limit_passes_and_one_byte_more_does_not(
    start: Start, enter: Join
) -> None:
    service = await start()
    client, reader = await enter(service, subprotocol=JSON), await enter(service)
    frame = 43 + 32
    # Body: array, operation, kind, key, and a string with a five-byte head.
    room = 256 * 1024 - frame - len(b"\x91\x93\x01\xa1k") - 5
    node = client.write(MapSet("k", "x" * room), parents=[])
    assert (await client.push_and_wait(node))["to_seq"] == 1
    assert await reader.read_through(1) == [node]
