"""A room that was lost, made again from nodes that somebody kept: one transaction for all of it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from roomlog.store.append_check import fault_of
from roomlog.store.interface import Append, NewRoom, ReconcileWindow, StoredRoom
from roomlog.store.sqlite.connection import Connection
from roomlog.store.sqlite.log_rows import (
    ADMISSION_COLUMNS,
    INSERT_ADMISSION,
    INSERT_LOG,
    LOG_COLUMNS,
    admission_values,
    log_values,
    placeholders,
)
from roomlog.store.sqlite.window_rows import insert_window


def insert_history(
    connection: Connection,
    room: NewRoom,
    appends: Iterable[Append],
    window: ReconcileWindow,
    next_admission: int,
) -> tuple[StoredRoom, int]:
    """Everything of a room whose row was just inserted, and the next number of an admission.

    `window.head_seq` counts for nothing: the head of the history is written. Raises ValueError for
    appends that are not this room's, or do not follow each other from seq 1 on.
    """
    (number,) = connection.execute(
        "SELECT room FROM room WHERE room_id = ?", (room.room_id,)
    ).fetchone()
    head_seq = 0
    for append in appends:
        fault = fault_of(append)
        if fault is not None:
            raise ValueError(fault)
        if (append.room_id, append.epoch) != (room.room_id, room.epoch):
            raise ValueError(f"the append at seq {append.from_seq} is of another room or epoch")
        if append.from_seq != head_seq + 1:
            raise ValueError(f"seq {append.from_seq} does not follow {head_seq}")
        admission = admission_values(append, number, next_admission, room.lineage)
        connection.execute(INSERT_ADMISSION + placeholders(ADMISSION_COLUMNS, 1), admission)
        log = log_values(append, number, next_admission)
        connection.execute(INSERT_LOG + placeholders(LOG_COLUMNS, 1), log)
        next_admission += 1
        head_seq = append.to_seq
    connection.execute("UPDATE room SET head_seq = ? WHERE room = ?", (head_seq, number))
    insert_window(connection, number, msgspec.structs.replace(window, head_seq=head_seq))
    stored = StoredRoom(room.room_id, room.lineage, room.epoch, head_seq, room.created_ms)
    return stored, next_admission
