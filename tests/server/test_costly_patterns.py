"""Patterns made to be slow, and nodes made for them: the event loop looks through none of it."""

from __future__ import annotations

from roomlog.core.node import CHANGE, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack import encode_pack
from roomlog.core.patterns import MAX_PATTERN_BYTES, MAX_PATTERNS, PatternSet
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from roomlog.server.history import Page
from roomlog.server.subscriptions import PagesAsWanted, read_bodies
from tests.server.conftest import Join, Start
from tests.server.raw_client import RawClient
from tests.server.test_subscriptions import assert_agrees, subscriber

STARS = "*a" * (MAX_PATTERN_BYTES // 2 - 2)
COSTLY = [STARS + f"{number:03d}" for number in range(MAX_PATTERNS)]
LINEAGE = b"l" * 32


def slow_keys(number: int, count: int) -> list[MapSet]:
    return [MapSet("a" * 490 + f"{number:05d}-{index:04d}", index) for index in range(count)]


def test_t47_what_a_set_costs_is_what_its_places_cost() -> None:
    assert PatternSet(["notes/**"]).step_cost == 1
    costly = PatternSet(COSTLY).step_cost
    assert 50 <= costly <= 100
    assert PatternSet(COSTLY[:32]).step_cost < costly


def test_t47_the_loop_leaves_costly_sets_to_threads_and_cheap_ones_not() -> None:
    nodes = [
        make_node(
            NodeHasher(LINEAGE), Identity.generate(), CHANGE, number + 1, [], slow_keys(number, 9)
        )
        for number in range(2)
    ]
    pages = [Page(1, 2, encode_pack(nodes))]
    wanted = PagesAsWanted(pages, LINEAGE)
    assert wanted.of(PatternSet(COSTLY)) is None
    # It was refused before anything was looked at, and others pay nothing for it.
    cheap = PagesAsWanted(pages, LINEAGE)
    assert cheap.of(PatternSet(["a*"])) is not None
    assert cheap.of(None) == pages


async def test_a_subscriber_with_costly_patterns_gets_all_of_it_in_bounded_pieces(
    start: Start, enter: Join
) -> None:
    service = await start()
    writer: RawClient = await enter(service)
    reader = await subscriber(enter, service, *COSTLY)
    full = Replica("room", lineage=writer.welcome["lineage"])
    nodes = [writer.write(*slow_keys(number, 8)) for number in range(12)]
    await writer.push(*nodes[:6])
    for node in nodes[6:]:
        await writer.push(node)
    full.add_nodes(nodes, verify=False)
    await reader.through(len(nodes))
    assert_agrees(reader, full)
    assert all(node.body is None for node in reader.replica.nodes())
    # What the old patterns left out is searched for in steps of bounded work.
    room = service.hub.registry.rooms["room"]
    looked: list[int] = []
    position = 0
    while position < len(nodes):
        pages, position = read_bodies(
            service.hub.store,
            room.stored,
            position,
            len(nodes),
            wanted=PatternSet([*COSTLY[1:], "x"]),
            held=PatternSet(COSTLY),
            max_nodes=1024,
            max_bytes=256 * 1024,
        )
        assert not pages
        looked.append(position)
    assert len(looked) > 2
    await reader.subscribe("a*")
    assert_agrees(reader, full)
    assert all(node.body is not None for node in reader.replica.nodes())
