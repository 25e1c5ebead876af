"""A document's local store: one SQLite file that survives the process.

A background thread writes, in the order given, everything that is queued as one transaction
(WAL, synchronous=FULL). So what a later write says about earlier ones is never true on disk alone:
a cursor never lies beyond the nodes that are stored.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, final

from roomlog import __version__
from roomlog.client.errors import LocalStoreError, LocalStoreLockedError, LocalStoreRoomError
from roomlog.client.local_log import rewrite_log, settle_log
from roomlog.client.local_rows import apply_write, refile_rows
from roomlog.client.local_schema import (
    SCHEMA_VERSION,
    check_versions,
    is_empty,
    is_named,
    migrate,
    name_room,
)
from roomlog.client.store_writes import StoreWrite, size_bytes
from roomlog.client.stored_document import UNREADABLE, StoredDocument, read_document
from roomlog.core.node import Node
from roomlog.file_lock import take_lock

MOST_QUEUED_BYTES: Final = 32 * 1024 * 1024
"""With this much waiting for the disk, the document stops reading from the server."""

_BUSY_TIMEOUT_MS: Final = 5_000
Drive = Callable[[Callable[[], None]], object]
"""Calls what it is given once, later, in the thread of those who write."""


class Connect(Protocol):
    """Opens a file, making it unless it is only read; what it gives behaves as SQLite's does."""

    def __call__(self, path: Path, *, read_only: bool) -> sqlite3.Connection: ...


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def connect_sqlite(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """The connection factory of the standard library's SQLite."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def read_nodes(path: str | os.PathLike[str]) -> tuple[str, bytes, list[Node]]:
    """Room id, lineage and nodes of a local store, parents first; writes and locks nothing.

    Works beside a running document. Raises `LocalStoreError`, also for one that has not all of its
    history yet, or not that of all keys.
    """
    document = read_stored(path)
    if document.snapshot is not None:
        raise LocalStoreError(
            f"{path}: holds no history below seq {document.snapshot.seq} yet, only its outcome"
        )
    if any(node.body is None for node in document.nodes):
        wanted = document.patterns if document.patterns_before is None else document.patterns_before
        raise LocalStoreError(
            f"{path}: holds only a part of the room, that of {', '.join(wanted)}, and its history"
            " only of that part"
        )
    return document.room_id, document.lineage, document.nodes


def read_stored(path: str | os.PathLike[str]) -> StoredDocument:
    """Everything in a local store; writes and locks nothing. Raises `LocalStoreError`."""
    target = Path(path)
    if not target.is_file():
        raise LocalStoreError(f"{target}: no such file")
    with contextlib.closing(_reading(target)) as connection:
        try:
            version = check_versions(connection, str(target))
            connection.execute("BEGIN")
            return read_document(connection, str(target), version)
        except UNREADABLE as error:
            raise LocalStoreError(f"{target}: {error}") from error


@final
class LocalStore:
    """The open store of one document; only one process at a time has it."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        room_id: str,
        draft_lineage: bytes,
        *,
        connect: Connect = connect_sqlite,
        drive: Drive | None = None,
        wall_ms: Callable[[], int] = _wall_ms,
    ) -> None:
        """Open or create the store of `room_id`.

        A new store starts as a draft under `draft_lineage`. With `drive` there is no thread: it is
        given each next step of writing. Raises `LocalStoreError` and its kinds.
        """
        self.path = Path(path)
        self._wall_ms = wall_ms
        self._lock = _lock(self.path)
        try:
            rewrite_log(self.path)
            self._connection = _writing(self.path, connect)
            try:
                self.document = self._open(room_id, draft_lineage)
            except BaseException:
                self._connection.close()
                raise
        except UNREADABLE as error:
            os.close(self._lock)
            raise LocalStoreError(f"{self.path}: {error}") from error
        except OSError as error:
            os.close(self._lock)
            raise LocalStoreError(f"{self.path}: {error.strerror}") from error
        except BaseException:
            os.close(self._lock)
            raise
        self.failure: LocalStoreError | None = None
        """Why nothing is written any more."""
        self._condition = threading.Condition()
        self._queue: deque[tuple[Sequence[StoreWrite], Callable[[], None] | None]] = deque()
        self._queued_bytes = 0
        self._is_closing = False
        self._on_batch: Callable[[list[Callable[[], None]]], None] = _call_all
        self._drive = drive
        self._is_step_due = False
        self._thread: threading.Thread | None = None
        if drive is None:
            self._thread = threading.Thread(
                target=self._write_all, name=f"roomlog-store-{room_id}", daemon=True
            )
            self._thread.start()

    def deliver_with(self, on_batch: Callable[[list[Callable[[], None]]], None]) -> None:
        """Hand what is to be called after a commit to `on_batch`, from the writer's thread.

        It is also called, with an empty list, when the store has failed.
        """
        self._on_batch = on_batch

    @property
    def queued_bytes(self) -> int:
        """About how much waits for the disk."""
        return self._queued_bytes

    def write(
        self, writes: Sequence[StoreWrite], on_durable: Callable[[], None] | None = None
    ) -> None:
        """Queue writes; `on_durable` is called when they, and all before them, are on disk."""
        with self._condition:
            self._queue.append((writes, on_durable))
            self._queued_bytes += sum(size_bytes(write) for write in writes)
            self._condition.notify()
        if self._drive is not None and not self._is_step_due:
            self._is_step_due = True
            self._drive(self._driven_step)

    def close(self) -> None:
        """Write what is queued, close the file and let others in. Blocks for the disk."""
        with self._condition:
            if self._is_closing:
                return
            self._is_closing = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()
        else:
            self._write_queued()
        self._connection.close()
        os.close(self._lock)

    def _open(self, room_id: str, draft_lineage: bytes) -> StoredDocument:
        connection = self._connection
        settle_log(connection, self.path)
        version = 0 if is_empty(connection) else check_versions(connection, str(self.path))
        migrate(connection, version, __version__, self._wall_ms)
        if not is_named(connection):
            name_room(connection, room_id, draft_lineage)
            _fsync_directory(self.path.parent)
        refile_rows(connection)
        document = read_document(connection, str(self.path), SCHEMA_VERSION)
        if document.room_id != room_id:
            raise LocalStoreRoomError(
                f"{self.path}: holds room {document.room_id!r}, not {room_id!r}"
            )
        return document

    def _write_all(self) -> None:
        while True:
            with self._condition:
                while not self._queue and not self._is_closing:
                    self._condition.wait()
            if not self._write_queued():
                return

    def _driven_step(self) -> None:
        self._is_step_due = False
        if not self._is_closing:
            self._write_queued()

    def _write_queued(self) -> bool:
        """Commit everything that is queued; whether there was anything."""
        with self._condition:
            batch = list(self._queue)
            self._queue.clear()
        if not batch:
            return False
        if self.failure is None:
            self._commit(batch)
        with self._condition:
            self._queued_bytes -= sum(size_bytes(write) for writes, _ in batch for write in writes)
        if self.failure is None:
            self._on_batch([each for _, each in batch if each is not None])
        else:
            self._on_batch([])
        return True

    def _commit(self, batch: list[tuple[Sequence[StoreWrite], Callable[[], None] | None]]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for writes, _ in batch:
                for write in writes:
                    apply_write(connection, write)
            connection.execute("COMMIT")
        except Exception as error:
            # What was queued stays in memory only: nothing of it may be called durable. Whatever
            # was wrong, this thread must not end without saying so.
            self.failure = LocalStoreError(f"{self.path}: {error}")
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")


def _reading(path: Path) -> sqlite3.Connection:
    try:
        connection = connect_sqlite(path, read_only=True)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    except UNREADABLE as error:
        raise LocalStoreError(f"{path}: {error}") from error
    return connection


def _writing(path: Path, connect: Connect) -> sqlite3.Connection:
    try:
        connection = connect(path, read_only=False)
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
        # Whether the log is in use is known with the end of the statement, not with its start.
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise LocalStoreError(f"{path}: the file system allows no write-ahead log")
        connection.execute("PRAGMA synchronous = FULL")
    except UNREADABLE as error:
        raise LocalStoreError(f"{path}: {error}") from error
    return connection


def _lock(path: Path) -> int:
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LocalStoreError(f"{lock_path}: {error.strerror}") from error
    if not take_lock(descriptor):
        os.close(descriptor)
        raise LocalStoreLockedError(f"{path}: another process has it open")
    return descriptor


def _fsync_directory(path: Path) -> None:
    """Make a new file's name durable; only POSIX lets a directory be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _call_all(callbacks: list[Callable[[], None]]) -> None:
    for callback in callbacks:
        callback()
