"""Questions about a text's history that its own walk cannot answer: who wrote what, what is where.

Each is one walk of its own, from the newest version that will do, and leaves nothing behind: the
walk under way uses the same operations, so it is given up first and begun anew when it is needed.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence

from roomlog.core.crdt.text.edit import TextStats
from roomlog.core.crdt.text.history import INSERT, NOTHING, Entry
from roomlog.core.crdt.text.merging import MergeState
from roomlog.core.crdt.text.pieces import PieceList
from roomlog.core.crdt.text.plan import find_critical, walk_order
from roomlog.core.crdt.text.walker import Walker


def read_origins(state: MergeState) -> PieceList:
    """The visible characters by the local versions that inserted them; a base's are negative."""
    state.drop_walker()
    history = state.history
    pieces = PieceList()
    if history.base_node >= 0:
        length = history.entries[0].ops[0].length_before
        if length:
            pieces.insert(0, length, -length)
    order = walk_order(history.entries)
    critical = find_critical(order, [])
    base: Entry | None = None
    walker: Walker | None = None
    for index in range(len(order)):
        entry = order[index]
        if critical[index]:
            if walker is not None:
                walker.take_apart()
                walker = None
            base = entry
        elif walker is None:
            walker = Walker(history, state.tie_break, TextStats(), base, pieces.length)
        if walker is not None:
            walker.move(entry.parents)
        at = entry.start
        for op in entry.ops:
            if op.kind == INSERT:
                position = op.position
                if walker is not None:
                    position = walker.insert(op, position, op.length, at)
                pieces.insert(position, op.length, at)
            elif op.kind != NOTHING:
                if walker is None:
                    pieces.delete(op.position, op.length)
                else:
                    walker.delete(op, op.position, op.length)
                    removed = walker.removed
                    for place in range(0, len(removed), 2):
                        pieces.delete(removed[place], removed[place + 1])
            at += op.length
        if walker is not None:
            walker.finish(entry)
    if walker is not None:
        walker.take_apart()
    _forget(order)
    return pieces


def read_position(
    state: MergeState, nodes: Sequence[int], position: int, after: bool, length: int
) -> int:
    """See `TextDocument.position_since`; `length` is that of the text now."""
    if not nodes:
        if position:
            raise IndexError(f"position {position} outside a text of length 0")
        return length if after else 0
    order: list[Entry] = []
    walker = _walk_from(state, nodes, order)
    tree = walker.tree
    length_there = walker.length()
    found = 0
    if 0 <= position <= length_there:
        if after:
            found = length
            if position < length_there:
                tree.seek(position)
                found = tree.effect
                if not tree.leaf.spans[tree.index].deleted:
                    found += tree.offset
        elif position:
            tree.seek(position - 1)
            found = tree.effect
            if not tree.leaf.spans[tree.index].deleted:
                found += tree.offset + 1
    walker.take_apart()
    _forget(order)
    if not 0 <= position <= length_there:
        raise IndexError(f"position {position} outside a text of length {length_there}")
    return found


def read_positions(state: MergeState, nodes: Sequence[int]) -> list[tuple[int, int]]:
    """See `TextDocument.positions_of`."""
    found: list[tuple[int, int]] = []
    if not nodes:
        return found
    order: list[Entry] = []
    walker = _walk_from(state, nodes, order)
    position = 0
    leaf = walker.tree.first
    while True:
        for span in leaf.spans:
            if span.state == 1:
                found.append((span.length, -1 if span.deleted else position))
            if not span.deleted:
                position += span.length
        if leaf.following is leaf:
            break
        leaf = leaf.following
    walker.take_apart()
    _forget(order)
    return found


def read_segments(
    state: MergeState, node_span: Callable[[int], tuple[int, int, int]]
) -> list[tuple[int, int, int, int]]:
    """See `TextDocument.segments`, and `node_span` of it."""
    history = state.history
    # Where insertions begin, and how many characters were inserted before each.
    starts: list[int] = []
    counts: list[int] = []
    kinds: list[bool] = []
    inserted = 0
    for entry in history.entries:
        at = entry.start
        for op in entry.ops:
            starts.append(at)
            counts.append(inserted)
            kinds.append(op.kind == INSERT)
            at += op.length
            if op.kind == INSERT:
                inserted += op.length
    starts.append(history.next_version)
    counts.append(inserted)
    kinds.append(False)
    segments: list[tuple[int, int, int, int]] = []
    base_length = 0
    if history.base_node >= 0:
        base_length = history.entries[0].ops[0].length_before
    for piece in read_origins(state).pieces():
        if piece.number < 0:
            place = base_length + piece.number
            segments.append((-1, place, base_length, piece.length))
            continue
        at = piece.number
        stop = at + piece.length
        while at < stop:
            node, start, end = node_span(at)
            size = min(stop, end) - at
            first = _inserted_before(start, starts, counts, kinds)
            place = _inserted_before(at, starts, counts, kinds) - first
            total = _inserted_before(end, starts, counts, kinds) - first
            segments.append((node, place, total, size))
            at += size
    return segments


def _inserted_before(version: int, starts: list[int], counts: list[int], kinds: list[bool]) -> int:
    at = bisect_right(starts, version) - 1
    return counts[at] + (version - starts[at] if kinds[at] else 0)


def _walk_from(state: MergeState, nodes: Sequence[int], order: list[Entry]) -> Walker:
    """A walk that has seen everything and stands at `nodes`; fills in what it used."""
    state.drop_walker()
    history = state.history
    version = state.entries_of(nodes)
    newest = max([entry.start for entry in version])
    critical = state.critical
    at = len(critical) - 1
    while at >= 0 and critical[at].start > newest:
        at -= 1
    base = critical[at] if at >= 0 else None
    length = 0 if base is None else base.length_after()
    walker = Walker(history, state.tie_break, TextStats(), base, length)
    order.extend(walk_order(history.entries[history.index_at(walker.base_end - 1) + 1 :]))
    for entry in order:
        walker.replay(entry)
    walker.move(version)
    return walker


def _forget(entries: list[Entry]) -> None:
    """Take the marks of a walk off what it used."""
    for entry in entries:
        entry.walked = False
        for op in entry.ops:
            op.run = None
            op.targets = None
