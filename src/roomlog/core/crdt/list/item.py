"""One item of a list: its two registers, and the key that names it."""

from typing import Final, final

from roomlog.core.graph import Graph

_INDEX_BITS: Final = 20
OPERATION_INDEX_LIMIT: Final = 1 << _INDEX_BITS
"""A body of 256 KiB holds fewer operations than this; a reference may still say any number."""


def item_key(lv: int, operation_index: int) -> int:
    """One integer for the insert at ``operation_index`` of node ``lv``.

    Only indexes below `OPERATION_INDEX_LIMIT` have one: a greater one would name an item of
    another node, and which one would depend on the order of arrival.
    """
    return (lv << _INDEX_BITS) | operation_index


@final
class ListItem:
    """An item: the insert that made it, a value register and a position register.

    ``run_prefix_bytes`` is used only while the node that placed the item is open: how much of the
    position the items of that node's run share.
    """

    __slots__ = (
        "deleted",
        "lv",
        "operation_index",
        "position",
        "position_index",
        "position_lv",
        "run_prefix_bytes",
        "value",
        "value_index",
        "value_lv",
    )

    def __init__(self, lv: int, operation_index: int, position: bytes, value: object) -> None:
        self.lv = lv
        self.operation_index = operation_index
        self.value = value
        self.value_lv = lv
        self.value_index = operation_index
        self.position = position
        self.position_lv = lv
        self.position_index = operation_index
        self.run_prefix_bytes = 0
        self.deleted = False


def precedes(graph: Graph, left: ListItem, right: ListItem) -> bool:
    """Visible order: (position bytes, node id of the insert, operation index of the insert).

    An item of a node that has no id yet never ties: its position was chosen between its neighbours.
    """
    if left.position != right.position:
        return left.position < right.position
    if left.lv == right.lv:
        return left.operation_index < right.operation_index
    return graph.id_of(left.lv) < graph.id_of(right.lv)
