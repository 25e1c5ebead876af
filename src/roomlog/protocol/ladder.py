"""The reconnect ladder: how a client's past relates to the log (the table in `sync.md`).

Each rung costs what is missing, not what exists, and needs what both sides have; where a
capability is missing the next rung below it is there.
"""

from __future__ import annotations

from roomlog.protocol.capabilities import Offer
from roomlog.protocol.messages import Cursor, Hello
from roomlog.protocol.room_facts import RoomFacts


def _fits(cursor: Cursor, frontier: list[bytes], room: RoomFacts) -> bool:
    """Whether the client holds just what the log has at and below its cursor.

    A raw copy of a log that was put back and went on has the same epoch, and may even have the same
    node at the same seq, with others below it. Who holds everything up to its cursor holds `seq`
    nodes there. If those are not the first `seq` of this log, one of them is unknown here or came
    later, and so is a head that stands on it.
    """
    seq = cursor.seq
    if cursor.epoch != room.epoch or seq > room.head_seq:
        return False
    if seq > 0 and room.id_at(seq) != cursor.id:
        return False
    return all(1 <= room.seq_of(head) <= seq for head in frontier)


def catch_up_of(hello: Hello, room: RoomFacts, caps: Offer, *, is_subscribed: bool) -> str:
    """What the client of `hello` is told to request next, of `welcome.catch_up`.

    `caps` are those both sides have; `is_subscribed` says that the session has patterns in force,
    for which a snapshot, being whole, is not made.
    """
    head = room.head_seq
    cursor = hello.cursor if "cursor_resume" in caps else None
    if cursor is not None and _fits(cursor, hello.frontier, room):
        return "none" if cursor.seq == head else "cursor"
    if head == 0 and not hello.frontier:
        return "none"
    if cursor is not None and cursor.seq > 0 and "log_cut" in caps:
        return "cut"
    if hello.frontier:
        return "walk"
    is_new = hello.cursor is None and not is_subscribed
    if is_new and "snapshot_join" in caps and room.snapshot_seq > 0:
        return "snapshot"
    return "cursor"
