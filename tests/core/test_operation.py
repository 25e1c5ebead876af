"""Operations and bodies."""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core import canonical
from roomlog.core.errors import InvalidTypeError, InvalidValueError
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
    OperationFields,
    TextDelete,
    TextInsert,
    UnknownOperation,
    decode_body,
    encode_body,
)
from roomlog.core.reject import Reject, RejectClass
from tests.core.building import MAX_UNSIGNED, operations

HASH = b"h" * 32
ITEM = ItemReference(HASH, 3)

EXAMPLES: list[tuple[Operation, list[object]]] = [
    (MapSet("k", {"a": [1]}), [1, "k", {"a": [1]}]),
    (MapDelete("k"), [2, "k"]),
    (MapSetBlob("k", HASH, 9, "a/b"), [3, "k", HASH, 9, "a/b"]),
    (CounterAdd("k", -4), [4, "k", -4]),
    (ListInsert("k", b"p", None), [5, "k", b"p", None]),
    (ListMove("k", ITEM, b"p"), [6, "k", [HASH, 3], b"p"]),
    (ListUpdate("k", ITEM, 1.5), [7, "k", [HASH, 3], 1.5]),
    (ListDelete("k", ITEM), [8, "k", [HASH, 3]]),
    (TextInsert("k", 7, "é"), [9, "k", 7, "é"]),
    (TextDelete("k", 7, 2), [10, "k", 7, 2]),
    (UnknownOperation(11, "k", []), [11, "k"]),
    (UnknownOperation(65_535, "k", [True, b"x"]), [65_535, "k", True, b"x"]),
]


@pytest.mark.parametrize(("operation", "row"), EXAMPLES)
def test_each_kind_is_written_as_the_data_model_says(
    operation: Operation, row: list[object]
) -> None:
    body = encode_body([operation])
    assert body == canonical.encode([row])
    assert decode_body(body) == [operation]
    assert operation.kind == row[0]


@given(st.lists(operations, max_size=6))
def test_a_body_gives_back_its_operations_and_they_the_body(of_node: list[Operation]) -> None:
    body = encode_body(of_node)
    decoded = decode_body(body)
    assert [type(operation) for operation in decoded] == [type(each) for each in of_node]
    assert encode_body(decoded) == body


def test_an_item_of_the_same_node_is_the_index_of_an_earlier_operation() -> None:
    insert = ListInsert("k", b"p", 1)
    own = ListDelete("k", ItemReference(None, 0))
    body = encode_body([insert, own])
    assert body == canonical.encode([[5, "k", b"p", 1], [8, "k", 0]])
    assert decode_body(body) == [insert, own]
    with pytest.raises(InvalidValueError, match="earlier operation"):
        encode_body([own])
    with pytest.raises(InvalidValueError, match="earlier operation"):
        encode_body([insert, ListDelete("k", ItemReference(None, -1))])
    for index in (1, 2):
        with pytest.raises(Reject):
            decode_body(canonical.encode([[5, "k", b"p", 1], [8, "k", index]]))


INVALID: list[Operation] = [
    MapSet("", 1),
    MapSet("a//b", 1),
    MapSetBlob("k", b"short", 1, "a/b"),
    MapSetBlob("k", HASH, -1, "a/b"),
    MapSetBlob("k", HASH, 1, "é" * 128),
    CounterAdd("k", 0),
    CounterAdd("k", (1 << 53) + 1),
    CounterAdd("k", -(1 << 53) - 1),
    ListInsert("k", b"", 1),
    ListInsert("k", b"p" * 129, 1),
    ListMove("k", ITEM, b""),
    ListMove("k", ItemReference(b"short", 0), b"p"),
    ListUpdate("k", ItemReference(HASH, -1), 1),
    ListDelete("k", ItemReference(HASH, MAX_UNSIGNED + 1)),
    TextInsert("k", 0, ""),
    TextInsert("k", -1, "x"),
    TextInsert("k", MAX_UNSIGNED + 1, "x"),
    TextDelete("k", 0, 0),
    UnknownOperation(10, "k", []),
    UnknownOperation(65_536, "k", []),
]

