"""Every rung from the client's side, one frame after the other, and every way to lie on it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from blake3 import blake3

from roomlog.core.graph import Graph
from roomlog.core.node import CHANGE, Node, make_node
from roomlog.core.operation import TextInsert
from roomlog.core.pack import encode_pack
from roomlog.core.reject import RejectClass
from roomlog.core.snapshot.facts import encode_frontier
from roomlog.protocol.capabilities import Offer, own_offer
from roomlog.protocol.client_events import (
    Acknowledged,
    CatchUpChanged,
    CaughtUp,
    ClientEvent,
    CutFound,
    ErrorReceived,
    Fault,
    Received,
    SnapshotReceived,
    WalkFound,
)
from roomlog.protocol.close_codes import CloseCode
from roomlog.protocol.codec import Codec
from roomlog.protocol.log_reader import MOST_APART, MOST_RESTARTS
from roomlog.protocol.messages import Cursor, Error, PackAck, Request, RequestEnd, Snapshot
from roomlog.protocol.snapshot_reader import CHUNK_BYTES, MOST_STATE_BYTES
from tests.protocol.client_wire import ADA, EPOCH, HASHER, LINEAGE, Wire, chain, only_fault

OLD_EPOCH = b"O" * 16


class Log:
    """A client's log: numbered nodes, and the graph of them."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = list(nodes)
        self.graph = Graph()
        for node in nodes:
            self.graph.add(node.id, node.author, node.clock, node.parents)

    def id_at(self, seq: int) -> bytes | None:
        return self.nodes[seq - 1].id if 1 <= seq <= len(self.nodes) else None


def fork(nodes: Sequence[Node], count: int) -> list[Node]:
    """Other nodes on top of the last of `nodes`."""
    made = list(nodes)
    for _ in range(count):
        parents = [made[-1].id] if made else []
        operation = TextInsert("t", 0, "other")
        made.append(make_node(HASHER, ADA, CHANGE, len(made) + 1, parents, [operation]))
    return made


def returning(nodes: Sequence[Node], *, log: Log | None = None, offer: Offer | None = None) -> Wire:
    """A client that holds these, numbered by a log of another epoch."""
    cursor = Cursor(epoch=OLD_EPOCH, seq=len(nodes), id=nodes[-1].id)
    log = Log(nodes) if log is None else log
    return Wire(lineage=LINEAGE, cursor=cursor, frontier=[nodes[-1].id], held=log, offer=offer)


def pairs_of(request: Request, nodes: Sequence[Node]) -> list[int]:
    """The seqs asked about, which must be of these nodes."""
    assert request.have is not None
    assert all(prefix == nodes[seq - 1].id[:8] for seq, prefix in request.have)
    return [seq for seq, _ in request.have]


def refusal(ref: str | None, reject_class: str = "not_negotiated", kind: str = "final") -> Error:
    return Error(ref=ref, reject_class=reject_class, message="no", kind=kind)


# log cut


def test_a_restored_server_is_cut_at_its_head_in_one_question() -> None:
    nodes = chain(9)
    wire = returning(nodes)
    assert wire.open(seq=6, catch_up="cut", frontier=[nodes[5].id]).catch_up == "cut"
    request = wire.request()
    assert pairs_of(request, nodes) == [6, 5, 4, 2]
    assert wire.give(RequestEnd(ref=request.ref, seq=6, cut=6)) == [CutFound(6), CaughtUp(6)]
    assert wire.sent() == []
    assert wire.session.cursor == Cursor(epoch=EPOCH, seq=6, id=nodes[5].id)


def test_what_was_relayed_during_the_search_is_read_behind_the_cut() -> None:
    nodes = chain(9)
    wire = returning(nodes[:8])
    wire.open(seq=6, catch_up="cut", frontier=[nodes[5].id])
    request = wire.request()
    theirs = fork(nodes[:6], 1)
    assert wire.pack(theirs[6:], 7) == []
    assert wire.give(RequestEnd(ref=request.ref, seq=7, cut=6)) == [CutFound(6)]
    request = wire.request()
    assert request.after is not None
    assert (request.after.epoch, request.after.seq) == (EPOCH, 6)
    assert len(wire.pack(theirs[6:], 7, request.ref)) == 1
    # As long as it is not proven, no cursor claims that everything below the cut is held.
    assert wire.session.cursor is None
    assert wire.give(RequestEnd(ref=request.ref, seq=7)) == [CaughtUp(7)]
    assert wire.session.cursor == Cursor(epoch=EPOCH, seq=7, id=theirs[6].id)


