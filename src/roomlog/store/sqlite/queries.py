"""What is asked of the database, and what an answer must be to be believed.

Each function reads a bounded amount through one connection and raises `StoreCorrupt` for rows that
are missing, overlap or fail their checksum. It runs inside `Readers.run`, which says the same of
values of a wrong type.
"""

from __future__ import annotations

from typing import Any, Final

from roomlog.store.errors import StoreCorrupt
from roomlog.store.interface import NODE_ID_BYTES, AdmissionRecord, IndexRow, LogRow, StoredRoom
from roomlog.store.sqlite.checksums import (
    admission_checksum,
    check,
    index_checksum,
    room_checksum,
    tail_checksum,
)
from roomlog.store.sqlite.connection import Connection

PAGE_ROWS: Final = 2_048
SELECT_ROOM: Final = (
    "SELECT room, room_id, lineage, epoch, head_seq, created_ms, checksum FROM room "
    "WHERE room_id = ?"
)
SELECT_ROOMS: Final = (
    "SELECT room_id, lineage, epoch, head_seq, created_ms, checksum FROM room ORDER BY room_id"
)
SELECT_INDEX: Final = """
    SELECT from_seq, to_seq, index_checksum, head, ids FROM log
    WHERE room = ?1 AND from_seq BETWEEN ?2 AND ?3 ORDER BY from_seq LIMIT ?4
"""
# From the row that holds seq ?2, which is the last one that starts at or before it.
SELECT_LOG: Final = """
    SELECT from_seq, to_seq, index_checksum, tail_checksum, head, ids, tail FROM log
    WHERE room = ?1 AND from_seq >=
        coalesce((SELECT max(from_seq) FROM log WHERE room = ?1 AND from_seq <= ?2), ?2)
    ORDER BY from_seq
"""
SELECT_ADMISSIONS: Final = """
    SELECT log.from_seq, log.to_seq, a.epoch, a.from_seq, a.to_seq, a.admitted_ms, a.submitter,
        a.policy_head, a.lineage, a.reinstated, a.checksum
    FROM log LEFT JOIN admission AS a ON a.admission = log.admission
    WHERE log.room = ?1 AND log.from_seq >=
        coalesce((SELECT max(from_seq) FROM log WHERE room = ?1 AND from_seq <= ?2), ?2)
        AND log.to_seq >= ?2
    ORDER BY log.from_seq LIMIT ?3
"""


def read_rooms(connection: Connection) -> list[StoredRoom]:
    """Every room, ascending by room id."""
    rows = connection.execute(SELECT_ROOMS).fetchall()
    return [_stored_room(str(row[0]), row) for row in rows]


def find_room(connection: Connection, room_id: str) -> tuple[int, StoredRoom] | None:
    """The room and its number in the database, None when it was never created."""
    row = connection.execute(SELECT_ROOM, (room_id,)).fetchone()
    return (row[0], _stored_room(room_id, row[1:])) if row is not None else None


def read_index(
    connection: Connection, room_id: str, room: int, seq: int, head_seq: int
) -> list[IndexRow]:
    """A page of the index from `seq` on, never empty, never beyond `head_seq`."""
    page: list[IndexRow] = []
    rows = connection.execute(SELECT_INDEX, (room, seq, head_seq, PAGE_ROWS)).fetchall()
    for from_seq, to_seq, written, head, ids in rows:
        _check_seq(room_id, seq, from_seq, to_seq, ids)
        check(room_id, f"headers and ids at seq {seq}", index_checksum(head, ids), written)
        page.append(IndexRow(from_seq, to_seq, ids, head))
        seq = to_seq + 1
    if len(rows) < PAGE_ROWS and seq != head_seq + 1:
        raise StoreCorrupt(room_id, f"the log ends at {seq - 1}, not at its head {head_seq}")
    return page


def read_packs(
    connection: Connection, room_id: str, room: int, seq: int, *, max_nodes: int, max_bytes: int
) -> list[LogRow]:
    """Whole packs from the one that holds `seq` on, at least that one."""
    page: list[LogRow] = []
    nodes = size_bytes = 0
    cursor = connection.execute(SELECT_LOG, (room, seq))
    while (row := cursor.fetchone()) is not None:
        from_seq, to_seq, index_written, tail_written, head, ids, tail = row
        nodes += to_seq - from_seq + 1
        size_bytes += len(head) + len(tail)
        if page and (nodes > max_nodes or size_bytes > max_bytes):
            break
        _check_seq(room_id, page[-1].to_seq + 1 if page else from_seq, from_seq, to_seq, ids)
        check(
            room_id, f"headers and ids at seq {from_seq}", index_checksum(head, ids), index_written
        )
        check(
            room_id, f"signatures and bodies at seq {from_seq}", tail_checksum(tail), tail_written
        )
        page.append(LogRow(from_seq, to_seq, head + tail))
    cursor.close()
    if not page or not page[0].from_seq <= seq <= page[0].to_seq:
        raise StoreCorrupt(room_id, f"seq {seq} is missing from the log")
    return page


def read_admissions(
    connection: Connection, room_id: str, room: int, seq: int, max_records: int
) -> list[AdmissionRecord]:
    """Records from the one of `seq` on, at least that one."""
    page: list[AdmissionRecord] = []
    rows = connection.execute(
        SELECT_ADMISSIONS, (room, seq, min(max_records, PAGE_ROWS))
    ).fetchall()
    for first, last, *record in rows:
        epoch, from_seq, to_seq, admitted_ms, submitter, policy_head, lineage, again, written = (
            record
        )
        if (from_seq, to_seq) != (first, last) or (page and first != page[-1].to_seq + 1):
            raise StoreCorrupt(room_id, f"the admission records are not contiguous at {first}")
        found = admission_checksum(
            (room, from_seq, to_seq, admitted_ms, again), (epoch, submitter, lineage), policy_head
        )
        check(room_id, f"the admission record of seq {from_seq}", found, written)
        page.append(
            AdmissionRecord(
                epoch, from_seq, to_seq, admitted_ms, submitter, policy_head, lineage, bool(again)
            )
        )
    if not page or not page[0].from_seq <= seq <= page[0].to_seq:
        raise StoreCorrupt(room_id, f"seq {seq} has no admission record")
    return page


def _stored_room(asked_id: str, row: tuple[Any, ...]) -> StoredRoom:
    room_id, lineage, epoch, head_seq, created_ms, written = row
    if not isinstance(head_seq, int) or head_seq < 0:
        # The only value that no checksum covers: it changes with every append.
        raise StoreCorrupt(asked_id, f"no head of a log: {head_seq!r}")
    found = room_checksum(asked_id, lineage, epoch, created_ms)
    check(asked_id, "lineage and epoch", found, written)
    return StoredRoom(room_id, lineage, epoch, head_seq, created_ms)


def _check_seq(room_id: str, expected: int, from_seq: int, to_seq: int, ids: bytes) -> None:
    if from_seq != expected or len(ids) != (to_seq - from_seq + 1) * NODE_ID_BYTES:
        raise StoreCorrupt(room_id, f"expected seq {expected}, found {from_seq}..{to_seq}")
