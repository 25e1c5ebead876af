"""One list: its items by name, its visible order, and what the four operations do."""

from typing import final

from roomlog.core.crdt.list.item import OPERATION_INDEX_LIMIT, ListItem, item_key
from roomlog.core.crdt.list.order import ItemOrder
from roomlog.core.graph import Graph
from roomlog.core.stamp import wins


@final
class ListDocument:
    """The merged list. Any order in which operations arrive after their ancestors is the same.

    ``apply_*`` return whether a reader can see a difference.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._items: dict[int, ListItem] = {}
        self.order = ItemOrder(graph)

    def item(self, lv: int, operation_index: int) -> ListItem | None:
        """The item that the insert at ``operation_index`` of node ``lv`` made, if it made one."""
        if operation_index >= OPERATION_INDEX_LIMIT:
            return None
        return self._items.get(item_key(lv, operation_index))

    def load(self, items: list[ListItem]) -> None:
        """Begin an empty list with visible items in order."""
        for item in items:
            self._items[item_key(item.lv, item.operation_index)] = item
        self.order.load(items)

    def apply_insert(
        self, lv: int, operation_index: int, position: bytes, value: object
    ) -> ListItem:
        """Make an item. Always takes effect."""
        item = ListItem(lv, operation_index, position, value)
        self._items[item_key(lv, operation_index)] = item
        self.order.insert(item)
        return item

    def apply_move(self, item: ListItem, position: bytes, lv: int, operation_index: int) -> bool:
        """Write the position register."""
        if item.deleted or not wins(
            self._graph, lv, operation_index, item.position_lv, item.position_index
        ):
            return False
        self.place(item, position, lv, operation_index)
        return True

    def apply_update(self, item: ListItem, value: object, lv: int, operation_index: int) -> bool:
        """Write the value register."""
        if item.deleted or not wins(
            self._graph, lv, operation_index, item.value_lv, item.value_index
        ):
            return False
        item.value = value
        item.value_lv = lv
        item.value_index = operation_index
        return True

    def apply_delete(self, item: ListItem) -> bool:
        """Delete for good: no later or concurrent write brings the item back."""
        if item.deleted:
            return False
        self.order.remove(item)
        item.deleted = True
        item.value = None
        return True

    def place(self, item: ListItem, position: bytes, lv: int, operation_index: int) -> None:
        """Set the position register of a visible item to this write."""
        self.order.remove(item)
        item.position = position
        item.position_lv = lv
        item.position_index = operation_index
        item.run_prefix_bytes = 0
        self.order.insert(item)

    def values(self) -> list[object]:
        """The values in visible order."""
        return [item.value for item in self.order.items()]
