"""The versions written in a database, the checks before it is used, and making a new one."""

from __future__ import annotations

import os
import sqlite3
from typing import Final

from msgspec import Struct

from roomlog.store.errors import (
    StoreCorrupt,
    StoreNeedsMigration,
    StoreNotFound,
    StoreTooNew,
    StoreUnavailable,
)
from roomlog.store.interface import StoreIdentity
from roomlog.store.sqlite.connection import Connect, Connection, store_error
from roomlog.store.sqlite.directory import StoreDirectory, fsync_path
from roomlog.store.sqlite.migration import Build, Migration

APPLICATION_ID: Final = 0x524C4F47  # "RLOG"


class AppliedMigration(Struct, frozen=True):
    """One row of `schema_migration`."""

    version: int
    name: str
    phase: str
    checksum: bytes
    applied_ms: int


def read_identity(connection: Connection, path: str) -> tuple[StoreIdentity, str]:
    """Store id and versions, and the release that wrote the compat version.

    Raises `StoreCorrupt` when the file is not a roomlog store.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise StoreCorrupt(None, f"{path} is not a roomlog database")
    meta = dict(connection.execute("SELECT key, value FROM store_meta").fetchall())
    try:
        for key in ("schema_version", "compat_version", "feature_level", "created_ms"):
            if not isinstance(meta[key], int):
                raise StoreCorrupt(None, f"{path} has no number as {key}")
        identity = StoreIdentity(
            meta["store_id"],
            meta["schema_version"],
            meta["compat_version"],
            meta["feature_level"],
            meta["created_ms"],
        )
        return identity, str(meta["compat_release"])
    except KeyError as missing:
        raise StoreCorrupt(None, f"{path} has no {missing} in store_meta") from None


def read_applied(connection: Connection) -> list[AppliedMigration]:
    """Every migration the database says it has had, in order."""
    rows = connection.execute(
        "SELECT version, name, phase, checksum, applied_ms FROM schema_migration ORDER BY version"
    ).fetchall()
    return [AppliedMigration(*row) for row in rows]


def check_openable(connection: Connection, build: Build, path: str) -> StoreIdentity:
    """The store's identity, if this build may read it.

    Raises `StoreTooNew`, and `StoreCorrupt` for a migration whose text is not this build's or for a
    gap in the list.
    """
    identity, release = read_identity(connection, path)
    if identity.compat_version > build.schema_version:
        raise StoreTooNew(path, identity.compat_version, build.schema_version, release)
    applied = read_applied(connection)
    versions = [each.version for each in applied]
    # As many as there are rows, not as many as a damaged file says.
    if len(versions) != identity.schema_version or versions != list(range(1, len(versions) + 1)):
        raise StoreCorrupt(None, f"{path} has gaps in its list of migrations")
    for each, known in zip(applied, build.migrations, strict=False):
        if each.checksum != known.checksum:
            raise StoreCorrupt(
                None,
                f"migration {each.version} ({each.name}) of {path} is not the one of this build",
            )
    return identity


def check_rooms(connection: Connection) -> None:
    """Raise `StoreCorrupt` unless the table of rooms and its index agree.

    A room that its index has lost would look as if it had never been created, and be created anew.
    """
    faults = connection.execute("PRAGMA integrity_check(room)").fetchall()
    if [tuple(fault) for fault in faults] != [("ok",)]:
        raise StoreCorrupt(None, "; ".join(str(fault[0]) for fault in faults[:3]))


def pending_migrations(identity: StoreIdentity, build: Build) -> tuple[Migration, ...]:
    """What this build would still apply, in order."""
    return build.migrations[identity.schema_version :]


def check_current(identity: StoreIdentity, build: Build, path: str) -> None:
    """Raise `StoreNeedsMigration` unless every migration of this build is applied."""
    pending = pending_migrations(identity, build)
    if pending:
        raise StoreNeedsMigration(path, tuple(each.file_name for each in pending))


def apply_migration(
    connection: Connection, migration: Migration, release: str, applied_ms: int
) -> None:
    """One migration with its row and the new versions, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        run_migration(connection, migration, applied_ms)
        connection.execute(
            "UPDATE store_meta SET value = ? WHERE key = 'schema_version'", (migration.version,)
        )
        raised = connection.execute(
            "UPDATE store_meta SET value = ? WHERE key = 'compat_version' AND value < ?",
            (migration.compat_version, migration.compat_version),
        ).rowcount
        if raised:
            connection.execute(
                "UPDATE store_meta SET value = ? WHERE key = 'compat_release'", (release,)
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def run_migration(connection: Connection, migration: Migration, applied_ms: int) -> None:
    """A migration's statements and its row, inside the caller's transaction."""
    for statement in migration.statements:
        connection.execute(statement)
    connection.execute(
        "INSERT INTO schema_migration VALUES (?, ?, ?, ?, ?)",
        (migration.version, migration.name, migration.phase.value, migration.checksum, applied_ms),
    )


def create_database(
    directory: StoreDirectory, connect: Connect, build: Build, store_id: bytes, created_ms: int
) -> None:
    """Make a new, empty database under a name nobody reads, then give it its name, durably.

    A crash at any moment leaves either no database or a whole one. Raises `StoreCorrupt` when
    remains of a lost database lie beside it, `StoreUnavailable` when the disk refuses.
    """
    for remains in (directory.write_ahead_log, directory.rollback_journal):
        if remains.exists():
            raise StoreCorrupt(None, f"{remains} is there and {directory.database} is not")
    unfinished = directory.unfinished_database
    try:
        # What a creation that died left behind: never named, so never used.
        for leftover in (unfinished, unfinished.with_name(f"{unfinished.name}-journal")):
            leftover.unlink(missing_ok=True)
        os.close(os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        connection = connect(unfinished, read_only=False)
        try:
            _fill(connection, build, store_id, created_ms)
        finally:
            connection.close()
        fsync_path(unfinished)
        os.rename(unfinished, directory.database)
        fsync_path(directory.path)
    except sqlite3.Error as error:
        raise store_error(error) from error
    except OSError as error:
        raise StoreUnavailable(f"cannot create {directory.database}: {error.strerror}") from error


def roll_back_journal(directory: StoreDirectory, connect: Connect) -> None:
    """Let SQLite undo what a lost power interrupted while the database got its write-ahead log.

    Whoever only reads cannot, and with a log beside the journal is refused. Raises
    `StoreUnavailable`, `StoreCorrupt`.
    """
    try:
        connection = connect(directory.database, read_only=False)
        try:
            connection.execute("PRAGMA application_id").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise store_error(error) from error


def require_database(directory: StoreDirectory) -> None:
    """Raise `StoreNotFound` when the directory holds no database."""
    if not directory.database.exists():
        raise StoreNotFound(f"there is no store at {directory.path}")


def _fill(connection: Connection, build: Build, store_id: bytes, created_ms: int) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("BEGIN IMMEDIATE")
    for migration in build.migrations:
        run_migration(connection, migration, created_ms)
    meta: dict[str, bytes | int | str] = {
        "store_id": store_id,
        "schema_version": build.schema_version,
        "compat_version": build.compat_version,
        "compat_release": build.release,
        "feature_level": build.feature_level,
        "created_ms": created_ms,
    }
    for key, value in meta.items():
        connection.execute("INSERT INTO store_meta VALUES (?, ?)", (key, value))
    connection.execute("COMMIT")
