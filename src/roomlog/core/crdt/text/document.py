"""A text that several authors edit at once: plain text while nothing is concurrent."""

from collections.abc import Callable, Sequence
from typing import Final, final

from roomlog.core.crdt.text.chunks import ChunkedText
from roomlog.core.crdt.text.edit import TextEdit, TextStats
from roomlog.core.crdt.text.history import DELETE, INSERT, NOTHING, Entry, Op, TextHistory
from roomlog.core.crdt.text.plan import mark_critical, walk_order
from roomlog.core.crdt.text.walker import Walker

_SLACK: Final = 64  # local versions a walk may lag behind beyond its own size before it is dropped


@final
class TextDocument:
    """The merged text of one key, from the nodes that touch it.

    Node handles are integers that grow in the order the nodes are added. `tie_break(node)` gives
    the bytes that order concurrent insertions of different nodes at one place: unique per node, the
    same on every replica. Transient merge state is dropped and rebuilt when it holds more than
    `span_limit` spans.

    An edit outside its author's view (also one that removes past the end, or does nothing) has no
    effect, and the node's later edits are read as if it were not there.
    """

    __slots__ = (
        "_critical",
        "_head_nodes",
        "_heads",
        "_history",
        "_last_node",
        "_open_entry",
        "_open_node",
        "_open_start",
        "_span_limit",
        "_span_limit_now",
        "_text",
        "_tie_break",
        "_walker",
        "stats",
    )

    def __init__(self, tie_break: Callable[[int], bytes], span_limit: int = 200_000) -> None:
        if span_limit < 1:
            raise ValueError("span_limit must be at least 1")
        self._tie_break: Callable[[int], bytes] = tie_break
        self._span_limit: int = span_limit
        self._span_limit_now: int = span_limit
        self._text: ChunkedText = ChunkedText()
        self._history: TextHistory = TextHistory()
        self._heads: list[Entry] = []
        self._head_nodes: list[int] = []
        self._critical: list[Entry] = []
        self._walker: Walker | None = None
        self._last_node: int = -1
        self._open_node: int = -1  # the node that local edits are added to, -1 when none
        self._open_start: int = 0
        self._open_entry: Entry | None = None
        self.stats: TextStats = TextStats()

    def __len__(self) -> int:
        return self._text.length

    def __str__(self) -> str:
        return self._text.whole()

    def slice(self, start: int, stop: int) -> str:
        """The characters from `start` up to `stop`, in scalar values, cut as Python slices are."""
        start, stop, _ = slice(start, stop).indices(self._text.length)
        return self._text.slice(start, stop) if start < stop else ""

    # Local edits

    def insert(self, node: int, position: int, text: str) -> None:
        """Put `text` at `position` of the text at the heads, as the next edit of `node`.

        The first edit of a node makes it a child of all heads. Raises IndexError when the position
        is outside, ValueError when `text` is empty or the node can take no more edits.
        """
        length = self._text.length
        if position < 0 or position > length:
            raise IndexError(f"position {position} outside a text of length {length}")
        if not text:
            raise ValueError("nothing to insert")
        entry = self._local_entry(node)
        size = len(text)
        self._text.insert(position, text)
        entry.append(INSERT, position, size, length)
        self._history.next_version += size

    def delete(self, node: int, position: int, length: int) -> None:
        """Remove `length` characters at `position` of the text at the heads, as `insert` does.

        Raises IndexError when the range is outside the text, ValueError when it is empty or the
        node can take no more edits.
        """
        before = self._text.length
        if position < 0 or length < 0 or position + length > before:
            raise IndexError(f"range {position}+{length} outside a text of length {before}")
        if not length:
            raise ValueError("nothing to delete")
        entry = self._local_entry(node)
        self._text.delete(position, length)
        entry.append(DELETE, position, length, before)
        self._history.next_version += length

    def _local_entry(self, node: int) -> Entry:
        if node == self._open_node:
            entry = self._open_entry
            assert entry is not None
            return entry
        self._close()
        self._claim(node)
        entry = self._direct_entry()
        self._open_node = node
        self._open_start = self._history.next_version
        self._open_entry = entry
        self._set_head(node, entry)
        return entry

    def _close(self) -> None:
        """End the node that local edits were added to."""
        if self._open_node >= 0:
            version = self._history.next_version
            self._history.note_node(self._open_node, self._open_start, version - self._open_start)
            self.stats.local_versions = version
            self._open_node = -1
            self._open_entry = None

    def _claim(self, node: int) -> None:
        if node <= self._last_node:
            raise ValueError(f"node {node} comes after node {self._last_node}")
        self._last_node = node

    # Nodes of others

    def add_node(
        self, node: int, parents: Sequence[int], edits: Sequence[TextEdit]
    ) -> list[TextEdit]:
        """Merge one node; returns what to do to the visible text, in order.

        `parents` are the latest nodes of this document in the author's view. Raises ValueError when
        one of them is unknown or `node` is not greater than all before it.
        """
        self._close()
        heads = self._head_nodes
        if len(parents) == len(heads) and (
            not heads
            or (parents[0] == heads[0] if len(heads) == 1 else sorted(parents) == sorted(heads))
        ):
            self._claim(node)
            return self._add_at_heads(node, edits)
        above = self._entries_of(parents)
        self._claim(node)
        return self._add_beside(node, above, edits)

    def _add_at_heads(self, node: int, edits: Sequence[TextEdit]) -> list[TextEdit]:
        history = self._history
        text = self._text
        entry = self._direct_entry()
        start = history.next_version
        effects: list[TextEdit] = []
        for edit in edits:
            position = edit.position
            length = text.length
            if edit.delete_length:
                size = edit.delete_length
                if position < 0 or size < 0 or position + size > length:
                    continue
                text.delete(position, size)
                entry.append(DELETE, position, size, length)
            else:
                inserted = edit.inserted
                size = len(inserted)
                if position < 0 or position > length or not size:
                    continue
                text.insert(position, inserted)
                entry.append(INSERT, position, size, length)
            history.next_version += size
            effects.append(edit)
        if history.next_version == start:
            entry.append(NOTHING, 0, 1, text.length)
            history.next_version += 1
        version = history.next_version
        history.note_node(node, start, version - start)
        self.stats.local_versions = version
        self._set_head(node, entry)
        return effects

    def _direct_entry(self) -> Entry:
        """The entry that takes edits made at the heads: the only head itself where possible."""
        heads = self._heads
        if len(heads) == 1:
            entry = heads[0]
            if (
                entry.critical
                and not entry.forked
                and not entry.walked
                and entry.end == self._history.next_version
            ):
                return entry
        entry = self._history.open(heads)
        entry.critical = True
        self._critical.append(entry)
        walker = self._walker
        if walker is not None and entry.start - walker.upto > walker.events + _SLACK:
            self._drop_walker()
        return entry

    def _set_head(self, node: int, entry: Entry) -> None:
        """Make `entry`, of which `node` is the last, the only head."""
        self._head_nodes = [node]
        self._heads = [entry]

    def _add_beside(
        self, node: int, parents: list[Entry], edits: Sequence[TextEdit]
    ) -> list[TextEdit]:
        history = self._history
        walker = self._walker_for(parents)
        walker.move(parents)
        entry: Entry | None = None
        if len(parents) == 1:
            last = parents[0]
            if last.end == history.next_version and not last.forked and not last.critical:
                entry = last
        if entry is None:
            entry = history.open(parents)
        start = history.next_version
        history.writing = node
        effects: list[TextEdit] = []
        for edit in edits:
            length = walker.length()
            size = edit.delete_length
            if size:
                if edit.position < 0 or size < 0 or edit.position + size > length:
                    continue
                kind = DELETE
            else:
                size = len(edit.inserted)
                if edit.position < 0 or edit.position > length or not size:
                    continue
                kind = INSERT
            op = entry.append(kind, edit.position, size, length)
            self._apply(walker, op, kind, edit.position, size, edit.inserted, effects)
        if history.next_version == start:
            entry.append(NOTHING, 0, 1, walker.length())
            history.next_version += 1
        walker.finish(entry)
        history.note_node(node, start, history.next_version - start)
        self._replace_heads(parents, entry, node)
        self._measure(walker)
        return effects

    def _apply(
        self,
        walker: Walker,
        op: Op,
        kind: int,
        position: int,
        size: int,
        inserted: str,
        effects: list[TextEdit],
    ) -> None:
        """Walk an edit of the version the walk stands at, and do its effect to the text."""
        history = self._history
        if kind == INSERT:
            at = walker.insert(op, position, size, history.next_version)
            self._text.insert(at, inserted)
            effects.append(TextEdit(at, 0, inserted))
        else:
            walker.delete(op, position, size)
            removed = walker.removed
            for index in range(0, len(removed), 2):
                self._text.delete(removed[index], removed[index + 1])
                effects.append(TextEdit(removed[index], removed[index + 1], ""))
        history.next_version += size

    def _replace_heads(self, parents: list[Entry], entry: Entry, node: int) -> None:
        heads: list[Entry] = []
        nodes: list[int] = []
        for index in range(len(self._heads)):
            head = self._heads[index]
            if head is not entry and not _contains(parents, head):
                heads.append(head)
                nodes.append(self._head_nodes[index])
        heads.append(entry)
        nodes.append(node)
        self._heads = heads
        self._head_nodes = nodes

    def _entries_of(self, nodes: Sequence[int]) -> list[Entry]:
        """The entries that end with the given nodes, cut where needed."""
        found: list[Entry] = []
        for node in nodes:
            known: Entry | None = None
            for index in range(len(self._head_nodes)):
                if self._head_nodes[index] == node:
                    known = self._heads[index]
                    break
            if known is None:
                end = self._history.end_of(node)
                if end < 0:
                    raise ValueError(f"node {node} is unknown")
                known = self._entry_ending(end)
            if not _contains(found, known):
                found.append(known)
        return found

    def _entry_ending(self, version: int) -> Entry:
        history = self._history
        index = history.index_at(version - 1)
        entry = history.entries[index]
        if entry.end == version:
            return entry
        front = history.split(index, version)
        if front.critical:
            critical = self._critical
            at = len(critical) - 1
            while critical[at] is not entry:
                at -= 1
            critical.insert(at, front)
        return front

    # The walk

    def _walker_for(self, parents: list[Entry]) -> Walker:
        """A walk that stands at some version and can move to `parents`."""
        newest = -1
        for parent in parents:
            newest = max(newest, parent.start)
        critical = self._critical
        # A critical version that a parent comes after, or is, is in its history; any other is not.
        while critical and critical[-1].start > newest:
            critical.pop().critical = False
        walker = self._walker
        if walker is None:
            return self._new_walker(critical[-1] if critical else None)
        base = walker.base
        if base is not None and not base.critical:
            # Nodes reach back further and further: go back twice as far at least.
            version = self._history.next_version
            goal = version - 2 * (version - walker.base_end)
            self._drop_walker()
            return self._new_walker(self._critical_before(goal))
        if critical and critical[-1].start >= walker.upto:
            self._drop_walker()
            return self._new_walker(critical[-1])
        history = self._history
        if walker.upto < history.next_version:
            self._replay(walker, history.index_at(walker.upto), False)
        return walker

    def _critical_before(self, version: int) -> Entry | None:
        """The newest critical version at or before a local version; None is the very start."""
        critical = self._critical
        at = len(critical) - 1
        while at >= 0:
            entry = critical[at]
            if entry.end <= version:
                return entry
            if entry.start < version:
                boundary = self._history.node_boundary(version)
                if boundary > entry.start:
                    return self._entry_ending(boundary)
            at -= 1
        return None

    def _new_walker(self, base: Entry | None) -> Walker:
        history = self._history
        length = 0 if base is None else base.length_after()
        walker = Walker(history, self._tie_break, self.stats, base, length)
        self._walker = walker
        self.stats.rebuilds += 1
        if walker.upto < history.next_version:
            self._replay(walker, history.index_at(walker.upto), True)
        walker.spans_at_start = walker.span_count()
        return walker

    def _replay(self, walker: Walker, index: int, planned: bool) -> None:
        """Walk everything from the entry at `index` on, whose effect the text has already."""
        entries = self._history.entries[index:]
        if planned:
            entries = walk_order(entries)
        for entry in entries:
            self.stats.rebuilt += entry.end - entry.start
            walker.replay(entry)

    def _drop_walker(self) -> None:
        walker = self._walker
        if walker is None:
            return
        history = self._history
        index = history.index_at(walker.base_end)
        for at in range(max(index, 0), len(history.entries)):
            entry = history.entries[at]
            if entry.walked:
                for op in entry.ops:
                    op.run = None
                    op.targets = None
        self._walker = None

    def _measure(self, walker: Walker) -> None:
        stats = self.stats
        stats.local_versions = self._history.next_version
        spans = walker.span_count()
        stats.walker_spans = spans
        stats.walker_spans_max = max(stats.walker_spans_max, spans)
        if spans > self._span_limit_now:
            # Too much state: forget it. If what is needed is itself larger, allow twice that, or
            # every node would build it again.
            stats.span_limit_drops += 1
            self._span_limit_now = max(self._span_limit, 2 * walker.spans_at_start)
            self._drop_walker()


def _contains(entries: list[Entry], entry: Entry) -> bool:
    for other in entries:
        if other is entry:
            return True
    return False
