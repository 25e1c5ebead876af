"""The write-ahead log of a local store, made safe before anything is written behind it.

After an fsync that failed, the system shows what it will never write. What is put behind that, or
is copied from it while the log itself stays short, is undone when the power goes.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from roomlog.client.errors import LocalStoreError

_PIECE_BYTES: Final = 1 << 20


def rewrite_log(store: Path) -> None:
    """Write the log's own bytes to it again and fsync them, before the store is opened.

    Raises `LocalStoreError`.
    """
    log = _log_of(store)
    try:
        descriptor = os.open(log, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            while piece := os.read(descriptor, _PIECE_BYTES):
                os.lseek(descriptor, -len(piece), os.SEEK_CUR)
                os.write(descriptor, piece)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LocalStoreError(f"{log}: {error.strerror}") from error


def settle_log(connection: sqlite3.Connection, store: Path) -> None:
    """Copy what the log holds into the store and cut it, durably, unless somebody reads it.

    Raises `LocalStoreError`, `sqlite3.Error`.
    """
    (waits_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {waits_ms}")
    rewrite_log(store)


def _log_of(store: Path) -> Path:
    return store.with_name(f"{store.name}-wal")
