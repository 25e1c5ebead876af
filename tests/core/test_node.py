"""Nodes: header, ids and the checks of a single node."""

from __future__ import annotations

import struct

import pytest
from blake3 import blake3

from roomlog.core.clock import CLOCK_LIMIT
from roomlog.core.errors import InvalidValueError, NodeTooLargeError
from roomlog.core.node import (
    CHANGE,
    MAX_NODE_BYTES,
    MERGE,
    Node,
    NodeHasher,
    check_node,
    check_signature,
    encode_header,
    make_node,
    parse_header_prefix,
)
from roomlog.core.operation import MapDelete, MapSet, TextInsert
from roomlog.core.reject import Reject, RejectClass
from tests.core.building import AUTHORS, LINEAGE, change, hasher, merge, raw_node

DELETE = [MapDelete("k")]
DELETE_BODY = b"\x91\x92\x02\xa1k"


def refusal(node: Node) -> RejectClass | None:
    try:
        check_node(node)
        check_signature(node)
    except Reject as reject:
        return reject.reject_class
    return None


def test_a_header_is_the_bytes_of_the_data_model() -> None:
    first, second = change(), change(MapSet("a", 1))
    node = merge(first, second)
    parents = sorted([first.id, second.id])
    body_hash = blake3(b"\x90", key=blake3(b"roomlog/body/v1").digest()).digest()
    header = (
        b"\x01\x02"
        + AUTHORS[0].public_key
        + struct.pack(">Q", 2)
        + b"\x02"
        + parents[0]
        + parents[1]
        + body_hash
    )
    assert node.header() == header
    assert node.header_prefix() == header[:-32]
    assert node.id == blake3(header, key=LINEAGE).digest()
    assert node.body == b"\x90"
    assert node.operations() == []
    assert refusal(node) is None


@pytest.mark.parametrize("count", [0, 1, 2, 64])
def test_a_header_without_its_hash_gives_its_fields_back(count: int) -> None:
    parents = tuple(bytes([number]) * 32 for number in range(count))
    header = encode_header(CHANGE, b"a" * 32, 7, parents, b"h" * 32)
    assert len(header) == 75 + 32 * count
    assert parse_header_prefix(header[:-32]) == (CHANGE, b"a" * 32, 7, parents)
    node = raw_node(DELETE_BODY, clock=7, parents=parents)
    assert node.header_prefix() == header[:-32]


@pytest.mark.parametrize(
    ("prefix", "reject_class"),
    [
        (b"", RejectClass.VERSION_UNSUPPORTED),
        (b"\x02" + bytes(42), RejectClass.VERSION_UNSUPPORTED),
        (b"\x01", RejectClass.HEADER_INVALID),
        (b"\x01" + bytes(41), RejectClass.HEADER_INVALID),
        (b"\x01" + bytes(43), RejectClass.HEADER_INVALID),
        (b"\x01" + bytes(41) + b"\x01" + bytes(31), RejectClass.HEADER_INVALID),
        (b"\x01" + bytes(41) + b"\x01" + bytes(64), RejectClass.HEADER_INVALID),
    ],
)
def test_a_header_of_another_shape_is_refused(prefix: bytes, reject_class: RejectClass) -> None:
    with pytest.raises(Reject) as raised:
        parse_header_prefix(prefix)
    assert raised.value.reject_class is reject_class


def test_the_same_fields_have_another_id_in_another_lineage() -> None:
    node = change()
    other = make_node(NodeHasher(bytes(32)), AUTHORS[0], CHANGE, 1, [], DELETE)
    assert node.header() == other.header()
    assert node.body_hash == other.body_hash
    assert node.id != other.id


def test_t10_a_node_of_another_lineage_does_not_carry_its_signature_over() -> None:
    node = make_node(NodeHasher(bytes(32)), AUTHORS[0], CHANGE, 1, [], DELETE)
    assert refusal(node) is None
    carried = raw_node(node.body, author=node.author, clock=node.clock, signature=node.signature)
    assert carried.header() == node.header()
    assert refusal(carried) is RejectClass.SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("signature", "reject_class"),
    [
        (None, RejectClass.SIGNATURE_MISSING),
        (b"", RejectClass.SIGNATURE_INVALID),
        (bytes(64), RejectClass.SIGNATURE_INVALID),
    ],
)
def test_t2_a_node_without_its_authors_signature_is_refused(
    signature: bytes | None, reject_class: RejectClass
) -> None:
    node = change()
    node.signature = signature
    assert refusal(node) is reject_class


def test_t2_a_node_of_a_small_order_author_is_refused() -> None:
    node = raw_node(DELETE_BODY, author=bytes(32), signature=b"\x01" + bytes(63))
    assert refusal(node) is RejectClass.SIGNATURE_INVALID


def test_t15_no_clock_is_too_great_to_be_replayed_below_the_limit() -> None:
    # The check of a node by itself knows no wall clock and no graph.
    for clock in (0, 1, CLOCK_LIMIT - 1):
        assert refusal(change(clock=clock)) is None


def test_parents_are_put_in_order_and_need_not_be_an_antichain() -> None:
    first = change()
    second = change(parents=[first])
    for order in ([first, second], [second, first]):
        node = change(parents=order)
        assert node.parents == tuple(sorted([first.id, second.id]))
        assert refusal(node) is None


P1, P2 = b"\x01" * 32, b"\x02" * 32


