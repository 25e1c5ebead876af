"""Rows of the log and of the admission records: how an append becomes them."""

from __future__ import annotations

from typing import Final

from roomlog.store.append_check import head_bytes_of
from roomlog.store.interface import Append
from roomlog.store.sqlite.checksums import (
    admission_checksum,
    index_checksum,
    tail_checksum,
)

LOG_COLUMNS: Final = 9
ADMISSION_COLUMNS: Final = 11
INSERT_LOG: Final = (
    "INSERT INTO log (room, from_seq, to_seq, admission, index_checksum, tail_checksum, "
    "head, ids, tail) VALUES "
)
INSERT_ADMISSION: Final = (
    "INSERT INTO admission (admission, room, epoch, from_seq, to_seq, admitted_ms, submitter, "
    "policy_head, lineage, reinstated, checksum) VALUES "
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
        index_checksum(head, append.ids),
        tail_checksum(tail),
        head,
        append.ids,
        tail,
    )


def admission_values(
    append: Append, room: int, admission: int, lineage: bytes
) -> tuple[object, ...]:
    """The columns of `admission`; `lineage` is the room's."""
    if append.lineage is not None:
        lineage = append.lineage
    reinstated = int(append.reinstated)
    return (
        admission,
        room,
        append.epoch,
        append.from_seq,
        append.to_seq,
        append.admitted_ms,
        append.submitter,
        append.policy_head,
        lineage,
        reinstated,
        admission_checksum(
            (room, append.from_seq, append.to_seq, append.admitted_ms, reinstated),
            (append.epoch, append.submitter, lineage),
            append.policy_head,
        ),
    )
