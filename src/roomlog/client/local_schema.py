"""Tables of a client's local store, and the numbers that say which build may open it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final, final

from roomlog.client.errors import LocalStoreError, LocalStoreTooNewError
from roomlog.core.hashing import hash_bytes

APPLICATION_ID: Final = 0x524C4331
"""`RLC1` in the header of the file, so that nothing else is taken for a local store."""

COMPAT_VERSION: Final = 2
"""The oldest schema version of code that may open what this build writes."""
FEATURE_LEVEL: Final = 1


@final
class Migration:
    """One step of the schema: its text is never changed once released, as the checksum shows."""

    def __init__(self, version: int, name: str, statements: tuple[str, ...]) -> None:
        self.version = version
        self.name = name
        self.statements = statements
        self.checksum = hash_bytes("\n".join(statements).encode()).hex()


MIGRATIONS: Final = (
    Migration(
        1,
        "initial",
        (
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
            "CREATE TABLE server_key (origin TEXT PRIMARY KEY, key BLOB NOT NULL) WITHOUT ROWID",
            # In order of arrival: parents before children. own_id: one node of this author.
            "CREATE TABLE node_pack (position INTEGER PRIMARY KEY, own_id BLOB, seq INTEGER,"
            " pack BLOB NOT NULL)",
            # Random ids are never a key of the whole table: only what is pending is looked up.
            "CREATE INDEX pending ON node_pack (own_id) WHERE own_id IS NOT NULL AND seq IS NULL",
            "CREATE TABLE rejection (position INTEGER PRIMARY KEY, node_id BLOB NOT NULL,"
            " reject_class TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,"
            " detail BLOB NOT NULL, operation_indexes BLOB NOT NULL, lineage BLOB NOT NULL,"
            " pack BLOB NOT NULL)",
        ),
    ),
    Migration(
        2,
        "log places and snapshots",
        (
            # The nodes of a pack from the first on have these seqs in the log of meta.epoch; both
            # null: not known, or not in that log. History below a snapshot has positions below 0.
            "ALTER TABLE node_pack ADD COLUMN from_seq INTEGER",
            "ALTER TABLE node_pack ADD COLUMN to_seq INTEGER",
            "CREATE TABLE snapshot (slot INTEGER PRIMARY KEY CHECK (slot = 1),"
            " seq INTEGER NOT NULL, frontier BLOB NOT NULL, state BLOB NOT NULL,"
            " state_hash BLOB NOT NULL, digest BLOB NOT NULL, signature BLOB NOT NULL,"
            " server_key BLOB NOT NULL, history_seq INTEGER NOT NULL)",
        ),
    ),
)
SCHEMA_VERSION: Final = MIGRATIONS[-1].version

_BOOKKEEPING: Final = (
    "CREATE TABLE schema_migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL,"
    " checksum TEXT NOT NULL, applied_ms INTEGER NOT NULL)"
)


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the database has no tables yet."""
    (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return int(count) == 0


def check_versions(connection: sqlite3.Connection, path: str) -> int:
    """The schema version of a database that this build may read.

    Raises `LocalStoreTooNewError`, `LocalStoreError` for another file or a changed migration.
    """
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    if application_id != APPLICATION_ID:
        raise LocalStoreError(f"{path}: not a roomlog client store")
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    compat_version = meta.get("compat_version")
    if not isinstance(compat_version, int):
        raise LocalStoreError(f"{path}: has no compat_version")
    if compat_version > SCHEMA_VERSION:
        raise LocalStoreTooNewError(
            f"{path}: needs a roomlog that knows client schema {compat_version}; this one knows"
            f" {SCHEMA_VERSION} (it was written by {meta.get('written_by', 'a newer release')})"
        )
    applied = {
        int(version): str(checksum)
        for version, checksum in connection.execute(
            "SELECT version, checksum FROM schema_migration"
        )
    }
    for migration in MIGRATIONS:
        known = applied.get(migration.version)
        if known is not None and known != migration.checksum:
            raise LocalStoreError(f"{path}: migration {migration.version} was changed")
    return max(applied, default=0)


def migrate(
    connection: sqlite3.Connection, version: int, written_by: str, clock_ms: Callable[[], int]
) -> None:
    """Apply what lies above `version`, each step in a transaction of its own."""
    for migration in MIGRATIONS:
        if migration.version <= version:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            if migration.version == 1:
                connection.execute(_BOOKKEEPING)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            for statement in migration.statements:
                connection.execute(statement)
            connection.executemany(
                "INSERT INTO meta (key, value) VALUES (?, ?)"
                " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [
                    ("schema_version", migration.version),
                    ("compat_version", COMPAT_VERSION),
                    ("feature_level", FEATURE_LEVEL),
                    ("written_by", written_by),
                ],
            )
            connection.execute(
                "INSERT INTO schema_migration VALUES (?, ?, ?, ?)",
                (migration.version, migration.name, migration.checksum, clock_ms()),
            )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def is_named(connection: sqlite3.Connection) -> bool:
    """Whether the store was given its room: one whose creation was cut short has tables only.

    Whatever else is missing, a store with nodes is never taken for new.
    """
    (count,) = connection.execute(
        "SELECT (SELECT count(*) FROM meta WHERE key = 'is_draft')"
        " + EXISTS (SELECT 1 FROM node_pack) + EXISTS (SELECT 1 FROM snapshot)"
    ).fetchone()
    return int(count) > 0


def name_room(connection: sqlite3.Connection, room_id: str, draft_lineage: bytes) -> None:
    """Make the store that of a draft of `room_id`, all at once."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(
            "INSERT INTO meta (key, value) VALUES (?, ?)"
            " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [("room_id", room_id), ("lineage", draft_lineage), ("is_draft", 1)],
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
