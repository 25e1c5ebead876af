"""Nodes in and out of a replica: classes of refusal, waiting, exchange without a server."""

import gc
from itertools import permutations
from random import Random

import pytest

from roomlog.core.clock import CLOCK_LIMIT
from roomlog.core.errors import (
    ClockExhaustedError,
    InvalidValueError,
    RoomlogError,
    UnknownNodeError,
)
from roomlog.core.intake import ImportResult
from roomlog.core.node import CHANGE, MAX_PARENTS, MERGE, Node, NodeHasher, make_node
from roomlog.core.operation import MapSet, TextInsert
from roomlog.core.pack import encode_pack, read_pack_file, write_pack_file
from roomlog.core.reject import RejectClass
from roomlog.core.replica import Replica
from roomlog.core.signing import Purpose
from roomlog.core.state import COUNTER, LIST, MAP, TEXT
from roomlog.core.waiting import WaitingNodes
from roomlog.identity import Identity

ADA = Identity.from_seed(bytes(32))
BOB = Identity.from_seed(bytes([1]) * 32)
NOW_MS = 1_700_000_000_000


def a_chain(count: int, replica: Replica | None = None) -> Replica:
    """A replica of Ada's with that many nodes, one after the other."""
    if replica is None:
        replica = Replica("room", ADA)
    for index in range(count):
        replica.text("t").append(str(index % 10))
        replica.commit(NOW_MS)
    return replica


def altered(node: Node, **fields: object) -> Node:
    """The same node with other fields, its id as it was."""
    names = ("id", "author", "clock", "kind", "parents", "body_hash", "body", "signature")
    values = {name: getattr(node, name) for name in names}
    values.update(fields)
    return Node(**values)  # type: ignore[arg-type]


def classes(result: ImportResult) -> list[RejectClass]:
    return [rejection.reject_class for rejection in result.rejected]


def pack_of(replica: Replica, *nodes: Node) -> bytes:
    return write_pack_file(replica.lineage, [encode_pack(nodes)])


def test_two_replicas_exchange_without_a_server() -> None:
    ada = Replica("room", ADA)
    bob = Replica("room", BOB)
    ada.map("users")["ada"] = {"age": 36}
    bob.map("users")["bob"] = {"age": 40}
    ada.commit(NOW_MS)
    bob.commit(NOW_MS)
    to_bob = ada.export(since=bob.frontier)
    to_ada = bob.export(since=ada.frontier)
    assert len(bob.import_pack(to_bob).accepted) == 1
    assert len(ada.import_pack(to_ada).accepted) == 1
    assert ada.state() == bob.state()
    assert ada.state_hash() == bob.state_hash()
    assert ada.frontier == bob.frontier
    assert ada.export(since=bob.frontier) == write_pack_file(ada.lineage, [])


@pytest.mark.parametrize("room_id", ["", "a b", "é", "a" * 129, "a/b", "a\n"])
def test_a_room_id_of_another_form_is_refused(room_id: str) -> None:
    with pytest.raises(InvalidValueError, match="room_id"):
        Replica(room_id)


def test_a_lineage_has_32_bytes_and_is_derived_from_the_room_without_a_server() -> None:
    with pytest.raises(InvalidValueError, match="lineage"):
        Replica("room", ADA, b"short")
    assert Replica("room").lineage == Replica("room").lineage
    assert Replica("room").lineage != Replica("other").lineage


def test_a_replica_without_an_identity_reads_only() -> None:
    replica = Replica("room")
    assert replica
    assert not len(replica)
    replica.import_pack(a_chain(2).export())
    assert str(replica.text("t")) == "01"
    with pytest.raises(RoomlogError, match="identity"):
        replica.text("t").append("x")
    with pytest.raises(RoomlogError, match="identity"):
        replica.map("m")["k"] = 1
    assert not replica.has_open_edits
    assert replica.commit(NOW_MS) == []
    assert replica.state()["maps"] == {}


