"""Positions of edits after other edits have been taken out of the history they were made in.

Two walks go side by side: one over the history as it is, one over the history without the dropped
edits. A kept insertion goes right after the nearest character to its left that the author would
still see; a kept deletion takes those of its characters that still exist, and no others.
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, final

from roomlog.core.crdt.text.batch import BatchNode, inside
from roomlog.core.crdt.text.document import TextDocument
from roomlog.core.crdt.text.edit import TextEdit, TextStats
from roomlog.core.crdt.text.history import DELETE, INSERT, NOTHING, Entry, Op, TextHistory
from roomlog.core.crdt.text.plan import walk_order
from roomlog.core.crdt.text.spans import Run
from roomlog.core.crdt.text.walker import Walker

_NEVER: Final = -(1 << 40)  # the kept state of a character whose insertion is dropped


def rebase_edits(
    nodes: Sequence[BatchNode],
    dropped: AbstractSet[tuple[int, int]],
    tie_break: Callable[[int], bytes],
    base: tuple[int, str] | None = None,
) -> dict[tuple[int, int], list[TextEdit]]:
    """The edits that say the same in the history without the dropped ones.

    `nodes` is the whole history of the document, parents first, or all of it above its `base`
    (as in `TextDocument`). `dropped` names edits by (node,
    index of the edit). Returns, for each kept edit that changes, what to put in its place, to be
    applied in order: deletions may split or vanish (an empty list). An edit that had no effect is
    left as it is while it still has none, and vanishes otherwise. Raises ValueError when a parent
    is unknown.
    """
    places: dict[int, int] = {}
    base_node = -1 if base is None else base[0]
    for index in range(len(nodes)):
        for parent in nodes[index][1]:
            if parent not in places and parent != base_node:
                raise ValueError(f"node {parent} is unknown")
        places[nodes[index][0]] = index
    first = len(nodes)
    for node, _ in dropped:
        first = min(first, places.get(node, first))
    if first == len(nodes):
        return {}
    begin = _undisturbed(nodes, places, first)
    before = TextDocument(tie_break, base=base)
    before.add_nodes(nodes[:begin])
    rebasing = _Rebasing(tie_break, len(before))
    for place in rebasing.plan(nodes, places, begin):
        rebasing.walk(nodes[begin + place], place, dropped)
    return rebasing.changed


def _undisturbed(nodes: Sequence[BatchNode], places: dict[int, int], limit: int) -> int:
    """How many nodes, below `limit`, come before all others, with one head at their end."""
    count = len(nodes)
    lowest = [count] * (count + 1)
    for index in range(count - 1, -1, -1):
        highest = -1
        for parent in nodes[index][1]:
            highest = max(highest, places.get(parent, -1))
        lowest[index] = min(lowest[index + 1], highest)
    begin = 0
    heads: set[int] = set()
    for index in range(limit):
        heads.difference_update(nodes[index][1])
        heads.add(nodes[index][0])
        if len(heads) == 1 and lowest[index + 1] >= index:
            begin = index + 1
    return begin


@final
class _Rebasing:
    """The two walks, and what has changed so far."""

    __slots__ = (
        "_full",
        "_full_entries",
        "_full_history",
        "_new",
        "_new_entries",
        "_new_history",
        "changed",
    )

    def __init__(self, tie_break: Callable[[int], bytes], length: int) -> None:
        self._full_history: TextHistory = TextHistory()
        self._new_history: TextHistory = TextHistory()
        stats = TextStats()
        self._full: Walker = Walker(self._full_history, tie_break, stats, None, length)
        self._new: Walker = Walker(self._new_history, tie_break, stats, None, length)
        if length:
            base = self._full.tree.root.spans[0].run
            base.twin = self._new.tree.root.spans[0].run
        self._full_entries: list[Entry] = []
        self._new_entries: list[Entry] = []
        self.changed: dict[tuple[int, int], list[TextEdit]] = {}

    def plan(self, nodes: Sequence[BatchNode], places: dict[int, int], begin: int) -> list[int]:
        """Make an entry of each node from `begin` on, still empty; returns the order to walk in."""
        full = self._full_entries
        new = self._new_entries
        for index in range(begin, len(nodes)):
            above: list[int] = []
            for parent in nodes[index][1]:
                place = places.get(parent, -1) - begin
                if place >= 0:
                    above.append(place)
            full.append(Entry(0, [full[place] for place in above]))
            new.append(Entry(0, [new[place] for place in above]))
            full[-1].end = 1
        return [entry.rank for entry in walk_order(full)]

    def walk(self, node: BatchNode, place: int, dropped: AbstractSet[tuple[int, int]]) -> None:
        """Walk one node in both histories."""
        handle, _, edits = node
        full = self._full
        new = self._new
        entry = self._full_entries[place]
        new_entry = self._new_entries[place]
        entry.start = entry.end = self._full_history.next_version
        new_entry.start = new_entry.end = self._new_history.next_version
        self._full_history.writing = handle
        self._new_history.writing = handle
        self._move(entry)
        new.move(new_entry.parents)
        for index in range(len(edits)):
            edit = edits[index]
            name = (handle, index)
            keep = name not in dropped
            if not inside(edit, full.length()):
                if keep and inside(edit, new.length()):
                    self.changed[name] = []
                continue
            if edit.delete_length:
                self._delete(entry, new_entry, edit, name, keep)
            else:
                self._insert(entry, new_entry, edit, name, keep)
        _finish(self._full_history, full, entry, handle)
        _finish(self._new_history, new, new_entry, handle)

    def _insert(
        self, entry: Entry, new_entry: Entry, edit: TextEdit, name: tuple[int, int], keep: bool
    ) -> None:
        full = self._full
        tree = full.tree
        position = edit.position
        new_position = 0
        if keep and position:
            tree.seek(position - 1)
            span = tree.leaf.spans[tree.index]
            kept_before = tree.effect
            if not span.deleted:
                kept_before += tree.offset + 1
            if kept_before:
                tree.seek_effect(kept_before - 1)
                span = tree.leaf.spans[tree.index]
                new_position = self._new_place(span.run, span.offset + tree.offset) + 1
        size = len(edit.inserted)
        op = Op(INSERT, position, size, 0)
        entry.ops.append(op)
        full.insert(op, position, size, entry.end)
        entry.end += size
        run = op.run
        assert run is not None
        if not keep:
            run.spans[0].kept_state = _NEVER
            self._shift_kept(run, 0, size, 0)
            return
        if new_position != position:
            self.changed[name] = [TextEdit(new_position, 0, edit.inserted)]
        new_op = Op(INSERT, new_position, size, 0)
        new_entry.ops.append(new_op)
        self._new.insert(new_op, new_position, size, new_entry.end)
        new_entry.end += size
        run.twin = new_op.run

    def _delete(
        self, entry: Entry, new_entry: Entry, edit: TextEdit, name: tuple[int, int], keep: bool
    ) -> None:
        op = Op(DELETE, edit.position, edit.delete_length, 0)
        op.run_offset = (
            1 if keep else 0
        )  # no offset in a deletion: whether it counts in the kept view
        entry.ops.append(op)
        entry.end += edit.delete_length
        self._full.delete(op, edit.position, edit.delete_length)
        self._show_op(op, 1 if keep else 0)
        if not keep:
            return
        targets = op.targets
        assert targets is not None
        places: list[tuple[int, int]] = []
        for target in targets:
            twin = target.run.twin
            if twin is not None:
                at = target.offset
                end = at + target.length
                index = twin.find(at)
                while at < end:
                    span = twin.spans[index]
                    stop = min(end, span.offset + span.length)
                    place = self._new.tree.prepare_before(span) + at - span.offset
                    places.append((place, stop - at))
                    at = stop
                    index += 1
        places.sort()
        edits: list[TextEdit] = []
        removed = 0
        for place, size in places:
            position = place - removed
            if edits and edits[-1].position == position:
                edits[-1].delete_length += size
            else:
                edits.append(TextEdit(position, size, ""))
            removed += size
        if len(edits) != 1 or edits[0] != TextEdit(edit.position, edit.delete_length, ""):
            self.changed[name] = edits
        for change in edits:
            new_op = Op(DELETE, change.position, change.delete_length, 0)
            new_entry.ops.append(new_op)
            new_entry.end += change.delete_length
            self._new.delete(new_op, change.position, change.delete_length)

    def _new_place(self, run: Run, offset: int) -> int:
        """Position in the new author's view of a character that is visible there."""
        twin = run.twin
        assert twin is not None
        span = twin.spans[twin.find(offset)]
        return self._new.tree.prepare_before(span) + offset - span.offset

    def _move(self, entry: Entry) -> None:
        """Move the full walk, and what the kept edits alone make visible with it."""
        full = self._full
        retreat: list[Entry] = []
        advance = self._full_history.difference(full.version, entry.parents, retreat)
        full.move(entry.parents)
        for other in retreat:
            for op in other.ops:
                self._show_op(op, -1)
        for other in advance:
            for op in other.ops:
                self._show_op(op, 1)
        full.tree.lift_finger()

    def _show_op(self, op: Op, step: int) -> None:
        """Switch the effect of a kept operation on or off in the kept view."""
        targets = op.targets
        if targets is not None:
            kept = op.run_offset
            for target in targets:
                self._shift_kept(target.run, target.offset, target.length, step * kept)
        elif op.run is not None:
            self._shift_kept(op.run, 0, op.length, step)

    def _shift_kept(self, run: Run, offset: int, length: int, step: int) -> None:
        """Add to the kept state of some characters; they begin and end with a span already."""
        index = run.find(offset)
        while length:
            span = run.spans[index]
            span.kept_state += step
            hidden = span.kept_state != 1
            if hidden != span.deleted:
                span.deleted = hidden
                span.leaf.grow(0, -span.length if hidden else span.length)
            length -= span.length
            index += 1


def _finish(history: TextHistory, walker: Walker, entry: Entry, node: int) -> None:
    if entry.end == entry.start:
        entry.ops.append(Op(NOTHING, 0, 1, 0))
        entry.end += 1
    history.note_node(node, entry.start, entry.end - entry.start)
    history.next_version = entry.end
    walker.finish(entry)
