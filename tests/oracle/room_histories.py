"""Adversarial rooms: the graphs of `histories`, filled with operations of every kind.

Operations are written directly, not through handles, so that there is nonsense among them: items
of other lists, of nodes that the author has not seen, positions outside the text, tied positions.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from roomlog.core.hashing import serverless_lineage
from roomlog.core.node import CHANGE, MERGE, Node, NodeHasher, make_node
from roomlog.core.operation import (
    CounterAdd,
    ItemReference,
    ListDelete,
    ListInsert,
    ListMove,
    ListUpdate,
    MapDelete,
    MapSet,
    MapSetBlob,
    Operation,
    TextDelete,
    TextInsert,
    UnknownOperation,
)
from roomlog.core.signing import Purpose
from tests.oracle.histories import Graph
from tests.oracle.naive_room import NaiveRoom

ROOM_ID = "adversarial"
LINEAGE = serverless_lineage(ROOM_ID)

_VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    (1 << 64) - 1,
    -(1 << 63),
    1.5,
    -0.0,
    "",
    "é漢\U0001f600",
    b"",
    b"\x00\xff",
    [],
    {},
    [1, [2, {"a": None}]],
    {"b": 1, "a": [True, b"x"], "é": {"z": 0.25}},
]
_POSITIONS = [b"\x01", b"\x80", b"\x80", b"\x80\x00", b"\x80\x01", b"\xff" * 128]
_TEXTS = ["a", "b", "xyz", "Q", "é", "\U0001f600", "0123456789"]


class UnsignedAuthor:
    """Signs with zeros: what is tested here is merging, and signing is slow."""

    def __init__(self, number: int) -> None:
        self.public_key = bytes([number + 1]) * 32

    def sign(self, purpose: Purpose, payload: bytes) -> bytes:
        return bytes(64)


@dataclass
class RoomHistory:
    """The nodes of a room in one topological order, and the oracle that holds them all."""

    graph: Graph
    nodes: list[Node]
    oracle: NaiveRoom
    has_unknown: bool


class _Filler:
    def __init__(self, random: Random, graph: Graph) -> None:
        self.random = random
        self.graph = graph
        self.oracle = NaiveRoom()
        self.nodes: list[Node] = []
        self.hasher = NodeHasher(LINEAGE)
        # (node id, operation index, key) of every list insert.
        self.items: list[tuple[bytes, int, str]] = []
        self.has_unknown = False
        self.with_unknown = random.random() < 0.1
        kinds = ["map", "counter", "list", "text", "text"]
        self.kinds = random.sample(kinds, random.randint(1, len(kinds)))

    def fill(self) -> RoomHistory:
        for index in range(len(self.graph.nodes)):
            self._write(index)
        return RoomHistory(self.graph, self.nodes, self.oracle, self.has_unknown)

    def _write(self, index: int) -> None:
        random = self.random
        shape = self.graph.nodes[index]
        parents = [self.nodes[parent].id for parent in shape.parents]
        greatest = max([self.nodes[parent].clock for parent in shape.parents], default=-1)
        clock = greatest + random.choice([1, 1, 1, 2, 2048, 2048 * 86_400_000])
        version = self.oracle.version(parents)
        operations: list[Operation] = []
        kind = MERGE if len(parents) > 1 and random.random() < 0.3 else CHANGE
        if kind == CHANGE:
            view: dict[str, list[str]] = {}
            for _ in range(random.choice([1, 1, 1, 2, 3, 6])):
                operations.append(self._operation(operations, version, view))
        author = UnsignedAuthor(shape.author)
        node = make_node(self.hasher, author, kind, clock, parents[:64], operations)
        while node.id in self.oracle.nodes:
            # Two devices wrote the very same: one of them a moment later.
            clock += 1
            node = make_node(self.hasher, author, kind, clock, parents[:64], operations)
        for number, operation in enumerate(operations):
            if isinstance(operation, ListInsert):
                self.items.append((node.id, number, operation.key))
        self.nodes.append(node)
        self.oracle.add(node)

    def _operation(
        self, earlier: list[Operation], version: frozenset[bytes], view: dict[str, list[str]]
    ) -> Operation:
        random = self.random
        if self.with_unknown and random.random() < 0.05:
            self.has_unknown = True
            return UnknownOperation(random.choice([11, 31, 65_535]), "x/y", [1, "two", [3]])
        kind = random.choice(self.kinds)
        if kind == "map":
            key = random.choice(["m", "m/a", "m/b", "n/o/p", "é"])
            dice = random.random()
            if dice < 0.65:
                return MapSet(key, random.choice(_VALUES))
            if dice < 0.85:
                return MapDelete(key)
            return MapSetBlob(key, bytes([random.randrange(3)]) * 32, random.randrange(9), "a/b")
        if kind == "counter":
            amounts = [1, -1, 7, 1 << 53, -(1 << 53)]
            return CounterAdd(random.choice(["c", "m"]), random.choice(amounts))
        if kind == "list":
            return self._list_operation(earlier, version)
        return self._text_operation(version, view)

    def _list_operation(self, earlier: list[Operation], version: frozenset[bytes]) -> Operation:
        random = self.random
        key = random.choice(["l", "l", "m"])
        position = random.choice([*_POSITIONS, random.randbytes(random.randint(1, 4))])
        own = [
            ItemReference(None, index)
            for index, operation in enumerate(earlier)
            if isinstance(operation, ListInsert)
        ]
        seen = [item for item in self.items if item[0] in version and item[2] == key]
        if random.random() < 0.35 or not (own or self.items):
            return ListInsert(key, position, random.choice(_VALUES))
        dice = random.random()
        if own and dice < 0.25:
            item = random.choice(own)
        elif seen and dice < 0.85:
            node_id, number, _ = random.choice(seen[-4:] if random.random() < 0.6 else seen)
            item = ItemReference(node_id, number)
        elif self.items and dice < 0.95:
            node_id, number, _ = random.choice(self.items)
            item = ItemReference(node_id, number + random.choice([0, 0, 1, 1 << 20, 1 << 62]))
        else:
            item = ItemReference(random.randbytes(32), random.randrange(3))
        dice = random.random()
        if dice < 0.4:
            return ListMove(key, item, position)
        if dice < 0.75:
            return ListUpdate(key, item, random.choice(_VALUES))
        return ListDelete(key, item)

    def _text_operation(self, version: frozenset[bytes], view: dict[str, list[str]]) -> Operation:
        random = self.random
        key = random.choice(["t", "t", "m"])
        if key not in view:
            view[key] = list(self.oracle.text(key, version))
        text = view[key]
        length = len(text)
        hot = [0, length // 2, length, random.randint(0, length)]
        position = min(random.choice(hot), length)
        if random.random() < 0.04:
            position = random.choice([length + 1, 1 << 40, (1 << 64) - 1])
        if length and random.random() < 0.35:
            size = random.choice([1, 1, 2, 5, length, (1 << 64) - 1])
            if random.random() < 0.9:
                size = max(1, min(size, length - position))
            if position + size <= length:
                del text[position : position + size]
            return TextDelete(key, position, size)
        inserted = random.choice(_TEXTS)
        if position <= length:
            text[position:position] = list(inserted)
        return TextInsert(key, position, inserted)


def room_history(random: Random, graph: Graph) -> RoomHistory:
    """Fill a graph with operations of every kind."""
    return _Filler(random, graph).fill()
