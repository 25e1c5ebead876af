"""The room as this client writes it: its replica, what is pending, what reads differently."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from roomlog.client.changes import KIND_OF_STATE, Change, Origin
from roomlog.client.errors import TransactionError
from roomlog.client.outbox import Outbox
from roomlog.client.pending_nodes import PendingNodes
from roomlog.client.refusals import Place, place_of
from roomlog.client.store_writes import (
    LineageAdopted,
    OwnNodes,
    Rewritten,
    StoreWrite,
)
from roomlog.core.node import Node
from roomlog.core.replica import Replica
from roomlog.core.signing import Signer
from roomlog.core.succession import Succession, succeed
from roomlog.core.view import View


class OwnWriting(Outbox):
    """What an engine is without a server. `lineage` is the room's, or that of a draft."""

    def __init__(
        self, room_id: str, identity: Signer | None, lineage: bytes, *, is_draft: bool
    ) -> None:
        super().__init__()
        self.is_draft = is_draft
        self.replica = Replica(room_id, identity, lineage)
        self.generation = 0
        """Grows when the replica is replaced: what was made from the old one is stale."""
        self.pending = PendingNodes()
        self.is_observed = True
        """Whether anybody wants to know of changes."""
        self.is_transaction_open = False
        self._successors: dict[bytes, bytes | None] = {}
        self._canonical: View | None = None

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

    def _swap(
        self,
        replica: Replica,
        mapping: Mapping[bytes, bytes | None],
        nodes: Sequence[Node],
        dropped: Iterable[tuple[bytes, int]] = (),
    ) -> list[bytes]:
        """Go on with another replica, whose `nodes` are new; the pending ids that are gone.

        `dropped` are (old id, operation index) pairs of what is in no new node.
        """
        moved = {
            node_id: mapping.get(node_id) for node_id in self.pending if node_id not in replica
        }
        self._successors.update(moved)
        self._go_on_with(replica, dropped)
        # It was built whole, so everything in it looks new.
        replica.take_changes()
        self.pending.rewrite(moved, nodes, replica.graph)
        return list(moved)

    def _go_on_with(self, replica: Replica, dropped: Iterable[tuple[bytes, int]] = ()) -> None:
        """Let another replica take the place of the present one; what follows it follows that."""
        before = self.replica
        self.replica = replica
        self.generation += 1
        self._canonical = None
        succeed(Succession(before, replica, self.successor, dropped))

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

    def _note_changes(self, origin: Origin, nodes: Iterable[Node]) -> None:
        changed = self.replica.take_changes()
        if not changed or not self.is_observed:
            return
        authors: dict[Place, set[bytes]] = {}
        for node in nodes:
            for operation in () if node.body is None else node.operations():
                place = place_of(operation)
                if place is not None:
                    authors.setdefault(place, set()).add(node.author)
        for state_kind, key in sorted(changed):
            kind = KIND_OF_STATE[state_kind]
            self._changes.append(Change(kind, key, origin, frozenset(authors.get((kind, key), ()))))
