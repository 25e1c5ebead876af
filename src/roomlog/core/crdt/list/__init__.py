"""Lists with stable items: insert, move, update, delete. The rules are in docs/design/lists.md."""

from roomlog.core.crdt.list.document import ListDocument
from roomlog.core.crdt.list.item import ListItem
from roomlog.core.crdt.list.placement import Placement, place

__all__ = ["ListDocument", "ListItem", "Placement", "place"]
