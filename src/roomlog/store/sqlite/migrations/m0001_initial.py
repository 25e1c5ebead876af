"""Rooms, their logs and their admission records.

`log` is clustered by (room, from_seq): random 32-byte ids are never a key. A pack is kept in two
columns, `head` (frame and headers) and `tail` (the rest), with everything small before them and
the tail last, so that building a graph never touches the pages of signatures and bodies.

Checksums are CRC-32, made and compared in `checksums.py`: SQLite does not see a bit that flips
inside a value.
"""

from __future__ import annotations

from roomlog.store.sqlite.migration import Migration, Phase

MIGRATION = Migration(
    version=1,
    name="initial",
    phase=Phase.EXPAND,
    compat_version=1,
    statements=(
        """
        CREATE TABLE store_meta (
            key TEXT PRIMARY KEY NOT NULL,
            value NOT NULL
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE schema_migration (
            version INTEGER PRIMARY KEY NOT NULL,
            name TEXT NOT NULL,
            phase TEXT NOT NULL,
            checksum BLOB NOT NULL,
            applied_ms INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE room (
            room INTEGER PRIMARY KEY NOT NULL,
            room_id TEXT NOT NULL UNIQUE,
            lineage BLOB NOT NULL CHECK (length(lineage) = 32),
            epoch BLOB NOT NULL CHECK (length(epoch) = 16),
            head_seq INTEGER NOT NULL DEFAULT 0 CHECK (head_seq >= 0),
            created_ms INTEGER NOT NULL,
            checksum INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE admission (
            admission INTEGER PRIMARY KEY NOT NULL,
            room INTEGER NOT NULL REFERENCES room (room),
            epoch BLOB NOT NULL CHECK (length(epoch) = 16),
            from_seq INTEGER NOT NULL CHECK (from_seq >= 1),
            to_seq INTEGER NOT NULL CHECK (to_seq >= from_seq),
            admitted_ms INTEGER NOT NULL,
            submitter BLOB NOT NULL CHECK (length(submitter) = 32),
            policy_head BLOB,
            lineage BLOB NOT NULL CHECK (length(lineage) = 32),
            reinstated INTEGER NOT NULL DEFAULT 0 CHECK (reinstated IN (0, 1)),
            checksum INTEGER NOT NULL
        )
        """,
        """
        CREATE TABLE log (
            room INTEGER NOT NULL REFERENCES room (room),
            from_seq INTEGER NOT NULL CHECK (from_seq >= 1),
            to_seq INTEGER NOT NULL CHECK (to_seq >= from_seq),
            admission INTEGER NOT NULL,
            index_checksum INTEGER NOT NULL,
            tail_checksum INTEGER NOT NULL,
            head BLOB NOT NULL,
            ids BLOB NOT NULL CHECK (length(ids) = (to_seq - from_seq + 1) * 32),
            tail BLOB NOT NULL,
            PRIMARY KEY (room, from_seq)
        ) WITHOUT ROWID
        """,
    ),
)
