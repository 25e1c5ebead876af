"""Snapshots in the database: the chunks first, the row that makes them one last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from roomlog.store.errors import RoomUnknown, SnapshotExists, SnapshotUnknown, StoreCorrupt
from roomlog.store.interface import SNAPSHOTS_KEPT, StoredSnapshot
from roomlog.store.sqlite.checksums import check, chunk_checksum, row_checksum
from roomlog.store.sqlite.connection import Connection
from roomlog.store.sqlite.queries import find_room

SELECT_SNAPSHOTS: Final = """
    SELECT seq, taken_ms, frontier, state_hash, digest, signature, size_bytes, checksum
    FROM snapshot WHERE room = ? ORDER BY snapshot DESC
"""
INSERT_SNAPSHOT: Final = (
    "INSERT INTO snapshot (room, seq, taken_ms, size_bytes, state_hash, digest, signature, "
    "checksum, frontier) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
WRITE_CHUNK: Final = (
    "INSERT INTO snapshot_chunk (room, seq, chunk, checksum, data) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT (room, seq, chunk) "
    "DO UPDATE SET checksum = excluded.checksum, data = excluded.data"
)
SELECT_CHUNK: Final = (
    "SELECT checksum, data FROM snapshot_chunk WHERE room = ? AND seq = ? AND chunk = ?"
)
COUNT_CHUNKS: Final = """
    SELECT count(*), coalesce(sum(length(data)), 0) FROM snapshot_chunk
    WHERE room = ? AND seq = ? AND chunk < ?
"""
DELETE_OLD: Final = (
    "DELETE FROM snapshot WHERE room = ?1 AND snapshot NOT IN "
    "(SELECT snapshot FROM snapshot WHERE room = ?1 ORDER BY snapshot DESC LIMIT ?2)"
)
DELETE_CHUNKS: Final = (
    "DELETE FROM snapshot_chunk WHERE room = ?1 "
    "AND seq NOT IN (SELECT seq FROM snapshot WHERE room = ?1)"
)


def read_snapshots(connection: Connection, room_id: str, room: int) -> list[StoredSnapshot]:
    """The snapshots of a room, the one taken last first."""
    snapshots: list[StoredSnapshot] = []
    for *values, written in connection.execute(SELECT_SNAPSHOTS, (room,)).fetchall():
        snapshot = StoredSnapshot(*values)
        check(room_id, f"the snapshot at seq {snapshot.seq}", _checksum(room, snapshot), written)
        snapshots.append(snapshot)
    return snapshots


def read_chunk(connection: Connection, room_id: str, room: int, seq: int, chunk: int) -> bytes:
    """One chunk of a finished snapshot."""
    finished = "SELECT size_bytes FROM snapshot WHERE room = ? AND seq = ?"
    found = connection.execute(finished, (room, seq)).fetchone()
    if found is None:
        raise SnapshotUnknown(room_id, seq)
    row = connection.execute(SELECT_CHUNK, (room, seq, chunk)).fetchone()
    if row is None:
        raise StoreCorrupt(room_id, f"chunk {chunk} of the snapshot at seq {seq} is missing")
    written, data = row
    name = f"chunk {chunk} of the snapshot at seq {seq}"
    check(room_id, name, chunk_checksum(room, seq, chunk, data), written)
    return bytes(data)


def write_chunks(
    connection: Connection, room_id: str, seq: int, first: int, chunks: Sequence[bytes]
) -> None:
    """Inside the caller's transaction."""
    room = _room_without(connection, room_id, seq)
    for number, data in enumerate(chunks, first):
        checksum = chunk_checksum(room, seq, number, data)
        connection.execute(WRITE_CHUNK, (room, seq, number, checksum, data))


def finish_snapshot(connection: Connection, room_id: str, snapshot: StoredSnapshot) -> None:
    """Inside the caller's transaction; as `NodeStore.finish_snapshot`."""
    seq, chunks = snapshot.seq, snapshot.chunks
    room = _room_without(connection, room_id, seq)
    there = connection.execute(COUNT_CHUNKS, (room, seq, chunks)).fetchone()
    if tuple(there) != (chunks, snapshot.size_bytes):
        raise ValueError(f"the snapshot at seq {seq} has {there[0]} of {chunks} chunks")
    connection.execute(
        INSERT_SNAPSHOT,
        (
            room,
            seq,
            snapshot.taken_ms,
            snapshot.size_bytes,
            snapshot.state_hash,
            snapshot.digest,
            snapshot.signature,
            _checksum(room, snapshot),
            snapshot.frontier,
        ),
    )
    connection.execute(DELETE_OLD, (room, SNAPSHOTS_KEPT))
    connection.execute(DELETE_CHUNKS, (room,))
    connection.execute(
        "DELETE FROM snapshot_chunk WHERE room = ? AND seq = ? AND chunk >= ?", (room, seq, chunks)
    )


def drop_snapshots(connection: Connection, room_id: str, seqs: Sequence[int]) -> None:
    """Inside the caller's transaction."""
    room = _room(connection, room_id)
    for seq in seqs:
        connection.execute("DELETE FROM snapshot WHERE room = ? AND seq = ?", (room, seq))
    connection.execute(DELETE_CHUNKS, (room,))


def _room(connection: Connection, room_id: str) -> int:
    found = find_room(connection, room_id)
    if found is None:
        raise RoomUnknown(room_id)
    return found[0]


def _room_without(connection: Connection, room_id: str, seq: int) -> int:
    room = _room(connection, room_id)
    finished = "SELECT 1 FROM snapshot WHERE room = ? AND seq = ?"
    if connection.execute(finished, (room, seq)).fetchone() is not None:
        raise SnapshotExists(room_id, seq)
    return room


def _checksum(room: int, snapshot: StoredSnapshot) -> int:
    return row_checksum(
        (room, snapshot.seq, snapshot.taken_ms, snapshot.size_bytes),
        (snapshot.state_hash, snapshot.digest, snapshot.signature, snapshot.frontier),
    )
