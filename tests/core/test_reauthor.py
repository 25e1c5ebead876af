"""History written anew: without refused operations, or under the lineage of the room it met."""

import os
from random import Random

import pytest

from roomlog.core.errors import InvalidValueError, RoomlogError, UnknownNodeError
from roomlog.core.node import CHANGE, MERGE, Node, NodeHasher, check_node, make_node
from roomlog.core.operation import (
    ItemReference,
    ListDelete,
    ListInsert,
    ListMove,
    ListUpdate,
    MapSet,
    Operation,
    TextDelete,
    TextInsert,
)
from roomlog.core.reauthor import reauthor
from roomlog.core.replica import Replica
from roomlog.identity import Identity
from tests.core.devices import Device, naive_room_of, plain
from tests.oracle.room_histories import LINEAGE, ROOM_ID, UnsignedAuthor

SESSIONS = int(os.environ.get("ROOMLOG_HISTORIES", "2000")) // 20
ADA = Identity.from_seed(bytes(32))
BOB = Identity.from_seed(bytes([1]) * 32)
NOW_MS = 1_700_000_000_000
SERVER_LINEAGE = bytes(range(32))


def test_nothing_dropped_leaves_every_node_as_it_is() -> None:
    ada = Replica("room", ADA)
    for number in range(3):
        ada.text("t").append(str(number))
        ada.commit(NOW_MS)
    nodes = list(ada.nodes())
    written = reauthor(nodes, ada.lineage, {}, signer=ADA)
    assert all(new is old for new, old in zip(written.nodes, nodes, strict=True))
    assert written.mapping == {node.id: node.id for node in nodes}
    assert written.dropped == []


def test_t52_a_refused_node_does_not_lose_what_came_after_it() -> None:
    ada = Replica("room", ADA)
    ada.text("t").append("shared ")
    ada.list("l").append("shared")
    (base,) = ada.commit(NOW_MS)
    ada.text("t").append("REFUSED ")
    ada.list("l").append("refused")
    ada.map("m")["k"] = "refused"
    (refused,) = ada.commit(NOW_MS)
    ada.text("t").append("kept")
    ada.list("l")[1] = "changed"
    ada.list("l").append("kept")
    ada.map("m")["k2"] = "kept"
    (after,) = ada.commit(NOW_MS)
    ada.list("l")[2] = "kept on"
    rebase = ada.without({refused: None}, NOW_MS)
    replica = rebase.replica
    assert replica.state() == {
        "maps": {"m/k2": "kept"},
        "blobs": {},
        "counters": {},
        "lists": {"l": ["shared", "kept on"]},
        "texts": {"t": "shared kept"},
    }
    assert len(replica) == 3
    assert rebase.mapping[refused] is None
    new_after = rebase.mapping[after]
    assert new_after is not None
    assert replica.node(new_after).parents == (base,)
    assert replica.node(new_after).clock == ada.node(after).clock
    assert [node.id for node in rebase.nodes] == [
        new for new in rebase.mapping.values() if new is not None
    ]
    assert (after, 1) in rebase.dropped
    assert {place for place in rebase.dropped if place[0] == refused} == {
        (refused, 0),
        (refused, 1),
        (refused, 2),
    }
    fresh = Replica("room", BOB)
    assert not fresh.import_pack(replica.export()).rejected
    assert fresh.state_hash() == replica.state_hash()
    # The old replica stays as it is.
    assert ada.list("l").to_list() == ["shared", "changed", "kept on"]


def test_t17_refused_operations_of_a_node_vanish_and_the_others_stay() -> None:
    ada = Replica("room", ADA)
    ada.map("m")["no"] = 1
    ada.map("m")["yes"] = 2
    ada.list("l").append("a")
    ada.list("l").append("b")
    ada.list("l")[0] = "A"
    (node_id,) = ada.commit(NOW_MS)
    rebase = ada.without({node_id: [0, 3]})
    assert rebase.replica.map("m").to_dict() == {"yes": 2}
    assert rebase.replica.list("l") == ["A"]
    assert rebase.dropped == [(node_id, 0), (node_id, 3)]
    (new,) = rebase.nodes
    kinds = [type(operation) for operation in new.operations()]
    assert kinds == [MapSet, ListInsert, ListUpdate]
    assert not Replica("room").import_pack(rebase.replica.export()).rejected


