"""A replica of some keys: its state is the room's, seen through its patterns.

ROOMLOG_HISTORIES sets how many random histories are tried.
"""

from __future__ import annotations

import os
from random import Random

import pytest

from roomlog.core.errors import InvalidValueError, NotSubscribedError, RoomlogError
from roomlog.core.node import MERGE, Node, NodeHasher, check_node, make_node
from roomlog.core.operation import MapSet, TextInsert, UnknownOperation
from roomlog.core.patterns import PatternSet
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.replica import Replica
from roomlog.core.state import COUNTER, LIST, MAP, TEXT
from roomlog.core.subscription import as_subscribed, missing_bodies, without_body
from roomlog.core.waiting import WaitingNodes
from roomlog.identity import Identity
from tests.core.devices import Device
from tests.core.subscribing import Log, assert_same, seen_room, some_patterns
from tests.oracle.histories import arrival_order, random_graph
from tests.oracle.room_histories import (
    LINEAGE,
    ROOM_ID,
    RoomHistory,
    UnsignedAuthor,
    room_history,
)

HISTORIES = int(os.environ.get("ROOMLOG_HISTORIES", "2000")) // 4
SLICES = 4
HASHER = NodeHasher(LINEAGE)
ADA, BOB = UnsignedAuthor(0), UnsignedAuthor(1)


def a_history(seed: int) -> RoomHistory:
    random = Random(seed)
    return room_history(random, random_graph(random, random.randint(2, 24), random.randint(1, 5)))


def subscriber_to(*patterns: str, author: UnsignedAuthor = BOB) -> Replica:
    replica = Replica(ROOM_ID, author)
    replica.set_patterns(patterns)
    return replica


def room_of(*keys: str) -> tuple[Replica, list[Node]]:
    """A room whose nodes each set one of the maps."""
    ada = Replica(ROOM_ID, ADA)
    for number, key in enumerate(keys):
        ada.map("")[key] = number
        ada.commit(number + 1)
    return ada, list(ada.nodes())


def as_sent(nodes: list[Node], *patterns: str) -> list[Node]:
    return as_subscribed(nodes, PatternSet(patterns))


@pytest.mark.parametrize("part", range(SLICES))
def test_whatever_the_order_and_the_changes_a_subscriber_has_the_state_of_its_keys(
    part: int,
) -> None:
    for seed in range(part, HISTORIES, SLICES):
        history = a_history(seed)
        random = Random(-seed)
        nodes = [history.nodes[index] for index in arrival_order(random, history.graph)]
        log = Log(random, nodes, some_patterns(random))
        subscriber = Replica(ROOM_ID)
        subscriber.set_patterns([] if log.patterns is None else log.patterns.patterns)
        while log.position < len(nodes) or subscriber.awaits_bodies:
            dice = random.random()
            if subscriber.awaits_bodies:
                if dice < 0.6 or log.position == len(nodes):
                    bodies = log.some_bodies()
                    if bodies:
                        assert not subscriber.fill_bodies(bodies).rejected
                    else:
                        subscriber.complete_patterns()
            elif dice < 0.3:
                patterns = some_patterns(random)
                log.subscribe(patterns)
                subscriber.set_patterns(patterns)
                if not subscriber.awaits_bodies:
                    subscriber.fill_bodies(log.bodies)
            if dice > 0.2:
                arriving = log.next(random.choice([1, 2, 3, 8]))
                # Children may come before their parents.
                random.shuffle(arriving)
                assert not subscriber.add_nodes(arriving, verify=False).rejected
            if not subscriber.awaits_bodies:
                assert_same(subscriber, nodes[: log.position])
        assert_same(subscriber, nodes)


def test_while_bodies_come_the_keys_of_both_sets_stay_readable_and_the_hash_is_incomplete() -> None:
    ada, nodes = room_of("a", "b", "c")
    bob = subscriber_to("a", "b")
    bob.add_nodes(as_sent(nodes, "a", "b"), verify=False)
    bob.take_changes()
    bob.set_patterns(["b", "c"])
    assert bob.awaits_bodies
    assert bob.map("").to_dict() == {"b": 1}
    assert bob.take_changes() == {(MAP, "a")}
    assert bob.state_hash().coverage.awaited == 1
    assert bob.at(bob.frontier).state_hash().coverage.awaited == 1
    assert not bob.state_hash().complete
    ada.map("")["b"], ada.map("")["c"] = "new", "newer"
    ada.commit(10)
    newest = list(ada.nodes())[-1:]
    bob.add_nodes(newest, verify=False)
    assert bob.map("").to_dict() == {"b": "new"}
    assert bob.fill_bodies(nodes[2:3]).filled == [nodes[2].id]
    bob.complete_patterns()
    assert bob.take_changes() == {(MAP, "b"), (MAP, "c")}
    assert bob.map("").to_dict() == {"b": "new", "c": "newer"}
    assert bob.state_hash() == ada.state_hash(["c", "b", "b"])
    bob.complete_patterns()
    assert not bob.awaits_bodies


