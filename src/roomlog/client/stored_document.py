"""A document as its local store holds it, read out of the rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar, final

import msgspec

from roomlog.client.errors import LocalStoreError
from roomlog.client.log_places import LogPlaces
from roomlog.client.parents_first import parents_first
from roomlog.client.rejections import Rejection
from roomlog.client.store_writes import HistoryPack, SnapshotKept
from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.reject import Reject
from roomlog.core.signing import PUBLIC_KEY_BYTES, Signer
from roomlog.protocol.messages import Cursor, SignedCheckpoint

Value = TypeVar("Value")

UNREADABLE: Final = (sqlite3.Error, msgspec.MsgspecError, UnicodeDecodeError)
"""What reading a damaged file raises; the last one for a name that SQLite itself cannot report."""

_LINEAGE_BYTES: Final = 32
_EPOCH_BYTES: Final = 16


class _ServerKeyRow(NamedTuple):
    origin: str
    key: bytes


class _PackRow(NamedTuple):
    position: int
    own_id: bytes | None
    seq: int | None
    pack: bytes
    from_seq: int | None
    to_seq: int | None


class _SnapshotRow(NamedTuple):
    seq: int
    frontier: bytes
    state: bytes
    state_hash: bytes
    digest: bytes
    signature: bytes
    server_key: bytes
    history_seq: int


class _RejectionRow(NamedTuple):
    node_id: bytes
    reject_class: str
    kind: str
    message: str
    detail: bytes
    operation_indexes: bytes
    lineage: bytes
    pack: bytes


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
        """Parents first, in order of arrival otherwise."""
        self.pending = pending
        """Ids of own nodes without an acknowledgment, parents first."""
        self.lost_once: set[bytes] = set()
        """Those of them that other rows have, too: they were in a log once."""
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
    """Everything in a store of schema `version`. Raises `LocalStoreError` when it is damaged.

    A column of SQLite takes values of any type, so every row is looked at.
    """
    try:
        return _read_document(connection, path, version)
    except UNREADABLE as error:
        raise LocalStoreError(f"{path}: {error}") from error


def _read_document(connection: sqlite3.Connection, path: str, version: int) -> StoredDocument:
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    room_id, lineage, epoch = meta.get("room_id"), meta.get("lineage"), meta.get("epoch")
    if not isinstance(room_id, str) or not isinstance(lineage, bytes):
        raise LocalStoreError(f"{path}: names no room and lineage")
    if len(lineage) != _LINEAGE_BYTES:
        raise LocalStoreError(f"{path}: a lineage of {len(lineage)} bytes")
    if epoch is not None and not (isinstance(epoch, bytes) and len(epoch) == _EPOCH_BYTES):
        raise LocalStoreError(f"{path}: not an epoch: {epoch!r}")
    document = StoredDocument(
        room_id=room_id,
        lineage=lineage,
        is_draft=bool(meta.get("is_draft")),
        cursor=_decoded_meta(meta, "cursor", Cursor),
        nodes=[],
        pending=[],
        server_keys=_read_server_keys(connection, path),
        rejections=_read_rejections(connection, path),
        places=LogPlaces(epoch),
        checkpoint=_decoded_meta(meta, "checkpoint", SignedCheckpoint),
        patterns=_decoded_meta(meta, "patterns", tuple[str, ...]) or (),
        patterns_before=_decoded_meta(meta, "patterns_before", tuple[str, ...]),
        snapshot=_read_snapshot(connection) if version >= 2 else None,
    )
    _read_packs(connection, document, path, "from_seq, to_seq" if version >= 2 else "NULL, NULL")
    return document


def _rows(connection: sqlite3.Connection, query: str, kind: type[Value]) -> Iterator[Value]:
    """The rows of a query, each of the types it must have. Raises msgspec's error for others."""
    for row in connection.execute(query):
        yield msgspec.convert(row, kind, builtin_types=(bytes,))


def _read_server_keys(connection: sqlite3.Connection, path: str) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for row in _rows(connection, "SELECT origin, key FROM server_key", _ServerKeyRow):
        if len(row.key) != PUBLIC_KEY_BYTES:
            # Believed, it would make an impostor of the true server.
            raise LocalStoreError(f"{path}: a key of {len(row.key)} bytes for {row.origin}")
        keys[row.origin] = row.key
    return keys


def _decoded_meta(meta: dict[str, object], key: str, kind: type[Value]) -> Value | None:
    encoded = meta.get(key)
    return msgspec.msgpack.decode(encoded, type=kind) if isinstance(encoded, bytes) else None


