"""Packs in all layouts, pack files, and the headers of single nodes."""
# ruff: noqa: PT017 - what is refused is looked at in its place: these are checks, not tests.

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from blake3 import blake3

from roomlog.core.graph import Graph
from roomlog.core.hashing import HASH_BYTES
from roomlog.core.node import (
    Node,
    NodeHasher,
    check_node,
    check_signature,
    make_node,
    parse_header_prefix,
)
from roomlog.core.operation import EMPTY_BODY
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
from roomlog.core.pack.blocks import Frame
from roomlog.core.pack.body_columns import MAX_REBUILT_BYTES, operations_limit
from roomlog.core.pack.index import add_headers
from roomlog.core.pack.varint import uvarint
from roomlog.core.reject import Reject, RejectClass
from tests.fuzz.choices import Choices
from tests.fuzz.pack_edits import edited_pack
from tests.fuzz.target import Target
from tests.fuzz.vectors import entries, released, topic
from tests.oracle.naive_pack import unpack

PACK, FILE, NODE = range(3)
LINEAGE = bytes.fromhex(topic("packs")["lineage"])
HASHER = NodeHasher(LINEAGE)
BODY_KEY = blake3(b"roomlog/body/v1").digest()
MOST_NODES = 256
_PACK_FAULTS = (RejectClass.HEADER_INVALID, RejectClass.VERSION_UNSUPPORTED)


def check(data: bytes) -> None:
    """The first byte says what the others are."""
    which = data[0] % 3 if data else PACK
    if which == PACK:
        check_pack(data[1:])
    elif which == FILE:
        check_file(data[1:])
    else:
        check_fields(Choices(data[1:]))


def check_file(data: bytes) -> None:
    """A pack file is the one file of its packs."""
    try:
        lineage, packs = read_pack_file(data)
    except Reject as reject:
        assert reject.reject_class is RejectClass.INVALID_FIELD
        return
    assert write_pack_file(lineage, packs) == data
    for pack in packs:
        check_pack(pack)


def check_pack(data: bytes) -> None:
    """Refused as a whole, or nodes that the second decoder finds, too, in bounded number."""
    try:
        nodes = decode_pack(data, HASHER, max_nodes=MOST_NODES)
    except Reject as reject:
        assert reject.reject_class is RejectClass.INVALID_FIELD
        assert reject.detail["field"] == "nodes"
        assert reject.detail["reason"]
        return
    blocks = PackBlocks.parse(data)
    assert blocks.encode() == data
    assert len(nodes) == blocks.count <= MOST_NODES
    check_bounds(blocks, nodes)
    rows = unpack(data, naive_id)
    for node, row in zip(nodes, rows, strict=True):
        assert node.header_prefix() == row.prefix
        assert (node.body, node.signature) == (row.body, row.signature)
        assert node.id == naive_id(row.prefix, row.body, row.body_hash)
    for index, node in enumerate(nodes):
        check_decoded(node, is_signature_tried=index < 2)
    if all(node.body is None or hash_of(node.body) == node.body_hash for node in nodes):
        check_written_again(blocks, nodes)
        check_sliced(data, blocks, nodes)
    check_index(data, nodes)


def check_bounds(blocks: PackBlocks, nodes: Sequence[Node]) -> None:
    """What a pack is rebuilt to follows from its nodes and bytes."""
    if not blocks.columns or blocks.bodies is None:
        return
    columns = [node for node in nodes if node._operations]
    operations = sum(len(node.operations()) for node in columns)
    assert operations <= operations_limit(blocks.count, len(blocks.bodies))
    rebuilt_bytes = sum(len(node.body or b"") for node in columns)
    assert rebuilt_bytes <= MAX_REBUILT_BYTES + 5 * len(columns)


def check_decoded(node: Node, *, is_signature_tried: bool) -> None:
    """A node that passes is the one that a writer of these fields would make."""
    try:
        check_node(node, header_only=node.body is None)
    except Reject:
        return
    try:
        if is_signature_tried:
            check_signature(node)
    except Reject as reject:
        assert reject.reject_class in (
            RejectClass.SIGNATURE_INVALID,
            RejectClass.SIGNATURE_MISSING,
        )
    if node.body is None:
        return
    made = make_node(
        HASHER, None, node.kind, node.clock, node.parents, node.operations(), author=node.author
    )
    assert (made.id, made.body, made.header()) == (node.id, node.body, node.header())


def check_written_again(blocks: PackBlocks, nodes: Sequence[Node]) -> None:
    """Written anew in any layout that holds them, the nodes come out the same."""
    signed = blocks.signatures is not None
    layouts: list[Layout | None] = [None, Layout.ROWS]
    for layout in [*layouts, Layout.COLUMNS]:
        try:
            pack = encode_pack(nodes, signatures=signed, layout=layout)
        except ValueError:
            assert layout is Layout.COLUMNS
            continue
        again = decode_pack(pack, HASHER, max_nodes=MOST_NODES)
        assert described(again) == described(nodes)
        assert encode_pack(again, signatures=signed, layout=layout) == pack


