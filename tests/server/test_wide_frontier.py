"""The server merges wide frontiers, with a node of its own."""

from __future__ import annotations

import itertools
from typing import Any

from roomlog.core.node import MAX_PARENTS, MERGE, Node
from roomlog.server.room import MERGE_ABOVE_HEADS
from roomlog.server.service import Service
from tests.server.conftest import Join, Start, eventually
from tests.server.raw_client import RawClient


async def fan_out(client: RawClient, heads: int) -> list[Node]:
    """A root and so many concurrent nodes on it."""
    root = client.write(parents=[])
    leaves = [client.write(parents=[root.id]) for _ in range(heads)]
    await client.push_and_wait(root, *leaves)
    return leaves


async def merged(service: Service, most: int = MERGE_ABOVE_HEADS) -> Any:
    room = service.hub.registry.rooms["room"]
    await eventually(lambda: len(room.graph.frontier) <= most)
    return room


async def test_t37_sixteen_heads_are_left_alone_and_seventeen_become_one(
    start: Start, enter: Join
) -> None:
    service = await start(tick_ms=10)
    client, reader = await enter(service), await enter(service)
    leaves = await fan_out(client, MERGE_ABOVE_HEADS)
    service.hub.tick()
    assert len(service.hub.registry.rooms["room"].graph.frontier) == MERGE_ABOVE_HEADS
    last = client.write(parents=[leaves[0].parents[0]])
    await client.push_and_wait(last)
    room = await merged(service, 1)
    merge = (await reader.read_through(MERGE_ABOVE_HEADS + 3))[-1]
    assert merge.kind == MERGE
    assert merge.author == client.challenge["server_pubkey"]
    assert sorted(merge.parents) == sorted(node.id for node in [*leaves, last])
    assert room.graph.frontier_ids() == [merge.id]


async def test_t62_hundreds_of_heads_are_merged_in_steps_of_at_most_64_parents(
    start: Start, enter: Join
) -> None:
    service = await start(tick_ms=10)
    client = await enter(service)
    leaves = await fan_out(client, 300)
    room = await merged(service)
    reader = await enter(service)
    await reader.catch_up(after={"epoch": reader.welcome["epoch"], "seq": 0})
    nodes = await reader.read_through(room.head_seq)
    merges = [node for node in nodes if node.kind == MERGE]
    assert len(merges) >= 5
    assert all(len(node.parents) <= MAX_PARENTS for node in merges)
    covered = {parent for node in merges for parent in node.parents}
    assert len({node.id for node in leaves} - covered) <= MERGE_ABOVE_HEADS
    assert len(reader.welcome["frontier"]) <= MERGE_ABOVE_HEADS


async def test_t37_at_most_one_merge_is_signed_a_tick(start: Start, enter: Join) -> None:
    service = await start(tick_ms=3_600_000)
    client = await enter(service)
    await fan_out(client, 200)
    room = service.hub.registry.rooms["room"]
    # Two merges of the same heads would be the same node if no time passed between them.
    times = itertools.count(service.hub.wall_ms())
    room._wall_ms = lambda: next(times)
    for heads in (200 - 63, 200 - 2 * 63):
        service.hub.tick()
        service.hub.tick()
        await eventually(lambda heads=heads: len(room.graph.frontier) == heads)  # type: ignore[misc]
