"""The connection that writes: group commit, savepoints, and what follows a commit that failed.

A step of SQLite gives up the interpreter's lock, and beside a busy event loop getting it back costs
milliseconds. So a batch is first written with a handful of statements, whatever its size; only if
one of them fails is it written again, append by append under savepoints, to find out which.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar, final

from roomlog.store.append_check import fault_of, room_fault_of
from roomlog.store.errors import RoomExists, StoreError, StoreUnavailable
from roomlog.store.interface import (
    COMMITTED,
    Append,
    AppendOutcome,
    NewRoom,
    ReconcileWindow,
    StoredRoom,
    ambiguous,
    failed,
)
from roomlog.store.sqlite.checksums import room_checksum
from roomlog.store.sqlite.connection import Connection, store_error
from roomlog.store.sqlite.founding import insert_history
from roomlog.store.sqlite.log_rows import (
    ADMISSION_COLUMNS,
    INSERT_ADMISSION,
    INSERT_LOG,
    LOG_COLUMNS,
    admission_values,
    log_values,
    placeholders,
)

Result = TypeVar("Result")
INSERT_ROWS: Final = (256, 64, 16, 4, 1)
KNOWN_ROOMS: Final = 65_536
WHOLE_BATCH_TRIES: Final = 3
# What SQLite or its binding raises for a row it cannot take.
UNWRITABLE: Final = (sqlite3.Error, OverflowError, TypeError, ValueError)
ADVANCE: Final = "UPDATE room SET head_seq = ? WHERE room = ? AND epoch = ? AND head_seq = ?"


@final
class _KnownRoom:
    """What never changes of a room."""

    def __init__(self, room: int, lineage: bytes, epoch: bytes) -> None:
        self.room = room
        self.lineage = lineage
        self.epoch = epoch


class _TransactionLost(Exception):
    """SQLite rolled the whole transaction back by itself (disk full, I/O error, no memory)."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


