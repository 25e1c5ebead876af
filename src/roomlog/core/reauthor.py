"""The same history under another lineage, or without some of its operations.

One pure function serves drafts (nodes written before the room was met), refused writes and own
nodes whose parents were lost. Shape and clocks stay; only what depended on a dropped operation
changes.
"""

from collections.abc import Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, final

from roomlog.core.clock import next_clock
from roomlog.core.crdt.text import TextEdit
from roomlog.core.crdt.text.rebase import rebase_edits
from roomlog.core.errors import InvalidValueError
from roomlog.core.graph import Graph
from roomlog.core.named_versions import is_reserved, value_of_version, version_of_value
from roomlog.core.node import MAX_PARENTS, MERGE, Node, NodeHasher, make_node
from roomlog.core.operation import (
    ItemReference,
    ListDelete,
    ListInsert,
    ListMove,
    ListUpdate,
    MapSet,
    Operation,
    TextDelete,
    TextInsert,
)
from roomlog.core.projection import KeyProjection
from roomlog.core.signing import Signer
from roomlog.core.snapshot.base import SnapshotBase
from roomlog.core.state import TieBreak

_NO_OPERATIONS: Final[frozenset[int]] = frozenset()

Drop = Mapping[bytes, Collection[int] | None]
"""Operation indexes to drop by node id; None drops all of a node's, and the node of a merge."""


@final
class Reauthored:
    """What `reauthor` made.

    ``nodes`` are the new ones, parents first, merges that became necessary included. ``mapping``
    has for each old id the new one, or None for a node that vanished. ``dropped`` are the
    (old id, operation index) pairs that are gone, those that only depended on others included.
    """

    __slots__ = ("dropped", "mapping", "nodes")

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.mapping: dict[bytes, bytes | None] = {}
        self.dropped: list[tuple[bytes, int]] = []


def reauthor(
    nodes: Sequence[Node],
    lineage: bytes,
    drop: Drop,
    *,
    signer: Signer | None = None,
    context: Sequence[Node] = (),
    base: SnapshotBase | None = None,
) -> Reauthored:
    """Write ``nodes``, parents first, again, without what ``drop`` names.

    ``context`` are the other nodes of their history, parents first: they keep their ids; those
    without a body touch nothing that matters here. They are
    needed when text is dropped, or a node with parents of its own vanishes. Without a ``signer``
    the new nodes are unsigned. A node that stays the same byte for byte is returned as it is.

    ``base`` is the snapshot that stands for what is below all of these nodes.

    Dropped nodes and operations vanish, and with them operations on items whose insert is gone.
    A vanished node's parents take its place. Item references are mapped, and text positions are
    mapped through the walk without the dropped operations; named versions keep to what became of
    the nodes they name. A change without operations and a
    merge without two parents vanish. No node gets a parent that its author had not seen.

    Raises ValueError when a node that must be written is not by the signer, a node comes before
    its parents, or what is left of one cannot be a node any more.
    """
    return _Reauthoring(nodes, lineage, drop, signer, context, base).run()


