"""Rows of the local store: a document out of them, and writes into them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final, final

import msgspec

from roomlog.client.errors import LocalStoreError
from roomlog.client.rejections import Rejection
from roomlog.client.store_writes import (
    Admitted,
    CursorMoved,
    LineageAdopted,
    OwnNodes,
    ReceivedPack,
    Rewritten,
    ServerPinned,
    StoreWrite,
)
from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.reject import Reject
from roomlog.core.signing import Signer
from roomlog.protocol.messages import Cursor

_INSERT_OWN: Final = "INSERT INTO node_pack (own_id, pack) VALUES (?, ?)"
_SET_META: Final = (
    "INSERT INTO meta (key, value) VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


@final
class StoredDocument:
    """Everything a local store holds of its room."""

    def __init__(
        self,
        *,
        room_id: str,
        lineage: bytes,
        is_draft: bool,
        cursor: Cursor | None,
        nodes: list[Node],
        pending: list[bytes],
        server_keys: dict[str, bytes],
        rejections: list[Rejection],
    ) -> None:
        self.room_id = room_id
        self.lineage = lineage
        self.is_draft = is_draft
        """Whether the room was never met and the lineage is this store's own."""
        self.cursor = cursor
        self.nodes = nodes
        """In order of arrival, parents first."""
        self.pending = pending
        """Ids of own nodes without an acknowledgment, parents first."""
        self.server_keys = server_keys
        self.rejections = rejections

    def has_unsent_of_others(self, identity: Signer | None) -> bool:
        """Whether going on as `identity` would lose, or be refused, writes of another key."""
        if identity is None:
            # A reader has no use for a draft, and would leave it behind at the first welcome.
            return self.is_draft and bool(self.pending)
        author, pending = identity.public_key, set(self.pending)
        return any(node.author != author and node.id in pending for node in self.nodes)


def read_document(connection: sqlite3.Connection, path: str) -> StoredDocument:
    """Everything in the store. Raises `LocalStoreError` when it is damaged."""
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    room_id, lineage = meta.get("room_id"), meta.get("lineage")
    if not isinstance(room_id, str) or not isinstance(lineage, bytes) or len(lineage) != 32:
        raise LocalStoreError(f"{path}: names no room and lineage")
    hasher = NodeHasher(lineage)
    nodes: list[Node] = []
    known: set[bytes] = set()
    pending: list[bytes] = []
    rows = connection.execute("SELECT position, own_id, seq, pack FROM node_pack ORDER BY position")
    for position, own_id, seq, pack in rows:
        for node in _decoded(pack, hasher, path, f"row {position}"):
            # Own nodes may come back in a pack of the log.
            if node.id not in known:
                known.add(node.id)
                nodes.append(node)
        if own_id is not None and seq is None:
            if own_id not in known:
                raise LocalStoreError(f"{path}: row {position} is not the node it says")
            pending.append(own_id)
    cursor = None
    if meta.get("cursor") is not None:
        cursor = msgspec.msgpack.decode(meta["cursor"], type=Cursor)
    return StoredDocument(
        room_id=room_id,
        lineage=lineage,
        is_draft=bool(meta.get("is_draft")),
        cursor=cursor,
        nodes=nodes,
        pending=pending,
        server_keys=dict(connection.execute("SELECT origin, key FROM server_key")),
        rejections=_read_rejections(connection, path),
    )


def apply_write(connection: sqlite3.Connection, write: StoreWrite) -> None:
    """Carry out one write inside of the open transaction."""
    if isinstance(write, ReceivedPack):
        connection.execute("INSERT INTO node_pack (pack) VALUES (?)", (write.pack,))
    elif isinstance(write, OwnNodes):
        _insert_own(connection, write.nodes)
    elif isinstance(write, Admitted):
        connection.executemany(
            "UPDATE node_pack SET seq = ? WHERE own_id = ? AND own_id IS NOT NULL AND seq IS NULL",
            [(seq, node_id) for node_id, seq in write.seqs.items()],
        )
    elif isinstance(write, CursorMoved):
        encoded = None if write.cursor is None else msgspec.msgpack.encode(write.cursor)
        connection.execute(_SET_META, ("cursor", encoded))
    elif isinstance(write, Rewritten):
        connection.executemany(
            "DELETE FROM node_pack WHERE own_id = ? AND own_id IS NOT NULL AND seq IS NULL",
            [(node_id,) for node_id in write.removed],
        )
        _insert_own(connection, write.nodes)
        _insert_rejections(connection, write.rejections)
    elif isinstance(write, LineageAdopted):
        connection.execute("DELETE FROM node_pack")
        connection.executemany(
            _SET_META, [("lineage", write.lineage), ("is_draft", 0), ("cursor", None)]
        )
        _insert_own(connection, write.nodes)
    elif isinstance(write, ServerPinned):
        connection.execute(
            "INSERT INTO server_key (origin, key) VALUES (?, ?)"
            " ON CONFLICT (origin) DO UPDATE SET key = excluded.key",
            (write.origin, write.server_key),
        )


def _insert_own(connection: sqlite3.Connection, nodes: Sequence[Node]) -> None:
    connection.executemany(_INSERT_OWN, [(node.id, encode_pack([node])) for node in nodes])


def _insert_rejections(connection: sqlite3.Connection, rejections: Sequence[Rejection]) -> None:
    (lineage,) = connection.execute("SELECT value FROM meta WHERE key = 'lineage'").fetchone()
    connection.executemany(
        "INSERT INTO rejection (node_id, reject_class, kind, message, detail, operation_indexes,"
        " lineage, pack) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                each.node_id,
                each.reject_class,
                each.kind,
                each.message,
                msgspec.msgpack.encode(each.detail),
                msgspec.msgpack.encode(each.operation_indexes),
                lineage,
                encode_pack([each.node]),
            )
            for each in rejections
        ],
    )


def _read_rejections(connection: sqlite3.Connection, path: str) -> list[Rejection]:
    rejections: list[Rejection] = []
    rows = connection.execute(
        "SELECT node_id, reject_class, kind, message, detail, operation_indexes, lineage, pack"
        " FROM rejection ORDER BY position"
    )
    for node_id, reject_class, kind, message, detail, indexes, lineage, pack in rows:
        nodes = _decoded(pack, NodeHasher(lineage), path, "a rejection")
        rejections.append(
            Rejection(
                node_id=node_id,
                reject_class=reject_class,
                kind=kind,
                message=message,
                detail=msgspec.msgpack.decode(detail, type=dict[str, object]),
                node=nodes[0],
                operation_indexes=msgspec.msgpack.decode(indexes, type=tuple[int, ...]),
            )
        )
    return rejections


def _decoded(pack: bytes, hasher: NodeHasher, path: str, where: str) -> list[Node]:
    try:
        return decode_pack(pack, hasher)
    except Reject as reject:
        raise LocalStoreError(f"{path}: {where}: {reject}") from reject
