"""Snapshots, whole only once their row is there, and what was lost and may come back.

The chunks of a snapshot are written before its row, in several transactions, so that no commit has
to wait for all of them; chunks without a row are nobody's.
"""

from __future__ import annotations

from roomlog.store.sqlite.migration import Migration, Phase

MIGRATION = Migration(
    version=2,
    name="snapshots_and_windows",
    phase=Phase.EXPAND,
    compat_version=1,
    statements=(
        """
        CREATE TABLE snapshot (
            snapshot INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
            room INTEGER NOT NULL REFERENCES room (room),
            seq INTEGER NOT NULL CHECK (seq >= 1),
            taken_ms INTEGER NOT NULL,
            size_bytes INTEGER NOT NULL CHECK (size_bytes >= 1),
            state_hash BLOB NOT NULL CHECK (length(state_hash) = 32),
            digest BLOB NOT NULL CHECK (length(digest) = 32),
            signature BLOB NOT NULL CHECK (length(signature) = 64),
            checksum INTEGER NOT NULL,
            frontier BLOB NOT NULL,
            UNIQUE (room, seq)
        )
        """,
        """
        CREATE TABLE snapshot_chunk (
            room INTEGER NOT NULL REFERENCES room (room),
            seq INTEGER NOT NULL CHECK (seq >= 1),
            chunk INTEGER NOT NULL CHECK (chunk >= 0),
            checksum INTEGER NOT NULL,
            data BLOB NOT NULL,
            PRIMARY KEY (room, seq, chunk)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE reconcile_window (
            reconcile_window INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
            room INTEGER NOT NULL REFERENCES room (room),
            lost_epoch BLOB NOT NULL CHECK (length(lost_epoch) = 16),
            old_epoch BLOB NOT NULL CHECK (length(old_epoch) = 16),
            new_epoch BLOB NOT NULL CHECK (length(new_epoch) = 16),
            head_seq INTEGER NOT NULL CHECK (head_seq >= 0),
            after_seq INTEGER NOT NULL CHECK (after_seq >= 0),
            checkpoint_seq INTEGER NOT NULL CHECK (checkpoint_seq >= 0),
            opened_ms INTEGER NOT NULL,
            closes_ms INTEGER NOT NULL,
            checksum INTEGER NOT NULL,
            UNIQUE (room, lost_epoch)
        )
        """,
    ),
)
