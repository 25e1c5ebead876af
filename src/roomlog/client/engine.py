"""A document without its network and disk: the replica, and what the server knows of it.

Every method takes what happened and leaves behind what to store, to announce and to push; whoever
drives the engine takes these away. It does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

from roomlog.client.changes import Origin
from roomlog.client.errors import LocalStoreError
from roomlog.client.log_places import LogPlaces
from roomlog.client.older_history import OlderHistory
from roomlog.client.partial_room import PartialRoom
from roomlog.client.refusals import (
    is_final,
    is_paused,
    paused_until,
    rejection_of,
    retry_wait_ms,
    rolled_back_changes,
)
from roomlog.client.server_log import ServerLog
from roomlog.client.store_writes import (
    Admitted,
    CheckpointKept,
    CursorMoved,
    LineageAdopted,
    LogCut,
    PendingAgain,
    ReceivedPack,
    Rewritten,
)
from roomlog.client.stored_document import StoredDocument
from roomlog.client.unverified import check_unverified
from roomlog.core.errors import HistoryMissingError
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.reject import Reject, RejectClass, RejectKind
from roomlog.core.replica import ImportResult, Replica
from roomlog.core.signing import Purpose, Signer
from roomlog.protocol.client_events import (
    Acknowledged,
    Fault,
    Opened,
    Received,
    Refused,
    RefusedNode,
    ServerFault,
)
from roomlog.protocol.messages import Cursor, Pending, SignedCheckpoint


@final
class Engine(PartialRoom):
    """One room as a client holds it.

    `lineage` is the room's, or a private random one while `is_draft`: then the room was never met,
    and what is written becomes part of it at the first welcome.
    """

    def __init__(
        self, room_id: str, identity: Signer | None, lineage: bytes, *, is_draft: bool
    ) -> None:
        super().__init__(room_id, identity, lineage, is_draft=is_draft)
        self.cursor: Cursor | None = None
        self.log = ServerLog(LogPlaces())
        self.checkpoint: SignedCheckpoint | None = None
        """The server's word on how far its log had come: the newest that says no less than one
        before it, as a server that lost history says less."""
        self._newest_checkpoint: SignedCheckpoint | None = None
        self.paused_until_ms = 0
        """Nothing is pushed before this time: the server asked for it."""
        self._head_seq = 0
        """How long the server's log was when the newest session began."""
        self._awaited_parents: set[bytes] = set()
        """Nodes of others that the server lacks, and own ones stand on."""
        self.put_off_class = ""
        """The reject class with which the server last put something off that is still pending."""

    @classmethod
    def restored(cls, identity: Signer | None, stored: StoredDocument) -> Engine:
        """The engine of a document that was stored before. Raises `LocalStoreError`."""
        engine = cls(stored.room_id, identity, stored.lineage, is_draft=stored.is_draft)
        if stored.snapshot is not None:
            older = OlderHistory(stored.snapshot.history_seq, stored.history)
            try:
                engine.restore_snapshot(stored.snapshot, older)
            except Reject as reject:
                raise LocalStoreError(f"the stored snapshot is damaged: {reject}") from reject
        elif stored.patterns or stored.patterns_before is not None:
            engine.replica.set_patterns(stored.patterns, before=stored.patterns_before)
        engine.replica.add_nodes(stored.nodes, verify=False)
        engine.replica.take_changes()
        engine.cursor = stored.cursor
        engine.log = ServerLog(stored.places)
        engine.checkpoint = stored.checkpoint
        for node_id in stored.pending:
            node = engine.replica.node(node_id)
            was_admitted = node_id in stored.lost_once
            engine.pending.add(node, is_durable=True, was_admitted=was_admitted)
        engine.pending.send_all_again()
        return engine

    # what is to be pushed

    def take_unsent(self, now_ms: int) -> list[Node]:
        """Own durable nodes to push now, parents first; none while the server asked to wait."""
        if self.log.is_compared or is_paused(self.paused_until_ms, now_ms):
            return []
        return self.pending.take_unsent()

    def take_unsent_back(self, now_ms: int) -> list[Node]:
        """Nodes of anybody that the server lost, asked for, and shall be given now."""
        return self.log.push_back.take_unsent(now_ms)

    @property
    def has_unsent(self) -> bool:
        """Whether there is something to push, now or after a pause."""
        if self.log.push_back.has_unsent:
            return True
        return self.pending.has_unsent and not self.log.is_compared

    @property
    def resumes_at_ms(self) -> int | None:
        """When to look again for what waits for a pause to end; None when nothing does."""
        waits: list[int] = []
        if self.log.push_back.has_unsent:
            waits.append(self.log.push_back.paused_until_ms)
        if self.pending.has_unsent and not self.log.is_compared:
            waits.append(self.paused_until_ms)
        return min(waits, default=None)

    # the session

    @property
    def known_lineage(self) -> bytes | None:
        """The lineage to show to a server: none while the room was never met."""
        return None if self.is_draft else self.replica.lineage

    @property
    def backlog(self) -> Pending | None:
        """What waits to be pushed, as a hello declares it."""
        if self.replica.identity is None:
            return None
        nodes, size_bytes = len(self.pending), self.pending.size_bytes
        missing = self.log.missing_size
        if missing is not None:
            nodes, size_bytes = nodes + missing.nodes, size_bytes + missing.bytes
        return Pending(nodes=nodes, bytes=size_bytes) if nodes else None

    def opened(self, opened: Opened, now_ms: int) -> None:
        """A server proved itself: a draft becomes part of its room.

        Its log may go on from elsewhere than the one that was held.
        """
        if self.is_draft:
            self._adopt(opened.lineage, now_ms)
        self._head_seq = opened.seq
        self.log.opened(opened.catch_up, opened.frontier)
        is_same_log = opened.epoch == self.log.places.epoch and self.cursor is not None
        if opened.catch_up in ("none", "cursor") and is_same_log:
            assert self.cursor is not None
            # What acks named beyond the cursor may have been lost since.
            if self.log.places.last_seq > self.cursor.seq:
                self._cut_log(opened.epoch, self.cursor.seq)
        elif opened.catch_up != "cut":
            self._read_log_anew(opened.epoch, opened.catch_up)

    def _adopt(self, lineage: bytes, now_ms: int) -> None:
        self.flush(now_ms)
        self.is_draft = False
        nodes: list[Node] = []
        if self.replica.identity is None:
            self._swap(self.replica.empty_copy(lineage), {}, [])
        else:
            adoption = self.replica.adopt(lineage)
            nodes = adoption.nodes
            self._swap(adoption.replica, adoption.mapping, nodes)
        self._writes.append(LineageAdopted(lineage, nodes))

    def cut_found(self, epoch: bytes, seq: int) -> None:
        """The log that was held and the server's are the same up to `seq` only."""
        self._cut_log(epoch, seq)

    def catch_up_changed(self, epoch: bytes, catch_up: str) -> None:
        """Another rung of the ladder is taken; nothing is known to be the same any more."""
        self.log.catch_up = catch_up
        self._read_log_anew(epoch, catch_up)

    def _read_log_anew(self, epoch: bytes, catch_up: str) -> None:
        """Nothing is known of the log's numbers. A walk shows what is not below known heads.

        So what lies below a snapshot does not come with it: it may have any number up to the head.
        """
        is_walk = catch_up == "walk"
        self._cut_log(epoch, 0, history_seq=self._head_seq if is_walk else 0)

    def _cut_log(self, epoch: bytes, seq: int, *, history_seq: int | None = None) -> None:
        self.log.places.cut(seq, epoch)
        if self.older is not None:
            if history_seq:
                self.older = OlderHistory(history_seq)
            else:
                self.older.cut(seq)
        node_id = self.log.places.id_at(seq)
        self.cursor = None if node_id is None else Cursor(epoch=epoch, seq=seq, id=node_id)
        self._writes.append(LogCut(epoch, seq, self.cursor, history_seq or None))

    def missing_asked(self) -> None:
        """The server lost history, and takes it from anybody once this session has caught up."""
        self.log.missing_asked()

    def checkpoint_received(self, checkpoint: SignedCheckpoint) -> None:
        """The server said how far its log has come."""
        self._newest_checkpoint = checkpoint
        self._weigh_checkpoint()

    def _weigh_checkpoint(self) -> None:
        """Keep the newest, unless the one that is kept proves a loss that is not made good yet.

        The server may be put back again before it was given what it lost: then it has forgotten
        that it asked, and only the older word makes it ask again.
        """
        newest, log = self._newest_checkpoint, self.log
        if newest is None:
            return
        is_made_good = not log.catch_up and not len(log.push_back) and not len(self.pending)
        if self.checkpoint is None or is_made_good or self._says_no_less(newest, self.checkpoint):
            self.checkpoint, self._newest_checkpoint = newest, None
            self._writes.append(CheckpointKept(newest))

    def _says_no_less(self, newest: SignedCheckpoint, kept: SignedCheckpoint) -> bool:
        if newest.lineage != kept.lineage:
            return True
        graph = self.replica.graph
        heads = sorted({graph.index_of(node_id) for node_id in newest.frontier})
        if heads and heads[0] < 0:
            return False
        known = [lv for lv in map(graph.index_of, kept.frontier) if lv >= 0]
        return all(graph.contains(heads, lv) for lv in known)

    def caught_up(self) -> None:
        """The session is live: all of the server's log is here, what else is here it lacks.

        Own nodes that were in a log once are pending again, whoever lost them. What others wrote
        is brought back if the server asks for it. Does nothing but once a session.
        """
        if not self.log.catch_up:
            return
        lost = self.log.caught_up(self.replica)
        identity = self.replica.identity
        if identity is not None:
            self._give_back(lost, identity)
        self._weigh_checkpoint()

    def _give_back(self, lost: Sequence[Node], identity: Signer) -> None:
        lost_once = [node for node in lost if node.id not in self.pending]
        own = [node for node in lost_once if node.author == identity.public_key]
        if own:
            self._pend_own_again(own)
        if self.log.bring_back(lost_once, identity.public_key):
            # Own ones go in their places among the others.
            self.pending.sent(node.id for node in own)

    def _pend_own_again(self, nodes: Sequence[Node]) -> None:
        """Own nodes that were acknowledged once are not in the server's log.

        Another device of the same key has the bodies that this one never asked for.
        """
        identity = self.replica.identity
        assert identity is not None
        nodes = [node for node in nodes if node.body is not None]
        if not nodes:
            return
        for node in nodes:
            if node.signature is None:
                # It came without, as old history does.
                node.signature = identity.sign(Purpose.NODE, node.id)
        self.pending.pend_again(nodes, self.replica.graph)
        self._canonical = None
        self._writes.append(PendingAgain(nodes))

    def disconnected(self) -> None:
        """The session is over: whatever has no acknowledgment is to be sent again."""
        self._newest_checkpoint = None
        self._awaited_parents.clear()
        self.log.ended()
        if self.older is not None:
            self.older.drop_page()
        self.pending.send_all_again()
        self.paused_until_ms = 0

    def received(
        self, received: Received, cursor: Cursor | None, now_ms: int, *, verify: bool
    ) -> None:
        """Nodes of the log came in. `cursor` is where the session stands with them.

        Raises `ServerFault` when the server sent what cannot be part of this room; then nothing
        of it counts as read.
        """
        self.flush(now_ms)
        if not verify:
            try:
                check_unverified(received.nodes, self.replica)
            except Reject as reject:
                self._distrust_log()
                raise ServerFault(Fault.PROTOCOL, reject) from None
        result = self.replica.add_nodes(received.nodes, now_ms, verify=verify)
        is_faulty = bool(result.rejected or result.waiting)
        if result.accepted or result.held or result.filled:
            self._canonical = None
            # What is stored is believed when it is read again.
            if is_faulty:
                filled = [node_id for node_id in result.filled if node_id in self.replica]
                taken = [*result.accepted, *filled]
                self._writes += map(ReceivedPack, self._packs_of(taken))
            else:
                pack = ReceivedPack(received.pack, received.from_seq, received.to_seq)
                self._writes.append(pack)
            self._note_changes(
                Origin.REMOTE, [self.replica.node(node_id) for node_id in result.accepted]
            )
        if is_faulty:
            self.replica.waiting.clear()
            self._distrust_log()
            raise _fault_of(result)
        self.log.received(received)
        if self._awaited_parents:
            self._parents_came(received.nodes)
        self._admit(
            {node.id: received.from_seq + at for at, node in enumerate(received.nodes)}, cursor
        )

    def _parents_came(self, nodes: Sequence[Node]) -> None:
        """The server has nodes of others: what stands on them need not wait any longer.

        Several who take turns in giving back what a server lost would else wait for each other at
        every turn, longer each time.
        """
        came = self._awaited_parents.intersection([node.id for node in nodes])
        if came:
            self._awaited_parents -= came
            self.paused_until_ms = 0
            self.log.push_back.paused_until_ms = 0

    def _distrust_log(self) -> None:
        """Something about this log is wrong: the next session compares frontiers instead."""
        self.cursor = None
        self._writes.append(CursorMoved(None))

    def _packs_of(self, node_ids: Sequence[bytes]) -> list[bytes]:
        """Nodes one by one, so that each keeps the signature and body that it has."""
        nodes = [self.replica.node(node_id) for node_id in node_ids]
        return [encode_pack([node], signatures=node.signature is not None) for node in nodes]

    def acknowledged(self, acknowledged: Acknowledged, cursor: Cursor | None) -> None:
        """Own nodes are in the log."""
        self.log.acknowledged(acknowledged.seqs)
        self._admit(acknowledged.seqs, cursor)

    def _admit(self, seqs: dict[bytes, int], cursor: Cursor | None) -> None:
        if len(self.pending):
            own = {node_id: seq for node_id, seq in seqs.items() if node_id in self.pending}
            if own:
                self.pending.settle(own)
                self._canonical = None
                self._writes.append(Admitted(own))
                self.put_off_class = ""
        if cursor is not None and cursor != self.cursor:
            self.cursor = cursor
            self._writes.append(CursorMoved(cursor))

    # refusals

    def refused(self, refused: Refused, now_ms: int) -> None:
        """The server did not take some own nodes: again later, or never.

        What it will never take is rolled back, and what was written after it is written anew
        without it.
        """
        final_nodes: list[RefusedNode] = []
        put_off: list[bytes] = []
        for node in refused.nodes:
            if node.reject_class == RejectClass.PARENT_MISSING.wire and node.id in self.replica:
                parents = self.replica.node(node.id).parents
                self._awaited_parents.update(each for each in parents if each not in self.pending)
            pending = self.pending.get(node.id)
            if pending is None:
                # Rewritten since it was sent, or somebody else's.
                withdrawn = self.log.push_back.refused(node, now_ms)
                self._withdrawn += withdrawn
                # Own nodes had their places among them: now they go by themselves.
                put_off += [node_id for node_id in withdrawn if node_id in self.pending]
                continue
            self.log.push_back.settle([node.id])
            if is_final(node):
                final_nodes.append(node)
                continue
            put_off.append(node.id)
            self.put_off_class = node.reject_class
            pending.attempts += 1
            wait_ms = retry_wait_ms(node, pending.attempts)
            if wait_ms:
                self.paused_until_ms = paused_until(self.paused_until_ms, now_ms, wait_ms)
            if node.kind is RejectKind.RESEND:
                self._pend_again(node.id)
        if put_off:
            self.pending.send_again(put_off)
        if final_nodes:
            self._roll_back(final_nodes, now_ms)

    def _pend_again(self, node_id: bytes) -> None:
        """The server misses parents of a node: own ones that it once had are pushed again."""
        identity = self.replica.identity
        assert identity is not None
        parents = [self.replica.node(parent) for parent in self.replica.node(node_id).parents]
        missing = [
            parent
            for parent in parents
            if parent.author == identity.public_key and parent.id not in self.pending
        ]
        if missing:
            self._pend_own_again(missing)

    def _roll_back(self, final_nodes: list[RefusedNode], now_ms: int) -> None:
        self.flush(now_ms)
        rejections = [
            rejection_of(self.replica.node(refused.id), refused) for refused in final_nodes
        ]
        try:
            rebase = self.replica.without(
                {each.node_id: each.operation_indexes for each in rejections}
            )
        except HistoryMissingError:
            # They are refused again, and taken back, when older history is here.
            self.refused_too_early += [each.node_id for each in rejections]
            return
        lost_once = self._admitted_once([*rebase.mapping, *rebase.left_out], rebase.replica)
        removed = self._swap(rebase.replica, rebase.mapping, rebase.nodes, rebase.dropped)
        self._withdrawn.extend(removed)
        self._rejections.extend(rejections)
        self._writes.append(Rewritten(removed, rebase.nodes, rejections, lost_once))
        self._changes.extend(rolled_back_changes(rejections))

    def _admitted_once(self, changed: Iterable[bytes], replica: Replica) -> frozenset[bytes]:
        """What is in `replica` no more, and was in a log before the server lost it."""
        gone = [
            (node_id, self.pending.get(node_id)) for node_id in changed if node_id not in replica
        ]
        return frozenset(
            node_id for node_id, pending in gone if pending is None or pending.was_admitted
        )


def _fault_of(result: ImportResult) -> ServerFault:
    if result.rejected:
        first = result.rejected[0]
        reject = Reject(first.reject_class, f"the server sent a bad node: {first.message}")
    else:
        reject = Reject(
            RejectClass.PARENT_MISSING,
            f"{len(result.waiting)} nodes of the log came before their parents",
        )
    return ServerFault(Fault.PROTOCOL, reject)
