"""Reading a room's log: which history to ask for, and what may be taken next."""

from __future__ import annotations

from enum import Enum
from typing import Final, final

from roomlog.core.node import NodeHasher
from roomlog.core.pack import decode_pack
from roomlog.core.reject import Reject, RejectClass
from roomlog.protocol.client_events import CaughtUp, Fault, Received, ServerFault, broken
from roomlog.protocol.messages import After, Cursor, Pack, Request, RequestEnd, Welcome
from roomlog.protocol.reading_position import ReadingPosition

PAGE_NODES: Final = 512
"""Nodes asked for in one pack of history: what a client merges without leaving its loop."""

MOST_RESTARTS: Final = 16
"""How often a reader asks again without getting any further before it gives the server up."""


class ReadingMode(Enum):
    """How a reader is being fed."""

    FEEDING = "reading the log"
    WALKING = "reading what its frontier lacks"
    LIVE = "live"


@final
class LogReader:
    """One session's way through the log, from its welcome on.

    `requests` fills with what to send; whoever calls takes it away.
    """

    def __init__(
        self, welcome: Welcome, cursor: Cursor | None, frontier: list[bytes], pack_nodes: int
    ) -> None:
        self.mode = ReadingMode.LIVE
        self.position = ReadingPosition(0, None)
        self.requests: list[Request] = []
        self._hasher = NodeHasher(welcome.lineage)
        self._epoch = welcome.epoch
        self._pack_nodes = pack_nodes
        self._ref = ""
        self._ref_count = 0
        self._resume_seq = 0
        self._restarts = 0
        self._restart_seq = -1
        self.catch_up = self._begin(welcome, cursor, frontier)
        """How it really catches up: none, cursor or walk."""

    @property
    def is_live(self) -> bool:
        """Whether everything asked for has come."""
        return self.mode is ReadingMode.LIVE

    @property
    def cursor(self) -> Cursor | None:
        """Up to where everything is held; None while the node there has no name."""
        if self.position.id is None:
            return None
        return Cursor(epoch=self._epoch, seq=self.position.seq, id=self.position.id)

    def awaits(self, ref: str) -> bool:
        """Whether `ref` is the request that has no end yet."""
        return ref == self._ref and not self.is_live

    def _begin(self, welcome: Welcome, cursor: Cursor | None, frontier: list[bytes]) -> str:
        if cursor is not None and (cursor.epoch != welcome.epoch or cursor.seq > welcome.seq):
            cursor = None
        if cursor is not None and welcome.catch_up in ("none", "cursor"):
            self.position = ReadingPosition(cursor.seq, cursor.id)
            if cursor.seq == welcome.seq:
                return "none"
            self._ask_after(cursor.seq)
            return "cursor"
        if welcome.seq == 0:
            return "none"
        if frontier:
            self._resume_seq = welcome.seq - 1
            self.mode = ReadingMode.WALKING
            self.requests.append(Request(ref=self._next_ref(), frontier=frontier, page=PAGE_NODES))
            return "walk"
        self._ask_after(0)
        return "cursor"

    def _ask_after(self, seq: int) -> None:
        self.mode = ReadingMode.FEEDING
        after = After(epoch=self._epoch, seq=seq)
        self.requests.append(Request(ref=self._next_ref(), after=after, page=PAGE_NODES))

    def _next_ref(self) -> str:
        self._ref_count += 1
        self._ref = f"r{self._ref_count}"
        return self._ref

    def take(self, pack: Pack) -> Received | None:
        """A pack of the log; None when it is passed over, because it will come again.

        Raises `ServerFault`.
        """
        if pack.lineage != self._hasher.lineage:
            raise ServerFault(
                Fault.PROTOCOL, Reject(RejectClass.LINEAGE_MISMATCH, "a pack of another lineage")
            )
        answers = pack.ref is not None and self.awaits(pack.ref)
        is_walk = self.mode is ReadingMode.WALKING
        if is_walk and not answers:
            # After the walk the log is read from its resume point.
            return None
        if pack.from_seq < 1 or pack.to_seq < pack.from_seq:
            raise broken("pack", f"seq from {pack.from_seq} to {pack.to_seq}")
        if not is_walk and not self.position.continues_at(pack.from_seq):
            if self.is_live:
                self._ask_again(pack.from_seq)
            return None
        try:
            nodes = decode_pack(pack.nodes, self._hasher, max_nodes=self._pack_nodes)
        except Reject as reject:
            raise ServerFault(Fault.PROTOCOL, reject) from None
        if len(nodes) != pack.to_seq - pack.from_seq + 1:
            raise broken("pack", f"{len(nodes)} nodes for {pack.from_seq}..{pack.to_seq}")
        if not is_walk:
            self.position.hold(pack.from_seq, pack.to_seq, nodes[-1].id)
        return Received(
            nodes=nodes,
            pack=pack.nodes,
            from_seq=pack.from_seq,
            to_seq=pack.to_seq,
            is_live=not answers,
        )

    def _ask_again(self, next_seq: int) -> None:
        """Something was left out between the position and `next_seq`: read from there again."""
        if self._restart_seq != self.position.seq:
            self._restart_seq = self.position.seq
            self._restarts = 0
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            raise broken("pack", f"at {next_seq}, but nothing follows {self.position.seq}")
        self._ask_after(self.position.seq)

    def end(self, end: RequestEnd) -> CaughtUp | None:
        """A request was answered in full. Raises `ServerFault`."""
        if end.ref is None or not self.awaits(end.ref):
            return None
        if self.mode is ReadingMode.WALKING:
            # Reading the last node again names it, and brings what was relayed meanwhile.
            self.position = ReadingPosition(self._resume_seq, None)
            self._ask_after(self._resume_seq)
            return None
        if end.seq > self.position.seq:
            self._ask_again(end.seq)
            return None
        self.mode = ReadingMode.LIVE
        return CaughtUp(self.position.seq)