def test_acks_during_the_search_carry_the_cursor_once_the_cut_is_found() -> None:
    nodes = chain(8)
    wire = returning(nodes[:6])
    wire.open(seq=6, catch_up="cut", frontier=[nodes[5].id])
    request = wire.request()
    wire.session.push(nodes[6:7])
    wire.sent()
    assert wire.give(PackAck(from_seq=7, to_seq=7)) == [Acknowledged({nodes[6].id: 7})]
    wire.give(RequestEnd(ref=request.ref, seq=7, cut=6))
    assert wire.session.held_seq == 7
    assert wire.session.cursor == Cursor(epoch=EPOCH, seq=7, id=nodes[6].id)


def test_two_logs_that_went_on_apart_are_cut_in_two_questions() -> None:
    ours = chain(100)
    theirs = fork(ours[:70], 50)
    wire = returning(ours)
    wire.open(seq=120, catch_up="cut", frontier=[theirs[119].id])
    first = wire.request()
    assert pairs_of(first, ours) == [100, 99, 98, 96, 92, 84, 68, 36]
    assert wire.give(RequestEnd(ref=first.ref, seq=120, cut=68)) == []
    second = wire.request()
    assert pairs_of(second, ours) == list(range(83, 68, -1))
    assert wire.give(RequestEnd(ref=second.ref, seq=120, cut=70)) == [CutFound(70)]
    request = wire.request()
    assert request.after is not None
    assert request.after.seq == 70
    (received,) = wire.pack(theirs[70:], 71, request.ref)
    assert isinstance(received, Received)
    assert wire.give(RequestEnd(ref=request.ref, seq=120)) == [CaughtUp(120)]


def test_a_cut_that_does_not_hold_becomes_a_walk() -> None:
    ours = chain(5)
    theirs = fork([], 9)
    # Nodes without their parents are passed over up to the end of the answer.
    wire = returning(ours)
    wire.open(seq=9, catch_up="cut", frontier=[theirs[8].id])
    wire.give(RequestEnd(ref=wire.request().ref, seq=9, cut=5))
    request = wire.request()
    assert wire.pack(theirs[5:9], 6, request.ref) == []
    (changed,) = wire.give(RequestEnd(ref=request.ref, seq=9))
    assert isinstance(changed, CatchUpChanged)
    assert changed.catch_up == "walk"
    assert wire.request().frontier == [ours[-1].id]
    assert wire.session.cursor is None
    # So does a log one head of which never came.
    wire = returning(ours)
    wire.open(seq=5, catch_up="cut", frontier=[theirs[8].id])
    found, changed = wire.give(RequestEnd(ref=wire.request().ref, seq=5, cut=5))
    assert found == CutFound(5)
    assert isinstance(changed, CatchUpChanged)
    assert wire.request().frontier == [ours[-1].id]


def test_t32_logs_in_another_order_are_walked_and_not_read_anew() -> None:
    for cut, top in ((0, 30), (10, MOST_APART + 12)):
        nodes = chain(top)
        wire = returning(nodes)
        wire.open(seq=top, catch_up="cut")
        first = wire.request()
        seqs = pairs_of(first, nodes)
        least = min(seq for seq in seqs if seq > cut)
        wire.give(RequestEnd(ref=first.ref, seq=top, cut=max([0, *[s for s in seqs if s <= cut]])))
        second = wire.request()
        (changed,) = wire.give(RequestEnd(ref=second.ref, seq=top, cut=cut))
        assert least > cut
        assert isinstance(changed, CatchUpChanged)
        assert changed.catch_up == "walk"
        request = wire.request()
        assert request.frontier == [nodes[-1].id]
        assert request.stop_at_unknown
        found = WalkFound((nodes[-1].id,), ())
        assert wire.give(RequestEnd(ref=request.ref, seq=top)) == [found]
        after = wire.request().after
        assert after is not None
        assert after.seq == top - 1


def test_nothing_in_common_and_no_heads_is_read_from_the_beginning() -> None:
    nodes = chain(3)
    cursor = Cursor(epoch=OLD_EPOCH, seq=3, id=nodes[-1].id)
    wire = Wire(lineage=LINEAGE, cursor=cursor, held=Log(nodes))
    wire.open(seq=2, catch_up="cut")
    request = wire.request()
    assert pairs_of(request, nodes) == [2, 1]
    assert wire.give(RequestEnd(ref=request.ref, seq=2, cut=0)) == [CutFound(0)]
    after = wire.request().after
    assert after is not None
    assert after.seq == 0
    assert wire.session.cursor is None


