"""Snapshots: rooms with a place where one is taken, its bytes, and what must be refused.

Each of "snapshots" has the log as a pack file, all of it by the fixed identities; the snapshot at
"seq" is signed by the server of "server_seed" over "payload". "fields" is "data" as JSON. A replica
that begins with it and takes the nodes after "seq" has "final_state_hash". Each of "rejected" has
every field as it arrives and the class of its refusal; each of "states" is "data" that is refused
as invalid_field whoever signed it. "critical" has logs by the parents of their nodes (by number,
from 0) and every critical seq of theirs.
"""

from __future__ import annotations

from typing import Any

import msgspec
from scripts.vectors._material import (
    FIRST_CLOCK,
    IDENTITIES,
    LINEAGE,
    ROOM_ID,
    as_json,
    change,
    merge,
)

from roomlog.core.graph import Graph
from roomlog.core.hashing import hash_bytes
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
    TextDelete,
    TextInsert,
    UnknownOperation,
)
from roomlog.core.pack import encode_pack, write_pack_file
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.replica import Replica
from roomlog.core.signing import Purpose
from roomlog.core.snapshot.critical import CriticalPlace
from roomlog.core.snapshot.facts import (
    SnapshotFacts,
    check_snapshot,
    encode_frontier,
    sign_snapshot,
)
from roomlog.core.snapshot.format import SnapshotState, decode_state, encode_state
from roomlog.core.snapshot.taking import TakenSnapshot, take_snapshot
from roomlog.identity import Identity

SERVER_SEED = bytes([9]) * 32
SERVER = Identity.from_seed(SERVER_SEED)


def vectors() -> dict[str, object]:
    """Snapshots that open, and everything that does not."""
    return {
        "server_seed": SERVER_SEED.hex(),
        "server_key": SERVER.public_key.hex(),
        "lineage": LINEAGE.hex(),
        "snapshots": [
            _snapshot("every kind", _every_kind(), 4),
            _snapshot("two heads", _two_heads(), 3),
            _snapshot("nothing after it", _two_heads(), 5),
            _snapshot("an unknown operation", _unknown(), 1),
            _snapshot("concurrent text above it", _concurrent_text(), 2),
        ],
        "rejected": _rejected(),
        "states": [{"name": name, "data": data.hex()} for name, data in _states().items()],
        "critical": [_critical(parents) for parents in _GRAPHS],
    }


def _every_kind() -> list[Node]:
    first = change(
        MapSet("users/ada", {"age": 36}),
        MapSet("gone", 1),
        MapSetBlob("files/a", bytes(range(32)), 1 << 40, "image/png"),
        CounterAdd("votes", 1 << 53),
        CounterAdd("zero", 1),
        ListInsert("todo", b"\x80", "one"),
        ListInsert("todo", b"\x90", "two"),
        ListInsert("emptied", b"\x80", None),
        TextInsert("notes", 0, "hello \u00e9\U0001f600"),
        TextInsert("nothing", 0, "x"),
    )
    second = change(
        MapDelete("gone"),
        CounterAdd("votes", 1 << 53),
        CounterAdd("zero", -1),
        ListMove("todo", ItemReference(first.id, 6), b"\x70"),
        ListUpdate("todo", ItemReference(first.id, 5), [1.5, b"x", {"k": None}]),
        ListDelete("emptied", ItemReference(first.id, 7)),
        TextDelete("notes", 0, 1),
        TextDelete("nothing", 0, 1),
        parents=[first],
        clock=FIRST_CLOCK + 5,
        author=1,
    )
    third = change(
        ListInsert("todo", b"\x80", "tied"), parents=[second], clock=FIRST_CLOCK + 6, author=2
    )
    fourth = change(MapSet("last", True), parents=[third], clock=FIRST_CLOCK + 7)
    fifth = change(
        ListDelete("todo", ItemReference(first.id, 5)),
        ListUpdate("todo", ItemReference(third.id, 0), "updated"),
        ListUpdate("todo", ItemReference(second.id, 0), "no insert"),
        TextInsert("notes", 5, "!"),
        CounterAdd("votes", -1),
        MapDelete("users/ada"),
        parents=[fourth],
        clock=FIRST_CLOCK + 8,
        author=1,
    )
    return [first, second, third, fourth, fifth]


