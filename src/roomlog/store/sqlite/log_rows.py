"""Rows of the log: how an append becomes one, and how one is checked when it is read."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from roomlog.store.append_check import head_bytes_of
from roomlog.store.errors import StoreCorrupt
from roomlog.store.interface import Append

LOG_COLUMNS: Final = 9
ADMISSION_COLUMNS: Final = 10
INSERT_LOG: Final = (
    "INSERT INTO log (room, from_seq, to_seq, admission, index_checksum, tail_checksum, "
    "head, ids, tail) VALUES "
)
INSERT_ADMISSION: Final = (
    "INSERT INTO admission (admission, room, epoch, from_seq, to_seq, admitted_ms, submitter, "
    "policy_head, lineage, reinstated) VALUES "
)


def placeholders(columns: int, rows: int) -> str:
    """`(?, ?), (?, ?)` for a statement that inserts several rows in one step."""
    return ", ".join([f"({', '.join('?' * columns)})"] * rows)


def log_values(append: Append, room: int, admission: int) -> tuple[object, ...]:
    """The columns of `log` for an append whose shape was checked."""
    end = head_bytes_of(append.pack)
    head, tail = append.pack[:end], append.pack[end:]
    return (
        room,
        append.from_seq,
        append.to_seq,
        admission,
        crc32(append.ids, crc32(head)),
        crc32(tail),
        head,
        append.ids,
        tail,
    )


def admission_values(
    append: Append, room: int, admission: int, lineage: bytes
) -> tuple[object, ...]:
    """The columns of `admission`; `lineage` is the room's."""
    return (
        admission,
        room,
        append.epoch,
        append.from_seq,
        append.to_seq,
        append.admitted_ms,
        append.submitter,
        append.policy_head,
        append.lineage if append.lineage is not None else lineage,
        int(append.reinstated),
    )


def check_index(room_id: str, from_seq: int, checksum: int, head: bytes, ids: bytes) -> None:
    """Raise `StoreCorrupt` if head or ids are not what was written."""
    if crc32(ids, crc32(head)) != checksum:
        raise StoreCorrupt(room_id, f"headers or ids at seq {from_seq} fail their checksum")


def check_tail(room_id: str, from_seq: int, checksum: int, tail: bytes) -> None:
    """Raise `StoreCorrupt` if signatures or bodies are not what was written."""
    if crc32(tail) != checksum:
        raise StoreCorrupt(room_id, f"signatures or bodies at seq {from_seq} fail their checksum")
