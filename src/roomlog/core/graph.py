"""The DAG of a room with run-length local versions.

A local version (LV) is the index of a node in order of arrival. Consecutive nodes of which each
has just the one before as its parent form one entry, so questions about ancestry walk entries,
not nodes. The representation follows diamond-types
(https://github.com/josephg/diamond-types/blob/master/INTERNALS.md).
"""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, final

_ONLY_A: Final = 0
_ONLY_B: Final = 1
_SHARED: Final = 2


@final
class Graph:
    """Ids, authors, clocks and parents of nodes, and questions about their order."""

    def __init__(self) -> None:
        self.frontier: list[int] = []
        """Heads, ascending. Not to be changed."""
        self._index: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._clocks = array("Q")
        self._author_starts: list[int] = []
        self._authors: list[bytes] = []
        self._starts: list[int] = []
        self._entry_parents: list[tuple[int, ...]] = []
        self._shadows: list[int] = []

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, node_id: bytes) -> bool:
        return node_id in self._index

    def add(self, node_id: bytes, author: bytes, clock: int, parents: Sequence[bytes]) -> int:
        """Add a node after its parents and return its LV; the old LV when it is known already.

        Raises KeyError when a parent is unknown; then nothing has changed.
        """
        known = self._index.get(node_id, -1)
        if known >= 0:
            return known
        index = self._index
        parent_lvs = sorted({index[parent] for parent in parents})
        lv = len(self._ids)
        index[node_id] = lv
        self._ids.append(node_id)
        self._clocks.append(clock)
        if not self._authors or self._authors[-1] != author:
            self._author_starts.append(lv)
            self._authors.append(author)
        if not (len(parent_lvs) == 1 and parent_lvs[0] == lv - 1):
            self._starts.append(lv)
            self._entry_parents.append(tuple(parent_lvs))
            self._shadows.append(self._shadow(lv, parent_lvs))
        if parent_lvs == self.frontier:
            self.frontier = [lv]
        else:
            self.frontier = [head for head in self.frontier if head not in parent_lvs]
            self.frontier.append(lv)
        return lv

    def _shadow(self, start: int, parents: list[int]) -> int:
        """The least LV from which on everything before ``start`` is an ancestor of it."""
        shadow = start
        while shadow > 0 and shadow - 1 in parents:
            shadow = self._shadows[bisect_right(self._starts, shadow - 1) - 1]
        return shadow

    def index_of(self, node_id: bytes) -> int:
        """The LV of a node, or -1 when it is unknown."""
        return self._index.get(node_id, -1)

    def id_of(self, lv: int) -> bytes:
        """The 32-byte id of a node."""
        return self._ids[lv]

    def clock_of(self, lv: int) -> int:
        """The clock of a node."""
        return self._clocks[lv]

    def author_of(self, lv: int) -> bytes:
        """The 32-byte author of a node."""
        return self._authors[bisect_right(self._author_starts, lv) - 1]

    def parents_of(self, lv: int) -> tuple[int, ...]:
        """The LVs of a node's parents, ascending."""
        entry = bisect_right(self._starts, lv) - 1
        if self._starts[entry] == lv:
            return self._entry_parents[entry]
        return (lv - 1,)

    def entry_of(self, lv: int) -> tuple[int, int, tuple[int, ...]]:
        """The linear chain ``lv`` lies in: start, end (not in it), parents of its start."""
        entry = bisect_right(self._starts, lv) - 1
        following = entry + 1
        end = self._starts[following] if following < len(self._starts) else len(self._ids)
        return self._starts[entry], end, self._entry_parents[entry]

    def frontier_ids(self) -> list[bytes]:
        """The ids of the heads, ascending as bytes."""
        return sorted([self._ids[lv] for lv in self.frontier])

    def is_ancestor(self, a: int, b: int) -> bool:
        """Whether ``a`` is ``b`` or lies in its history. O(1) on a linear run."""
        if a >= b:
            return a == b
        return self._reaches([b], a)

    def contains(self, version: Sequence[int], lv: int) -> bool:
        """Whether ``lv`` is in the history of ``version`` (its own nodes count)."""
        return self._reaches([head for head in version if head >= lv], lv)

    def _reaches(self, heads: list[int], target: int) -> bool:
        """Whether ``target`` is at or below one of ``heads``, none of which is less."""
        queue = sorted(heads)
        while queue:
            lv = queue.pop()
            if lv == target:
                return True
            entry = bisect_right(self._starts, lv) - 1
            if target >= self._shadows[entry]:
                return True
            start = self._starts[entry]
            while queue and queue[-1] >= start:
                queue.pop()
            for parent in self._entry_parents[entry]:
                if parent >= target:
                    _insert_once(queue, parent)
        return False

    def diff(
        self, a: Sequence[int], b: Sequence[int]
    ) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """What is only in the history of ``a``, and only in that of ``b``.

        Ascending half-open ranges of LVs.
        """
        only_a: list[tuple[int, int]] = []
        only_b: list[tuple[int, int]] = []
        flags: dict[int, int] = {}
        for lv in a:
            flags[lv] = _ONLY_A
        for lv in b:
            flags[lv] = _ONLY_B if flags.get(lv, _ONLY_B) == _ONLY_B else _SHARED
        queue = sorted(flags)
        unshared = sum(1 for flag in flags.values() if flag != _SHARED)
        while unshared:
            lv = queue.pop()
            flag = flags.pop(lv)
            if flag != _SHARED:
                unshared -= 1
            entry = bisect_right(self._starts, lv) - 1
            start = self._starts[entry]
            # Whatever of the queue lies in the same chain splits it into runs of one flag.
            while queue and queue[-1] >= start:
                below = queue.pop()
                below_flag = flags.pop(below)
                if below_flag != _SHARED:
                    unshared -= 1
                if below_flag != flag:
                    if flag == _ONLY_A:
                        only_a.append((below + 1, lv + 1))
                    elif flag == _ONLY_B:
                        only_b.append((below + 1, lv + 1))
                    lv = below
                    flag = _SHARED
            if flag == _ONLY_A:
                only_a.append((start, lv + 1))
            elif flag == _ONLY_B:
                only_b.append((start, lv + 1))
            for parent in self._entry_parents[entry]:
                known = flags.get(parent, -1)
                if known < 0:
                    flags[parent] = flag
                    _insert_once(queue, parent)
                    if flag != _SHARED:
                        unshared += 1
                elif known not in (flag, _SHARED):
                    flags[parent] = _SHARED
                    unshared -= 1
        return _joined(only_a), _joined(only_b)

    def ancestors(self, version: Sequence[int]) -> list[tuple[int, int]]:
        """Everything at or below ``version``: ascending half-open ranges of LVs."""
        return self.diff(version, [])[0]

    def heads_of(self, lvs: Sequence[int]) -> list[int]:
        """The maximal elements of ``lvs``, ascending: those in no other's history."""
        if len(lvs) < 2:
            return list(lvs)
        candidates = sorted(set(lvs))
        least = candidates[0]
        heads: list[int] = []
        below: list[int] = []
        while candidates:
            lv = candidates[-1]
            if not below or below[-1] < lv:
                candidates.pop()
                heads.append(lv)
                from_head = True
            else:
                lv = below.pop()
                from_head = False
            entry = bisect_right(self._starts, lv) - 1
            start = self._starts[entry]
            last = lv if from_head else lv + 1
            while candidates and start <= candidates[-1] < last:
                candidates.pop()
            while below and below[-1] >= start:
                below.pop()
            for parent in self._entry_parents[entry]:
                if parent >= least:
                    _insert_once(below, parent)
        heads.reverse()
        return heads


def _insert_once(queue: list[int], lv: int) -> None:
    """Put ``lv`` into the ascending ``queue`` unless it is there."""
    position = bisect_right(queue, lv)
    if position == 0 or queue[position - 1] != lv:
        queue.insert(position, lv)


def _joined(descending: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Descending ranges as ascending ones, neighbours made one."""
    ranges: list[tuple[int, int]] = []
    for start, end in reversed(descending):
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((start, end))
    return ranges