def test_a_draft_is_adopted_by_the_room_it_meets() -> None:
    draft = Replica("room", ADA, bytes([9]) * 32)
    draft.text("t").append("draft")
    draft.commit(NOW_MS)
    side = draft.branch([])
    side.list("l").append(1)
    side.commit(NOW_MS)
    draft.list("l").append(2)
    draft.list("l").move(1, 0)
    expected = draft.state()
    rebase = draft.adopt(SERVER_LINEAGE, NOW_MS)
    adopted = rebase.replica
    assert adopted.lineage == SERVER_LINEAGE
    assert adopted.state() == expected
    assert [node.clock for node in adopted.nodes()] == [node.clock for node in draft.nodes()]
    assert set(rebase.mapping) == {node.id for node in draft.nodes()}
    assert not any(node.id in draft for node in adopted.nodes())
    room = Replica("room", BOB, SERVER_LINEAGE)
    room.text("t").append("room ")
    room.commit(NOW_MS)
    adopted.import_pack(room.export())
    assert len(room.import_pack(adopted.export()).accepted) == 3
    assert room.state_hash() == adopted.state_hash()


def test_a_draft_that_took_others_nodes_leaves_them_behind() -> None:
    draft = Replica("room", ADA, bytes([9]) * 32)
    friend = Replica("room", BOB, bytes([9]) * 32)
    friend.text("t").append("friend ")
    friend.list("l").append("friend's")
    friend.commit(NOW_MS)
    draft.import_pack(friend.export())
    draft.text("t").append("mine")
    draft.list("l")[0] = "changed"
    draft.list("l").append("my own")
    draft.commit(NOW_MS)
    rebase = draft.adopt(SERVER_LINEAGE)
    assert str(rebase.replica.text("t")) == "mine"
    assert rebase.replica.list("l") == ["my own"]
    assert rebase.left_out == friend.frontier
    assert {node.author for node in rebase.replica.nodes()} == {ADA.public_key}


def test_others_nodes_that_build_on_a_refused_one_are_left_out() -> None:
    ada = Replica("room", ADA)
    bob = Replica("room", BOB)
    ada.text("t").append("refused")
    (refused,) = ada.commit(NOW_MS)
    bob.import_pack(ada.export())
    bob.text("t").append(" bob")
    bob.commit(NOW_MS)
    ada.import_pack(bob.export())
    ada.text("t").append(" ada")
    ada.commit(NOW_MS)
    rebase = ada.without({refused: None})
    assert rebase.left_out == bob.frontier
    assert str(rebase.replica.text("t")) == " ada"
    assert [node.parents for node in rebase.replica.nodes()] == [()]


@pytest.mark.parametrize("moves", [False, True])
def test_anothers_merge_of_own_nodes_is_left_out_like_any_node_of_others(moves: bool) -> None:
    ada = Replica("room", ADA)
    for key in "abc":
        branch = ada.branch([])
        branch.counter(key).add(1)
        branch.commit(NOW_MS)
    server = Replica("room", BOB)
    server.add_nodes(list(ada.nodes()))
    merge = server.merge(NOW_MS)
    ada.add_nodes([server.node(merge)])
    ada.counter("after").add(1)
    ada.commit(NOW_MS)
    refused = next(iter(ada.nodes())).id
    rebase = ada.adopt(SERVER_LINEAGE) if moves else ada.without({refused: None})
    assert rebase.left_out == [merge]
    kept = {"after": 1, "b": 1, "c": 1} | ({"a": 1} if moves else {})
    assert rebase.replica.state()["counters"] == kept
    assert len(rebase.replica.frontier) == 1


def test_a_refused_merge_vanishes_and_its_parents_take_its_place() -> None:
    ada = Replica("room", ADA)
    for key in "ab":
        branch = ada.branch([])
        branch.counter(key).add(1)
        branch.commit(NOW_MS)
    heads = ada.frontier
    merge = ada.merge(NOW_MS)
    ada.counter("after").add(1)
    ada.commit(NOW_MS)
    rebase = ada.without({merge: None})
    assert rebase.mapping[merge] is None
    assert merge not in rebase.replica
    *_, last = rebase.replica.nodes()
    assert list(last.parents) == heads


def test_what_waits_for_its_parents_goes_on_waiting() -> None:
    ada = Replica("room", ADA)
    bob = Replica("room", BOB)
    for _ in range(2):
        bob.counter("c").add(1)
        bob.commit(NOW_MS)
    first, second = bob.nodes()
    ada.add_nodes([second])
    ada.counter("c").add(5)
    (refused,) = ada.commit(NOW_MS)
    replica = ada.without({refused: None}).replica
    assert len(replica.waiting) == 1
    replica.add_nodes([first])
    assert replica.counter("c").value == 2


def test_what_came_unsigned_and_waits_goes_on_waiting_too() -> None:
    ada = Replica("room", ADA)
    bob = Replica("room", BOB)
    for _ in range(2):
        bob.counter("c").add(1)
        bob.commit(NOW_MS)
    first, second = bob.nodes()
    # Old history may come without signatures; whoever took it once does not ask again.
    second.signature = None
    ada.add_nodes([second], verify=False)
    ada.counter("c").add(5)
    (refused,) = ada.commit(NOW_MS)
    replica = ada.without({refused: None}).replica
    assert len(replica.waiting) == 1
    replica.add_nodes([first])
    assert replica.counter("c").value == 2


