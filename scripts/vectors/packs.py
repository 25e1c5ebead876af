"""Packs of both layouts, sliced packs, and bytes that are no pack.

Each entry of "valid" names its nodes in order: id, body or null, and the class that the node's own
check gives or null (signatures, parents and clocks aside). Every entry of "hostile" is refused as
a whole.
"""

from __future__ import annotations

from scripts.vectors._material import FIRST_CLOCK, HASHER, LINEAGE, change, forged, merge

from roomlog.core.node import Node, check_node
from roomlog.core.operation import (
    CounterAdd,
    MapSet,
    TextDelete,
    TextInsert,
    UnknownOperation,
)
from roomlog.core.pack import (
    Layout,
    PackBlocks,
    concatenate_rows,
    decode_pack,
    encode_pack,
    select,
    write_pack_file,
)
from roomlog.core.reject import Reject


def _typing() -> list[Node]:
    """Typing, backspacing and a far edit, one operation a node, at irregular times."""
    nodes: list[Node] = []
    clock = FIRST_CLOCK
    steps = [TextInsert("notes", position, letter) for position, letter in enumerate("typing")]
    steps += [TextDelete("notes", 5, 1), TextDelete("notes", 4, 1)]
    steps += [TextInsert("notes", 4, "\u00e9\U0001f600"), TextInsert("notes", 0, "x" * 40)]
    for index, step in enumerate(steps):
        clock += 1 if index % 3 == 2 else (150 + index) * 2048
        nodes.append(change(step, parents=nodes[-1:], clock=clock))
    return nodes


def _branches() -> list[Node]:
    """Two authors, two keys, a merge, and operations the columns do not know."""
    root = change(MapSet("title", {"a": [1, 2.5]}), TextInsert("notes", 0, "ab"))
    left = change(
        TextInsert("notes", 1, "L"),
        TextInsert("other", 0, "o"),
        TextDelete("notes", 2, 1),
        parents=[root],
        clock=FIRST_CLOCK + 2048 * 9,
        author=1,
    )
    right = change(CounterAdd("votes", 3), parents=[root], clock=FIRST_CLOCK + 2048 * 5, author=2)
    both = merge(left, right, clock=FIRST_CLOCK + 2048 * 9 + 1, author=2)
    odd = change(UnknownOperation(99, "k", [b"x"]), parents=[both], clock=FIRST_CLOCK + 2048 * 20)
    far = change(TextInsert("notes", (1 << 64) - 1, "z"), parents=[odd], clock=FIRST_CLOCK + 2**30)
    return [root, left, right, both, odd, far]


def _faulty() -> list[Node]:
    """Good nodes with bad ones between: each meets its own judgement on the other side."""
    good = change(TextInsert("notes", 0, "good"))
    return [
        good,
        forged(b"", clock=1),
        forged(b"\x90", clock=2),
        forged(b"\x91\x94\x09\xa5notes\xcc\x00\xa1x", clock=3),
        forged(b"\x91\x92\x02\xa1k", clock=(1 << 53) - (1 << 32)),
        forged(b"\x91\x92\x02\xa1k", clock=5, parents=[b"\x02" * 32, b"\x01" * 32]),
        change(TextInsert("notes", 4, "!"), parents=[good], clock=FIRST_CLOCK + 1),
    ]


def _class_of(node: Node) -> str | None:
    try:
        check_node(node)
    except Reject as reject:
        return reject.reject_class.wire
    return None


def _described(name: str, pack: bytes) -> dict[str, object]:
    nodes = decode_pack(pack, HASHER)
    return {
        "name": name,
        "pack": pack.hex(),
        "nodes": [
            {
                "id": node.id.hex(),
                "body": None if node.body is None else node.body.hex(),
                "class": _class_of(node),
            }
            for node in nodes
        ],
    }