def test_a_commit_is_one_node_on_the_frontier_with_the_clock_rule() -> None:
    replica = Replica("room", ADA)
    assert replica.commit(NOW_MS) == []
    replica.counter("c").add(1)
    replica.counter("c").add(2)
    (first,) = replica.commit(NOW_MS)
    assert replica.node(first).clock == NOW_MS * 2048
    assert len(replica.node(first).operations()) == 2
    replica.counter("c").add(1)
    (second,) = replica.commit(NOW_MS - 5)
    assert replica.node(second).clock == NOW_MS * 2048 + 1
    assert replica.node(second).parents == (first,)
    assert replica.frontier == [second]
    assert [node.id for node in replica.nodes()] == [first, second]
    assert first in replica
    assert b"x" * 32 not in replica
    assert "x" not in replica
    assert len(replica) == 2


def test_t51_a_chain_faster_than_the_clock_unit_stays_valid_everywhere() -> None:
    ada = a_chain(3_000)
    assert [node.clock for node in ada.nodes()] == [NOW_MS * 2048 + step for step in range(3_000)]
    fresh = Replica("room")
    result = fresh.import_pack(ada.export(), NOW_MS, verify=False)
    assert len(result.accepted) == 3_000
    assert fresh.state_hash() == ada.state_hash()


