"""A log that is read by patterns, as a server relays it, and what a reader of it must see."""

from __future__ import annotations

from random import Random
from typing import Any

from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import Layout, decode_pack, encode_pack
from roomlog.core.patterns import PatternSet, pattern_set
from roomlog.core.replica import Replica
from roomlog.core.subscription import as_subscribed, touches
from tests.core.devices import plain
from tests.oracle.naive_room import NaiveRoom
from tests.oracle.room_histories import LINEAGE, ROOM_ID

POOL = ["m", "m/*", "m/**", "*", "**/a", "n/**", "t*", "c", "l", "é", "x/y", "**", "q/**"]


def some_patterns(random: Random) -> list[str]:
    """A few globs over the keys of `room_histories`; sometimes none, which is everything."""
    if random.random() < 0.15:
        return []
    return random.sample(POOL, random.randint(1, 3))


class HiddenOperation:
    """An operation nobody reads; others keep their indexes."""

    def __init__(self, key: str) -> None:
        self.key = key


class SeenNode:
    """A node of which the oracle sees the operations on some keys only."""

    def __init__(self, node: Node, patterns: PatternSet | None) -> None:
        self.id, self.author, self.clock = node.id, node.author, node.clock
        self.parents = node.parents
        self._operations = [
            operation
            if patterns is None or patterns.matches(operation.key)
            else HiddenOperation(operation.key)
            for operation in node.operations()
        ]

    def operations(self) -> list[Any]:
        return self._operations


def seen_room(nodes: list[Node], patterns: PatternSet | None) -> NaiveRoom:
    room = NaiveRoom()
    for node in nodes:
        room.add(SeenNode(node, patterns))
    return room


class Log:
    """Whole nodes in the order of a log, and one session that reads them by patterns."""

    def __init__(self, random: Random, nodes: list[Node], patterns: list[str]) -> None:
        self.random = random
        self.nodes = nodes
        self.position = 0
        self.patterns = pattern_set(patterns)
        self.bodies: list[Node] = []
        self.hasher = NodeHasher(LINEAGE)

    def travel(self, nodes: list[Node]) -> list[Node]:
        """Nodes as the other side decodes them."""
        layout = self.random.choice([None, Layout.ROWS, Layout.COLUMNS])
        return decode_pack(encode_pack(nodes, layout=layout), self.hasher)

    def next(self, count: int) -> list[Node]:
        """The next nodes, relayed or caught up."""
        nodes = self.nodes[self.position : self.position + count]
        self.position += len(nodes)
        if self.patterns is not None:
            nodes = as_subscribed(nodes, self.patterns)
        return self.travel(nodes) if nodes else []

    def subscribe(self, patterns: list[str]) -> None:
        """Switch; `bodies` are whole nodes that follow."""
        before, self.patterns = self.patterns, pattern_set(patterns)
        self.bodies = [
            node
            for node in self.nodes[: self.position]
            if before is not None
            and not touches(node, before)
            and (self.patterns is None or touches(node, self.patterns))
        ]

    def some_bodies(self) -> list[Node]:
        """Some of the bodies that follow; [] when all have come."""
        count = self.random.choice([1, 2, 5, 50])
        bodies, self.bodies = self.bodies[:count], self.bodies[count:]
        return self.travel(bodies) if bodies else []


def assert_same(subscriber: Replica, nodes: list[Node]) -> None:
    """The subscriber's state, hash and graph are those of `nodes`, seen through its patterns."""
    patterns = pattern_set(subscriber.patterns)
    full = Replica(ROOM_ID)
    assert not full.add_nodes(nodes, verify=False).rejected
    expected = full.state_hash(subscriber.patterns)
    got = subscriber.state_hash()
    assert got.coverage.to_dict() == expected.coverage.to_dict()
    assert got.hex == expected.hex
    oracle = seen_room(nodes, patterns)
    assert got.hex == oracle.state_hash()
    assert plain(subscriber.state()) == oracle.state()
    assert subscriber.frontier == oracle.frontier()
    assert len(subscriber) == len(nodes)
    if expected.complete:
        assert got == expected
