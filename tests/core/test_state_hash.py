"""The state hash covers every kind, and an incomplete one is equal to nothing."""

from blake3 import blake3

from roomlog.core.node import CHANGE, NodeHasher, make_node
from roomlog.core.operation import (
    CounterAdd,
    ListInsert,
    MapSet,
    MapSetBlob,
    Operation,
    TextInsert,
    UnknownOperation,
)
from roomlog.core.replica import Replica
from roomlog.core.state_hash import Coverage, StateHash
from roomlog.identity import Identity
from tests.oracle.naive_room import messagepack

ADA = Identity.from_seed(bytes(32))


def room_of(*operations: Operation) -> Replica:
    replica = Replica("room", ADA)
    hasher = NodeHasher(replica.lineage)
    replica.add_nodes([make_node(hasher, ADA, CHANGE, 1, [], operations)])
    return replica


def test_t14_rooms_that_differ_in_any_kind_differ_in_their_hash() -> None:
    rooms = [
        room_of(UnknownOperation(40, "k", [])),
        room_of(MapSet("k", None)),
        room_of(MapSet("k", "x")),
        room_of(MapSet("k2", "x")),
        room_of(MapSetBlob("k", bytes(32), 1, "a")),
        room_of(MapSetBlob("k", bytes(32), 2, "a")),
        room_of(CounterAdd("k", 1)),
        room_of(CounterAdd("k", 1), CounterAdd("k", -1)),
        room_of(ListInsert("k", b"\x80", "x")),
        room_of(ListInsert("k", b"\x80", "y")),
        room_of(TextInsert("k", 0, "x")),
        room_of(TextInsert("k", 0, "xx")),
        room_of(TextInsert("k", 5, "out of range")),
        Replica("room"),
    ]
    hashes = [room.state_hash() for room in rooms]
    assert len({digest.hex for digest in hashes[1:]}) == len(rooms) - 1
    for index, digest in enumerate(hashes):
        assert [digest == other for other in hashes].count(True) == (1 if index else 0)


def test_t14_what_an_object_is_called_is_in_the_hash() -> None:
    kinds = (
        lambda key: MapSet(key, "x"),
        lambda key: MapSetBlob(key, bytes(32), 1, "a"),
        lambda key: CounterAdd(key, 1),
        lambda key: ListInsert(key, b"\x80", "x"),
        lambda key: TextInsert(key, 0, "x"),
    )
    for kind in kinds:
        # As long as each other, in each other's place: only the name tells them apart.
        hashes = {room_of(kind(key)).state_hash().hex for key in ("a", "b", "c")}
        assert len(hashes) == 3


def test_t14_a_list_and_a_text_count_once_touched_even_when_empty() -> None:
    replica = Replica("room", ADA)
    untouched = replica.state_hash()
    for touch in (
        lambda: (replica.list("l").append(1), replica.list("l").delete(0)),
        lambda: (replica.text("t").append("x"), replica.text("t").delete(0)),
        lambda: (replica.counter("c").add(1), replica.counter("c").add(-1)),
    ):
        before = replica.state_hash()
        touch()
        replica.commit(1)
        assert replica.state_hash() != before
    replica.map("m")["k"] = 1
    del replica.map("m")["k"]
    before = replica.state_hash()
    replica.commit(1)
    assert before.hex == ""
    assert replica.state_hash() != untouched
    assert replica.state()["maps"] == {}


def test_the_bytes_of_a_hash_are_those_of_the_data_model() -> None:
    replica = Replica("room", ADA)
    replica.map("m")["é"] = {"b": 1, "a": [None]}
    replica.map("m").set_blob("blob", bytes(32), 7, "a/b")
    replica.counter("é").add(-12)
    replica.list("l").extend(["x", "y"])
    replica.text("t").append("héllo")
    (node_id,) = replica.commit(1)
    leaves = [
        (1, "m/é", {"b": 1, "a": [None]}),
        (2, "é", "-12"),
        (3, "l", [[[node_id, 3], "x"], [[node_id, 4], "y"]]),
        (4, "t", "héllo"),
        (5, "m/blob", [bytes(32), 7, "a/b"]),
    ]
    data = b"".join(
        bytes([kind])
        + len(key.encode()).to_bytes(2, "big")
        + key.encode()
        + blake3(messagepack(value)).digest()
        for kind, key, value in leaves
    )
    assert replica.state_hash().hex == blake3(data).hexdigest()


def test_leaves_follow_what_changes_between_blobs_values_and_nothing() -> None:
    replica = Replica("room", ADA)
    seen = []
    for value in (1, "blob", 2, None, "delete", "blob", "delete"):
        if value == "blob":
            replica.map("m").set_blob("k", bytes(32), 7, "a/b")
        elif value == "delete":
            del replica.map("m")["k"]
        else:
            replica.map("m")["k"] = value
        replica.commit(1)
        fresh = Replica("room")
        fresh.import_pack(replica.export())
        assert fresh.state_hash() == replica.state_hash()
        seen.append(str(replica.state_hash()))
    assert seen[1] == seen[5]
    assert seen[4] == seen[6] == str(Replica("room").state_hash())
    assert len(set(seen)) == 5


def test_an_unknown_operation_is_inert_and_makes_the_hash_incomplete() -> None:
    known = room_of(MapSet("k", 1))
    more = room_of(MapSet("k", 1), UnknownOperation(40, "k", [1]))
    assert known.state() == more.state()
    digest = more.state_hash()
    assert digest.coverage.unknown_ops == 1
    assert digest != known.state_hash()
    assert digest != digest  # equal to nothing, itself included
    assert str(digest) == "incomplete"
    assert digest.hex == known.state_hash().hex


def test_a_hash_says_what_it_covers() -> None:
    complete = StateHash("ab" * 32, Coverage())
    assert complete == StateHash("ab" * 32, Coverage())
    assert hash(complete) == hash(StateHash("ab" * 32, Coverage()))
    assert complete != "ab" * 32
    assert complete != StateHash("cd" * 32, Coverage())
    assert str(complete) == "ab" * 32
    for coverage in (
        Coverage(awaited=1),
        Coverage(held=1),
        Coverage(pruned=1),
        Coverage(unknown_ops=1),
        Coverage(open_operations=1),
    ):
        assert not coverage.complete
        assert complete != StateHash("ab" * 32, coverage)
    assert Coverage(awaited=2, unknown_ops=3).to_dict() == {
        "awaited": 2,
        "held": 0,
        "pruned": 0,
        "unknown_ops": 3,
        "patterns": [],
    }
    assert repr(StateHash("", Coverage())).startswith("StateHash(none, ")