def test_t13_a_subscriber_misses_no_parent_whatever_arrives() -> None:
    for seed in range(200):
        history = a_history(seed)
        random = Random(seed)
        patterns = some_patterns(random) or ["q"]
        sent = as_sent(history.nodes, *patterns)
        random.shuffle(sent)
        subscriber = subscriber_to(*patterns)
        for node in sent:
            result = subscriber.add_nodes([node], verify=False)
            assert not result.rejected
        assert not len(subscriber.waiting)
        assert subscriber.frontier == history.oracle.frontier()
        # What it writes itself builds on nodes it has no body of.
        assert_same(subscriber, history.nodes)


def test_each_kind_of_object_that_is_dropped_is_gone_and_said_to_have_changed() -> None:
    ada = Replica(ROOM_ID, ADA)
    ada.map("m")["k"] = 1
    ada.map("m").set_blob("blob", bytes(32), 1, "a/b")
    ada.map("m")["gone"] = 1
    del ada.map("m")["gone"]
    ada.counter("c").add(1)
    ada.list("l").append("x")
    ada.text("t").insert(0, "hey")
    ada.commit(1)
    ada.add_nodes(
        [
            make_node(
                HASHER,
                BOB,
                1,
                1 << 40,
                ada.frontier,
                [UnknownOperation(11, "u", []), MapSet("k", 1)],
            )
        ],
        verify=False,
    )
    before = ada.state_hash(["k"])
    assert before.complete
    assert not ada.state_hash().complete
    ada.take_changes()
    ada.set_patterns(["k"])
    assert ada.take_changes() == {
        (MAP, "m/k"),
        (MAP, "m/blob"),
        (MAP, "m/gone"),
        (COUNTER, "c"),
        (LIST, "l"),
        (TEXT, "t"),
    }
    assert ada.state() == {
        "maps": {"k": 1},
        "blobs": {},
        "counters": {},
        "lists": {},
        "texts": {},
    }
    assert ada.map("m").keys() == []
    assert ada.state_hash() == before
    assert ada.state_hash().coverage.patterns == ["k"]


def test_inert_operations_count_where_their_key_is_wanted() -> None:
    ada = Replica(ROOM_ID, ADA)
    operations = [UnknownOperation(11, "u/a", []), UnknownOperation(12, "u/a", [1])]
    ada.add_nodes([make_node(HASHER, ADA, 1, 5, [], operations)], verify=False)
    assert ada.state_hash(["u/**"]).coverage.unknown_ops == 2
    assert ada.state_hash(["m"]).coverage.unknown_ops == 0
    bob = subscriber_to("u/a")
    bob.add_nodes(as_sent(list(ada.nodes()), "u/a"), verify=False)
    assert bob.state_hash().coverage.unknown_ops == 2


def test_a_hash_compares_only_with_one_of_the_same_patterns() -> None:
    ada, _ = room_of("a")
    assert ada.state_hash(["**"]).hex == ada.state_hash().hex
    assert ada.state_hash(["**"]) != ada.state_hash()
    assert ada.state_hash(["a"]) == ada.state_hash(["a", "a"])
    with pytest.raises(InvalidValueError):
        ada.state_hash(["a//b"])
    bob = subscriber_to("a")
    assert bob.state_hash(["a"]) == bob.state_hash()
    with pytest.raises(RoomlogError, match="a subscriber holds"):
        bob.state_hash(["b"])


