"""SQLite connections that fail on demand, to be handed to a store through its factory."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from roomlog.store.sqlite.connection import connect_sqlite


class Faults:
    """What shall go wrong. Each entry of `failing` is the beginning of a statement.

    A number says how often it still fails; `committing_first` lets COMMIT do its work before it
    fails, as when the fsync succeeded and the answer got lost.
    """

    def __init__(self) -> None:
        self.failing: dict[str, int] = {}
        self.committing_first = False
        self.connect_fails = 0
        self.pragmas: tuple[str, ...] = ()
        self.statements: list[str] = []
        self.error_code = sqlite3.SQLITE_IOERR_FSYNC

    def error(self) -> sqlite3.OperationalError:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = self.error_code
        error.sqlite_errorname = "SQLITE_IOERR"
        return error

    def due(self, sql: str) -> bool:
        for beginning, times in self.failing.items():
            if sql.startswith(beginning) and times > 0:
                self.failing[beginning] = times - 1
                return True
        return False

    def connect(self, path: Path, *, read_only: bool, is_quiet: bool = False) -> Any:
        """A connection factory for `SqliteStore.open`; only writing connections fail."""
        if read_only:
            return connect_sqlite(path, read_only=True, is_quiet=is_quiet)
        if self.connect_fails > 0:
            self.connect_fails -= 1
            raise self.error()
        connection = _FailingConnection(connect_sqlite(path, read_only=False), self)
        if path.name == "roomlog.sqlite3":
            for pragma in self.pragmas:
                connection.execute(f"PRAGMA {pragma}").fetchall()
        return connection


class _FailingConnection:
    def __init__(self, connection: Any, faults: Faults) -> None:
        self._connection: sqlite3.Connection = connection
        self._faults = faults

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        self._faults.statements.append(sql.split("(", maxsplit=1)[0].strip())
        if sql.startswith("PRAGMA busy_timeout"):
            sql = "PRAGMA busy_timeout = 0"
        if self._faults.due(sql):
            if sql == "COMMIT" and self._faults.committing_first:
                self._connection.execute(sql)
            raise self._faults.error()
        return self._connection.execute(sql, parameters)

    def close(self) -> None:
        self._connection.close()
