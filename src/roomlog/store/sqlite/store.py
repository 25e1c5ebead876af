"""The embedded store: a directory with a SQLite database, a key and a lock."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Self, final

from roomlog.store.errors import RoomUnknown, StoreCorrupt, StoreError
from roomlog.store.interface import (
    NODE_ID_BYTES,
    AdmissionRecord,
    Append,
    AppendOutcome,
    IndexRow,
    LogRow,
    NewRoom,
    StoredRoom,
    StoreIdentity,
)
from roomlog.store.sqlite.build import THIS_BUILD
from roomlog.store.sqlite.checksums import (
    check,
    index_checksum,
    room_checksum,
    tail_checksum,
)
from roomlog.store.sqlite.connection import (
    Connect,
    Connection,
    Cursor,
    connect_sqlite,
    prepare_writer,
)
from roomlog.store.sqlite.directory import StoreDirectory, StoreLock, make_directory
from roomlog.store.sqlite.log_rows import admission_record
from roomlog.store.sqlite.migration import Build
from roomlog.store.sqlite.readers import Readers
from roomlog.store.sqlite.schema import (
    check_current,
    check_openable,
    check_rooms,
    create_database,
    require_database,
)
from roomlog.store.sqlite.writer import Writer

PAGE_ROWS: Final = 2_048
SELECT_ROOM: Final = (
    "SELECT room, room_id, lineage, epoch, head_seq, created_ms, checksum FROM room "
    "WHERE room_id = ?"
)
SELECT_ROOMS: Final = (
    "SELECT room_id, lineage, epoch, head_seq, created_ms, checksum FROM room ORDER BY room_id"
)
SELECT_INDEX: Final = """
    SELECT from_seq, to_seq, index_checksum, head, ids FROM log
    WHERE room = ?1 AND from_seq >= ?2 ORDER BY from_seq LIMIT ?3
"""
# From the row that holds seq ?2, which is the last one that starts at or before it.
SELECT_LOG: Final = """
    SELECT from_seq, to_seq, index_checksum, tail_checksum, head, ids, tail FROM log
    WHERE room = ?1 AND from_seq >=
        coalesce((SELECT max(from_seq) FROM log WHERE room = ?1 AND from_seq <= ?2), ?2)
    ORDER BY from_seq
"""
SELECT_ADMISSIONS: Final = """
    SELECT a.epoch, a.from_seq, a.to_seq, a.admitted_ms, a.submitter, a.policy_head, a.lineage,
        a.reinstated, a.checksum
    FROM log JOIN admission AS a ON a.admission = log.admission
    WHERE log.room = ?1 AND log.from_seq >=
        coalesce((SELECT max(from_seq) FROM log WHERE room = ?1 AND from_seq <= ?2), ?2)
        AND log.to_seq >= ?2
    ORDER BY log.from_seq LIMIT ?3
