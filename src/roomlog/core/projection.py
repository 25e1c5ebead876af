"""The room's graph seen from one key: which earlier nodes that touch the key a node builds on."""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, final

from roomlog.core.graph import Graph

_MAX_WALK: Final = 16
"""Entries walked before the remembered way is taken."""

_MAX_UNREDUCED: Final = 16
"""Nodes remembered below an entry before those that are below others are sorted out."""


@final
class KeyProjection:
    """The nodes that touch one key, and the maximal ones below any version.

    Amortised O(1) while history is linear or the key's heads are all ancestors. Otherwise each
    run-length entry of the graph is asked once and remembered.
    """

    __slots__ = ("_answer", "_asked", "_below_entry", "_heads", "_last", "_touched")

    def __init__(self) -> None:
        self._heads: list[int] = []
        self._touched: list[int] = []
        self._last = -1
        self._below_entry: dict[int, list[int]] = {}
        self._asked = -1
        self._answer: list[int] = []

    def __len__(self) -> int:
        return len(self._touched)

    @property
    def heads(self) -> list[int]:
        """The maximal touching nodes, ascending: a copy."""
        return self._heads.copy()

    def add(self, graph: Graph, lv: int) -> None:
        """Say that node ``lv``, greater than all before, touches the key."""
        if lv <= self._last:
            raise ValueError("touching nodes are added in ascending order")
        heads = self._heads
        below = self._answer if self._asked == lv else self.parents(graph, lv)
        if below == heads:
            heads.clear()
        else:
            for parent in below:
                if parent in heads:
                    heads.remove(parent)
        heads.append(lv)
        self._touched.append(lv)
        self._last = lv

    def touch(self, graph: Graph, lv: int) -> list[int]:
        """`parents`, then `add`."""
        parents = graph.parents_of(lv)
        last = self._last
        if len(parents) == 1 and parents[0] == last and lv > last:
            # The newest touching node is always a head, and the greatest one.
            self._heads[-1] = lv
            self._touched.append(lv)
            self._last = lv
            return [last]
        below = self.parents(graph, lv)
        self.add(graph, lv)
        return below

    def parents(self, graph: Graph, lv: int) -> list[int]:
        """The maximal proper ancestors of ``lv`` that touch the key, ascending."""
        answer = self.below(graph, graph.parents_of(lv))
        self._asked = lv
        self._answer = answer
        return answer.copy()

    def below(self, graph: Graph, version: Sequence[int]) -> list[int]:
        """The maximal nodes at or below ``version`` that touch the key, ascending."""
        heads = self._heads
        if len(version) == 1:
            head = version[0]
            if head == self._last or head in heads:
                return [head]
            if self._all_within(graph, version, heads):
                return heads.copy()
            return graph.heads_of(self._below_one(graph, head))
        if self._all_within(graph, version, heads):
            return heads.copy()
        found: list[int] = []
        for head in version:
            found.extend(self._below_one(graph, head))
        return graph.heads_of(found)

    def _all_within(self, graph: Graph, version: Sequence[int], heads: list[int]) -> bool:
        """Whether all heads are known to be at or below ``version``; no long walk is made."""
        return all(graph.contains_within(version, head, _MAX_WALK) == 1 for head in heads)

    def _below_one(self, graph: Graph, lv: int) -> list[int]:
        """Touching nodes at or below ``lv``, all maximal ones among them; not to be changed."""
        start, _, parents = graph.entry_of(lv)
        own = self._greatest_in(start, lv)
        if own >= 0:
            return [own]
        self._fill(graph, start, parents)
        return self._below_entry[start]

    def _fill(self, graph: Graph, start: int, parents: tuple[int, ...]) -> None:
        """Remember what lies below the entry at ``start``, and below all entries on the way."""
        below_entry = self._below_entry
        stack = [(start, parents)]
        while stack:
            entry_start, entry_parents = stack[-1]
            if entry_start in below_entry:
                stack.pop()
                continue
            found: list[int] = []
            complete = True
            for parent in entry_parents:
                parent_start, _, parent_parents = graph.entry_of(parent)
                own = self._greatest_in(parent_start, parent)
                below: list[int] | None
                if own >= 0:
                    below = [own]
                else:
                    below = below_entry.get(parent_start)
                    if below is None:
                        stack.append((parent_start, parent_parents))
                        complete = False
                        continue
                if not found:
                    found = below
                elif below != found:
                    found = _union(found, below)
            if complete:
                if len(found) > _MAX_UNREDUCED:
                    found = graph.heads_of(found)
                below_entry[entry_start] = found
                stack.pop()

    def _greatest_in(self, start: int, last: int) -> int:
        """The greatest touching node in ``start..last``, or -1."""
        index = bisect_right(self._touched, last)
        if index == 0:
            return -1
        touched = self._touched[index - 1]
        return touched if touched >= start else -1


def _union(one: list[int], other: list[int]) -> list[int]:
    """All elements once; both are short."""
    union = one.copy()
    for lv in other:
        if lv not in one:
            union.append(lv)
    return union
