"""Looking at a store's schema, bringing it up to this build, and raising its feature level.

`status` reads only. `apply` runs expand migrations, after which older builds may still open the
store; `finalize` raises the feature level, after which they may not understand what is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from roomlog.store.interface import StoreIdentity
from roomlog.store.sqlite.build import THIS_BUILD
from roomlog.store.sqlite.connection import (
    Connect,
    Connection,
    connect_sqlite,
    store_error,
)
from roomlog.store.sqlite.directory import StoreDirectory
from roomlog.store.sqlite.migration import Build
from roomlog.store.sqlite.readers import Readers
from roomlog.store.sqlite.schema import (
    AppliedMigration,
    apply_migration,
    check_current,
    check_openable,
    pending_migrations,
    read_applied,
    read_identity,
    require_database,
)
from roomlog.store.sqlite.writing import open_writing


class SchemaStatus(Struct, frozen=True):
    """A store's versions beside the build's.

    `compat_release` is the release that wrote the compat version. `pending` are the names of
    migrations this build would apply. `is_too_new` says that this build may not open the store.
    """

    store: StoreIdentity
    compat_release: str
    applied: tuple[AppliedMigration, ...]
    pending: tuple[str, ...]
    build_release: str
    build_schema_version: int
    build_compat_version: int
    build_feature_level: int
    is_too_new: bool

    @property
    def can_finalize(self) -> bool:
        """Whether `finalize` would raise the feature level."""
        return (
            not self.pending
            and not self.is_too_new
            and self.store.feature_level < self.build_feature_level
        )


def status(
    path: str | Path, *, connect: Connect = connect_sqlite, build: Build = THIS_BUILD
) -> SchemaStatus:
    """The versions of the store at `path`; writes nothing, also if this build may not open it.

    Raises `StoreNotFound`, `StoreCorrupt`, `StoreUnavailable`.
    """
    directory = StoreDirectory(Path(path))
    require_database(directory)
    readers = Readers(directory, connect, beside_writer=False)
    try:
        (identity, release), applied = readers.run(
            lambda conn: (read_identity(conn, str(path)), read_applied(conn))
        )
    finally:
        readers.close()
    return SchemaStatus(
        identity,
        release,
        tuple(applied),
        tuple(each.file_name for each in pending_migrations(identity, build)),
        build.release,
        build.schema_version,
        build.compat_version,
        build.feature_level,
        identity.compat_version > build.schema_version,
    )


def apply(
    path: str | Path,
    *,
    now_ms: int,
    connect: Connect = connect_sqlite,
    build: Build = THIS_BUILD,
    on_applied: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Apply pending expand migrations in order, each in one transaction; the names applied.

    Raises `StoreNotFound`, `StoreLocked`, `StoreTooNew`, `StoreCorrupt`, `StoreUnavailable`. What
    was applied before a failure stays applied.
    """
    names: list[str] = []
    with _writing(path, connect) as connection:
        identity = check_openable(connection, build, str(path))
        for migration in pending_migrations(identity, build):
            apply_migration(connection, migration, build.release, now_ms)
            names.append(migration.file_name)
            on_applied(migration.file_name)
    return names


def finalize(
    path: str | Path, *, connect: Connect = connect_sqlite, build: Build = THIS_BUILD
) -> tuple[int, int]:
    """Raise the feature level to the build's; (level before, level after).

    Raises as `apply` does, and `StoreNeedsMigration` while a migration is pending.
    """
    with _writing(path, connect) as connection:
        identity = check_openable(connection, build, str(path))
        check_current(identity, build, str(path))
        level = max(identity.feature_level, build.feature_level)
        connection.execute(
            "UPDATE store_meta SET value = ? WHERE key = 'feature_level' AND value < ?",
            (level, level),
        )
    return identity.feature_level, level


@contextmanager
def _writing(path: str | Path, connect: Connect) -> Iterator[Connection]:
    """The one writing connection of a store that no server has open."""
    directory = StoreDirectory(Path(path))
    require_database(directory)
    lock = directory.lock()
    try:
        connection = open_writing(directory, connect)
        try:
            yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise store_error(error) from error
    finally:
        lock.release()
