"""The state of a snapshot has one sequence of bytes, and nothing else is taken for one."""

import os
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest

from roomlog.core.crdt.map import BlobReference
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.snapshot.format import SnapshotState, decode_state, encode_state
from roomlog.core.snapshot.leaves import leaves_of
from roomlog.core.snapshot.taking import take_snapshot
from roomlog.core.state_hash import hash_leaves
from tests.core.snapshot.taken import critical_places, quieting_graph, replica_of
from tests.oracle.naive_room import messagepack
from tests.oracle.room_histories import room_history

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "2000")) // 20
ID = bytes(range(32))

Fields = list[Any]


def fields() -> Fields:
    """A good state with two of everything."""
    return [
        1,
        2048,
        0,
        [["a", 1, [bytes(32), 5, "text/plain"]], ["b/c", 0, {"k": [1.5]}]],
        [["c", "-12"], ["d", "0"]],
        [["l", [[ID, 0, b"\x01", "one"], [ID, 3, b"\x01\x00", None]]], ["m", []]],
        [["t", "text"], ["é", ""]],
    ]


def refused(data: bytes) -> Reject:
    with pytest.raises(Reject) as caught:
        decode_state(data)
    assert caught.value.reject_class is RejectClass.INVALID_FIELD
    assert caught.value.detail == {"field": "data"}
    return caught.value


def test_a_state_comes_back_as_it_was_written() -> None:
    data = messagepack(fields())
    state = decode_state(data)
    assert (state.clock, state.unknown_operations) == (2048, 0)
    assert state.maps == [("a", BlobReference(bytes(32), 5, "text/plain")), ("b/c", {"k": [1.5]})]
    assert state.counters == [("c", -12), ("d", 0)]
    assert state.lists == [("l", [(ID, 0, b"\x01", "one"), (ID, 3, b"\x01\x00", None)]), ("m", [])]
    assert state.texts == [("t", "text"), ("é", "")]
    assert encode_state(state) == data


def test_an_empty_state_is_a_state() -> None:
    assert encode_state(SnapshotState(0, 0)) == messagepack([1, 0, 0, [], [], [], []])


def test_rooms_come_back_and_their_leaves_give_the_state_hash() -> None:
    taken_some = 0
    for seed in range(HISTORIES):
        random = Random(seed)
        history = room_history(random, quieting_graph(random, 20, 3))
        replica = replica_of(history.nodes)
        for seq in critical_places(history.graph)[-1:]:
            taken = take_snapshot(replica, seq)
            state = decode_state(taken.data)
            assert encode_state(state) == taken.data
            below = frozenset(node.id for node in history.nodes[:seq])
            assert hash_leaves(leaves_of(state)) == taken.state_hash
            assert taken.state_hash.hex() == history.oracle.state_hash(below)
            taken_some += 1
    assert taken_some


def test_values_may_be_nested_as_deeply_as_in_a_body_and_no_deeper() -> None:
    value: Any = 1
    for _ in range(14):
        value = [value]
    for place in (
        lambda value: [[], [["m", 0, value]]],
        lambda value: [[["l", [[ID, 0, b"p", value]]]], []],
    ):
        lists, maps = place(value)
        data = messagepack([1, 0, 0, maps, [], lists, []])
        assert encode_state(decode_state(data)) == data
        lists, maps = place([value])
        refused(messagepack([1, 0, 0, maps, [], lists, []]))


def put(*path_and_value: Any) -> Callable[[Fields], None]:
    """Replace what is at a path."""
    *path, last, value = path_and_value

    def change(state: Fields) -> None:
        for step in path:
            state = state[step]
        state[last] = value

    return change


