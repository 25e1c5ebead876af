"""Taking snapshots from a log, from its beginning or from an older snapshot."""

import os
from random import Random

import pytest

from roomlog.core.errors import HistoryMissingError, InvalidValueError
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet
from roomlog.core.replica import Replica
from roomlog.core.snapshot.taking import SnapshotTaker, take_snapshot
from tests.core.snapshot.taken import (
    critical_places,
    opened,
    partial_at,
    quieting_graph,
    replica_of,
)
from tests.oracle.room_histories import LINEAGE, ROOM_ID, UnsignedAuthor, room_history

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "2000")) // 20
AUTHOR = UnsignedAuthor(3)
NOW_MS = 1_700_000_000_000


def test_the_same_bytes_come_from_the_beginning_and_from_any_older_snapshot() -> None:
    from_older = 0
    for seed in range(HISTORIES):
        random = Random(seed)
        history = room_history(random, quieting_graph(random, random.randint(1, 24), 3))
        nodes = history.nodes
        places = critical_places(history.graph)
        taker = SnapshotTaker(LINEAGE)
        for start in range(0, len(nodes), 5):
            taker.add(nodes[start : start + 5])
        assert taker.seq == len(nodes)
        most = random.randint(0, len(nodes))
        expected = max([place for place in places if place <= most], default=0)
        assert taker.newest_critical(most) == expected
        if not expected:
            continue
        taken = taker.take(expected)
        replica = replica_of(nodes)
        same = take_snapshot(replica, expected)
        older_seq = random.choice(places)
        older = SnapshotTaker(LINEAGE, opened(take_snapshot(replica, older_seq)))
        older.add(nodes[older_seq:])
        assert older.seq == len(nodes)
        newest = older.newest_critical(most)
        assert newest == (expected if expected > older_seq else 0)
        all_taken = [taken, same]
        if newest:
            partial = partial_at(nodes, older_seq)
            partial.add_nodes(nodes[older_seq:], verify=False)
            all_taken += [older.take(newest), take_snapshot(partial, newest)]
            from_older += 1
        for other in all_taken:
            assert other.seq == expected
            assert other.data == taken.data
            assert other.digest == taken.digest
            assert other.state_hash == taken.state_hash
            assert other.frontier == taken.frontier
            assert other.frontier_pack == taken.frontier_pack
    assert from_older


def a_fork() -> Replica:
    """Three nodes: the second and third have not seen each other."""
    replica = Replica(ROOM_ID, AUTHOR, LINEAGE)
    replica.counter("c").add(1)
    (root,) = replica.commit(NOW_MS)
    for number in range(2):
        branch = replica.branch([root])
        branch.counter("c").add(number + 2)
        branch.commit(NOW_MS)
    return replica


def test_a_place_that_is_not_critical_gives_no_snapshot() -> None:
    replica = a_fork()
    assert take_snapshot(replica, 1).seq == 1
    with pytest.raises(InvalidValueError, match="not critical"):
        take_snapshot(replica, 2)
    assert take_snapshot(replica, 3).seq == 3


def test_a_place_that_is_not_here_gives_no_snapshot() -> None:
    replica = a_fork()
    partial = partial_at(list(replica.nodes()), 1)
    for asked, seq in ((replica, 0), (replica, 4), (partial, 1), (partial, 0), (partial, 2)):
        with pytest.raises(InvalidValueError, match="seq"):
            take_snapshot(asked, seq)


def test_open_edits_are_no_part_of_a_snapshot() -> None:
    replica = a_fork()
    taken = take_snapshot(replica, 3)
    replica.counter("c").add(100)
    assert take_snapshot(replica, 3).data == taken.data


def test_a_replica_with_nodes_that_are_not_in_its_history_has_no_log_numbers() -> None:
    replica = a_fork()
    nodes = list(replica.nodes())
    waiting = Replica(ROOM_ID, None, LINEAGE)
    waiting.add_nodes([nodes[0], *_children(nodes[1].id)], verify=False)
    holding = partial_at(nodes, 1)
    holding.add_nodes([*nodes[1:], *_children(bytes(32))], verify=False)
    for asked in (waiting, holding):
        with pytest.raises(InvalidValueError, match="not in its history"):
            take_snapshot(asked, 1)


def _children(parent: bytes) -> list[Node]:
    return [make_node(NodeHasher(LINEAGE), AUTHOR, CHANGE, 1 << 52, [parent], [MapSet("m", 1)])]


def test_a_node_from_below_an_older_snapshot_ends_the_taking() -> None:
    nodes = list(a_fork().nodes())
    taker = SnapshotTaker(LINEAGE, opened(take_snapshot(replica_of(nodes[:2]), 2)))
    with pytest.raises(HistoryMissingError):
        taker.add(nodes[2:])
