"""Conflicts: concurrent writes to one register of which only one can be seen.

A register's unresolved writes are those in no other write's history. When there are several, the
greatest stamp is what everybody sees and the others are losers; the next write whose author saw
them all settles it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, final

from roomlog.core.crdt.list import ListItem
from roomlog.core.crdt.map import BlobReference
from roomlog.core.graph import Graph
from roomlog.core.operation import (
    ItemReference,
    ListInsert,
    ListMove,
    ListUpdate,
    MapDelete,
    MapSet,
    MapSetBlob,
    Operation,
)
from roomlog.core.state import State

MAP_REGISTER: Final = "map"
LIST_VALUE: Final = "list_value"
LIST_POSITION: Final = "list_position"


@final
class Write:
    """One write to a register: who, when, and what (None for a delete, bytes for a position)."""

    __slots__ = ("author", "clock", "deleted", "node_id", "operation_index", "value")

    def __init__(
        self,
        node_id: bytes,
        operation_index: int,
        author: bytes,
        clock: int,
        value: object,
        *,
        deleted: bool,
    ) -> None:
        self.node_id = node_id
        self.operation_index = operation_index
        self.author = author
        self.clock = clock
        self.value = value
        self.deleted = deleted

    def __repr__(self) -> str:
        what = "deleted" if self.deleted else repr(self.value)
        return f"Write({self.node_id.hex()}, {self.operation_index}, {what})"


@final
class Conflict:
    """One register with losers: ``kind`` is "map", "list_value" or "list_position".

    ``item`` names the list item, (node id, operation index) of its insert; None for a map.
    ``losers`` are in descending order of their stamps.
    """

    __slots__ = ("item", "key", "kind", "losers", "winner")

    def __init__(
        self,
        kind: str,
        key: str,
        item: tuple[bytes, int] | None,
        winner: Write,
        losers: Sequence[Write],
    ) -> None:
        self.kind = kind
        self.key = key
        self.item = item
        self.winner = winner
        self.losers = list(losers)

    def __repr__(self) -> str:
        return f"Conflict({self.kind}, {self.key!r}, {self.winner!r}, {self.losers!r})"


@final
class _History:
    """The last write of each node to one register, in order of arrival."""

    __slots__ = ("indexes", "lvs")

    def __init__(self) -> None:
        self.lvs: list[int] = []
        self.indexes: list[int] = []

    def add(self, lv: int, index: int) -> None:
        if self.lvs and self.lvs[-1] == lv:
            self.indexes[-1] = index
        else:
            self.lvs.append(lv)
            self.indexes.append(index)


def find_conflicts(
    graph: Graph, operations: Sequence[Sequence[Operation]], state: State
) -> list[Conflict]:
    """Every unresolved conflict of the nodes in ``graph``, of which ``state`` is the state.

    ``operations`` has each node's by local version. Ordered by kind, key, and the item's insert.
    """
    maps: dict[str, _History] = {}
    items: dict[tuple[str, str, int, int], _History] = {}
    readable = state.readable
    for lv, of_node in enumerate(operations):
        for index, operation in enumerate(of_node):
            if readable is not None and not readable.matches(operation.key):
                continue
            if isinstance(operation, MapSet | MapDelete | MapSetBlob):
                history = maps.get(operation.key)
                if history is None:
                    history = maps[operation.key] = _History()
                history.add(lv, index)
            elif isinstance(operation, ListInsert):
                for kind in (LIST_VALUE, LIST_POSITION):
                    history = items[kind, operation.key, lv, index] = _History()
                    history.add(lv, index)
            elif isinstance(operation, ListUpdate | ListMove):
                kind = LIST_VALUE if isinstance(operation, ListUpdate) else LIST_POSITION
                item = _item(graph, state, lv, operation.key, operation.item)
                if item is not None:
                    items[kind, operation.key, item.lv, item.operation_index].add(lv, index)
    conflicts: list[Conflict] = []
    for key in sorted(maps):
        writes = _unresolved(graph, operations, maps[key])
        if writes:
            conflicts.append(Conflict(MAP_REGISTER, key, None, writes[0], writes[1:]))
    found: list[tuple[str, str, bytes, int, Conflict]] = []
    for (kind, key, lv, index), history in items.items():
        writes = _unresolved(graph, operations, history)
        if writes:
            node_id = graph.id_of(lv)
            conflict = Conflict(kind, key, (node_id, index), writes[0], writes[1:])
            found.append((kind, key, node_id, index, conflict))
    found.sort(key=_order)
    conflicts.extend([entry[4] for entry in found])
    return conflicts


def _order(entry: tuple[str, str, bytes, int, Conflict]) -> tuple[str, str, bytes, int]:
    return entry[:4]


def _item(
    graph: Graph, state: State, lv: int, key: str, reference: ItemReference
) -> ListItem | None:
    """The visible item that a write really wrote to."""
    item = state.item(key, reference, lv)
    return None if item is None or item.deleted else item


def _unresolved(
    graph: Graph, operations: Sequence[Sequence[Operation]], history: _History
) -> list[Write]:
    """The writes in no other's history, in descending order of stamps; [] when there is one."""
    heads = graph.heads_of(history.lvs)
    if len(heads) < 2:
        return []
    stamps = [(graph.clock_of(lv), graph.author_of(lv), graph.id_of(lv), lv) for lv in heads]
    stamps.sort(reverse=True)
    return [_write(graph, operations, history, stamp[3]) for stamp in stamps]


def _write(
    graph: Graph, operations: Sequence[Sequence[Operation]], history: _History, lv: int
) -> Write:
    index = history.indexes[bisect_left(history.lvs, lv)]
    operation = operations[lv][index]
    value: object = None
    if isinstance(operation, MapSet | ListUpdate):
        value = operation.value
    elif isinstance(operation, MapSetBlob):
        value = BlobReference(operation.hash, operation.size_bytes, operation.media_type)
    elif isinstance(operation, ListMove):
        value = operation.position
    return Write(
        graph.id_of(lv),
        index,
        graph.author_of(lv),
        graph.clock_of(lv),
        value,
        deleted=isinstance(operation, MapDelete),
    )