def _hostile() -> dict[str, bytes]:
    rows = encode_pack(_typing()[:2])
    columns = encode_pack(_typing(), signatures=False, layout=Layout.COLUMNS)
    row = PackBlocks.parse(encode_pack(_typing()[:1])).headers
    author = _typing()[0].author
    headers = b"\x01" + author + b"\x00" + b"\x00\x00" + b"\x01"
    huge = b"\xff" * 9 + b"\x01"

    def body_columns(block: bytes) -> bytes:
        return PackBlocks(1, True, headers, None, block, None).encode()

    def header_columns(block: bytes, count: int = 1) -> bytes:
        return PackBlocks(count, True, block, None, None, bytes(32) * count).encode()

    return {
        "empty": b"",
        "format 2": b"\x02" + rows[1:],
        "unknown flag": bytes([rows[0], rows[1] | 16]) + rows[2:],
        "neither bodies nor hashes": bytes([1, 2]) + rows[2:],
        "rows cut short": rows[:-1],
        "rows with a byte left over": rows + b"\0",
        "columns cut short": columns[:-1],
        "columns with a byte left over": columns + b"\0",
        "count beyond the limit": b"\x01\x04" + b"\x81\x20" + b"\x00\x00",
        "count of 2^64-1": b"\x01\x05" + huge + b"\x00\x00",
        "count not in its shortest form": b"\x01\x04\x80\x00\x00\x00",
        "length of 2^64-1": b"\x01\x04\x01" + huge + b"\x00",
        "no author": header_columns(b"\x00\x00\x00\x00\x01"),
        "linear first node": header_columns(b"\x01" + author + b"\x00\x01\x01"),
        "parent before the first node": header_columns(b"\x01" + author + b"\x00\x00\x02\x00\x01"),
        "external parent that is not there": header_columns(
            b"\x01" + author + b"\x00\x00\x02\x01\x01"
        ),
        "run of parents beyond the pack": header_columns(
            b"\x01" + author + b"\x00\x00\x00" + huge + b"\x01\x01", 2
        ),
        "run of clocks beyond the pack": header_columns(
            b"\x01" + author + b"\x00\x00\x00" + b"\x00" + huge
        ),
        "clock before 0": header_columns(b"\x01" + author + b"\x00\x00\x00\x03"),
        "key that is no path key": body_columns(b"\x01\x02a/\x00\x01\x01\x00x\x10"),
        "text of invalid UTF-8": body_columns(b"\x01\x01t\x00\x01\x01\x00\xff\x10"),
        "text that ends too early": body_columns(b"\x01\x01t\x00\x00\x01\x00\x10"),
        "text left over": body_columns(b"\x01\x01t\x00\x02\x01\x00xx\x10"),
        "insert of length 0": body_columns(b"\x01\x01t\x00\x01\x01\x01x\x12\x00"),
        "position before 0": body_columns(b"\x01\x01t\x00\x01\x01\x01x\x14\x01"),
        "key index that is not there": body_columns(b"\x01\x01t\x00\x01\x01\x01x\x18\x01"),
        "endless deletes": body_columns(
            b"\x01\x01t\x00\x00\x0b\x06\x05\xe1" + b"\xff" * 8 + b"\x7f" + b"\x80" * 5 + b"\x01"
        ),
        "escape longer than the block": body_columns(b"\x01\x01t\x01\x00\x09\x00\x00\x00abc"),
        "escape beyond the pack": body_columns(b"\x00\x01\x01\x02\x00\x00\x00\x90"),
        "body left out without a hash, columns": body_columns(b"\x00\x01\x00\x00\x00\x00\x00"),
        "body left out without a hash, rows": PackBlocks(
            1, False, row, None, b"\x00", None
        ).encode(),
        "more keys than bytes": body_columns(huge + b"\x01t\x00\x01\x01\x00x\x10"),
        "key of invalid UTF-8": body_columns(b"\x01\x01\xff\x00\x01\x01\x00x\x10"),
        "lengths in bytes": body_columns(b"\x01\x01t\x00\x02\x02\x00\xc3\xa9\x00\x10"),
        "delete of length 0": body_columns(b"\x01\x01t\x00\x00\x01\x01\x13\x00"),
        "no last operation": body_columns(b"\x01\x01t\x00\x01\x01\x00x\x00"),
        "run of tags beyond the pack": body_columns(b"\x01\x01t\x00\x01\x01\x00x\x30"),
        "tags left over": body_columns(b"\x01\x01t\x00\x01\x02\x00x\x10\x10"),
        "fields left over": body_columns(b"\x01\x01t\x00\x01\x01\x01x\x10\x00"),
        "author that is not there": header_columns(
            b"\x02" + author + bytes(32) + b"\x02\x02" + b"\x00\x00\x00\x01" + b"\x01\x01", 2
        ),
        "run of no author": header_columns(
            b"\x02"
            + author
            + bytes(32)
            + b"\x00\x01\x01\x00\x00\x01"
            + b"\x00\x00\x00\x01"
            + b"\x01\x01",
            2,
        ),
        "more authors than bytes": header_columns(huge + author + b"\x00\x00\x00\x01"),
        "256 parents": header_columns(
            b"\x01" + author + b"\x01" + bytes(32) + b"\x00\x80\x04" + b"\x01" * 256 + b"\x01"
        ),
        "run of no clock": header_columns(b"\x01" + author + b"\x00\x00\x00\x00\x00\x01"),
        "counter above 2,047": header_columns(b"\x01" + author + b"\x00\x00\x00\x02\x80\x10"),
        "expected counter above 2,047": header_columns(
            b"\x01" + author + b"\x00" + b"\x00\x00\x01" + b"\x02\xff\x0f" + b"\x01", 2
        ),
        "headers left over": header_columns(b"\x01" + author + b"\x00\x00\x00\x01\x01"),
        "number of 11 bytes": b"\x01\x04" + b"\x80" * 10 + b"\x01\x00\x00",
        "number above 64 bits": b"\x01\x04" + b"\xff" * 9 + b"\x02\x00\x00",
    }


