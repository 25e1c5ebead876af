"""Where items stand in a long sequence, against a sorted list."""

from __future__ import annotations

import random

from roomlog.core.crdt.list.item import ListItem
from roomlog.core.crdt.list.order import ItemOrder
from roomlog.core.graph import Graph

ITEMS = 3_000


def test_every_item_of_many_chunks_is_found_at_its_index_and_before_its_position() -> None:
    graph = Graph()
    graph.add(bytes(32), b"a" * 32, 1, [])
    order = ItemOrder(graph)
    items = [ListItem(0, number, number.to_bytes(4, "big"), number) for number in range(ITEMS)]
    shuffled = items.copy()
    random.Random(7).shuffle(shuffled)
    for item in shuffled:
        order.insert(item)
    for number in range(0, ITEMS, 97):
        assert order.index_of(items[number]) == number
        assert order.index_before(items[number].position) == number
        assert order.index_before(items[number].position + b"\x00") == number + 1
    assert order.index_before(b"\xff") == ITEMS
