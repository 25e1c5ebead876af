"""Taking nodes out of rows of the local store that hold them beside others."""

from __future__ import annotations

import sqlite3
from collections.abc import Set as AbstractSet

from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack, select


def remove_nodes(connection: sqlite3.Connection, node_ids: AbstractSet[bytes]) -> None:
    """Take nodes out, wherever they are. Reads every row: for what happens rarely.

    A row that loses a node with a place in the log loses its place: the server denies having it.
    History below a snapshot stays as it is: none of it counts before all of it is here.
    """
    (lineage,) = connection.execute("SELECT value FROM meta WHERE key = 'lineage'").fetchone()
    hasher = NodeHasher(lineage)
    emptied: list[tuple[int]] = []
    smaller: list[tuple[bytes, int]] = []
    displaced: list[tuple[int]] = []
    rows = connection.execute(
        "SELECT position, own_id, pack, from_seq, to_seq FROM node_pack"
        " WHERE position >= 0 OR NOT EXISTS (SELECT 1 FROM snapshot)"
    )
    for position, own_id, pack, from_seq, to_seq in rows:
        if own_id is not None:
            if own_id in node_ids:
                emptied.append((position,))
            continue
        ids = [node.id for node in decode_pack(pack, hasher)]
        kept = [index for index, node_id in enumerate(ids) if node_id not in node_ids]
        if len(kept) == len(ids):
            continue
        if not kept:
            emptied.append((position,))
            continue
        smaller.append((select(pack, kept, hasher), position))
        if from_seq is not None and any(
            node_id in node_ids for node_id in ids[: to_seq - from_seq + 1]
        ):
            displaced.append((position,))
    connection.executemany("DELETE FROM node_pack WHERE position = ?", emptied)
    connection.executemany("UPDATE node_pack SET pack = ? WHERE position = ?", smaller)
    connection.executemany(
        "UPDATE node_pack SET from_seq = NULL, to_seq = NULL WHERE position = ?", displaced
    )
