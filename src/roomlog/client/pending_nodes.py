"""Own nodes that the server has not acknowledged, and which of them are to be pushed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, final

from roomlog.core.graph import Graph
from roomlog.core.node import Node

_NODE_OVERHEAD_BYTES: Final = 256


@final
class PendingNode:
    """One own node without an acknowledgment."""

    __slots__ = ("attempts", "is_durable", "node", "serial", "was_admitted")

    def __init__(self, node: Node, serial: int, *, is_durable: bool) -> None:
        self.node = node
        self.serial = serial
        """Order of writing; a node that is written again keeps it."""
        self.is_durable = is_durable
        """Whether the local store has it: before that it is not pushed."""
        self.attempts = 0
        """How often the server has put it off."""
        self.was_admitted = False
        """Whether it was in a log once, so that others may have built on it."""


@final
class PendingNodes:
    """Pending nodes by id, parents first, and those among them that no session was given yet."""

    def __init__(self) -> None:
        self.last_serial = 0
        self.size_bytes = 0
        """About what they take in packs."""
        self._by_id: dict[bytes, PendingNode] = {}
        self._unsent: dict[bytes, Node] = {}
        self._unstored: dict[bytes, PendingNode] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, node_id: object) -> bool:
        return node_id in self._by_id

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._by_id)

    def get(self, node_id: bytes) -> PendingNode | None:
        """The pending node of an id."""
        return self._by_id.get(node_id)

    def add(self, node: Node, *, is_durable: bool, was_admitted: bool = False) -> None:
        """A node was written."""
        self.last_serial += 1
        pending = PendingNode(node, self.last_serial, is_durable=is_durable)
        pending.was_admitted = was_admitted
        self._put(pending)

    def settle(self, node_ids: Iterable[bytes]) -> None:
        """Nodes are acknowledged."""
        for node_id in node_ids:
            pending = self._by_id.pop(node_id, None)
            if pending is not None:
                self.size_bytes -= _size_bytes(pending.node)
                self._unsent.pop(node_id, None)
                self._unstored.pop(node_id, None)

    def is_settled(self, serial: int) -> bool:
        """Whether nothing written up to `serial` is pending."""
        for pending in self._by_id.values():
            return pending.serial > serial
        return True

    def is_stored(self, serial: int) -> bool:
        """Whether everything written up to `serial`, or what it became, is on disk."""
        return all(pending.serial > serial for pending in self._unstored.values())

    def stored(self, node_ids: Iterable[bytes]) -> None:
        """Nodes are on disk and may be pushed."""
        for node_id in node_ids:
            pending = self._by_id.get(node_id)
            if pending is not None and not pending.is_durable:
                pending.is_durable = True
                del self._unstored[node_id]
                self._unsent[node_id] = pending.node

    def take_unsent(self) -> list[Node]:
        """Everything to push, parents first; a session has it from here on."""
        nodes = list(self._unsent.values())
        self._unsent = {}
        return nodes

    def sent(self, node_ids: Iterable[bytes]) -> None:
        """A session was given these in another way."""
        for node_id in node_ids:
            self._unsent.pop(node_id, None)

    @property
    def has_unsent(self) -> bool:
        """Whether there is something to push."""
        return bool(self._unsent)

    def send_all_again(self) -> None:
        """The session that had them is gone."""
        for pending in self._by_id.values():
            pending.attempts = 0
        self._requeue(self._by_id)

    def send_again(self, node_ids: Iterable[bytes]) -> None:
        """These were put off: they go among the unsent, in order."""
        self._requeue({*node_ids, *self._unsent})

    def _requeue(self, node_ids: Collection[bytes]) -> None:
        self._unsent = {
            node_id: pending.node
            for node_id, pending in self._by_id.items()
            if node_id in node_ids and pending.is_durable
        }

    def pend_again(self, nodes: Iterable[Node], graph: Graph) -> None:
        """Nodes that were acknowledged once are missing on the server: they lead the rest."""
        for node in nodes:
            pending = PendingNode(node, 0, is_durable=True)
            pending.was_admitted = True
            self._put(pending)
            self._unsent[node.id] = node
        self.sort(graph)

    def rewrite(
        self, mapping: Mapping[bytes, bytes | None], nodes: Sequence[Node], graph: Graph
    ) -> None:
        """Put new nodes in the place of those that `mapping` names.

        `nodes` are the new ones, parents first; those that no old one became, merges, belong to
        the next one that was.
        """
        serials: dict[bytes, int] = {}
        for node_id, new_id in mapping.items():
            pending = self._by_id[node_id]
            if new_id is not None:
                serials[new_id] = pending.serial
        self.settle(mapping)
        serial = self.last_serial
        for node in reversed(nodes):
            serial = serials.get(node.id, serial)
            self._put(PendingNode(node, serial, is_durable=False))
        self.sort(graph)

    def sort(self, graph: Graph) -> None:
        """Order of writing, and parents first where that does not tell."""
        order = sorted(
            self._by_id.values(), key=lambda each: (each.serial, graph.index_of(each.node.id))
        )
        self._by_id = {each.node.id: each for each in order}
        self._requeue(self._unsent)

    def _put(self, pending: PendingNode) -> None:
        self._by_id[pending.node.id] = pending
        if not pending.is_durable:
            self._unstored[pending.node.id] = pending
        self.size_bytes += _size_bytes(pending.node)


def _size_bytes(node: Node) -> int:
    return _NODE_OVERHEAD_BYTES + len(node.body or b"")
