"""A text that several authors edit at once: plain text while nothing is concurrent."""

from collections.abc import Callable, Sequence
from typing import Final, final

from roomlog.core.crdt.text.batch import BatchNode, Chain
from roomlog.core.crdt.text.chunks import ChunkedText
from roomlog.core.crdt.text.edit import TextEdit, TextStats
from roomlog.core.crdt.text.history import DELETE, INSERT, NOTHING, Entry
from roomlog.core.crdt.text.merging import MergeState, contains
from roomlog.core.crdt.text.pieces import PieceList
from roomlog.core.crdt.text.plan import mark_critical, walk_order
from roomlog.core.crdt.text.reading import (
    read_origins,
    read_position,
    read_positions,
    read_segments,
)
from roomlog.core.crdt.text.walker import Walker

_PLANNED: Final = 4  # nodes from which on a plan is worth making


@final
class TextDocument:
    """The merged text of one key, from the nodes that touch it.

    Node handles are integers that grow in the order the nodes are added. `tie_break(node)` gives
    the bytes that order concurrent insertions of different nodes at one place: unique per node, the
    same on every replica. Transient merge state is dropped and rebuilt when it holds more than
    `span_limit` spans.

    With a `base`, a node handle and a text, the document begins as that text: a critical version
    whose own history does not exist. Every node then has the base in its history, by naming it or a
    node above it as parent.

    An edit outside its author's view (also one that removes past the end, or does nothing) has no
    effect, and the node's later edits are read as if it were not there.
    """

    __slots__ = (
        "_last_node",
        "_open_entry",
        "_open_node",
        "_open_start",
        "_state",
        "_text",
        "listeners",
        "stats",
    )

    def __init__(
        self,
        tie_break: Callable[[int], bytes],
        span_limit: int = 200_000,
        base: tuple[int, str] | None = None,
    ) -> None:
        self._text: ChunkedText = ChunkedText()
        self._state: MergeState = MergeState(tie_break, span_limit)
        # Each is told every change of the visible text, in order and right after it: position,
        # characters deleted, characters inserted, and the local version of the first inserted one.
        self.listeners: list[Callable[[int, int, int, int], None]] | None = None
        self._last_node: int = -1
        self._open_node: int = -1  # the node that local edits are added to, -1 when none
        self._open_start: int = 0
        self._open_entry: Entry | None = None
        self.stats: TextStats = self._state.stats
        if base is not None:
            handle, text = base
            self._claim(handle)
            if text:
                self._text.insert(0, text)
            self._state.found(handle, len(text))

    def __len__(self) -> int:
        return self._text.length

    def __str__(self) -> str:
        return self._text.whole()

    def slice(self, start: int, stop: int) -> str:
        """The characters from `start` up to `stop`, in scalar values, cut as Python slices are."""
        start, stop, _ = slice(start, stop).indices(self._text.length)
        return self._text.slice(start, stop) if start < stop else ""

    # Reading history

    @property
    def open_node(self) -> int:
        """The newest node if it was written here and nothing has come since, else -1."""
        return self._open_node

    def node_span(self, version: int) -> tuple[int, int, int]:
        """The node of a local version that is not the base's; its first and last + 1 version."""
        if self._open_node >= 0 and version >= self._open_start:
            return self._open_node, self._open_start, self._state.history.next_version
        return self._state.history.node_span(version)

    def origins(self) -> PieceList:
        """The visible characters, numbered by the local versions that inserted them.

        Those of a base are numbered -length .. -1. Replays the whole history.
        """
        return read_origins(self._state)

    def segments(self) -> list[tuple[int, int, int, int]]:
        """The visible characters by what inserted them, in text order; replays the history.

        Each is (node, place of the first one among all that the node inserted, how many it
        inserted, length). Characters of a base have the node -1 and their place in it.
        """
        return read_segments(self._state, self.node_span)

    def positions_of(self, nodes: Sequence[int]) -> list[tuple[int, int]]:
        """Where the text at `nodes` is now, as (length, position), -1 for what is gone.

        Raises ValueError when a node is unknown. Replays what came after the version.
        """
        return read_positions(self._state, nodes)

    def position_since(self, nodes: Sequence[int], position: int, after: bool) -> int:
        """Where a place in the text at `nodes` is now: right after the character before it.

        With `after` it is right before the character after it. A character that is gone
        keeps its place among those that were ever there, so every replica finds the same. Raises
        IndexError when there is no such position at that version, ValueError when a node is
        unknown. Replays what came after the version.
        """
        return read_position(self._state, nodes, position, after, self._text.length)

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
        history = self._state.history
        if self.listeners is not None:
            self._tell(position, 0, size, history.next_version)
        history.next_version += size

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
        self._state.history.next_version += length
        if self.listeners is not None:
            self._tell(position, length, 0, -1)

    def _local_entry(self, node: int) -> Entry:
        if node == self._open_node:
            entry = self._open_entry
            assert entry is not None
            return entry
        self._close()
        self._claim(node)
        entry = self._state.direct_entry()
        self._open_node = node
        self._open_start = self._state.history.next_version
        self._open_entry = entry
        self._state.set_head(node, entry)
        return entry

    def _close(self) -> None:
        """End the node that local edits were added to."""
        if self._open_node >= 0:
            version = self._state.history.next_version
            self._state.history.note_node(
                self._open_node, self._open_start, version - self._open_start
            )
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

        `parents` are the latest nodes of this document in the author's view. Ends the node
        that local edits were added to. Raises ValueError when a parent is unknown, when there is
        none although the document has a base, or when `node` is not greater than all before it;
        nothing is merged then.
        """
        self._close()
        heads = self._state.head_nodes
        if len(parents) == len(heads) and (
            not heads
            or (parents[0] == heads[0] if len(heads) == 1 else sorted(parents) == sorted(heads))
        ):
            self._claim(node)
            return self._add_at_heads(node, edits)
        if not parents and self._state.history.base_node >= 0:
            raise ValueError(f"node {node} does not have the base in its history")
        above = self._state.entries_of(parents)
        self._claim(node)
        return self._add_beside(node, above, edits)

    def add_nodes(self, nodes: Sequence[BatchNode]) -> list[TextEdit] | None:
        """Merge nodes that arrived together, parents before children, in one planned walk.

        Returns the effect as `add_node` does, or None when the document was empty before: then the
        whole text is the effect. Raises ValueError as `add_node` does, before anything is merged.
        """
        self._close()
        places: dict[int, int] = {}
        children = self._check(nodes, places)
        effects: list[TextEdit] = []
        if len(nodes) < _PLANNED:
            for node, parents, edits in nodes:
                effects.extend(self.add_node(node, parents, edits))
            return effects
        for node in places:
            self._last_node = max(self._last_node, node)
        chains = self._chains_of(nodes, places, children)
        order = walk_order([chain.entry for chain in chains])
        chains = [chains[entry.rank] for entry in order]
        mark_critical(order, self._state.heads)
        fresh = self._state.history.next_version == 0
        for chain in chains:
            self._add_chain(nodes, chain, None if fresh else effects)
        return None if fresh else effects

    def _check(self, nodes: Sequence[BatchNode], places: dict[int, int]) -> list[int]:
        """Fill in the index of each node of a batch; returns how many children each has in it."""
        history = self._state.history
        last = self._last_node
        children: list[int] = [0] * len(nodes)
        for index in range(len(nodes)):
            node, parents, _ = nodes[index]
            if not parents and history.base_node >= 0:
                raise ValueError(f"node {node} does not have the base in its history")
            for parent in parents:
                place = places.get(parent, -1)
                if place >= 0:
                    children[place] += 1
                elif history.end_of(parent) < 0:
                    raise ValueError(f"node {parent} is unknown")
            if node <= last or node in places:
                raise ValueError(f"node {node} comes after node {last}, or twice")
            places[node] = index
        return children

    def _chains_of(
        self, nodes: Sequence[BatchNode], places: dict[int, int], children: list[int]
    ) -> list[Chain]:
        """Gather a batch into chains, parents before children."""
        chains: list[Chain] = []
        chain_of: list[Chain] = []
        lengths: list[int] = []
        for index in range(len(nodes)):
            _, parents, edits = nodes[index]
            if len(parents) == 1:
                place = places.get(parents[0], -1)
                if place >= 0 and children[place] == 1:
                    chain = chain_of[place]
                    chain_of.append(chain)
                    lengths.append(chain.add(index, edits, lengths[place]))
                    continue
            above: list[Entry] = []
            for parent in parents:
                place = places.get(parent, -1)
                if place >= 0:
                    found = chain_of[place].entry
                else:
                    found = self._state.entry_ending(self._state.history.end_of(parent))
                if not contains(above, found):
                    above.append(found)
            chain = Chain(above)
            chains.append(chain)
            chain_of.append(chain)
            lengths.append(chain.add(index, edits, 0))
        return chains

    def _add_chain(
        self, nodes: Sequence[BatchNode], chain: Chain, effects: list[TextEdit] | None
    ) -> None:
        history = self._state.history
        text = self._text
        entry = chain.entry
        walker: Walker | None = None
        if entry.critical:
            # It stays so for the whole batch: nothing of the batch needs a walk from before it.
            self._state.drop_walker()
            length = text.length
            self._state.critical.append(entry)
        else:
            walker = self._state.walker_for(entry.parents)
            walker.move(entry.parents)
            length = walker.length()
        chain.settle(nodes, length, history.next_version)
        history.add(entry)
        version = entry.start
        members = chain.members
        for index in range(len(members)):
            size = chain.sizes[index]
            history.note_node(nodes[members[index]][0], version, size)
            version += size
        history.next_version = version
        at = entry.start
        for index in range(len(entry.ops)):
            op = entry.ops[index]
            if op.kind == INSERT:
                inserted = chain.texts[index]
                position = op.position
                if walker is not None:
                    position = walker.insert(op, position, op.length, at)
                text.insert(position, inserted)
                if effects is not None:
                    effects.append(TextEdit(position, 0, inserted))
                if self.listeners is not None:
                    self._tell(position, 0, op.length, at)
            elif op.kind != NOTHING:
                if walker is not None:
                    walker.delete(op, op.position, op.length)
                    self._remove(walker.removed, effects)
                else:
                    text.delete(op.position, op.length)
                    if effects is not None:
                        effects.append(TextEdit(op.position, op.length, ""))
                    if self.listeners is not None:
                        self._tell(op.position, op.length, 0, -1)
            at += op.length
        self._state.replace_heads(entry.parents, entry, nodes[members[-1]][0])
        self.stats.local_versions = version
        if walker is not None:
            walker.finish(entry)
            self._state.measure(walker)

    def _remove(self, removed: list[int], effects: list[TextEdit] | None) -> None:
        """Take what a walked deletion hit out of the text: position, length, ..."""
        for index in range(0, len(removed), 2):
            self._text.delete(removed[index], removed[index + 1])
            if effects is not None:
                effects.append(TextEdit(removed[index], removed[index + 1], ""))
            if self.listeners is not None:
                self._tell(removed[index], removed[index + 1], 0, -1)

    def _tell(self, position: int, deleted: int, inserted: int, version: int) -> None:
        listeners = self.listeners
        assert listeners is not None
        # A listener may stop listening when it is told.
        for listener in listeners.copy():
            listener(position, deleted, inserted, version)

    def _add_at_heads(self, node: int, edits: Sequence[TextEdit]) -> list[TextEdit]:
        history = self._state.history
        text = self._text
        entry = self._state.direct_entry()
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
                if self.listeners is not None:
                    self._tell(position, size, 0, -1)
            else:
                inserted = edit.inserted
                size = len(inserted)
                if position < 0 or position > length or not size:
                    continue
                text.insert(position, inserted)
                entry.append(INSERT, position, size, length)
                if self.listeners is not None:
                    self._tell(position, 0, size, history.next_version)
            history.next_version += size
            effects.append(edit)
        if history.next_version == start:
            entry.append(NOTHING, 0, 1, text.length)
            history.next_version += 1
        version = history.next_version
        history.note_node(node, start, version - start)
        self.stats.local_versions = version
        self._state.set_head(node, entry)
        return effects

    def _add_beside(
        self, node: int, parents: list[Entry], edits: Sequence[TextEdit]
    ) -> list[TextEdit]:
        history = self._state.history
        walker = self._state.walker_for(parents)
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
            if kind == INSERT:
                at = walker.insert(op, edit.position, size, history.next_version)
                self._text.insert(at, edit.inserted)
                effects.append(TextEdit(at, 0, edit.inserted))
                if self.listeners is not None:
                    self._tell(at, 0, size, history.next_version)
            else:
                walker.delete(op, edit.position, size)
                self._remove(walker.removed, effects)
            history.next_version += size
        if history.next_version == start:
            entry.append(NOTHING, 0, 1, walker.length())
            history.next_version += 1
        walker.finish(entry)
        history.note_node(node, start, history.next_version - start)
        self._state.replace_heads(parents, entry, node)
        self._state.measure(walker)
        return effects

    # The walk
