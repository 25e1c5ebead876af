"""The connection that writes, opened so that nothing in the log can be lost or come back."""

from __future__ import annotations

from roomlog.store.errors import StoreUnavailable
from roomlog.store.sqlite.connection import BUSY_TIMEOUT_MS, Connect, Connection, prepare_writer
from roomlog.store.sqlite.directory import (
    StoreDirectory,
    fsync_if_there,
    fsync_path,
    rewrite_file,
)


def open_writing(
    directory: StoreDirectory, connect: Connect, *, has_denied: bool = False
) -> Connection:
    """A prepared connection for the holder of the store's lock, who has no other one that writes.

    With `has_denied` a commit was called failed that the log may hold all the same: it has to be
    settled first. Raises `StoreUnavailable`, also while readers are in the way of that, and
    `sqlite3.Error`.
    """
    log = directory.write_ahead_log
    try:
        # After an fsync that failed, the system shows what it will never write. What is put behind
        # that, or is copied from it while the log itself stays short, is undone by a power loss.
        rewrite_file(log)
    except OSError as error:
        raise StoreUnavailable(f"cannot write {log}: {error.strerror}") from error
    connection = connect(directory.database, read_only=False)
    try:
        prepare_writer(connection)
        _settle(connection, must_be_all=has_denied)
        # What was cut off, or went with the log's name, must not come back either.
        fsync_if_there(log)
        fsync_path(directory.path)
    except OSError as error:
        connection.close()
        raise StoreUnavailable(f"cannot sync {log}: {error.strerror}") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _settle(connection: Connection, *, must_be_all: bool) -> None:
    """Decide what the log holds: everything that counts goes into the database, fsynced.

    What lies beyond the last good commit is thrown away with it; without this a later recovery
    could find a commit there that this process has meanwhile denied. When nothing was denied,
    somebody who reads for long may keep the log as it is.
    """
    if not must_be_all:
        connection.execute("PRAGMA busy_timeout = 0")
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if not must_be_all:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    elif busy:
        raise StoreUnavailable("readers are in the way of settling what was left in the log")