def test_nothing_is_written_outside_of_the_patterns() -> None:
    bob = subscriber_to("m/**", "c", "l", "t")
    ada = Replica(ROOM_ID, ADA)
    ada.list("other").extend(["x", "y"])
    ada.commit(1)
    bob.add_nodes(as_sent(list(ada.nodes()), "m/**"), verify=False)
    writes = [
        lambda: bob.map("").__setitem__("x", 1),
        lambda: bob.map("").set_blob("x", bytes(32), 1, "a/b"),
        lambda: bob.map("").__delitem__("x"),
        lambda: bob.map("x").pop("y"),
        lambda: bob.counter("x").add(1),
        lambda: bob.list("other").append(1),
        lambda: bob.list("other").insert(1, 1),
        lambda: bob.list("other").update(0, 1),
        lambda: bob.list("other").move(0, 1),
        lambda: bob.list("other").delete(0),
        lambda: bob.list("other").pop(),
        lambda: bob.text("x").insert(0, "x"),
        lambda: bob.text("x").delete(0, 1),
    ]
    for write in writes:
        with pytest.raises(NotSubscribedError) as refusal:
            write()
        assert refusal.value.key in ("x", "x/y", "other")
    assert not bob.has_open_edits
    bob.map("m")["k"] = 1
    bob.counter("c").add(2)
    bob.list("l").append("x")
    bob.text("t").insert(0, "x")
    assert len(bob.commit(2)) == 1


def test_added_keys_are_not_written_before_their_bodies_have_come() -> None:
    _, nodes = room_of("a", "b")
    bob = subscriber_to("a")
    bob.add_nodes(as_sent(nodes, "a"), verify=False)
    bob.set_patterns(["a", "b"])
    with pytest.raises(NotSubscribedError):
        bob.map("")["b"] = 5
    bob.fill_bodies(nodes)
    bob.complete_patterns()
    bob.map("")["b"] = 5
    assert bob.map("")["b"] == 5


def test_a_whole_replica_takes_no_node_without_its_body() -> None:
    _, nodes = room_of("a", "b")
    full = Replica(ROOM_ID)
    result = full.add_nodes(as_sent(nodes, "b"), verify=False)
    assert [refusal.reject_class for refusal in result.rejected] == [
        RejectClass.BODY_MISSING,
        RejectClass.ANCESTOR_REFUSED,
    ]
    # A better copy may come.
    assert len(full.add_nodes(nodes, verify=False).accepted) == 2


def test_a_file_has_whole_nodes_even_for_a_subscriber() -> None:
    ada, nodes = room_of("a", "b")
    bob = subscriber_to("b")
    bob.add_nodes(as_sent(nodes, "b"), verify=False)
    carol = subscriber_to("b")
    result = carol.import_pack(bob.export(), verify=False)
    assert [refusal.reject_class for refusal in result.rejected] == [RejectClass.BODY_MISSING]
    assert result.waiting == [nodes[1].id]
    assert len(carol.import_pack(ada.export(), verify=False).accepted) == 2
    assert carol.state_hash() == bob.state_hash()


def test_a_merge_never_comes_without_its_body() -> None:
    _, (a, b) = room_of("a", "b")
    merge = make_node(HASHER, ADA, MERGE, b.clock + 1, [a.id, b.id], [])
    assert as_sent([merge], "z") == [merge]
    assert as_sent([merge], "z")[0].body == b"\x90"
    with pytest.raises(Reject) as refusal:
        check_node(without_body(merge), header_only=True)
    assert refusal.value.reject_class is RejectClass.BODY_MISSING


def test_a_signature_counts_for_a_node_without_its_body() -> None:
    ada = Replica(ROOM_ID, Identity.from_seed(bytes(32)))
    ada.map("")["a"] = 1
    ada.commit(1)
    (node,) = as_sent(list(ada.nodes()), "b")
    forged = without_body(node)
    forged.signature = bytes(64)
    bob = subscriber_to("b")
    assert bob.add_nodes([forged]).rejected[0].reject_class is RejectClass.SIGNATURE_INVALID
    assert bob.add_nodes([node]).accepted == [node.id]


def test_a_waiting_node_is_filled_and_counted_within_the_bound() -> None:
    _, nodes = room_of("a", "b")
    child = nodes[1]
    place = WaitingNodes(max_bytes=2_000)
    bob = Replica(ROOM_ID, waiting=place)
    bob.set_patterns(["z"])
    assert bob.add_nodes([without_body(child)], verify=False).waiting == [child.id]
    bare = place.size_bytes
    assert bob.add_nodes([without_body(child)], verify=False).duplicates == 1
    assert bob.add_nodes([child], verify=False).filled == [child.id]
    assert child.body is not None
    assert place.size_bytes == bare + len(child.body)
    assert bob.add_nodes([child], verify=False).duplicates == 1
    result = bob.add_nodes(nodes[:1], verify=False)
    assert len(result.accepted) == 2
    assert place.size_bytes == 0
    assert missing_bodies(bob) == []
    large = make_node(HASHER, ADA, 1, 9, [bytes(32)], [MapSet("a", "x" * 4_000)])
    assert bob.add_nodes([without_body(large)], verify=False).waiting == [large.id]
    assert bob.add_nodes([large], verify=False).duplicates == 1
    assert not place.fill(nodes[0])


