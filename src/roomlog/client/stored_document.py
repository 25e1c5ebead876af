"""A document as its local store holds it, read out of the rows."""

from __future__ import annotations

import sqlite3
from typing import TypeVar, final

import msgspec

from roomlog.client.errors import LocalStoreError
from roomlog.client.log_places import LogPlaces
from roomlog.client.rejections import Rejection
from roomlog.client.store_writes import HistoryPack, SnapshotKept
from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.reject import Reject
from roomlog.core.signing import Signer
from roomlog.protocol.messages import Cursor, SignedCheckpoint

Value = TypeVar("Value")


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
        places: LogPlaces | None = None,
        checkpoint: SignedCheckpoint | None = None,
        patterns: tuple[str, ...] = (),
        patterns_before: tuple[str, ...] | None = None,
        snapshot: SnapshotKept | None = None,
        history: list[HistoryPack] | None = None,
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
        self.places = LogPlaces() if places is None else places
        self.checkpoint = checkpoint
        """The newest that the server gave."""
        self.patterns = patterns
        """Whose bodies are here, or shall be; () for all."""
        self.patterns_before = patterns_before
        """Whose bodies were here before, while those of `patterns` are not complete."""
        self.snapshot = snapshot
        """What the nodes stand on while the history below it is not complete."""
        self.history = [] if history is None else history
        """Of the log at and below that snapshot, ascending; nothing in `nodes` is of it."""

    def has_unsent_of_others(self, identity: Signer | None) -> bool:
        """Whether going on as `identity` would lose, or be refused, writes of another key."""
        if identity is None:
            # A reader has no use for a draft, and would leave it behind at the first welcome.
            return self.is_draft and bool(self.pending)
        author, pending = identity.public_key, set(self.pending)
        return any(node.author != author and node.id in pending for node in self.nodes)


def read_document(connection: sqlite3.Connection, path: str, version: int) -> StoredDocument:
    """Everything in a store of schema `version`. Raises `LocalStoreError` when it is damaged."""
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    room_id, lineage = meta.get("room_id"), meta.get("lineage")
    if not isinstance(room_id, str) or not isinstance(lineage, bytes) or len(lineage) != 32:
        raise LocalStoreError(f"{path}: names no room and lineage")
    document = StoredDocument(
        room_id=room_id,
        lineage=lineage,
        is_draft=bool(meta.get("is_draft")),
        cursor=_decoded_meta(meta, "cursor", Cursor),
        nodes=[],
        pending=[],
        server_keys=dict(connection.execute("SELECT origin, key FROM server_key")),
        rejections=_read_rejections(connection, path),
        places=LogPlaces(meta.get("epoch")),
        checkpoint=_decoded_meta(meta, "checkpoint", SignedCheckpoint),
        patterns=_decoded_meta(meta, "patterns", tuple[str, ...]) or (),
        patterns_before=_decoded_meta(meta, "patterns_before", tuple[str, ...]),
        snapshot=_read_snapshot(connection) if version >= 2 else None,
    )
    _read_packs(connection, document, path, "from_seq, to_seq" if version >= 2 else "NULL, NULL")
    return document


def _decoded_meta(meta: dict[str, object], key: str, kind: type[Value]) -> Value | None:
    encoded = meta.get(key)
    return msgspec.msgpack.decode(encoded, type=kind) if isinstance(encoded, bytes) else None


def _read_packs(
    connection: sqlite3.Connection, document: StoredDocument, path: str, place_columns: str
) -> None:
    hasher = NodeHasher(document.lineage)
    nodes, places = document.nodes, document.places
    index: dict[bytes, int] = {}
    rows = connection.execute(
        f"SELECT position, own_id, seq, pack, {place_columns} FROM node_pack ORDER BY position"  # noqa: S608
    )
    for position, own_id, seq, pack, from_seq, to_seq in rows:
        if position < 0 and document.snapshot is not None:
            document.history.append(HistoryPack(pack, from_seq, to_seq))
            continue
        decoded = _decoded(pack, hasher, path, f"row {position}")
        for number, node in enumerate(decoded):
            at = index.setdefault(node.id, len(nodes))
            if at == len(nodes):
                nodes.append(node)
                continue
            # Own nodes come back in a pack of the log, bodies and signatures in one of their own.
            kept = decoded[number] = nodes[at]
            kept.body = node.body if kept.body is None else kept.body
            kept.signature = node.signature if kept.signature is None else kept.signature
        if from_seq is not None:
            # The ids are those of the nodes that are kept, so that they exist once.
            held = decoded[: to_seq - from_seq + 1]
            if len(held) != to_seq - from_seq + 1:
                raise LocalStoreError(f"{path}: row {position} lacks nodes of its places")
            places.hold(from_seq, [node.id for node in held])
        if own_id is not None and seq is None:
            if own_id not in index:
                raise LocalStoreError(f"{path}: row {position} is not the node it says")
            document.pending.append(own_id)
    # One that became pending again has a row after those that were built on it.
    document.pending.sort(key=index.__getitem__)


def _read_snapshot(connection: sqlite3.Connection) -> SnapshotKept | None:
    row = connection.execute(
        "SELECT seq, frontier, state, state_hash, digest, signature, server_key, history_seq"
        " FROM snapshot"
    ).fetchone()
    if row is None:
        return None
    seq, frontier, state, state_hash, digest, signature, server_key, history_seq = row
    return SnapshotKept(
        seq=seq,
        frontier_pack=frontier,
        state=state,
        state_hash=state_hash,
        digest=digest,
        signature=signature,
        server_key=server_key,
        history_seq=history_seq,
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
