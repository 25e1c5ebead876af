"""The DAG of a room with run-length local versions.

A local version (LV) is the index of a node in order of arrival. Consecutive nodes of which each
has just the one before as its parent form one entry, so questions about ancestry walk entries,
not nodes. The representation follows diamond-types
(https://github.com/josephg/diamond-types/blob/master/INTERNALS.md).
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, final

_ONLY_A: Final = 0
_ONLY_B: Final = 1
_SHARED: Final = 2

# Where entries lie is kept for every so many LVs, so that finding one takes a few steps.
_BLOCK_BITS: Final = 4
_BLOCK_MASK: Final = (1 << _BLOCK_BITS) - 1

_YES: Final = 1
_NO: Final = 0
_UNDECIDED: Final = -1
_UNBOUNDED: Final = -1


BASE_ID: Final = b""
"""What a base is called in place of an id: nothing that is named by 32 bytes can be it."""


@final
class Graph:
    """Ids, authors, clocks and parents of nodes, and questions about their order."""

    __slots__ = (
        "_author_starts",
        "_authors",
        "_block_entries",
        "_clocks",
        "_entry_parents",
        "_frontier",
        "_ids",
        "_index",
        "_last_author",
        "_last_id",
        "_last_start",
        "_shadows",
        "_starts",
    )

    def __init__(self) -> None:
        self._frontier: list[int] = []
        self._index: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._clocks = array("Q")
        self._author_starts: list[int] = []
        self._authors: list[bytes] = []
        self._starts: list[int] = []
        self._block_entries: list[int] = []
        self._entry_parents: list[tuple[int, ...]] = []
        self._shadows: list[int] = []
        self._last_id = b""
        self._last_author = b""
        self._last_start = 0

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, node_id: bytes) -> bool:
        return node_id in self._index

    @property
    def frontier(self) -> list[int]:
        """The heads, ascending: a copy."""
        return self._frontier.copy()

    def add(self, node_id: bytes, author: bytes, clock: int, parents: Sequence[bytes]) -> int:
        """Add a node after its parents and return its LV; the old LV when it is known already.

        Raises KeyError when a parent is unknown; then nothing has changed.
        """
        lv = len(self._ids)
        index = self._index
        if len(parents) == 1 and parents[0] == self._last_id:
            # On top of the newest node, which is always a head and the last of the frontier.
            known = index.setdefault(node_id, lv)
            if known != lv:
                return known
            self._frontier[-1] = lv
        else:
            known = index.get(node_id, -1)
            if known >= 0:
                return known
            self._start_entry(lv, sorted({index[parent] for parent in parents}))
            index[node_id] = lv
        if lv & _BLOCK_MASK == 0:
            self._block_entries.append(len(self._starts) - 1)
        self._last_id = node_id
        self._ids.append(node_id)
        self._clocks.append(clock)
        if author != self._last_author:
            self._last_author = author
            self._author_starts.append(lv)
            self._authors.append(author)
        return lv

    def add_base(self, ghosts: Sequence[bytes], clock: int) -> None:
        """Begin an empty graph with the base of a history that is not here.

        ``ghosts`` are ids of nodes within it that are referred to, each once; they come first, in
        one run with the base, which is called `BASE_ID` and has the greatest clock of that history.
        What is known of a ghost is its id.
        """
        assert not self._ids
        self._ids.extend(ghosts)
        self._ids.append(BASE_ID)
        lv = len(ghosts)
        for index, node_id in enumerate(self._ids):
            self._index[node_id] = index
        self._clocks.extend([0] * lv)
        self._clocks.append(clock)
        self._author_starts.append(0)
        self._authors.append(b"")
        self._starts.append(0)
        self._entry_parents.append(())
        self._shadows.append(0)
        self._block_entries.extend([0] * ((lv >> _BLOCK_BITS) + 1))
        self._frontier.append(lv)

    def _start_entry(self, lv: int, parents: list[int]) -> None:
        self._starts.append(lv)
        self._last_start = lv
        self._entry_parents.append(tuple(parents))
        frontier = self._frontier
        if parents == frontier:
            # Everything before lies below all heads.
            self._shadows.append(0)
            frontier.clear()
        else:
            self._shadows.append(self._shadow(lv, parents))
            for parent in parents:
                position = bisect_left(frontier, parent)
                if position < len(frontier) and frontier[position] == parent:
                    del frontier[position]
        frontier.append(lv)

    def _shadow(self, start: int, parents: list[int]) -> int:
        """The least LV from which on everything before ``start`` is an ancestor of it."""
        shadow = start
        while shadow > 0 and shadow - 1 in parents:
            shadow = self._shadows[self._entry_index(shadow - 1)]
        return shadow

    def _entry_index(self, lv: int) -> int:
        """The index of the entry that ``lv`` lies in; questions are mostly about the newest."""
        starts = self._starts
        if lv >= self._last_start:
            return len(starts) - 1
        block = lv >> _BLOCK_BITS
        blocks = self._block_entries
        entry = blocks[block]
        end = blocks[block + 1] if block + 1 < len(blocks) else len(starts) - 1
        while entry < end:
            middle = (entry + end + 1) >> 1
            if starts[middle] <= lv:
                entry = middle
            else:
                end = middle - 1
        return entry

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
        entry = self._entry_index(lv)
        if self._starts[entry] == lv:
            return self._entry_parents[entry]
        return (lv - 1,)

    def entry_of(self, lv: int) -> tuple[int, int, tuple[int, ...]]:
        """The linear chain ``lv`` lies in: start, end (not in it), parents of its start."""
        entry = self._entry_index(lv)
        following = entry + 1
        end = self._starts[following] if following < len(self._starts) else len(self._ids)
        return self._starts[entry], end, self._entry_parents[entry]

    def frontier_ids(self) -> list[bytes]:
        """The ids of the heads, ascending as bytes."""
        return sorted([self._ids[lv] for lv in self._frontier])

    def is_ancestor(self, a: int, b: int) -> bool:
        """Whether ``a`` is ``b`` or lies in its history. O(1) on a linear run."""
        if a >= b:
            return a == b
        entry = self._entry_index(b)
        if a >= self._shadows[entry]:
            return True
        return self._reaches(_at_least(self._entry_parents[entry], a), a, _UNBOUNDED) == _YES

    def contains(self, version: Sequence[int], lv: int) -> bool:
        """Whether ``lv`` is in the history of ``version`` (its own nodes count)."""
        return self.contains_within(version, lv, _UNBOUNDED) == _YES

    def contains_within(self, version: Sequence[int], lv: int, max_entries: int) -> int:
        """As `contains`, 1 or 0; -1 when more than ``max_entries`` entries had to be walked."""
        if len(version) == 1:
            head = version[0]
            if lv >= head:
                return _YES if lv == head else _NO
            if lv >= self._shadows[self._entry_index(head)]:
                return _YES
        return self._reaches(_at_least(version, lv), lv, max_entries)

    def _reaches(self, queue: list[int], target: int, max_entries: int) -> int:
        """Whether ``target`` is at or below a node of ``queue``, none of which is less.

        ``queue`` is ascending and used up.
        """
        while queue:
            lv = queue.pop()
            if lv == target:
                return _YES
            entry = self._entry_index(lv)
            if target >= self._shadows[entry]:
                return _YES
            if max_entries == 0:
                return _UNDECIDED
            max_entries -= 1
            start = self._starts[entry]
            while queue and queue[-1] >= start:
                queue.pop()
            for parent in self._entry_parents[entry]:
                if parent >= target:
                    _insert_once(queue, parent)
        return _NO

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
            entry = self._entry_index(lv)
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
            entry = self._entry_index(lv)
            start = self._starts[entry]
            shadow = self._shadows[entry]
            last = lv if from_head else lv + 1
            while candidates and shadow <= candidates[-1] < last:
                candidates.pop()
            while below and below[-1] >= start:
                below.pop()
            for parent in self._entry_parents[entry]:
                if parent >= least:
                    _insert_once(below, parent)
        heads.reverse()
        return heads


def _at_least(lvs: Sequence[int], least: int) -> list[int]:
    """Those of ``lvs`` not below ``least``, ascending and once each."""
    kept: list[int] = []
    for lv in lvs:
        if lv >= least:
            _insert_once(kept, lv)
    return kept


def _insert_once(queue: list[int], lv: int) -> None:
    """Put ``lv`` into the ascending ``queue`` unless it is there."""
    if not queue or queue[-1] < lv:
        queue.append(lv)
        return
    position = bisect_left(queue, lv)
    if queue[position] != lv:
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