# Compiled classes refuse these themselves; the others are refused when they are written.
WRONG_TYPES: list[Callable[[], Operation]] = [
    lambda: MapSet(5, 1),  # type: ignore[arg-type]
    lambda: MapSetBlob("k", "h" * 32, 1, "a/b"),  # type: ignore[arg-type]
    lambda: MapSetBlob("k", HASH, 1, None),  # type: ignore[arg-type]
    lambda: CounterAdd("k", 1.0),  # type: ignore[arg-type]
    lambda: ListInsert("k", "p", 1),  # type: ignore[arg-type]
    lambda: ListMove("k", ItemReference("h" * 32, 0), b"p"),  # type: ignore[arg-type]
    lambda: TextInsert("k", 0, b"x"),  # type: ignore[arg-type]
    lambda: TextDelete("k", 0.0, 1),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("make", WRONG_TYPES)
def test_fields_of_another_type_are_refused(make: Callable[[], Operation]) -> None:
    with pytest.raises((TypeError, InvalidValueError)):
        encode_body([make()])


@pytest.mark.parametrize("operation", INVALID, ids=repr)
def test_what_cannot_be_valid_is_refused_by_its_index(operation: Operation) -> None:
    with pytest.raises(InvalidValueError, match=r"operations\[1\]"):
        encode_body([MapDelete("k"), operation])


@pytest.mark.parametrize(
    ("operation", "error"),
    [
        (MapSet("k", {1, 2}), InvalidTypeError),
        (MapSet("k", "\ud800"), InvalidValueError),
        (MapSetBlob("k", HASH, 1, "\ud800"), InvalidValueError),
        (TextInsert("k", 0, "\ud800"), InvalidValueError),
        (ListInsert("k", b"p", 1 << 64), InvalidValueError),
        (UnknownOperation(11, "k", [1j]), InvalidTypeError),
    ],
    ids=repr,
)
def test_values_without_a_canonical_form_are_refused_by_their_place(
    operation: Operation, error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"operations\[0\]\["):
        encode_body([operation])


@pytest.mark.parametrize(
    "operation",
    [
        CounterAdd("k", True),
        TextInsert("k", True, "x"),
        TextDelete("k", 0, True),
        ListDelete("k", ItemReference(HASH, True)),
        ListDelete("k", ItemReference(None, True)),
        UnknownOperation(True, "k", []),
    ],
    ids=repr,
)
def test_a_bool_is_never_written_as_a_number(operation: Operation) -> None:
    # Uncompiled it is refused; compiled attributes hold the integer 1 instead.
    before: list[Operation] = [MapDelete("k")] * 2
    try:
        body = encode_body([*before, operation])
    except InvalidValueError:
        return
    assert refusal(body) is None
    assert b"\xc3" not in body


HOSTILE_ROWS: list[object] = [
    5,
    [],
    [1],
    ["1", "k", 1],
    [True, "k", 1],
    [0, "k"],
    [-1, "k"],
    [65_536, "k"],
    [1, b"k", 1],
    [1, "", 1],
    [1, "a\0", 1],
    [1, "k"],
    [1, "k", 1, 2],
    [2, "k", 1],
    [3, "k", HASH, 1],
    [3, "k", HASH, 1, "a", 1],
    [3, "k", "h", 1, "a"],
    [3, "k", HASH, "1", "a"],
    [3, "k", HASH, 1, b"a"],
    [3, "k", b"h", 1, "a"],
    [4, "k"],
    [4, "k", 0],
    [4, "k", 1.0],
    [4, "k", (1 << 53) + 1],
    [5, "k", b"p"],
    [5, "k", "p", 1],
    [5, "k", b"", 1],
    [6, "k", 0],
    [6, "k"],
    [6, "k", [HASH, 0], "p"],
    [6, "k", [HASH, 0], b"p", 1],
    [6, "k", [HASH], b"p"],
    [6, "k", ["h", 0], b"p"],
    [6, "k", [HASH, "0"], b"p"],
    [6, "k", "item", b"p"],
    [6, "k", [b"h", 0], b"p"],
    [7, "k", [HASH, 0]],
    [7, "k", [HASH, -1], 1],
    [8, "k"],
    [8, "k", [HASH, 0], 1],
    [8, "k", True],
    [9, "k", 0],
    [9, "k", 0, ""],
    [9, "k", -1, "x"],
    [9, "k", 0, b"x"],
    [9, "k", 1.0, "x"],
    [9, "k", 0, "x", 1],
    [10, "k", 0, 0],
    [10, "k", "0", 1],
    [10, "k", 0, None],
    [10, "k", 0, 1, 1],
]


@pytest.mark.parametrize("row", HOSTILE_ROWS, ids=repr)
def test_an_operation_of_a_wrong_shape_is_body_invalid(row: object) -> None:
    assert refusal(msgspec.msgpack.encode([row])) is RejectClass.BODY_INVALID


def deep(levels: int) -> bytes:
    """An unknown operation whose one field has that many arrays in each other."""
    return b"\x91\x93\x0b\xa1k" + b"\x91" * levels + b"\xc0"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x80",
        b"\x91\x94\x09\xa1k\xcc\x00\xa1x",
        b"\x91\x94\x09\xd9\x01k\x00\xa1x",
        b"\xdc\x00\x01\x92\x02\xa1k",
        b"\x91\x93\x01\xa1k\xca\x00\x00\x00\x00",
        b"\x91\x93\x01\xa1k\xd6\xff\x00\x00\x00\x00",
        b"\x91\x93\x01\xa1k\xcb" + struct.pack(">Q", 0x7FF8000000000001),
        b"\x91\x93\x01\xa1k\x82\xa1b\x01\xa1a\x01",
        b"\x91\x93\x0b\xa1k\x81\x01\x01",
        deep(15),
    ],
    ids=bytes.hex,
)
def test_a_body_that_is_not_canonical_is_body_invalid(body: bytes) -> None:
    assert refusal(body) is RejectClass.BODY_INVALID


