"""A snapshot is opened only when everything about it holds (T56)."""

from typing import Any

import pytest

from roomlog.core.node import Node, NodeHasher
from roomlog.core.pack import Layout, decode_pack, encode_pack
from roomlog.core.reject import Reject, RejectClass
from roomlog.core.replica import Replica
from roomlog.core.signing import Purpose
from roomlog.core.snapshot.facts import (
    OpenedSnapshot,
    SnapshotFacts,
    check_snapshot,
    encode_frontier,
    sign_snapshot,
)
from roomlog.core.snapshot.format import decode_state, encode_state
from roomlog.core.snapshot.leaves import leaves_of
from roomlog.core.snapshot.taking import TakenSnapshot, take_snapshot
from roomlog.core.state_hash import hash_leaves
from roomlog.identity import Identity

SERVER = Identity.from_seed(bytes([9]) * 32)
ADA = Identity.from_seed(bytes(32))
BOB = Identity.from_seed(bytes([1]) * 32)
LINEAGE = bytes(range(32))
NOW_MS = 1_700_000_000_000


def a_room() -> Replica:
    """Five nodes; the last two are heads."""
    replica = Replica("room", ADA, LINEAGE)
    replica.map("m")["k"] = {"v": 1}
    replica.list("l").append("item")
    replica.commit(NOW_MS)
    replica.counter("c").add(5)
    replica.commit(NOW_MS)
    replica.text("t").append("text")
    (fork,) = replica.commit(NOW_MS)
    for number in range(2):
        branch = replica.branch([fork])
        branch.text("t").append(str(number))
        branch.commit(NOW_MS)
    return replica


def a_snapshot() -> dict[str, Any]:
    """Every argument of `check_snapshot`, all of them good."""
    return arguments(take_snapshot(a_room(), 5))


def arguments(taken: TakenSnapshot, **changed: Any) -> dict[str, Any]:
    return {
        "server_key": SERVER.public_key,
        "lineage": taken.lineage,
        "seq": taken.seq,
        "frontier_pack": taken.frontier_pack,
        "state_hash": taken.state_hash,
        "digest": taken.digest,
        "signature": taken.sign(SERVER),
        "data": taken.data,
        **changed,
    }


def signed_again(snapshot: dict[str, Any], frontier: list[bytes] | None = None) -> dict[str, Any]:
    """The same with the server's signature over what it says now."""
    if frontier is None:
        nodes = decode_pack(snapshot["frontier_pack"], NodeHasher(snapshot["lineage"]))
        frontier = [node.id for node in nodes]
    facts = SnapshotFacts(
        snapshot["lineage"],
        snapshot["seq"],
        frontier,
        snapshot["state_hash"],
        snapshot["digest"],
    )
    return {**snapshot, "signature": sign_snapshot(SERVER, facts)}


def opened(snapshot: dict[str, Any]) -> OpenedSnapshot:
    return check_snapshot(*snapshot.values())


def refused(snapshot: dict[str, Any], reject_class: RejectClass) -> Reject:
    with pytest.raises(Reject) as caught:
        opened(snapshot)
    assert caught.value.reject_class is reject_class
    return caught.value


def test_a_good_snapshot_is_opened_and_says_what_the_room_says() -> None:
    room = a_room()
    snapshot = opened(a_snapshot())
    assert snapshot.seq == 5
    assert [node.id for node in snapshot.frontier] == room.frontier == snapshot.facts.frontier
    partial = Replica.from_snapshot("room", BOB, LINEAGE, snapshot)
    assert partial.state() == room.state()
    assert partial.state_hash() == room.state_hash()


def test_t56_the_signature_covers_the_bytes_of_the_document() -> None:
    taken = take_snapshot(a_room(), 5)
    payload = b"".join(
        (
            LINEAGE,
            (5).to_bytes(8, "big"),
            (2).to_bytes(2, "big"),
            *sorted(taken.frontier),
            taken.state_hash,
            taken.digest,
        )
    )
    assert taken.sign(SERVER) == SERVER.sign(Purpose.SNAPSHOT, payload)


