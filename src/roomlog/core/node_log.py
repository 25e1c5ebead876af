"""The nodes of a replica by local version, and what is asked for by id or by version.

Local versions below a snapshot's base have no nodes here, but for the heads of the snapshot.
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias, final

from roomlog.core.collector import pause_collector, resume_collector
from roomlog.core.errors import HistoryMissingError, InvalidValueError, UnknownNodeError
from roomlog.core.graph import Graph
from roomlog.core.node import Node
from roomlog.core.snapshot.base import SnapshotBase
from roomlog.core.state import State
from roomlog.core.waiting import WaitingNodes

Nodes: TypeAlias = list[Node]


@final
class NodeLog:
    """``nodes`` has one for each local version; those from ``first`` on are history that is here.

    ``base`` is the snapshot that stands for what is not, ``held`` has the nodes that need it.
    """

    __slots__ = ("base", "first", "graph", "held", "nodes")

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: Nodes = []
        self.base: SnapshotBase | None = None
        self.first = 0
        self.held = WaitingNodes()

    def begin(self, base: SnapshotBase) -> None:
        """Let the empty log and its graph begin with a snapshot."""
        self.base = base
        self.first = base.first_above
        base.begin_graph(self.graph)
        base.begin_nodes(self.nodes)

    def seq_of(self, place: int) -> int:
        """The log number of a place in the graph, when nodes came in the order of the log.

        A place is how many local versions are below it.
        """
        base = self.base
        return place if base is None else base.seq + place - base.first_above

    def place_of(self, seq: int) -> int:
        """The place of a log number: `seq_of` turned around."""
        base = self.base
        return seq if base is None else base.first_above + seq - base.seq

    def index(self, node_id: bytes) -> int:
        """The local version of a node. Raises `UnknownNodeError`."""
        lv = self.graph.index_of(node_id)
        if lv < 0:
            raise UnknownNodeError(node_id)
        return lv

    def node(self, node_id: bytes) -> Node:
        """The node of an id. Raises `UnknownNodeError` or `HistoryMissingError`."""
        return self._node(self.index(node_id))

    def has(self, node_id: bytes) -> bool:
        """Whether `node` would return one."""
        lv = self.graph.index_of(node_id)
        base = self.base
        return lv >= 0 and (base is None or lv >= base.first_head)

    def _node(self, lv: int) -> Node:
        base = self.base
        if base is not None and lv < base.first_head:
            raise HistoryMissingError(base.seq)
        return self.nodes[lv]

    def require_all(self) -> None:
        """Raise `HistoryMissingError` when there is a base."""
        if self.base is not None:
            raise HistoryMissingError(self.base.seq)

    def above(self, ids: Iterable[bytes]) -> list[int]:
        """The local versions from `first` on at or below the version ``ids``, ascending.

        Raises `UnknownNodeError`, and `HistoryMissingError` when the version does not have all of
        the base in its history.
        """
        version = [self.index(node_id) for node_id in ids]
        if self.base is not None:
            self.base.require(version)
        lvs: list[int] = []
        for start, stop in self.graph.ancestors(version):
            lvs.extend(range(max(start, self.first), stop))
        return lvs

    def between(self, since: Iterable[bytes], frontier: Iterable[bytes]) -> Nodes:
        """The nodes in the history of ``frontier`` but not of ``since``, parents first.

        Raises `UnknownNodeError`, and `HistoryMissingError` when some of them are not here.
        """
        ranges, _ = self.graph.diff(
            [self.index(node_id) for node_id in frontier],
            [self.index(node_id) for node_id in since],
        )
        base = self.base
        nodes: Nodes = []
        for start, stop in ranges:
            if base is not None and start < base.first_above:
                raise HistoryMissingError(base.seq)
            nodes.extend(self.nodes[start:stop])
        return nodes

    def build(self, state: State, lvs: Sequence[int]) -> None:
        """Fill an empty state with the base, if any, and then with nodes of this log."""
        if self.base is not None:
            self.base.begin_state(state)
        self.apply(state, lvs)
        state.follow_on()

    def apply(self, state: State, lvs: Sequence[int]) -> None:
        """Take nodes of this log into ``state`` together; their parsed form is not kept."""
        was_running = pause_collector()
        try:
            nodes = [self.nodes[lv] for lv in lvs]
            state.apply_batch(lvs, [node.known_operations() for node in nodes])
            for node in nodes:
                node.forget_operations()
        finally:
            resume_collector(was_running)

    def select(self, since: Iterable[bytes] | None, ids: Iterable[bytes] | None) -> Nodes:
        """The nodes of ``ids``, else those that are not in the history of ``since``, else all.

        In topological order. Unknown ids in ``since`` count for nothing. What is held goes along
        unless ``ids`` are given.
        """
        if ids is not None:
            if since is not None:
                raise InvalidValueError("since: not together with ids")
            return [self._node(lv) for lv in sorted({self.index(node_id) for node_id in ids})]
        if since is None:
            nodes = self.nodes[self.first :]
        else:
            known = [self.graph.index_of(node_id) for node_id in since]
            version = [lv for lv in known if lv >= 0]
            nodes = []
            for start, stop in self.graph.diff(self.graph.frontier, version)[0]:
                nodes.extend(self.nodes[max(start, self.first) : stop])
        # A node's clock is greater than its parents'.
        nodes.extend(sorted(self.held, key=_clock_of))
        return nodes


def _clock_of(node: Node) -> int:
    return node.clock
