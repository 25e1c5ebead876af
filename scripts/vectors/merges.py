"""Rooms whose nodes merge: every kind, with the state and state hash that any arrival order gives.

Each case has its nodes in one order that has parents first, the same nodes as a pack file, the
frontier, the state by kind and key (blobs as [hash, size, media type]), and the state hash with its
coverage. "hash" is that of the bytes also where the coverage makes it incomplete. "at" gives the
state and hash at older versions.
"""

from __future__ import annotations

from collections.abc import Sequence

from scripts.vectors._material import (
    FIRST_CLOCK,
    IDENTITIES,
    LINEAGE,
    ROOM_ID,
    as_json,
    change,
    merge,
    node_as_json,
)

from roomlog.core.crdt.map import BlobReference
from roomlog.core.node import Node
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
    TextDelete,
    TextInsert,
    UnknownOperation,
)
from roomlog.core.replica import Replica


def _on(parents: Sequence[Node], *operations: Operation, author: int = 0, later: int = 1) -> Node:
    greatest = max([parent.clock for parent in parents], default=FIRST_CLOCK)
    return change(*operations, parents=parents, clock=greatest + later, author=author)


def _joined(*parents: Node) -> Node:
    return merge(*parents, clock=max(parent.clock for parent in parents) + 1)


def _maps() -> list[Node]:
    root = _on([], MapSet("users/ada", {"age": 36}), MapSet("both", "same kind"), MapSet("gone", 1))
    left = _on([root], MapSet("users/ada", "left"), MapDelete("gone"), MapSet("twice", 1), author=1)
    right = _on([root], MapSet("users/ada", "right"), MapSet("gone", 2), later=5, author=2)
    again = _on([left], MapSet("twice", None), MapSet("twice", [1.5, b"x", {"\u00e9": True}]))
    return [root, left, right, again]


def _blobs() -> list[Node]:
    root = _on([], MapSetBlob("files/a", bytes(range(32)), 1 << 40, "image/png"), MapSet("b", 0))
    left = _on([root], MapSet("files/a", "no blob any more"), author=1)
    right = _on([root], MapSetBlob("b", bytes(32), 0, ""), author=2)
    return [root, left, right]


def _stamps() -> list[Node]:
    """Equal clocks: the author decides; equal authors: the node id; one node: the last one."""
    authors = [_on([], MapSet("k", number), author=number) for number in range(3)]
    devices = [
        _on([], MapSet("one key", number), MapSet("one key", number + 10)) for number in range(4)
    ]
    return [*authors, *devices]


def _counters() -> list[Node]:
    root = _on([], CounterAdd("votes", 1 << 53), CounterAdd("zero", 1), CounterAdd("zero", -1))
    nodes = [root]
    for number in range(3):
        nodes.append(_on([root], CounterAdd("votes", 1 << 53), CounterAdd("n", -7), author=number))
    return nodes


def _lists() -> list[Node]:
    root = _on(
        [],
        ListInsert("todo", b"\x40", "a"),
        ListInsert("todo", b"\x80", "b"),
        ListInsert("todo", b"\xc0", "c"),
        ListMove("todo", ItemReference(None, 0), b"\xa0"),
        ListUpdate("todo", ItemReference(None, 1), "B"),
    )
    tied = [_on([root], ListInsert("todo", b"\x80", n), author=n, later=3 - n) for n in range(3)]
    moved = _on([root], ListMove("todo", ItemReference(root.id, 2), b"\x10"), author=1)
    moved_later = _on(
        [root], ListMove("todo", ItemReference(root.id, 2), b"\xff"), author=2, later=9
    )
    renamed = _on([root], ListUpdate("todo", ItemReference(root.id, 2), ["c", 2]), author=1)
    deleted = _on([root], ListDelete("todo", ItemReference(root.id, 1)), author=2)
    too_late = _on([root], ListUpdate("todo", ItemReference(root.id, 1), "no"), later=99)
    return [root, *tied, moved, moved_later, renamed, deleted, too_late]


def _list_nonsense() -> list[Node]:
    root = _on([], ListInsert("l", b"\x80", "here"), ListInsert("other", b"\x80", "there"))
    unseen = _on([], ListUpdate("l", ItemReference(root.id, 0), "not an ancestor"), author=1)
    wrong_list = _on([root], ListUpdate("l", ItemReference(root.id, 1), "another list's"))
    unknown = _on([root], ListDelete("l", ItemReference(bytes(32), 0)), author=1)
    no_insert = _on([root], ListMove("l", ItemReference(root.id, 7), b"\x01"), author=2)
    never = _on([root], ListDelete("untouched", ItemReference(root.id, 0)), author=2)
    emptied = _on([root], ListDelete("other", ItemReference(root.id, 1)))
    return [root, unseen, wrong_list, unknown, no_insert, never, emptied]


