"""Where items go: between their neighbours, apart from others' runs, within 128 bytes."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roomlog.core.crdt.list.fraction import between, spread
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MAX_LIST_POSITION_BYTES, ListInsert, ListMove
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from tests.oracle.room_histories import UnsignedAuthor

ADA = Identity.from_seed(bytes(32))
BOB = Identity.from_seed(bytes([1]) * 32)
NOW_MS = 1_700_000_000_000

fractions = st.binary(max_size=6)


@given(fractions, st.none() | fractions, st.integers(1, 1 << 40), st.booleans(), fractions)
def test_what_lies_between_stays_there_whatever_follows(
    lower: bytes, upper: bytes | None, distance: int, from_upper: bool, rest: bytes
) -> None:
    if upper is not None and lower >= upper:
        lower, upper = upper, lower
    found = between(
        lower, upper, distance, from_upper=from_upper and upper is not None, max_bytes=9
    )
    if found is None:
        assert upper is not None
        assert upper.rstrip(b"\x00") == lower.rstrip(b"\x00") or len(lower) > 6
        return
    assert len(found) <= 9
    for position in (found, found + rest, found + b"\xff" * 9):
        assert lower < position
        assert upper is None or position < upper


@given(fractions, st.none() | fractions, st.integers(1, 300), fractions)
def test_spread_strings_are_in_order_whatever_follows(
    lower: bytes, upper: bytes | None, count: int, rest: bytes
) -> None:
    if upper is not None and lower >= upper:
        lower, upper = upper, lower
    found = spread(lower, upper, count, 16)
    if found is None:
        assert upper is not None
        assert upper.rstrip(b"\x00") == lower.rstrip(b"\x00")
        return
    assert len(found) == count
    positions = [lower, *(fraction + rest for fraction in found)]
    for position, following in pairwise(positions):
        assert position < following
    assert upper is None or positions[-1] < upper


def test_there_is_nothing_between_equal_or_too_close_bounds() -> None:
    assert between(b"a", b"a", 1, from_upper=False, max_bytes=50) is None
    assert between(b"a", b"a\x00\x00", 1, from_upper=False, max_bytes=50) is None
    assert between(b"a", b"a\x01", 1, from_upper=False, max_bytes=2) is None
    assert between(b"a", b"a\x02", 1, from_upper=False, max_bytes=2) == b"a\x01"
    assert between(b"\xff" * 9, None, 1, from_upper=False, max_bytes=9) is None
    assert spread(b"a", b"a\x00", 1, 50) is None


def inserts_of(replica: Replica) -> list[bytes]:
    return [
        operation.position
        for node in replica.nodes()
        for operation in node.operations()
        if isinstance(operation, ListInsert)
    ]


def exchange(first: Replica, second: Replica) -> None:
    packs = first.export(), second.export()
    first.import_pack(packs[1], verify=False)
    second.import_pack(packs[0], verify=False)
    assert first.list("l") == second.list("l")
    assert first.state_hash() == second.state_hash()


def runs(values: list[object]) -> int:
    """How often the writer changes along a list of values."""
    return 1 + sum(left != right for left, right in pairwise(values))


@pytest.mark.parametrize("direction", ["forwards", "backwards", "mixed"])
@pytest.mark.parametrize("one_key", [False, True])
def test_t16_runs_of_concurrent_nodes_do_not_interleave(direction: str, one_key: bool) -> None:
    for length in (2, 30, 300):
        for around in (0, 2):
            ada = Replica("room", ADA)
            bob = Replica("room", ADA if one_key else BOB)
            ada.list("l").extend(["."] * around)
            ada.commit(NOW_MS)
            bob.import_pack(ada.export(), NOW_MS)
            for replica, value in ((ada, "a"), (bob, "b")):
                items = replica.list("l")
                place = around // 2
                for step in range(length):
                    items.insert(place, value)
                    if direction == "forwards" or (direction == "mixed" and step % 3):
                        place += 1
                # Two devices of one key have nothing but their clocks to tell them apart.
                replica.commit(NOW_MS + 1 + (value == "b"))
            exchange(ada, bob)
            assert runs(ada.list("l").to_list()) == (4 if around else 2)


@pytest.mark.parametrize("direction", ["forwards", "backwards"])
def test_t16_runs_of_many_nodes_keep_apart_too(direction: str) -> None:
    ada, bob = Replica("room", UnsignedAuthor(1)), Replica("room", UnsignedAuthor(2))
    for replica, value in ((ada, "a"), (bob, "b")):
        items = replica.list("l")
        for step in range(100):
            items.insert(step if direction == "forwards" else 0, value)
            replica.commit(NOW_MS + step)
    exchange(ada, bob)
    assert runs(ada.list("l").to_list()) == 2


def test_independent_inserts_do_not_tie() -> None:
    replicas = [Replica("room", UnsignedAuthor(number)) for number in range(8)]
    for replica in replicas:
        replica.list("l").append(1)
        replica.commit(NOW_MS)
    positions = {position for replica in replicas for position in inserts_of(replica)}
    assert len(positions) == len(replicas)


def test_an_inserts_position_is_short() -> None:
    ada = Replica("room", UnsignedAuthor(1))
    for _ in range(2_000):
        ada.list("l").append(1)
        ada.commit(NOW_MS)
    assert max(map(len, inserts_of(ada))) <= 11
    for _ in range(2_000):
        ada.list("run").append(1)
    ada.commit(NOW_MS)
    assert max(map(len, inserts_of(ada))) <= 11


def tied(count: int, position: bytes = b"\x80") -> Node:
    """One node whose items all have one position."""
    operations = [ListInsert("l", position, number) for number in range(count)]
    return make_node(NodeHasher(Replica("room").lineage), BOB, CHANGE, 1, [], operations)


@pytest.mark.parametrize("index", [1, 5, 9])
@pytest.mark.parametrize("position", [b"\x80", b"\x00", b"\xff" * 128, b"\x80\x00"])
def test_an_insert_between_tied_neighbours_moves_them_apart_first(
    index: int, position: bytes
) -> None:
    ada = Replica("room", ADA)
    ada.add_nodes([tied(10, position)])
    items = ada.list("l")
    items.insert(index, "new")
    items.insert(index, "newer")
    expected = list(range(10))
    expected[index:index] = ["newer", "new"]  # type: ignore[list-item]
    assert items == expected
    (node_id,) = ada.commit(NOW_MS)
    kinds = [type(operation) for operation in ada.node(node_id).operations()]
    assert kinds[0] is ListMove
    # The smallest run: the side of the tie that is nearer to its end, or a little more.
    assert kinds.count(ListMove) <= 16
    assert kinds.count(ListInsert) == 2
    fresh = Replica("room")
    fresh.import_pack(ada.export())
    assert fresh.list("l") == expected


def test_ties_beside_items_of_the_open_node_are_moved_apart_too() -> None:
    """Two devices of one key: only the suffix made at commit tells their positions apart."""
    devices = Replica("room", ADA), Replica("room", ADA)
    for number, device in enumerate(devices):
        device.add_nodes([tied(3)])
        items = device.list("l")
        items.insert(0, "front")
        items.insert(2, "after first")
        items.append("end")
        items.insert(5, "before end")
        items.insert(4, "before last")
        assert items == ["front", 0, "after first", 1, "before last", 2, "before end", "end"]
        device.commit(NOW_MS + number)
    exchange(*devices)
    positions = inserts_of(devices[0])[3:]
    assert len(set(positions)) == len(positions)


@pytest.mark.parametrize("strategy", ["zigzag", "front of back", "random place", "same place"])
@pytest.mark.parametrize("commit_every", [1, 7])
def test_positions_stay_within_128_bytes_for_ever(strategy: str, commit_every: int) -> None:
    random = Random(1)
    ada = Replica("room", UnsignedAuthor(1))
    bob = Replica("room", UnsignedAuthor(2))
    items = ada.list("l")
    model: list[int] = []
    low = 0
    for number in range(1_500):
        writer = ada
        if strategy == "zigzag":
            index = low
            low += number % 2
        elif strategy == "front of back":
            index = max(0, len(model) - 1)
        elif strategy == "random place":
            index = random.randint(0, len(model))
        else:
            index = min(len(model), 3)
            writer = bob if number % 2 and commit_every == 1 else ada
        writer.list("l").insert(index, number)
        model.insert(index, number)
        if number % commit_every == 0:
            writer.commit(NOW_MS + number)
        if writer is not ada or strategy == "same place":
            ada.import_pack(bob.export(since=ada.frontier), verify=False)
            bob.import_pack(ada.export(since=bob.frontier), verify=False)
        if number % 100 == 0:
            assert items == model
    ada.commit(NOW_MS)
    assert items == model
    longest = 0
    for node in ada.nodes():
        for operation in node.operations():
            if isinstance(operation, ListInsert | ListMove):
                longest = max(longest, len(operation.position))
    assert longest <= MAX_LIST_POSITION_BYTES
    fresh = Replica("room")
    assert not fresh.import_pack(ada.export(), verify=False).rejected
    assert fresh.list("l") == model
    assert fresh.state_hash() == ada.state_hash()


def test_a_large_list_is_edited_at_any_index() -> None:
    random = Random(1)
    ada = Replica("room", UnsignedAuthor(1))
    items = ada.list("l")
    model = list(range(20_000))
    items.extend(model)
    ada.commit(NOW_MS)
    for number in range(500):
        index = random.randrange(len(model))
        assert items[index] == model[index]
        if number % 4 == 0:
            items.insert(index, -number)
            model.insert(index, -number)
        elif number % 4 == 1:
            del items[index]
            del model[index]
        elif number % 4 == 2:
            target = random.randrange(len(model))
            items.move(index, target)
            model.insert(target, model.pop(index))
        else:
            items[index] = "changed"
            model[index] = "changed"  # type: ignore[call-overload]
    assert items == model
    ada.commit(NOW_MS)
    fresh = Replica("room")
    assert not fresh.import_pack(ada.export(), verify=False).rejected
    assert fresh.list("l") == model
    assert fresh.state_hash() == ada.state_hash()
    for _ in range(200):
        del items[random.randrange(100)]
    while len(items) > 19_000:
        del items[0]
    assert items[0] == items.to_list()[0]