@pytest.mark.parametrize("cut", [None, 7, 3])
def test_a_cut_that_was_not_asked_about_is_a_fault(cut: int | None) -> None:
    wire = returning(chain(9))
    wire.open(seq=6, catch_up="cut")
    only_fault(wire.give(RequestEnd(ref=wire.request().ref, seq=6, cut=cut)))


def test_a_pack_in_place_of_a_cut_is_a_fault() -> None:
    nodes = chain(9)
    wire = returning(nodes)
    wire.open(seq=6, catch_up="cut")
    only_fault(wire.pack(nodes[:1], 1, wire.request().ref))


def test_a_refused_cut_becomes_a_walk_and_one_that_is_put_off_ends_the_session() -> None:
    nodes = chain(9)
    wire = returning(nodes)
    wire.open(seq=6, catch_up="cut")
    error, changed = wire.give(refusal(wire.request().ref))
    assert isinstance(error, ErrorReceived)
    assert changed == CatchUpChanged("walk", "refused: no")
    assert wire.request().frontier == [nodes[-1].id]
    busy = returning(nodes)
    busy.open(seq=6, catch_up="cut")
    error = msgspec.structs.replace(
        refusal(busy.request().ref, "store_unavailable", "retry"), retry_after_ms=70
    )
    fault = only_fault(busy.give(error), Fault.NOT_NOW)
    assert fault.reject.reject_class is RejectClass.STORE_UNAVAILABLE
    assert fault.reject.detail == {"retry_after_ms": 70}
    assert fault.fault.code is CloseCode.NORMAL
    busy = returning(nodes)
    busy.open(seq=6, catch_up="cut")
    refused = refusal(busy.request().ref, "store_unavailable", "retry")
    assert only_fault(busy.give(refused), Fault.NOT_NOW).reject.detail == {}


def test_without_what_it_takes_a_cut_becomes_a_walk() -> None:
    nodes = chain(5)
    cursor = Cursor(epoch=OLD_EPOCH, seq=5, id=nodes[-1].id)
    nowhere = returning(nodes, log=Log([]))
    without_log = Wire(lineage=LINEAGE, cursor=cursor, frontier=[nodes[-1].id])
    without_capability = returning(
        nodes, offer={name: value for name, value in own_offer().items() if name != "log_cut"}
    )
    at_zero = Wire(
        lineage=LINEAGE,
        cursor=Cursor(epoch=OLD_EPOCH, seq=0, id=bytes(32)),
        frontier=[nodes[-1].id],
        held=Log(nodes),
    )
    for wire in (nowhere, without_log, without_capability, at_zero):
        assert wire.open(seq=6, catch_up="cut").catch_up == "walk"
        request = wire.request()
        assert request.frontier == [nodes[-1].id]
        assert request.stop_at_unknown is (wire is not without_capability)


# walk


def test_t32_a_head_that_the_server_lacks_is_looked_for_and_what_is_below_it_is_not_sent() -> None:
    nodes = chain(9)
    wire = Wire(lineage=LINEAGE, frontier=[nodes[-1].id], held=Log(nodes))
    wire.open(seq=8, catch_up="walk")
    request = wire.request()
    assert request.frontier == [nodes[8].id]
    assert wire.give(RequestEnd(ref=request.ref, seq=8, unknown=[0])) == []
    request = wire.request()
    # One that is unknown goes first, so that nothing is sent; then 1, 2, 4 and 8 below the head.
    assert request.frontier == [nodes[at].id for at in (8, 7, 6, 4, 0)]
    assert wire.give(RequestEnd(ref=request.ref, seq=8, unknown=[0, 1])) == []
    request = wire.request()
    assert request.frontier == [nodes[6].id]
    theirs = fork(nodes[:7], 1)
    (received,) = wire.pack(theirs[7:], 8, request.ref)
    assert isinstance(received, Received)
    found = WalkFound((nodes[6].id,), (nodes[7].id,))
    assert wire.give(RequestEnd(ref=request.ref, seq=8)) == [found]
    after = wire.request().after
    assert after is not None
    assert after.seq == 7


