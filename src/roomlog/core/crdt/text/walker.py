"""The transient state of a merge: a walk over concurrent history (Eg-walker).

Gentle and Kleppmann, "Collaborative Text Editing with Eg-walker: Better, Faster, Smaller" (EuroSys
2025); concurrent insertions are ordered as in Fugue (Weidner and Kleppmann, 2023). The walk stands
at one version of the history, moves between versions by switching characters on and off, and places
each new insertion among all characters ever seen.
"""

from collections.abc import Callable
from typing import final

from roomlog.core.crdt.text.edit import TextStats
from roomlog.core.crdt.text.history import (
    BACKSPACE,
    INSERT,
    NOTHING,
    Entry,
    Op,
    Target,
    TextHistory,
)
from roomlog.core.crdt.text.spans import LEAF_SPANS, Block, Run, Span, SpanTree, precedes


@final
class Walker:
    """A walk that begins at one version, with the document of `length` characters there.

    `base` is the last entry before the walk (None: the empty document). `upto` is the local version
    up to which history has been walked; `events` counts the local versions applied.
    `spans_at_start` is what it held when it had caught up with the text first.
    `removed` holds what the last deletion took from the visible text: position, length, ...
    """

    __slots__ = (
        "_history",
        "_stats",
        "_tie_break",
        "base",
        "base_end",
        "events",
        "removed",
        "spans_at_start",
        "tree",
        "upto",
        "version",
    )

    def __init__(
        self,
        history: TextHistory,
        tie_break: Callable[[int], bytes],
        stats: TextStats,
        base: Entry | None,
        length: int,
    ) -> None:
        self._history: TextHistory = history
        self._tie_break: Callable[[int], bytes] = tie_break
        self._stats: TextStats = stats
        self.tree: SpanTree = SpanTree(length)
        self.base: Entry | None = base
        self.base_end: int = 0
        self.version: list[Entry] = []
        if base is not None:
            self.base_end = base.end
            self.version = [base]
        self.upto: int = self.base_end
        self.events: int = 0
        self.spans_at_start: int = 0
        self.removed: list[int] = []

    def length(self) -> int:
        """Length of the document in the version the walk stands at."""
        return self.tree.root.prepare

    def take_apart(self) -> None:
        """Free the memory of the walk, which is of no use afterwards."""
        self.tree.take_apart()

    def span_count(self) -> int:
        return self.tree.span_count

    def move(self, parents: list[Entry]) -> None:
        """Stand at another version, all of it walked already."""
        version = self.version
        if len(version) == 1 and len(parents) == 1 and version[0] is parents[0]:
            return
        retreat: list[Entry] = []
        advance = self._history.difference(version, parents, retreat)
        self.version = parents
        for entry in retreat:
            self._shift_entry(entry, -1)
        for entry in advance:
            self._shift_entry(entry, 1)
        self.tree.lift_finger()

    def replay(self, entry: Entry) -> None:
        """Walk a whole entry whose effect is in the visible text already."""
        self.move(entry.parents)
        at = entry.start
        for op in entry.ops:
            if op.kind == INSERT:
                self.insert(op, op.position, op.length, at)
            elif op.kind != NOTHING:
                self.delete(op, op.position, op.length)
            at += op.length
        self.finish(entry)

    def finish(self, entry: Entry) -> None:
        """Stand at the end of `entry`, all of whose operations have been applied."""
        entry.walked = True
        self.version = [entry]
        self.upto = max(self.upto, entry.end)

    def insert(self, op: Op, position: int, length: int, local_version: int) -> int:
        """Apply an insertion of the version the walk stands at; returns its effect's position.

        When `op` has been walked before, this continues it: `length` more characters at its end.
        """
        self.events += length
        run = op.run
        if run is not None:
            return self._continue(run, length)
        run = Run(local_version, length)
        op.run = run
        op.run_offset = 0
        tree = self.tree
        effect = 0
        if position == 0:
            tree.rewind()
            leaf = tree.first
            index = 0
        else:
            tree.seek(position - 1)
            leaf = tree.leaf
            index = tree.index
            kept = tree.offset + 1
            span = leaf.spans[index]
            effect = tree.effect
            if not span.deleted:
                effect += kept
            run.left = span.run
            run.left_offset = span.offset + kept - 1
            if kept < span.length:
                # The next character is in view and follows the left one: it is the right parent.
                run.right = span.run
                run.right_offset = span.offset + kept
                tree.cut(leaf, index, kept)
                new = Span(run, 0, length, leaf)
                run.spans.append(new)
                tree.place(leaf, index + 1, new)
                return effect
            index += 1
        here = leaf
        at = index
        if at == len(here.spans):
            here = leaf.following
            at = 0
        if at < len(here.spans) and (here is not leaf or at == index):
            if here.spans[at].state == 0:
                return self._integrate(run, leaf, index, effect)
            _adopt_right(run, here.spans[at])
        new = Span(run, 0, length, leaf)
        run.spans.append(new)
        tree.place(leaf, index, new)
        return effect

    def _continue(self, run: Run, length: int) -> int:
        """Insert right after the last character of `run`, which its author has just written.

        Nobody can have deleted that character, or written beside it having seen it: the entry would
        be forked, and its last run closed.
        """
        tree = self.tree
        last = run.spans[-1]
        leaf = last.leaf
        tree.keep_finger(leaf)
        effect = tree.effect_before(last) + last.length
        run.length += length
        last.length += length
        leaf.grow(length, length)
        return effect

    def _integrate(self, run: Run, leaf: Block, index: int, effect: int) -> int:
        """Place an insertion among characters its author has not seen, by the order of Fugue.

        `leaf`, `index` is the place right after the left origin; the first such span follows it.
        """
        here = leaf
        at = index
        if at == len(here.spans):
            here = leaf.following
            at = 0
        first_here = here
        first_at = at
        # The right parent: the next character of the author's view, if it has the same left origin.
        right: Span | None = None
        while True:
            span = here.spans[at]
            if span.state != 0:
                _adopt_right(run, span)
                right = span if run.right is not None else None
                break
            at += 1
            if at == len(here.spans):
                if here.following is here:
                    break
                here = here.following
                at = 0
        here = first_here
        at = first_at
        left_span = leaf.spans[index - 1] if run.left is not None else None
        left = run.left
        left_offset = run.left_offset
        scanned = effect
        scanning = False
        own_key = b""
        while True:
            other = here.spans[at]
            if other.state != 0:
                break
            other_run = other.run
            if _follows(other, left, left_offset):
                if other.offset > 0:
                    other_right: Run | None = None
                    other_right_offset = -1
                else:
                    other_right = other_run.right
                    other_right_offset = other_run.right_offset
                if other_right is run.right and other_right_offset == run.right_offset:
                    self._stats.collisions += 1
                    if not own_key:
                        own_key = self._key(run.local_version)
                    if own_key < self._key(other_run.local_version + other.offset):
                        break
                    scanning = False
                elif other_right is None:
                    scanning = False
                elif right is None:
                    scanning = True
                else:
                    other_span = other_right.spans[other_right.find(other_right_offset)]
                    scanning = precedes(other_span, right)
            elif left_span is not None:
                # Anything but a descendant of the left origin stands at or before it.
                origin = other_run.left
                if other.offset > 0:
                    origin = other_run
                    origin_offset = other.offset - 1
                else:
                    origin_offset = other_run.left_offset
                if origin is None:
                    break
                origin_span = origin.spans[origin.find(origin_offset)]
                if origin_span is left_span or precedes(origin_span, left_span):
                    break
            if not other.deleted:
                scanned += other.length
            at += 1
            if not scanning:
                leaf = here
                index = at
                effect = scanned
            if at == len(here.spans):
                if here.following is here:
                    break
                here = here.following
                at = 0
        new = Span(run, 0, run.length, leaf)
        run.spans.append(new)
        self.tree.place(leaf, index, new)
        return effect

    def _key(self, local_version: int) -> bytes:
        return self._tie_break(self._history.node_at(local_version))

    def delete(self, op: Op, position: int, length: int) -> None:
        """Apply a deletion of the version the walk stands at; its effect is left in `removed`."""
        self.events += length
        removed = self.removed
        removed.clear()
        tree = self.tree
        tree.seek(position)
        leaf = tree.leaf
        index = tree.index
        offset = tree.offset
        effect = tree.effect
        first_leaf = leaf
        pieces: list[Target] = []
        while True:
            span = leaf.spans[index]
            if span.state == 1:
                if offset:
                    tree.cut(leaf, index, offset)
                    if not span.deleted:
                        effect += offset
                    index += 1
                    span = leaf.spans[index]
                    offset = 0
                if length < span.length:
                    tree.cut(leaf, index, length)
                taken = span.length
                span.state = 2
                pieces.append(Target(span.run, span.offset, taken))
                if span.deleted:
                    leaf.grow(-taken, 0)
                else:
                    span.deleted = True
                    leaf.grow(-taken, -taken)
                    if removed and removed[-2] == effect:
                        removed[-1] += taken
                    else:
                        removed.append(effect)
                        removed.append(taken)
                length -= taken
                if not length:
                    break
            elif not span.deleted:
                effect += span.length
            index += 1
            if index == len(leaf.spans):
                leaf = leaf.following
                index = 0
        if op.targets is None:
            op.targets = pieces
        elif op.kind == BACKSPACE:
            op.targets = pieces + op.targets
        else:
            op.targets.extend(pieces)
        if len(first_leaf.spans) > LEAF_SPANS:
            tree.relieve(first_leaf)
        if leaf is not first_leaf and len(leaf.spans) > LEAF_SPANS:
            tree.relieve(leaf)

    def _shift_entry(self, entry: Entry, step: int) -> None:
        self._stats.moved += entry.end - entry.start
        for op in entry.ops:
            targets = op.targets
            if targets is not None:
                for target in targets:
                    self._shift(target.run, target.offset, target.length, step)
            else:
                run = op.run
                if run is not None:
                    self._shift(run, op.run_offset, op.length, step)

    def _shift(self, run: Run, offset: int, length: int, step: int) -> None:
        """Add `step` to the state of some characters of a run."""
        spans = run.spans
        at = run.find(offset)
        span = spans[at]
        if span.offset < offset:
            at += 1
            self._cut(span, offset - span.offset)
        while True:
            span = spans[at]
            if length < span.length:
                self._cut(span, length)
            state = span.state
            span.state = state + step
            if state == 1:
                span.leaf.grow(-span.length, 0)
            elif state + step == 1:
                span.leaf.grow(span.length, 0)
            length -= span.length
            if not length:
                return
            at += 1

    def _cut(self, span: Span, length: int) -> None:
        leaf = span.leaf
        self.tree.cut(leaf, leaf.index_of(span), length)
        if len(leaf.spans) > LEAF_SPANS:
            self.tree.relieve(leaf)


def _follows(span: Span, left: Run | None, left_offset: int) -> bool:
    """Whether the left origin of a span's first character is the given character."""
    if span.offset > 0:
        return span.run is left and span.offset - 1 == left_offset
    return span.run.left is left and span.run.left_offset == left_offset


def _adopt_right(run: Run, span: Span) -> None:
    """Take the next character in view as right parent, if it has the same left origin."""
    if _follows(span, run.left, run.left_offset):
        run.right = span.run
        run.right_offset = span.offset
