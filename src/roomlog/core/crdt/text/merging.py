"""What a document knows of its history's shape: heads, critical versions, the walk kept alive.

A version is *critical* when every node known is in its history or has it in its own. What is
written on a critical version goes into the text as it is; a walk never has to begin before one.
"""

from collections.abc import Callable, Sequence
from typing import Final, final

from roomlog.core.crdt.text.edit import TextStats
from roomlog.core.crdt.text.history import NOTHING, Entry, TextHistory
from roomlog.core.crdt.text.plan import walk_order
from roomlog.core.crdt.text.walker import Walker

_SLACK: Final = 64  # local versions a walk may lag behind beyond its own size before it is dropped


@final
class MergeState:
    """History, heads, critical entries (a stack, oldest first) and at most one walk.

    The walk is kept while it may be needed again, and lags behind what goes into the text directly:
    dropping it at every critical version costs several times more. Above `span_limit` spans it is
    dropped, and planned anew when next needed.
    """

    __slots__ = (
        "_span_limit",
        "_span_limit_now",
        "critical",
        "head_nodes",
        "heads",
        "history",
        "stats",
        "tie_break",
        "walker",
    )

    def __init__(self, tie_break: Callable[[int], bytes], span_limit: int) -> None:
        if span_limit < 1:
            raise ValueError("span_limit must be at least 1")
        self.tie_break: Callable[[int], bytes] = tie_break
        self._span_limit: int = span_limit
        self._span_limit_now: int = span_limit
        self.history: TextHistory = TextHistory()
        self.heads: list[Entry] = []
        self.head_nodes: list[int] = []  # the last node of each head
        self.critical: list[Entry] = []
        self.walker: Walker | None = None
        self.stats: TextStats = TextStats()

    def found(self, node: int, length: int) -> None:
        """Begin with a critical version of `length` characters instead of with nothing.

        It takes one local version, which does nothing: only the length after it is asked for.
        """
        history = self.history
        entry = history.open([])
        entry.append(NOTHING, 0, 1, length)
        entry.critical = True
        self.critical.append(entry)
        history.base_node = node
        history.next_version = 1
        history.note_node(node, 0, 1)
        self.set_head(node, entry)
        self.stats.local_versions = 1

    def direct_entry(self) -> Entry:
        """The entry that takes edits made at the heads: the only head itself where possible."""
        walker = self.walker
        if walker is not None and self.history.next_version - walker.upto > walker.events + _SLACK:
            self.drop_walker()
        heads = self.heads
        if len(heads) == 1:
            entry = heads[0]
            if entry.critical:
                # The only head and critical: nothing is written on it or beside it.
                assert not entry.forked
                assert not entry.walked
                return entry
        entry = self.history.open(heads)
        entry.critical = True
        self.critical.append(entry)
        return entry

    def set_head(self, node: int, entry: Entry) -> None:
        """Make `entry`, of which `node` is the last, the only head."""
        self.head_nodes = [node]
        self.heads = [entry]

    def replace_heads(self, parents: list[Entry], entry: Entry, node: int) -> None:
        heads: list[Entry] = []
        nodes: list[int] = []
        for index in range(len(self.heads)):
            head = self.heads[index]
            if head is not entry and not contains(parents, head):
                heads.append(head)
                nodes.append(self.head_nodes[index])
        heads.append(entry)
        nodes.append(node)
        self.heads = heads
        self.head_nodes = nodes

    def entries_of(self, nodes: Sequence[int]) -> list[Entry]:
        """The entries that end with the given nodes, cut where needed."""
        found: list[Entry] = []
        for node in nodes:
            known: Entry | None = None
            for index in range(len(self.head_nodes)):
                if self.head_nodes[index] == node:
                    known = self.heads[index]
                    break
            if known is None:
                end = self.history.end_of(node)
                if end < 0:
                    raise ValueError(f"node {node} is unknown")
                known = self.entry_ending(end)
            if not contains(found, known):
                found.append(known)
        return found

    def entry_ending(self, version: int) -> Entry:
        history = self.history
        index = history.index_at(version - 1)
        entry = history.entries[index]
        if entry.end == version:
            return entry
        front = history.split(index, version)
        if front.critical:
            critical = self.critical
            at = len(critical) - 1
            while critical[at] is not entry:
                at -= 1
            critical.insert(at, front)
        return front

    def walker_for(self, parents: list[Entry]) -> Walker:
        """A walk that stands at some version and can move to `parents`."""
        newest = -1
        for parent in parents:
            newest = max(newest, parent.start)
        critical = self.critical
        # A critical version that a parent comes after, or is, is in its history; any other is not.
        while critical and critical[-1].start > newest:
            critical.pop().critical = False
        walker = self.walker
        if walker is None:
            return self._new_walker(critical[-1] if critical else None)
        base = walker.base
        if base is not None and not base.critical:
            # Nodes reach back further and further: go back twice as far at least.
            version = self.history.next_version
            goal = version - 2 * (version - walker.base_end)
            self.drop_walker()
            return self._new_walker(self._critical_before(goal))
        if critical and critical[-1].start >= walker.upto:
            self.drop_walker()
            return self._new_walker(critical[-1])
        history = self.history
        if walker.upto < history.next_version:
            self._replay(walker, history.index_at(walker.upto), False)
        return walker

    def _critical_before(self, version: int) -> Entry | None:
        """The newest critical version at or before a local version; None is the very start.

        With a base that one is the start.
        """
        critical = self.critical
        at = len(critical) - 1
        while at >= 0:
            entry = critical[at]
            if entry.end <= version:
                return entry
            if entry.start < version:
                boundary = self.history.node_boundary(version)
                if boundary > entry.start:
                    return self.entry_ending(boundary)
            at -= 1
        return self.entry_ending(1) if self.history.base_node >= 0 else None

    def _new_walker(self, base: Entry | None) -> Walker:
        history = self.history
        length = 0 if base is None else base.length_after()
        walker = Walker(history, self.tie_break, self.stats, base, length)
        self.walker = walker
        self.stats.rebuilds += 1
        if walker.upto < history.next_version:
            self._replay(walker, history.index_at(walker.upto), True)
        walker.spans_at_start = walker.span_count()
        return walker

    def _replay(self, walker: Walker, index: int, planned: bool) -> None:
        """Walk everything from the entry at `index` on, whose effect the text has already."""
        entries = self.history.entries[index:]
        size = self.history.next_version - walker.upto
        if planned:
            self.stats.rebuilt += size
            entries = walk_order(entries)
        else:
            self.stats.caught_up += size
        for entry in entries:
            walker.replay(entry)

    def drop_walker(self) -> None:
        walker = self.walker
        if walker is None:
            return
        history = self.history
        index = history.index_at(walker.base_end)
        for at in range(max(index, 0), len(history.entries)):
            entry = history.entries[at]
            if entry.walked:
                for op in entry.ops:
                    op.run = None
                    op.targets = None
        walker.take_apart()
        self.walker = None
        self.stats.walker_spans = 0

    def measure(self, walker: Walker) -> None:
        stats = self.stats
        stats.local_versions = self.history.next_version
        spans = walker.span_count()
        stats.walker_spans = spans
        stats.walker_spans_max = max(stats.walker_spans_max, spans)
        if spans > self._span_limit_now:
            # Too much state: forget it. If what is needed is itself larger, allow twice that, or
            # every node would build it again.
            stats.span_limit_drops += 1
            self._span_limit_now = max(self._span_limit, 2 * walker.spans_at_start)
            self.drop_walker()


def contains(entries: list[Entry], entry: Entry) -> bool:
    return any(other is entry for other in entries)