def _texts() -> list[Node]:
    root = _on([], TextInsert("notes", 0, "hello"), TextInsert("empty", 0, "x"))
    left = _on([root], TextInsert("notes", 5, " left"), TextDelete("notes", 0, 1), author=1)
    right = _on([root], TextInsert("notes", 5, " right"), TextDelete("notes", 0, 2), author=2)
    beside = _on([root], TextInsert("notes", 1, "[beside the deleted]"))
    emptied = _on([root], TextDelete("empty", 0, 1), later=4)
    both = _joined(left, right, beside)
    after = _on([both], TextInsert("notes", 0, "\u00e9\U0001f600"), TextInsert("notes", 2, "!"))
    return [root, left, right, beside, emptied, both, after]


def _runs() -> list[Node]:
    """Three authors type at one place, forwards, backwards, and both: runs stay together."""
    nodes = [_on([], TextInsert("t", 0, "()"))]
    heads: list[Node] = []
    for author, positions in enumerate(([1, 2, 3, 4], [1, 1, 1, 1], [1, 2, 1, 3])):
        last = nodes[0]
        for index, position in enumerate(positions):
            last = _on([last], TextInsert("t", position, "abc"[author] + str(index)), author=author)
            nodes.append(last)
        heads.append(last)
    return [*nodes, _joined(*heads)]


def _outside() -> list[Node]:
    root = _on([], TextInsert("t", 1, "out"), TextInsert("t", 0, "in"), TextDelete("t", 1, 2))
    only_outside = _on([root], TextInsert("never", (1 << 64) - 1, "x"), author=1)
    partly = _on([root], TextDelete("t", 0, 3), TextInsert("t", 2, "!"), author=2)
    return [root, only_outside, partly]


def _two_devices() -> list[Node]:
    root = _on([], TextInsert("t", 0, "-"))
    first = _on([root], TextInsert("t", 1, "first"))
    second = _on([root], TextInsert("t", 1, "second"))
    return [root, first, second, _on([first], TextInsert("t", 6, "!"))]


def _one_key_of_every_kind() -> list[Node]:
    root = _on([], MapSet("k", 1), CounterAdd("k", 1), ListInsert("k", b"\x80", 1))
    return [root, _on([root], TextInsert("k", 0, "1"), author=1)]


def _unknown() -> list[Node]:
    return [_on([], MapSet("k", 1), UnknownOperation(11, "k/sealed", [b"x", {"a": 1}]))]


def _many_heads() -> list[Node]:
    root = _on([], CounterAdd("c", 1))
    heads = [_on([root], CounterAdd("c", n), author=n % 3, later=n) for n in range(1, 66)]
    first = _joined(*heads[:64])
    return [root, *heads, first, _on([first, heads[64]], MapSet("merged", True))]


_CASES = {
    "maps: the greatest stamp wins": _maps(),
    "maps: blobs and values share a register": _blobs(),
    "maps: ties on the clock": _stamps(),
    "counters: exact sums": _counters(),
    "lists: concurrent inserts, moves, updates, deletes": _lists(),
    "lists: what makes no sense does nothing": _list_nonsense(),
    "texts: concurrent edits at one place": _texts(),
    "texts: runs do not interleave": _runs(),
    "texts: positions outside": _outside(),
    "texts: two devices with one key": _two_devices(),
    "one key in every kind": _one_key_of_every_kind(),
    "an unknown operation": _unknown(),
    "65 heads": _many_heads(),
}


def _state_as_json(state: dict[str, dict[str, object]]) -> object:
    blobs: dict[str, object] = {}
    for key, blob in state["blobs"].items():
        assert isinstance(blob, BlobReference)
        blobs[key] = [blob.hash, blob.size_bytes, blob.media_type]
    return {
        kind: {key: as_json(value) for key, value in values.items()}
        for kind, values in {**state, "blobs": blobs}.items()
    }


def _case(name: str, nodes: list[Node]) -> dict[str, object]:
    replica = Replica(ROOM_ID, IDENTITIES[0])
    result = replica.add_nodes(nodes)
    assert len(result.accepted) == len(nodes), result
    digest = replica.state_hash()
    older = []
    for version in ([nodes[0]], nodes[1:3]):
        view = replica.at([node.id for node in version])
        older.append(
            {
                "frontier": [node_id.hex() for node_id in view.frontier],
                "state": _state_as_json(view.state()),
                "hash": view.state_hash().hex,
            }
        )
    return {
        "name": name,
        "nodes": [node_as_json(node) for node in nodes],
        "pack_file": replica.export().hex(),
        "frontier": [node_id.hex() for node_id in replica.frontier],
        "state": _state_as_json(replica.state()),
        "hash": digest.hex,
        "coverage": digest.coverage.to_dict(),
        "at": older,
    }


def vectors() -> dict[str, object]:
    """All cases, in the room of the other topics."""
    return {
        "room": ROOM_ID,
        "lineage": LINEAGE.hex(),
        "cases": [_case(name, nodes) for name, nodes in _CASES.items()],
    }