def test_a_body_that_is_none_is_not_taken_for_one() -> None:
    _, (node,) = room_of("a")
    bob = subscriber_to("z")
    bob.add_nodes([without_body(node)], verify=False)
    broken = Node(
        node.id,
        node.author,
        node.clock,
        node.kind,
        node.parents,
        node.body_hash,
        b"\xc1",
        node.signature,
    )
    result = bob.fill_bodies([broken])
    assert result.rejected[0].reject_class is RejectClass.BODY_INVALID
    assert missing_bodies(bob) == [node.id]


def test_a_body_that_should_not_have_been_left_out_is_read_when_it_comes() -> None:
    ada, nodes = room_of("a", "b", "a")
    bob = subscriber_to("a")
    bob.add_nodes([without_body(node) for node in nodes], verify=False)
    assert bob.state()["maps"] == {}
    bob.fill_bodies(nodes[:1])
    assert bob.state()["maps"] == {"a": 0}
    bob.fill_bodies(nodes)
    assert bob.state_hash() == ada.state_hash(["a"])
    # One that nobody reads here changes nothing, nor does one that still waits.
    stranger = make_node(HASHER, ADA, 1, 1 << 30, [bytes(32)], [MapSet("a", "later")])
    bob.add_nodes([without_body(stranger)], verify=False)
    assert bob.fill_bodies([stranger]).filled == [stranger.id]
    assert bob.state()["maps"] == {"a": 2}


def test_widening_to_everything_needs_every_body() -> None:
    ada, nodes = room_of("a", "b", "c")
    bob = subscriber_to("a")
    bob.add_nodes(as_sent(nodes, "a"), verify=False)
    bob.set_patterns([])
    assert bob.patterns == []
    bob.fill_bodies(nodes[:2])
    with pytest.raises(Reject) as refusal:
        bob.complete_patterns()
    assert refusal.value.reject_class is RejectClass.BODY_MISSING
    assert refusal.value.detail == {"nodes": 1, "first": nodes[2].id}
    assert bob.awaits_bodies
    bob.fill_bodies(nodes[2:])
    bob.complete_patterns()
    assert bob.state_hash() == ada.state_hash()
    assert bob.add_nodes([without_body(node) for node in as_sent(nodes, "z")]).duplicates == 3


def test_one_change_at_a_time() -> None:
    _, nodes = room_of("a", "b")
    bob = subscriber_to("a")
    bob.add_nodes(as_sent(nodes, "a"), verify=False)
    bob.set_patterns(["b"])
    assert bob.set_patterns(["b"]) == []
    with pytest.raises(RoomlogError, match="have not all come"):
        bob.set_patterns(["c"])
    with pytest.raises(RoomlogError, match="without nodes"):
        bob.set_patterns(["c"], before=["a"])
    with pytest.raises(InvalidValueError):
        bob.set_patterns(["a**"])


def test_a_change_that_was_interrupted_goes_on_from_a_store() -> None:
    ada, nodes = room_of("a", "b", "a", "b")
    # Two came by "a", the others by "b", and then the connection broke.
    stored = as_sent(nodes[:2], "a") + as_sent(nodes[2:], "b")
    bob = Replica(ROOM_ID, BOB)
    bob.set_patterns(["b"], before=["a"])
    assert bob.awaits_bodies
    bob.add_nodes(stored, verify=False)
    assert bob.state()["maps"] == {}
    bob.set_patterns(["b"])
    bob.fill_bodies(nodes[1:2])
    bob.complete_patterns()
    assert bob.state_hash() == ada.state_hash(["b"])
    again = Replica(ROOM_ID, BOB)
    again.set_patterns(["b"], before=["b"])
    assert not again.awaits_bodies


def test_open_edits_are_committed_before_their_keys_are_dropped() -> None:
    ada, _ = room_of("a")
    ada.map("")["b"] = 1
    flushed = ada.set_patterns(["a"], now_ms=50)
    assert len(flushed) == 1
    assert ada.frontier == flushed
    assert ada.state()["maps"] == {"a": 0}
    ada.map("")["a"] = 1
    ada.discard()
    assert ada.state()["maps"] == {"a": 0}