def test_only_own_known_operations_can_be_taken_out() -> None:
    ada = Replica("room", ADA)
    bob = Replica("room", BOB)
    bob.counter("c").add(1)
    (theirs,) = bob.commit(NOW_MS)
    ada.import_pack(bob.export())
    ada.counter("c").add(1)
    (own,) = ada.commit(NOW_MS)
    with pytest.raises(InvalidValueError, match="another author"):
        ada.without({theirs: None})
    with pytest.raises(UnknownNodeError):
        ada.without({b"?" * 32: None})
    with pytest.raises(InvalidValueError, match="1 operations"):
        ada.without({own: [1]})
    with pytest.raises(RoomlogError, match="identity"):
        Replica("room").without({})


def test_reauthor_wants_parents_first_and_its_own_author() -> None:
    ada = Replica("room", ADA)
    for _ in range(2):
        ada.counter("c").add(1)
        ada.commit(NOW_MS)
    first, second = ada.nodes()
    with pytest.raises(InvalidValueError, match="before its parent"):
        reauthor([second, first], ada.lineage, {}, signer=ADA)
    with pytest.raises(InvalidValueError, match="another author"):
        reauthor([first], SERVER_LINEAGE, {}, signer=BOB)
    unsigned = reauthor([first], SERVER_LINEAGE, {})
    assert unsigned.nodes[0].signature is None
    assert unsigned.nodes[0].author == ADA.public_key


def node_on(
    parents: list[Node], *operations: Operation, kind: int = CHANGE, clock: int | None = None
) -> Node:
    greatest = max([parent.clock for parent in parents], default=0)
    return make_node(
        NodeHasher(LINEAGE),
        ADA,
        kind,
        greatest + 1 if clock is None else clock,
        [parent.id for parent in parents],
        operations,
    )


def test_a_vanished_nodes_parents_take_its_place_reduced() -> None:
    root = node_on([], MapSet("k", 0))
    left = node_on([root], MapSet("k", 1))
    right = node_on([root], MapSet("k", 2))
    merge = node_on([left, right], kind=MERGE)
    last = node_on([merge], MapSet("k", 3))
    nodes = [root, left, right, merge, last]
    without_left = reauthor(nodes, LINEAGE, {left.id: None}, signer=ADA)
    # The merge of root and right is right alone, so it vanishes too.
    assert [node.parents for node in without_left.nodes] == [(), (root.id,), (right.id,)]
    assert without_left.mapping[merge.id] is None
    without_both = reauthor(nodes, LINEAGE, {left.id: [0], right.id: None}, signer=ADA)
    assert [node.parents for node in without_both.nodes] == [(), (root.id,)]
    assert without_both.nodes[-1].clock == last.clock
    without_root = reauthor(nodes, LINEAGE, {root.id: None}, signer=ADA)
    assert [node.parents for node in without_root.nodes][:2] == [(), ()]
    assert len(without_root.nodes[2].parents) == 2
    for written in (without_left, without_both, without_root):
        for node in written.nodes:
            check_node(node)


def test_foreign_ancestors_are_kept_by_id_even_unseen() -> None:
    foreign = sorted([bytes([1]) * 32, bytes([2]) * 32])
    first = make_node(NodeHasher(LINEAGE), ADA, CHANGE, 5, foreign, [MapSet("k", 1)])
    second = node_on([first], MapSet("k", 2))
    written = reauthor([first, second], LINEAGE, {first.id: None}, signer=ADA)
    assert [list(node.parents) for node in written.nodes] == [foreign]
    changed = reauthor([first, second], SERVER_LINEAGE, {}, signer=ADA)
    assert list(changed.nodes[0].parents) == foreign


def test_t62_a_vanished_node_that_held_many_heads_leaves_merges() -> None:
    root = node_on([], MapSet("k", 0))
    heads = [node_on([root], MapSet("k", number), clock=100 + number) for number in range(100)]
    first = node_on(heads[:50], MapSet("a", 1), clock=1_000)
    second = node_on(heads[50:], MapSet("b", 1), clock=1_000)
    last = node_on([first, second], MapSet("c", 1))
    nodes = [root, *heads, first, second, last]
    written = reauthor(nodes, LINEAGE, {first.id: None, second.id: None}, signer=ADA)
    assert written.nodes[-2].kind == MERGE
    assert len(written.nodes[-2].parents) == 64
    assert len(written.nodes[-1].parents) == 37
    assert written.mapping[last.id] == written.nodes[-1].id
    replica = Replica(ROOM_ID)
    result = replica.add_nodes(written.nodes)
    assert not result.rejected
    assert replica.frontier == [written.nodes[-1].id]


