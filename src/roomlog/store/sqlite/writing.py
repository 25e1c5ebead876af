"""The connection that writes, opened so that nothing in the log can be lost or come back."""

from __future__ import annotations

from roomlog.store.errors import StoreUnavailable
from roomlog.store.sqlite.connection import Connect, Connection, prepare_writer
from roomlog.store.sqlite.directory import (
    StoreDirectory,
    fsync_if_there,
    fsync_path,
    rewrite_file,
)


def open_writing(directory: StoreDirectory, connect: Connect) -> Connection:
    """A prepared connection for the holder of the store's lock, who has no other one that writes.

    Raises `StoreUnavailable`, `sqlite3.Error`.
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
        _settle(connection)
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


def _settle(connection: Connection) -> None:
    """Decide what the log holds: everything that counts goes into the database, fsynced.

    What lies beyond the last good commit is thrown away with it; without this a later recovery
    could find a commit there that this process has meanwhile denied.
    """
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise StoreUnavailable("readers are in the way of settling what was left in the log")
