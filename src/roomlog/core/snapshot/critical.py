"""Critical places of a log: where everything later has everything earlier in its history.

Here a local version is a log number less one, so place ``seq`` parts the nodes below local version
``seq`` from the others. A node above it has all below in its history if a parent of it is above as
well (and so has it), or if its parents name every head of what is below. So questions are about
the entries of the graph, which are runs, not about its nodes.
"""

from collections.abc import Sequence
from typing import Final, final

from roomlog.core.graph import Graph
from roomlog.core.node import MAX_PARENTS

MAX_HEADS: Final = MAX_PARENTS
"""A place with more heads than this counts for nothing: no node could name them all."""


@final
class _Shape:
    """The entries of a graph, and who is whose first child."""

    __slots__ = ("ends", "first_children", "head_counts", "lasts", "parents", "starts")

    def __init__(self, graph: Graph) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.parents: list[tuple[int, ...]] = []
        self.lasts: set[int] = set()
        # The least child of a node other than the next one of its run.
        self.first_children: dict[int, int] = {}
        # How many heads there are before each entry, and in the end.
        self.head_counts: list[int] = []
        heads: set[int] = set()
        lv = 0
        count = len(graph)
        while lv < count:
            start, end, parents = graph.entry_of(lv)
            self.starts.append(start)
            self.ends.append(end)
            self.parents.append(parents)
            self.lasts.add(end - 1)
            self.head_counts.append(len(heads))
            for parent in parents:
                if parent not in self.first_children:
                    self.first_children[parent] = start
                heads.discard(parent)
            heads.add(end - 1)
            lv = end
        self.head_counts.append(len(heads))

    def heads_among(self, lvs: Sequence[int], seq: int) -> int:
        """How many of ``lvs`` are heads of what is below ``seq``, the end of an entry."""
        count = 0
        for lv in lvs:
            if lv in self.lasts and self.first_children.get(lv, seq) >= seq:
                count += 1
        return count


def newest_critical(graph: Graph, most_seq: int, least_seq: int = 1) -> int:
    """The greatest critical place from ``least_seq`` to ``most_seq``, 0 when there is none.

    Linear in the entries of the graph and their parents.
    """
    shape = _Shape(graph)
    # Entries by their greatest parent, of those later than the one looked at.
    on_top: dict[int, list[int]] = {}
    lowest = len(graph)
    for index in range(len(shape.starts) - 1, -1, -1):
        start = shape.starts[index]
        end = shape.ends[index]
        if end < least_seq:
            break
        # Whatever comes later reaches down to ``lowest`` at most: not below the place's last node.
        seq = min(end, most_seq, lowest + 1)
        if seq > start and seq >= least_seq:
            heads = shape.heads_among(shape.parents[index], start)
            if heads == shape.head_counts[index]:
                # The run is on top of all before it: each of its places has one head.
                return seq
            if seq == end and _is_named_by_all(shape, index, on_top.get(end - 1)):
                return seq
        parents = shape.parents[index]
        greatest = parents[-1] if parents else -1
        lowest = min(lowest, greatest)
        beginning = on_top.get(greatest)
        if beginning is None:
            on_top[greatest] = [index]
        else:
            beginning.append(index)
    return 0


def _is_named_by_all(shape: _Shape, index: int, children: list[int] | None) -> bool:
    """Whether the ``children`` of what lies up to the end of an entry name each head of it."""
    head_count = shape.head_counts[index + 1]
    if head_count > MAX_HEADS:
        return False
    if children is not None:
        end = shape.ends[index]
        for child in children:
            if shape.heads_among(shape.parents[child], end) != head_count:
                return False
    return True


@final
class CriticalPlace:
    """One place of a growing graph, and whether it is critical still.

    ``seq`` is from 1 to the length of the graph. Once uncritical, it is so for good. Who has found
    out elsewhere that it is critical among the first ``looked_at`` nodes says so with its
    ``heads``, and nothing of these nodes is looked at again.
    """

    __slots__ = ("_graph", "_heads", "_is_critical", "_looked_at", "seq")

    def __init__(
        self, graph: Graph, seq: int, heads: Sequence[int] | None = None, looked_at: int = 0
    ) -> None:
        if not 1 <= seq <= len(graph):
            raise ValueError(f"seq {seq} is outside of 1..{len(graph)}")
        self.seq = seq
        self._graph = graph
        self._heads = _heads_below(graph, seq) if heads is None else set(heads)
        self._is_critical = len(self._heads) <= MAX_HEADS
        self._looked_at = max(seq, looked_at)

    @property
    def heads(self) -> list[int]:
        """The heads of what is below the place: local versions, ascending."""
        return sorted(self._heads)

    def holds(self) -> bool:
        """Whether every node of the graph above the place has all below it in its history.

        Looks at what was added since the last call: O(parents) for each run.
        """
        graph = self._graph
        lv = self._looked_at
        count = len(graph)
        while self._is_critical and lv < count:
            start, end, parents = graph.entry_of(lv)
            self._is_critical = self.is_above(parents if start == lv else (lv - 1,))
            lv = end
        self._looked_at = count
        return self._is_critical

    def is_above(self, parents: Sequence[int]) -> bool:
        """Whether a node with these parents has all below the place in its history.

        Parents above the place must have.
        """
        named = 0
        for parent in parents:
            if parent >= self.seq:
                return True
            if parent in self._heads:
                named += 1
        return named == len(self._heads)


def _heads_below(graph: Graph, seq: int) -> set[int]:
    """The heads of the nodes below local version ``seq``."""
    heads: set[int] = set()
    lv = 0
    while lv < seq:
        _, end, parents = graph.entry_of(lv)
        heads.difference_update(parents)
        heads.add(min(end, seq) - 1)
        lv = end
    return heads