"""


@final
class SqliteStore:
    """A `NodeStore` in a directory. Use `open` or `open_read_only`."""

    def __init__(
        self,
        directory: StoreDirectory,
        identity: StoreIdentity,
        readers: Readers,
        writer: Writer | None,
        lock: StoreLock | None,
    ) -> None:
        self._directory = directory
        self._identity = identity
        self._readers = readers
        self._writer = writer
        self._lock = lock

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        store_id: bytes,
        now_ms: int,
        connect: Connect = connect_sqlite,
        build: Build = THIS_BUILD,
    ) -> Self:
        """Open the store at `path` for writing, making it if the directory holds none.

        `store_id` (16 random bytes) and `now_ms` are used only for a new store. Raises
        `StoreLocked`, `StoreTooNew`, `StoreNeedsMigration`, `StoreCorrupt`, `StoreUnavailable`.
        """
        directory = StoreDirectory(Path(path))
        make_directory(directory.path)
        lock = directory.lock()
        try:
            if not directory.database.exists():
                create_database(directory, connect, build, store_id, now_ms)
            readers = Readers(directory, connect, beside_writer=False)
            identity = readers.run(lambda conn: check_openable(conn, build, str(path)))
            check_current(identity, build, str(path))
            readers.run(check_rooms)
            readers.close()
            readers = Readers(directory, connect, beside_writer=True)
            writer = Writer(lambda: _writing_connection(directory, connect), readers.refuse)
        except BaseException:
            lock.release()
            raise
        return cls(directory, identity, readers, writer, lock)

    @classmethod
    def open_read_only(
        cls, path: str | Path, *, connect: Connect = connect_sqlite, build: Build = THIS_BUILD
    ) -> Self:
        """Open the store at `path` for reading: no lock, no byte written, beside a server or not.

        A store with pending migrations can be read. Raises `StoreNotFound`, `StoreTooNew`,
        `StoreCorrupt`, `StoreUnavailable`.
        """
        directory = StoreDirectory(Path(path))
        require_database(directory)
        readers = Readers(directory, connect, beside_writer=False)
        identity = readers.run(lambda conn: check_openable(conn, build, str(path)))
        return cls(directory, identity, readers, None, None)

    @property
    def identity(self) -> StoreIdentity:
        return self._identity

    @property
    def is_durable(self) -> bool:
        return True

    @property
    def key_path(self) -> Path:
        """Where the server's identity file belongs."""
        return self._directory.key

    def rooms(self) -> list[StoredRoom]:
        rows = self._readers.run(lambda conn: conn.execute(SELECT_ROOMS).fetchall())
        return [_stored_room(str(row[0]), row) for row in rows]

    def open_room(self, room_id: str) -> StoredRoom | None:
        found = self._readers.run(lambda conn: _find_room(conn, room_id), room_id)
        return found[1] if found is not None else None

    def create_rooms(self, rooms: Sequence[NewRoom]) -> list[StoredRoom | Exception]:
        return self._writing().create_rooms(rooms)

    def commit(self, batch: Sequence[Append]) -> list[AppendOutcome]:
        return self._writing().commit(batch)

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database; for the writer's idle moments."""
        self._writing().checkpoint()

    def load_index(self, room_id: str) -> Iterator[IndexRow]:
        room, stored = self._require_room(room_id)
        next_seq = 1
        while next_seq <= stored.head_seq:
            rows = self._page(SELECT_INDEX, (room, next_seq, PAGE_ROWS), room_id)
            if not rows:
                break
            for from_seq, to_seq, checksum, head, ids in rows:
                if from_seq > stored.head_seq:
                    break
                if from_seq != next_seq or len(ids) != (to_seq - from_seq + 1) * NODE_ID_BYTES:
                    raise StoreCorrupt(room_id, f"expected seq {next_seq}, found {from_seq}")
                check(
                    room_id,
                    f"headers and ids at seq {from_seq}",
                    index_checksum(head, ids),
                    checksum,
                )
                yield IndexRow(from_seq, to_seq, ids, head)
                next_seq = to_seq + 1
        if next_seq != stored.head_seq + 1:
            raise StoreCorrupt(
                room_id, f"the log ends at {next_seq - 1}, not at its head {stored.head_seq}"
            )

    def read_log(
        self, room_id: str, after_seq: int, max_nodes: int, max_bytes: int = 1 << 20
    ) -> list[LogRow]:
        room, stored = self._require_room(room_id)
        if after_seq >= stored.head_seq:
            return []
        rows = self._readers.run(
            lambda conn: _read_rows(
                conn.execute(SELECT_LOG, (room, after_seq + 1)), room_id, max_nodes, max_bytes
            ),
            room_id,
        )
        if not rows or not rows[0].from_seq <= after_seq + 1 <= rows[0].to_seq:
            raise StoreCorrupt(room_id, f"seq {after_seq + 1} is missing from the log")
        return rows

    def admissions(
        self, room_id: str, after_seq: int = 0, max_records: int | None = None
    ) -> Iterator[AdmissionRecord]:
        room, _ = self._require_room(room_id)
        left = max_records
        while left is None or left > 0:
            limit = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
            rows = self._page(SELECT_ADMISSIONS, (room, after_seq + 1, limit), room_id)
            for row in rows:
                yield admission_record(room_id, room, row)
            if len(rows) < limit:
                return
            after_seq = rows[-1][2]
            left = None if left is None else left - len(rows)

    def check(self) -> None:
        faults = self._readers.run(lambda conn: conn.execute("PRAGMA quick_check").fetchall())
        if faults != [("ok",)]:
            raise StoreCorrupt(None, "; ".join(str(fault[0]) for fault in faults[:3]))

    def close(self) -> None:
        self._readers.close()
        if self._writer is not None:
            self._writer.close()
        if self._lock is not None:
            self._lock.release()

    def _writing(self) -> Writer:
        if self._writer is None:
            raise TypeError("the store was opened for reading only")
        return self._writer

    def _page(self, sql: str, parameters: tuple[int, ...], room_id: str) -> list[Any]:
        return self._readers.run(lambda conn: conn.execute(sql, parameters).fetchall(), room_id)

    def _require_room(self, room_id: str) -> tuple[int, StoredRoom]:
        found = self._readers.run(lambda conn: _find_room(conn, room_id), room_id)
        if found is None:
            raise RoomUnknown(room_id)
        return found


def _writing_connection(directory: StoreDirectory, connect: Connect) -> Connection:
    connection = connect(directory.database, read_only=False)
    try:
        prepare_writer(connection)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _find_room(connection: Connection, room_id: str) -> tuple[int, StoredRoom] | None:
    row = connection.execute(SELECT_ROOM, (room_id,)).fetchone()
    return (row[0], _stored_room(room_id, row[1:])) if row is not None else None


def _stored_room(asked_id: str, row: tuple[Any, ...]) -> StoredRoom:
    room_id, lineage, epoch, head_seq, created_ms, written = row
    found = room_checksum(asked_id, lineage, epoch, created_ms)
    check(asked_id, "lineage and epoch", found, written)
    return StoredRoom(room_id, lineage, epoch, head_seq, created_ms)


def _read_rows(cursor: Cursor, room_id: str, max_nodes: int, max_bytes: int) -> list[LogRow]:
    rows: list[LogRow] = []
    nodes = size_bytes = 0
    while (row := cursor.fetchone()) is not None:
        from_seq, to_seq, index_written, tail_written, head, ids, tail = row
        nodes += to_seq - from_seq + 1
        size_bytes += len(head) + len(tail)
        if rows and (nodes > max_nodes or size_bytes > max_bytes):
            break
        if rows and from_seq != rows[-1].to_seq + 1:
            raise StoreCorrupt(room_id, f"expected seq {rows[-1].to_seq + 1}, found {from_seq}")
        check(
            room_id, f"headers and ids at seq {from_seq}", index_checksum(head, ids), index_written
        )
        check(
            room_id, f"signatures and bodies at seq {from_seq}", tail_checksum(tail), tail_written
        )
        rows.append(LogRow(from_seq, to_seq, head + tail))
    cursor.close()
    return rows