BROKEN: dict[str, Callable[[Fields], Any]] = {
    "another version": put(0, 2),
    "version true": put(0, True),
    "no text field": lambda state: state.pop(),
    "one field more": lambda state: state.append([]),
    "clock negative": put(1, -1),
    "clock a float": put(1, 1.0),
    "clock at the limit": put(1, (1 << 53) - (1 << 32)),
    "unknown negative": put(2, -1),
    "unknown true": put(2, True),
    "maps a map": put(3, {}),
    "map row not an array": put(3, 0, "a"),
    "map row short": lambda state: state[3][1].pop(),
    "map keys descending": lambda state: state[3].reverse(),
    "map key twice": lambda state: state[3].append(state[3][1]),
    "map key a number": put(3, 0, 0, 1),
    "map key empty": put(3, 0, 0, ""),
    "map key with NUL": put(3, 0, 0, "a\0"),
    "map key of 513 bytes": put(3, 0, 0, "a" * 513),
    "map key with an empty segment": put(3, 0, 0, "a//b"),
    "tag unknown": put(3, 0, 1, 2),
    "tag negative": put(3, 1, 1, -1),
    "tag false": put(3, 1, 1, False),
    "blob not an array": put(3, 0, 2, "blob"),
    "blob short": lambda state: state[3][0][2].pop(),
    "blob hash of 31 bytes": put(3, 0, 2, 0, bytes(31)),
    "blob hash a string": put(3, 0, 2, 0, "a" * 32),
    "blob size negative": put(3, 0, 2, 1, -1),
    "blob size a float": put(3, 0, 2, 1, 5.0),
    "media type bytes": put(3, 0, 2, 2, b"text/plain"),
    "media type of 256 bytes": put(3, 0, 2, 2, "é" * 128),
    "counter an integer": put(4, 0, 1, -12),
    "counter with a plus": put(4, 0, 1, "+12"),
    "counter with a leading zero": put(4, 0, 1, "012"),
    "counter minus zero": put(4, 1, 1, "-0"),
    "counter of other digits": put(4, 1, 1, "\u0661"),
    "counter no number": put(4, 1, 1, "x"),
    "counter empty": put(4, 1, 1, ""),
    "counter of 65 digits": put(4, 1, 1, "1" * 65),
    "counters descending": lambda state: state[4].reverse(),
    "counters none": put(4, None),
    "list row of three": lambda state: state[5][0].append(1),
    "lists descending": lambda state: state[5].reverse(),
    "items none": put(5, 1, 1, None),
    "item short": lambda state: state[5][0][1][0].pop(),
    "items descending": lambda state: state[5][0][1].reverse(),
    "item twice": lambda state: state[5][0][1].append(state[5][0][1][1]),
    "item twice at another position": put(5, 0, 1, 1, 1, 0),
    "item in two lists": put(5, 1, 1, [[ID, 0, b"\x09", 1]]),
    "items at one position, ids descending": lambda state: state[5][0][1].insert(
        0, [b"\xff" * 32, 0, b"\x01", 1]
    ),
    "items at one position, indexes descending": lambda state: state[5][0][1].insert(
        0, [ID, 1, b"\x01", 1]
    ),
    "item id of 33 bytes": put(5, 0, 1, 0, 0, bytes(33)),
    "item id a string": put(5, 0, 1, 0, 0, "a" * 32),
    "operation index negative": put(5, 0, 1, 0, 1, -1),
    "operation index beyond a body": put(5, 0, 1, 0, 1, 1 << 20),
    "operation index false": put(5, 0, 1, 0, 1, False),
    "position empty": put(5, 0, 1, 0, 2, b""),
    "position of 129 bytes": put(5, 0, 1, 1, 2, b"\x02" * 129),
    "position a string": put(5, 0, 1, 0, 2, "p"),
    "text bytes": put(6, 0, 1, b"text"),
    "texts descending": lambda state: state[6].reverse(),
    "text row short": lambda state: state[6][0].pop(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_state_that_no_room_writes_is_refused(name: str) -> None:
    state = fields()
    BROKEN[name](state)
    refused(messagepack(state))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x90",
        messagepack(fields()) + b"\0",
        messagepack(fields())[:-1],
        msgspec.msgpack.encode([1, 0, 0, [["k", 0, {"b": 1, "a": 2}]], [], [], []]),
        messagepack([1, 0, 0, [], [], [], []]).replace(b"\x01", b"\xcc\x01"),
        b"\x97\x01\x00\x00" + b"\x91\x93\xa1k\x00\xcb\xff\xf8" + bytes(6) + b"\x90\x90\x90",
        b"\x97\x01\x00\x00\x90\x90\x90\x91\x92\xa1t\xa3\xed\xa0\x80",
        b"\xdd\xff\xff\xff\xff",
    ],
)
def test_bytes_that_are_not_the_one_encoding_are_refused(data: bytes) -> None:
    refused(data)