@final
class Writer:
    """Writes through one connection at a time; called from one thread.

    `open_connection` gives a prepared connection, and is told whether a commit was called failed
    since the last one. `on_fence` is called with a reason when, after a commit that failed, nobody
    may read until the store is known again, and with None when it is.
    `is_in_place` tells whether the database's name still leads to the file that was opened: what is
    written to a deleted or replaced file is gone with the process.
    """

    def __init__(
        self,
        open_connection: Callable[[bool], Connection],
        on_fence: Callable[[str | None], None],
        is_in_place: Callable[[], bool],
    ) -> None:
        self._open_connection = open_connection
        self._on_fence = on_fence
        self._is_in_place = is_in_place
        self._connection: Connection | None = None
        self._known: dict[str, _KnownRoom] = {}
        self._next_admission = 0
        self._is_fenced = False
        self._closed = False
        self._connected()

    def create_rooms(self, rooms: Sequence[NewRoom]) -> list[StoredRoom | Exception]:
        """As `NodeStore.create_rooms`: all in one transaction."""
        results: list[StoredRoom | Exception] = []
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            for room in rooms:
                results.append(_insert_room(connection, room))
        except (sqlite3.Error, StoreError) as error:
            self._roll_back()
            refusal = _unavailable(error)
            return [refusal for _ in rooms]
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._fence(f"a commit failed: {error}")
            refusal = _unavailable(error)
            return [refusal if isinstance(each, StoredRoom) else each for each in results]
        return results

    def commit(self, batch: Sequence[Append]) -> list[AppendOutcome]:
        """As `NodeStore.commit`."""
        if not batch:
            with contextlib.suppress(StoreError):
                self._connected()
            return []
        outcomes: list[AppendOutcome | None] = [_shape_outcome(append) for append in batch]
        for _ in range(WHOLE_BATCH_TRIES):
            open_indexes = [i for i, outcome in enumerate(outcomes) if outcome is None]
            if not open_indexes:
                break
            try:
                written = self._write([batch[i] for i in open_indexes])
            except _TransactionLost as lost:
                outcomes[open_indexes[lost.index]] = failed(lost.reason)
                continue
            except (sqlite3.Error, StoreError) as error:
                self._roll_back()
                written = [failed(str(error)) for _ in open_indexes]
            for index, outcome in zip(open_indexes, written, strict=True):
                outcomes[index] = outcome
        return [
            outcome if outcome is not None else failed("the disk refuses whole transactions")
            for outcome in outcomes
        ]

    def change(
        self, write: Callable[[Connection], Result], *, epoch_of: str | None = None
    ) -> Result:
        """What `write` gives, in a transaction of its own that is durable on return.

        `epoch_of` names a room whose epoch it may change. Raises what `write` raises, with nothing
        written; `StoreUnavailable` when the store does not take it, or when nobody knows whether it
        did.
        """
        try:
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            result = write(connection)
        except (sqlite3.Error, OverflowError) as error:
            self._roll_back()
            raise _unavailable(error) from error
        except BaseException:
            self._roll_back()
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._fence(f"a commit failed: {error}")
            raise _unavailable(error) from error
        if epoch_of is not None:
            self._known.pop(epoch_of, None)
        return result

    def found_room(
        self, room: NewRoom, appends: Iterable[Append], window: ReconcileWindow
    ) -> StoredRoom:
        """As `SqliteStore.found_room`."""

        def found(connection: Connection) -> tuple[StoredRoom, int]:
            inserted = _insert_room(connection, room)
            if isinstance(inserted, Exception):
                raise inserted
            return insert_history(connection, room, appends, window, self._next_admission)

        stored, self._next_admission = self.change(found)
        return stored

    def close(self) -> None:
        self._closed = True
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _write(self, batch: list[Append]) -> list[AppendOutcome]:
        """One transaction: the short way if everything fits, else append by append."""
        connection = self._connected()
        connection.execute("BEGIN IMMEDIATE")
        outcomes = self._write_together(connection, batch)
        if outcomes is None:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [
                self._write_alone(connection, index, append) for index, append in enumerate(batch)
            ]
        try:
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            reason = f"the commit failed: {error}"
            self._fence(reason)
            return [ambiguous(reason) if each.is_committed else each for each in outcomes]
        return outcomes

    def _write_together(
        self, connection: Connection, batch: list[Append]
    ) -> list[AppendOutcome] | None:
        """Everything in a few statements; None, with the transaction to be undone, if it cannot."""
        heads: dict[int, list[int]] = {}
        epochs: dict[int, bytes] = {}
        log: list[tuple[object, ...]] = []
        admissions: list[tuple[object, ...]] = []
        next_admission = self._next_admission
        try:
            for append in batch:
                known = self._room(connection, append.room_id)
                if known is None or append.epoch != known.epoch:
                    return None
                head = heads.setdefault(known.room, [append.from_seq - 1, append.from_seq - 1])
                if append.from_seq != head[1] + 1:
                    return None
                head[1] = append.to_seq
                epochs[known.room] = known.epoch
                log.append(log_values(append, known.room, next_admission))
                admissions.append(
                    admission_values(append, known.room, next_admission, known.lineage)
                )
                next_admission += 1
            for room, (before, after) in heads.items():
                parameters = (after, room, epochs[room], before)
                if connection.execute(ADVANCE, parameters).rowcount != 1:
                    return None
            _insert(connection, INSERT_ADMISSION, ADMISSION_COLUMNS, admissions)
            _insert(connection, INSERT_LOG, LOG_COLUMNS, log)
        except UNWRITABLE:
            return None
        self._next_admission = next_admission
        return [COMMITTED] * len(batch)

    def _write_alone(self, connection: Connection, index: int, append: Append) -> AppendOutcome:
        """One append under its own savepoint."""
        try:
            known = self._room(connection, append.room_id)
            if known is None:
                return failed(f"there is no room {append.room_id}")
            if append.epoch != known.epoch:
                return failed("the epoch is not the room's")
            connection.execute("SAVEPOINT append")
            parameters = (append.to_seq, known.room, known.epoch, append.from_seq - 1)
            if connection.execute(ADVANCE, parameters).rowcount != 1:
                connection.execute("RELEASE append")
                return failed(f"seq {append.from_seq} does not follow the room's head")
            admission = self._next_admission
            _insert(
                connection,
                INSERT_ADMISSION,
                ADMISSION_COLUMNS,
                [admission_values(append, known.room, admission, known.lineage)],
            )
            _insert(
                connection, INSERT_LOG, LOG_COLUMNS, [log_values(append, known.room, admission)]
            )
            connection.execute("RELEASE append")
            self._next_admission = admission + 1
        except UNWRITABLE as error:
            reason = f"cannot be written: {error}"
            if not connection.in_transaction:
                raise _TransactionLost(index, reason) from error
            connection.execute("ROLLBACK TO append")
            connection.execute("RELEASE append")
            return failed(reason)
        return COMMITTED

    def _room(self, connection: Connection, room_id: str) -> _KnownRoom | None:
        known = self._known.get(room_id)
        if known is None:
            row = connection.execute(
                "SELECT room, lineage, epoch FROM room WHERE room_id = ?", (room_id,)
            ).fetchone()
            if row is None:
                return None
            if len(self._known) >= KNOWN_ROOMS:
                self._known.clear()
            known = self._known[room_id] = _KnownRoom(*row)
        return known

    def _connected(self) -> Connection:
        """The connection, opened and settled anew after a failure. Raises `StoreError`."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        if not self._is_in_place():
            raise StoreUnavailable("the database is no longer where it was opened")
        if self._connection is not None:
            return self._connection
        try:
            connection = self._open_connection(self._is_fenced)
        except UNWRITABLE as error:
            raise store_error(error) from error
        try:
            (last,) = connection.execute("SELECT max(admission) FROM admission").fetchone()
        except sqlite3.Error as error:
            connection.close()
            raise store_error(error) from error
        self._next_admission = (last or 0) + 1
        self._connection = connection
        if self._is_fenced:
            self._is_fenced = False
            self._on_fence(None)
        return connection

    def _fence(self, reason: str) -> None:
        """After a failed commit: nobody reads, the connection is dropped, the rooms forgotten.

        The store is tried again at once, so that in the common case the rooms of the batch can be
        loaded as soon as the outcomes are known; else at the next write or empty batch.
        """
        self._is_fenced = True
        self._on_fence(reason)
        self._known.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            connection.close()
        with contextlib.suppress(StoreError):
            self._connected()

    def _roll_back(self) -> None:
        """Undo an open transaction whose commit was never asked for."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            # Nothing was committed; a new connection starts from what was.
            self._connection = None
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def _insert(
    connection: Connection, statement: str, columns: int, rows: list[tuple[object, ...]]
) -> None:
    """Insert rows with few statements, of a few fixed sizes so that each is compiled once."""
    start = 0
    for size in INSERT_ROWS:
        while len(rows) - start >= size:
            values = [value for row in rows[start : start + size] for value in row]
            connection.execute(statement + placeholders(columns, size), values)
            start += size


def _insert_room(connection: Connection, room: NewRoom) -> StoredRoom | Exception:
    fault = room_fault_of(room)
    if fault is not None:
        return ValueError(fault)
    inserted = connection.execute(
        "INSERT INTO room (room_id, lineage, epoch, created_ms, checksum) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (room_id) DO NOTHING",
        (
            room.room_id,
            room.lineage,
            room.epoch,
            room.created_ms,
            room_checksum(room.room_id, room.lineage, room.epoch, room.created_ms),
        ),
    ).rowcount
    if not inserted:
        return RoomExists(room.room_id)
    return StoredRoom(room.room_id, room.lineage, room.epoch, 0, room.created_ms)


def _shape_outcome(append: Append) -> AppendOutcome | None:
    fault = fault_of(append)
    return failed(fault) if fault is not None else None


def _unavailable(error: Exception) -> StoreUnavailable:
    return error if isinstance(error, StoreUnavailable) else StoreUnavailable(str(error))
