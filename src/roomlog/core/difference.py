"""What is only in one of two histories, found a bounded number of steps at a time.

`Graph.diff` in one go holds up whoever shares its thread: between two long concurrent histories it
walks every chain of both.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import final

from roomlog.core.graph import Graph


@final
class Difference:
    """Everything in the history of ``a`` that is not in that of ``b``, both lists of LVs.

    The graph may grow between two steps: what is found concerns ``a`` and ``b`` alone.
    """

    __slots__ = ("_descending", "_graph", "_is_only_a", "_queue", "_unshared")

    def __init__(self, graph: Graph, a: Sequence[int], b: Sequence[int]) -> None:
        self._graph = graph
        self._descending: list[tuple[int, int]] = []
        # What is still to be walked: LVs, ascending, each either only in a so far, or also in b.
        self._is_only_a: dict[int, bool] = dict.fromkeys(a, True)
        for lv in b:
            self._is_only_a[lv] = False
        self._queue = sorted(self._is_only_a)
        self._unshared = sum(1 for only_a in self._is_only_a.values() if only_a)

    @property
    def is_complete(self) -> bool:
        """Whether everything was found."""
        return self._unshared == 0

    def advance(self, max_chains: int) -> bool:
        """Walk at most ``max_chains`` chains further; whether that was the last of it."""
        while self._unshared and max_chains > 0:
            self._walk_chain()
            max_chains -= 1
        return self._unshared == 0

    def ranges(self) -> list[tuple[int, int]]:
        """What was found: ascending half-open ranges of LVs."""
        joined: list[tuple[int, int]] = []
        for start, end in reversed(self._descending):
            if joined and joined[-1][1] == start:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        return joined

    def _walk_chain(self) -> None:
        """The newest that is left, down to the start of its chain."""
        queue, marks = self._queue, self._is_only_a
        lv = queue.pop()
        only_a = marks.pop(lv)
        if only_a:
            self._unshared -= 1
        start, _, parents = self._graph.entry_of(lv)
        while queue and queue[-1] >= start:
            below = queue.pop()
            if marks.pop(below):
                self._unshared -= 1
            elif only_a:
                # From here on down the chain is in both.
                self._descending.append((below + 1, lv + 1))
                only_a = False
        if only_a:
            self._descending.append((start, lv + 1))
        for parent in parents:
            known = marks.get(parent)
            if known is None:
                marks[parent] = only_a
                position = bisect_left(queue, parent)
                queue.insert(position, parent)
                if only_a:
                    self._unshared += 1
            elif known and not only_a:
                marks[parent] = False
                self._unshared -= 1