def _two_heads() -> list[Node]:
    root = change(MapSet("k", 0))
    left = change(ListInsert("l", b"\x80", "left"), parents=[root], clock=FIRST_CLOCK + 1)
    right = change(
        ListInsert("l", b"\x80", "right"), parents=[root], clock=FIRST_CLOCK + 2, author=1
    )
    joined = merge(left, right, clock=FIRST_CLOCK + 3, author=2)
    last = change(
        ListDelete("l", ItemReference(left.id, 0)), parents=[joined], clock=FIRST_CLOCK + 4
    )
    return [root, left, right, joined, last]


def _unknown() -> list[Node]:
    root = change(UnknownOperation(11, "sealed", [b"..."]), CounterAdd("c", 1))
    return [root, change(CounterAdd("c", 1), parents=[root], clock=FIRST_CLOCK + 1)]


def _concurrent_text() -> list[Node]:
    root = change(TextInsert("t", 0, "abcdef"))
    cut = change(TextDelete("t", 1, 3), parents=[root], clock=FIRST_CLOCK + 1, author=1)
    one = change(TextInsert("t", 1, "one"), parents=[cut], clock=FIRST_CLOCK + 2)
    two = change(TextInsert("t", 1, "two"), parents=[cut], clock=FIRST_CLOCK + 2, author=1)
    away = change(TextDelete("t", 0, 2), parents=[cut], clock=FIRST_CLOCK + 2, author=2)
    last = change(TextInsert("t", 1, "-"), parents=[one, two], clock=FIRST_CLOCK + 3, author=2)
    return [root, cut, one, two, away, last]


def _room(nodes: list[Node]) -> Replica:
    replica = Replica(ROOM_ID)
    replica.add_nodes(nodes)
    return replica


def _message(taken: TakenSnapshot) -> dict[str, Any]:
    """The fields as they travel."""
    return {
        "server_key": SERVER.public_key,
        "lineage": taken.lineage,
        "seq": taken.seq,
        "frontier_pack": taken.frontier_pack,
        "state_hash": taken.state_hash,
        "digest": taken.digest,
        "signature": taken.sign(SERVER),
        "data": taken.data,
    }


def _hex(message: dict[str, Any]) -> dict[str, object]:
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in message.items()
    }


def _snapshot(name: str, nodes: list[Node], seq: int) -> dict[str, object]:
    taken = take_snapshot(_room(nodes), seq)
    facts = SnapshotFacts(LINEAGE, seq, taken.frontier, taken.state_hash, taken.digest)
    message = _message(taken)
    opened = check_snapshot(*message.values())
    partial = Replica.from_snapshot(ROOM_ID, None, LINEAGE, opened)
    partial.add_nodes(nodes[seq:])
    return {
        "name": name,
        "log": write_pack_file(LINEAGE, [encode_pack(nodes)]).hex(),
        **_hex(message),
        "frontier": [node_id.hex() for node_id in taken.frontier],
        "payload": facts.payload().hex(),
        "fields": as_json(msgspec.msgpack.decode(taken.data)),
        "final_state_hash": partial.state_hash().hex,
        "final_coverage": partial.state_hash().coverage.to_dict(),
    }


