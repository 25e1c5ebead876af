"""The requests of one session: which are acceptable, and how many wait for their answer."""

from __future__ import annotations

from typing import Final, final

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.effects import Read, ReadAfter, ReadMissing, ReadNodes
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.messages import After, Request
from roomlog.protocol.pushed_packs import ProtocolMisuse
from roomlog.protocol.room_facts import RoomFacts

DEFAULT_PAGE_NODES: Final = 1024


def field_reject(field: str, reason: str) -> Reject:
    """The refusal (invalid_field) of one field."""
    return Reject(
        RejectClass.INVALID_FIELD, f"{field}: {reason}", {"field": field, "reason": reason}
    )


@final
class Requests:
    """At most one `after` at a time, and a bounded number in all."""

    __slots__ = ("_is_feeding", "_limits", "_unanswered")

    def __init__(self, limits: SessionLimits) -> None:
        self._limits = limits
        self._is_feeding = False
        self._unanswered = 0

    def accept(self, message: Request, room: RoomFacts, most_nodes: int) -> Read:
        """What to read for `message`, in pages of at most `most_nodes`.

        Raises `Reject`: invalid_field, queue_full, epoch_unknown.
        """
        if sum(each is not None for each in (message.after, message.frontier, message.ids)) != 1:
            raise field_reject("request", "exactly one of after, frontier, ids")
        if self._unanswered >= self._limits.queued_requests:
            raise Reject(RejectClass.QUEUE_FULL, "too many requests without an answer")
        page_nodes = min(message.page or DEFAULT_PAGE_NODES, most_nodes)
        read: Read
        if message.after is not None:
            self._check_after(message.after, room)
            self._is_feeding = True
            read = ReadAfter(message.after.seq, page_nodes, message.ref)
        elif message.frontier is not None:
            self._check_ids("frontier", message.frontier)
            read = ReadMissing(tuple(message.frontier), page_nodes, message.ref)
        else:
            ids = message.ids or []
            self._check_ids("ids", ids)
            read = ReadNodes(tuple(ids), page_nodes, message.ref)
        self._unanswered += 1
        return read

    def finish(self, read: Read) -> None:
        """`read` has its answer. Raises `ProtocolMisuse` when nothing waits for one."""
        if self._unanswered == 0:
            raise ProtocolMisuse("no request waits for an answer")
        self._unanswered -= 1
        if isinstance(read, ReadAfter):
            self._is_feeding = False

    def _check_after(self, after: After, room: RoomFacts) -> None:
        if after.epoch != room.epoch:
            raise Reject(RejectClass.EPOCH_UNKNOWN, "the log has another epoch")
        if after.seq > room.head_seq:
            raise field_reject("after.seq", "beyond the head of the log")
        if self._is_feeding:
            raise Reject(RejectClass.QUEUE_FULL, "another request {after} has no answer yet")

    def _check_ids(self, field: str, ids: list[bytes]) -> None:
        if len(ids) > self._limits.frontier_ids:
            raise field_reject(field, f"more than {self._limits.frontier_ids} ids")
