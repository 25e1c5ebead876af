"""Everything a room's history says: the merged objects of every kind, by key.

A state is built over a graph from any set of nodes that holds their ancestors. Nodes are named by
local version; a local version that the graph does not hold yet is the node being written.
"""

from collections.abc import Sequence
from typing import Final, final

from roomlog.core.crdt.counter import Counters
from roomlog.core.crdt.list import ListDocument, ListItem
from roomlog.core.crdt.map import ABSENT, BLOB, VALUE, BlobReference, Registers
from roomlog.core.crdt.text import TextDocument, TextEdit
from roomlog.core.graph import Graph
from roomlog.core.operation import (
    CounterAdd,
    ItemReference,
    ListDelete,
    ListInsert,
    ListMove,
    ListUpdate,
    MapDelete,
    MapSet,
    MapSetBlob,
    Operation,
    TextDelete,
    TextInsert,
)
from roomlog.core.patterns import KeySelection, PatternSet
from roomlog.core.projection import KeyProjection
from roomlog.core.text_followers import TextFollowers

MAP: Final = 1
COUNTER: Final = 2
LIST: Final = 3
TEXT: Final = 4
KINDS: Final = (MAP, COUNTER, LIST, TEXT)

_BATCH_NODES: Final = 3
"""From this many nodes on, text edits are gathered and merged as one planned walk."""


@final
class TieBreak:
    """The bytes that order concurrent inserts of different nodes: author, then node id."""

    __slots__ = ("_graph",)

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def of(self, lv: int) -> bytes:
        """Author and id of the node ``lv``."""
        return self._graph.author_of(lv) + self._graph.id_of(lv)


@final
class TextState:
    """One text: its document and the graph of the nodes that touch it."""

    __slots__ = ("batch", "changed", "document", "projection")

    def __init__(self, tie_break: TieBreak, base: tuple[int, str] | None = None) -> None:
        self.document = TextDocument(tie_break.of, base=base)
        self.projection = KeyProjection()
        self.changed = False
        self.batch: list[tuple[int, Sequence[int], Sequence[TextEdit]]] = []