@pytest.mark.parametrize(
    ("node", "reject_class"),
    [
        (raw_node(DELETE_BODY, kind=0), RejectClass.HEADER_INVALID),
        (raw_node(DELETE_BODY, kind=3), RejectClass.HEADER_INVALID),
        (raw_node(DELETE_BODY, clock=CLOCK_LIMIT), RejectClass.HEADER_INVALID),
        (raw_node(DELETE_BODY, parents=[P2, P1]), RejectClass.HEADER_INVALID),
        (raw_node(DELETE_BODY, parents=[P1, P1]), RejectClass.HEADER_INVALID),
        (
            raw_node(DELETE_BODY, parents=[bytes([n]) * 32 for n in range(65)]),
            RejectClass.HEADER_INVALID,
        ),
        (raw_node(b"\x90", kind=MERGE), RejectClass.HEADER_INVALID),
        (raw_node(b"\x90", kind=MERGE, parents=[P1]), RejectClass.HEADER_INVALID),
        (raw_node(DELETE_BODY, kind=MERGE, parents=[P1, P2]), RejectClass.BODY_INVALID),
        (raw_node(b"\x90"), RejectClass.BODY_INVALID),
        (raw_node(b""), RejectClass.BODY_INVALID),
        (raw_node(None), RejectClass.BODY_MISSING),
        (raw_node(b"x" * MAX_NODE_BYTES), RejectClass.NODE_TOO_LARGE),
    ],
)
def test_each_fault_of_a_node_has_its_class(node: Node, reject_class: RejectClass) -> None:
    assert refusal(node) is reject_class


def test_a_node_is_as_large_as_header_and_body_together() -> None:
    overhead = 75 + len(b"\x91\x94\x09\xa1k\x00\xdb\0\0\0\0")
    node = change(TextInsert("k", 0, "x" * (MAX_NODE_BYTES - overhead)))
    assert len(node.header()) + len(node.body or b"") == MAX_NODE_BYTES
    assert refusal(node) is None
    with pytest.raises(NodeTooLargeError) as raised:
        change(TextInsert("k", 0, "x" * (MAX_NODE_BYTES - overhead + 1)))
    assert raised.value.size_bytes == MAX_NODE_BYTES + 1


def test_what_would_be_refused_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="signer"):
        make_node(hasher(), None, CHANGE, 1, [], DELETE)
    with pytest.raises(ValueError, match="signer"):
        make_node(hasher(), None, CHANGE, 1, [], DELETE, author=b"short")
    with pytest.raises(ValueError, match="negative"):
        make_node(hasher(), AUTHORS[0], CHANGE, -1, [], DELETE)
    with pytest.raises(ValueError, match="parent's id"):
        make_node(hasher(), AUTHORS[0], CHANGE, 1, [b"short"], DELETE)
    with pytest.raises(ValueError, match="ascending"):
        make_node(hasher(), AUTHORS[0], CHANGE, 1, [P1, P1], DELETE)
    with pytest.raises(ValueError, match="at least one operation"):
        make_node(hasher(), AUTHORS[0], CHANGE, 1, [], [])
    with pytest.raises(InvalidValueError):
        make_node(hasher(), AUTHORS[0], CHANGE, 1, [], [MapDelete("")])
    with pytest.raises(ValueError, match="no operations"):
        make_node(hasher(), AUTHORS[0], MERGE, 1, [P1, P2], DELETE)
    with pytest.raises(ValueError, match="not below"):
        make_node(hasher(), AUTHORS[0], CHANGE, CLOCK_LIMIT, [], DELETE)


def test_a_node_without_a_signer_is_unsigned() -> None:
    node = make_node(hasher(), None, CHANGE, 1, [], DELETE, author=AUTHORS[1].public_key)
    assert node.signature is None
    assert node.author == AUTHORS[1].public_key
    assert refusal(node) is RejectClass.SIGNATURE_MISSING


def test_a_node_whose_header_could_not_be_read_fails_with_that_fault() -> None:
    fault = RejectClass.VERSION_UNSUPPORTED
    header = b"\x02" + bytes(40)
    node = Node(b"i" * 32, b"", 0, 0, (), bytes(32), b"\x90", None, None, header, fault)
    assert node.header() == header
    assert node.header_prefix() == header[:-32]
    assert refusal(node) is RejectClass.VERSION_UNSUPPORTED


def test_nodes_are_equal_by_id() -> None:
    node = change()
    same = raw_node(node.body, author=node.author, clock=node.clock)
    assert node == same
    assert len({node, same}) == 1
    assert node != change(MapSet("k", 1))
    assert node != node.id
    assert repr(node) == f"Node({node.id.hex()}, clock=1, parents=0)"


def test_the_header_is_judged_before_hash_size_and_body() -> None:
    for fault in (None, RejectClass.HASH_MISMATCH):
        node = raw_node(b"x" * MAX_NODE_BYTES, kind=3)
        node.fault = fault
        assert refusal(node) is RejectClass.HEADER_INVALID
    node = raw_node(b"x" * MAX_NODE_BYTES)
    node.fault = RejectClass.HASH_MISMATCH
    assert refusal(node) is RejectClass.HASH_MISMATCH


def test_operations_are_parsed_once() -> None:
    node = raw_node(DELETE_BODY)
    assert node.operations() is node.operations()
    assert node.operations() == DELETE
    node.forget_operations()
    assert node.operations() == DELETE
    made = make_node(hasher(), None, CHANGE, 1, [], DELETE, author=b"a" * 32)
    made.body = None
    made.forget_operations()
    assert made.operations() == DELETE


def test_t57_two_devices_with_one_key_and_one_clock_differ_by_node_id() -> None:
    one, other = change(MapSet("k", 1)), change(MapSet("k", 2))
    assert (one.clock, one.author) == (other.clock, other.author)
    stamps = [(node.clock, node.author, node.id, 0) for node in (one, other)]
    assert len(set(stamps)) == 2
    assert (max(stamps) == stamps[0]) is (one.id > other.id)