def _read_packs(
    connection: sqlite3.Connection, document: StoredDocument, path: str, place_columns: str
) -> None:
    hasher = NodeHasher(document.lineage)
    nodes, places = document.nodes, document.places
    index: dict[bytes, int] = {}
    repeated: set[bytes] = set()
    # Release 0.1.0 filed other rows with history, too, until this one puts them in their place.
    history_seq = 0 if document.snapshot is None else document.snapshot.history_seq
    query = f"SELECT position, own_id, seq, pack, {place_columns} FROM node_pack ORDER BY position"  # noqa: S608
    for position, own_id, seq, pack, from_seq, to_seq in _rows(connection, query, _PackRow):
        place = None
        if from_seq is not None or to_seq is not None:
            place = _place(from_seq, to_seq, path, position)
        if position < 0 and own_id is None and place is not None and place[0] <= history_seq:
            document.history.append(HistoryPack(pack, *place))
            continue
        decoded = _decoded(pack, hasher, path, f"row {position}")
        for number, node in enumerate(decoded):
            at = index.setdefault(node.id, len(nodes))
            if at == len(nodes):
                nodes.append(node)
                continue
            # Own nodes come back in a pack of the log, bodies and signatures in one of their own.
            repeated.add(node.id)
            kept = decoded[number] = nodes[at]
            kept.body = node.body if kept.body is None else kept.body
            kept.signature = node.signature if kept.signature is None else kept.signature
        if place is not None:
            # The ids are those of the nodes that are kept, so that they exist once.
            first, last = place
            held = decoded[: last - first + 1]
            if len(held) != last - first + 1:
                raise LocalStoreError(f"{path}: row {position} lacks nodes of its places")
            places.hold(first, [node.id for node in held])
        if own_id is not None and seq is None:
            if own_id not in index:
                raise LocalStoreError(f"{path}: row {position} is not the node it says")
            document.pending.append(own_id)
    # History that came after what stands on it, of a log that had lost it.
    document.nodes = parents_first(nodes, index)
    if document.nodes is not nodes:
        index = {node.id: at for at, node in enumerate(document.nodes)}
    # One that became pending again has a row after those that were built on it.
    document.pending.sort(key=index.__getitem__)
    document.lost_once = repeated.intersection(document.pending)


def _place(from_seq: int | None, to_seq: int | None, path: str, position: int) -> tuple[int, int]:
    if from_seq is None or to_seq is None or not 1 <= from_seq <= to_seq:
        raise LocalStoreError(f"{path}: row {position} has a place that no log has")
    return from_seq, to_seq


def _read_snapshot(connection: sqlite3.Connection) -> SnapshotKept | None:
    query = (
        "SELECT seq, frontier, state, state_hash, digest, signature, server_key, history_seq"
        " FROM snapshot"
    )
    row = next(_rows(connection, query, _SnapshotRow), None)
    if row is None:
        return None
    return SnapshotKept(
        seq=row.seq,
        frontier_pack=row.frontier,
        state=row.state,
        state_hash=row.state_hash,
        digest=row.digest,
        signature=row.signature,
        server_key=row.server_key,
        history_seq=row.history_seq,
    )


def _read_rejections(connection: sqlite3.Connection, path: str) -> list[Rejection]:
    rejections: list[Rejection] = []
    query = (
        "SELECT node_id, reject_class, kind, message, detail, operation_indexes, lineage, pack"
        " FROM rejection ORDER BY position"
    )
    for row in _rows(connection, query, _RejectionRow):
        if len(row.lineage) != _LINEAGE_BYTES:
            raise LocalStoreError(f"{path}: a rejection of no room")
        nodes = _decoded(row.pack, NodeHasher(row.lineage), path, "a rejection")
        if [node.id for node in nodes] != [row.node_id]:
            raise LocalStoreError(f"{path}: a rejection is not of the node it says")
        indexes = msgspec.msgpack.decode(row.operation_indexes, type=tuple[int, ...])
        if any(not 0 <= index < _operation_count(nodes[0], path) for index in indexes):
            raise LocalStoreError(f"{path}: a rejection is of operations that are not there")
        rejections.append(
            Rejection(
                node_id=row.node_id,
                reject_class=row.reject_class,
                kind=row.kind,
                message=row.message,
                detail=msgspec.msgpack.decode(row.detail, type=dict[str, object]),
                node=nodes[0],
                operation_indexes=indexes,
            )
        )
    return rejections


def _operation_count(node: Node, path: str) -> int:
    try:
        return len(node.operations())
    except Reject as reject:
        raise LocalStoreError(f"{path}: a rejection: {reject}") from reject


def _decoded(pack: bytes, hasher: NodeHasher, path: str, where: str) -> list[Node]:
    try:
        return decode_pack(pack, hasher)
    except Reject as reject:
        raise LocalStoreError(f"{path}: {where}: {reject}") from reject
