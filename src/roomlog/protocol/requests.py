"""The requests of one session: which are acceptable, and how many wait for their answer."""

from __future__ import annotations

from typing import Final, final

from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.capabilities import Offer
from roomlog.protocol.effects import (
    Read,
    ReadAfter,
    ReadBefore,
    ReadBodies,
    ReadHash,
    ReadMissing,
    ReadNodes,
    ReadSnapshot,
)
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.log_cut import cut_of
from roomlog.protocol.message_cost import REQUEST_KINDS, kinds_of
from roomlog.protocol.messages import After, Request, RequestEnd, Subscribe
from roomlog.protocol.pushed_packs import ProtocolMisuse
from roomlog.protocol.refusals import field_reject, not_negotiated, queue_full
from roomlog.protocol.room_facts import RoomFacts
from roomlog.protocol.subscription_list import accepted_patterns

DEFAULT_PAGE_NODES: Final = 1024


@final
class Requests:
    """A bounded number of unanswered requests; one each of those that exclude themselves.

    `caps` are those both sides have, `most_nodes` is the longest pack of an answer, `patterns` are
    the subscription the session begins with, () for everything.
    """

    __slots__ = ("_caps", "_limits", "_most_nodes", "_room", "_switched", "_waiting", "patterns")

    def __init__(
        self,
        limits: SessionLimits,
        room: RoomFacts,
        *,
        caps: Offer,
        most_nodes: int,
        patterns: tuple[str, ...],
    ) -> None:
        self.patterns = patterns
        """The subscription in force: ascending, each once, () for everything."""
        self._limits = limits
        self._room = room
        self._caps = caps
        self._most_nodes = most_nodes
        self._waiting: list[Read] = []
        self._switched: ReadBodies | None = None

    def accept(self, message: Request) -> Read | RequestEnd:
        """What to read for `message`, or its answer if that is at hand.

        Raises `Reject`: invalid_field, not_negotiated, queue_full, epoch_unknown,
        checkpoint_not_found, subscription_invalid.
        """
        kinds = kinds_of(message)
        if len(kinds) != 1:
            raise field_reject("request", f"exactly one of {', '.join(REQUEST_KINDS)}")
        if message.stop_at_unknown and message.frontier is None:
            raise field_reject("stop_at_unknown", "only with frontier")
        if message.have is not None:
            self._need("log_cut")
            cut = cut_of(message.have, self._room, self._limits.have_pairs)
            return RequestEnd(ref=message.ref, seq=self._room.head_seq, cut=cut)
        if message.frontier is not None:
            self._check_ids("frontier", message.frontier)
            if message.stop_at_unknown:
                unknown = self._unknown(message.frontier)
                if unknown:
                    return RequestEnd(ref=message.ref, seq=self._room.head_seq, unknown=unknown)
        read = self._read(message)
        self._wait_for(read)
        return read

    def subscribe(self, message: Subscribe) -> ReadBodies:
        """The change from the patterns in force to those of `message`.

        Raises `Reject`: not_negotiated, subscription_invalid, queue_full.
        """
        self._need("header_only_nodes")
        patterns = accepted_patterns(message.patterns, self._limits)
        if self._has(ReadBodies):
            raise queue_full("another subscribe has no answer yet")
        page_nodes = min(DEFAULT_PAGE_NODES, self._most_nodes)
        read = ReadBodies(patterns, self.patterns, page_nodes, message.ref)
        self._wait_for(read)
        return read

    def subscribed(self, read: ReadBodies) -> None:
        """The patterns of `read` are in force. Raises `ProtocolMisuse` if nobody asked."""
        if read not in self._waiting or self._switched is not None:
            raise ProtocolMisuse("no subscription waits for its patterns")
        self._switched = read
        self.patterns = read.patterns

    def finish(self, read: Read) -> None:
        """`read` has its answer. Raises `ProtocolMisuse` when it does not wait for one."""
        if isinstance(read, ReadBodies) and self._switched is None:
            raise ProtocolMisuse("a subscription ends after its patterns are in force")
        self.fail(read)

    def fail(self, read: Read) -> bool:
        """`read` gets no answer; whether the session can go on as it was before.

        It cannot when the patterns are in force already, but not all bodies they stand for came:
        then neither side could say what the client has.
        """
        if read not in self._waiting:
            raise ProtocolMisuse("no such request waits for an answer")
        self._waiting.remove(read)
        is_half_done = isinstance(read, ReadBodies) and self._switched is not None
        if isinstance(read, ReadBodies):
            self._switched = None
        return not is_half_done

    def _read(self, message: Request) -> Read:
        ref = message.ref
        page_nodes = min(message.page or DEFAULT_PAGE_NODES, self._most_nodes)
        signatures = message.signatures or "unsigned_bulk" not in self._caps
        if message.after is not None:
            self._check_place("after", message.after, self._room.head_seq)
            self._check_not_feeding()
            return ReadAfter(message.after.seq, page_nodes, ref, signatures)
        if message.before is not None:
            self._check_place("before", message.before, self._room.head_seq + 1)
            return ReadBefore(message.before.seq, page_nodes, ref, signatures)
        if message.frontier is not None:
            return ReadMissing(tuple(message.frontier), page_nodes, ref, signatures)
        if message.ids is not None:
            self._check_ids("ids", message.ids)
            return ReadNodes(tuple(message.ids), page_nodes, ref)
        if message.snapshot:
            self._need("snapshot_join")
            self._check_not_feeding()
            if self.patterns:
                raise _no_snapshot("a snapshot is whole, and this session is not")
            if self._room.snapshot_seq == 0:
                raise _no_snapshot("the room has no usable snapshot")
            return ReadSnapshot(page_nodes, ref, signatures)
        assert message.hash is not None
        patterns = accepted_patterns(message.hash.patterns, self._limits)
        if self._has(ReadHash):
            raise queue_full("another request {hash} has no answer yet")
        return ReadHash(patterns, ref)

    def _wait_for(self, read: Read) -> None:
        if len(self._waiting) >= self._limits.queued_requests:
            raise queue_full("too many requests without an answer")
        self._waiting.append(read)

    def _has(self, *kinds: type[Read]) -> bool:
        return any(isinstance(each, kinds) for each in self._waiting)

    def _need(self, capability: str) -> None:
        if capability not in self._caps:
            raise not_negotiated(capability)

    def _unknown(self, ids: list[bytes]) -> list[int]:
        return [index for index, node_id in enumerate(ids) if not self._room.knows(node_id)]

    def _check_place(self, field: str, place: After, most_seq: int) -> None:
        if place.epoch != self._room.epoch:
            raise Reject(RejectClass.EPOCH_UNKNOWN, "the log has another epoch")
        if place.seq > most_seq:
            raise field_reject(f"{field}.seq", "beyond the head of the log")

    def _check_not_feeding(self) -> None:
        if self._has(ReadAfter, ReadSnapshot):
            raise queue_full("another request {after} or {snapshot} has no answer yet")

    def _check_ids(self, field: str, ids: list[bytes]) -> None:
        if len(ids) > self._limits.frontier_ids:
            raise field_reject(field, f"more than {self._limits.frontier_ids} ids")


def _no_snapshot(reason: str) -> Reject:
    return Reject(RejectClass.CHECKPOINT_NOT_FOUND, reason)