def _rejected() -> list[dict[str, object]]:
    nodes = _every_kind()
    taken = take_snapshot(_room(nodes), 4)
    good = _message(taken)
    head = nodes[3]
    forged = change(MapSet("last", "forged"), parents=[nodes[2]], clock=FIRST_CLOCK + 7, author=1)
    by_another = Node(
        head.id,
        head.author,
        head.clock,
        head.kind,
        head.parents,
        head.body_hash,
        head.body,
        IDENTITIES[1].sign(Purpose.NODE, head.id),
    )
    facts = SnapshotFacts(LINEAGE, 4, taken.frontier, taken.state_hash, taken.digest)
    changed = decode_state(taken.data)
    changed.texts = [("notes", "changed"), ("nothing", "")]
    later = decode_state(taken.data)
    later.clock += 1
    cases: dict[str, dict[str, Any]] = {
        "forged frontier": {"frontier_pack": encode_frontier([forged])},
        "a frontier node that is no head": {"frontier_pack": encode_frontier([nodes[2]])},
        "a frontier node too many": {"frontier_pack": encode_frontier([nodes[2], nodes[3]])},
        "no frontier": {"frontier_pack": encode_pack([])},
        "a frontier node by another author": {"frontier_pack": encode_pack([by_another])},
        "an unsigned frontier node": {"frontier_pack": encode_pack([head], signatures=False)},
        "a frontier node without its body": {"frontier_pack": encode_pack([head], bodies=False)},
        "another lineage": {"lineage": bytes(32)},
        "another key": {"signature": taken.sign(IDENTITIES[0])},
        "another purpose": {"signature": SERVER.sign(Purpose.CHECKPOINT, facts.payload())},
        "no signature": {"signature": b""},
        "another seq": {"seq": 5},
        "seq 0": {"seq": 0},
        "changed state": {"data": encode_state(changed)},
        "changed state, signed with the true state hash": _signed(good, taken.frontier, changed),
        "state hash of another state": _signed({**good, "state_hash": bytes(32)}, taken.frontier),
        "state hash of 31 bytes": _signed({**good, "state_hash": bytes(31)}, taken.frontier),
        "a clock that is no head's": _signed(good, taken.frontier, later),
        "a trailing byte": _signed({**good, "data": taken.data + b"\0"}, taken.frontier),
    }
    return [_refusal(name, {**good, **fields}) for name, fields in cases.items()]


def _signed(
    message: dict[str, Any], frontier: list[bytes], state: SnapshotState | None = None
) -> dict[str, Any]:
    """The message as a lying server would sign it."""
    data = message["data"] if state is None else encode_state(state)
    facts = SnapshotFacts(
        LINEAGE, message["seq"], frontier, message["state_hash"], hash_bytes(data)
    )
    return {
        **message,
        "data": data,
        "digest": facts.digest,
        "signature": sign_snapshot(SERVER, facts),
    }


def _refusal(name: str, message: dict[str, Any]) -> dict[str, object]:
    try:
        check_snapshot(*message.values())
    except Reject as reject:
        return {"name": name, **_hex(message), "class": reject.reject_class.wire}
    raise AssertionError(f"{name}: taken")


