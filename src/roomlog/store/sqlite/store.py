"""The embedded store: a directory with a SQLite database, a key and a lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, Self, final

from roomlog.store.append_check import check_snapshot_facts, check_window
from roomlog.store.errors import RoomUnknown, StoreCorrupt, StoreUnavailable
from roomlog.store.interface import (
    AdmissionRecord,
    Append,
    AppendOutcome,
    IndexRow,
    LogRow,
    NewRoom,
    ReconcileWindow,
    StoredRoom,
    StoredSnapshot,
    StoreIdentity,
)
from roomlog.store.sqlite.build import THIS_BUILD
from roomlog.store.sqlite.connection import (
    Connect,
    connect_sqlite,
)
from roomlog.store.sqlite.directory import StoreDirectory, StoreLock, make_directory
from roomlog.store.sqlite.migration import Build
from roomlog.store.sqlite.queries import (
    find_room,
    read_admissions,
    read_index,
    read_packs,
    read_rooms,
)
from roomlog.store.sqlite.readers import Readers
from roomlog.store.sqlite.schema import (
    check_current,
    check_openable,
    check_rooms,
    create_database,
    require_database,
    roll_back_journal,
)
from roomlog.store.sqlite.snapshot_rows import (
    drop_snapshots,
    finish_snapshot,
    read_chunk,
    read_snapshots,
    write_chunks,
)
from roomlog.store.sqlite.window_rows import read_windows, renew_epoch
from roomlog.store.sqlite.writer import Writer
from roomlog.store.sqlite.writing import open_writing

SNAPSHOTS_SINCE: Final = 2
"""The schema version that brought snapshots and reconcile windows."""


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
        try:
            make_directory(directory.path)
        except OSError as error:
            raise StoreUnavailable(f"cannot make {directory.path}: {error.strerror}") from error
        lock = directory.lock()
        try:
            if not directory.database.exists():
                create_database(directory, connect, build, store_id, now_ms)
            if directory.rollback_journal.exists():
                roll_back_journal(directory, connect)
            readers = Readers(directory, connect, beside_writer=False)
            identity = readers.run(lambda conn: check_openable(conn, build, str(path)))
            check_current(identity, build, str(path))
            readers.run(check_rooms)
            readers.close()
            readers = Readers(directory, connect, beside_writer=True)
            opened = directory.database_file()
            writer = Writer(
                lambda has_denied: open_writing(directory, connect, has_denied=has_denied),
                readers.refuse,
                lambda: directory.database_file() == opened,
            )
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
    def path(self) -> Path:
        """The store's directory."""
        return self._directory.path

    @property
    def key_path(self) -> Path:
        """Where the server's identity file belongs."""
        return self._directory.key

    def rooms(self) -> list[StoredRoom]:
        return self._readers.run(read_rooms)

    def open_room(self, room_id: str) -> StoredRoom | None:
        found = self._readers.run(lambda conn: find_room(conn, room_id), room_id)
        return found[1] if found is not None else None

    def create_rooms(self, rooms: Sequence[NewRoom]) -> list[StoredRoom | Exception]:
        return self._writing().create_rooms(rooms)

    def commit(self, batch: Sequence[Append]) -> list[AppendOutcome]:
        return self._writing().commit(batch)

    def load_index(self, room_id: str) -> Iterator[IndexRow]:
        room, stored = self._require_room(room_id)
        head_seq = stored.head_seq
        next_seq = 1
        while next_seq <= head_seq:
            page = self._readers.run(
                lambda conn, seq=next_seq: read_index(conn, room_id, room, seq, head_seq),  # type: ignore[misc]
                room_id,
            )
            yield from page
            next_seq = page[-1].to_seq + 1

    def read_log(
        self, room_id: str, after_seq: int, max_nodes: int, max_bytes: int = 1 << 20
    ) -> list[LogRow]:
        room, stored = self._require_room(room_id)
        if after_seq >= stored.head_seq:
            return []
        return self._readers.run(
            lambda conn: read_packs(
                conn, room_id, room, after_seq + 1, max_nodes=max_nodes, max_bytes=max_bytes
            ),
            room_id,
        )

    def admissions(
        self, room_id: str, after_seq: int = 0, max_records: int | None = None
    ) -> Iterator[AdmissionRecord]:
        room, stored = self._require_room(room_id)
        left = stored.head_seq if max_records is None else max_records
        while left > 0 and after_seq < stored.head_seq:
            page = self._readers.run(
                lambda conn, seq=after_seq + 1, limit=left: read_admissions(  # type: ignore[misc]
                    conn, room_id, room, seq, limit
                ),
                room_id,
            )
            yield from page
            after_seq = page[-1].to_seq
            left -= len(page)

    def found_room(
        self, room: NewRoom, appends: Iterable[Append], window: ReconcileWindow
    ) -> StoredRoom:
        """Make a room that was lost again, with its history and an open window, or nothing at all.

        The window's old and new epoch are the room's; its `head_seq` is the end of the history.
        Raises `RoomExists`, `StoreUnavailable`, ValueError for what is no history of this room, and
        what `appends` raises.
        """
        check_window(window)
        if not room.epoch == window.old_epoch == window.new_epoch:
            raise ValueError("the window is of another epoch")
        return self._writing().found_room(room, appends, window)

    def renew_epoch(self, room_id: str, window: ReconcileWindow) -> ReconcileWindow:
        check_window(window)
        return self._writing().change(
            lambda conn: renew_epoch(conn, room_id, window), epoch_of=room_id
        )

    def reconcile_windows(self, room_id: str) -> list[ReconcileWindow]:
        room, _ = self._require_room(room_id)
        if not self._has_snapshots:
            return []
        return self._readers.run(lambda conn: read_windows(conn, room_id, room), room_id)

    def write_snapshot_chunks(
        self, room_id: str, seq: int, first: int, chunks: Sequence[bytes]
    ) -> None:
        self._writing().change(lambda conn: write_chunks(conn, room_id, seq, first, chunks))

    def finish_snapshot(self, room_id: str, snapshot: StoredSnapshot) -> None:
        check_snapshot_facts(snapshot)
        self._writing().change(lambda conn: finish_snapshot(conn, room_id, snapshot))

    def drop_snapshots(self, room_id: str, seqs: Sequence[int]) -> None:
        self._writing().change(lambda conn: drop_snapshots(conn, room_id, seqs))

    def newest_snapshots(self, room_id: str) -> list[StoredSnapshot]:
        room, _ = self._require_room(room_id)
        if not self._has_snapshots:
            return []
        return self._readers.run(lambda conn: read_snapshots(conn, room_id, room), room_id)

    def read_snapshot(self, room_id: str, seq: int, chunk: int) -> bytes:
        room, _ = self._require_room(room_id)
        return self._readers.run(lambda conn: read_chunk(conn, room_id, room, seq, chunk), room_id)

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

    @property
    def _has_snapshots(self) -> bool:
        """Whether the tables are there: what is only read may wait for its migrations."""
        return self._identity.schema_version >= SNAPSHOTS_SINCE

    def _writing(self) -> Writer:
        if self._writer is None:
            raise TypeError("the store was opened for reading only")
        return self._writer

    def _require_room(self, room_id: str) -> tuple[int, StoredRoom]:
        found = self._readers.run(lambda conn: find_room(conn, room_id), room_id)
        if found is None:
            raise RoomUnknown(room_id)
        return found
