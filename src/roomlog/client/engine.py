"""A document without its network and disk: the replica, and what the server knows of it.

Every method takes what happened and leaves behind what to store, to announce and to push; whoever
drives the engine takes these away. It does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import final

from roomlog.client.changes import KIND_OF_STATE, Change, Origin
from roomlog.client.errors import TransactionError
from roomlog.client.pending_nodes import PendingNodes
from roomlog.client.refusals import (
    Place,
    is_final,
    place_of,
    rejection_of,
    retry_wait_ms,
    rolled_back_changes,
)
from roomlog.client.rejections import Rejection
from roomlog.client.store_writes import (
    Admitted,
    CursorMoved,
    LineageAdopted,
    OwnNodes,
    ReceivedPack,
    Rewritten,
    StoreWrite,
)
from roomlog.client.stored_document import StoredDocument
from roomlog.core.node import Node
from roomlog.core.pack import encode_pack
from roomlog.core.reject import Reject, RejectClass, RejectKind
from roomlog.core.replica import ImportResult, Replica
from roomlog.core.signing import Signer
from roomlog.core.view import View
from roomlog.protocol.client_events import (
    Acknowledged,
    Fault,
    Opened,
    Received,
    Refused,
    RefusedNode,
    ServerFault,
)
from roomlog.protocol.messages import Cursor, Pending


@final
class Engine:
    """One room as a client holds it.

    `lineage` is the room's, or a private random one while `is_draft`: then the room was never met,
    and what is written becomes part of it at the first welcome.
    """

    def __init__(
        self, room_id: str, identity: Signer | None, lineage: bytes, *, is_draft: bool
    ) -> None:
        self.replica = Replica(room_id, identity, lineage)
        self.generation = 0
        """Grows when the replica is replaced: what was made from the old one is stale."""
        self.is_draft = is_draft
        self.cursor: Cursor | None = None
        self.pending = PendingNodes()
        self.paused_until_ms = 0
        """Nothing is pushed before this time: the server asked for it."""
        self.put_off_class = ""
        """The reject class with which the server last put something off that is still pending."""
        self.is_observed = True
        """Whether anybody wants to know of changes."""
        self.is_transaction_open = False
        self._successors: dict[bytes, bytes | None] = {}
        self._writes: list[StoreWrite] = []
        self._changes: list[Change] = []
        self._rejections: list[Rejection] = []
        self._withdrawn: list[bytes] = []
        self._canonical: View | None = None

    @classmethod
    def restored(cls, identity: Signer | None, stored: StoredDocument) -> Engine:
        """The engine of a document that was stored before."""
        engine = cls(stored.room_id, identity, stored.lineage, is_draft=stored.is_draft)
        engine.replica.add_nodes(stored.nodes, verify=False)
        engine.replica.take_changes()
        engine.cursor = stored.cursor
        for node_id in stored.pending:
            engine.pending.add(engine.replica.node(node_id), is_durable=True)
        engine.pending.send_all_again()
        return engine

    # what is left behind

    def take_writes(self) -> list[StoreWrite]:
        """What the local store shall remember, in order."""
        writes = self._writes
        self._writes = []
        return writes

    def take_changes(self) -> list[Change]:
        """What may read differently now."""
        changes = self._changes
        self._changes = []
        return changes

    def take_rejections(self) -> list[Rejection]:
        """What was taken back because the server refused it."""
        rejections = self._rejections
        self._rejections = []
        return rejections

    def take_withdrawn(self) -> list[bytes]:
        """Ids of nodes that must no longer be pushed: they were rewritten."""
        withdrawn = self._withdrawn
        self._withdrawn = []
        return withdrawn

    def take_unsent(self, now_ms: int) -> list[Node]:
        """Own durable nodes to push now, parents first; none while the server asked to wait."""
        return [] if now_ms < self.paused_until_ms else self.pending.take_unsent()

    # own writing

    def flush(self, now_ms: int) -> list[bytes]:
        """Make nodes of the open edits; their ids. `now_ms` is the wall clock since 1970."""
        if not self.replica.has_open_edits:
            return []
        ids = self.replica.commit(now_ms)
        self.take_own(ids)
        return ids

    def take_own(self, ids: Sequence[bytes]) -> None:
        """Own nodes were written to the replica, by a flush or a branch."""
        if not ids:
            return
        nodes = [self.replica.node(node_id) for node_id in ids]
        for node in nodes:
            self.pending.add(node, is_durable=False)
        self._writes.append(OwnNodes(nodes))
        self._note_changes(Origin.LOCAL, nodes)

    def begin_transaction(self, now_ms: int) -> None:
        """From here on edits belong to one node. Raises `TransactionError` inside of one."""
        if self.is_transaction_open:
            raise TransactionError("a transaction is open already")
        self.flush(now_ms)
        self.is_transaction_open = True

    def end_transaction(self, now_ms: int, *, keep: bool) -> list[bytes]:
        """Write the transaction's node, or forget all of its edits."""
        self.is_transaction_open = False
        if keep:
            return self.flush(now_ms)
        self.replica.discard()
        self.replica.take_changes()
        return []

    def stored(self, writes: Iterable[StoreWrite]) -> None:
        """Writes are on disk: the own nodes among them may be pushed."""
        for write in writes:
            if isinstance(write, OwnNodes | Rewritten | LineageAdopted):
                self.pending.stored([node.id for node in write.nodes])

    # the session

    @property
    def known_lineage(self) -> bytes | None:
        """The lineage to show to a server: none while the room was never met."""
        return None if self.is_draft else self.replica.lineage

    @property
    def backlog(self) -> Pending | None:
        """What waits to be pushed, as a hello declares it."""
        if not len(self.pending) or self.replica.identity is None:
            return None
        return Pending(nodes=len(self.pending), bytes=self.pending.size_bytes)

    def admitted_frontier(self) -> list[bytes]:
        """Heads of what the server has acknowledged or sent, ascending."""
        if self.is_draft:
            return []
        if not len(self.pending):
            return self.replica.frontier
        graph = self.replica.graph
        heads: set[bytes] = set()
        seen: set[bytes] = set()
        waiting = self.replica.frontier
        while waiting:
            node_id = waiting.pop()
            if node_id in seen:
                continue
            seen.add(node_id)
            pending = self.pending.get(node_id)
            if pending is None:
                heads.add(node_id)
            else:
                waiting.extend(pending.node.parents)
        lvs = graph.heads_of([graph.index_of(node_id) for node_id in heads])
        return sorted(graph.id_of(lv) for lv in lvs)

    def opened(self, opened: Opened, now_ms: int) -> None:
        """A server proved itself: a draft becomes part of its room."""
        if not self.is_draft:
            return
        self.flush(now_ms)
        self.is_draft = False
        nodes: list[Node] = []
        if self.replica.identity is None:
            self._swap(Replica(self.replica.room_id, None, opened.lineage), {}, [])
        else:
            adoption = self.replica.adopt(opened.lineage)
            nodes = adoption.nodes
            self._swap(adoption.replica, adoption.mapping, nodes)
        self._writes.append(LineageAdopted(opened.lineage, nodes))

    def disconnected(self) -> None:
        """The session is over: whatever has no acknowledgment is to be sent again."""
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
        result = self.replica.add_nodes(received.nodes, now_ms, verify=verify)
        is_faulty = bool(result.rejected or result.waiting)
        if result.accepted:
            self._canonical = None
            # What is stored is believed when it is read again.
            pack = self._pack_of(result.accepted) if is_faulty else received.pack
            self._writes.append(ReceivedPack(pack))
            self._note_changes(
                Origin.REMOTE, [self.replica.node(node_id) for node_id in result.accepted]
            )
        if is_faulty:
            # The next session compares frontiers instead: something about this log is wrong.
            self.replica.waiting.clear()
            self.cursor = None
            self._writes.append(CursorMoved(None))
            raise _fault_of(result)
        self._admit(
            {node.id: received.from_seq + at for at, node in enumerate(received.nodes)}, cursor
        )

    def _pack_of(self, node_ids: Sequence[bytes]) -> bytes:
        nodes = [self.replica.node(node_id) for node_id in node_ids]
        return encode_pack(nodes, signatures=all(node.signature is not None for node in nodes))

    def acknowledged(self, acknowledged: Acknowledged, cursor: Cursor | None) -> None:
        """Own nodes are in the log."""
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
            pending = self.pending.get(node.id)
            if pending is None:
                # Rewritten since it was sent.
                continue
            if is_final(node):
                final_nodes.append(node)
                continue
            put_off.append(node.id)
            self.put_off_class = node.reject_class
            pending.attempts += 1
            wait_ms = retry_wait_ms(node, pending.attempts)
            if wait_ms:
                self.paused_until_ms = max(self.paused_until_ms, now_ms + wait_ms)
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
        self.pending.pend_again(
            [
                parent
                for parent in parents
                if parent.author == identity.public_key and parent.id not in self.pending
            ],
            self.replica.graph,
        )

    def _roll_back(self, final_nodes: list[RefusedNode], now_ms: int) -> None:
        self.flush(now_ms)
        rejections = [
            rejection_of(self.replica.node(refused.id), refused) for refused in final_nodes
        ]
        rebase = self.replica.without({each.node_id: each.operation_indexes for each in rejections})
        removed = self._swap(rebase.replica, rebase.mapping, rebase.nodes)
        self._withdrawn.extend(removed)
        self._rejections.extend(rejections)
        self._writes.append(Rewritten(removed, rebase.nodes, rejections))
        self._changes.extend(rolled_back_changes(rejections))

    def _swap(
        self, replica: Replica, mapping: Mapping[bytes, bytes | None], nodes: Sequence[Node]
    ) -> list[bytes]:
        """Go on with another replica, whose `nodes` are new; the pending ids that are gone."""
        moved = {
            node_id: mapping.get(node_id) for node_id in self.pending if node_id not in replica
        }
        self._successors.update(moved)
        self.replica = replica
        self.generation += 1
        self._canonical = None
        # It was built whole, so everything in it looks new.
        replica.take_changes()
        self.pending.rewrite(moved, nodes, replica.graph)
        return list(moved)

    def successor(self, node_id: bytes) -> bytes | None:
        """The node that stands for `node_id` after rewriting; None when it was taken back."""
        current: bytes | None = node_id
        while current is not None and current in self._successors:
            current = self._successors[current]
        return current

    # reading

    @property
    def held_count(self) -> int:
        """How many nodes wait for parents."""
        return len(self.replica.waiting)

    def canonical(self) -> View | Replica:
        """What the server has acknowledged, and nothing else.

        Without pending edits that is the replica itself. Otherwise it is a view, replayed from
        history whenever what is acknowledged has changed.
        """
        if not len(self.pending) and not self.replica.has_open_edits:
            return self.replica
        if self._canonical is None:
            self._canonical = self.replica.at(self.admitted_frontier())
        return self._canonical

    def _note_changes(self, origin: Origin, nodes: Iterable[Node]) -> None:
        changed = self.replica.take_changes()
        if not changed or not self.is_observed:
            return
        authors: dict[Place, set[bytes]] = {}
        for node in nodes:
            for operation in node.operations():
                place = place_of(operation)
                if place is not None:
                    authors.setdefault(place, set()).add(node.author)
        for state_kind, key in sorted(changed):
            kind = KIND_OF_STATE[state_kind]
            self._changes.append(Change(kind, key, origin, frozenset(authors.get((kind, key), ()))))


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
