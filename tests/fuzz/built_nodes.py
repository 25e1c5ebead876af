"""Nodes made of an input's choices: right by form, of any content, signed when asked."""

from __future__ import annotations

from typing import Final, final

from roomlog.core.clock import CLOCK_LIMIT
from roomlog.core.errors import RoomlogError
from roomlog.core.node import CHANGE, MERGE, Node, NodeHasher, encode_header
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
    encode_body,
)
from roomlog.core.signing import Purpose
from roomlog.identity import Identity
from tests.fuzz.choices import Choices

LINEAGE: Final = b"L" * 32
HASHER: Final = NodeHasher(LINEAGE)
AUTHORS: Final = tuple(Identity.from_seed(bytes((number,)) * 32) for number in (1, 2, 3))
MOST_NODES: Final = 14
MOST_OPERATIONS: Final = 5
KEYS: Final = ("k", "k/a", "t", "l", "é/x")
VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    0,
    (1 << 64) - 1,
    -(1 << 63),
    -0.0,
    float("nan"),
    "",
    "é\U0001f600",
    b"\x00",
    [],
    {"a": [1, {"b": None}]},
)
TEXTS: Final = ("a", "bc", "def", "é", "\U0001f600", "x" * 9)
POSITIONS: Final = (b"\x01", b"\x80", b"\x80\x00", b"\x80\x01", b"\xff" * 128)


@final
class NodeBuilder:
    """Writes nodes one on top of others. `nodes` has all of them, parents first."""

    def __init__(self, choices: Choices, *, is_signed: bool) -> None:
        self.nodes: list[Node] = []
        self._choices = choices
        self._is_signed = is_signed
        self._inserts: list[ItemReference] = []
        """Operations that made list items."""

    def build(self, most_nodes: int = MOST_NODES) -> list[Node]:
        """Everything that the input says."""
        while self._choices.are_left and len(self.nodes) < most_nodes:
            self.add()
        return self.nodes

    def add(self) -> Node:
        """One more node."""
        choices = self._choices
        parents = self._parents()
        greatest = max((node.clock for node in parents), default=-1)
        clock = greatest + choices.one_of((1, 1, 1, 2, 2048, 0, 5_000))
        if choices.is_one_in(24):
            clock = choices.one_of((CLOCK_LIMIT, CLOCK_LIMIT - 1, 0, (1 << 64) - 1))
        kind = MERGE if len(parents) > 1 and choices.is_one_in(3) else CHANGE
        operations: list[Operation] = []
        if kind == CHANGE:
            for _ in range(1 + choices.below(MOST_OPERATIONS)):
                operations.append(self._operation(len(operations)))
        try:
            body = encode_body(operations)
        except RoomlogError:
            body = b"\x90"
        if choices.is_one_in(16):
            body += choices.piece()
        node = self._sealed(kind, clock % (1 << 64), parents, body)
        for index, operation in enumerate(operations):
            if isinstance(operation, ListInsert):
                self._inserts.append(ItemReference(node.id, index))
        self.nodes.append(node)
        return node

    def _sealed(self, kind: int, clock: int, parents: list[Node], body: bytes) -> Node:
        """A node of these fields, whether or not they can be."""
        author = self._choices.one_of(AUTHORS)
        ids = tuple(sorted({node.id for node in parents}))
        if self._choices.is_one_in(32):
            ids = (*ids, *ids[:1]) if self._choices.is_one_in(2) else (*ids, b"\xff" * 32)
        body_hash = HASHER.body_hash(body)
        header = encode_header(kind, author.public_key, clock, ids, body_hash)
        node_id = HASHER.node_id(header)
        signature = author.sign(Purpose.NODE, node_id) if self._is_signed else bytes(64)
        if self._choices.is_one_in(48):
            signature = bytes(63) + b"\x01"
        return Node(node_id, author.public_key, clock, kind, ids, body_hash, body, signature)

    def _parents(self) -> list[Node]:
        if not self.nodes or self._choices.is_one_in(12):
            return []
        if not self._choices.is_one_in(2):
            return [self.nodes[-1 - self._choices.below(min(3, len(self.nodes)))]]
        count = 1 + self._choices.below(3)
        return [self._choices.one_of(self.nodes[-5:]) for _ in range(count)]

    def _operation(self, index: int) -> Operation:
        choices = self._choices
        kind = choices.below(12)
        key = choices.one_of(KEYS)
        if kind == 0:
            return MapSet(key, choices.one_of(VALUES))
        if kind == 1:
            return MapDelete(key)
        if kind == 2:
            return MapSetBlob(key, bytes(32), choices.below(3), "a/b")
        if kind == 3:
            return CounterAdd(key, choices.one_of((1, -1, 7, 1 << 53, -(1 << 53))))
        if kind == 4:
            return ListInsert(key, self._list_position(), choices.one_of(VALUES))
        if kind == 5:
            return ListMove(key, self._item(index), self._list_position())
        if kind == 6:
            return ListUpdate(key, self._item(index), choices.one_of(VALUES))
        if kind == 7:
            return ListDelete(key, self._item(index))
        if kind in (8, 9):
            return TextInsert(key, self._place(), choices.one_of(TEXTS))
        if kind == 10:
            return TextDelete(key, self._place(), self._place() or 1)
        return UnknownOperation(choices.one_of((11, 65_535)), key, [choices.byte()])

    def _list_position(self) -> bytes:
        if self._choices.is_one_in(2):
            return self._choices.one_of(POSITIONS)
        return self._choices.take(1 + self._choices.below(3)) or b"\x40"

    def _item(self, index: int) -> ItemReference:
        choices = self._choices
        if index and choices.is_one_in(3):
            return ItemReference(None, choices.below(index))
        if self._inserts and not choices.is_one_in(8):
            return choices.one_of(self._inserts[-6:])
        node = choices.one_of(self.nodes[-6:]).id if self.nodes else b"\x05" * 32
        return ItemReference(node, choices.one_of((0, 1, 2, 1 << 20, 1 << 62)))

    def _place(self) -> int:
        if self._choices.is_one_in(24):
            return self._choices.one_of((1 << 40, (1 << 61) + 1, (1 << 64) - 1))
        return self._choices.below(13)
