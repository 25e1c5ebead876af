"""What a replica that began with a snapshot answers, refuses and holds."""

import pytest

from roomlog.core.errors import HistoryMissingError, InvalidValueError, UnknownNodeError
from roomlog.core.graph import Graph
from roomlog.core.intake import ImportResult, Intake
from roomlog.core.node import CHANGE, Node, NodeHasher, make_node
from roomlog.core.node_log import NodeLog
from roomlog.core.operation import MapSet
from roomlog.core.reject import RejectClass
from roomlog.core.replica import Replica
from roomlog.core.snapshot.base import SnapshotBase
from roomlog.core.snapshot.taking import SnapshotTaker, take_snapshot
from roomlog.core.waiting import WaitingNodes
from roomlog.identity import Identity
from tests.core.snapshot.taken import opened, partial_at
from tests.oracle.room_histories import LINEAGE, ROOM_ID

NOW_MS = 1_700_000_000_000
AUTHOR = Identity.from_seed(bytes(32))


def assert_same(partial: Replica, full: Replica) -> None:
    assert partial.state() == full.state()
    assert partial.state_hash() == full.state_hash()
    assert partial.frontier == full.frontier


def a_room_with_a_snapshot() -> tuple[Replica, Replica, list[bytes]]:
    """Full, partial at 4 of 5, and the ids: two ghosts, two heads, one node above."""
    full = Replica(ROOM_ID, AUTHOR, LINEAGE)
    ids: list[bytes] = []
    for number in range(2):
        full.list("l").append(number)
        full.text("t").append(str(number))
        ids += full.commit(NOW_MS)
    for number in range(2):
        branch = full.branch([ids[1]])
        branch.list("l").append(f"head {number}")
        branch.counter("c").add(1)
        ids += branch.commit(NOW_MS)
    full.map("m")["above"] = True
    ids += full.commit(NOW_MS)
    nodes = list(full.nodes())
    partial = partial_at(nodes, 4, AUTHOR)
    partial.add_nodes(nodes[4:], verify=False)
    return full, partial, ids


def test_nodes_of_a_snapshot_are_its_heads_alone() -> None:
    full, partial, ids = a_room_with_a_snapshot()
    assert_same(partial, full)
    assert [node.id for node in partial.nodes()] == ids[4:]
    assert len(partial) == 1
    assert [node_id in partial for node_id in ids] == [False, False, True, True, True]
    assert b"" not in partial
    for node_id in ids[2:]:
        assert partial.node(node_id) == full.node(node_id)
    for node_id in ids[:2]:
        with pytest.raises(HistoryMissingError):
            partial.node(node_id)
    with pytest.raises(UnknownNodeError):
        partial.node(bytes(32))
    assert not full.is_partial
    assert full.base_seq == 0


def test_what_needs_the_whole_history_says_so() -> None:
    _, partial, ids = a_room_with_a_snapshot()
    for ask in (
        partial.conflicts,
        lambda: partial.nodes_between([], partial.frontier),
        lambda: partial.nodes_between(ids[:1], partial.frontier),
        lambda: partial.export(ids=ids[:1]),
        lambda: partial.at([]),
        lambda: partial.at(ids[:2]),
        lambda: partial.at(ids[2:3]),
        lambda: partial.branch(ids[3:4]),
        lambda: partial.adopt(bytes(32)),
        lambda: partial.set_patterns(["m/**"]),
        lambda: partial.set_patterns([], before=["m/**"]),
    ):
        with pytest.raises(HistoryMissingError) as caught:
            ask()
        assert caught.value.base_seq == 4
    assert [node.id for node in partial.nodes_between(ids[2:4], partial.frontier)] == ids[4:]
    assert partial.at(ids[2:4]).state()["counters"] == {"c": 2}
    assert partial.set_patterns([]) == []


def test_an_export_has_what_is_here() -> None:
    full, partial, ids = a_room_with_a_snapshot()
    part = Replica(ROOM_ID, None, LINEAGE)
    part.add_nodes([full.node(node_id) for node_id in ids[:4]], verify=False)
    for data in (
        partial.export(),
        partial.export(since=[]),
        partial.export(since=ids[:2]),
        partial.export(since=[ids[2], bytes(32)]),
    ):
        other = Replica(ROOM_ID, None, LINEAGE)
        other.add_nodes(list(part.nodes()), verify=False)
        assert other.import_pack(data, verify=False).accepted == ids[4:]
        assert_same(partial, other)
    last = Replica(ROOM_ID, None, LINEAGE)
    assert last.import_pack(partial.export(ids=ids[3:]), verify=False).waiting == ids[3:]
    assert part.import_pack(partial.export(since=ids[4:]), verify=False).accepted == []
    with pytest.raises(InvalidValueError, match="since"):
        partial.export(since=[], ids=[])


def test_everything_in_a_snapshot_counts_as_changed_once() -> None:
    full, partial, _ = a_room_with_a_snapshot()
    full.take_changes()
    changes = partial.take_changes()
    assert {key for _, key in changes} == {"l", "t", "c", "m/above"}
    assert partial.take_changes() == set()


