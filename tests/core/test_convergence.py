"""Any order of arrival gives the bytes that the naive room computes.

ROOMLOG_HISTORIES sets how many random histories are tried.
"""

import os
from random import Random

import pytest

from roomlog.core.node import Node
from roomlog.core.pack import Layout, encode_pack, write_pack_file
from roomlog.core.replica import Replica
from tests.core.devices import plain
from tests.oracle.histories import arrival_order, random_graph, wide_graph
from tests.oracle.naive_room import NaiveRoom
from tests.oracle.room_histories import LINEAGE, ROOM_ID, RoomHistory, room_history

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "2000"))
ORDERS = 5
SLICES = 8


def a_history(seed: int) -> RoomHistory:
    random = Random(seed)
    if seed % 40 == 39:
        return room_history(random, wide_graph(random, random.choice([63, 64, 65, 70])))
    return room_history(random, random_graph(random, random.randint(2, 24), random.randint(1, 5)))


def deliver(random: Random, replica: Replica, nodes: list[Node]) -> None:
    """Send nodes as packs of random sizes and layouts, some of them twice."""
    start = 0
    while start < len(nodes):
        size = random.choice([1, 1, 1, 2, 5, 40])
        pack = encode_pack(
            nodes[start : start + size], layout=random.choice([None, Layout.ROWS, Layout.COLUMNS])
        )
        data = write_pack_file(LINEAGE, [pack])
        result = replica.import_pack(data, verify=False)
        assert not result.rejected
        if random.random() < 0.1:
            again = replica.import_pack(data, verify=False)
            assert again.duplicates == len(nodes[start : start + size])
        start += size


def expected_hash(oracle: NaiveRoom, history: RoomHistory) -> str:
    return "incomplete" if history.has_unknown else oracle.state_hash()


@pytest.mark.parametrize("part", range(SLICES))
def test_every_arrival_order_gives_the_bytes_of_the_naive_room(part: int) -> None:
    for seed in range(part, HISTORIES, SLICES):
        history = a_history(seed)
        oracle = history.oracle
        state = oracle.state()
        digest = expected_hash(oracle, history)
        random = Random(-seed)
        for order in range(ORDERS):
            replica = Replica(ROOM_ID)
            indexes = arrival_order(random, history.graph)
            if order >= 2:
                # Children before parents: they wait.
                for _ in range(random.choice([1, 3, len(indexes)])):
                    first, second = random.choices(range(len(indexes)), k=2)
                    indexes[first], indexes[second] = indexes[second], indexes[first]
            deliver(random, replica, [history.nodes[index] for index in indexes])
            assert not len(replica.waiting)
            assert plain(replica.state()) == state, seed
            assert str(replica.state_hash()) == digest, seed
            assert replica.frontier == oracle.frontier()


@pytest.mark.parametrize("part", range(2))
def test_a_part_of_the_nodes_gives_the_state_of_that_part(part: int) -> None:
    for seed in range(part, HISTORIES, 16):
        history = a_history(seed)
        random = Random(seed)
        replica = Replica(ROOM_ID)
        held: set[bytes] = set()
        nodes = [node for node in history.nodes if random.random() < 0.8]
        random.shuffle(nodes)
        part_of_room = NaiveRoom()
        deliver(random, replica, nodes)
        arrived = {node.id for node in nodes}
        for node in history.nodes:
            if node.id in arrived and held.issuperset(node.parents):
                held.add(node.id)
                part_of_room.add(node)
        assert {node.id for node in replica.nodes()} == held
        assert len(replica.waiting) == len(nodes) - len(held)
        assert plain(replica.state()) == part_of_room.state()
        digest = replica.state_hash()
        assert digest.hex == part_of_room.state_hash()
        assert digest.coverage.awaited == len(nodes) - len(held)
        assert digest.complete == (len(nodes) == len(held) and not digest.coverage.unknown_ops)


@pytest.mark.parametrize("part", range(2))
def test_the_room_at_any_version_is_what_its_ancestors_say(part: int) -> None:
    for seed in range(part, HISTORIES, 16):
        history = a_history(seed)
        random = Random(seed)
        replica = Replica(ROOM_ID)
        deliver(random, replica, history.nodes)
        for _ in range(3):
            some = random.sample(history.nodes, min(len(history.nodes), random.randint(0, 3)))
            frontier = [node.id for node in some]
            view = replica.at(frontier)
            version = history.oracle.version(frontier)
            assert plain(view.state()) == history.oracle.state(version)
            assert view.state_hash().hex == history.oracle.state_hash(version)
            assert view.frontier == sorted(frontier)


def test_conflicts_are_those_of_the_naive_room() -> None:
    found_some = 0
    for seed in range(0, HISTORIES, 3):
        history = a_history(seed)
        replica = Replica(ROOM_ID)
        deliver(Random(seed), replica, history.nodes)
        found = {
            (
                conflict.kind,
                conflict.key,
                conflict.item,
                (conflict.winner.node_id, conflict.winner.operation_index),
                tuple((write.node_id, write.operation_index) for write in conflict.losers),
            )
            for conflict in replica.conflicts()
        }
        assert found == history.oracle.conflicts(), seed
        found_some += len(found)
    assert found_some > HISTORIES // 10


def test_the_histories_are_adversarial_enough() -> None:
    """Of ten thousand at least two thousand must meet at one place; so of fewer in proportion."""
    collisions = forks = 0
    sample = range(HISTORIES)
    for seed in sample:
        history = a_history(seed)
        collisions += history.oracle.same_place() > 0
        authors = [node.author for node in history.nodes]
        forks += any(
            first.author == second.author
            and first.id not in history.oracle.histories[second.id]
            and second.id not in history.oracle.histories[first.id]
            for first in history.nodes
            for second in history.nodes
        )
        assert authors
    print(f"{len(sample)} histories: {collisions} meet at one place, {forks} fork an author")
    assert collisions * 5 >= len(sample)
    assert forks * 5 >= len(sample)
