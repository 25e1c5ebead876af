"""What `sqlite3` offers and the stores use, over apsw: the same values, the same errors."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NoReturn, final

import apsw

_SETTING: Final = re.compile(
    r"\s*PRAGMA\s+(wal_autocheckpoint|journal_size_limit)\s*=\s*(-?\d+)\s*$", re.I
)
_WRITER: Final = re.compile(r"\s*PRAGMA\s+journal_mode\b", re.I)
_CHANGES_ROWS: Final = re.compile(r"\s*(INSERT|UPDATE|DELETE|REPLACE)\b", re.I)
_DEFAULT_AUTOCHECKPOINT_PAGES: Final = 1_000
_TIMEOUT_MS: Final = 5_000

_OPERATIONAL: Final = {
    apsw.SQLITE_ERROR,
    apsw.SQLITE_PERM,
    apsw.SQLITE_ABORT,
    apsw.SQLITE_BUSY,
    apsw.SQLITE_LOCKED,
    apsw.SQLITE_READONLY,
    apsw.SQLITE_INTERRUPT,
    apsw.SQLITE_IOERR,
    apsw.SQLITE_FULL,
    apsw.SQLITE_CANTOPEN,
    apsw.SQLITE_PROTOCOL,
    apsw.SQLITE_EMPTY,
    apsw.SQLITE_SCHEMA,
}
_CLASSES: Final[dict[int, type[Exception]]] = {
    **dict.fromkeys(_OPERATIONAL, sqlite3.OperationalError),
    apsw.SQLITE_INTERNAL: sqlite3.InternalError,
    apsw.SQLITE_NOTFOUND: sqlite3.InternalError,
    apsw.SQLITE_NOMEM: MemoryError,
    apsw.SQLITE_TOOBIG: sqlite3.DataError,
    apsw.SQLITE_CONSTRAINT: sqlite3.IntegrityError,
    apsw.SQLITE_MISMATCH: sqlite3.IntegrityError,
    apsw.SQLITE_MISUSE: sqlite3.InterfaceError,
    apsw.SQLITE_RANGE: sqlite3.InterfaceError,
}
_NAMES: Final = {
    code: name
    for mapping in (apsw.mapping_result_codes, apsw.mapping_extended_result_codes)
    for name, code in mapping.items()
    if isinstance(name, str) and isinstance(code, int)
}


def sqlite_error(code: int, reason: str) -> Exception:
    """The exception that `sqlite3` raises for an extended result code."""
    error = _CLASSES.get(code & 0xFF, sqlite3.DatabaseError)(reason)
    if isinstance(error, sqlite3.Error):
        error.sqlite_errorcode = code
        error.sqlite_errorname = _NAMES.get(code, "unknown")
    return error


def power_is_off() -> Exception:
    """What anything meets on a machine without power."""
    return sqlite_error(apsw.SQLITE_IOERR, "the power is off")


@final
class Limits:
    """Upper bounds on what a connection may ask for, so that what is rare happens in a short run.

    How many pages of the log call for a checkpoint, to how many bytes a log is cut, and how many
    pages a connection keeps in memory before it writes some of an open transaction; None: as asked.
    """

    def __init__(self) -> None:
        self.wal_autocheckpoint: int | None = None
        self.journal_size_limit: int | None = None
        self.cache_pages: int | None = None


@final
class DiskCursor:
    """The cursor of one statement."""

    def __init__(self, connection: DiskConnection, cursor: apsw.Cursor, rowcount: int) -> None:
        self._connection = connection
        self._cursor = cursor
        self._rowcount = rowcount
        self._row: Any = None
        try:
            self._row = next(cursor, None)
        except Exception as error:
            connection.translate(error)

    @property
    def rowcount(self) -> int:
        """Rows changed, -1 for a statement that changes none."""
        return self._rowcount

    def fetchone(self) -> Any:
        """The next row, None at the end; the one behind it is looked for at once.

        So does the standard library: an error of the statement's end comes with its last row.
        """
        row = self._row
        if row is not None:
            try:
                self._row = next(self._cursor, None)
            except Exception as error:
                self._row = None
                self._connection.translate(error)
        return row

    def fetchmany(self, size: int = 1) -> list[Any]:
        """At most `size` rows."""
        rows: list[Any] = []
        while len(rows) < size and (row := self.fetchone()) is not None:
            rows.append(row)
        return rows

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        return list(self)

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row

    def close(self) -> None:
        """End the statement, wherever it is."""
        self._cursor.close(True)


@final
class DiskConnection:
    """A connection as `sqlite3.connect(uri, isolation_level=None)` gives it."""

    def __init__(self, uri: str, vfs: str, cached_statements: int, limits: Limits) -> None:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        self.is_open = False
        self._committed = False
        self._limits = limits
        self._autocheckpoint_pages = limits.wal_autocheckpoint or _DEFAULT_AUTOCHECKPOINT_PAGES
        try:
            self._connection = apsw.Connection(
                uri, flags=flags, vfs=vfs, statementcachesize=cached_statements
            )
        except apsw.Error as error:
            self.translate(error)
        self.is_open = True
        self._connection.set_busy_timeout(_TIMEOUT_MS)
        self._connection.set_wal_hook(self._after_commit)

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self.is_open and self._connection.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> DiskCursor:
        """Run one statement to its end, or up to its first row."""
        self._require_open()
        self._committed = False
        setting = _SETTING.match(sql)
        if setting is not None:
            name, value = setting[1].lower(), int(setting[2])
            limit = getattr(self._limits, name)
            value = value if limit is None else min(value, limit)
            sql = f"PRAGMA {name} = {value}"
            if name == "wal_autocheckpoint":
                self._autocheckpoint_pages = value
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql, parameters or None)
        except Exception as error:
            # What fails after the commit, or in a checkpoint behind it, SQLite does not tell.
            if not self._committed:
                self.translate(error)
        if setting is not None:
            # SQLite's own hook took the place of ours.
            self._connection.set_wal_hook(self._after_commit)
        if self._limits.cache_pages is not None and _WRITER.match(sql):
            with contextlib.suppress(apsw.Error):
                self._connection.execute(f"PRAGMA cache_size = {self._limits.cache_pages}")
        changed = self._connection.changes() if _CHANGES_ROWS.match(sql) else -1
        return DiskCursor(self, cursor, changed)

    def executemany(self, sql: str, parameters: Iterable[Sequence[Any]], /) -> DiskCursor:
        """Run one statement for each sequence of parameters."""
        self._require_open()
        changed = 0
        for each in parameters:
            changed += self.execute(sql, each).rowcount
        return DiskCursor(self, self._connection.cursor(), changed)

    def close(self) -> None:
        """Close, whatever the disk says: SQLite does not fail here either."""
        if not self.is_open:
            return
        self.is_open = False
        try:
            self._connection.close(True)
        except apsw.Error:
            # The first attempt met the disk; the handle is gone unless SQLite says it is busy.
            self._connection.close(True)

    def translate(self, error: Exception) -> NoReturn:
        """Raise what `sqlite3` raises for what apsw raised."""
        if isinstance(error, apsw.BindingsError | apsw.ConnectionClosedError):
            raise sqlite3.ProgrammingError(str(error)) from error
        if isinstance(error, apsw.Error):
            code = getattr(error, "extendedresult", -1)
            if code < 0:
                raise sqlite3.ProgrammingError(str(error)) from error
            raise sqlite_error(code, str(error)) from error
        if isinstance(error, UnicodeDecodeError):
            raise sqlite3.OperationalError(str(error)) from error
        if isinstance(error, TypeError):
            raise sqlite3.ProgrammingError(str(error)) from error
        raise error

    def _require_open(self) -> None:
        if not self.is_open:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database.")

    def _after_commit(self, connection: apsw.Connection, name: str, pages: int) -> int:
        """SQLite's own hook after a commit into the WAL, whose checkpoint may fail unheard."""
        self._committed = True
        if 0 < self._autocheckpoint_pages <= pages:
            with contextlib.suppress(apsw.Error):
                connection.wal_checkpoint(name, apsw.SQLITE_CHECKPOINT_PASSIVE)
        return apsw.SQLITE_OK
