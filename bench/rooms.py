"""Rooms of any size in a store, written straight into it, before anything is timed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from bench.histories import KEY, ROOM, START_MS
from roomlog.core.clock import UNITS_PER_MS
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import TextInsert
from roomlog.core.pack import encode_pack
from roomlog.identity import Identity
from roomlog.store.interface import Append, NewRoom
from roomlog.store.sqlite import SqliteStore

PACK_NODES = 4096
BATCH_APPENDS = 64


class UnsignedSigner:
    """Stands for an author whose signatures nobody will check: a million of them take 17 s."""

    def __init__(self, public_key: bytes) -> None:
        self.public_key = public_key

    def sign(self, purpose: Any, payload: bytes) -> bytes:
        return bytes(64)


class LogOf:
    """A log as both sides know it: lineage, epoch, and ids in order of seq."""

    def __init__(self, lineage: bytes, epoch: bytes) -> None:
        self.lineage = lineage
        self.epoch = epoch
        self.ids: list[bytes] = []

    def id_at(self, seq: int) -> bytes | None:
        return self.ids[seq - 1] if 0 < seq <= len(self.ids) else None


def typed(
    hasher: NodeHasher, signer: Any, count: int, first: int, parents: Sequence[bytes]
) -> list[Node]:
    """Nodes of one typed character each, one after the other; `first` numbers their clocks."""
    nodes: list[Node] = []
    for number in range(first, first + count):
        clock = (START_MS + number) * UNITS_PER_MS
        edits = [TextInsert(KEY, number - first, "abcdefgh"[number % 8])]
        node = make_node(hasher, signer, CHANGE, clock, parents, edits)
        nodes.append(node)
        parents = [node.id]
    return nodes


class RoomWriter:
    """Fills a new store with one room. `close` it before a server opens the store."""

    def __init__(self, directory: str, room_id: str = ROOM, log: LogOf | None = None) -> None:
        self.log = LogOf(os.urandom(32), os.urandom(16)) if log is None else log
        self.hasher = NodeHasher(self.log.lineage)
        self._room_id = room_id
        self._store = SqliteStore.open(directory, store_id=os.urandom(16), now_ms=START_MS)
        Identity.load_or_create(self._store.key_path)
        new = NewRoom(room_id, self.log.lineage, self.log.epoch, START_MS)
        created = self._store.create_rooms([new])
        assert not isinstance(created[0], Exception), created[0]
        self._seq = 0

    def add(self, nodes: Sequence[Node], *, is_known: bool = True) -> None:
        """Append nodes in packs; `is_known` False leaves them out of the log that clients know."""
        appends: list[Append] = []
        for start in range(0, len(nodes), PACK_NODES):
            part = nodes[start : start + PACK_NODES]
            appends.append(
                Append(
                    room_id=self._room_id,
                    epoch=self.log.epoch,
                    from_seq=self._seq + 1,
                    count=len(part),
                    pack=encode_pack(part),
                    ids=b"".join(node.id for node in part),
                    submitter=part[0].author,
                    admitted_ms=START_MS,
                )
            )
            self._seq += len(part)
        for start in range(0, len(appends), BATCH_APPENDS):
            for outcome in self._store.commit(appends[start : start + BATCH_APPENDS]):
                assert outcome.is_committed, outcome.reason
        if is_known:
            self.log.ids.extend(node.id for node in nodes)

    def close(self) -> None:
        self._store.close()
