"""Connections that only read, one for each reader at a time, beside whoever writes."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable
from typing import Final, TypeVar, final

from roomlog.store.errors import StoreUnavailable
from roomlog.store.sqlite.connection import Connect, Connection, prepare_reader, store_error
from roomlog.store.sqlite.directory import StoreDirectory

Answer = TypeVar("Answer")
IDLE_CONNECTIONS: Final = 8


@final
class Readers:
    """Read connections to one database.

    With `beside_writer` (our own process writes) they are ordinary ones. Without it nothing at all
    may be written, not even the WAL's index: as long as no WAL exists the file is read as
    immutable, and an answer counts only if the file was the same before and after it.
    """

    def __init__(self, directory: StoreDirectory, connect: Connect, *, beside_writer: bool) -> None:
        self._directory = directory
        self._connect = connect
        self._beside_writer = beside_writer
        self._lock = threading.Lock()
        self._idle: list[tuple[Connection, object]] = []
        self._refusal: str | None = None

    def refuse(self, reason: str | None) -> None:
        """Answer everything with `StoreUnavailable` until called with None."""
        self._refusal = reason

    def run(self, query: Callable[[Connection], Answer], room: str | None = None) -> Answer:
        """What `query` gives: a bounded amount of reading, finished when it returns.

        A TypeError or ValueError of the query means that what it read was never written. Raises
        `StoreUnavailable`, `StoreCorrupt` naming `room`.
        """
        while True:
            quiet = self._quiet_mark()
            connection = self._take(quiet)
            try:
                answer = query(connection)
            except (sqlite3.Error, TypeError, ValueError) as error:
                connection.close()
                if self._quiet_mark() != quiet:
                    continue
                raise store_error(error, room) from error
            except BaseException:
                connection.close()
                if quiet is None or self._quiet_mark() == quiet:
                    raise
                continue
            if quiet is None or self._quiet_mark() == quiet:
                self._put(connection, quiet)
                return answer
            connection.close()

    def close(self) -> None:
        """Close what is idle and refuse from now on."""
        self._refusal = "the store is closed"
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _quiet_mark(self) -> object:
        """None beside a writer; else what identifies the untouched file."""
        if self._beside_writer or self._directory.write_ahead_log.exists():
            return None
        with contextlib.suppress(OSError):
            status = self._directory.database.stat()
            return status.st_ino, status.st_size, status.st_mtime_ns
        return None

    def _take(self, quiet: object) -> Connection:
        if self._refusal is not None:
            raise StoreUnavailable(self._refusal)
        with self._lock:
            while self._idle:
                connection, mark = self._idle.pop()
                if mark == quiet:
                    return connection
                connection.close()
        try:
            connection = self._connect(
                self._directory.database, read_only=True, is_quiet=quiet is not None
            )
        except sqlite3.Error as error:
            raise store_error(error) from error
        try:
            prepare_reader(connection)
        except sqlite3.Error as error:
            connection.close()
            raise store_error(error) from error
        return connection

    def _put(self, connection: Connection, quiet: object) -> None:
        with self._lock:
            if self._refusal is None and len(self._idle) < IDLE_CONNECTIONS:
                self._idle.append((connection, quiet))
                return
        connection.close()