def test_a_value_may_reach_the_greatest_depth_inside_its_operation() -> None:
    assert refusal(deep(14)) is None


@given(st.binary(max_size=50))
def test_any_bytes_are_a_body_or_body_invalid(body: bytes) -> None:
    assert refusal(b"\x91" + body) in (None, RejectClass.BODY_INVALID)


@given(st.lists(operations, min_size=1, max_size=3), st.data())
def test_mutated_bodies_are_a_body_or_body_invalid(
    of_node: list[Operation], draw: st.DataObject
) -> None:
    body = bytearray(encode_body(of_node))
    body[draw.draw(st.integers(0, len(body) - 1))] = draw.draw(st.integers(0, 255))
    if refusal(bytes(body)) is None:
        assert encode_body(decode_body(bytes(body))) == body


def refusal(body: bytes) -> RejectClass | None:
    try:
        decode_body(body)
    except Reject as reject:
        return reject.reject_class
    return None


def test_operations_compare_by_what_they_write() -> None:
    assert TextInsert("k", 1, "a") == TextInsert("k", 1, "a")
    assert TextInsert("k", 1, "a") != TextInsert("k", 2, "a")
    assert TextInsert("k", 1, "a") != "a"
    assert hash(MapSet("k", [1])) == hash(MapSet("k", [1]))
    assert repr(ListDelete("k", ItemReference(None, 2))) == "ListDelete('k', 2)"
    assert ItemReference(HASH, 3) == ITEM
    assert len({ITEM, ItemReference(HASH, 3), ItemReference(None, 3)}) == 2
    assert ItemReference(HASH, 4) != ITEM
    assert ITEM != 3
    assert repr(ITEM) == f"ItemReference({HASH.hex()}, 3)"
    assert repr(ItemReference(None, 3)) == "ItemReference(this node, 3)"
    with pytest.raises(NotImplementedError):
        OperationFields("k").wire()
