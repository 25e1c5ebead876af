"""Packs of both layouts: round trips, slicing, bad nodes, bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roomlog.core.clock import CLOCK_LIMIT
from roomlog.core.node import CHANGE, MERGE, Node, check_node
from roomlog.core.operation import (
    CounterAdd,
    MapDelete,
    MapSet,
    TextDelete,
    TextInsert,
    encode_body,
)
from roomlog.core.pack import (
    Layout,
    PackBlocks,
    concatenate_rows,
    decode_pack,
    encode_pack,
    read_pack_file,
    select,
    write_pack_file,
)
from roomlog.core.pack.body_columns import MAX_OPERATIONS, MAX_REBUILT_BYTES
from roomlog.core.reject import Reject, RejectClass
from tests.core.building import (
    AUTHORS,
    LINEAGE,
    MAX_UNSIGNED,
    change,
    hasher,
    merge,
    node_lists,
    raw_node,
)

LAYOUTS = [Layout.ROWS, Layout.COLUMNS]


def fault_class(node: Node) -> RejectClass | None:
    try:
        check_node(node)
    except Reject as reject:
        return reject.reject_class
    return None


def assert_same(
    decoded: list[Node], nodes: list[Node], *, signatures: bool = True, bodies: bool = True
) -> None:
    assert len(decoded) == len(nodes)
    for got, node in zip(decoded, nodes, strict=True):
        assert got.id == node.id
        assert got.header() == node.header()
        assert got.parents == node.parents
        assert (got.author, got.clock, got.kind) == (node.author, node.clock, node.kind)
        assert got.body_hash == node.body_hash
        assert got.body == (node.body if bodies else None)
        assert got.signature == (node.signature if signatures else None)
        if bodies:
            assert fault_class(got) is fault_class(node)
            if fault_class(node) is None:
                assert encode_body(got.operations()) == node.body


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(node_lists(), st.booleans(), st.booleans(), st.sampled_from([*LAYOUTS, None]))
def test_any_nodes_valid_or_not_come_back_with_the_same_fate(
    nodes: list[Node], signatures: bool, bodies: bool, layout: Layout | None
) -> None:
    data = encode_pack(nodes, signatures=signatures, bodies=bodies, layout=layout)
    decoded = decode_pack(data, hasher())
    assert_same(decoded, nodes, signatures=signatures, bodies=bodies)
    assert encode_pack(decoded, signatures=signatures, bodies=bodies, layout=layout) == data


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(node_lists(), st.sampled_from(LAYOUTS))
def test_a_pack_survives_any_slicing_of_its_blocks(nodes: list[Node], layout: Layout) -> None:
    data = encode_pack(nodes, layout=layout)
    blocks = PackBlocks.parse(data)
    assert blocks.encode() == data
    hashes = [node.body_hash for node in nodes]
    unsigned = blocks.without_signatures()
    assert unsigned.encode() == encode_pack(nodes, signatures=False, layout=layout)
    headers_only = blocks.without_bodies(hashes)
    assert headers_only.encode() == encode_pack(nodes, bodies=False, layout=layout)
    assert unsigned.without_bodies(hashes).encode() == encode_pack(
        nodes, signatures=False, bodies=False, layout=layout
    )
    decoded = decode_pack(unsigned.without_bodies(hashes).encode(), hasher())
    assert [node.id for node in decoded] == [node.id for node in nodes]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(node_lists(max_size=8), st.booleans(), st.booleans(), st.sampled_from(LAYOUTS), st.data())
def test_any_choice_of_nodes_can_be_selected(
    nodes: list[Node], signatures: bool, bodies: bool, layout: Layout, draw: st.DataObject
) -> None:
    data = encode_pack(nodes, signatures=signatures, bodies=bodies, layout=layout)
    indexes = sorted(draw.draw(st.sets(st.integers(0, max(0, len(nodes) - 1)))) if nodes else [])
    chosen = select(data, indexes, hasher())
    assert_same(
        decode_pack(chosen, hasher()),
        [nodes[index] for index in indexes],
        signatures=signatures,
        bodies=bodies,
    )


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(node_lists(max_size=4), min_size=1, max_size=4), st.booleans(), st.booleans())
def test_rows_packs_are_joined_by_joining_blocks(
    lists: list[list[Node]], signatures: bool, bodies: bool
) -> None:
    if any(node.body is None for nodes in lists for node in nodes):
        bodies = False
    packs = [
        encode_pack(nodes, signatures=signatures, bodies=bodies, layout=Layout.ROWS)
        for nodes in lists
    ]
    together = list(itertools.chain.from_iterable(lists))
    assert concatenate_rows(packs) == encode_pack(
        together, signatures=signatures, bodies=bodies, layout=Layout.ROWS
    )


def test_what_cannot_be_joined_is_the_callers_error() -> None:
    node = change()
    signed, unsigned = encode_pack([node]), encode_pack([node], signatures=False)
    with pytest.raises(ValueError, match="nothing"):
        concatenate_rows([])
    with pytest.raises(ValueError, match="different blocks"):
        concatenate_rows([signed, unsigned])
    with pytest.raises(ValueError, match="columns"):
        concatenate_rows([signed, encode_pack([node], layout=Layout.COLUMNS)])
    with pytest.raises(ValueError, match="1 body hashes for 2"):
        PackBlocks.parse(encode_pack([node, change(parents=[node])])).without_bodies([bytes(32)])
    node.signature = None
    with pytest.raises(ValueError, match="unsigned"):
        encode_pack([node])


def test_a_selection_beyond_the_pack_is_the_callers_error() -> None:
    for layout in LAYOUTS:
        with pytest.raises(IndexError):
            select(encode_pack([change()], layout=layout), [1], hasher())


# Linear typing, as a trace is


def typed(texts: list[str], *, clock_step: int = 2048 * 150) -> list[Node]:
    """One insert a node, each after the one before."""
    nodes: list[Node] = []
    position = 0
    for index, text in enumerate(texts):
        parents = nodes[-1:]
        clock = (1_700_000_000_000 * 2048) + index * clock_step
        nodes.append(change(TextInsert("notes", position, text), parents=parents, clock=clock))
        position += len(text)
    return nodes


def test_a_typed_character_costs_less_than_three_bytes_without_signatures() -> None:
    nodes = typed(["a"] * 200)
    data = encode_pack(nodes, signatures=False)
    assert PackBlocks.parse(data).columns
    assert len(data) < 3 * 200
    assert len(encode_pack(nodes)) < 67 * 200


def test_few_nodes_go_as_rows_and_many_as_columns() -> None:
    nodes = typed(["a"] * 30)
    assert not PackBlocks.parse(encode_pack(nodes[:29])).columns
    assert PackBlocks.parse(encode_pack(nodes)).columns
    assert len(encode_pack(nodes, layout=Layout.COLUMNS)) < len(
        encode_pack(nodes, layout=Layout.ROWS)
    )


@pytest.mark.parametrize("run", [1, 7, 8, 9, 200])
def test_runs_of_every_length_come_back(run: int) -> None:
    nodes = typed(["a"] * run)
    tail = change(TextDelete("notes", 0, 3), parents=nodes[-1:])
    for signatures in (True, False):
        data = encode_pack([*nodes, tail], signatures=signatures, layout=Layout.COLUMNS)
        assert_same(decode_pack(data, hasher()), [*nodes, tail], signatures=signatures)


def test_backspacing_forward_deletion_and_two_keys_come_back() -> None:
    nodes: list[Node] = []
    for operation in [
        TextInsert("a", 0, "hello \U0001f600 w\u00f6rld"),
        TextDelete("a", 10, 1),
        TextDelete("a", 9, 1),
        TextDelete("a", 3, 1),
        TextDelete("a", 3, 1),
        TextInsert("b", 0, "x" * 70_000),
        TextInsert("a", 3, "y"),
        TextInsert("b", 70_000, "\0"),
        TextDelete("b", 1, 69_999),
        TextInsert("a", (1 << 61), "far"),
        TextDelete("a", (1 << 61), 1 << 61),
        TextInsert("a", MAX_UNSIGNED, "farther"),
        TextDelete("a", 0, MAX_UNSIGNED),
    ]:
        nodes.append(change(operation, parents=nodes[-1:]))
    together = [operation for node in nodes for operation in node.operations()]
    nodes.append(change(*together, parents=nodes[-1:]))
    columnar = together[:11]
    nodes.append(change(*columnar, *columnar, parents=nodes[-1:]))
    data = encode_pack(nodes, layout=Layout.COLUMNS)
    assert_same(decode_pack(data, hasher()), nodes)


def test_clocks_of_every_kind_come_back() -> None:
    now = 1_700_000_000_000 * 2048
    clocks = [0, 1, 2, 2047, 2048, 2049, now, now, now + 1, now + 2, now + 2048, now + 4096]
    clocks += [now + 5, now + 6, now + 8192, now - 2048 * 7, now - 3, (1 << 53), MAX_UNSIGNED, 0]
    clocks += [now + 300 * 2048 * step for step in range(20)]
    body = encode_body([MapDelete("k")])
    nodes = [raw_node(body, clock=clock) for clock in clocks]
    for count in range(len(nodes) + 1):
        data = encode_pack(nodes[:count], layout=Layout.COLUMNS)
        assert [node.clock for node in decode_pack(data, hasher())] == clocks[:count]


def test_authors_parents_and_merges_come_back() -> None:
    root = change(author=0)
    left = change(MapSet("k", 1), parents=[root], author=1)
    right = change(MapSet("k", 2), parents=[root], author=2)
    merged = merge(left, right, author=0)
    late = change(TextInsert("t", 0, "x"), parents=[root, merged], author=1)
    nodes = [root, left, right, merged, late, change(parents=[late], author=1)]
    for start in range(len(nodes)):
        part = nodes[start:]
        data = encode_pack(part, layout=Layout.COLUMNS)
        assert_same(decode_pack(data, hasher()), part)
    busy = raw_node(encode_body([MapDelete("k")]), kind=MERGE, parents=sorted([root.id, left.id]))
    data = encode_pack([busy], layout=Layout.COLUMNS)
    assert fault_class(decode_pack(data, hasher())[0]) is RejectClass.BODY_INVALID
    odd = raw_node(b"\x90", kind=MERGE, parents=[root.id], author=AUTHORS[0].public_key)
    data = encode_pack([root, odd], layout=Layout.COLUMNS)
    assert fault_class(decode_pack(data, hasher())[1]) is RejectClass.HEADER_INVALID


# Bad nodes


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_node_without_body_travels_among_others_by_its_hash(layout: Layout) -> None:
    nodes = [change(TextInsert("t", 0, "x")), change(CounterAdd("c", 1))]
    nodes.append(raw_node(None))
    nodes[2].body_hash = nodes[0].body_hash
    nodes[2].id = hasher().node_id(nodes[2].header())
    nodes.append(raw_node(b""))
    assert_same(decode_pack(encode_pack(nodes, layout=layout), hasher()), nodes)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_body_that_is_not_the_one_of_its_hash_has_its_class(layout: Layout) -> None:
    nodes = [change(TextInsert("t", 0, "x")), raw_node(None)]
    blocks = PackBlocks.parse(encode_pack(nodes, layout=layout))
    assert blocks.hashes is not None
    blocks.hashes = bytes(32) + blocks.hashes[32:]
    decoded = decode_pack(blocks.encode(), hasher())
    assert decoded[0].body_hash == bytes(32)
    assert fault_class(decoded[0]) is RejectClass.HASH_MISMATCH
    assert fault_class(decoded[1]) is RejectClass.BODY_MISSING


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_node_without_body_and_hash_breaks_the_pack(layout: Layout) -> None:
    whole = raw_node(b"\x90")
    blocks = PackBlocks.parse(encode_pack([whole, raw_node(None)], layout=layout))
    assert blocks.bodies is not None
    blocks.hashes = None
    with pytest.raises(Reject, match="without body and hash"):
        decode_pack(blocks.encode(), hasher())


@pytest.mark.parametrize("layout", list(Layout))
def test_a_pack_in_which_no_node_has_its_body_has_no_bodies_block(layout: Layout) -> None:
    bare = [raw_node(None, clock=clock) for clock in range(40)]
    pack = encode_pack(bare, layout=layout)
    assert PackBlocks.parse(pack).bodies is None
    assert decode_pack(pack, hasher()) == bare
    assert decode_pack(encode_pack([], layout=layout), hasher()) == []


def rows_pack(*prefixes: bytes) -> bytes:
    """A rows pack of these very headers, each with the body of a merge."""
    return PackBlocks(
        len(prefixes),
        False,
        b"".join(bytes([len(prefix)]) + prefix for prefix in prefixes),
        None,
        b"\x02\x90" * len(prefixes),
        None,
    ).encode()


@pytest.mark.parametrize(
    ("prefix", "reject_class"),
    [
        (b"", RejectClass.VERSION_UNSUPPORTED),
        (b"\x02anything", RejectClass.VERSION_UNSUPPORTED),
        (b"\x01\x01short", RejectClass.HEADER_INVALID),
    ],
)
def test_a_row_of_another_shape_is_one_bad_node_among_good_ones(
    prefix: bytes, reject_class: RejectClass
) -> None:
    good = change()
    data = rows_pack(good.header()[:-32], prefix, good.header()[:-32])
    decoded = decode_pack(data, hasher())
    assert len(decoded) == 3
    assert fault_class(decoded[1]) is reject_class
    assert decoded[1].header()[:-32] == prefix
    assert decoded[0].id == decoded[2].id
    assert encode_pack(decoded, signatures=False) == data
    many = decoded * 11
    assert not PackBlocks.parse(encode_pack(many, signatures=False)).columns
    with pytest.raises(ValueError, match="cannot hold"):
        encode_pack(many, signatures=False, layout=Layout.COLUMNS)


def test_parents_out_of_order_are_kept_as_they_came_in_both_layouts() -> None:
    for parents in ([b"\2" * 32, b"\1" * 32], [b"\1" * 32] * 2):
        node = raw_node(encode_body([MapDelete("k")]), parents=parents)
        for layout in LAYOUTS:
            decoded = decode_pack(encode_pack([node], layout=layout), hasher())
            assert decoded[0].parents == tuple(parents)
            assert fault_class(decoded[0]) is RejectClass.HEADER_INVALID


def test_an_unknown_kind_of_node_goes_as_rows() -> None:
    node = raw_node(encode_body([MapDelete("k")]), kind=9)
    assert fault_class(decode_pack(encode_pack([node]), hasher())[0]) is RejectClass.HEADER_INVALID
    with pytest.raises(ValueError, match="cannot hold"):
        encode_pack([node], layout=Layout.COLUMNS)


# Bounds


@pytest.mark.parametrize("layout", LAYOUTS)
def test_more_nodes_than_allowed_are_refused_before_they_are_read(layout: Layout) -> None:
    data = encode_pack(typed(["a"] * 3), layout=layout)
    assert len(decode_pack(data, hasher(), max_nodes=3)) == 3
    with pytest.raises(Reject, match="more than 2 nodes"):
        decode_pack(data, hasher(), max_nodes=2)


def assert_only_rows_hold(nodes: list[Node]) -> None:
    data = encode_pack(nodes)
    assert not PackBlocks.parse(data).columns
    assert [node.id for node in decode_pack(data, hasher())] == [node.id for node in nodes]
    with pytest.raises(ValueError, match="cannot hold"):
        encode_pack(nodes, layout=Layout.COLUMNS)


def test_more_operations_than_columns_hold_go_as_rows() -> None:
    many = [TextDelete("t", 0, 1)] * (MAX_OPERATIONS // 8 + 1)
    nodes = typed(["a"] * 30)
    nodes += [change(*many, parents=nodes[-1:], clock=CLOCK_LIMIT - 1)] * 8
    assert_only_rows_hold(nodes)


def test_runs_of_operations_that_no_byte_stands_for_go_as_rows() -> None:
    # Backspaced one by one: each lies where the one before has led, so nothing is written for it.
    downwards = [TextDelete("t", 5000 - number, 1) for number in range(5000)]
    nodes = [change(*downwards, clock=CLOCK_LIMIT - 1)]
    assert_only_rows_hold(nodes * 30)


def test_more_bytes_than_columns_are_rebuilt_to_go_as_rows() -> None:
    text = "x" * 250_000
    nodes = typed([text] * (MAX_REBUILT_BYTES // len(text) + 1))
    assert_only_rows_hold(nodes)
    fitting = nodes[:-1]
    assert_same(decode_pack(encode_pack(fitting), hasher()), fitting)


# Pack files


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_a_pack_file_gives_its_packs_back(packs: list[bytes]) -> None:
    assert read_pack_file(write_pack_file(LINEAGE, packs)) == (LINEAGE, packs)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RLPK",
        b"RLPX\x01" + bytes(32),
        b"RLPK\x02" + bytes(32),
        b"RLPK\x01" + bytes(31),
        b"RLPK\x01" + bytes(32) + b"\x05abc",
        b"RLPK\x01" + bytes(32) + b"\x80",
    ],
)
def test_another_file_is_refused(data: bytes) -> None:
    with pytest.raises(Reject) as raised:
        read_pack_file(data)
    assert raised.value.reject_class is RejectClass.INVALID_FIELD


def test_a_lineage_of_another_length_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        write_pack_file(b"short", [])


def test_an_empty_pack_is_a_pack() -> None:
    for layout in LAYOUTS:
        data = encode_pack([], layout=layout)
        assert decode_pack(data, hasher()) == []
        assert decode_pack(PackBlocks.parse(data).without_bodies([]).encode(), hasher()) == []


def test_a_single_change_on_the_node_before_needs_no_parent_in_columns() -> None:
    first = change()
    nodes = [first, change(parents=[first], clock=2), raw_node(b"\x90", kind=CHANGE)]
    data = encode_pack(nodes, signatures=False, layout=Layout.COLUMNS)
    assert first.id not in data


def test_columns_are_written_of_as_many_operations_as_a_reader_takes_and_no_more() -> None:
    written = []
    block = b""
    for count in range(60, 200):
        # Backspacing is a run: one tag, however long it is.
        operations = [TextDelete("k", 1_000 - at, 1) for at in range(count)]
        nodes = [change(*operations)]
        try:
            data = encode_pack(nodes, layout=Layout.COLUMNS)
        except ValueError:
            continue
        written.append(count)
        block = PackBlocks.parse(data).bodies or b""
        assert_same(decode_pack(data, hasher()), nodes)
    assert written == list(range(60, written[-1] + 1))
    # 64 a node and one for each byte, as the format says.
    assert written[-1] == 64 + len(block)