def test_t56_a_forged_frontier_is_not_built_upon() -> None:
    """Somebody else's node in place of a head, the server's signature kept."""
    snapshot = a_snapshot()
    forger = Replica("room", BOB, LINEAGE)
    forger.map("m")["k"] = "forged"
    forger.commit(NOW_MS)
    snapshot["frontier_pack"] = encode_frontier(list(forger.nodes()))
    refused(snapshot, RejectClass.SIGNATURE_INVALID)


def test_t56_a_swapped_frontier_node_is_not_built_upon() -> None:
    """A node of the room that is no head in place of one that is."""
    room = a_room()
    nodes = list(room.nodes())
    snapshot = a_snapshot()
    snapshot["frontier_pack"] = encode_frontier([nodes[1], nodes[4]])
    refused(snapshot, RejectClass.SIGNATURE_INVALID)


def test_t56_a_left_out_or_added_frontier_node_is_not_built_upon() -> None:
    room = a_room()
    nodes = list(room.nodes())
    for frontier in ([nodes[4]], [nodes[2], nodes[3], nodes[4]]):
        snapshot = {**a_snapshot(), "frontier_pack": encode_frontier(frontier)}
        with pytest.raises(Reject):
            opened(snapshot)


def test_t56_a_frontier_node_that_its_author_did_not_sign_is_not_built_upon() -> None:
    """Its id is the signed one and so are all facts: the server vouches for a forgery."""
    snapshot = a_snapshot()
    nodes = decode_pack(snapshot["frontier_pack"], NodeHasher(LINEAGE))
    nodes[0].signature = BOB.sign(Purpose.NODE, nodes[0].id)
    snapshot["frontier_pack"] = encode_pack(nodes)
    refused(snapshot, RejectClass.SIGNATURE_INVALID)
    snapshot["frontier_pack"] = encode_pack(nodes, signatures=False)
    refused(snapshot, RejectClass.SIGNATURE_MISSING)


def test_t56_a_snapshot_of_another_lineage_is_not_built_upon() -> None:
    snapshot = a_snapshot()
    snapshot["lineage"] = bytes(32)
    refused(snapshot, RejectClass.SIGNATURE_INVALID)


def test_t56_a_snapshot_by_another_key_is_not_built_upon() -> None:
    taken = take_snapshot(a_room(), 5)
    refused(arguments(taken, signature=taken.sign(BOB)), RejectClass.SIGNATURE_INVALID)
    refused(arguments(taken, server_key=BOB.public_key), RejectClass.SIGNATURE_INVALID)
    refused(arguments(taken, signature=b""), RejectClass.SIGNATURE_INVALID)


def test_t56_a_signature_for_another_purpose_is_none() -> None:
    taken = take_snapshot(a_room(), 5)
    facts = SnapshotFacts(taken.lineage, taken.seq, taken.frontier, taken.state_hash, taken.digest)
    signature = SERVER.sign(Purpose.CHECKPOINT, facts.payload())
    refused(arguments(taken, signature=signature), RejectClass.SIGNATURE_INVALID)


def test_t56_a_changed_state_is_not_built_upon() -> None:
    snapshot = a_snapshot()
    state = decode_state(snapshot["data"])
    state.texts = [("t", "changed")]
    snapshot["data"] = encode_state(state)
    assert refused(snapshot, RejectClass.INVALID_FIELD).detail == {"field": "digest"}


def test_t56_a_state_hash_that_is_a_lie_is_not_believed() -> None:
    """The server signs a hash that is not the state's, or a state that is not the hash's."""
    snapshot = a_snapshot()
    lie = signed_again({**snapshot, "state_hash": bytes(32)})
    assert refused(lie, RejectClass.INVALID_FIELD).detail == {"field": "state_hash"}
    state = decode_state(snapshot["data"])
    state.counters = [("c", 6)]
    other = TakenSnapshot(
        LINEAGE,
        5,
        take_snapshot(a_room(), 5).frontier,
        snapshot["frontier_pack"],
        snapshot["state_hash"],
        encode_state(state),
    )
    assert refused(arguments(other), RejectClass.INVALID_FIELD).detail == {"field": "state_hash"}


def test_t56_a_moved_seq_is_not_believed() -> None:
    snapshot = a_snapshot()
    snapshot["seq"] = 6
    refused(snapshot, RejectClass.SIGNATURE_INVALID)