def vectors() -> dict[str, object]:
    """Packs with what they decode to."""
    histories = {"typing": _typing(), "branches": _branches(), "faulty nodes": _faulty()}
    entries: list[dict[str, object]] = []
    for name, nodes in histories.items():
        for layout in Layout:
            pack = encode_pack(nodes, layout=layout)
            hashes = [node.body_hash for node in nodes]
            blocks = PackBlocks.parse(pack)
            unsigned = blocks.without_signatures()
            title = f"{name}, {layout.value}"
            entries.append(_described(title, pack))
            entries.append(_described(f"{title}, unsigned", unsigned.encode()))
            headers = unsigned.without_bodies(hashes).encode()
            entries.append(_described(f"{title}, headers and hashes only", headers))
            chosen = select(pack, [1, 3, 4], HASHER)
            entries.append(_described(f"{title}, nodes 1, 3 and 4", chosen))
    bodiless = _branches()
    bodiless[1].body = None
    for layout in Layout:
        pack = encode_pack(bodiless, layout=layout)
        entries.append(_described(f"one body left out, {layout.value}", pack))
    for layout in Layout:
        blocks = PackBlocks.parse(encode_pack(_typing()[:3], signatures=False, layout=layout))
        wrong = [bytes(32), *(node.body_hash for node in _typing()[1:3])]
        pack = PackBlocks(3, blocks.columns, blocks.headers, None, blocks.bodies, b"".join(wrong))
        entries.append(
            _described(f"one hash that is not its body's, {layout.value}", pack.encode())
        )
    many = forged(b"\x90", parents=[bytes([0, number]) * 16 for number in range(65)])
    for layout in Layout:
        pack = encode_pack([many], signatures=False, layout=layout)
        entries.append(_described(f"65 parents, {layout.value}", pack))
    single = [encode_pack([node]) for node in _typing()[:3]]
    entries.append(_described("single nodes joined", concatenate_rows(single)))
    entries.append(_described("empty", encode_pack([])))
    return {
        "lineage": LINEAGE.hex(),
        "max_nodes": 4096,
        "valid": entries,
        "file": write_pack_file(LINEAGE, single).hex(),
        "hostile": [
            {"name": name, "pack": pack.hex(), "class": "invalid_field"}
            for name, pack in _hostile().items()
        ],
    }