def test_a_snapshot_of_another_lineage_is_no_beginning() -> None:
    full, _, _ = a_room_with_a_snapshot()
    snapshot = opened(take_snapshot(full, 4))
    with pytest.raises(InvalidValueError, match="lineage"):
        Replica.from_snapshot(ROOM_ID, None, bytes(32), snapshot)
    with pytest.raises(InvalidValueError, match="lineage"):
        SnapshotTaker(bytes(32), snapshot)


def test_a_node_that_names_some_heads_only_is_held_and_what_stands_on_it() -> None:
    full, partial, ids = a_room_with_a_snapshot()
    late = full.branch(ids[2:3])
    late.map("m")["late"] = 1
    (first,) = late.commit(NOW_MS)
    late.map("m")["late"] = 2
    (second,) = late.commit(NOW_MS)
    # All heads and a ghost: on top of everything, however much it names.
    both = full.branch([ids[0], *ids[2:4]])
    both.list("l").delete(0)
    (above,) = both.commit(NOW_MS)
    result = partial.add_nodes([full.node(second), full.node(first), full.node(above)])
    assert result.held == [second, first]
    assert result.waiting == []
    assert result.accepted == [above]
    assert "held=2" in repr(result)
    assert partial.held_ids == [second, first]
    assert partial.add_nodes([full.node(first)]).duplicates == 1
    assert 0 not in partial.list("l").to_list()
    exported = Replica(ROOM_ID, None, LINEAGE)
    exported.add_nodes([full.node(node_id) for node_id in ids[:4]], verify=False)
    assert not exported.import_pack(partial.export(), verify=False).waiting
    assert exported.state_hash() == full.state_hash()


def test_more_than_can_be_held_is_refused_for_now() -> None:
    full, _, ids = a_room_with_a_snapshot()
    log = NodeLog(Graph())
    base = SnapshotBase(opened(take_snapshot(full, 4)))
    log.begin(base)
    late: list[Node] = []
    for number in range(2):
        branch = full.branch(ids[2:3])
        branch.counter("c").add(number + 1)
        late += [full.node(node_id) for node_id in branch.commit(NOW_MS)]
    result = ImportResult()
    Intake(log.graph, log.nodes, WaitingNodes(max_nodes=1), base).take(late, True, result, {})
    assert result.held == [late[0].id]
    assert [rejection.reject_class for rejection in result.rejected] == [RejectClass.QUEUE_FULL]


def test_a_held_node_is_taken_when_it_turns_out_to_be_above() -> None:
    full, partial, ids = a_room_with_a_snapshot()
    full.counter("c").add(1)
    (parent,) = full.commit(NOW_MS)
    full.counter("c").add(1)
    (child,) = full.commit(NOW_MS)
    assert partial.add_nodes([full.node(child)]).held == [child]
    assert not partial.state_hash().complete
    assert partial.add_nodes([full.node(parent)]).accepted == [parent, child]
    assert partial.held_ids == []
    assert_same(partial, full)
    # One whose clock is not beyond its parent's is refused when that arrives.
    bad = make_node(
        NodeHasher(LINEAGE),
        AUTHOR,
        CHANGE,
        full.node(child).clock,
        [child, ids[0]],
        [MapSet("m", 0)],
    )
    full.counter("c").add(1)
    (last,) = full.commit(NOW_MS)
    worse = make_node(
        NodeHasher(LINEAGE), AUTHOR, CHANGE, full.node(last).clock, [last], [MapSet("m", 0)]
    )
    assert partial.add_nodes([worse]).held == [worse.id]
    result = partial.add_nodes([bad, full.node(last)])
    assert [rejection.id for rejection in result.rejected] == [bad.id, worse.id]


def test_a_node_whose_last_parent_arrives_stays_held_when_it_is_not_above() -> None:
    full, partial, ids = a_room_with_a_snapshot()
    unknown = full.branch(ids[2:3])
    unknown.counter("c").add(1)
    (parent,) = unknown.commit(NOW_MS)
    unknown.counter("c").add(1)
    (child,) = unknown.commit(NOW_MS)
    assert partial.add_nodes([full.node(child), full.node(parent)]).held == [child, parent]
    assert partial.held_ids == [child, parent]


def test_a_full_replica_built_beside_takes_over_with_pending_nodes() -> None:
    full, partial, ids = a_room_with_a_snapshot()
    late = full.branch(ids[2:3])
    late.text("t").insert(0, "late ")
    (held,) = late.commit(NOW_MS)
    partial.text("t").append(" mine")
    partial.list("l").delete(0)
    (own,) = partial.commit(NOW_MS)
    assert partial.add_nodes([full.node(held)]).held == [held]
    older = [full.node(node_id) for node_id in ids[:4]]
    beside = Replica(ROOM_ID, AUTHOR, LINEAGE)
    for start in range(0, len(older), 3):
        beside.add_nodes(older[start : start + 3], verify=False)
    beside.add_nodes([*partial.nodes(), *partial.log.held], verify=False)
    full.add_nodes([partial.node(own)])
    assert_same(beside, full)
    assert beside.state_hash().complete
    assert str(beside.text("t")) == "late 01 mine"


def test_what_a_snapshot_holds_cannot_be_refused_any_more() -> None:
    _, partial, ids = a_room_with_a_snapshot()
    for node_id in ids[:4]:
        with pytest.raises(HistoryMissingError, match="up to 4"):
            partial.without({node_id: None})
