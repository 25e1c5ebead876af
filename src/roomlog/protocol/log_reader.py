"""Reading a room's log: which history to ask for, and what may be taken next.

The rungs of the ladder: nothing, from the cursor, from where the logs part (`cut_search.py`), what
the heads lack (`frontier_walk.py`), from a snapshot (`snapshot_reader.py`), everything.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, final

from roomlog.core.reject import Reject, RejectClass, RejectKind
from roomlog.protocol.capabilities import Offer
from roomlog.protocol.client_events import (
    CatchUpChanged,
    CaughtUp,
    ClientEvent,
    CutFound,
    Fault,
    Received,
    ServerFault,
    WalkFound,
    broken,
)
from roomlog.protocol.cut_check import CutCheck
from roomlog.protocol.cut_search import CutSearch
from roomlog.protocol.frontier_walk import FrontierWalk
from roomlog.protocol.held_log import Past
from roomlog.protocol.messages import (
    After,
    Cursor,
    Error,
    Pack,
    Request,
    RequestEnd,
    Snapshot,
    Welcome,
)
from roomlog.protocol.pack_answer import kind_of
from roomlog.protocol.reading_position import ReadingPosition
from roomlog.protocol.received_pack import PackOpener
from roomlog.protocol.snapshot_reader import SnapshotReader

PAGE_NODES: Final = 512
"""Nodes asked for in one pack of history: what a client merges without leaving its loop."""

MOST_RESTARTS: Final = 16
"""How often a reader asks again without getting any further before it gives the server up."""

MOST_APART: Final = 1024
"""Logs that part further back than this may be the same nodes in another order: a walk tells."""


class ReadingMode(Enum):
    """How a reader is being fed."""

    CUTTING = "looking for where the logs part"
    WALKING = "looking for what its frontier lacks, or reading it"
    JOINING = "reading a snapshot"
    FEEDING = "reading the log"
    LIVE = "live"


@final
class LogReader:
    """One session's way through the log, from its welcome on.

    `requests` fills with what to send; whoever calls takes it away.
    """

    def __init__(
        self,
        welcome: Welcome,
        past: Past,
        opener: PackOpener,
        *,
        caps: Offer,
        wants_snapshot: bool,
        allows_unsigned: bool,
        spaced_pairs: int,
        frontier_ids: int,
    ) -> None:
        self.mode = ReadingMode.LIVE
        self.position = ReadingPosition(0, None)
        self.requests: list[Request] = []
        self.opener = opener
        self._epoch = welcome.epoch
        self._head_seq = welcome.seq
        self._allows_unsigned = allows_unsigned
        self._frontier_ids = frontier_ids
        self._past = past
        self._cut: CutSearch | None = None
        self._check: CutCheck | None = None
        self._heads = welcome.frontier
        self._can_search = "log_cut" in caps
        self._walk: FrontierWalk | None = None
        self._told_unknown = welcome.unknown if welcome.catch_up == "walk" else []
        self._has_walked = False
        self._snapshot: SnapshotReader | None = None
        self._has_passed_over = False
        self._ref = ""
        self._ref_count = 0
        self._restarts = 0
        self._restart_seq = -1
        self.catch_up = self._begin(
            welcome.catch_up,
            past.cursor if "cursor_resume" in caps else None,
            can_join=wants_snapshot and "snapshot_join" in caps,
            spaced_pairs=spaced_pairs,
        )
        """How it begins to catch up: none, cursor, cut, walk or snapshot."""

    @property
    def is_live(self) -> bool:
        """Whether everything asked for has come."""
        return self.mode is ReadingMode.LIVE

    @property
    def cursor(self) -> Cursor | None:
        """Up to where everything is held; None while the node there has no name.

        None as well behind a cut that is not proven yet: the next session would be believed that
        everything below is held.
        """
        if self.position.id is None or self._check is not None:
            return None
        return Cursor(epoch=self._epoch, seq=self.position.seq, id=self.position.id)

    def awaits(self, ref: str) -> bool:
        """Whether `ref` is the request that has no end yet."""
        return ref == self._ref and not self.is_live

    # the ladder

    def _begin(
        self,
        offered: str,
        cursor: Cursor | None,
        *,
        can_join: bool,
        spaced_pairs: int,
    ) -> str:
        fits = cursor is not None and cursor.epoch == self._epoch and cursor.seq <= self._head_seq
        if cursor is not None and fits and offered in ("none", "cursor"):
            self.position = ReadingPosition(cursor.seq, cursor.id)
            if cursor.seq == self._head_seq:
                return "none"
            self._ask_after(cursor.seq)
            return "cursor"
        if self._head_seq == 0:
            return "none"
        held = self._past.held
        is_cut = offered == "cut" and self._can_search
        if is_cut and held is not None and cursor is not None and cursor.seq > 0:
            top_seq = min(cursor.seq, self._head_seq)
            search = CutSearch(held.id_at, top_seq, spaced_pairs=spaced_pairs)
            if search.pairs():
                self._cut = search
                self._ask_cut(search)
                return "cut"
        if offered == "snapshot" and can_join and cursor is None and not self._past.frontier:
            self._join()
            return "snapshot"
        return self._walk_or_read_all()

    def _walk_or_read_all(self) -> str:
        # Whatever was read behind a cut that did not hold: nothing is held for certain.
        self.position.restart(0, None)
        if not self._past.frontier:
            self._ask_after(0)
            return "cursor"
        ids = self._past.frontier[: self._frontier_ids]
        if self._can_search:
            held = self._past.held
            graph = None if held is None else held.graph
            self._walk = FrontierWalk(self._past.frontier, graph, self._frontier_ids)
            ids = self._walk.ids()
            told, self._told_unknown = self._told_unknown, []
            if told:
                # The welcome answered the first question before it was asked.
                self._walk.learn(told)
                ids = self._walk.ids()
                if not ids:
                    self._walk = FrontierWalk(self._past.frontier, graph, self._frontier_ids)
                    ids = self._walk.ids()
        self._ask_frontier(ids)
        return "walk"

    def _ask_cut(self, search: CutSearch) -> None:
        self.mode = ReadingMode.CUTTING
        self.requests.append(Request(ref=self._next_ref(), have=search.pairs()))

    def _ask_frontier(self, ids: list[bytes]) -> None:
        self.mode = ReadingMode.WALKING
        self._has_walked = False
        request = Request(
            ref=self._next_ref(),
            frontier=ids,
            stop_at_unknown=self._can_search,
            page=PAGE_NODES,
            signatures=not self._allows_unsigned,
        )
        self.requests.append(request)

    def _join(self) -> None:
        self.mode = ReadingMode.JOINING
        self._snapshot = SnapshotReader()
        request = Request(
            ref=self._next_ref(),
            snapshot=True,
            page=PAGE_NODES,
            signatures=not self._allows_unsigned,
        )
        self.requests.append(request)

    def _ask_after(self, seq: int) -> None:
        self.mode = ReadingMode.FEEDING
        request = Request(
            ref=self._next_ref(),
            after=After(epoch=self._epoch, seq=seq),
            page=PAGE_NODES,
            signatures=not self._allows_unsigned,
        )
        self.requests.append(request)

    def _next_ref(self) -> str:
        self._ref_count += 1
        self._ref = f"r{self._ref_count}"
        return self._ref

    # what comes

    def take(self, pack: Pack) -> list[ClientEvent]:
        """A checked pack of the log; no event when it is passed over, as it will come again.

        Raises `ServerFault`.
        """
        answers = pack.ref is not None and self.awaits(pack.ref)
        is_walk = self.mode is ReadingMode.WALKING
        if is_walk or self.mode in (ReadingMode.CUTTING, ReadingMode.JOINING):
            if not answers:
                # Afterwards the log is read from a place below it.
                self._has_passed_over = True
                return []
            if not is_walk:
                raise broken("pack", "in place of where the logs part, or of a snapshot")
        elif not self.position.continues_at(pack.from_seq):
            if self.is_live:
                self._ask_again(pack.from_seq)
            return []
        opened = self.opener.open(pack, may_be_unsigned=answers and self._allows_unsigned)
        if is_walk:
            self._has_walked = True
        elif self._check is not None and not self._check.takes(opened.nodes):
            # Its answer goes on for a while; then the rung below is taken.
            return []
        else:
            self.position.hold(pack.from_seq, pack.to_seq, opened.nodes[-1].id)
        received = Received(
            nodes=opened.nodes,
            pack=pack.nodes,
            from_seq=pack.from_seq,
            to_seq=pack.to_seq,
            is_live=not answers,
            is_signed=opened.is_signed,
            has_bodies=opened.has_bodies,
        )
        return [received]

    def _ask_again(self, next_seq: int, from_seq: int | None = None) -> None:
        """Something was left out between the position and `next_seq`: read from there again."""
        if self._restart_seq != self.position.seq:
            self._restart_seq = self.position.seq
            self._restarts = 0
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            raise broken("pack", f"at {next_seq}, but nothing follows {self.position.seq}")
        self._ask_after(self.position.seq if from_seq is None else from_seq)

    def take_chunk(self, chunk: Snapshot) -> list[ClientEvent]:
        """A chunk of the snapshot asked for. Raises `ServerFault`."""
        if chunk.ref is None or not self.awaits(chunk.ref) or self._snapshot is None:
            raise broken("snapshot", "nobody asked for it")
        received = self._snapshot.take(chunk)
        if received is None:
            return []
        self._snapshot = None
        self.mode = ReadingMode.FEEDING
        heads = self.opener.decode(received.frontier_pack)
        if not heads:
            raise broken("snapshot", "without heads")
        # Which of several heads is the node at its seq is not known: they come in the order of ids.
        self.position.restart(received.seq, heads[0].id if len(heads) == 1 else None)
        return [received]

    def end(self, end: RequestEnd) -> list[ClientEvent]:
        """A request was answered in full. Raises `ServerFault`."""
        if end.ref is None or not self.awaits(end.ref):
            return []
        if self.mode is ReadingMode.CUTTING:
            return self._end_cut(end)
        if self.mode is ReadingMode.WALKING:
            return self._end_walk(end)
        if self.mode is ReadingMode.JOINING:
            raise broken("request-end", "before the snapshot was there")
        if end.seq > self.position.seq and not (self._check and self._check.is_broken):
            self._ask_again(end.seq)
            return []
        if self.position.seq > 0 and self.position.id is None:
            # Reading the last node again names it.
            self._ask_again(end.seq, from_seq=self.position.seq - 1)
            return []
        return self._go_live()

    def _go_live(self) -> list[ClientEvent]:
        check, self._check = self._check, None
        if check is not None and not check.is_complete():
            return self._change("the log has other nodes below where it seemed to part")
        self.mode = ReadingMode.LIVE
        return [CaughtUp(self.position.seq)]

    def _end_cut(self, end: RequestEnd) -> list[ClientEvent]:
        search, held, cursor = self._cut, self._past.held, self._past.cursor
        assert search is not None
        assert held is not None
        assert cursor is not None
        search.learn(end)
        if search.pairs():
            self._ask_cut(search)
            return []
        top_seq = min(cursor.seq, self._head_seq)
        is_far = search.cut == 0 or top_seq - search.cut > MOST_APART
        if is_far and self._past.frontier:
            return self._change("the logs have little of their order in common")
        self.position.restart(search.cut, held.id_at(search.cut) if search.cut else None)
        events: list[ClientEvent] = [CutFound(search.cut)]
        self._check = CutCheck(held.graph, self._heads)
        if search.cut == self._head_seq and not self._has_passed_over:
            return events + self._go_live()
        self._ask_after(search.cut)
        return events

    def _end_walk(self, end: RequestEnd) -> list[ClientEvent]:
        events: list[ClientEvent] = []
        walk = self._walk
        if walk is not None:
            if end.unknown and self._has_walked:
                raise broken("request-end", "nodes were sent, and ids are unknown")
            walk.learn(end.unknown)
            if not walk.is_over:
                ids = walk.ids()
                if ids:
                    self._ask_frontier(ids)
                    return []
                self._ask_after(0)
                reason = "the server has nothing of what is held, as far as could be seen"
                return [WalkFound((), tuple(walk.unknown)), CatchUpChanged("cursor", reason)]
            events.append(WalkFound(tuple(walk.known), tuple(walk.unknown)))
        # Reading the last node again names it, and brings what was relayed meanwhile.
        self.position.restart(self._head_seq - 1, None)
        self._ask_after(self._head_seq - 1)
        return events

    def refuse(self, error: Error) -> list[ClientEvent]:
        """An error in place of an answer: the next rung, or the end. Raises `ServerFault`."""
        is_final = kind_of(error.reject_class, error.kind) is RejectKind.FINAL
        if self.mode is ReadingMode.FEEDING or not is_final:
            reject_class = RejectClass.from_wire(error.reject_class) or RejectClass.INVALID_MESSAGE
            hint_ms = error.retry_after_ms
            detail: dict[str, object] = {} if hint_ms is None else {"retry_after_ms": hint_ms}
            reject = Reject(reject_class, f"no history was sent: {error.message}", detail)
            raise ServerFault(Fault.PROTOCOL if is_final else Fault.NOT_NOW, reject)
        if self.mode is ReadingMode.CUTTING:
            return self._change(f"refused: {error.message}")
        self._snapshot = None
        self._ask_after(0)
        return [CatchUpChanged("cursor", f"refused: {error.message}")]

    def _change(self, reason: str) -> list[ClientEvent]:
        return [CatchUpChanged(self._walk_or_read_all(), reason)]
