"""The sequence a merge works on: pieces of inserted runs in document order, as a B-tree.

Every piece has two lengths: in the *prepare* version (the author's view the walk stands at) and in
the *effect* version (everything walked so far). The tree sums both, so that a position in one is
turned into a position in the other in logarithmic time.
"""

from typing import Final, final

LEAF_SPANS: Final = 32
BRANCH_KIDS: Final = 24


@final
class Run:
    """The identity of characters inserted one after the other in one line of history.

    The first character has the left origin and right parent given here (Fugue; None is the start,
    or the end, of the document). Every later one has its predecessor as left origin and no right
    parent. `local_version` is that of the first character. `twin` is used by rebasing only: the
    same characters in the other history.
    """

    __slots__ = (
        "left",
        "left_offset",
        "length",
        "local_version",
        "right",
        "right_offset",
        "spans",
        "twin",
    )

    def __init__(self, local_version: int, length: int) -> None:
        self.local_version: int = local_version
        self.length: int = length
        self.left: Run | None = None
        self.left_offset: int = -1
        self.right: Run | None = None
        self.right_offset: int = -1
        self.spans: list[Span] = []
        self.twin: Run | None = None

    def find(self, offset: int) -> int:
        """Index of the span that holds the character at `offset` of this run."""
        spans = self.spans
        low = 0
        high = len(spans) - 1
        while low < high:
            middle = (low + high + 1) >> 1
            if spans[middle].offset <= offset:
                low = middle
            else:
                high = middle - 1
        return low


@final
class Span:
    """Characters of one run that stand side by side in one state.

    `state`: 0 not yet inserted in the prepare version, 1 visible there, k + 1 deleted k times.
    `deleted`: whether any walked edit deletes them, that is, not visible in the effect version.
    `kept_state` is used by rebasing only: the state by kept edits alone.
    """

    __slots__ = ("deleted", "kept_state", "leaf", "length", "offset", "run", "state")

    def __init__(self, run: Run, offset: int, length: int, leaf: "Block") -> None:
        self.run: Run = run
        self.offset: int = offset
        self.length: int = length
        self.state: int = 1
        self.deleted: bool = False
        self.kept_state: int = 1
        self.leaf: Block = leaf


@final
class Block:
    """A leaf (spans) or a branch (kids) of the tree; the root is its own parent."""

    __slots__ = ("effect", "following", "is_leaf", "kids", "parent", "prepare", "spans")

    def __init__(self, is_leaf: bool) -> None:
        self.is_leaf: bool = is_leaf
        self.parent: Block = self
        self.following: Block = self
        self.spans: list[Span] = []
        self.kids: list[Block] = []
        self.prepare: int = 0
        self.effect: int = 0

    def grow(self, prepare: int, effect: int) -> None:
        """Add to the two lengths of this block and of every block above it."""
        block = self
        while True:
            block.prepare += prepare
            block.effect += effect
            above = block.parent
            if above is block:
                return
            block = above

    def index_of(self, span: Span) -> int:
        index = 0
        for item in self.spans:  # pragma: no branch
            if item is span:
                break
            index += 1
        return index


def precedes(first: Span, second: Span) -> bool:
    """Whether one span stands before another one in the document."""
    a = first.leaf
    b = second.leaf
    if a is b:
        return a.index_of(first) < a.index_of(second)
    while a.parent is not b.parent:
        a = a.parent
        b = b.parent
    for kid in a.parent.kids:  # pragma: no branch
        if kid is a:
            return True
        if kid is b:
            break
    return False


_NOWHERE: Final = Block(True)


