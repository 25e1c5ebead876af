"""Questions about a text's history that its own walk cannot answer: who wrote what, what is where.

Each is one walk of its own, from the newest version that will do, and leaves nothing behind: the
walk under way uses the same operations, so it is given up first and begun anew when it is needed.
"""

from collections.abc import Sequence

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
    state.drop_walker()
    history = state.history
    version = state.entries_of(nodes)
    newest = max([entry.start for entry in version])
    critical = state.critical
    at = len(critical) - 1
    while at >= 0 and critical[at].start > newest:
        at -= 1
    base = critical[at] if at >= 0 else None
    length_there = 0 if base is None else base.length_after()
    walker = Walker(history, state.tie_break, TextStats(), base, length_there)
    order = walk_order(history.entries[history.index_at(walker.base_end - 1) + 1 :])
    for entry in order:
        walker.replay(entry)
    walker.move(version)
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


def _forget(entries: list[Entry]) -> None:
    """Take the marks of a walk off what it used."""
    for entry in entries:
        entry.walked = False
        for op in entry.ops:
            op.run = None
            op.targets = None