def test_what_the_welcome_says_of_the_frontier_is_not_asked_again() -> None:
    nodes = chain(9)
    wire = Wire(lineage=LINEAGE, frontier=[nodes[-1].id], held=Log(nodes))
    wire.open(seq=8, catch_up="walk", unknown=[0])
    assert wire.request().frontier == [nodes[at].id for at in (8, 7, 6, 4, 0)]


def test_a_welcome_that_knows_none_of_a_frontier_without_a_past_is_asked_all_the_same() -> None:
    wire = Wire(lineage=LINEAGE, frontier=[chain(1)[0].id])
    wire.open(seq=8, catch_up="walk", unknown=[0])
    request = wire.request()
    assert request.frontier == [chain(1)[0].id]
    found, changed = wire.give(RequestEnd(ref=request.ref, seq=8, unknown=[0]))
    assert found == WalkFound((), (chain(1)[0].id,))
    assert isinstance(changed, CatchUpChanged)
    assert changed.catch_up == "cursor"


def test_a_welcome_that_lacks_ids_it_was_not_given_is_a_fault() -> None:
    nodes = chain(2)
    wire = Wire(lineage=LINEAGE, frontier=[nodes[-1].id], held=Log(nodes))
    wire.challenge()
    events = wire.give(wire.welcome_message(seq=8, catch_up="walk", unknown=[1]))
    only_fault(events)


def test_t32_only_when_nothing_is_known_everything_is_read_and_that_is_said() -> None:
    nodes = chain(3)
    wire = Wire(lineage=LINEAGE, frontier=[nodes[-1].id], held=Log(nodes))
    wire.open(seq=5, catch_up="walk")
    wire.give(RequestEnd(ref=wire.request().ref, seq=5, unknown=[0]))
    request = wire.request()
    assert request.frontier == [nodes[at].id for at in (2, 1, 0)]
    found, changed = wire.give(RequestEnd(ref=request.ref, seq=5, unknown=[0, 1, 2]))
    assert found == WalkFound((), (nodes[0].id,))
    assert isinstance(changed, CatchUpChanged)
    assert changed.catch_up == "cursor"
    after = wire.request().after
    assert after is not None
    assert after.seq == 0


def test_a_server_that_knows_no_log_cut_is_walked_as_before() -> None:
    nodes = chain(3)
    wire = Wire(lineage=LINEAGE, frontier=[nodes[0].id], held=Log(nodes))
    caps = {name: value for name, value in own_offer().items() if name != "log_cut"}
    wire.open(seq=2, catch_up="walk", caps=caps)
    request = wire.request()
    assert not request.stop_at_unknown
    assert len(wire.pack(nodes[1:2], 2, request.ref)) == 1
    # It cannot be told what was known, so nothing is said of it.
    assert wire.give(RequestEnd(ref=request.ref, seq=2)) == []
    assert wire.request().after is not None


def test_nodes_together_with_unknown_ids_are_a_fault() -> None:
    nodes = chain(3)
    wire = Wire(lineage=LINEAGE, frontier=[nodes[0].id], held=Log(nodes))
    wire.open(seq=2, catch_up="walk")
    ref = wire.request().ref
    wire.pack(nodes[1:2], 2, ref)
    only_fault(wire.give(RequestEnd(ref=ref, seq=2, unknown=[0])))


def test_unknown_ids_out_of_range_are_a_fault() -> None:
    wire = Wire(lineage=LINEAGE, frontier=[b"f" * 32])
    wire.open(seq=2, catch_up="walk")
    only_fault(wire.give(RequestEnd(ref=wire.request().ref, seq=2, unknown=[1])))


def test_a_refused_walk_reads_everything_and_says_so() -> None:
    wire = Wire(lineage=LINEAGE, frontier=[b"f" * 32])
    wire.open(seq=2, catch_up="walk")
    _, changed = wire.give(refusal(wire.request().ref, "invalid_field"))
    assert changed == CatchUpChanged("cursor", "refused: no")
    after = wire.request().after
    assert after is not None
    assert after.seq == 0


def test_a_frontier_is_asked_within_the_servers_limit() -> None:
    ids = [bytes([index]) * 32 for index in range(9)]
    old = own_offer()
    del old["log_cut"]
    for offer in (None, old):
        wire = Wire(lineage=LINEAGE, frontier=ids, offer=offer)
        wire.open(seq=2, catch_up="walk", limits={"frontier_ids": 4})
        assert wire.request().frontier == ids[:4]


# snapshot