@final
class SpanTree:
    """Spans in document order, with a finger on the leaf found last.

    `seek` leaves its answer in `leaf`, `index`, `offset` and `effect` (the effect length before the
    span found), which saves a tuple per call in the hottest path.
    """

    __slots__ = (
        "_finger",
        "_finger_effect",
        "_finger_prepare",
        "effect",
        "first",
        "index",
        "leaf",
        "offset",
        "root",
        "span_count",
    )

    def __init__(self, length: int) -> None:
        leaf = Block(True)
        self.root: Block = leaf
        self.first: Block = leaf
        self.span_count: int = 0
        self.leaf: Block = leaf
        self.index: int = 0
        self.offset: int = 0
        self.effect: int = 0
        self._finger: Block | None = None
        self._finger_prepare: int = 0
        self._finger_effect: int = 0
        if length:
            base = Run(-1, length)
            span = Span(base, 0, length, leaf)
            base.spans.append(span)
            leaf.spans.append(span)
            leaf.prepare = length
            leaf.effect = length
            self.span_count = 1

    def take_apart(self) -> None:
        """Undo the cycles between blocks, spans and runs, so that memory is freed at once."""
        stack = [self.root]
        while stack:
            block = stack.pop()
            stack.extend(block.kids)
            block.kids.clear()
            for span in block.spans:
                run = span.run
                run.spans.clear()
                run.left = None
                run.right = None
                run.twin = None
                span.leaf = _NOWHERE
            block.spans.clear()
            block.parent = _NOWHERE
            block.following = _NOWHERE

    def lift_finger(self) -> None:
        """Forget the leaf found last: lengths before it may have changed."""
        self._finger = None

    def keep_finger(self, leaf: Block) -> None:
        """Before a change in `leaf`: forget the leaf found last unless it is this one."""
        if self._finger is not leaf:
            self._finger = None

    def rewind(self) -> None:
        """Lay the finger on the first leaf, before a change there."""
        self._finger = self.first
        self._finger_prepare = 0
        self._finger_effect = 0

    def seek(self, position: int) -> None:
        """Find the character at `position` of the prepare version; it must exist."""
        finger = self._finger
        if finger is not None:
            rest = position - self._finger_prepare
            if 0 <= rest < finger.prepare:
                self._seek_in(finger, rest, self._finger_effect)
                return
        block = self.root
        rest = position
        effect = 0
        while not block.is_leaf:
            for kid in block.kids:  # pragma: no branch
                if rest < kid.prepare:
                    block = kid
                    break
                rest -= kid.prepare
                effect += kid.effect
        self._finger = block
        self._finger_prepare = position - rest
        self._finger_effect = effect
        self._seek_in(block, rest, effect)

    def _seek_in(self, leaf: Block, rest: int, effect: int) -> None:
        index = 0
        for span in leaf.spans:  # pragma: no branch
            if span.state == 1:
                if rest < span.length:
                    break
                rest -= span.length
            if not span.deleted:
                effect += span.length
            index += 1
        self.leaf = leaf
        self.index = index
        self.offset = rest
        self.effect = effect

    def seek_effect(self, position: int) -> None:
        """Find the character at `position` of the effect version; it must exist."""
        block = self.root
        while not block.is_leaf:
            for kid in block.kids:  # pragma: no branch
                if position < kid.effect:
                    block = kid
                    break
                position -= kid.effect
        index = 0
        for span in block.spans:  # pragma: no branch
            if not span.deleted:
                if position < span.length:
                    break
                position -= span.length
            index += 1
        self.leaf = block
        self.index = index
        self.offset = position

    def effect_before(self, span: Span) -> int:
        """Effect length of everything before `span`."""
        leaf = span.leaf
        total = 0
        for item in leaf.spans:  # pragma: no branch
            if item is span:
                break
            if not item.deleted:
                total += item.length
        if leaf is self._finger:
            return total + self._finger_effect
        block = leaf
        while block.parent is not block:
            for kid in block.parent.kids:  # pragma: no branch
                if kid is block:
                    break
                total += kid.effect
            block = block.parent
        return total

    def prepare_before(self, span: Span) -> int:
        """Prepare length of everything before `span`."""
        leaf = span.leaf
        total = 0
        for item in leaf.spans:  # pragma: no branch
            if item is span:
                break
            if item.state == 1:
                total += item.length
        block = leaf
        while block.parent is not block:
            for kid in block.parent.kids:  # pragma: no branch
                if kid is block:
                    break
                total += kid.prepare
            block = block.parent
        return total

    def place(self, leaf: Block, index: int, span: Span) -> None:
        """Put a new span, visible in both versions, at `index` of `leaf`."""
        span.leaf = leaf
        leaf.spans.insert(index, span)
        self.span_count += 1
        leaf.grow(span.length, span.length)
        if len(leaf.spans) > LEAF_SPANS:
            self.relieve(leaf)

    def cut(self, leaf: Block, index: int, length: int) -> Span:
        """Cut the span at `index` after `length` characters; returns the right piece.

        The leaf may be overfull afterwards: the caller relieves it.
        """
        span = leaf.spans[index]
        right = Span(span.run, span.offset + length, span.length - length, leaf)
        right.state = span.state
        right.deleted = span.deleted
        right.kept_state = span.kept_state
        span.length = length
        leaf.spans.insert(index + 1, right)
        siblings = span.run.spans
        if siblings[-1] is span:
            siblings.append(right)
        else:
            siblings.insert(span.run.find(span.offset) + 1, right)
        self.span_count += 1
        return right

    def relieve(self, block: Block) -> None:
        """Split an overfull leaf, and then every branch above that gets overfull by it."""
        while True:
            right = Block(block.is_leaf)
            if block.is_leaf:
                half = len(block.spans) >> 1
                right.spans = block.spans[half:]
                del block.spans[half:]
                for span in right.spans:
                    span.leaf = right
                    if span.state == 1:
                        right.prepare += span.length
                    if not span.deleted:
                        right.effect += span.length
                right.following = right if block.following is block else block.following
                block.following = right
            else:
                half = len(block.kids) >> 1
                right.kids = block.kids[half:]
                del block.kids[half:]
                for kid in right.kids:
                    kid.parent = right
                    right.prepare += kid.prepare
                    right.effect += kid.effect
            above = block.parent
            if above is block:
                above = Block(False)
                above.prepare = block.prepare
                above.effect = block.effect
                above.kids = [block, right]
                block.parent = above
                right.parent = above
                self.root = above
                block.prepare -= right.prepare
                block.effect -= right.effect
                return
            block.prepare -= right.prepare
            block.effect -= right.effect
            right.parent = above
            at = 1
            for kid in above.kids:  # pragma: no branch
                if kid is block:
                    break
                at += 1
            above.kids.insert(at, right)
            if len(above.kids) <= BRANCH_KIDS:
                return
            block = above