@final
class _Reauthoring:
    def __init__(  # noqa: PLR0917
        self,
        nodes: Sequence[Node],
        lineage: bytes,
        drop: Drop,
        signer: Signer | None,
        context: Sequence[Node],
        base: SnapshotBase | None,
    ) -> None:
        self._base = base
        self._nodes = nodes
        self._lineage = lineage
        self._drop = drop
        self._signer = signer
        self._context = context
        self._hasher = NodeHasher(lineage)
        self._result = Reauthored()
        self._rewritten = {node.id for node in nodes}
        # By old id: what stands in the place of a vanished node.
        self._in_place: dict[bytes, list[bytes]] = {}
        # By old id and operation index: the new index of an insert, or -1 when it is gone.
        self._inserts: dict[tuple[bytes, int], int] = {}
        self._edits: dict[tuple[bytes, int], list[TextEdit]] = {}
        # The new nodes, to reduce parents with.
        self._graph = Graph()

    def run(self) -> Reauthored:
        self._map_text()
        for node in self._context:
            self._know(node)
        for node in self._nodes:
            self._rewrite(node)
        return self._result

    def _dropped_of(self, node_id: bytes, count: int) -> Collection[int]:
        indexes = self._drop.get(node_id, _NO_OPERATIONS)
        return range(count) if indexes is None else indexes

    # Texts

    def _map_text(self) -> None:
        """Find the edits that say the same without the dropped ones."""
        keys: set[str] = set()
        for node in self._nodes:
            if node.id in self._drop:
                operations = node.known_operations()
                for index in self._dropped_of(node.id, len(operations)):
                    operation = operations[index]
                    if isinstance(operation, TextInsert | TextDelete):
                        keys.add(operation.key)
        if not keys:
            return
        graph, ordered = self._old_graph()
        base = self._base
        histories: dict[str, _TextHistory] = {}
        for key in keys:
            histories[key] = _TextHistory(graph, None if base is None else base.text(key))
        for lv in range(0 if base is None else base.first_above, len(ordered)):
            node = ordered[lv]
            operations = node.known_operations()
            dropped: Collection[int] = _NO_OPERATIONS
            if node.id in self._rewritten and node.id in self._drop:
                dropped = self._dropped_of(node.id, len(operations))
            for index, operation in enumerate(operations):
                if isinstance(operation, TextInsert):
                    edit = TextEdit(operation.position, 0, operation.text)
                elif isinstance(operation, TextDelete):
                    edit = TextEdit(operation.position, operation.length, "")
                else:
                    continue
                history = histories.get(operation.key)
                if history is not None:
                    history.add(graph, lv, index, edit, dropped=index in dropped)
        tie_break = TieBreak(graph)
        for history in histories.values():
            changed = rebase_edits(history.nodes, history.dropped, tie_break.of, history.base)
            for place, edits in changed.items():
                node = ordered[place[0]]
                self._edits[node.id, history.operation_indexes[place]] = edits

    def _old_graph(self) -> tuple[Graph, list[Node]]:
        """Base, context and nodes by local version. Parents that nobody gave count for nothing."""
        graph = Graph()
        ordered: list[Node] = []
        if self._base is not None:
            self._base.begin_graph(graph)
            self._base.begin_nodes(ordered)
        for nodes in (self._context, self._nodes):
            for node in nodes:
                parents = [parent for parent in node.parents if graph.index_of(parent) >= 0]
                graph.add(node.id, node.author, node.clock, parents)
                ordered.append(node)
        return graph, ordered

    # Nodes

    def _rewrite(self, node: Node) -> None:
        parents, parents_changed = self._parents_of(node)
        operations, operations_changed = self._operations_of(node)
        if node.kind == MERGE:
            keep = len(parents) >= 2 and self._drop.get(node.id, _NO_OPERATIONS) is not None
        else:
            keep = bool(operations)
        if not keep:
            self._result.mapping[node.id] = None
            self._in_place[node.id] = parents
            return
        if parents_changed or operations_changed or self._hasher.node_id(node.header()) != node.id:
            if self._signer is not None and node.author != self._signer.public_key:
                raise InvalidValueError(f"nodes: {node.id.hex()} is by another author")
            parents = self._narrow(node, parents)
            new = self._make(node.author, node.kind, node.clock, parents, operations)
        else:
            new = node
        self._know(new)
        self._result.nodes.append(new)
        self._result.mapping[node.id] = new.id

    def _make(
        self,
        author: bytes,
        kind: int,
        clock: int,
        parents: Sequence[bytes],
        operations: Sequence[Operation],
    ) -> Node:
        return make_node(
            self._hasher, self._signer, kind, clock, parents, operations, author=author
        )

    def _know(self, node: Node) -> None:
        graph = self._graph
        for parent in node.parents:
            if graph.index_of(parent) < 0:
                # A foreign ancestor that was not given: it is after nothing that is known.
                graph.add(parent, b"", 0, ())
        graph.add(node.id, node.author, node.clock, node.parents)

    def _parents_of(self, node: Node) -> tuple[list[bytes], bool]:
        """The new parents, ascending and unique, and whether they differ."""
        mapping = self._result.mapping
        parents: set[bytes] = set()
        changed = False
        reduce = False
        for parent in node.parents:
            if parent not in self._rewritten:
                parents.add(parent)
                continue
            if parent not in mapping:
                raise InvalidValueError(f"nodes: {node.id.hex()} comes before its parent")
            new = mapping[parent]
            if new is None:
                parents.update(self._in_place[parent])
                reduce = True
            else:
                parents.add(new)
                changed = changed or new != parent
        if not reduce:
            return sorted(parents), changed
        graph = self._graph
        for parent in parents:
            if graph.index_of(parent) < 0:
                graph.add(parent, b"", 0, ())
        heads = graph.heads_of([graph.index_of(parent) for parent in parents])
        return sorted([graph.id_of(lv) for lv in heads]), True

    def _narrow(self, node: Node, parents: list[bytes]) -> list[bytes]:
        """At most 64 parents, by merges of the same author where a vanished one left too many."""
        graph = self._graph
        while len(parents) > MAX_PARENTS:
            merged = parents[:MAX_PARENTS]
            greatest = max(graph.clock_of(graph.index_of(parent)) for parent in merged)
            merge = self._make(node.author, MERGE, next_clock(None, greatest), merged, ())
            self._know(merge)
            self._result.nodes.append(merge)
            parents = sorted([*parents[MAX_PARENTS:], merge.id])
        return parents

    def _operations_of(self, node: Node) -> tuple[list[Operation], bool]:
        """The operations that stay, with mapped references and positions; whether any differs."""
        old = node.known_operations()
        dropped = self._dropped_of(node.id, len(old)) if node.id in self._drop else _NO_OPERATIONS
        if not isinstance(dropped, range | AbstractSet):
            dropped = set(dropped)
        operations: list[Operation] = []
        changed = False
        for index, operation in enumerate(old):
            if index in dropped:
                self._gone(node, index, operation)
                changed = True
                continue
            if isinstance(operation, ListInsert):
                self._inserts[node.id, index] = len(operations)
            elif isinstance(operation, ListMove | ListUpdate | ListDelete):
                item = self._item_of(node, operation.item)
                if (
                    changed
                    and item is not None
                    and item.node is None
                    and (node.id, operation.item.operation_index) not in self._inserts
                ):
                    # It names no insert, and its index could come to name one.
                    item = None
                if item is None:
                    self._gone(node, index, operation)
                    changed = True
                    continue
                if item is not operation.item:
                    changed = True
                    operation = _on_item(operation, item)
            elif isinstance(operation, MapSet):
                version = self._version_of(operation)
                if version is not None:
                    changed = True
                    operation = version
            elif isinstance(operation, TextInsert | TextDelete):
                edits = self._edits.get((node.id, index))
                if edits is not None:
                    changed = True
                    if not edits:
                        self._result.dropped.append((node.id, index))
                    for edit in edits:
                        operations.append(_text_operation(operation.key, edit))
                    continue
            operations.append(operation)
        return operations, changed

    def _version_of(self, operation: MapSet) -> MapSet | None:
        """A named version of what is written anew, by its new ids; None when it is no such."""
        if not is_reserved(operation.key):
            return None
        version = version_of_value("", operation.value)
        if version is None or self._rewritten.isdisjoint(version.frontier):
            return None
        frontier: set[bytes] = set()
        for node_id in version.frontier:
            new = self._result.mapping.get(node_id, node_id)
            frontier.update(self._in_place[node_id] if new is None else [new])
        rewritten = version._replace(frontier=tuple(sorted(frontier)))
        return MapSet(operation.key, value_of_version(rewritten))

    def _gone(self, node: Node, index: int, operation: Operation) -> None:
        self._result.dropped.append((node.id, index))
        if isinstance(operation, ListInsert):
            self._inserts[node.id, index] = -1

    def _item_of(self, node: Node, item: ItemReference) -> ItemReference | None:
        """The item's new name, the same object when it has not changed, None when it is gone."""
        old_id = node.id if item.node is None else item.node
        new_index = self._inserts.get((old_id, item.operation_index))
        if new_index is None:
            # Not an insert of these nodes: it is named, rightly or wrongly, as before.
            return item
        if new_index < 0:
            return None
        new_id = None if item.node is None else self._result.mapping[old_id]
        if new_index == item.operation_index and new_id == item.node:
            return item
        return ItemReference(new_id, new_index)