def facts(state: bytes, heads: Sequence[Node], at_seq: int, **fields: object) -> Snapshot:
    values: dict[str, object] = {
        "data": state,
        "chunks": 1,
        "size_bytes": len(state),
        "seq": at_seq,
        "frontier": encode_frontier(heads) if heads else b"",
        "state_hash": b"h" * 32,
        "digest": blake3(state).digest(),
        "signature": b"s" * 64,
    }
    return Snapshot(**{**values, **fields})  # type: ignore[arg-type]


def joining(codec: Codec = Codec.MSGPACK) -> tuple[Wire, str | None]:
    wire = Wire(wants_snapshot=True, wants_signatures=False, codec=codec)
    assert wire.open(seq=5, catch_up="snapshot").catch_up == "snapshot"
    request = wire.request()
    assert request.snapshot
    assert not request.signatures
    return wire, request.ref


@pytest.mark.parametrize("codec", list(Codec))
def test_a_snapshot_comes_in_chunks_and_the_log_goes_on_behind_it(codec: Codec) -> None:
    nodes = chain(6)
    wire, ref = joining(codec)
    # What is relayed meanwhile comes again behind the snapshot.
    assert wire.pack(nodes[5:], 6) == []
    state = b"state of a room"
    first = facts(state, nodes[2:3], 3, ref=ref, chunks=2, data=state[:9])
    assert wire.give(first) == []
    (received,) = wire.give(Snapshot(ref=ref, chunk=1, data=state[9:]))
    assert isinstance(received, SnapshotReceived)
    assert (received.seq, received.state) == (3, state)
    assert received.frontier_pack == encode_pack(nodes[2:3])
    assert wire.session.cursor == Cursor(epoch=EPOCH, seq=3, id=nodes[2].id)
    unsigned = encode_pack(nodes[3:6], signatures=False)
    (tail,) = wire.pack(nodes[3:6], 4, ref, nodes=unsigned)
    assert isinstance(tail, Received)
    assert not tail.is_signed
    assert wire.give(RequestEnd(ref=ref, seq=6)) == [CaughtUp(6)]
    only_fault(wire.give(Snapshot(ref=ref, chunk=2, data=b"more")))


def test_the_node_below_a_snapshot_of_several_heads_is_read_for_its_name() -> None:
    heads = [
        make_node(HASHER, ADA, CHANGE, clock, [], [TextInsert("t", 0, "x")]) for clock in (1, 2)
    ]
    wire, ref = joining()
    wire.give(facts(b"state", heads, 2, ref=ref))
    assert wire.session.cursor is None
    assert wire.give(RequestEnd(ref=ref, seq=2)) == []
    again = wire.request()
    assert again.after is not None
    assert again.after.seq == 1
    assert len(wire.pack(heads[1:], 2, again.ref)) == 1
    assert wire.give(RequestEnd(ref=again.ref, seq=2)) == [CaughtUp(2)]
    assert wire.session.cursor == Cursor(epoch=EPOCH, seq=2, id=heads[1].id)


def test_a_server_that_never_names_the_node_below_a_snapshot_is_left() -> None:
    heads = [
        make_node(HASHER, ADA, CHANGE, clock, [], [TextInsert("t", 0, "x")]) for clock in (1, 2)
    ]
    wire, ref = joining()
    wire.give(facts(b"state", heads, 2, ref=ref))
    for _ in range(MOST_RESTARTS):
        assert wire.give(RequestEnd(ref=ref, seq=2)) == []
        ref = wire.request().ref
    only_fault(wire.give(RequestEnd(ref=ref, seq=2)))


@pytest.mark.parametrize(
    "fields",
    [
        {"seq": 0},
        {"size_bytes": 0},
        {"size_bytes": MOST_STATE_BYTES + 1},
        {"size_bytes": 4},
        {"size_bytes": 6},
        {"chunks": 0},
        {"chunks": 6},
        {"chunk": 1},
        {"state_hash": b"h" * 31},
        {"digest": b"d" * 32},
        {"digest": b""},
        {"signature": b"s" * 63},
        {"data": b""},
        {"data": bytes(CHUNK_BYTES + 1), "size_bytes": CHUNK_BYTES + 1},
        {"frontier": b""},
        {"frontier": b"garbage"},
        {"frontier": encode_pack([])},
        {"ref": "other"},
        {"ref": None},
    ],
)
def test_a_snapshot_that_cannot_be_is_a_fault(fields: dict[str, object]) -> None:
    wire, ref = joining()
    only_fault(wire.give(facts(b"state", chain(1), 1, **{"ref": ref, **fields})))


