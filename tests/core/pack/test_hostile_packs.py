"""Hostile packs: refused with one class, in bounded work, whatever the bytes."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roomlog.core.node import Node, check_node, check_signature
from roomlog.core.operation import TextDelete, TextInsert
from roomlog.core.pack import Layout, PackBlocks, decode_pack, encode_pack
from roomlog.core.pack.body_columns import FREE_OPERATIONS_A_NODE
from roomlog.core.pack.varint import uvarint
from roomlog.core.reject import Reject, RejectClass
from tests.core.building import change, hasher, node_lists

AUTHOR = b"a" * 32


def outcome(data: bytes) -> RejectClass | None:
    """The class a pack is refused with; every node of one that is not has its own fate."""
    refused: Reject | None = None
    nodes: list[Node] = []
    try:
        nodes = decode_pack(data, hasher())
    except Reject as reject:
        refused = reject
    if refused is not None:
        assert refused.detail["field"] == "nodes"
        assert refused.detail["reason"]
        return refused.reject_class
    for node in nodes:
        try:
            check_node(node)
            check_signature(node)
        except Reject:
            continue
    return None


@given(st.binary(max_size=120))
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    assert outcome(data) in (None, RejectClass.INVALID_FIELD)
    assert outcome(b"\x01" + data) in (None, RejectClass.INVALID_FIELD)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(node_lists(min_size=1), st.sampled_from(list(Layout)), st.data())
def test_mutated_packs_are_refused_or_read(
    nodes: list[Node], layout: Layout, draw: st.DataObject
) -> None:
    data = bytearray(encode_pack(nodes, layout=layout))
    for _ in range(draw.draw(st.integers(1, 3))):
        position = draw.draw(st.integers(0, len(data) - 1))
        change_ = draw.draw(st.sampled_from(["set", "drop", "insert"]))
        if change_ == "set":
            data[position] = draw.draw(st.integers(0, 255))
        elif change_ == "drop" and len(data) > 1:
            del data[position]
        else:
            data.insert(position, draw.draw(st.integers(0, 255)))
    assert outcome(bytes(data)) in (None, RejectClass.INVALID_FIELD)


@pytest.mark.parametrize("layout", list(Layout))
def test_every_truncation_is_refused(layout: Layout) -> None:
    first = change(TextInsert("t", 0, "abc"), TextDelete("t", 0, 1))
    data = encode_pack([first, change(TextInsert("t", 9, "d"), parents=[first])], layout=layout)
    for size in range(len(data)):
        assert outcome(data[:size]) is RejectClass.INVALID_FIELD
    assert outcome(data + b"\0") is RejectClass.INVALID_FIELD


def columns_pack(headers: bytes, bodies: bytes | None, *, count: int = 1) -> bytes:
    hashes = bytes(32) * count if bodies is None else None
    return PackBlocks(count, True, headers, None, bodies, hashes).encode()


def headers_of(
    *,
    authors: bytes = b"\x01" + AUTHOR,
    external: bytes = b"\x00",
    parents: bytes = b"\x00\x00",
    clocks: bytes = b"\x01",
) -> bytes:
    return authors + external + parents + clocks


def test_the_pieces_of_these_tests_make_a_good_pack() -> None:
    assert outcome(columns_pack(headers_of(), None)) is None
    assert outcome(columns_pack(headers_of(), bodies_of())) is None


HUGE = uvarint((1 << 64) - 1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x02\x04\x00\x00\x00",
        b"\x01\x14\x00\x00\x00",
        b"\x01\x00\x00\x00",
        b"\x01\x02\x00\x00",
        b"\x01\x08" + HUGE + b"\x00",
        b"\x01\x09" + HUGE + b"\x00",
        b"\x01\x04\x01" + HUGE + b"\x00",
        b"\x01\x04\x01\x00" + HUGE,
        b"\x01\x0a\x02\x00" + bytes(64),
        b"\x01\x04\x00\x00\x01x",
    ],
    ids=bytes.hex,
)
def test_a_hostile_frame_is_refused(data: bytes) -> None:
    assert outcome(data) is RejectClass.INVALID_FIELD


@pytest.mark.parametrize(
    "headers",
    [
        headers_of(authors=b""),
        headers_of(authors=b"\x00"),
        headers_of(authors=HUGE),
        headers_of(authors=b"\x02" + AUTHOR + bytes(32) + b"\x02\x01"),
        headers_of(authors=b"\x02" + AUTHOR + bytes(32) + b"\x00\x00"),
        headers_of(authors=b"\x02" + AUTHOR + bytes(32) + b"\x00\x02"),
        headers_of(authors=b"\x02" + AUTHOR + bytes(32) + b"\x00" + HUGE),
        headers_of(external=HUGE),
        headers_of(external=b"\x01"),
        headers_of(parents=b"\x01"),
        headers_of(parents=b"\x02"),
        headers_of(parents=HUGE),
        headers_of(parents=b"\x00" + HUGE),
        headers_of(parents=b"\x00" + uvarint(256 << 1)),
        headers_of(parents=b"\x00\x02\x00"),
        headers_of(parents=b"\x00\x02\x01"),
        headers_of(parents=b"\x00\x02" + HUGE),
        headers_of(clocks=b"\x00\x00"),
        headers_of(clocks=b"\x00\x02"),
        headers_of(clocks=b"\x00" + HUGE),
        headers_of(clocks=b"\x03"),
        headers_of(clocks=HUGE),
        headers_of(clocks=b"\x02" + uvarint(2048)),
        headers_of(clocks=uvarint(1 + (1 << 55))),
        headers_of() + b"x",
    ],
    ids=bytes.hex,
)
def test_hostile_header_columns_are_refused(headers: bytes) -> None:
    assert outcome(columns_pack(headers, None)) is RejectClass.INVALID_FIELD


def test_a_run_of_parents_beyond_the_pack_is_refused() -> None:
    for parents in (b"\x00\x00\x02", b"\x00\x00" + HUGE):
        headers = headers_of(parents=parents, clocks=b"\x01\x01")
        assert outcome(columns_pack(headers, None, count=2)) is RejectClass.INVALID_FIELD
    headers = headers_of(parents=b"\x00\x00\x01", clocks=b"\x01\x01")
    assert outcome(columns_pack(headers, None, count=2)) is None


def test_more_nodes_in_a_run_than_the_counter_holds_are_refused() -> None:
    headers = headers_of(parents=b"\x00\x00" + uvarint(2048), clocks=b"\x00" + uvarint(2049))
    assert outcome(columns_pack(headers, None, count=2049)) is RejectClass.INVALID_FIELD


def bodies_of(
    *,
    keys: bytes = b"\x01\x01t",
    escapes: bytes = b"\x00",
    text: bytes = b"x",
    tags: bytes = b"\x10",
    fields: bytes = b"",
    tail: bytes = b"",
) -> bytes:
    sizes = uvarint(len(text)) + uvarint(len(tags)) + uvarint(len(fields))
    return keys + escapes + sizes + text + tags + fields + tail


@pytest.mark.parametrize(
    "bodies",
    [
        b"",
        bodies_of(keys=b"\x00"),
        bodies_of(keys=HUGE),
        bodies_of(keys=b"\x01\x00"),
        bodies_of(keys=b"\x01\x01\xff"),
        bodies_of(keys=b"\x01\x02a/"),
        bodies_of(keys=b"\x01" + HUGE),
        bodies_of(escapes=HUGE),
        bodies_of(escapes=b"\x01\x00" + HUGE),
        bodies_of(escapes=b"\x01\x00\x02"),
        bodies_of(escapes=b"\x01\x01\x00"),
        bodies_of(text=b""),
        bodies_of(text=b"xx"),
        bodies_of(text=b"\xff"),
        bodies_of(text=b"\xed\xa0\x80"),
        bodies_of(tags=b""),
        bodies_of(tags=b"\x00"),
        bodies_of(tags=b"\x10\x10"),
        bodies_of(tags=b"\x30"),
        bodies_of(tags=b"\xf0"),
        bodies_of(tags=b"\xf0\x00"),
        bodies_of(tags=b"\xf0" + HUGE),
        bodies_of(tags=b"\x12", fields=b"\x00"),
        bodies_of(tags=b"\x12", fields=b"\x02"),
        bodies_of(tags=b"\x12", fields=HUGE),
        bodies_of(tags=b"\x12"),
        bodies_of(tags=b"\x14", fields=b"\x01"),
        bodies_of(tags=b"\x18", fields=b"\x01"),
        bodies_of(tags=b"\x18", fields=HUGE),
        bodies_of(tags=b"\x11", text=b""),
        bodies_of(fields=b"\x00"),
        bodies_of(tail=b"x"),
        HUGE * 4,
    ],
    ids=bytes.hex,
)
def test_hostile_body_columns_are_refused(bodies: bytes) -> None:
    assert outcome(columns_pack(headers_of(), bodies)) is RejectClass.INVALID_FIELD


def test_positions_beyond_64_bits_are_refused() -> None:
    huge_delta = uvarint((1 << 64) - 2)
    for first, second in ((b"\x04", b"\x14"), (b"\x05", b"\x15")):
        bodies = bodies_of(
            tags=first * 2 + second, fields=huge_delta * 3, text=b"xxx" if first == b"\x04" else b""
        )
        assert outcome(columns_pack(headers_of(), bodies)) is RejectClass.INVALID_FIELD


def test_a_run_length_of_operations_is_bounded_before_it_is_unrolled() -> None:
    endless = uvarint(1 << 60)
    # Backspacing from 2^39, in one node that never ends.
    backspaces = bodies_of(tags=b"\x05\xe1" + endless, fields=uvarint(1 << 40), text=b"")
    with pytest.raises(Reject, match="more operations than a pack may hold"):
        decode_pack(columns_pack(headers_of(), backspaces), hasher())


def test_a_count_of_nodes_is_bounded_before_anything_is_allocated() -> None:
    headers = headers_of(parents=b"\x00\x00" + uvarint((1 << 40) - 1), clocks=b"\x00" + HUGE)
    data = b"\x01\x05" + uvarint(1 << 40) + uvarint(len(headers)) + b"\x00" + headers
    tracemalloc.start()
    assert outcome(data) is RejectClass.INVALID_FIELD
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1024 * 1024


@pytest.mark.parametrize("count", [1, 3])
def test_t38_what_a_pack_costs_its_reader_follows_from_its_nodes_and_bytes(count: int) -> None:
    # Backspacing from 2^39: run lengths say operations that no byte stands for.
    def backspacing(operations: int) -> bytes:
        tags = b"\x05\x01\xe1" + uvarint(operations - 10 - count) + b"\x11" * count
        bodies = bodies_of(tags=tags, fields=uvarint(1 << 40), text=b"")
        headers = headers_of(parents=b"\x00\x00" + (uvarint(count - 1) if count > 1 else b""))
        headers = headers[:-1] + b"\x01" * count
        return columns_pack(headers, bodies, count=count)

    def most_for(pack: bytes) -> int:
        block = PackBlocks.parse(pack).bodies
        assert block is not None
        return FREE_OPERATIONS_A_NODE * count + len(block)

    most = max(many for many in range(20, 400) if many <= most_for(backspacing(many)))
    nodes = decode_pack(backspacing(most), hasher())
    assert sum(len(node.operations()) for node in nodes) == most
    with pytest.raises(Reject, match="more operations than a pack may hold"):
        decode_pack(backspacing(most + 1), hasher())
