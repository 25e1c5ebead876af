"""Real, signed nodes for store tests: a linear history written by one identity."""

from __future__ import annotations

import os
from collections.abc import Sequence

from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.pack.codec import encode_pack
from roomlog.identity import Identity
from roomlog.store.interface import Append, NewRoom, NodeStore, StoredRoom

AUTHOR = Identity.from_seed(bytes(range(32)))


class Chain:
    """One room's history as its author writes it, each append following the last."""

    def __init__(self, room: StoredRoom) -> None:
        self.room = room
        self.hasher = NodeHasher(room.lineage)
        self.nodes: list[Node] = []
        self.appends: list[Append] = []

    def append(self, count: int = 1, *, value: object = "v", admitted_ms: int = 1_000) -> Append:
        """The next `count` nodes as one append."""
        start = len(self.nodes)
        for _ in range(count):
            parents = [self.nodes[-1].id] if self.nodes else []
            operation = MapSet(f"key/{len(self.nodes)}", value)
            clock = 2048 * (len(self.nodes) + 1)
            self.nodes.append(make_node(self.hasher, AUTHOR, CHANGE, clock, parents, [operation]))
        append = make_append(self.room, start + 1, self.nodes[start:], admitted_ms=admitted_ms)
        self.appends.append(append)
        return append


def make_append(
    room: StoredRoom, from_seq: int, nodes: Sequence[Node], *, admitted_ms: int = 1_000
) -> Append:
    return Append(
        room_id=room.room_id,
        epoch=room.epoch,
        from_seq=from_seq,
        count=len(nodes),
        pack=encode_pack(nodes),
        ids=b"".join(node.id for node in nodes),
        submitter=AUTHOR.public_key,
        admitted_ms=admitted_ms,
    )


def new_room(room_id: str, created_ms: int = 5) -> NewRoom:
    return NewRoom(room_id, os.urandom(32), os.urandom(16), created_ms)


def create_room(store: NodeStore, room_id: str = "room") -> StoredRoom:
    (room,) = store.create_rooms([new_room(room_id)])
    if isinstance(room, Exception):
        raise room
    return room


def stored_appends(store: NodeStore, room_id: str) -> list[tuple[int, int, bytes]]:
    """The whole log as (from_seq, to_seq, pack), read in pages of one row."""
    rows: list[tuple[int, int, bytes]] = []
    while page := store.read_log(room_id, rows[-1][1] if rows else 0, 1):
        rows += [(row.from_seq, row.to_seq, row.pack) for row in page]
    return rows


def written(appends: Sequence[Append]) -> list[tuple[int, int, bytes]]:
    """What `stored_appends` gives when exactly these are in the log."""
    return [(append.from_seq, append.to_seq, append.pack) for append in appends]
