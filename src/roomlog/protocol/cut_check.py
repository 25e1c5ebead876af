"""Whether a cut held what it promised: that both sides have the same nodes up to it.

Equal ids at one seq do not prove it. A server that went on from an older copy, and was given back
only a part of what it had lost, may have the same node at the same seq above others. Whatever of it
a client lacks is a head of the server's log, or below a node that comes without its parent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import final

from roomlog.core.graph import Graph
from roomlog.core.node import Node


@final
class CutCheck:
    """What is read behind one cut. `graph` is what is held, `heads` those of the server's log."""

    __slots__ = ("_graph", "_heads", "_received", "is_broken")

    def __init__(self, graph: Graph, heads: Iterable[bytes]) -> None:
        self.is_broken = False
        """Whether a node came whose parent is nowhere."""
        self._graph = graph
        self._heads = tuple(heads)
        self._received: set[bytes] = set()

    def takes(self, nodes: Sequence[Node]) -> bool:
        """Whether these, which came next, can be taken: all parents are there, and ever were."""
        for node in nodes:
            if self.is_broken or not all(map(self._is_there, node.parents)):
                self.is_broken = True
                return False
            self._received.add(node.id)
        return True

    def is_complete(self) -> bool:
        """Whether all heads of the log are there, and with them all that is below."""
        return not self.is_broken and all(map(self._is_there, self._heads))

    def _is_there(self, node_id: bytes) -> bool:
        return node_id in self._received or node_id in self._graph
