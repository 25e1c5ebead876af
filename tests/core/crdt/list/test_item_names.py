"""A reference names the item of one insert or nothing, whatever number it says."""

from itertools import permutations

import pytest

from roomlog.core.crdt.list.item import OPERATION_INDEX_LIMIT
from roomlog.core.node import MAX_NODE_BYTES
from roomlog.core.operation import (
    ItemReference,
    ListDelete,
    ListInsert,
    ListMove,
    ListUpdate,
    Operation,
    encode_body,
)
from roomlog.core.replica import Replica
from tests.core.building import change

SMALLEST_INSERT_BYTES = len(encode_body([ListInsert("l", b"\x01", None)])) - 1


def test_no_body_holds_as_many_inserts_as_a_name_can_number() -> None:
    assert MAX_NODE_BYTES // SMALLEST_INSERT_BYTES < OPERATION_INDEX_LIMIT


@pytest.mark.parametrize("write", [ListUpdate, ListMove, ListDelete])
@pytest.mark.parametrize("nodes_further", [1, 2, 3])
def test_an_index_beyond_any_body_names_no_item_in_any_order_of_arrival(
    write: type[Operation], nodes_further: int
) -> None:
    inserts = [
        change(ListInsert("l", bytes([16 * (author + 1)]), author), author=author)
        for author in range(3)
    ]
    beyond = nodes_further * OPERATION_INDEX_LIMIT
    forged = []
    for number, insert in enumerate(inserts):
        fields: list[object] = ["l", ItemReference(insert.id, beyond)]
        if write is ListUpdate:
            fields.append("forged")
        elif write is ListMove:
            fields.append(bytes([255 - number]))
        forged.append(change(write(*fields), parents=[insert], clock=50))
    for order in permutations(inserts):
        replica = Replica("room")
        assert not replica.add_nodes([*order, *forged]).rejected
        assert replica.list("l").to_list() == [0, 1, 2]
