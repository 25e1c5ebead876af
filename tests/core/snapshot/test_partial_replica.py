"""A replica that began with a snapshot says what one with the whole history says.

ROOMLOG_HISTORIES sets how many random histories are tried.
"""

import os
from random import Random

import pytest

from roomlog.core.errors import HistoryMissingError, UnknownNodeError
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet, TextInsert
from roomlog.core.replica import Replica
from tests.core.devices import Device, plain
from tests.core.snapshot.taken import (
    critical_places,
    partial_at,
    quieting_graph,
    replica_of,
)
from tests.oracle.room_histories import (
    LINEAGE,
    ROOM_ID,
    RoomHistory,
    UnsignedAuthor,
    room_history,
)

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "2000")) // 10
SLICES = 4
NOW_MS = 1_700_000_000_000
AUTHOR = UnsignedAuthor(7)


def a_history(seed: int) -> RoomHistory:
    random = Random(seed)
    return room_history(random, quieting_graph(random, random.randint(2, 24), random.randint(1, 4)))


def feed(random: Random, replica: Replica, nodes: list[Node]) -> None:
    """Give nodes in slices, each in any order: what misses parents is held for a while."""
    start = 0
    while start < len(nodes):
        part = nodes[start : start + random.choice([1, 1, 2, 5, 40])]
        start += len(part)
        random.shuffle(part)
        assert not replica.add_nodes(part, verify=False).rejected


def assert_same(partial: Replica, full: Replica) -> None:
    assert partial.state() == full.state()
    assert partial.state_hash().hex == full.state_hash().hex
    assert partial.state_hash().coverage.to_dict() == full.state_hash().coverage.to_dict()
    assert partial.frontier == full.frontier


@pytest.mark.parametrize("part", range(SLICES))
def test_a_snapshot_and_the_rest_are_the_whole_room_at_every_critical_place(part: int) -> None:
    concurrent_above = 0
    for seed in range(part, HISTORIES, SLICES):
        history = a_history(seed)
        random = Random(-seed)
        for seq in critical_places(history.graph):
            full = replica_of(history.nodes[:seq])
            partial = partial_at(history.nodes, seq)
            assert partial.is_partial
            assert partial.base_seq == seq
            assert len(partial) == 0
            assert_same(partial, full)
            feed(random, partial, history.nodes[seq:])
            full.add_nodes(history.nodes[seq:], verify=False)
            assert_same(partial, full)
            assert plain(partial.state()) == history.oracle.state()
            assert partial.state_hash().hex == history.oracle.state_hash()
            assert {node.id for node in partial.nodes()} == {n.id for n in history.nodes[seq:]}
            assert len(partial) == len(history.nodes) - seq
            concurrent_above += len(partial.frontier) > 1
    assert concurrent_above


@pytest.mark.parametrize("part", range(SLICES))
def test_later_edits_make_the_same_nodes_and_merge_with_everybody(part: int) -> None:
    """New list items may get other places: where depends on who placed the old ones."""
    for seed in range(part, HISTORIES, SLICES):
        history = a_history(seed)
        random = Random(seed)
        places = critical_places(history.graph)
        if not places:
            continue
        seq = random.choice(places)
        partial = partial_at(history.nodes, seq, AUTHOR)
        full = replica_of(history.nodes, AUTHOR)
        partial.add_nodes(history.nodes[seq:], verify=False)
        for _ in range(3):
            edits = random.randrange(1 << 30)
            for replica in (partial, full):
                device = Device(Random(edits), 0, replica)
                for _ in range(3):
                    device.edit("mct")
            ids = partial.commit(NOW_MS)
            assert ids == full.commit(NOW_MS)
        device = Device(random, 0, partial)
        for _ in range(4):
            device.edit("mcllllt")
            for node_id in partial.commit(NOW_MS):
                assert full.add_nodes([partial.node(node_id)], verify=False).accepted == [node_id]
        device = Device(random, 0, full)
        for _ in range(4):
            device.edit("mcllllt")
            for node_id in full.commit(NOW_MS):
                assert partial.add_nodes([full.node(node_id)], verify=False).accepted == [node_id]
        assert_same(partial, full)


@pytest.mark.parametrize("part", range(SLICES))
def test_discarding_edits_brings_back_the_snapshot_and_what_came_after(part: int) -> None:
    for seed in range(part, HISTORIES, 2 * SLICES):
        history = a_history(seed)
        random = Random(seed)
        for seq in critical_places(history.graph)[-2:]:
            partial = partial_at(history.nodes, seq, AUTHOR)
            partial.add_nodes(history.nodes[seq:], verify=False)
            before = partial.state()
            digest = partial.state_hash()
            device = Device(random, 0, partial)
            for _ in range(5):
                device.edit()
            partial.discard()
            assert partial.state() == before
            assert partial.state_hash().hex == digest.hex


