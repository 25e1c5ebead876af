"""The base of a replica that began with a snapshot: what stands for the history it does not have.

In the graph it is a run of *ghosts*, one for each node that inserted a list item which is still
there, then one nameless node, the *base*, that wrote all values and texts, then the heads of the
snapshot with their own ids, authors and clocks. So item references, ties and ancestry need no
other rules. What is accepted above has all of it in its history.
"""

from collections.abc import Sequence
from typing import Final, final

from roomlog.core.collector import pause_collector, resume_collector
from roomlog.core.crdt.list import ListItem
from roomlog.core.crdt.map import BLOB, VALUE, BlobReference
from roomlog.core.errors import HistoryMissingError
from roomlog.core.graph import BASE_ID, Graph
from roomlog.core.node import CHANGE, Node
from roomlog.core.snapshot.facts import OpenedSnapshot
from roomlog.core.state import COUNTER, LIST, MAP, TEXT, State

_GHOST: Final = Node(b"", b"", 0, CHANGE, (), b"", None, None)
"""Stands in the list of nodes for every node that is not here."""


@final
class SnapshotBase:
    """An opened snapshot as the first local versions of a graph.

    ``first_above`` is the local version of the first node above the snapshot.
    """

    __slots__ = ("_ghosts", "first_above", "first_head", "opened")

    def __init__(self, opened: OpenedSnapshot) -> None:
        self.opened = opened
        heads = {node.id for node in opened.frontier}
        ghosts: dict[bytes, None] = {}
        for _, items in opened.state.lists:
            for item in items:
                ghosts[item[0]] = None
        self._ghosts = [node_id for node_id in ghosts if node_id not in heads]
        self.first_head = len(self._ghosts) + 1
        self.first_above = self.first_head + len(opened.frontier)

    @property
    def seq(self) -> int:
        """The log number of the snapshot."""
        return self.opened.seq

    @property
    def lv(self) -> int:
        """The local version that wrote what the snapshot says."""
        return self.first_head - 1

    def begin_graph(self, graph: Graph) -> None:
        """Fill an empty graph."""
        graph.add_base(self._ghosts, self.opened.state.clock)
        for node in self.opened.frontier:
            graph.add(node.id, node.author, node.clock, (BASE_ID,))

    def begin_nodes(self, nodes: list[Node]) -> None:
        """Fill an empty list of nodes: ghosts, then the heads, by local version."""
        nodes.extend([_GHOST] * self.first_head)
        nodes.extend(self.opened.frontier)

    def begin_state(self, state: State) -> None:
        """Fill an empty state over a graph that `begin_graph` filled. Nothing counts as changed."""
        was_running = pause_collector()
        try:
            self._fill(state, self.lv)
        finally:
            resume_collector(was_running)

    def _fill(self, state: State, lv: int) -> None:
        content = self.opened.state
        state.unknown_operations = content.unknown_operations
        for key, value in content.maps:
            tag = BLOB if isinstance(value, BlobReference) else VALUE
            state.maps.write(key, tag, value, lv, 0)
        for key, amount in content.counters:
            state.counters.add(key, amount)
        graph = state.graph
        for key, items in content.lists:
            loaded: list[ListItem] = []
            for node_id, operation_index, position, value in items:
                item = ListItem(graph.index_of(node_id), operation_index, position, value)
                item.value_lv = lv
                item.position_lv = lv
                loaded.append(item)
            state.open_list(key).load(loaded)
        for key, text in content.texts:
            state.begin_text(key, lv, text)

    def keys(self) -> set[tuple[int, str]]:
        """The (kind, key) pairs of everything in the snapshot."""
        content = self.opened.state
        was_running = pause_collector()
        try:
            keys = {(MAP, key) for key, _ in content.maps}
            keys.update([(COUNTER, key) for key, _ in content.counters])
            keys.update([(LIST, key) for key, _ in content.lists])
            keys.update([(TEXT, key) for key, _ in content.texts])
            return keys
        finally:
            resume_collector(was_running)

    def text(self, key: str) -> tuple[int, str] | None:
        """The text of ``key`` and the local version that wrote it, None when there is none."""
        for other, text in self.opened.state.texts:
            if other == key:
                return self.lv, text
        return None

    def is_below(self, lvs: Sequence[int]) -> bool:
        """Whether a version of these nodes has the whole snapshot in its history."""
        named = 0
        for lv in lvs:
            if lv >= self.first_above:
                return True
            if lv >= self.first_head:
                named += 1
        return named == self.first_above - self.first_head

    def require(self, lvs: Sequence[int]) -> None:
        """Raise `HistoryMissingError` unless `is_below`."""
        if not self.is_below(lvs):
            raise HistoryMissingError(self.seq)