def _states() -> dict[str, bytes]:
    """State bytes that nothing writes; each is refused here as well."""
    key = bytes(32)
    item = [key, 0, b"\x01", 1]
    deep: object = []
    for _ in range(14):
        deep = [deep]
    fields: dict[str, list[Any]] = {
        "another version": [2, 0, 0, [], [], [], []],
        "a field too few": [1, 0, 0, [], [], []],
        "a field too many": [1, 0, 0, [], [], [], [], []],
        "clock too great": [1, (1 << 53) - (1 << 32), 0, [], [], [], []],
        "clock a float": [1, 0.0, 0, [], [], [], []],
        "unknown operations negative": [1, 0, -1, [], [], [], []],
        "map keys descending": [1, 0, 0, [["b", 0, 1], ["a", 0, 1]], [], [], []],
        "map key twice": [1, 0, 0, [["a", 0, 1], ["a", 0, 1]], [], [], []],
        "map key of 513 bytes": [1, 0, 0, [["a" * 513, 0, 1]], [], [], []],
        "map key empty": [1, 0, 0, [["", 0, 1]], [], [], []],
        "map key with NUL": [1, 0, 0, [["a\0", 0, 1]], [], [], []],
        "map key with an empty segment": [1, 0, 0, [["a//b", 0, 1]], [], [], []],
        "map tag unknown": [1, 0, 0, [["a", 2, 1]], [], [], []],
        "blob hash of 31 bytes": [1, 0, 0, [["a", 1, [bytes(31), 0, ""]]], [], [], []],
        "blob media type of 256 bytes": [1, 0, 0, [["a", 1, [key, 0, "a" * 256]]], [], [], []],
        "counter an integer": [1, 0, 0, [], [["c", 1]], [], []],
        "counter with a leading zero": [1, 0, 0, [], [["c", "01"]], [], []],
        "counter minus zero": [1, 0, 0, [], [["c", "-0"]], [], []],
        "counter of 65 digits": [1, 0, 0, [], [["c", "1" * 65]], [], []],
        "item twice": [1, 0, 0, [], [], [["l", [item, item]]], []],
        "item in two lists": [1, 0, 0, [], [], [["l", [item]], ["m", [item]]], []],
        "items out of order": [1, 0, 0, [], [], [["l", [[key, 1, b"\x02", 1], item]]], []],
        "item id of 31 bytes": [1, 0, 0, [], [], [["l", [[bytes(31), 0, b"\x01", 1]]]], []],
        "item index beyond a body": [1, 0, 0, [], [], [["l", [[key, 1 << 20, b"\x01", 1]]]], []],
        "position empty": [1, 0, 0, [], [], [["l", [[key, 0, b"", 1]]]], []],
        "position of 129 bytes": [1, 0, 0, [], [], [["l", [[key, 0, bytes(129), 1]]]], []],
        "map tag true": [1, 0, 0, [["a", True, [key, 0, ""]]], [], [], []],
        "map value nested 15 deep": [1, 0, 0, [["a", 0, deep]], [], [], []],
        "item value nested 15 deep": [1, 0, 0, [], [], [["l", [[key, 0, b"\x01", deep]]]], []],
        "item of three fields": [1, 0, 0, [], [], [["l", [[key, 0, b"\x01"]]]], []],
        "counter with a plus": [1, 0, 0, [], [["c", "+1"]], [], []],
        "counter of digits beyond ASCII": [1, 0, 0, [], [["c", "\u0661"]], [], []],
        "counter of no digits": [1, 0, 0, [], [["c", ""]], [], []],
        "text bytes": [1, 0, 0, [], [], [], [["t", b"text"]]],
        "texts descending": [1, 0, 0, [], [], [], [["u", ""], ["t", ""]]],
    }
    empty = msgspec.msgpack.encode([1, 0, 0, [], [], [], []])
    states = {name: msgspec.msgpack.encode(of_name) for name, of_name in fields.items()}
    states["nothing"] = b""
    states["no array"] = b"\xc0"
    states["a trailing byte"] = empty + b"\0"
    states["cut short"] = empty[:-1]
    states["version not shortest"] = empty.replace(b"\x01", b"\xcc\x01", 1)
    states["map value unsorted"] = b"\x97\x01\0\0\x91\x93\xa1k\0\x82\xa1b\1\xa1a\1\x90\x90\x90"
    states["text with a surrogate"] = b"\x97\x01\0\0\x90\x90\x90\x91\x92\xa1t\xa3\xed\xa0\x80"
    for name, data in states.items():
        try:
            decode_state(data)
        except Reject as reject:
            if reject.reject_class is RejectClass.INVALID_FIELD:
                continue
        raise AssertionError(f"{name}: taken")
    return states


_GRAPHS: list[list[list[int]]] = [
    [[]],
    [[], [0], [1]],
    [[], [0], [0]],
    [[], [0], [0], [1, 2]],
    [[], [0], [0], [1, 2], [1, 2], [3, 4]],
    [[], [0], [0], [0, 1, 2], [3]],
    [[], [0], [0], [1], [2, 3], [4]],
    [[], [0], [1], [2], [1]],
    [[], [], [0, 1], [2], []],
    [[], *[[0]] * 64, list(range(1, 65))],
    [[], *[[0]] * 65],
]


def _critical(parents: list[list[int]]) -> dict[str, object]:
    graph = Graph()
    for number, of_node in enumerate(parents):
        ids = [parent.to_bytes(32, "big") for parent in of_node]
        graph.add(number.to_bytes(32, "big"), bytes(32), number, ids)
    places = [seq for seq in range(1, len(parents) + 1) if CriticalPlace(graph, seq).holds()]
    return {"parents": parents, "critical": places}
