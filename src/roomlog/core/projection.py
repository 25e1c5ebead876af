"""The room's graph seen from one key: which earlier nodes that touch the key a node builds on."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import final

from roomlog.core.graph import Graph


@final
class KeyProjection:
    """The nodes that touch one key, and the maximal ones below any version.

    Amortised O(1) while history is linear or the key's heads are all ancestors. Otherwise each
    run-length entry of the graph is asked once and remembered.
    """

    __slots__ = ("_below_entry", "_touched", "heads")

    def __init__(self) -> None:
        self.heads: list[int] = []
        """Maximal touching nodes, ascending. Not to be changed."""
        self._touched: list[int] = []
        self._below_entry: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return len(self._touched)

    def add(self, graph: Graph, lv: int) -> None:
        """Say that node ``lv``, greater than all before, touches the key."""
        if self._touched and self._touched[-1] >= lv:
            raise ValueError("touching nodes are added in ascending order")
        self.heads = [head for head in self.heads if not graph.is_ancestor(head, lv)]
        self.heads.append(lv)
        self._touched.append(lv)

    def parents(self, graph: Graph, lv: int) -> list[int]:
        """The maximal proper ancestors of ``lv`` that touch the key, ascending."""
        return self.below(graph, graph.parents_of(lv))

    def below(self, graph: Graph, version: Sequence[int]) -> list[int]:
        """The maximal nodes at or below ``version`` that touch the key, ascending."""
        heads = self.heads
        if all(graph.contains(version, head) for head in heads):
            return list(heads)
        found: set[int] = set()
        for lv in version:
            found.update(self._below_one(graph, lv))
        return graph.heads_of(sorted(found))

    def _below_one(self, graph: Graph, lv: int) -> list[int]:
        start, _, parents = graph.entry_of(lv)
        own = self._greatest_in(start, lv)
        if own >= 0:
            return [own]
        self._fill(graph, start, parents)
        return self._below_entry[start]

    def _fill(self, graph: Graph, start: int, parents: tuple[int, ...]) -> None:
        """Remember what lies below the entry at ``start``, and below all entries on the way."""
        stack = [(start, parents)]
        while stack:
            entry_start, entry_parents = stack[-1]
            if entry_start in self._below_entry:
                stack.pop()
                continue
            found: set[int] = set()
            complete = True
            for parent in entry_parents:
                parent_start, _, parent_parents = graph.entry_of(parent)
                own = self._greatest_in(parent_start, parent)
                if own >= 0:
                    found.add(own)
                elif parent_start in self._below_entry:
                    found.update(self._below_entry[parent_start])
                else:
                    stack.append((parent_start, parent_parents))
                    complete = False
            if complete:
                self._below_entry[entry_start] = graph.heads_of(sorted(found))
                stack.pop()

    def _greatest_in(self, start: int, last: int) -> int:
        """The greatest touching node in ``start..last``, or -1."""
        index = bisect_right(self._touched, last)
        if index == 0:
            return -1
        touched = self._touched[index - 1]
        return touched if touched >= start else -1
