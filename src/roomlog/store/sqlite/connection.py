"""Connections to SQLite: how they are opened, what each promises, and what their errors mean."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

from roomlog.store.errors import StoreCorrupt, StoreError, StoreUnavailable

BUSY_TIMEOUT_MS: Final = 5_000
CACHED_STATEMENTS: Final = 256
JOURNAL_SIZE_LIMIT_BYTES: Final = 64 << 20
# A checkpoint happens inside a commit. Rarer ones write a page that changed often only once.
CHECKPOINT_PAGES: Final = 8_192
# Our statements are fixed: an error in one (no such table or column) is one of the schema.
CORRUPTION_CODES: Final = frozenset(
    {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
)


class Cursor(Protocol):
    """What is used of a cursor."""

    @property
    def rowcount(self) -> int: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...
    def fetchmany(self, size: int) -> list[Any]: ...
    def close(self) -> None: ...


class Connection(Protocol):
    """What is used of a connection, so that one backed by another VFS can be handed in.

    Errors are `sqlite3.Error`; transactions are explicit (`isolation_level=None`).
    """

    @property
    def in_transaction(self) -> bool: ...
    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...
    def close(self) -> None: ...


class Connect(Protocol):
    """Opens a database file. A read-only connection writes nothing.

    `is_quiet` says that nobody writes and no WAL exists, so that not even the WAL's index needs to
    be made.
    """

    def __call__(self, path: Path, *, read_only: bool, is_quiet: bool = False) -> Connection: ...


def connect_sqlite(path: Path, *, read_only: bool, is_quiet: bool = False) -> Connection:
    """The connection factory of the standard library's SQLite."""
    query = "mode=ro" if read_only else "mode=rw"
    if read_only and is_quiet:
        query += "&immutable=1"
    return sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{query}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_MS / 1_000,
        cached_statements=CACHED_STATEMENTS,
    )


def prepare_reader(connection: Connection) -> None:
    """Settings of every connection that only reads."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA trusted_schema = OFF")


def prepare_writer(connection: Connection) -> None:
    """Settings of the one connection that writes: a commit returns after the WAL's fsync."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if str(mode).lower() != "wal":
        raise StoreUnavailable(f"the file system allows no write-ahead log (journal mode {mode})")
    connection.execute("PRAGMA synchronous = FULL")
    # On macOS fsync does not reach the platter without these.
    full_fsync = "ON" if sys.platform == "darwin" else "OFF"
    connection.execute(f"PRAGMA fullfsync = {full_fsync}")
    connection.execute(f"PRAGMA checkpoint_fullfsync = {full_fsync}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT_BYTES}")


def store_error(error: Exception, room: str | None = None) -> StoreError:
    """Our error for one of SQLite's: damage of the file, or anything that may pass.

    A TypeError or ValueError is damage too: a value of a type or a form that was never written.
    """
    if not isinstance(error, sqlite3.Error):
        return StoreCorrupt(room, f"a value cannot be read: {error}")
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in CORRUPTION_CODES:
        return StoreCorrupt(room, str(error))
    return StoreUnavailable(f"{error} ({getattr(error, 'sqlite_errorname', 'SQLite')})")