def check_sliced(data: bytes, blocks: PackBlocks, nodes: Sequence[Node]) -> None:
    """Dropped blocks, chosen nodes and joined rows are packs of the same nodes."""
    unsigned = decode_pack(blocks.without_signatures().encode(), HASHER)
    assert [node.id for node in unsigned] == [node.id for node in nodes]
    headers = blocks.without_bodies([node.body_hash for node in nodes])
    if not any(node.body == EMPTY_BODY for node in nodes):
        bodyless = decode_pack(headers.encode(), HASHER)
        assert [node.id for node in bodyless] == [node.id for node in nodes]
    chosen = list(range(0, len(nodes), 2))
    kept = decode_pack(select(data, chosen, HASHER), HASHER)
    assert [node.id for node in kept] == [nodes[index].id for index in chosen]
    if not blocks.columns:
        joined = decode_pack(concatenate_rows([data, data]), HASHER)
        assert described(joined) == [*described(nodes), *described(nodes)]


def check_index(data: bytes, nodes: Sequence[Node]) -> None:
    """A graph from the headers alone has the same nodes, or says why not."""
    graph = Graph()
    own = {node.id for node in nodes}
    for node in nodes:
        for parent in node.parents:
            if parent not in own:
                graph.add(parent, bytes(32), 0, [])
    before = len(graph)
    ids = b"".join(node.id for node in nodes)
    is_well_formed = not any(node.fault in _PACK_FAULTS for node in nodes)
    try:
        count = add_headers(graph, data[: Frame(data).headers_end], ids)
    except Reject:
        assert not is_well_formed
    except KeyError:
        # A node of the pack before its own parent: in rows only.
        assert any(
            parent in own and parent not in {each.id for each in nodes[:index]}
            for index, node in enumerate(nodes)
            for parent in node.parents
        )
    else:
        assert is_well_formed
        assert count == len(nodes)
        assert len(graph) == before + len(own)
        for node in nodes:
            lv = graph.index_of(node.id)
            assert graph.clock_of(lv) == node.clock
            assert graph.author_of(lv) == node.author


def check_fields(choices: Choices) -> None:
    """A header of any fields is refused, or is the header of exactly these fields."""
    parents = [bytes((choices.byte(),)) * HASH_BYTES for _ in range(choices.below(70))]
    count = choices.byte() if choices.is_one_in(8) else len(parents)
    prefix = bytes((choices.one_of((1, 1, 1, 0, 2)), choices.one_of((1, 2, 1, 0, 3))))
    prefix += choices.take(32).ljust(32, b"\x07")
    prefix += choices.number(8).to_bytes(8, "big") + bytes((count & 255,)) + b"".join(parents)
    prefix += choices.take(choices.below(3))
    try:
        kind, author, clock, decoded = parse_header_prefix(prefix)
    except Reject as reject:
        assert reject.reject_class in _PACK_FAULTS
    else:
        assert prefix[1] == kind
        assert list(decoded) == parents
        assert (author, clock) == (prefix[2:34], int.from_bytes(prefix[34:42], "big"))
    body = choices.rest() or EMPTY_BODY
    check_pack(
        PackBlocks(
            1,
            False,
            uvarint(len(prefix)) + prefix,
            None,
            uvarint(len(body) + 1) + body,
            None,
        ).encode()
    )


def described(nodes: Sequence[Node]) -> list[object]:
    """Everything about nodes that travels."""
    return [(node.id, node.body, node.body_hash, node.signature, node.fault) for node in nodes]


def hash_of(body: bytes) -> bytes:
    """A body's hash, computed by hand."""
    return blake3(body, key=BODY_KEY).digest()


def naive_id(prefix: bytes, body: bytes | None, body_hash: bytes | None) -> bytes:
    """A node's id, computed by hand."""
    if body_hash is None:
        assert body is not None
        body_hash = hash_of(body)
    return blake3(prefix + body_hash, key=LINEAGE).digest()


def seeds() -> Iterable[bytes]:
    """All packs and pack files there are, and each node of the vectors as fields."""
    for entry in entries("packs", "valid", "hostile"):
        yield bytes((PACK,)) + bytes.fromhex(entry["pack"])
    yield bytes((FILE,)) + bytes.fromhex(topic("packs")["file"])
    for case in entries("merges", "cases"):
        yield bytes((FILE,)) + bytes.fromhex(case["pack_file"])
    for entry in entries("snapshot", "snapshots"):
        yield bytes((PACK,)) + bytes.fromhex(entry["frontier_pack"])
        yield bytes((FILE,)) + bytes.fromhex(entry["log"])
    for directory in released():
        yield bytes((FILE,)) + (directory / "room.pack").read_bytes()
    for entry in entries("nodes", "valid", "hostile"):
        prefix = bytes.fromhex(entry["header"])
        body = bytes.fromhex(entry["body"])
        if "id" in entry:
            prefix = prefix[:-HASH_BYTES]
        headers = uvarint(len(prefix)) + prefix
        bodies = uvarint(len(body) + 1) + body
        yield bytes((PACK,)) + PackBlocks(1, False, headers, None, bodies, None).encode()
        yield bytes((NODE, 0, 0, 0)) + body


def mutate(data: bytes, most_bytes: int, random: Random) -> bytes | None:
    """Change a block inside of a pack whose frame stays right."""
    if not data or data[0] % 3 != PACK:
        return None
    edited = edited_pack(data[1:], random)
    return None if edited is None else data[:1] + edited


TARGET = Target(check, seeds, most_bytes=8192, mutate=mutate)