def test_a_clock_that_is_not_the_greatest_of_the_heads_is_refused() -> None:
    taken = take_snapshot(a_room(), 5)
    for step in (-1, 1):
        state = decode_state(taken.data)
        state.clock += step
        other = TakenSnapshot(
            LINEAGE, 5, taken.frontier, taken.frontier_pack, taken.state_hash, encode_state(state)
        )
        reject = refused(arguments(other), RejectClass.INVALID_FIELD)
        assert "clock" in reject.message


def test_a_signed_state_of_another_form_is_refused() -> None:
    taken = take_snapshot(a_room(), 5)
    other = TakenSnapshot(
        LINEAGE, 5, taken.frontier, taken.frontier_pack, taken.state_hash, taken.data + b"\0"
    )
    assert refused(arguments(other), RejectClass.INVALID_FIELD).detail == {"field": "data"}


@pytest.mark.parametrize("seq", [0, -1, 1, 1 << 63])
def test_a_seq_that_cannot_be_is_refused(seq: int) -> None:
    refused({**a_snapshot(), "seq": seq}, RejectClass.INVALID_FIELD)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_state_hash_of_another_length_is_refused(size: int) -> None:
    """Facts are joined without lengths: one field must not reach into the next."""
    snapshot = {**a_snapshot(), "state_hash": bytes(size), "digest": bytes(64 - size)}
    reject = refused(signed_again(snapshot), RejectClass.INVALID_FIELD)
    assert reject.detail == {"field": "state_hash"}


def heads(count: int) -> list[Node]:
    replica = Replica("room", ADA, LINEAGE)
    for number in range(count):
        branch = replica.branch([])
        branch.counter("c").add(number + 1)
        branch.commit(NOW_MS)
    return list(replica.nodes())


def test_a_frontier_that_no_log_has_is_refused_whoever_signed_it() -> None:
    room = a_room()
    nodes = list(room.nodes())
    first, second = sorted(nodes[3:], key=lambda node: node.id)
    bodiless = encode_pack([first, second], bodies=False)
    for pack, field in (
        (encode_pack([]), "frontier"),
        (encode_pack([second, first]), "frontier"),
        (encode_pack([first, first]), "frontier"),
        (encode_frontier([nodes[2], nodes[3]]), "frontier"),
        (encode_frontier(heads(65)), "frontier"),
    ):
        snapshot = {**a_snapshot(), "frontier_pack": pack, "seq": 70}
        reject = refused(signed_again(snapshot), RejectClass.INVALID_FIELD)
        assert reject.detail == {"field": field}
    snapshot = {**a_snapshot(), "frontier_pack": bodiless}
    refused(signed_again(snapshot), RejectClass.BODY_MISSING)
    refused({**a_snapshot(), "frontier_pack": b"\0"}, RejectClass.INVALID_FIELD)


def test_a_frontier_may_come_in_either_layout() -> None:
    """The pack is not signed as bytes: ids and signatures are what counts."""
    nodes = decode_pack(a_snapshot()["frontier_pack"], NodeHasher(LINEAGE))
    for layout in (Layout.ROWS, Layout.COLUMNS):
        snapshot = {**a_snapshot(), "frontier_pack": encode_pack(nodes, layout=layout)}
        assert opened(snapshot).facts.frontier == [node.id for node in nodes]


def test_a_room_with_64_heads_can_be_joined_by_a_snapshot() -> None:
    nodes = heads(64)
    room = Replica("room", ADA, LINEAGE)
    room.add_nodes(nodes)
    partial = Replica.from_snapshot(
        "room", BOB, LINEAGE, opened(arguments(take_snapshot(room, 64)))
    )
    partial.counter("c").add(1)
    (node_id,) = partial.commit(NOW_MS)
    assert list(partial.node(node_id).parents) == room.frontier
    assert room.add_nodes([partial.node(node_id)]).accepted == [node_id]
    assert room.state_hash() == partial.state_hash()


def test_leaves_are_those_of_the_state_hash() -> None:
    snapshot = opened(a_snapshot())
    assert snapshot.leaves == leaves_of(snapshot.state)
    assert hash_leaves(snapshot.leaves).hex() == a_room().state_hash().hex