@pytest.mark.parametrize("part", range(SLICES))
def test_what_is_not_on_top_of_the_snapshot_is_held_and_changes_nothing(part: int) -> None:
    held_some = 0
    for seed in range(part, HISTORIES, SLICES):
        history = a_history(seed)
        random = Random(seed)
        places = critical_places(history.graph)
        if not places:
            continue
        seq = random.choice(places)
        partial = partial_at(history.nodes, seq, AUTHOR)
        full = replica_of(history.nodes)
        # What somebody wrote who has come back from long ago, and what stands on it.
        view = history.graph.histories[random.randrange(seq)]
        heads = [history.nodes[index] for index in history.graph.heads(view)]
        if len(view) == seq:
            continue
        hasher = NodeHasher(LINEAGE)
        late: list[Node] = []
        for number in range(3):
            parents = [node.id for node in heads]
            if number == 2:
                # It also has everything else: still the late ones are below it.
                parents += [node_id for node_id in full.frontier if node_id not in parents]
            clock = 1 + max(node.clock for node in [*heads, *history.nodes])
            edits = [MapSet("m", number), TextInsert("t", 0, "late")]
            late.append(
                make_node(hasher, UnsignedAuthor(9), CHANGE, clock + number, parents, edits)
            )
            heads = [late[-1]]
        mixed = [*history.nodes[seq:], *late, *random.sample(history.nodes[:seq], min(3, seq))]
        random.shuffle(mixed)
        held: set[bytes] = set()
        for node in mixed:
            result = partial.add_nodes([node], verify=False)
            assert not result.rejected
            assert not result.waiting
            held.update(result.held)
        expected = replica_of(history.nodes)
        assert partial.state() == expected.state()
        assert partial.frontier == expected.frontier
        still_held = set(partial.held_ids)
        assert {node.id for node in late} <= still_held <= held
        digest = partial.state_hash()
        assert digest.coverage.held == len(partial.held_ids)
        assert not digest.complete
        assert digest.hex == expected.state_hash().hex
        Device(random, 0, partial).edit("mct")
        for node_id in partial.commit(NOW_MS):
            assert still_held.isdisjoint(partial.node(node_id).parents)
        exported = Replica(ROOM_ID, None, LINEAGE)
        exported.add_nodes(history.nodes[:seq], verify=False)
        exported.import_pack(partial.export(), verify=False)
        full = Replica(ROOM_ID, None, LINEAGE)
        full.add_nodes([*history.nodes, *late, *partial.nodes()], verify=False)
        assert exported.state_hash() == full.state_hash() or history.has_unknown
        assert exported.state() == full.state()
        held_some += 1
    assert held_some


@pytest.mark.parametrize("part", range(SLICES))
def test_older_versions_and_branches_are_right_above_the_snapshot_and_refused_below(
    part: int,
) -> None:
    for seed in range(part, HISTORIES, SLICES):
        history = a_history(seed)
        random = Random(seed)
        places = critical_places(history.graph)
        if not places:
            continue
        seq = random.choice(places)
        partial = partial_at(history.nodes, seq, AUTHOR)
        partial.add_nodes(history.nodes[seq:], verify=False)
        below = frozenset(range(seq))
        for index in range(len(history.nodes)):
            node_id = history.nodes[index].id
            version = history.graph.histories[index]
            if below <= version:
                view = partial.at([node_id])
                ids = frozenset(history.nodes[member].id for member in version)
                assert plain(view.state()) == history.oracle.state(ids)
                assert view.state_hash().hex == history.oracle.state_hash(ids)
                branch = partial.branch([node_id])
                assert branch.state() == view.state()
                branch.counter("c").add(1)
                (written,) = branch.commit(NOW_MS)
                assert partial.node(written).parents == (node_id,)
                branch.merge(partial.frontier)
            else:
                with pytest.raises((UnknownNodeError, HistoryMissingError)):
                    partial.at([node_id])
                with pytest.raises((UnknownNodeError, HistoryMissingError)):
                    partial.branch([node_id])
        assert (
            partial.state()["counters"]
            == replica_of(
                [*history.nodes, *[n for n in partial.nodes() if n.author == AUTHOR.public_key]]
            ).state()["counters"]
        )


@pytest.mark.parametrize("part", range(SLICES))
def test_own_refused_operations_are_written_out_of_history_as_with_all_of_it(part: int) -> None:
    rewritten = 0
    for seed in range(part, HISTORIES, SLICES):
        history = a_history(seed)
        random = Random(seed)
        places = critical_places(history.graph)
        if not places:
            continue
        seq = random.choice(places)
        partial = partial_at(history.nodes, seq, AUTHOR)
        partial.add_nodes(history.nodes[seq:], verify=False)
        device = Device(random, 0, partial)
        own: list[Node] = []
        for _ in range(4):
            for _ in range(2):
                device.edit()
            own += [partial.node(node_id) for node_id in partial.commit(NOW_MS)]
        refused = {
            node.id: random.choice([None, [random.randrange(len(node.operations()))]])
            for node in random.sample(own, min(2, len(own)))
        }
        full = replica_of([*history.nodes, *own], AUTHOR)
        one, other = partial.without(refused), full.without(refused)
        assert [node.id for node in one.nodes] == [node.id for node in other.nodes]
        assert one.mapping == other.mapping
        assert one.dropped == other.dropped
        assert one.replica.base_seq == seq
        assert_same(one.replica, other.replica)
        rewritten += len(one.nodes)
    assert rewritten


def test_what_inserted_an_item_of_the_snapshot_is_held_when_it_comes_by_itself() -> None:
    author = Replica(ROOM_ID, AUTHOR, LINEAGE)
    for number in range(3):
        author.list("l").append(number)
        author.commit(NOW_MS + number)
    nodes = list(author.nodes())
    partial = partial_at(nodes, 3)
    state = partial.state()
    first = partial.add_nodes(nodes, verify=False)
    # The head came with the snapshot, the others are older history.
    assert first.held == [nodes[0].id, nodes[1].id]
    assert first.duplicates == 1
    assert partial.add_nodes(nodes, verify=False).duplicates == 3
    assert partial.held_ids == first.held
    assert partial.state() == state
    assert not partial.state_hash().complete
