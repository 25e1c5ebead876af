"""A bounded place for nodes whose parents have not arrived."""

from collections.abc import Iterator, Sequence
from typing import Final, final

from roomlog.core.node import Node

DEFAULT_MAX_NODES: Final = 65_536
DEFAULT_MAX_BYTES: Final = 64 * 1024 * 1024
_NODE_OVERHEAD_BYTES: Final = 512
_PARENT_OVERHEAD_BYTES: Final = 384
"""An awaited id has a set of its own: objects, not bytes, are what waiting nodes mostly are."""


@final
class WaitingNodes:
    """Nodes by what they wait for. Bounded by count, and by the memory of body and parents."""

    def __init__(
        self, max_nodes: int = DEFAULT_MAX_NODES, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        self._max_nodes = max_nodes
        self._max_bytes = max_bytes
        self._bytes = 0
        self._nodes: dict[bytes, Node] = {}
        self._missing_counts: dict[bytes, int] = {}
        # Waiting ids by awaited id; the inner dict is an ordered set.
        self._waiters: dict[bytes, dict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, node_id: bytes) -> bool:
        return node_id in self._nodes

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    @property
    def size_bytes(self) -> int:
        """What the waiting nodes count against the bound."""
        return self._bytes

    def missing_ids(self) -> list[bytes]:
        """Awaited ids that are not waiting here themselves: what to ask others for."""
        return [node_id for node_id in self._waiters if node_id not in self._nodes]

    def add(self, node: Node, missing: Sequence[bytes]) -> bool:
        """Keep ``node`` until each of ``missing`` (at least one, no duplicates) is resolved.

        False when it does not fit; True also when it waits here already.
        """
        if not missing:
            raise ValueError("a node that misses nothing does not wait")
        node_id = node.id
        if node_id in self._nodes:
            return True
        size_bytes = _size_bytes(node)
        if len(self._nodes) >= self._max_nodes or self._bytes + size_bytes > self._max_bytes:
            return False
        self._bytes += size_bytes
        self._nodes[node_id] = node
        self._missing_counts[node_id] = len(missing)
        for parent in missing:
            waiters = self._waiters.get(parent)
            if waiters is None:
                self._waiters[parent] = {node_id: None}
            else:
                waiters[node_id] = None
        return True

    def fill(self, whole: Node) -> bool:
        """Give a node that waits without its body the one of ``whole``, checked by the caller.

        False when it does not wait, has its body, or the body does not fit.
        """
        node = self._nodes.get(whole.id)
        body = whole.body
        if node is None or node.body is not None or body is None:
            return False
        if self._bytes + len(body) > self._max_bytes:
            return False
        self._bytes += len(body)
        node.body = body
        return True

    def resolve(self, node_id: bytes) -> list[Node]:
        """Take out the nodes that waited for ``node_id`` last, in order of arrival.

        Ask again for each of them once it is in the graph: so chains come out parents first.
        """
        waiters = self._waiters.pop(node_id, None)
        if waiters is None:
            return []
        ready: list[Node] = []
        for waiter in waiters:
            left = self._missing_counts[waiter] - 1
            if left:
                self._missing_counts[waiter] = left
            else:
                ready.append(self._take(waiter))
        return ready

    def drop_descendants(self, node_id: bytes) -> list[Node]:
        """Take out everything that waits for ``node_id``, directly or not: it was refused."""
        dropped: list[Node] = []
        refused = [node_id]
        while refused:
            for waiter in self._waiters.pop(refused.pop(), ()):
                node = self._take(waiter)
                self._forget_waiter(node)
                dropped.append(node)
                refused.append(waiter)
        return dropped

    def clear(self) -> None:
        """Forget everything that waits."""
        self._nodes.clear()
        self._missing_counts.clear()
        self._waiters.clear()
        self._bytes = 0

    def _take(self, node_id: bytes) -> Node:
        node = self._nodes.pop(node_id)
        del self._missing_counts[node_id]
        self._bytes -= _size_bytes(node)
        return node

    def _forget_waiter(self, node: Node) -> None:
        """Remove a dropped node from what waits for its other missing parents."""
        for parent in node.parents:
            waiters = self._waiters.get(parent)
            if waiters is not None:
                waiters.pop(node.id, None)
                if not waiters:
                    del self._waiters[parent]


def _size_bytes(node: Node) -> int:
    body = node.body
    size_bytes = _NODE_OVERHEAD_BYTES + _PARENT_OVERHEAD_BYTES * len(node.parents)
    return size_bytes + (0 if body is None else len(body))
