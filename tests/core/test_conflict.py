"""Conflict events: who lost to whom, and when it is settled."""

from roomlog.core.crdt.map import BlobReference
from roomlog.core.operation import MapSet
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from tests.core.building import change

ADA = Identity.from_seed(bytes(32))
BOB = Identity.from_seed(bytes([1]) * 32)
NOW_MS = 1_700_000_000_000


def two_branches() -> tuple[Replica, Replica]:
    ada, bob = Replica("room", ADA), Replica("room", BOB)
    ada.map("m")["k"] = "old"
    ada.list("l").extend(["a", "b", "c"])
    ada.commit(NOW_MS)
    bob.import_pack(ada.export())
    return ada, bob


def exchange(ada: Replica, bob: Replica) -> None:
    ada.commit(NOW_MS + 1)
    bob.commit(NOW_MS + 2)
    ada.import_pack(bob.export(), NOW_MS)
    bob.import_pack(ada.export(), NOW_MS)


def test_concurrent_writes_to_one_key_are_a_conflict_until_somebody_settles_it() -> None:
    ada, bob = two_branches()
    assert ada.conflicts() == []
    ada.map("m")["k"] = "first"
    ada.map("m")["k"] = "ada's"
    bob.map("m")["k"] = "bob's"
    exchange(ada, bob)
    (conflict,) = ada.conflicts()
    assert (conflict.kind, conflict.key, conflict.item) == ("map", "m/k", None)
    winner = conflict.winner
    (loser,) = conflict.losers
    assert (winner.author, winner.value, winner.deleted) == (BOB.public_key, "bob's", False)
    assert (loser.author, loser.value, loser.operation_index) == (ADA.public_key, "ada's", 1)
    assert winner.clock > loser.clock
    assert ada.node(winner.node_id).author == BOB.public_key
    assert ada.map("m")["k"] == "bob's"
    assert repr(conflict).startswith("Conflict(map, 'm/k', Write(")
    ada.map("m")["other"] = 1
    ada.commit(NOW_MS + 3)
    assert len(ada.conflicts()) == 1
    ada.map("m")["k"] = "settled"
    ada.commit(NOW_MS + 4)
    assert ada.conflicts() == []
    assert len(bob.conflicts()) == 1


def test_deletes_and_blobs_are_writes_too() -> None:
    ada, bob = two_branches()
    ada.map("m").set_blob("k", bytes(32), 5, "a/b")
    del bob.map("m")["k"]
    exchange(ada, bob)
    (conflict,) = bob.conflicts()
    assert conflict.winner.deleted
    assert conflict.winner.value is None
    assert conflict.losers[0].value == BlobReference(bytes(32), 5, "a/b")
    assert not conflict.losers[0].deleted
    assert "deleted" in repr(conflict)


def test_an_items_value_and_position_conflict_independently() -> None:
    ada, bob = two_branches()
    (node_id,) = ada.frontier
    ada.list("l")[0] = "A"
    bob.list("l")[0] = "AA"
    ada.list("l").move(1, 2)
    bob.list("l").move(1, 0)
    bob.list("l")[2] = "nobody else"
    exchange(ada, bob)
    value, position = sorted(ada.conflicts(), key=lambda conflict: conflict.kind, reverse=True)
    assert (value.kind, value.key, value.item) == ("list_value", "l", (node_id, 1))
    assert (value.winner.value, value.losers[0].value) == ("AA", "A")
    assert (position.kind, position.item) == ("list_position", (node_id, 2))
    assert isinstance(position.winner.value, bytes)
    ada.list("l").delete(0)
    exchange(ada, bob)
    # One of the two items is gone, and its conflict with it.
    assert len(bob.conflicts()) == 1


def test_three_concurrent_writers_leave_two_losers_in_order() -> None:
    ada, bob = two_branches()
    carol = Replica("room", Identity.from_seed(bytes([2]) * 32))
    carol.import_pack(ada.export())
    for number, replica in enumerate((ada, carol, bob)):
        replica.map("m")["k"] = number
        replica.commit(NOW_MS + 1 + number)
    for other in (bob, carol):
        ada.import_pack(other.export())
    (conflict,) = ada.conflicts()
    assert [conflict.winner.value, *(write.value for write in conflict.losers)] == [2, 1, 0]


def test_t62_thousands_of_concurrent_writes_are_told_in_the_order_of_their_stamps() -> None:
    replica = Replica("room", ADA)
    nodes = [
        change(MapSet("k", number), author=number % 3, clock=1 + number // 6)
        for number in range(3000)
    ]
    replica.add_nodes(nodes, verify=False)
    (conflict,) = replica.conflicts()
    writes = [conflict.winner, *conflict.losers]
    stamps = [(write.clock, write.author, write.node_id) for write in writes]
    assert stamps == sorted([(node.clock, node.author, node.id) for node in nodes], reverse=True)
    assert replica.state()["maps"]["k"] == conflict.winner.value