def test_references_follow_items_whose_operation_index_moves() -> None:
    first = node_on(
        [], MapSet("gone", 1), ListInsert("l", b"\x10", "a"), ListInsert("l", b"\x20", "b")
    )
    reference = Replica(ROOM_ID)
    reference.add_nodes([first])
    device = Replica(ROOM_ID, ADA)
    device.add_nodes([first])
    device.list("l").move(0, 1)
    device.list("l")[0] = "B"
    device.list("l").delete(1)
    device.commit(NOW_MS)
    second = list(device.nodes())[-1]
    written = reauthor([first, second], LINEAGE, {first.id: {0}}, signer=ADA)
    moved = written.nodes[1].operations()[0]
    assert isinstance(moved, ListMove)
    assert moved.item.node == written.nodes[0].id
    assert moved.item.operation_index == 0
    replica = Replica(ROOM_ID)
    replica.add_nodes(written.nodes)
    assert replica.list("l") == ["B"]


@pytest.mark.parametrize("named", [0, 1])
def test_an_index_that_named_no_item_names_none_afterwards(named: int) -> None:
    node = node_on(
        [],
        MapSet("k", 1),
        MapSet("k", 2),
        ListInsert("l", b"\x10", "kept"),
        ListDelete("l", ItemReference(None, named)),
        ListUpdate("l", ItemReference(None, 2), "updated"),
    )
    unchanged = reauthor([node], LINEAGE, {}, signer=ADA)
    assert unchanged.nodes == [node]
    written = reauthor([node], LINEAGE, {node.id: [0]}, signer=ADA)
    assert written.dropped == [(node.id, 0), (node.id, 3)]
    replica = Replica(ROOM_ID, ADA, LINEAGE)
    assert not replica.add_nodes(written.nodes, verify=False).rejected
    assert replica.list("l") == ["updated"]


def test_a_delete_never_takes_more_than_it_did() -> None:
    first = node_on([], TextInsert("t", 0, "abcdef"))
    second = node_on([first], TextDelete("t", 2, 2))
    third = node_on([second], TextDelete("t", 0, 4), TextInsert("t", 0, "new"))
    written = reauthor([first, second, third], LINEAGE, {second.id: None}, signer=ADA)
    replica = Replica(ROOM_ID)
    replica.add_nodes(written.nodes)
    assert str(replica.text("t")) == "newcd"
    gone = reauthor([first, second, third], LINEAGE, {first.id: None}, signer=ADA)
    assert gone.mapping[second.id] is None
    assert (second.id, 0) in gone.dropped
    replica = Replica(ROOM_ID)
    replica.add_nodes(gone.nodes)
    assert str(replica.text("t")) == "new"


def test_random_refusals_leave_a_history_that_everybody_merges_alike() -> None:
    """Devices of several authors; some of one author's operations are taken out, twice."""
    for seed in range(SESSIONS):
        random = Random(seed)
        devices = [Device(random, author) for author in (0, 1, 1)]
        for _ in range(30):
            device = random.choice(devices)
            if random.random() < 0.7:
                device.edit()
                if random.random() < 0.5:
                    device.commit()
            else:
                # Own pending nodes never reach others before they are admitted.
                device.take_from(random.choice(devices[1:]))
        replica = devices[0].replica
        author = UnsignedAuthor(0).public_key
        for _ in range(2):
            replica.flush(None)
            own = [node for node in replica.nodes() if node.author == author]
            if not own:
                break
            drop = {
                node.id: random.choice([None, random.sample(range(len(node.operations())), 1)])
                for node in random.sample(own, random.randint(1, min(3, len(own))))
            }
            rebase = replica.without(drop)
            check_rebase(replica, rebase.replica, rebase.mapping, rebase.dropped)
            assert set(drop) <= set(rebase.mapping)
            assert not rebase.left_out
            replica = rebase.replica


def check_rebase(
    old: Replica,
    new: Replica,
    mapping: dict[bytes, bytes | None],
    dropped: list[tuple[bytes, int]],
) -> None:
    for node in new.nodes():
        check_node(node)
    room = naive_room_of(list(new.nodes()))
    assert plain(new.state()) == room.state()
    assert str(new.state_hash()) == room.state_hash()
    old_room = naive_room_of(list(old.nodes()))
    gone = set(dropped)
    assert len(gone) == len(dropped)
    for node in old.nodes():
        if node.id not in mapping:
            assert node.id in new
            continue
        count = sum((node.id, index) not in gone for index in range(len(node.operations())))
        new_id = mapping[node.id]
        if new_id is None:
            assert count == 0
            continue
        twin = new.node(new_id)
        assert twin.clock == node.clock
        assert twin.kind == node.kind
        assert len(twin.operations()) >= count
        # Nothing is adopted that the author had not seen.
        seen = {mapping.get(node_id, node_id) for node_id in old_room.histories[node.id]}
        assert room.histories[new_id] <= seen
