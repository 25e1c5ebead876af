"""Writing nodes: open edits become history, wide frontiers are merged first."""

from collections.abc import Sequence
from typing import TypeAlias, final

from roomlog.core.clock import CLOCK_LIMIT, greatest_clock, next_clock
from roomlog.core.errors import ClockExhaustedError, RoomlogError
from roomlog.core.graph import Graph
from roomlog.core.node import CHANGE, MAX_PARENTS, MERGE, Node, NodeHasher, make_node
from roomlog.core.open_edits import OpenEdits
from roomlog.core.operation import Operation
from roomlog.core.signing import Signer
from roomlog.core.state import State

NodeIds: TypeAlias = list[bytes]


@final
class NodeWriter:
    """Writes the nodes of one replica into its graph and its list of nodes."""

    def __init__(  # noqa: PLR0917 - the parts of a replica
        self,
        graph: Graph,
        nodes: list[Node],
        state: State,
        edits: OpenEdits,
        hasher: NodeHasher,
        identity: Signer | None,
    ) -> None:
        self._graph = graph
        self._nodes = nodes
        self._state = state
        self._edits = edits
        self._hasher = hasher
        self._identity = identity

    def merge(self, now_ms: int | None) -> bytes:
        """Sign a merge node over the frontier and return its id.

        Raises RoomlogError when there is one head or none: there is nothing to merge.
        """
        graph = self._graph
        if len(graph.frontier) < 2:
            raise RoomlogError("fewer than two heads: nothing to merge")
        heads = [graph.id_of(lv) for lv in graph.frontier]
        nodes: list[Node] = []
        clock = next_clock(now_ms, greatest_clock(graph, graph.frontier))
        heads = self._merge_down(heads, clock, nodes)
        nodes.append(self._node(MERGE, clock + len(nodes), heads, []))
        self._keep(nodes)
        return nodes[-1].id

    def commit(self, now_ms: int | None, parents: Sequence[bytes] | None) -> NodeIds:
        """Write the open edits on ``parents``, or on the frontier when they are None.

        All nodes are made and signed before the first one counts: a signer may fail.
        """
        edits = self._edits
        if not edits.is_open:
            return []
        graph = self._graph
        first = len(graph)
        clock = next_clock(now_ms, greatest_clock(graph, graph.frontier))
        nodes: list[Node] = []
        if parents is None or len(graph.frontier) > MAX_PARENTS:
            heads = [graph.id_of(lv) for lv in graph.frontier]
            parents = self._merge_down(heads, clock, nodes)
        merges = len(nodes)
        segments = edits.close()
        edits.settle_positions(clock + merges)
        for segment in segments:
            for reference, lv in segment.references:
                reference.node = nodes[lv - first].id
            node = self._node(CHANGE, clock + len(nodes), parents, segment.operations)
            nodes.append(node)
            parents = (node.id,)
        if edits.recorder is not None:
            edits.recorder.committed(now_ms)
        edits.clear()
        self._keep(nodes)
        for number, segment in enumerate(segments):
            self._state.adopt(first + merges + number, segment.operations)
        return [node.id for node in nodes]

    def _merge_down(self, heads: Sequence[bytes], clock: int, nodes: list[Node]) -> NodeIds:
        """Add merges to ``nodes``, from ``clock`` on, until at most 64 heads are left; those."""
        left = [*heads]
        while len(left) > MAX_PARENTS:
            merge = self._node(MERGE, clock + len(nodes), left[:MAX_PARENTS], [])
            nodes.append(merge)
            left = [*left[MAX_PARENTS:], merge.id]
        return left

    def _node(
        self, kind: int, clock: int, parents: Sequence[bytes], operations: Sequence[Operation]
    ) -> Node:
        if clock >= CLOCK_LIMIT:
            raise ClockExhaustedError(f"clock {clock} is not below {CLOCK_LIMIT}")
        return make_node(self._hasher, self._identity, kind, clock, parents, operations)

    def _keep(self, nodes: Sequence[Node]) -> None:
        """Take nodes that were just written into the graph."""
        for node in nodes:
            self._graph.add(node.id, node.author, node.clock, node.parents)
            self._nodes.append(node)
            node.forget_operations()
