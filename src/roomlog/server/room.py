"""One resident room: what is durable, what is on its way to the store, and who reads it.

The graph holds durable nodes only, a node's local version being seq - 1. Admitted nodes wait in
`pending` until the store has answered, so a failed write takes nothing back from the graph.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, final

import msgspec

from roomlog.core.clock import next_clock
from roomlog.core.errors import ClockExhaustedError
from roomlog.core.graph import Graph
from roomlog.core.node import MAX_PARENTS, MERGE, NodeHasher, make_node
from roomlog.core.pack import decode_pack, encode_pack
from roomlog.core.pack.blocks import BODIES_FLAG, COLUMNS_FLAG, SIGNATURES_FLAG
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.signing import Signer
from roomlog.protocol.checkpoint import sign_checkpoint
from roomlog.protocol.limits import SessionLimits
from roomlog.protocol.messages import After, PackAck, Peer, RejectedNode
from roomlog.server.admission import PendingNodes, admit
from roomlog.server.company import Company
from roomlog.server.history import Page
from roomlog.server.metrics import Metrics
from roomlog.server.reader import Readers
from roomlog.server.reconcile import RoomWindows
from roomlog.server.relay import Relay
from roomlog.server.resend_window import ResendWindow
from roomlog.server.signature_turns import AT_ONCE, CheckedSignatures, SignatureTurns
from roomlog.server.snapshots import DEFAULT_POLICY, RoomSnapshots, SnapshotPolicy
from roomlog.server.submission import MergeSubmitter, Submission, Submitter
from roomlog.store.committer import Committer
from roomlog.store.errors import QueueFull, StoreUnavailable
from roomlog.store.interface import (
    Append,
    AppendOutcome,
    AppendStatus,
    ReconcileWindow,
    StoredRoom,
)

MERGE_ABOVE_HEADS: Final = 16
RETRY_AFTER_MS: Final = 1_000
_STORED_FLAGS: Final = SIGNATURES_FLAG | BODIES_FLAG


@final
class Room:
    """A room in memory, owned by the event loop.

    `wall_ms` tells the time that clocks are compared with, `monotonic` seconds for measuring.
    `on_ambiguous` is called when nobody knows what the store has: the owner reads it again and
    calls `reloaded`, or drops the room.
    """

    def __init__(
        self,
        stored: StoredRoom,
        graph: Graph,
        *,
        committer: Committer,
        signature_turns: SignatureTurns[Submitter],
        signer: Signer,
        limits: SessionLimits,
        metrics: Metrics,
        reader_buffer_bytes: int,
        wall_ms: Callable[[], int],
        monotonic: Callable[[], float],
        on_ambiguous: Callable[[Room], None],
        snapshot_policy: SnapshotPolicy = DEFAULT_POLICY,
    ) -> None:
        self.stored = stored
        self.graph = graph
        self.readers = Readers(stored.lineage, reader_buffer_bytes)
        self.sessions: set[object] = set()
        self.company = Company(metrics)
        self.last_used = monotonic()
        self.windows = RoomWindows()
        self.snapshots = RoomSnapshots(graph, now=monotonic())
        self.snapshot_policy = snapshot_policy
        self.is_renewing = False
        """Whether the room is about to get another epoch: nothing more is taken under this one."""
        self.resend_window = ResendWindow(limits.resend_window_ms)
        self._committer = committer
        self._signature_turns = signature_turns
        self._signer = signer
        self._limits = limits
        self._metrics = metrics
        self._wall_ms = wall_ms
        self._monotonic = monotonic
        self._on_ambiguous = on_ambiguous
        self._hasher = NodeHasher(stored.lineage)
        self._pending: PendingNodes = {}
        self._next_seq = len(graph) + 1
        self._in_flight: deque[Submission] = deque()
        self._again: list[Submission] = []
        self._checking = 0
        self._is_recovering = False
        self._is_ambiguous = False
        self._admitted_nodes = 0
        self._relay = Relay(stored.lineage, self.readers, limits, metrics, monotonic)
        self._merger = MergeSubmitter(signer.public_key)
        self._checkpoint: tuple[bytes, int, bytes | None] | None = None

    # durable facts

    @property
    def room_id(self) -> str:
        return self.stored.room_id

    @property
    def lineage(self) -> bytes:
        """32 bytes."""
        return self.stored.lineage

    @property
    def epoch(self) -> bytes:
        """16 bytes."""
        return self.stored.epoch

    @property
    def head_seq(self) -> int:
        """The greatest durable seq."""
        return len(self.graph)

    @property
    def relayed_seq(self) -> int:
        """The greatest seq that live readers have; behind the head while a relay gathers."""
        return self._relay.through(self.head_seq)

    def frontier_ids(self) -> list[bytes]:
        """The heads of the durable log, ascending."""
        return self.graph.frontier_ids()

    def id_at(self, seq: int) -> bytes:
        """The node with this durable seq."""
        return self.graph.id_of(seq - 1)

    def seq_of(self, node_id: bytes) -> int:
        """The durable seq of the node with this id, 0 when there is none."""
        return self.graph.index_of(node_id) + 1

    def knows(self, node_id: bytes) -> bool:
        """Whether a node of this id is in the durable log."""
        return self.graph.index_of(node_id) >= 0

    @property
    def snapshot_seq(self) -> int:
        """The seq of a snapshot that may be offered, 0 when there is none."""
        offered = self.snapshots.offered(self.snapshot_policy)
        return 0 if offered is None else offered.seq

    def missing_of(self, known_epoch: bytes | None) -> After | None:
        """The lost log whose nodes are taken from anybody at present, after which seq."""
        return self.windows.missing(known_epoch, self._wall_ms())

    def checkpoint_signature(self) -> bytes | None:
        """The signature over the log as it stands, made once for each head."""
        epoch, seq, known = self.epoch, self.head_seq, self._checkpoint
        if known is not None and known[0] == epoch and known[1] == seq:
            return known[2]
        signature = sign_checkpoint(
            self._signer, lineage=self.lineage, epoch=epoch, seq=seq, frontier=self.frontier_ids()
        )
        self._checkpoint = (epoch, seq, signature)
        return signature

    def peers(self) -> list[Peer]:
        """The identities that have a session here."""
        return self.company.peers.all()

    @property
    def is_quiet(self) -> bool:
        """Whether nobody is here and nothing is on its way: the room may leave memory."""
        return not (
            self.sessions
            or self._checking
            or self._in_flight
            or self._again
            or self._is_ambiguous
            or not self._relay.is_idle
            or self.is_renewing
        )

    @property
    def is_ambiguous(self) -> bool:
        """Whether the store has to be read again before anything is said about the room."""
        return self._is_ambiguous

    def recent_after(self, position: int) -> list[Page] | None:
        """The packs after `position` if memory still has them all, else None."""
        return self._relay.recent_after(position, self.head_seq)

    # pushing

    def push(self, submitter: Submitter, ticket: int, data: bytes) -> None:
        """Judge a pushed pack and hand what is new to the store; the answer may come at once."""
        if self._is_ambiguous:
            submitter.refuse(ticket, _unavailable("the room is being read again"))
            return
        try:
            nodes = decode_pack(data, self._hasher, max_nodes=self._limits.pack_nodes)
        except Reject as broken:
            submitter.refuse(ticket, broken)
            return
        submission = Submission(submitter, ticket, data, nodes, self._monotonic())
        if len(nodes) <= AT_ONCE and not self._signature_turns.has(submitter):
            self._take_up(submission)
            return
        signatures = submission.signatures = CheckedSignatures(nodes)
        self._checking += 1
        self._signature_turns.add(
            submitter, signatures, self._is_here, lambda: self._checked(submission)
        )

    def _is_here(self, node_id: bytes) -> bool:
        return self.graph.index_of(node_id) >= 0 or node_id in self._pending

    def abandon(self, submitter: Submitter) -> None:
        """`submitter` is gone: what of it was not checked yet is not worth the time of others."""
        self._checking -= self._signature_turns.forget(submitter)

    def _checked(self, submission: Submission) -> None:
        self._checking -= 1
        if self._is_ambiguous:
            reject = _unavailable("the room is being read again")
            submission.submitter.refuse(submission.ticket, reject)
        else:
            self._take_up(submission)

    def _take_up(self, submission: Submission) -> None:
        if self.is_renewing:
            reject = _unavailable("the log is about to get another epoch")
            submission.submitter.refuse(submission.ticket, reject)
        elif self._is_recovering:
            self._again.append(submission)
        else:
            self._judge(submission)

    def _judge(self, submission: Submission) -> None:
        submission.attempts += 1
        # What it was submitted as before is answered, and says nothing of this judgement.
        submission.append = None
        now_ms = self._wall_ms()
        submitter = submission.submitter
        verdict = submission.verdict = admit(
            submission.nodes,
            graph=self.graph,
            pending=self._pending,
            next_seq=self._next_seq,
            author=submitter.author,
            now_ms=now_ms,
            skew_ms=self._limits.clock_skew_ms,
            refusals=submitter.refusals,
            signatures=submission.signatures,
            most_of_others=self.windows.most_of_others(submitter.author, now_ms),
        )
        if verdict.accepted:
            self._submit(submission, now_ms)
        elif verdict.is_on_pending:
            # Only durable nodes are acknowledged: wait for those that are under way.
            self._in_flight.append(submission)
        else:
            self._acknowledge(submission, 0, 0)

    def _submit(self, submission: Submission, now_ms: int) -> None:
        accepted = submission.verdict.accepted
        count = len(accepted)
        data = submission.data
        if count != len(submission.nodes) or data[1] & ~COLUMNS_FLAG != _STORED_FLAGS:
            data = encode_pack(accepted)
        append = Append(
            self.stored.room_id,
            self.stored.epoch,
            self._next_seq,
            count,
            data,
            accepted[0].id if count == 1 else b"".join([node.id for node in accepted]),
            submission.submitter.author,
            now_ms,
            reinstated=submission.verdict.of_others > 0,
        )
        try:
            self._committer.submit(append)
        except QueueFull:
            self._fail(submission, RejectClass.QUEUE_FULL, "too much waits to be written")
            return
        except StoreUnavailable as error:
            self._fail(submission, RejectClass.STORE_UNAVAILABLE, str(error))
            return
        if append.reinstated:
            self.windows.begin_others(append.submitter, submission.verdict.of_others)
        seq = self._next_seq
        for node in accepted:
            self._pending[node.id] = (seq, node.clock)
            seq += 1
        self._next_seq = seq
        submission.append = append
        self._in_flight.append(submission)

    def _acknowledge(self, submission: Submission, from_seq: int, to_seq: int) -> None:
        verdict = submission.verdict
        for refused in verdict.rejected:
            self._metrics.rejects_total.labels(refused.reject_class).inc()
            retry_after_ms = refused.detail.get("retry_after_ms")
            if refused.reject_class == RejectClass.CLOCK_AHEAD.wire and isinstance(
                retry_after_ms, int
            ):
                ahead_ms = retry_after_ms + self._limits.clock_skew_ms
                self._metrics.clock_ahead_seconds.observe(ahead_ms / 1000)
        ack = PackAck(
            from_seq=from_seq,
            to_seq=to_seq,
            duplicates=verdict.duplicates,
            rejected=verdict.rejected,
        )
        submission.submitter.settle(submission.ticket, ack)

    def _fail(self, submission: Submission, reject_class: RejectClass, reason: str) -> None:
        """Nothing new of the pack is in the log; what stands on it falls with it."""
        verdict = submission.verdict
        refusals = submission.submitter.refusals
        for node in verdict.accepted:
            detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS, "reason": reason}
            verdict.rejected.append(
                RejectedNode(
                    id=node.id,
                    reject_class=reject_class.wire,
                    kind=reject_class.kind.value,
                    detail=detail,
                )
            )
            refusals.remember(node.id, node.id, reject_class)
        verdict.accepted = []
        if verdict.is_on_pending:
            # A duplicate of a node whose own fate is open: say nothing of it.
            submission.submitter.refuse(submission.ticket, _unavailable(reason))
        else:
            self._acknowledge(submission, 0, 0)

    # what the store answers

    def settle(self, append: Append, outcome: AppendOutcome) -> None:
        """The outcome of the oldest append under way. `publish` follows the last of a batch."""
        self._settle_waiting()
        submission = self._in_flight.popleft()
        assert submission.append is append, "outcomes come in the order of submission"
        if append.reinstated:
            self.windows.end_others(append.submitter, submission.verdict.of_others)
        if outcome.status is AppendStatus.AMBIGUOUS:
            self._is_ambiguous = True
        if self._is_ambiguous:
            self._fail(submission, RejectClass.STORE_UNAVAILABLE, outcome.reason or "ambiguous")
        elif outcome.status is AppendStatus.COMMITTED:
            self._commit(submission, append)
        elif not self._is_recovering:
            self._is_recovering = True
            self._fail(submission, RejectClass.STORE_UNAVAILABLE, outcome.reason)
        elif submission.attempts == 1:
            # It was numbered behind the one that failed; on its own it may well be taken.
            self._again.append(submission)
        else:
            self._fail(submission, RejectClass.STORE_UNAVAILABLE, outcome.reason)
        self._settle_waiting()
        if not self._in_flight:
            if self._is_ambiguous:
                self._read_again()
            elif self._is_recovering:
                self._recover()

    def _settle_waiting(self) -> None:
        """Packs of duplicates that waited for what was under way before them."""
        while self._in_flight and self._in_flight[0].append is None:
            submission = self._in_flight.popleft()
            if self._is_ambiguous:
                submission.submitter.refuse(submission.ticket, _unavailable("ambiguous"))
            elif self._is_recovering:
                self._again.append(submission)
            else:
                self._acknowledge(submission, 0, 0)

    def _commit(self, submission: Submission, append: Append) -> None:
        graph = self.graph
        for node in submission.verdict.accepted:
            graph.add(node.id, node.author, node.clock, node.parents)
            del self._pending[node.id]
        to_seq = append.to_seq
        assert len(graph) == to_seq, "the graph numbers nodes as the log does"
        now = self._monotonic()
        page = Page(append.from_seq, to_seq, append.pack)
        self._relay.add(page, submission.submitter.reader, submission.received)
        self._admitted_nodes += append.count
        if append.reinstated:
            of_others = submission.verdict.of_others
            self.windows.count_others(append.submitter, of_others, append.admitted_ms)
            self._metrics.nodes_reinstated_total.inc(of_others)
        self._metrics.pack_ack_seconds.observe(now - submission.received)
        self._acknowledge(submission, append.from_seq, to_seq)

    def _recover(self) -> None:
        """Everything under way is answered: number what is left anew."""
        self._is_recovering = False
        self._pending.clear()
        self._next_seq = self.head_seq + 1
        again, self._again = self._again, []
        for submission in again:
            self._judge(submission)

    def forget(self, append: Append) -> None:
        """The outcome of `append` could not be taken up: nothing waits for it any more."""
        in_flight = self._in_flight
        while any(submission.append is append for submission in in_flight):
            submission = in_flight.popleft()
            submission.submitter.refuse(submission.ticket, _unavailable("a fault of the server"))

    def distrust(self) -> None:
        """Something went wrong in here: believe only the store, once nothing is under way."""
        if not self._is_ambiguous:
            self._is_ambiguous = True
            if not self._in_flight:
                self._read_again()

    def _read_again(self) -> None:
        self._pending.clear()
        again, self._again = self._again, []
        for submission in again:
            submission.submitter.refuse(submission.ticket, _unavailable("ambiguous"))
        self._on_ambiguous(self)

    def renewed(self, window: ReconcileWindow) -> None:
        """The log has another epoch, durably, and clients may bring back what was lost."""
        if window.old_epoch == self.epoch:
            self.stored = msgspec.structs.replace(self.stored, epoch=window.new_epoch)
        self.windows.add(window)

    def reloaded(self, graph: Graph) -> None:
        """The store was read again after an ambiguous commit; readers get what they lack."""
        known = self.relayed_seq
        self.graph = graph
        self._pending.clear()
        self._next_seq = len(graph) + 1
        self._is_ambiguous = False
        self._is_recovering = False
        self._relay.forget()
        if self.head_seq > known:
            self._metrics.readers_behind_total.inc(self.readers.all_fall_behind(known))

    # reading

    def publish(self) -> float:
        """Relay what was committed, or let it gather; seconds until `publish_now`, 0 for never."""
        self._metrics.nodes_admitted_total.inc(self._admitted_nodes)
        self._admitted_nodes = 0
        wait_s = self._relay.publish(is_more_coming=bool(self._in_flight))
        self.last_used = self._monotonic()
        return wait_s

    def publish_now(self) -> None:
        """Relay what was committed: everybody live is at the head of the log."""
        self._relay.publish_now()

    def tick(self) -> None:
        """Once a tick: end presence that is over, sign a merge when the frontier is wide."""
        self.company.tick(self._monotonic())
        heads = self.graph.frontier
        if len(heads) <= MERGE_ABOVE_HEADS or self._merger.is_busy or self._is_ambiguous:
            return
        merged = heads[:MAX_PARENTS]
        greatest = max(self.graph.clock_of(lv) for lv in merged)
        try:
            clock = next_clock(self._wall_ms(), greatest)
        except ClockExhaustedError:
            return
        parents = [self.graph.id_of(lv) for lv in merged]
        node = make_node(self._hasher, self._signer, MERGE, clock, parents, [])
        self._merger.is_busy = True
        self._metrics.merges_signed_total.inc()
        self.push(self._merger, 0, encode_pack([node]))


def _unavailable(reason: str) -> Reject:
    detail: dict[str, object] = {"retry_after_ms": RETRY_AFTER_MS}
    return Reject(RejectClass.STORE_UNAVAILABLE, reason, detail)
