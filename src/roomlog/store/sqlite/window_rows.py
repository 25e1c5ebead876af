"""Reconcile windows in the database, and the new epoch that comes with each."""

from __future__ import annotations

from typing import Final

import msgspec

from roomlog.store.errors import EpochMismatch, RoomUnknown
from roomlog.store.interface import ReconcileWindow
from roomlog.store.sqlite.checksums import check, room_checksum, row_checksum
from roomlog.store.sqlite.connection import Connection
from roomlog.store.sqlite.queries import find_room

SELECT_WINDOWS: Final = """
    SELECT lost_epoch, old_epoch, new_epoch, head_seq, after_seq, checkpoint_seq, opened_ms,
        closes_ms, checksum
    FROM reconcile_window WHERE room = ? ORDER BY reconcile_window
"""
INSERT_WINDOW: Final = (
    "INSERT INTO reconcile_window (room, lost_epoch, old_epoch, new_epoch, head_seq, after_seq, "
    "checkpoint_seq, opened_ms, closes_ms, checksum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def read_windows(connection: Connection, room_id: str, room: int) -> list[ReconcileWindow]:
    """Every window of a room, in the order in which they were opened."""
    windows: list[ReconcileWindow] = []
    for *values, written in connection.execute(SELECT_WINDOWS, (room,)).fetchall():
        window = ReconcileWindow(*values)
        check(room_id, "a reconcile window", _checksum(room, window), written)
        windows.append(window)
    return windows


def renew_epoch(connection: Connection, room_id: str, window: ReconcileWindow) -> ReconcileWindow:
    """Inside the caller's transaction; as `NodeStore.renew_epoch`."""
    found = find_room(connection, room_id)
    if found is None:
        raise RoomUnknown(room_id)
    room, stored = found
    for known in read_windows(connection, room_id, room):
        if known.lost_epoch == window.lost_epoch:
            return known
    if stored.epoch != window.old_epoch:
        raise EpochMismatch(room_id)
    window = msgspec.structs.replace(window, head_seq=stored.head_seq)
    checksum = room_checksum(room_id, stored.lineage, window.new_epoch, stored.created_ms)
    connection.execute(
        "UPDATE room SET epoch = ?, checksum = ? WHERE room = ?",
        (window.new_epoch, checksum, room),
    )
    insert_window(connection, room, window)
    return window


def insert_window(connection: Connection, room: int, window: ReconcileWindow) -> None:
    """Inside the caller's transaction."""
    connection.execute(
        INSERT_WINDOW,
        (
            room,
            window.lost_epoch,
            window.old_epoch,
            window.new_epoch,
            window.head_seq,
            window.after_seq,
            window.checkpoint_seq,
            window.opened_ms,
            window.closes_ms,
            _checksum(room, window),
        ),
    )


def _checksum(room: int, window: ReconcileWindow) -> int:
    numbers = (
        room,
        window.head_seq,
        window.after_seq,
        window.checkpoint_seq,
        window.opened_ms,
        window.closes_ms,
    )
    return row_checksum(numbers, (window.lost_epoch, window.old_epoch, window.new_epoch))