@pytest.mark.parametrize("chunk", [0, 2])
def test_chunks_out_of_order_are_a_fault(chunk: int) -> None:
    wire, ref = joining()
    assert wire.give(facts(b"state", chain(1), 1, ref=ref, chunks=3, data=b"st")) == []
    only_fault(wire.give(Snapshot(ref=ref, chunk=chunk, data=b"a")))


def test_a_snapshot_that_nobody_asked_for_is_a_fault() -> None:
    wire = Wire()
    wire.open(seq=1)
    ref = wire.request().ref
    only_fault(wire.give(facts(b"state", chain(1), 1, ref=ref)))


def test_what_should_follow_a_snapshot_does_not_come_before_it() -> None:
    wire, ref = joining()
    only_fault(wire.pack(chain(1), 1, ref))
    wire, ref = joining()
    only_fault(wire.give(RequestEnd(ref=ref, seq=5)))


def test_a_refused_snapshot_reads_the_log_from_its_beginning() -> None:
    for has_begun in (False, True):
        wire, ref = joining()
        if has_begun:
            wire.give(facts(b"state", chain(1), 1, ref=ref, chunks=2, data=b"st"))
        _, changed = wire.give(refusal(ref, "checkpoint_not_found"))
        assert changed == CatchUpChanged("cursor", "refused: no")
        request = wire.request()
        assert request.after is not None
        assert request.after.seq == 0
        only_fault(wire.give(Snapshot(ref=request.ref, chunk=1, data=b"ate")))


def test_a_snapshot_is_only_for_who_wants_one_and_has_nothing() -> None:
    node = chain(1)[0]
    without = own_offer()
    del without["snapshot_join"]
    wires = [
        Wire(),
        Wire(wants_snapshot=True, offer=without),
        Wire(
            wants_snapshot=True,
            lineage=LINEAGE,
            cursor=Cursor(epoch=OLD_EPOCH, seq=1, id=node.id),
        ),
        Wire(wants_snapshot=True, lineage=LINEAGE, frontier=[node.id]),
    ]
    for wire in wires:
        assert wire.open(seq=5, catch_up="snapshot").catch_up != "snapshot"
        assert not wire.request().snapshot
    wire = Wire(wants_snapshot=True, subscribe=("a",))
    assert wire.open(seq=5, catch_up="snapshot", subscribed=["a"]).catch_up == "cursor"


# what packs may lack


def bodiless(node: Node) -> Node:
    return Node(
        node.id, node.author, node.clock, node.kind, node.parents, node.body_hash, None,
        node.signature,
    )  # fmt: skip


def faulty(events: list[ClientEvent]) -> RejectClass:
    return only_fault(events).reject.reject_class


def test_signatures_are_left_out_only_of_what_was_asked_for_so() -> None:
    nodes = chain(3)
    unsigned = encode_pack(nodes[:2], signatures=False)
    old = own_offer()
    del old["unsigned_bulk"]
    for wants, offer in ((True, None), (False, old)):
        wire = Wire(wants_signatures=wants, offer=offer)
        wire.open(seq=3)
        request = wire.request()
        assert request.signatures
        events = wire.pack(nodes[:2], 1, request.ref, nodes=unsigned)
        assert faulty(events) is RejectClass.SIGNATURE_MISSING
    wire = Wire(wants_signatures=False)
    wire.open(seq=2)
    request = wire.request()
    assert not request.signatures
    (received,) = wire.pack(nodes[:2], 1, request.ref, nodes=unsigned)
    assert isinstance(received, Received)
    assert not received.is_signed
    assert received.has_bodies
    wire.give(RequestEnd(ref=request.ref, seq=2))
    live = encode_pack(nodes[2:], signatures=False)
    assert faulty(wire.pack(nodes[2:], 3, nodes=live)) is RejectClass.SIGNATURE_MISSING


def test_bodies_are_left_out_only_under_a_subscription() -> None:
    (node,) = chain(1)
    pack = encode_pack([bodiless(node)])
    wire = Wire()
    wire.open()
    assert faulty(wire.pack([node], 1, nodes=pack)) is RejectClass.BODY_MISSING
    wire = Wire(subscribe=("a/**",))
    assert wire.open(subscribed=["a/**"]).subscribed == ("a/**",)
    (received,) = wire.pack([node], 1, nodes=pack)
    assert isinstance(received, Received)
    assert not received.has_bodies
    assert received.is_signed