@final
class State:
    """The merged state of one node set. `apply` takes nodes in topological order.

    ``readable`` are the keys it is about, None for all: operations on others are passed over.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.maps = Registers(graph)
        self.counters = Counters()
        self.lists: dict[str, ListDocument] = {}
        self.texts: dict[str, TextState] = {}
        self.unknown_operations = 0
        self.unknown_by_key: dict[str, int] = {}
        self.readable: KeySelection | None = None
        self.text_followers: TextFollowers | None = None
        self._tie_break = TieBreak(graph)
        self._changed: set[tuple[int, str]] = set()
        self._changed_texts: list[str] = []
        self._batched_texts: list[TextState] = []

    def clear(self) -> None:
        """Forget everything but the graph, as before the first node."""
        self.maps = Registers(self.graph)
        self.counters = Counters()
        self.lists.clear()
        self.texts.clear()
        self.unknown_operations = 0
        self.unknown_by_key.clear()
        self._changed.clear()
        self._changed_texts.clear()

    def keys(self) -> set[tuple[int, str]]:
        """The (kind, key) pairs of everything that was touched, deleted map keys included."""
        keys = {(MAP, key) for key in self.maps.by_key}
        keys.update([(COUNTER, key) for key in self.counters.sums])
        keys.update([(LIST, key) for key in self.lists])
        keys.update([(TEXT, key) for key in self.texts])
        return keys

    def follow_on(self) -> None:
        """Tell what follows a text that it may be another object now."""
        if self.text_followers is not None:
            self.text_followers.refresh(self)

    def adopt(self, lv: int, operations: Sequence[Operation]) -> None:
        """Take note that the node ``lv``, whose edits are applied already, is in the graph now."""
        last_key = ""
        for operation in operations:
            if isinstance(operation, TextInsert | TextDelete):
                key = operation.key
                if key != last_key:
                    last_key = key
                    projection = self.texts[key].projection
                    heads = projection.heads
                    if not heads or heads[-1] != lv:
                        projection.add(self.graph, lv)

    def apply(self, lv: int, operations: Sequence[Operation]) -> None:
        """Take one node. Its ancestors are here already and nothing of the node is."""
        text_key = ""
        text_edits: list[TextEdit] = []
        more_texts: dict[str, list[TextEdit]] | None = None
        index = 0
        readable = self.readable
        for operation in operations:
            if readable is not None and not readable.matches(operation.key):
                index += 1
                continue
            if isinstance(operation, TextInsert):
                edit = TextEdit(operation.position, 0, operation.text)
            elif isinstance(operation, TextDelete):
                edit = TextEdit(operation.position, operation.length, "")
            else:
                self._apply_other(lv, index, operation)
                index += 1
                continue
            index += 1
            key = operation.key
            if key == text_key:
                text_edits.append(edit)
            elif not text_key:
                text_key = key
                text_edits.append(edit)
            else:
                if more_texts is None:
                    more_texts = {}
                edits = more_texts.get(key)
                if edits is None:
                    more_texts[key] = [edit]
                else:
                    edits.append(edit)
        if text_key:
            self._apply_text(lv, text_key, text_edits)
            if more_texts is not None:
                for key, edits in more_texts.items():
                    self._apply_text(lv, key, edits)

    def apply_batch(self, lvs: Sequence[int], operations: Sequence[Sequence[Operation]]) -> None:
        """Take many nodes that arrived together: every text is merged in one planned walk."""
        if len(lvs) < _BATCH_NODES:
            for lv, of_node in zip(lvs, operations, strict=True):
                self.apply(lv, of_node)
            return
        batched = self._batched_texts
        last_key = ""
        last_text: TextState | None = None
        graph = self.graph
        readable = self.readable
        for lv, of_node in zip(lvs, operations, strict=True):
            index = 0
            for operation in of_node:
                if readable is not None and not readable.matches(operation.key):
                    index += 1
                    continue
                if isinstance(operation, TextInsert):
                    edit = TextEdit(operation.position, 0, operation.text)
                elif isinstance(operation, TextDelete):
                    edit = TextEdit(operation.position, operation.length, "")
                else:
                    self._apply_other(lv, index, operation)
                    index += 1
                    continue
                index += 1
                key = operation.key
                if last_text is None or key != last_key:
                    last_key = key
                    last_text = self.open_text(key)
                text = last_text
                batch = text.batch
                if batch:
                    entry = batch[-1]
                    if entry[0] == lv:
                        edits = entry[2]
                        assert isinstance(edits, list)
                        edits.append(edit)
                        continue
                else:
                    batched.append(text)
                parents = text.projection.touch(graph, lv)
                batch.append((lv, parents, [edit]))
        for text in batched:
            batch = text.batch
            text.batch = []
            text.document.add_nodes(batch)
        batched.clear()

    def _apply_text(self, lv: int, key: str, edits: list[TextEdit]) -> None:
        text = self.open_text(key)
        parents = text.projection.touch(self.graph, lv)
        text.document.add_node(lv, parents, edits)

    def open_text(self, key: str) -> TextState:
        """The text of ``key``, made present if need be and noted as changed."""
        text = self.texts.get(key)
        if text is None:
            text = TextState(self._tie_break)
            self.texts[key] = text
            if self.text_followers is not None:
                self.text_followers.opened(key, text.document)
        if not text.changed:
            text.changed = True
            self._changed_texts.append(key)
        return text

    def begin_text(self, key: str, lv: int, text: str) -> None:
        """Make a text present that the node ``lv`` wrote, and whose history is not here."""
        state = TextState(self._tie_break, (lv, text))
        state.projection.add(self.graph, lv)
        self.texts[key] = state

    def open_list(self, key: str) -> ListDocument:
        """The list of ``key``, made present if need be."""
        items = self.lists.get(key)
        if items is None:
            items = ListDocument(self.graph)
            self.lists[key] = items
        return items

    def touch(self, kind: int, key: str) -> None:
        """Note that a reader of the map, counter or list of ``key`` may see a difference."""
        self._changed.add((kind, key))

    def take_changes(self) -> list[tuple[int, str]]:
        """The (kind, key) pairs that may read differently since the last call, unordered."""
        changes = list(self._changed)
        self._changed.clear()
        for key in self._changed_texts:
            self.texts[key].changed = False
            changes.append((TEXT, key))
        self._changed_texts.clear()
        return changes

    def _apply_other(self, lv: int, index: int, operation: Operation) -> None:
        """Any operation but a text's."""
        if isinstance(operation, MapSet):
            if self.maps.write(operation.key, VALUE, operation.value, lv, index):
                self._changed.add((MAP, operation.key))
        elif isinstance(operation, MapDelete):
            if self.maps.write(operation.key, ABSENT, None, lv, index):
                self._changed.add((MAP, operation.key))
        elif isinstance(operation, CounterAdd):
            self.counters.add(operation.key, operation.amount)
            self._changed.add((COUNTER, operation.key))
        elif isinstance(operation, ListInsert):
            self.open_list(operation.key).apply_insert(
                lv, index, operation.position, operation.value
            )
            self._changed.add((LIST, operation.key))
        elif isinstance(operation, ListUpdate):
            item = self.item(operation.key, operation.item, lv)
            if item is not None and self.lists[operation.key].apply_update(
                item, operation.value, lv, index
            ):
                self._changed.add((LIST, operation.key))
        elif isinstance(operation, ListMove):
            item = self.item(operation.key, operation.item, lv)
            if item is not None and self.lists[operation.key].apply_move(
                item, operation.position, lv, index
            ):
                self._changed.add((LIST, operation.key))
        elif isinstance(operation, ListDelete):
            item = self.item(operation.key, operation.item, lv)
            if item is not None and self.lists[operation.key].apply_delete(item):
                self._changed.add((LIST, operation.key))
        elif isinstance(operation, MapSetBlob):
            blob = BlobReference(operation.hash, operation.size_bytes, operation.media_type)
            if self.maps.write(operation.key, BLOB, blob, lv, index):
                self._changed.add((MAP, operation.key))
        else:
            self.unknown_operations += 1
            key = operation.key
            self.unknown_by_key[key] = self.unknown_by_key.get(key, 0) + 1

    def unknown_within(self, patterns: PatternSet) -> int:
        """How many inert operations are on keys of ``patterns``, or on keys nobody knows here."""
        count = self.unknown_operations
        for key, of_key in self.unknown_by_key.items():
            if not patterns.matches(key):
                count -= of_key
        return count

    def item(self, key: str, reference: ItemReference, lv: int) -> ListItem | None:
        """The item that node ``lv`` refers to, if its insert is in the author's view."""
        items = self.lists.get(key)
        if items is None:
            return None
        if reference.node is None:
            return items.item(lv, reference.operation_index)
        insert_lv = self.graph.index_of(reference.node)
        if insert_lv < 0 or not self.graph.is_ancestor(insert_lv, lv):
            return None
        return items.item(insert_lv, reference.operation_index)