def test_t15_history_of_any_clock_is_valid_on_replay() -> None:
    """No ceiling against an empty or older graph: a far clock is refused at admission only."""
    ada = Replica("room", ADA)
    ada.counter("c").add(1)
    ada.commit(CLOCK_LIMIT // 2048 - 2)
    fresh = Replica("room")
    assert fresh.import_pack(ada.export(), 1).accepted == ada.frontier
    assert fresh.state_hash() == ada.state_hash()


def test_a_clock_without_room_for_more_raises_and_keeps_the_edits() -> None:
    ada = Replica("room", ADA)
    ada.counter("c").add(1)
    with pytest.raises(ClockExhaustedError):
        ada.commit(CLOCK_LIMIT)
    assert ada.has_open_edits
    assert ada.counter("c").value == 1
    ada.commit(CLOCK_LIMIT // 2048 - 1)
    assert len(ada) == 1


def test_a_commit_of_several_nodes_is_all_or_nothing_at_the_end_of_the_clock() -> None:
    ada = Replica("room", ADA)
    last = make_node(NodeHasher(ada.lineage), ADA, CHANGE, CLOCK_LIMIT - 2, [], [MapSet("k", 1)])
    ada.add_nodes([last])
    ada.list("l").extend(["x" * 100_000] * 5)
    ada.list("l").move(4, 0)
    with pytest.raises(ClockExhaustedError):
        ada.commit(NOW_MS)
    assert len(ada) == 1
    assert ada.has_open_edits


class FailingSigner:
    """A key that is taken away after some signatures."""

    def __init__(self, left: int) -> None:
        self.public_key = ADA.public_key
        self.left = left

    def sign(self, purpose: Purpose, payload: bytes) -> bytes:
        if not self.left:
            raise OSError("no key")
        self.left -= 1
        return ADA.sign(purpose, payload)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_a_signer_that_fails_loses_no_edit_and_writes_no_node(left: int) -> None:
    signer = FailingSigner(left)
    ada = Replica("room", signer)
    ada.list("l").extend(["a" * 100_000, "b" * 100_000, "c" * 100_000, "d" * 100_000, "e"])
    ada.list("l").move(0, 4)
    ada.list("l")[3] = "E"
    ada.text("t").append("x" * 300_000)
    state = ada.state()
    with pytest.raises(OSError, match="no key"):
        ada.commit(NOW_MS)
    assert len(ada) == 0
    assert ada.frontier == []
    assert ada.has_open_edits
    assert ada.state() == state
    signer.left = 100
    ada.list("l").insert(2, "after")
    ada.text("t").append("after")
    assert len(ada.commit(NOW_MS + 1)) > 2
    fresh = Replica("room")
    assert not fresh.import_pack(ada.export()).rejected
    assert fresh.state() == ada.state()
    assert fresh.state_hash() == ada.state_hash()


def test_duplicates_are_counted_and_change_nothing() -> None:
    ada = a_chain(3)
    bob = Replica("room", BOB)
    bob.import_pack(ada.export())
    digest = bob.state_hash()
    result = bob.import_pack(ada.export())
    assert result.duplicates == 3
    assert not result.accepted
    assert bob.state_hash() == digest
    assert "duplicates=3" in repr(result)


def test_every_order_of_a_small_history_waits_and_converges() -> None:
    ada = a_chain(3)
    base = ada.branch([])
    base.text("t").append("side")
    base.commit(NOW_MS)
    ada.merge(NOW_MS)
    nodes = list(ada.nodes())
    for order in permutations(nodes):
        bob = Replica("room", BOB)
        waited = 0
        for node in order:
            result = bob.import_pack(pack_of(bob, node))
            assert not result.rejected
            waited += len(result.waiting)
            again = bob.import_pack(pack_of(bob, node))
            assert again.duplicates == 1
            digest = bob.state_hash()
            assert digest.coverage.awaited == len(bob.waiting)
            assert digest.complete == (not len(bob.waiting))
        assert len(bob) == len(nodes)
        assert waited == 0 or order != tuple(nodes)
        assert bob.state_hash() == ada.state_hash()


def test_a_full_waiting_place_refuses_for_now_and_loses_nothing_for_good() -> None:
    ada = a_chain(5)
    nodes = list(ada.nodes())
    bob = Replica("room", BOB, waiting=WaitingNodes(max_nodes=2))
    result = bob.import_pack(pack_of(bob, *nodes[1:]))
    assert len(result.waiting) == 2
    assert classes(result) == [RejectClass.QUEUE_FULL, RejectClass.QUEUE_FULL]
    assert bob.import_pack(pack_of(bob, nodes[0])).accepted == [n.id for n in nodes[:3]]
    assert len(bob.import_pack(ada.export()).accepted) == 2
    assert bob.state_hash() == ada.state_hash()


def test_a_broken_signature_refuses_the_node_and_what_builds_on_it_in_the_pack() -> None:
    ada = a_chain(2)
    side = ada.branch([])
    side.map("m")["k"] = 1
    side.commit(NOW_MS)
    first, second, other = ada.nodes()
    forged = altered(first, signature=bytes(64))
    bob = Replica("room", BOB)
    empty = bob.state_hash()
    result = bob.import_pack(pack_of(bob, forged, second, other))
    assert classes(result) == [RejectClass.SIGNATURE_INVALID, RejectClass.ANCESTOR_REFUSED]
    assert [rejection.id for rejection in result.rejected] == [first.id, second.id]
    assert result.rejected[1].detail == {"root": first.id}
    assert "ancestor_refused" in repr(result.rejected[1])
    assert result.accepted == [other.id]
    assert bob.state_hash() != empty
    assert len(bob.waiting) == 0
    # The true copies are taken afterwards.
    assert len(bob.import_pack(ada.export()).accepted) == 2
    assert bob.state_hash() == ada.state_hash()


def test_t2_an_unsigned_node_is_refused_when_signatures_count() -> None:
    ada = a_chain(1)
    data = ada.export(signatures=False)
    bob = Replica("room", BOB)
    assert classes(bob.import_pack(data)) == [RejectClass.SIGNATURE_MISSING]
    assert len(bob) == 0
    assert len(bob.import_pack(data, verify=False).accepted) == 1


def test_a_forged_copy_does_not_keep_the_true_node_from_waiting() -> None:
    ada = a_chain(2)
    first, second = ada.nodes()
    bob = Replica("room", BOB)
    forged = altered(second, signature=bytes(64))
    assert classes(bob.import_pack(pack_of(bob, forged))) == [RejectClass.SIGNATURE_INVALID]
    assert bob.import_pack(pack_of(bob, second)).waiting == [second.id]
    assert bob.import_pack(pack_of(bob, first)).accepted == [first.id, second.id]


def test_t54_nodes_of_another_lineage_change_nothing() -> None:
    other = Replica("room", ADA, bytes([7]) * 32)
    a_chain(2, other)
    bob = Replica("room", BOB)
    bob.text("t").append("open")
    result = bob.import_pack(other.export())
    assert classes(result) == [RejectClass.LINEAGE_MISMATCH]
    assert result.rejected[0].id == b""
    assert not result.flushed
    assert bob.has_open_edits
    assert len(bob) == 0
    # Nor when they are dressed up as this room's: their ids differ, so no signature holds.
    _, packs = read_pack_file(other.export())
    disguised = bob.import_pack(write_pack_file(bob.lineage, packs))
    assert classes(disguised) == [RejectClass.SIGNATURE_INVALID] * 2
    assert len(bob) == 1  # its own, committed before the import


@pytest.mark.parametrize("data", [b"", b"RLPK", b"nonsense", b"RLPK\x01" + bytes(31)])
def test_a_broken_file_is_refused_whole(data: bytes) -> None:
    bob = Replica("room", BOB)
    assert classes(bob.import_pack(data)) == [RejectClass.INVALID_FIELD]
    assert len(bob) == 0


def test_a_broken_pack_leaves_the_others_of_its_file() -> None:
    ada = a_chain(2)
    bob = Replica("room", BOB)
    good = encode_pack(list(ada.nodes()))
    result = bob.import_pack(write_pack_file(bob.lineage, [good[:-1], good]))
    assert classes(result) == [RejectClass.INVALID_FIELD]
    assert len(result.accepted) == 2


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was_found(enabled: bool) -> None:
    ada = a_chain(2)
    good = encode_pack(list(ada.nodes()))
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        for pack in (good, good[:-1]):
            Replica("room", BOB).import_pack(write_pack_file(ada.lineage, [pack]))
            assert gc.isenabled() == enabled
    finally:
        (gc.enable if was_enabled else gc.disable)()


def test_a_clock_behind_its_parent_is_refused_also_after_waiting() -> None:
    ada = a_chain(1)
    (first,) = ada.nodes()
    hasher = NodeHasher(ada.lineage)
    late = make_node(hasher, ADA, CHANGE, first.clock, [first.id], [MapSet("k", 1)])
    after = make_node(hasher, ADA, CHANGE, first.clock + 1, [late.id], [MapSet("k", 2)])
    bob = Replica("room", BOB)
    result = bob.import_pack(pack_of(bob, first, late, after))
    assert classes(result) == [RejectClass.CLOCK_BEHIND_PARENT, RejectClass.ANCESTOR_REFUSED]
    carol = Replica("room")
    assert len(carol.import_pack(pack_of(carol, late, after)).waiting) == 2
    result = carol.import_pack(pack_of(carol, first))
    assert classes(result) == [RejectClass.CLOCK_BEHIND_PARENT, RejectClass.ANCESTOR_REFUSED]
    assert result.rejected[1].detail == {"root": late.id}
    assert result.accepted == [first.id]
    assert not len(carol.waiting)


def test_bad_bodies_headers_and_missing_bodies_get_their_class_and_change_nothing() -> None:
    ada = a_chain(1)
    (good,) = ada.nodes()
    bob = Replica("room", BOB)
    before = bob.state_hash()
    empty_change = altered(good, body=b"\x90")
    one_parent_merge = altered(good, kind=MERGE, parents=(good.id,), body=b"\x90")
    cases = [
        (altered(good, body=b"\xc1"), RejectClass.BODY_INVALID),
        (altered(good, body=None), RejectClass.BODY_MISSING),
        (empty_change, RejectClass.BODY_INVALID),
        (one_parent_merge, RejectClass.HEADER_INVALID),
        (altered(good, clock=CLOCK_LIMIT), RejectClass.HEADER_INVALID),
        (altered(good, body=bytes(300_000)), RejectClass.NODE_TOO_LARGE),
    ]
    for node, reject_class in cases:
        result = bob.add_nodes([node])
        assert classes(result) == [reject_class]
        assert bob.state_hash() == before
        assert not list(bob.nodes())
    assert bob.add_nodes([good]).accepted == [good.id]


def test_a_lasting_fault_frees_what_waited_for_the_node() -> None:
    ada = a_chain(3)
    first, second, third = ada.nodes()
    bob = Replica("room", BOB)
    assert len(bob.add_nodes([second, third]).waiting) == 2
    result = bob.add_nodes([altered(first, body=b"\xc1")])
    assert classes(result) == [
        RejectClass.BODY_INVALID,
        RejectClass.ANCESTOR_REFUSED,
        RejectClass.ANCESTOR_REFUSED,
    ]
    assert not len(bob.waiting)
    # A bad copy whose id says nothing about its fault frees nothing.
    bob.add_nodes([second, third])
    bob.add_nodes([altered(first, body=None)])
    assert len(bob.waiting) == 2


def test_t17_own_edits_are_committed_before_an_import_and_then_seen_by_all() -> None:
    ada = Replica("room", ADA)
    bob = a_chain(1, Replica("room", BOB))
    ada.text("t").append("mine")
    result = ada.import_pack(bob.export())
    (own,) = result.flushed
    assert ada.node(own).parents == ()
    assert ada.node(own).clock == 0
    assert not ada.has_open_edits
    bob.import_pack(ada.export(ids=[own]))
    assert bob.state_hash() == ada.state_hash()
    assert "flushed=1" in repr(result)


def test_t17_own_edits_are_committed_before_nodes_are_added() -> None:
    ada = Replica("room", ADA)
    bob = a_chain(2, Replica("room", BOB))
    ada.text("t").append("mine")
    result = ada.add_nodes(list(bob.nodes()), NOW_MS)
    (own,) = result.flushed
    assert ada.node(own).parents == ()
    assert not ada.has_open_edits
    assert len(ada) == 3
    bob.import_pack(ada.export(ids=[own]))
    assert bob.state_hash() == ada.state_hash()


def test_t3_no_key_inside_a_node_does_anything_special() -> None:
    ada = Replica("room", ADA)
    bob = Replica("room", BOB)
    for key in ("__system", "system:policy", ".roomlog", "$admin", "policy", "__import__"):
        ada.map("")[key] = {"allow": "*"}
        ada.text(key).append("x")
        ada.list(key).append(1)
        ada.counter(key).add(1)
    ada.commit(NOW_MS)
    forged = altered(next(iter(ada.nodes())), signature=bytes(64))
    assert classes(bob.add_nodes([forged])) == [RejectClass.SIGNATURE_INVALID]
    bob.import_pack(ada.export())
    state = bob.state()
    assert (
        set(state["maps"]) == set(state["texts"]) == set(state["lists"]) == (set(state["counters"]))
    )
    assert bob.state_hash() == ada.state_hash()


def test_t57_one_key_on_two_devices_converges_by_node_id() -> None:
    """Same author, same clock: nothing but the ids is left to order the writes by."""
    first, second = Replica("room", ADA), Replica("room", ADA)
    for number in range(20):
        first.map("m")[str(number)] = "first"
        second.map("m")[str(number)] = "second"
        for device, letter in ((first, "A"), (second, "B")):
            device.text("t").insert(0, letter)
            device.list("l").insert(0, letter)
            device.commit(NOW_MS + number)
    packs = first.export(), second.export()
    first.import_pack(packs[1], verify=False)
    second.import_pack(packs[0], verify=False)
    assert first.state() == second.state()
    assert first.state_hash() == second.state_hash()
    assert set(first.map("m").values()) == {"first", "second"}


def many_heads(count: int) -> Replica:
    """Ada's replica with that many concurrent heads on one root."""
    ada = a_chain(1)
    root = ada.frontier
    for number in range(count):
        branch = ada.branch(root)
        branch.counter("c").add(number + 1)
        branch.commit(NOW_MS + number)
    return ada


@pytest.mark.parametrize(("heads", "merges"), [(64, 0), (65, 1), (127, 1), (128, 2), (200, 3)])
def test_t62_more_than_64_heads_are_merged_before_a_commit(heads: int, merges: int) -> None:
    ada = many_heads(heads)
    ada.text("t").append("after")
    ada.list("l").append("item")
    expected = ada.state()
    ids = ada.commit(NOW_MS)
    assert len(ids) == merges + 1
    for node_id in ids[:-1]:
        assert ada.node(node_id).kind == MERGE
        assert len(ada.node(node_id).parents) <= MAX_PARENTS
    assert ada.frontier == ids[-1:]
    assert ada.state() == expected
    fresh = Replica("room")
    fresh.import_pack(ada.export(), verify=False)
    assert fresh.state() == expected
    assert fresh.state_hash() == ada.state_hash()


def test_t37_a_commit_narrows_the_frontier_to_one_head() -> None:
    ada = many_heads(40)
    assert len(ada.frontier) == 40
    ada.counter("c").add(1)
    (node_id,) = ada.commit(NOW_MS)
    assert len(ada.node(node_id).parents) == 40
    ada.counter("c").add(1)
    (after,) = ada.commit(NOW_MS)
    assert ada.node(after).parents == (node_id,)


@pytest.mark.parametrize("heads", [2, 65, 140])
def test_a_merge_node_joins_all_heads(heads: int) -> None:
    ada = many_heads(heads)
    before = ada.state()
    merge = ada.merge(NOW_MS)
    assert ada.frontier == [merge]
    assert ada.node(merge).kind == MERGE
    assert ada.state() == before
    with pytest.raises(RoomlogError, match="nothing to merge"):
        ada.merge(NOW_MS)


def test_t53_positions_that_fit_nobody_are_accepted_and_do_nothing() -> None:
    ada = Replica("room", ADA)
    hasher = NodeHasher(ada.lineage)
    node = make_node(
        hasher, ADA, CHANGE, 5, [], [TextInsert("t", 9, "out"), TextInsert("t", 0, "in")]
    )
    assert ada.add_nodes([node]).accepted == [node.id]
    assert str(ada.text("t")) == "in"


def test_what_exceeds_a_node_goes_on_in_the_next_ones() -> None:
    ada = Replica("room", ADA)
    text = ada.text("t")
    text.append("start ")
    long = "".join(Random(1).choices("abcé", k=400_000))
    text.append(long)
    text.append("\U0001f600" * 100_000)
    items = ada.list("l")
    for number in range(40):
        items.append(str(number) * 10_000)
    items[0] = "changed"
    items.move(0, 39)
    items.delete(5)
    ada.map("m")["k"] = b"x" * 200_000
    text.delete(0, 3)
    ids = ada.commit(NOW_MS)
    assert len(ids) > 5
    assert [ada.node(b).parents for b in ids[1:]] == [(a,) for a in ids[:-1]]
    fresh = Replica("room")
    result = fresh.import_pack(ada.export())
    assert not result.rejected
    assert fresh.state() == ada.state()
    assert fresh.state_hash() == ada.state_hash()
    assert str(fresh.text("t")) == "rt " + long + "\U0001f600" * 100_000


def test_many_small_edits_that_exceed_a_node_go_on_in_the_next_ones() -> None:
    ada = Replica("room", ADA)
    text = ada.text("t")
    for number in range(9_000):
        text.insert(0, "ab")
        text.delete(1)
        if number % 3 == 0:
            ada.counter("c").add(1)
    ids = ada.commit(NOW_MS)
    assert len(ids) > 1
    fresh = Replica("room")
    assert not fresh.import_pack(ada.export()).rejected
    assert fresh.state_hash() == ada.state_hash()


def test_export_names_what_it_holds_and_what_it_lacks() -> None:
    ada = a_chain(4)
    nodes = list(ada.nodes())
    bob = Replica("room", BOB)
    bob.import_pack(ada.export(ids=[nodes[1].id, nodes[0].id]))
    assert bob.frontier == [nodes[1].id]
    with pytest.raises(UnknownNodeError):
        ada.export(ids=[b"?" * 32])
    with pytest.raises(UnknownNodeError):
        ada.node(b"?" * 32)
    with pytest.raises(InvalidValueError, match="since"):
        ada.export(since=[], ids=[])
    # An unknown head is somebody's news, not an error.
    assert ada.export(since=[b"?" * 32]) == ada.export()
    assert bob.import_pack(ada.export(since=bob.frontier)).duplicates == 0
    assert bob.state_hash() == ada.state_hash()


def test_versions_that_are_unknown_are_a_typed_error() -> None:
    ada = a_chain(2)
    for call in (ada.at, ada.branch):
        with pytest.raises(UnknownNodeError) as caught:
            call([ada.frontier[0], b"?" * 32])
        assert caught.value.node_id == b"?" * 32
    branch = ada.branch(ada.frontier)
    branch.text("t").append("open")
    with pytest.raises(UnknownNodeError):
        branch.merge([b"?" * 32])
    assert branch.has_open_edits
    branch.discard()
    assert str(branch.text("t")) == "01"
    assert branch.commit(NOW_MS) == []


def test_a_branch_takes_exactly_the_parents_it_was_given() -> None:
    ada = a_chain(3)
    first, second, _ = [node.id for node in ada.nodes()]
    branch = ada.branch([second, first, first])
    branch.counter("c").add(1)
    branch.list("l").append(1)
    branch.map("m")["k"] = 1
    (node_id,) = branch.commit(NOW_MS)
    assert list(ada.node(node_id).parents) == sorted([first, second])
    assert not branch.state_hash().coverage.open_operations
    assert branch.state() == ada.at([node_id]).state()


def test_a_branch_of_more_than_64_nodes_is_merged_first() -> None:
    ada = many_heads(70)
    branch = ada.branch(ada.frontier)
    branch.counter("c").add(1)
    ids = branch.commit(NOW_MS)
    assert len(ids) == 2
    assert branch.frontier == ada.frontier == ids[-1:]


def test_changes_name_what_may_read_differently() -> None:
    ada = Replica("room", ADA)
    ada.map("m")["k"] = 1
    ada.counter("c").add(1)
    ada.list("l").append(1)
    ada.text("t").append("x")
    assert ada.take_changes() == {(MAP, "m/k"), (COUNTER, "c"), (LIST, "l"), (TEXT, "t")}
    assert ada.take_changes() == set()
    ada.commit(NOW_MS)
    digest = ada.state_hash()
    assert ada.take_changes() == set()
    bob = Replica("room", BOB)
    bob.import_pack(ada.export())
    bob.text("t").append("y")
    bob.commit(NOW_MS)
    ada.import_pack(bob.export())
    assert ada.state_hash() != digest
    assert ada.take_changes() == {(TEXT, "t")}


def test_discarded_edits_are_gone_and_read_as_changed() -> None:
    ada = a_chain(2)
    ada.discard()
    digest = ada.state_hash()
    ada.take_changes()
    ada.text("t").append("x")
    ada.map("m")["k"] = 1
    ada.list("l").append(1)
    ada.discard()
    assert ada.state() == {
        "maps": {},
        "blobs": {},
        "counters": {},
        "lists": {},
        "texts": {"t": "01"},
    }
    assert ada.state_hash() == digest
    assert {(MAP, "m/k"), (LIST, "l"), (TEXT, "t")} <= ada.take_changes()
    ada.text("t").append("2")
    ada.commit(NOW_MS)
    assert str(ada.text("t")) == "012"


def test_edits_that_were_seen_before_they_were_discarded_read_as_changed_again() -> None:
    ada = Replica("room", ADA)
    ada.text("t").append("x")
    ada.map("m")["k"] = 1
    ada.list("l").append(1)
    ada.counter("c").add(1)
    seen = ada.take_changes()
    assert seen == {(TEXT, "t"), (MAP, "m/k"), (LIST, "l"), (COUNTER, "c")}
    ada.discard()
    assert ada.take_changes() == seen


def test_a_state_hash_with_open_edits_is_incomplete_and_counts_them() -> None:
    ada = Replica("room", ADA)
    ada.text("t").append("x" * 300_000)
    ada.map("m")["k"] = 1
    ada.text("t").append("y")
    digest = ada.state_hash()
    assert digest.coverage.open_operations == 4
    assert not digest.complete
    assert str(digest) == "incomplete"
    assert digest.hex == ""
    assert digest != ada.state_hash()
    ada.commit(NOW_MS)
    assert ada.state_hash() == ada.state_hash()
