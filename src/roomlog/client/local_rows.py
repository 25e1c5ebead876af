"""Writes into the rows of the local store."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from roomlog.client.rejections import Rejection
from roomlog.client.row_removal import remove_nodes
from roomlog.client.store_writes import (
    Admitted,
    CheckpointKept,
    CursorMoved,
    HistoryComplete,
    HistoryDropped,
    HistoryPack,
    LineageAdopted,
    LogCut,
    OwnNodes,
    PatternsChanged,
    PendingAgain,
    ReceivedPack,
    Rewritten,
    ServerPinned,
    SnapshotKept,
    StoreWrite,
)
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack

HISTORY_POSITIONS: Final = 1 << 62
"""Below all other positions, history lies in the order of its seqs."""

# Left to itself SQLite goes on from the greatest position, also when that is one of history.
_NEXT: Final = "(SELECT max(0, ifnull(max(position), 0)) + 1 FROM node_pack)"
_INSERT_OWN: Final = f"INSERT INTO node_pack (position, own_id, pack) VALUES ({_NEXT}, ?, ?)"  # noqa: S608
_INSERT_RECEIVED: Final = (
    f"INSERT INTO node_pack (position, pack, from_seq, to_seq) VALUES ({_NEXT}, ?, ?, ?)"  # noqa: S608
)
_SET_META: Final = (
    "INSERT INTO meta (key, value) VALUES (?, ?)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


_REFILE: Final = (
    "UPDATE node_pack SET position = position + ? + (SELECT max(0, max(position)) FROM node_pack)"
    " WHERE position < 0 AND EXISTS (SELECT 1 FROM snapshot) AND (own_id IS NOT NULL"
    " OR from_seq IS NULL OR from_seq > (SELECT history_seq FROM snapshot))"
)


def refile_rows(connection: sqlite3.Connection) -> None:
    """Put behind a snapshot what release 0.1.0 filed with the history before it."""
    connection.execute(_REFILE, (HISTORY_POSITIONS,))


def apply_write(connection: sqlite3.Connection, write: StoreWrite) -> None:
    """Carry out one write inside of the open transaction."""
    if isinstance(write, ReceivedPack):
        connection.execute(
            _INSERT_RECEIVED,
            (write.pack, write.from_seq or None, write.to_seq or None),
        )
    elif isinstance(write, OwnNodes):
        _insert_own(connection, write.nodes)
    elif isinstance(write, Admitted):
        connection.executemany(
            "UPDATE node_pack SET seq = ?1, from_seq = ?1, to_seq = ?1"
            " WHERE own_id = ?2 AND own_id IS NOT NULL AND seq IS NULL",
            [(seq, node_id) for node_id, seq in write.seqs.items()],
        )
    elif isinstance(write, CursorMoved):
        _set_encoded(connection, "cursor", write.cursor)
    elif isinstance(write, LogCut):
        _cut(connection, write)
    elif isinstance(write, PendingAgain):
        _insert_own(connection, write.nodes)
    elif isinstance(write, CheckpointKept):
        _set_encoded(connection, "checkpoint", write.checkpoint)
    elif isinstance(write, SnapshotKept):
        connection.execute(
            "INSERT OR REPLACE INTO snapshot (slot, seq, frontier, state, state_hash, digest,"
            " signature, server_key, history_seq) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                write.seq,
                write.frontier_pack,
                write.state,
                write.state_hash,
                write.digest,
                write.signature,
                write.server_key,
                write.history_seq,
            ),
        )
    elif isinstance(write, HistoryPack):
        connection.execute(
            "INSERT OR REPLACE INTO node_pack (position, pack, from_seq, to_seq)"
            " VALUES (?, ?, ?, ?)",
            (write.from_seq - HISTORY_POSITIONS, write.pack, write.from_seq, write.to_seq),
        )
    elif isinstance(write, HistoryDropped):
        connection.execute("DELETE FROM node_pack WHERE position < 0")
    elif isinstance(write, HistoryComplete):
        connection.execute("DELETE FROM snapshot")
    elif isinstance(write, PatternsChanged):
        _set_encoded(connection, "patterns", write.patterns or None)
        _set_encoded(connection, "patterns_before", write.before)
    elif isinstance(write, Rewritten):
        connection.executemany(
            "DELETE FROM node_pack WHERE own_id = ? AND own_id IS NOT NULL AND seq IS NULL",
            [(node_id,) for node_id in write.removed],
        )
        if write.lost_once:
            remove_nodes(connection, write.lost_once)
        _insert_own(connection, write.nodes)
        _insert_rejections(connection, write.rejections)
    elif isinstance(write, LineageAdopted):
        connection.execute("DELETE FROM node_pack")
        connection.executemany(
            _SET_META,
            [("lineage", write.lineage), ("is_draft", 0), ("cursor", None), ("epoch", None)],
        )
        _insert_own(connection, write.nodes)
    elif isinstance(write, ServerPinned):
        connection.execute(
            "INSERT INTO server_key (origin, key) VALUES (?, ?)"
            " ON CONFLICT (origin) DO UPDATE SET key = excluded.key",
            (write.origin, write.server_key),
        )


def _set_encoded(connection: sqlite3.Connection, key: str, value: object) -> None:
    connection.execute(_SET_META, (key, None if value is None else msgspec.msgpack.encode(value)))


def _cut(connection: sqlite3.Connection, cut: LogCut) -> None:
    """Take their places from nodes beyond the cut; history that has to be read anew goes."""
    connection.execute(
        "DELETE FROM node_pack WHERE position < 0 AND from_seq > ?"
        " AND EXISTS (SELECT 1 FROM snapshot)",
        (cut.seq,),
    )
    connection.execute(
        "UPDATE snapshot SET history_seq = ifnull(?, min(history_seq, ?))",
        (cut.history_seq, cut.seq),
    )
    connection.execute(
        "UPDATE node_pack SET from_seq = NULL, to_seq = NULL WHERE from_seq > ?", (cut.seq,)
    )
    connection.execute("UPDATE node_pack SET to_seq = ?1 WHERE to_seq > ?1", (cut.seq,))
    connection.execute(_SET_META, ("epoch", cut.epoch))
    _set_encoded(connection, "cursor", cut.cursor)


def _insert_own(connection: sqlite3.Connection, nodes: Sequence[Node]) -> None:
    connection.executemany(_INSERT_OWN, [(node.id, encode_pack([node])) for node in nodes])


def _insert_rejections(connection: sqlite3.Connection, rejections: Sequence[Rejection]) -> None:
    (lineage,) = connection.execute("SELECT value FROM meta WHERE key = 'lineage'").fetchone()
    connection.executemany(
        "INSERT INTO rejection (node_id, reject_class, kind, message, detail, operation_indexes,"
        " lineage, pack) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                each.node_id,
                each.reject_class,
                each.kind,
                each.message,
                msgspec.msgpack.encode(each.detail),
                msgspec.msgpack.encode(each.operation_indexes),
                lineage,
                encode_pack([each.node]),
            )
            for each in rejections
        ],
    )