def test_other_versions_branches_and_conflicts_are_of_the_same_keys() -> None:
    ada, nodes = room_of("a", "b", "a")
    bob = subscriber_to("a")
    bob.add_nodes(as_sent(nodes, "a"), verify=False)
    past = bob.at([nodes[1].id])
    assert past.state()["maps"] == {"a": 0}
    bob.set_patterns(["z"])
    bob.complete_patterns()
    assert past.state_hash() == ada.branch([nodes[1].id])._part.state_hash(["a"])
    bob.set_patterns(["a"])
    bob.fill_bodies(nodes)
    bob.complete_patterns()
    branch = bob.branch([nodes[0].id])
    branch.map("")["a"] = "branch"
    with pytest.raises(NotSubscribedError):
        branch.map("")["b"] = 1
    (theirs,) = branch.commit(1)
    ada.add_nodes([bob.node(theirs)], verify=False)
    concurrent = make_node(HASHER, BOB, 1, 7, [], [MapSet("b", "lost"), MapSet("a", "lost too")])
    for replica in (ada, bob):
        replica.add_nodes([concurrent], verify=False)
    assert {conflict.key for conflict in ada.conflicts()} == {"a", "b"}
    assert [conflict.key for conflict in bob.conflicts()] == ["a"]
    assert_same(bob, list(ada.nodes()))


def test_refused_edits_are_taken_back_on_top_of_nodes_without_bodies() -> None:
    ada = Replica(ROOM_ID, ADA)
    ada.text("t").insert(0, "base")
    ada.commit(1)
    ada.map("")["other"] = 1
    ada.commit(2)
    bob = subscriber_to("t")
    bob.add_nodes(as_sent(list(ada.nodes()), "t"), verify=False)
    bob.text("t").insert(4, " refused")
    (refused,) = bob.commit(3)
    bob.text("t").insert(0, "kept ")
    bob.commit(4)
    # Another device of the same author went on from there, on keys that are not read here.
    elsewhere = make_node(HASHER, BOB, 1, 1 << 40, bob.frontier, [MapSet("other", 2)])
    bob.add_nodes([without_body(elsewhere)], verify=False)
    rebased = bob.without({refused: None})
    assert rebased.left_out == [elsewhere.id]
    assert str(rebased.replica.text("t")) == "kept base"
    assert rebased.replica.patterns == ["t"]
    assert len(rebased.nodes) == 1


def test_devices_that_edit_what_they_subscribe_to_agree_with_the_whole_room() -> None:
    total = 0
    for seed in range(60):
        random = Random(seed)
        patterns = random.choice([["m/**", "a"], ["**"], ["n/**", "*"], ["m", "m/*", "t*"]])
        part = Replica(ROOM_ID, UnsignedAuthor(1))
        part.set_patterns(patterns)
        full, partial = Device(random, 0), Device(random, 1, part)
        written = 0
        for step in range(12):
            for device in (full, partial):
                for _ in range(random.randint(1, 3)):
                    try:
                        device.edit()
                    except NotSubscribedError:
                        assert device is partial
            full.replica.commit(step * 10)
            written += len(part.commit(step * 10))
            if random.random() < 0.5 or step == 11:
                part.add_nodes(as_sent(list(full.replica.nodes()), *patterns), verify=False)
                whole = [node for node in part.nodes() if node.body is not None]
                assert not full.replica.add_nodes(whole, verify=False).waiting
        total += written
        assert part.state_hash() == full.replica.state_hash(patterns)
    assert total > 100


def test_the_oracle_that_hides_operations_differs_from_the_whole_room() -> None:
    differing = 0
    for seed in range(50):
        history = a_history(seed)
        hidden = seen_room(history.nodes, PatternSet(["m/**"]))
        differing += hidden.state_hash() != history.oracle.state_hash()
    assert differing > 25


def test_texts_of_several_keys_in_one_node_are_kept_apart() -> None:
    first = make_node(HASHER, ADA, 1, 1, [], [TextInsert("a", 0, "aa"), TextInsert("b", 0, "bb")])
    left = make_node(HASHER, ADA, 1, 2, [first.id], [TextInsert("b", 1, "L"), MapSet("m", 1)])
    right = make_node(
        HASHER, BOB, 1, 2, [first.id], [TextInsert("b", 1, "R"), TextInsert("a", 1, "R")]
    )
    merged = make_node(HASHER, ADA, 1, 3, sorted([left.id, right.id]), [TextInsert("a", 3, "!")])
    nodes = [first, left, right, merged]
    for pattern in ("a", "b", "m"):
        subscriber = subscriber_to(pattern)
        subscriber.add_nodes(as_sent(nodes, pattern), verify=False)
        assert_same(subscriber, nodes)