@final
class _TextHistory:
    """One text as `rebase_edits` takes it, and where its edits are in the nodes' operations."""

    def __init__(self, graph: Graph, base: tuple[int, str] | None) -> None:
        self.base = base
        self.nodes: list[tuple[int, Sequence[int], list[TextEdit]]] = []
        self.dropped: set[tuple[int, int]] = set()
        self.operation_indexes: dict[tuple[int, int], int] = {}
        self._projection = KeyProjection()
        if base is not None:
            self._projection.add(graph, base[0])

    def add(self, graph: Graph, lv: int, index: int, edit: TextEdit, *, dropped: bool) -> None:
        if self.nodes and self.nodes[-1][0] == lv:
            edits = self.nodes[-1][2]
        else:
            edits = []
            parents = self._projection.parents(graph, lv)
            self._projection.add(graph, lv)
            self.nodes.append((lv, parents, edits))
        place = (lv, len(edits))
        edits.append(edit)
        self.operation_indexes[place] = index
        if dropped:
            self.dropped.add(place)


def _on_item(
    operation: ListMove | ListUpdate | ListDelete, item: ItemReference
) -> ListMove | ListUpdate | ListDelete:
    if isinstance(operation, ListMove):
        return ListMove(operation.key, item, operation.position)
    if isinstance(operation, ListUpdate):
        return ListUpdate(operation.key, item, operation.value)
    return ListDelete(operation.key, item)


def _text_operation(key: str, edit: TextEdit) -> TextInsert | TextDelete:
    if edit.delete_length:
        return TextDelete(key, edit.position, edit.delete_length)
    return TextInsert(key, edit.position, edit.inserted)
