"""Reading a store without leaving a trace: no byte, no file, no time of any file is changed."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, final
from urllib.parse import quote

from msgspec import Struct

from roomlog.file_lock import is_lock_free
from roomlog.store.errors import StoreUnavailable
from roomlog.store.sqlite.connection import (
    BUSY_TIMEOUT_MS,
    CACHED_STATEMENTS,
    Connect,
    Connection,
)

WAL_SUFFIX: Final = "-wal"
WAL_INDEX_SUFFIX: Final = "-shm"
JOURNAL_SUFFIX: Final = "-journal"


class Holder(Struct, frozen=True):
    """The process that has a store open for writing; `pid` is None when it does not say."""

    pid: int | None


def holder_of(lock_file: Path) -> Holder | None:
    """Who holds a lock, None for nobody. It is tried, but nothing is written."""
    try:
        descriptor = os.open(lock_file, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if is_lock_free(descriptor):
            return None
        text = os.pread(descriptor, 32, 0).strip()
        return Holder(int(text) if text.isdigit() else None)
    finally:
        os.close(descriptor)


@final
class UntouchedConnect:
    """Opens databases so that nothing beside them is made or changed.

    With `is_in_use` another process writes: then every connection sees one moment of the store, for
    as long as it is open.
    """

    def __init__(self, *, is_in_use: bool) -> None:
        self._is_in_use = is_in_use

    def __call__(self, path: Path, *, read_only: bool, is_quiet: bool = False) -> Connection:
        """As `Connect`; always for reading. Raises `sqlite3.Error`."""
        is_log_empty = not _size_of(beside(path, WAL_SUFFIX))
        is_quiet = is_quiet or (not self._is_in_use and is_log_empty)
        query = "immutable=1" if is_quiet else "readonly_shm=1"
        if self._is_in_use and not is_quiet:
            # The server has made the index of its log already, and keeps it up to date.
            query = "cache=private"
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=ro&{query}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_MS / 1_000,
            cached_statements=CACHED_STATEMENTS,
        )
        if self._is_in_use:
            try:
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            except BaseException:
                connection.close()
                raise
        return connection


@contextlib.contextmanager
def untouched(database: Path, *, is_in_use: bool) -> Iterator[tuple[Path, Connect]]:
    """Where to read a database, and how. It is another place only if reading would leave a trace.

    A log without its index, which a careless copy has, can only be read by making the index; then a
    copy in the temporary directory is read. Raises `StoreUnavailable` when there is no room for it.
    """
    log = beside(database, WAL_SUFFIX)
    connect = UntouchedConnect(is_in_use=is_in_use)
    if is_in_use or not _size_of(log) or beside(database, WAL_INDEX_SUFFIX).exists():
        yield database, connect
        return
    with tempfile.TemporaryDirectory(prefix="roomlog-doctor-") as name:
        copy = Path(name) / database.name
        try:
            shutil.copyfile(database, copy)
            shutil.copyfile(log, beside(copy, WAL_SUFFIX))
            beside(copy, WAL_INDEX_SUFFIX).touch()
        except OSError as error:
            raise StoreUnavailable(
                f"no copy of {database} can be made in {name}: {error.strerror}; set TMPDIR to a "
                "directory with enough space"
            ) from error
        yield copy, connect


def beside(database: Path, suffix: str) -> Path:
    """One of the files that SQLite keeps beside a database."""
    return database.with_name(database.name + suffix)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
